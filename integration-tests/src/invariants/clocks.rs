//! Bounds on what nodes and readers may take as the time, in a run with wrong clocks.
//!
//! ```text
//!   a node reports    at least its wall clock, at most what any wall clock led it to, and that no more than
//!                     the drift ahead of its own
//!   a reader takes    the latest that the nodes reported, but no more than the drift ahead of its own clock
//! ```
//!
//! So a node that is behind makes values live longer only while it is, and one that is ahead ends no
//! values early: of clients and nodes both would have to be ahead. Left out: which of them was asked.
//!
//! Source: Kulkarni et al., *Logical Physical Clocks* (2014), for a clock that follows others within a bound.

use quoit_ring::{Millis, Moment};

use crate::history::{ClockOff, History, Side};

/// How far a clock is believed to be ahead of one's own, in milliseconds: the default of clients and nodes.
pub(super) const DRIFT_MS: u64 = 500;

/// How far a clock that is kept in order is off at most: a step to or from another error is as much longer.
const USUAL_MS: u64 = 200;

/// A stretch of time.
pub(super) type Window = (Moment, Moment);

/// The latest that anybody may take for the time until `at`.
pub(super) fn latest_taken(history: &History, at: Moment) -> Millis {
    let before = (Moment(0), at);
    let ahead = |side| furthest(history, side, before, |by| by);
    let (nodes, clients) = (ahead(Side::Node), ahead(Side::Client));
    let both = nodes.min(clients).saturating_add(DRIFT_MS);
    let ahead = nodes.max(clients).min(both);
    Millis(history.wall(at).0.saturating_add(ahead))
}

/// The earliest that a quorum read under way in `window` takes for the time.
pub(super) fn earliest_taken(history: &History, window: Window) -> Millis {
    let nodes = behind(history, Side::Node, window);
    let reader = behind(history, Side::Client, window).saturating_sub(DRIFT_MS);
    Millis(history.wall(window.0).0.saturating_sub(nodes.max(reader)))
}

/// What a reader under way in `window` believes at least, if a node reports it.
pub(super) fn believed(history: &History, window: Window) -> Millis {
    let reader = earliest_shown(history, Side::Client, window).0;
    Millis(reader.saturating_add(DRIFT_MS))
}

/// The earliest that a wall clock shows in `window`.
pub(super) fn earliest_shown(history: &History, side: Side, window: Window) -> Millis {
    let behind = behind(history, side, window);
    Millis(history.wall(window.0).0.saturating_sub(behind))
}

/// The latest that a wall clock shows in `window`.
pub(super) fn latest_shown(history: &History, side: Side, window: Window) -> Millis {
    let ahead = furthest(history, side, window, |by| by);
    Millis(history.wall(window.1).0.saturating_add(ahead))
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
    let meets = |off: &&ClockOff| off.side == side && off.from <= window.1 && window.0 <= off.until;
    let off = history.clocks_off.iter().filter(meets);
    let most = off.map(|off| way(off.by_ms)).max().unwrap_or_default();
    u64::try_from(most).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Clocks that were off from 1 s to 2 s.
    fn history(off: &[(Side, i64)]) -> History {
        let clock = |&(side, by_ms): &(Side, i64)| ClockOff {
            side,
            from: Moment(1_000_000),
            until: Moment(2_000_000),
            by_ms,
        };
        History {
            base: Millis(10_000),
            clocks_off: off.iter().map(clock).collect(),
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
        assert_eq!(latest_shown(&right, Side::Node, DURING), Millis(11_600));
        assert!(!may_have_gone_back(&right, (Moment(0), AFTER.1)));
    }

    #[test]
    fn one_side_that_is_far_ahead_leads_by_the_drift_alone_but_for_good() {
        for side in [Side::Node, Side::Client] {
            let ahead = history(&[(side, 3_600_000)]);
            assert_eq!(latest_taken(&ahead, AFTER.1), Millis(13_100 + DRIFT_MS));
            assert_eq!(latest_taken(&ahead, Moment(500_000)), Millis(10_500));
        }

        let little = history(&[(Side::Node, 80)]);
        assert_eq!(latest_taken(&little, AFTER.1), Millis(13_180));
        let both = history(&[(Side::Node, 2_000), (Side::Client, 900)]);
        assert_eq!(
            latest_taken(&both, AFTER.1),
            Millis(13_100 + 900 + DRIFT_MS)
        );
    }

    #[test]
    fn a_clock_that_is_behind_counts_only_while_it_is() {
        let nodes = history(&[(Side::Node, -700)]);
        assert_eq!(earliest_taken(&nodes, DURING), Millis(10_800));
        assert_eq!(earliest_taken(&nodes, AFTER), Millis(13_000));
        assert_eq!(believed(&nodes, DURING), Millis(11_500 + DRIFT_MS));
        let clients = history(&[(Side::Client, -700)]);
        assert_eq!(earliest_taken(&clients, DURING), Millis(11_300));
        assert_eq!(believed(&clients, DURING), Millis(11_300));
        assert_eq!(
            earliest_shown(&clients, Side::Client, DURING),
            Millis(10_800)
        );
        assert_eq!(earliest_shown(&clients, Side::Node, DURING), Millis(11_500));
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
