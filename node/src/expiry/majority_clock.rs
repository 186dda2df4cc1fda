//! The time that a majority of the members has reached. Pure.
//!
//! ```text
//!   clocks of 5 members:   n4 ---- n1 - n3 - | n2 ------------------- n5 --->  time
//!                                            |
//!   the mark is the allowed drift before ----'   3 of 5 have reached it, whatever n5 says
//! ```
//!
//! What a node kills is dead for the whole cluster, so its own clock must not decide alone. It keeps what the last answer of
//! each other member showed, and goes on from there with its monotonic time. An answer was under way for a while, so what
//! is kept is late and never early. A node's clock may be led ahead of its wall by the drift that it allows: hence the mark
//! lies that much before what a majority shows.
//!
//! A member that has not answered for a while does not count, and with fewer than a majority there is no mark: half of a
//! cluster that is cut in two kills nothing. A node asks one member a second (gossip), so the larger the cluster is the
//! longer an answer counts.
//!
//! Invariants: wrong clocks that are no majority never move the mark beyond all right ones, and it never falls. Left out:
//! which clock is wrong, and a mark that outlives the process: the next one begins without any.

use std::collections::BTreeMap;
use std::time::Duration;

use quoit_ring::{Millis, Moment, NodeId, Time};

/// How long an answer counts, at least.
const HEARD: Duration = Duration::from_secs(30);
/// How much longer for each member.
const HEARD_EACH: Duration = Duration::from_secs(4);

/// The clock of a member, as its last answer showed it.
#[derive(Debug, Clone, Copy)]
struct Reading {
    clock: Millis,
    at: Moment,
}

impl Reading {
    /// What the clock shows by now, if it goes right.
    const fn now(self, now: Moment) -> Millis {
        Millis(self.clock.0.saturating_add(now.since(self.at) / 1_000))
    }
}

/// The clocks of the members, and how far a majority has come.
#[derive(Debug)]
pub struct MajorityClock {
    heard: BTreeMap<NodeId, Reading>,
    max_drift_ms: u64,
    mark: Millis,
}

impl MajorityClock {
    /// Nobody was heard yet. Clocks may be led ahead by so many milliseconds.
    #[must_use]
    pub const fn new(max_drift_ms: u64) -> Self {
        Self {
            heard: BTreeMap::new(),
            max_drift_ms,
            mark: Millis(0),
        }
    }

    /// An answer of another node has come, with its clock; [`Time::ZERO`] says nothing.
    pub fn observe(&mut self, node: NodeId, clock: Time, at: Moment) {
        if clock != Time::ZERO {
            let clock = clock.millis();
            self.heard.insert(node, Reading { clock, at });
        }
    }

    /// The time that a majority of `members` has passed for certain, this node with the clock that it shows itself among them
    /// if it is one. None while fewer than a majority were heard.
    pub fn mark(
        &mut self,
        (node, clock): (NodeId, Time),
        members: &[NodeId],
        now: Moment,
    ) -> Option<Millis> {
        self.heard.retain(|node, _| members.contains(node));
        let count = u32::try_from(members.len()).unwrap_or(u32::MAX);
        let counts = HEARD.max(HEARD_EACH.saturating_mul(count));
        let mut clocks: Vec<Millis> = (self.heard.iter())
            .filter(|&(&other, reading)| {
                other != node && now.saturating_since(reading.at) <= counts
            })
            .map(|(_, reading)| reading.now(now))
            .collect();
        if members.contains(&node) {
            clocks.push(clock.millis());
        }

        clocks.sort_unstable_by(|a, b| b.cmp(a));
        let reached = *clocks.get(members.len() / 2)?; // of 5 members the third
        let mark = Millis(reached.0.saturating_sub(self.max_drift_ms));
        self.mark = self.mark.max(mark);
        Some(self.mark)
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const DRIFT: u64 = 500;
    const START: Moment = Moment(5_000_000);
    const T: u64 = 1_700_000_000_000;

    fn members(count: usize) -> Vec<NodeId> {
        (1..=count as u64).map(NodeId).collect()
    }

    fn time(ms: u64) -> Time {
        Time::at(Millis(ms))
    }

    /// The mark of node 1 of `clocks.len()` members with these clocks, all just heard.
    fn mark(clocks: &[u64]) -> Option<u64> {
        let mut majority = MajorityClock::new(DRIFT);
        for (node, &clock) in (1..).zip(clocks).skip(1) {
            majority.observe(NodeId(node), time(clock), START);
        }
        let own = (NodeId(1), time(clocks[0]));
        majority
            .mark(own, &members(clocks.len()), START)
            .map(|mark| mark.0)
    }

    #[test]
    fn the_mark_is_what_a_majority_has_reached_less_the_drift() {
        for (clocks, reached) in [
            (&[10_000][..], 10_000),
            (&[10_000, 90_000], 10_000),
            (&[10_000, 20_000, 90_000], 20_000),
            (&[90_000, 20_000, 10_000], 20_000),
            (&[1_000, 2_000, 3_000, 4_000], 2_000),
            (&[90_000, 2_000, 3_000, 4_000, 80_000], 4_000),
        ] {
            assert_eq!(mark(clocks), Some(reached - DRIFT), "{clocks:?}");
        }
    }

    #[test]
    fn with_fewer_than_a_majority_heard_there_is_no_mark() {
        let mut majority = MajorityClock::new(DRIFT);
        let own = (NodeId(1), time(T));
        assert_eq!(majority.mark(own, &members(3), START), None);
        majority.observe(NodeId(2), Time::ZERO, START);
        assert_eq!(majority.mark(own, &members(3), START), None, "says nothing");
        majority.observe(NodeId(9), time(T), START);
        assert_eq!(majority.mark(own, &members(3), START), None, "no member");
        majority.observe(NodeId(2), time(T), START);
        assert!(majority.mark(own, &members(3), START).is_some());
        let later = START + Duration::from_secs(31);
        let own = (NodeId(1), time(T + 31_000));
        assert_eq!(majority.mark(own, &members(3), later), None, "too long ago");
    }

    #[test]
    fn in_a_large_cluster_an_answer_counts_for_longer() {
        let mut majority = MajorityClock::new(DRIFT);
        let all = members(101);
        for &node in &all[1..51] {
            majority.observe(node, time(T), START);
        }
        let later = START + Duration::from_secs(400);
        let own = (NodeId(1), time(T + 400_000));
        let mark = majority.mark(own, &all, later);
        assert_eq!(mark, Some(Millis(T + 400_000 - DRIFT)), "and goes on");
    }

    #[test]
    fn a_node_that_is_no_member_does_not_count_itself() {
        let mut majority = MajorityClock::new(DRIFT);
        majority.observe(NodeId(2), time(T), START);
        let stranger = (NodeId(9), time(T));
        assert_eq!(majority.mark(stranger, &members(3), START), None);
        majority.observe(NodeId(3), time(T), START);
        assert!(majority.mark(stranger, &members(3), START).is_some());
    }

    proptest! {
        #[test]
        fn wrong_clocks_that_are_no_majority_move_the_mark_beyond_no_right_one(
            right in vec(0_u64..DRIFT, 1..7), wrong in vec(any::<u64>(), 0..6), first in any::<bool>(),
        ) {
            let wrong = &wrong[..wrong.len().min(right.len() - 1)];
            let right = right.iter().map(|error| T + error);
            let mut clocks: Vec<u64> = right.clone().chain(wrong.iter().map(|ms| ms >> 16)).collect();
            if first {
                clocks.reverse(); // this node's own is a wrong one
            }
            let mark = mark(&clocks).unwrap();
            prop_assert!(mark <= right.clone().max().unwrap() - DRIFT);
            prop_assert!(mark >= right.min().unwrap() - DRIFT, "and they hold nothing up");
        }

        #[test]
        fn the_mark_never_falls(
            steps in vec((2_u64..6, 0_u64..100_000, 0_u64..20_000_000, 0_u64..100_000), 1..40), count in 1_usize..6,
        ) {
            let (mut majority, mut now, mut last) = (MajorityClock::new(DRIFT), START, Millis(0));
            for (node, clock, passed, own) in steps {
                now = now.after(passed);
                majority.observe(NodeId(node), time(clock), now);
                if let Some(mark) = majority.mark((NodeId(1), time(own)), &members(count), now) {
                    prop_assert!(mark >= last);
                    last = mark;
                }
            }
        }
    }
}
