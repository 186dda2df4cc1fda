//! The nodes' clocks, by the latest answer of each. Pure.
//!
//! ```text
//!   reached by 2 of 3:        n3 ------- n1 - | - n2 --->  time      the second latest of them
//!
//!   this machine's clock      |-- 2 x drift --|-- drift --|          within these bounds writes go out;
//!                             too slow      reached     too fast     a lifetime begins at the later of both
//! ```
//!
//! What counts is what *so many nodes have reached*: of a key's owners a majority for reads and lifetimes, W for
//! whether a write can be stored. So no minority of broken clocks, slow or fast, decides alone, and this machine's
//! clock decides nothing beyond the drift. A node's clock may be led ahead of its wall by the drift that it allows,
//! so a machine is slow for certain only beyond twice that.
//!
//! Between answers a node's clock goes on with this process's monotonic time. An answer that was long under way
//! makes its node look slow until the next one: this is good enough to notice a skew, and
//! [`clock_check`](crate::operation::clock_check) asks again before anything is refused for it.
//!
//! Invariant: a clock of [`Time::ZERO`] says nothing. Left out: round trips, and which node is wrong.

use std::collections::BTreeMap;

use quoit_ring::{Millis, Moment, NodeId, Time};
use smallvec::SmallVec;

use crate::error::ClockSkew;

/// What each node's clock showed.
#[derive(Debug, Default)]
pub(crate) struct NodeClocks {
    /// Milliseconds between the start of monotonic time and the node's clock.
    ahead_ms: BTreeMap<NodeId, u64>,
}

impl NodeClocks {
    /// Takes the clock of an answer that has just come.
    pub(crate) fn observe(&mut self, node: NodeId, clock: Time, at: Moment) {
        if clock != Time::ZERO {
            let ahead = clock.millis().0.wrapping_sub(at.0 / 1_000);
            self.ahead_ms.insert(node, ahead);
        }
    }

    /// What the clocks of these nodes show, as far as they are known.
    pub(crate) fn of(&self, nodes: &[NodeId], at: Moment) -> Known {
        let mut known = Known(SmallVec::new());
        for node in nodes {
            if let Some(ahead) = self.ahead_ms.get(node) {
                known.0.push(ahead.wrapping_add(at.0 / 1_000));
            }
        }
        known.0.sort_unstable_by(|a, b| b.cmp(a));
        known
    }
}

/// Clocks at one moment, the latest first.
#[derive(Debug)]
pub(crate) struct Known(SmallVec<[u64; 5]>);

impl Known {
    /// The latest time that `count` of them have reached; `None` if they are fewer.
    pub(crate) fn reached(&self, count: usize) -> Option<Millis> {
        debug_assert!(count > 0, "of none nothing is known");
        self.0.get(count - 1).copied().map(Millis)
    }
}

/// What a write has to know of the clocks of its owners; what is unknown is taken to be in order.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reached {
    /// What a majority of them has reached.
    pub(crate) majority: Option<Millis>,
    /// What W of them have reached, at the latest.
    pub(crate) w: Option<Millis>,
}

impl Reached {
    /// The time from which a lifetime counts, by a wall clock that differs from the nodes' by little.
    ///
    /// # Errors
    /// [`ClockSkew`] if it differs by more: fewer than W nodes would take the write, or it would lose against writes
    /// that were made before it.
    pub(crate) fn present(self, wall: Millis, max_drift_ms: u64) -> Result<Millis, ClockSkew> {
        let ahead_ms = self.w.map_or(0, |w| wall.0.saturating_sub(w.0));
        if ahead_ms > max_drift_ms {
            let max_ms = max_drift_ms;
            return Err(ClockSkew::Ahead { ahead_ms, max_ms });
        }

        let majority = self.majority.unwrap_or(wall);
        let (behind_ms, max_ms) = (majority.0.saturating_sub(wall.0), 2 * max_drift_ms);
        if behind_ms > max_ms {
            return Err(ClockSkew::Behind { behind_ms, max_ms });
        }
        Ok(wall.max(majority))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NODES: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];
    const AT: Moment = Moment(7_000_000);

    fn clocks(of: &[(u64, u64)]) -> NodeClocks {
        let mut clocks = NodeClocks::default();
        for &(node, ms) in of {
            clocks.observe(NodeId(node), Time::at(Millis(ms)), AT);
        }
        clocks
    }

    #[test]
    fn a_clock_goes_on_between_answers_and_the_latest_answer_counts() {
        let mut clocks = clocks(&[(1, 90_000), (1, 50_000)]);
        let reached = |clocks: &NodeClocks, at| clocks.of(&NODES[..1], at).reached(1);
        assert_eq!(reached(&clocks, AT), Some(Millis(50_000)));
        assert_eq!(reached(&clocks, AT.after(2_500_000)), Some(Millis(52_500)));
        clocks.observe(NodeId(1), Time::ZERO, AT);
        assert_eq!(
            reached(&clocks, AT),
            Some(Millis(50_000)),
            "zero says nothing"
        );
        // A node whose clock shows less than this process has run.
        clocks.observe(NodeId(1), Time::at(Millis(3_000)), AT);
        assert_eq!(reached(&clocks, AT), Some(Millis(3_000)));
    }

    #[test]
    fn one_clock_of_three_decides_nothing_alone() {
        let hour = 3_600_000;
        for broken in [1, 90_000 + hour] {
            let clocks = clocks(&[(1, broken), (2, 90_000), (3, 90_010)]);
            let reached = clocks.of(&NODES, AT).reached(2).unwrap();
            assert!((90_000..=90_010).contains(&reached.0), "{reached:?}");
        }
        assert_eq!(clocks(&[(2, 90_000)]).of(&NODES, AT).reached(2), None);
    }

    #[test]
    fn a_wall_clock_out_of_bounds_is_named_with_its_side_and_milliseconds() {
        let reached = Reached {
            majority: Some(Millis(10_000)),
            w: Some(Millis(10_000)),
        };
        let present = |wall| reached.present(Millis(wall), 500);
        assert_eq!(present(10_500), Ok(Millis(10_500)));
        assert_eq!(present(9_000), Ok(Millis(10_000)));
        let (ahead_ms, behind_ms) = (501, 1_001);
        let ahead = ClockSkew::Ahead {
            ahead_ms,
            max_ms: 500,
        };
        assert_eq!(present(10_501), Err(ahead));
        let behind = ClockSkew::Behind {
            behind_ms,
            max_ms: 1_000,
        };
        assert_eq!(present(8_999), Err(behind));
        assert!(ahead.to_string().contains("501 ms ahead"));
        assert!(behind.to_string().contains("1001 ms behind"));
        let unknown = Reached {
            majority: None,
            w: None,
        };
        assert_eq!(unknown.present(Millis(5), 500), Ok(Millis(5)));
    }

    proptest! {
        #[test]
        fn so_many_nodes_have_reached_it_and_fewer_anything_later(
            walls in proptest::collection::vec(1_u64..1 << 40, 1..7),
            count in 1_usize..7,
        ) {
            let count = count.min(walls.len());
            let nodes: Vec<NodeId> = (1..=walls.len() as u64).map(NodeId).collect();
            let of: Vec<_> = walls.iter().enumerate().map(|(i, &ms)| (i as u64 + 1, ms)).collect();
            let reached = clocks(&of).of(&nodes, AT).reached(count).unwrap().0;
            prop_assert!(walls.iter().filter(|&&wall| wall >= reached).count() >= count);
            prop_assert!(walls.iter().filter(|&&wall| wall > reached).count() < count);
        }

        #[test]
        fn a_lifetime_begins_within_the_drift_of_the_wall_clock_and_of_a_majority(
            wall in 1_u64..1 << 40, apart in -3_000_i64..3_000,
        ) {
            let majority = Millis(wall.saturating_add_signed(apart));
            let reached = Reached { majority: Some(majority), w: Some(majority) };
            if let Ok(present) = reached.present(Millis(wall), 500) {
                prop_assert!(present >= Millis(wall) && present >= majority);
                prop_assert!(present.0 - majority.0 <= 500 && present.0 - wall <= 1_000);
            }
        }
    }
}
