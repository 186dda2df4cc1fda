//! When a node syncs with which other.
//!
//! ```text
//!   start, a new epoch    with all, at once, in random order
//!   a member is back      with that one: by the node with the lower id of the two
//!   equal                 again after the interval, give or take a quarter
//!   failed                again after a second, then ever later, up to half the interval; sooner if it got on
//!   an order              with all, at once, until it is done; without an interval that is all
//! ```
//!
//! Both nodes of a pair do this, each on its own, so one that is wrong about its own data is found by the other. While a peer
//! goes through what differs, this node leaves that to the peer, once in a row: both would send the same.

use std::collections::BTreeMap;
use std::time::Duration;

use quoit_ring::{Moment, NodeId};
use rand::Rng;

use super::session::Ended;

/// The first rest after a sync that failed; each further one in a row is twice as long.
const FIRST_REST: Duration = Duration::from_secs(1);

/// For how long after its last question about what differs a peer counts as going through that.
pub(super) const HEARD: Duration = Duration::from_secs(3);

/// The longest rest where there is no interval.
const LONGEST_REST: Duration = Duration::from_secs(60);

const NEVER: Moment = Moment(u64::MAX);

#[derive(Debug, Clone, Copy)]
struct Due {
    at: Moment,
    failures: u32,
    /// An operator wants it, and it has not been done since.
    is_ordered: bool,
    /// It was left to the peer the last time.
    has_yielded: bool,
}

impl Due {
    const fn at(at: Moment) -> Self {
        Self {
            at,
            failures: 0,
            is_ordered: false,
            has_yielded: false,
        }
    }
}

/// When which peer is due.
#[derive(Debug)]
pub(super) struct Schedule {
    interval: Duration,
    due: BTreeMap<NodeId, Due>,
}

impl Schedule {
    pub(super) const fn new(interval: Duration) -> Self {
        Self {
            interval,
            due: BTreeMap::new(),
        }
    }

    const fn is_off(&self) -> bool {
        self.interval.is_zero()
    }

    /// An epoch begins, with these peers: all are due within a moment, in random order.
    pub(super) fn begin_epoch(
        &mut self,
        peers: impl Iterator<Item = NodeId>,
        now: Moment,
        rng: &mut impl Rng,
    ) {
        let before = core::mem::take(&mut self.due);
        let is_off = self.is_off();
        let due = |peer: NodeId| {
            let is_ordered = before.get(&peer).is_some_and(|due| due.is_ordered);
            let at = if is_off && !is_ordered {
                NEVER
            } else {
                now + random(FIRST_REST, rng)
            };
            let due = Due {
                is_ordered,
                ..Due::at(at)
            };
            (peer, due)
        };
        self.due = peers.map(due).collect();
    }

    /// All are due.
    pub(super) fn all_now(&mut self, now: Moment) {
        for due in self.due.values_mut() {
            *due = Due {
                is_ordered: true,
                ..Due::at(now)
            };
        }
    }

    /// This one is due, if it is a peer.
    pub(super) fn now(&mut self, peer: NodeId, now: Moment) {
        let is_off = self.is_off();
        if let Some(due) = self.due.get_mut(&peer).filter(|_| !is_off) {
            due.at = due.at.min(now);
            due.failures = 0;
        }
    }

    /// The peer that has been due for longest.
    pub(super) fn next(&self, now: Moment) -> Option<NodeId> {
        let due = self.due.iter().filter(|(_, due)| due.at <= now);
        due.min_by_key(|(_, due)| due.at).map(|(&peer, _)| peer)
    }

    /// Leaves a peer for now that goes through what differs, unless it was left the last time; whether it is.
    pub(super) fn yields_to(&mut self, peer: NodeId, now: Moment, rng: &mut impl Rng) -> bool {
        let due = self.due.get_mut(&peer).filter(|due| !due.has_yielded);
        let yields = due.is_some();
        if let Some(due) = due {
            due.has_yielded = true;
            due.at = now + HEARD + random(FIRST_REST, rng);
        }
        yields
    }

    /// Leaves a peer that cannot be reached, until it is back or the interval is over.
    pub(super) fn is_away(&mut self, peer: NodeId, now: Moment, rng: &mut impl Rng) {
        let rest = self.rest(rng);
        if let Some(due) = self.due.get_mut(&peer) {
            due.at = now + rest.max(FIRST_REST);
        }
    }

    /// A sync has ended, and has moved something or not.
    pub(super) fn ended(
        &mut self,
        peer: NodeId,
        (how, got_on): (Ended, bool),
        now: Moment,
        rng: &mut impl Rng,
    ) {
        let (is_off, rest) = (self.is_off(), self.rest(rng));
        let Some(due) = self.due.get_mut(&peer) else {
            return;
        };
        due.has_yielded = false;
        if let Ended::Failed(_) = how {
            due.failures = if got_on { 1 } else { due.failures + 1 };
            let doubled = FIRST_REST.saturating_mul(1 << due.failures.min(10));
            let longest = if is_off { LONGEST_REST } else { self.interval };
            let rest = doubled.min(longest) / 2 + random(FIRST_REST, rng);
            due.at = if is_off && !due.is_ordered {
                NEVER
            } else {
                now + rest
            };
        } else {
            *due = Due::at(if is_off { NEVER } else { now + rest });
        }
    }

    /// From one sync to the next.
    fn rest(&self, rng: &mut impl Rng) -> Duration {
        self.interval * 3 / 4 + random(self.interval / 2, rng)
    }
}

/// Up to so long.
fn random(most: Duration, rng: &mut impl Rng) -> Duration {
    most.mul_f64(rng.random())
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::SmallRng;

    use super::*;
    use crate::sync::session::Failure;

    const EQUAL: (Ended, bool) = (Ended::Equal, false);
    const MINUTE: Duration = Duration::from_secs(60);
    const START: Moment = Moment(1_000_000);

    fn schedule() -> (Schedule, SmallRng) {
        let (mut schedule, mut rng) = (Schedule::new(MINUTE), SmallRng::seed_from_u64(1));
        schedule.begin_epoch([2, 3].map(NodeId).into_iter(), START, &mut rng);
        (schedule, rng)
    }

    #[test]
    fn all_are_due_within_a_second_of_a_start_and_again_after_about_the_interval() {
        let (mut schedule, mut rng) = schedule();
        let soon = START + FIRST_REST;
        for _ in 0..2 {
            let peer = schedule.next(soon).unwrap();
            schedule.ended(peer, EQUAL, soon, &mut rng);
        }
        assert_eq!(schedule.next(soon + (MINUTE * 3 / 4 - FIRST_REST)), None);
        assert!(schedule.next(soon + MINUTE * 5 / 4).is_some());
    }

    #[test]
    fn one_that_fails_is_tried_ever_less_often_and_no_less_than_others() {
        let (mut schedule, mut rng) = schedule();
        let (mut now, mut tries) = (START, 0);
        let failed = Ended::Failed(Failure::Silent);
        while now < START + 20 * MINUTE {
            if let Some(peer) = schedule.next(now) {
                schedule.ended(peer, (failed, false), now, &mut rng);
                tries += u32::from(peer == NodeId(2));
            }
            now += FIRST_REST / 4;
        }
        assert!((30..60).contains(&tries), "{tries}");
    }

    #[test]
    fn without_an_interval_only_an_order_begins_anything() {
        let (mut schedule, mut rng) = (Schedule::new(Duration::ZERO), SmallRng::seed_from_u64(1));
        schedule.begin_epoch([2].map(NodeId).into_iter(), START, &mut rng);
        schedule.now(NodeId(2), START);
        assert_eq!(schedule.next(START + 100 * MINUTE), None);
        schedule.all_now(START);
        assert_eq!(schedule.next(START), Some(NodeId(2)));
        let silent = (Ended::Failed(Failure::Silent), false);
        schedule.ended(NodeId(2), silent, START, &mut rng);
        schedule.begin_epoch([2].map(NodeId).into_iter(), START, &mut rng);
        assert!(
            schedule.next(START + MINUTE).is_some(),
            "it is still to be done"
        );
        schedule.ended(NodeId(2), EQUAL, START, &mut rng);
        assert_eq!(schedule.next(START + 100 * MINUTE), None);
    }

    #[test]
    fn a_member_that_is_back_is_due_and_a_stranger_is_not() {
        let (mut schedule, mut rng) = schedule();
        for peer in [2, 3].map(NodeId) {
            schedule.ended(peer, EQUAL, START, &mut rng);
        }
        schedule.now(NodeId(3), START);
        schedule.now(NodeId(9), START);
        assert_eq!(schedule.next(START), Some(NodeId(3)));
        schedule.all_now(START);
        assert!(schedule.next(START).is_some());
    }

    #[test]
    fn a_peer_is_left_to_go_through_what_differs_once_in_a_row() {
        let (mut schedule, mut rng) = schedule();
        let peer = NodeId(3);
        assert!(schedule.yields_to(peer, START, &mut rng));
        assert!(
            !schedule.yields_to(peer, START, &mut rng),
            "or it would never be looked at from here"
        );
        schedule.ended(peer, EQUAL, START, &mut rng);
        assert!(schedule.yields_to(peer, START, &mut rng));
        schedule.ended(NodeId(2), EQUAL, START, &mut rng);
        assert_eq!(schedule.next(START + (HEARD - FIRST_REST)), None);
    }

    #[test]
    fn one_that_got_on_is_tried_again_soon() {
        let (mut schedule, mut rng) = schedule();
        for _ in 0..20 {
            let silent = (Ended::Failed(Failure::Silent), true);
            for peer in [2, 3].map(NodeId) {
                schedule.ended(peer, silent, START, &mut rng);
            }
            assert!(schedule.next(START + 2 * FIRST_REST).is_some());
        }
    }
}
