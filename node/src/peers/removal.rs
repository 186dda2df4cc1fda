//! Whether this node was removed while it was away.
//!
//! ```text
//!   members that it knows   n1 n2 n3 n4        it is n1
//!   closed as removed          x  x            most of the others say so: it was
//!
//!   or it still learns of a later epoch, in which it is none any more
//! ```
//!
//! One member may be wrong, or lie; most of them could as well write it off. Such a node has nothing to hand over that anybody
//! would take, and ends. One that leaves learns of that while it does: it goes on, and is stopped by whoever had it leave.
//!
//! Source: Raft's removed servers (Ongaro's dissertation, 4.2.3), which go on to call elections that nobody answers.

use std::collections::BTreeSet;

use quoit_ring::change::rules::majority;
use quoit_ring::{Epoch, NodeId};

use crate::cluster::ClusterView;

/// What speaks for it.
#[derive(Debug)]
pub(crate) struct Removal {
    said_by: BTreeSet<NodeId>,
    /// The newest epoch that was looked at.
    epoch: Epoch,
    /// Whether this node has seen itself leave.
    leaves: bool,
}

impl Removal {
    pub(crate) const fn new() -> Self {
        Self {
            said_by: BTreeSet::new(),
            epoch: Epoch(0),
            leaves: false,
        }
    }

    /// Looks at the newest epoch, if that is a later one; whether this node was removed before it learned of that.
    pub(crate) fn follow(&mut self, cluster: &ClusterView) -> bool {
        let newest = cluster.newest();
        if newest.epoch() == self.epoch {
            return false;
        }
        self.epoch = newest.epoch();
        self.leaves |= newest.configuration().change.is_some() && cluster.is_leaving();
        cluster.is_removed(cluster.node) && !self.leaves
    }

    /// A member says so; whether that is enough.
    pub(crate) fn said(&mut self, by: NodeId, cluster: &ClusterView) -> bool {
        if self.leaves {
            return false;
        }
        self.said_by.insert(by);
        let newest = cluster.newest();
        let members = newest.topology().members().map(|member| member.id);
        let others: Vec<NodeId> = members
            .filter(|&id| id != cluster.node && !cluster.is_removed(id))
            .collect();
        let say_so = others.iter().filter(|id| self.said_by.contains(id)).count();
        !others.is_empty() && say_so >= majority(others.len())
    }
}

#[cfg(test)]
mod tests {
    use quoit_ring::change::{Arcs, Known};

    use super::*;
    use crate::testing::{SELF, ring};

    #[test]
    fn most_of_the_other_members_must_say_so_and_each_counts_once() {
        let cluster = ClusterView::new(SELF, Known::of(ring(5)));
        let mut removal = Removal::new();
        let others = (1..=5).map(NodeId).filter(|id| *id != SELF);
        let others: Vec<NodeId> = others.collect();
        let stranger = NodeId(77);
        let says = [others[0], others[0], stranger, others[1]];
        for by in says {
            assert!(!removal.said(by, &cluster), "{by}");
        }
        assert!(removal.said(others[2], &cluster));
    }

    /// The epochs in which this node leaves a ring of two.
    fn left() -> (ClusterView, [Known; 2]) {
        let first = Known::of(ring(2));
        let now = first.configuration();
        let mut target = now.map.clone();
        target.members.retain(|member| member.id != SELF);
        let begun = now.begin(target, Arcs::new(1).unwrap()).unwrap();
        let begun = first.later(begun).unwrap();
        let after = begun.later(begun.configuration().step().unwrap()).unwrap();
        (ClusterView::new(SELF, first), [begun, after])
    }

    #[test]
    fn one_that_sees_itself_leave_goes_on_and_one_that_was_away_does_not() {
        let (cluster, [begun, after]) = left();
        let mut removal = Removal::new();
        assert!(!removal.follow(&cluster));
        assert!(cluster.learn(begun, true) && !removal.follow(&cluster));
        assert!(cluster.learn(after, true) && !removal.follow(&cluster));
        assert!(!removal.said(NodeId(2), &cluster));

        let (cluster, [_, after]) = left();
        let mut removal = Removal::new();
        assert!(!removal.follow(&cluster));
        assert!(cluster.learn(after, true) && removal.follow(&cluster));
    }
}
