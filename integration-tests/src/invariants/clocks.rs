//! Bounds on what nodes and readers may take as the time, in a run with wrong clocks.
//!
//! ```text
//!   a node reports    at least its wall clock, at most what any wall clock led it to, and that no more than
//!                     the drift ahead of its own
//!   a reader takes    the latest that the nodes reported, but no more than the drift ahead of what a majority of
//!                     them, two or more, have reached; its own clock has no part in it
//!   a writer counts   lifetimes from the later of its own clock and what a majority has reached; that may be twice
//!                     the drift ahead of its own
//! ```
//!
//! Of nodes a majority is two or more different ones that are off at once: an hour ahead today and another one next
//! week is one fast clock, twice. A read that finds a value takes the clock of one that is not the furthest behind.
//!
//! So a node that is behind makes values live longer only while it is, and one that is ahead ends none much earlier:
//! a second one would have to be ahead, too. Left out: which of them was asked.
//!
//! Source: Kulkarni et al., *Logical Physical Clocks* (2014), for a clock that follows others within a bound.

use std::collections::BTreeMap;

use quoit_ring::{Millis, Moment};

use crate::history::{ClockOff, History, Side};

/// How far a clock is believed to be ahead of others, in milliseconds: the default of clients and nodes.
pub(super) const DRIFT_MS: u64 = 500;

/// How far a clock that is kept in order is off at most: a step to or from another error is as much longer.
const USUAL_MS: u64 = 200;

/// How long an answer may be under way, in milliseconds, or lie unread while its client pauses.
const LATE_MS: u64 = 3_000;

/// A stretch of time.
pub(super) type Window = (Moment, Moment);

/// The latest that a reader may take for the time until `at`.
pub(super) fn latest_taken(history: &History, at: Moment) -> Millis {
    let ahead = Ahead::until(history, at);
    let by = ahead.any.min(ahead.majority.saturating_add(DRIFT_MS));
    Millis(history.wall(at).0.saturating_add(by))
}

/// The latest from which a writer may count a lifetime until `at`.
pub(super) fn latest_counted(history: &History, at: Moment) -> Millis {
    let ahead = Ahead::until(history, at);
    let writers = furthest(history, Side::Client, (Moment(0), at), |by| by);
    let few = ahead.any.min(writers.saturating_add(2 * DRIFT_MS));
    let by = writers.max(ahead.majority).max(few);
    Millis(history.wall(at).0.saturating_add(by))
}

/// The earliest from which a writer may count a lifetime in `window`: from its own clock, and from what nodes have
/// reached as far as their last answers tell.
pub(super) fn earliest_counted(history: &History, window: Window) -> Millis {
    let writer = earliest_shown(history, Side::Client, window);
    let nodes = behind(history, Side::Node, (Moment(0), window.1));
    let reported = history.wall(window.0).0.saturating_sub(nodes + LATE_MS);
    writer.max(Millis(reported))
}

/// The earliest that a quorum read under way in `window` takes for the time, where it finds a value.
pub(super) fn earliest_taken(history: &History, window: Window) -> Millis {
    let mut behind = BTreeMap::<usize, u64>::new();
    for off in met(history, Side::Node, window) {
        let by_ms = u64::try_from(off.by_ms.saturating_neg()).unwrap_or_default();
        let furthest = behind.entry(off.number).or_default();
        *furthest = by_ms.max(*furthest);
    }
    // One of a majority, which is at least two, is no further behind than the second furthest.
    let mut behind: Vec<u64> = behind.into_values().collect();
    behind.sort_unstable_by(|a, b| b.cmp(a));
    let by_ms = behind.get(1).copied().unwrap_or_default();
    Millis(history.wall(window.0).0.saturating_sub(by_ms))
}

/// How far ahead nodes may have reported to be, in milliseconds.
struct Ahead {
    any: u64,
    /// All of any two or more.
    majority: u64,
}

impl Ahead {
    fn until(history: &History, at: Moment) -> Self {
        let before = (Moment(0), at);
        let clients = furthest(history, Side::Client, before, |by| by);
        let any = furthest(history, Side::Node, before, |by| by);
        let nodes = [any, furthest_two(history, before)];

        // What a node joins may lead it ahead of its own clock, but not of all clocks.
        let led = any.max(clients);
        let [any, majority] = nodes.map(|own| led.min(own.saturating_add(DRIFT_MS)));
        Self { any, majority }
    }
}

/// The earliest that a wall clock shows in `window`.
pub(super) fn earliest_shown(history: &History, side: Side, window: Window) -> Millis {
    let behind = behind(history, side, window);
    Millis(history.wall(window.0).0.saturating_sub(behind))
}

/// Whether the clock that a node reports may have gone back in `window`: it was set by more than a node holds back.
pub(super) fn may_have_gone_back(history: &History, window: Window) -> bool {
    let far = |off: &&ClockOff| off.by_ms.unsigned_abs() > DRIFT_MS - USUAL_MS;
    let nodes = history.clocks_off.iter().filter(|o| o.side == Side::Node);
    let mut set = nodes.filter(far).flat_map(|off| [off.from, off.until]);
    set.any(|at| window.0 <= at && at <= window.1)
}

fn behind(history: &History, side: Side, window: Window) -> u64 {
    furthest(history, side, window, i64::saturating_neg)
}

/// By how many milliseconds a clock was off in `window` at most, in one direction.
fn furthest(history: &History, side: Side, window: Window, way: impl Fn(i64) -> i64) -> u64 {
    let most = met(history, side, window).map(|off| way(off.by_ms)).max();
    u64::try_from(most.unwrap_or_default()).unwrap_or_default()
}

/// By how many milliseconds two different nodes were ahead in `window`, both of them, so that both may have answered one
/// reader.
fn furthest_two(history: &History, window: Window) -> u64 {
    let late = LATE_MS * 1_000;
    let mut most = 0;
    for one in met(history, Side::Node, window) {
        for other in met(history, Side::Node, window) {
            let at_once =
                one.from <= other.until.after(late) && other.from <= one.until.after(late);
            if one.number < other.number && at_once {
                most = most.max(one.by_ms.min(other.by_ms));
            }
        }
    }
    u64::try_from(most).unwrap_or_default()
}

/// The clocks of a side that were off in `window`.
fn met(history: &History, side: Side, window: Window) -> impl Iterator<Item = &ClockOff> {
    let meets =
        move |off: &&ClockOff| off.side == side && off.from <= window.1 && window.0 <= off.until;
    history.clocks_off.iter().filter(meets)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Different clocks that were off from 1 s to 2 s.
    fn history(off: &[(Side, i64)]) -> History {
        let clocks = off.iter().enumerate();
        of(clocks.map(|(number, &(side, by_ms))| clock(number, side, by_ms)))
    }

    fn clock(number: usize, side: Side, by_ms: i64) -> ClockOff {
        ClockOff {
            side,
            number,
            from: Moment(1_000_000),
            until: Moment(2_000_000),
            by_ms,
        }
    }

    fn of(off: impl IntoIterator<Item = ClockOff>) -> History {
        History {
            base: Millis(10_000),
            clocks_off: off.into_iter().collect(),
            ..History::default()
        }
    }

    const DURING: Window = (Moment(1_500_000), Moment(1_600_000));
    const AFTER: Window = (Moment(3_000_000), Moment(3_100_000));

    #[test]
    fn clocks_that_are_right_tell_the_time() {
        let right = history(&[]);
        assert_eq!(latest_taken(&right, Moment(2_000_999)), Millis(12_000));
        assert_eq!(earliest_taken(&right, DURING), Millis(11_500));
        assert_eq!(latest_counted(&right, DURING.1), Millis(11_600));
        assert!(!may_have_gone_back(&right, (Moment(0), AFTER.1)));
    }

    #[test]
    fn one_node_or_all_clients_far_ahead_lead_by_little_but_for_good() {
        const HOUR: i64 = 3_600_000;
        let (node, client) = ((Side::Node, HOUR), (Side::Client, HOUR));
        for (off, by) in [
            (&[node][..], 2 * DRIFT_MS),
            (&[client], DRIFT_MS),
            (&[node, (Side::Node, 80)], 2 * DRIFT_MS + 80),
            (&[(Side::Node, 80)], 80),
            (&[(Side::Node, 80), (Side::Client, 90)], 90),
            (&[node, node], HOUR.unsigned_abs()),
        ] {
            let ahead = history(off);
            let taken = latest_taken(&ahead, AFTER.1);
            assert_eq!(taken, Millis(13_100 + by), "{off:?}");
            assert_eq!(latest_taken(&ahead, Moment(500_000)), Millis(10_500));
        }
    }

    #[test]
    fn one_node_twice_or_two_nodes_at_different_times_are_no_majority() {
        const HOUR: i64 = 3_600_000;
        let later = |off: ClockOff| ClockOff {
            from: Moment(20_000_000),
            until: Moment(30_000_000),
            ..off
        };
        let fast = |number| clock(number, Side::Node, HOUR);
        let at = Moment(40_000_000);
        for (off, by) in [
            ([fast(1), fast(1)], 2 * DRIFT_MS),
            ([fast(1), later(fast(1))], 2 * DRIFT_MS),
            ([fast(1), later(fast(2))], 2 * DRIFT_MS),
            ([fast(1), fast(2)], HOUR.unsigned_abs()),
        ] {
            let taken = latest_taken(&of(off), at);
            assert_eq!(taken, Millis(50_000 + by), "{off:?}");
            let counted = latest_counted(&of(off), at);
            assert_eq!(counted, Millis(50_000 + by), "{off:?}");
        }
    }

    #[test]
    fn a_lifetime_counts_from_a_writers_clock_or_from_two_nodes_or_a_little_later() {
        let counted = |off: &[(Side, i64)]| latest_counted(&history(off), AFTER.1).0 - 13_100;
        assert_eq!(counted(&[(Side::Client, 700)]), 700);
        assert_eq!(counted(&[(Side::Node, 3_600_000)]), 2 * DRIFT_MS);
        let two = [(Side::Node, 3_000), (Side::Node, 2_000)];
        assert_eq!(counted(&two), 2_000 + DRIFT_MS);
    }

    #[test]
    fn a_lifetime_counts_from_the_nodes_where_its_writer_is_far_behind() {
        let counted = |off: &[(Side, i64)]| earliest_counted(&history(off), DURING).0;
        assert_eq!(counted(&[]), 11_500);
        assert_eq!(counted(&[(Side::Client, -200)]), 11_300);
        assert_eq!(counted(&[(Side::Client, -50_000)]), 11_500 - LATE_MS);
        assert_eq!(counted(&[(Side::Node, -50_000)]), 11_500);
    }

    #[test]
    fn nodes_that_are_behind_count_only_while_they_are_and_one_alone_or_a_reader_never() {
        let slow = |number| clock(number, Side::Node, -700);
        for alone in [of([slow(1)]), of([slow(1), slow(1)])] {
            assert_eq!(earliest_taken(&alone, DURING), Millis(11_500));
        }
        let nodes = of([slow(1), slow(2)]);
        assert_eq!(earliest_taken(&nodes, DURING), Millis(10_800));
        assert_eq!(earliest_taken(&nodes, AFTER), Millis(13_000));
        let clients = history(&[(Side::Client, -3_600_000)]);
        assert_eq!(earliest_taken(&clients, DURING), Millis(11_500));
        let clients = history(&[(Side::Client, -700)]);
        assert_eq!(
            earliest_shown(&clients, Side::Client, DURING),
            Millis(10_800)
        );
    }

    #[test]
    fn a_nodes_clock_may_go_back_when_it_is_set_far() {
        let near = history(&[(Side::Node, -300)]);
        let history = history(&[(Side::Node, 700), (Side::Client, 1)]);
        let at = |from, until| (Moment(from), Moment(until));
        assert!(may_have_gone_back(&history, at(0, 1_000_000)));
        assert!(!may_have_gone_back(&history, at(1_000_001, 1_999_999)));
        assert!(
            !may_have_gone_back(&near, at(0, 1_000_000)),
            "a small step is waited for"
        );
    }
}
