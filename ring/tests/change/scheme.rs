//! What is checked: the lists, and which rules hold.

use quoit_ring::NodeId;
use quoit_ring::change::rules::majority;
use quoit_ring::change::{OwnerSet, Quorums, RangeChange};

/// The lists in which an epoch counts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) write: Quorums,
    pub(crate) read: Quorums,
    /// Of those who must hold what a read returns.
    pub(crate) hold: Quorums,
}

impl Counts {
    pub(crate) const fn all(quorums: Quorums) -> Self {
        Self {
            write: quorums,
            read: quorums,
            hold: quorums,
        }
    }
}

/// How many old owners a rule asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// As the shipped rule says.
    Rule,
    /// So many: a defect.
    Only(usize),
}

/// One change of one range, and the rules by which it is made. Nodes are numbered: those of the old list first.
#[derive(Debug, Clone)]
pub(crate) struct Scheme {
    pub(crate) old: Vec<NodeId>,
    pub(crate) new: Vec<NodeId>,
    pub(crate) nodes: Vec<NodeId>,
    pub(crate) epochs: [Counts; 3],
    /// How many old owners are fenced before the last epoch is decided.
    pub(crate) fence: Need,
    /// From how many each receiver pulls.
    pub(crate) pulls: Need,
    pub(crate) pulls_behind_fences: bool,
    /// Whether the fence is checked where a write is joined, not where it arrives.
    pub(crate) checks_at_join: bool,
}

impl Scheme {
    /// The shipped rules for a change from `old` to `new`.
    pub(crate) fn of(old: &[u64], new: &[u64]) -> Self {
        let ids = |list: &[u64]| list.iter().copied().map(NodeId).collect::<Vec<_>>();
        let (old, new) = (ids(old), ids(new));
        let mut nodes = old.clone();
        nodes.extend(new.iter().filter(|node| !old.contains(node)));

        let set = |list: &[NodeId]| -> OwnerSet {
            let place = |node| nodes.iter().position(|other| other == node);
            list.iter().filter_map(place).collect()
        };
        let one = |list: &[NodeId]| Counts::all(Quorums::both(set(list), OwnerSet::NONE));
        let both = Counts::all(Quorums::both(set(&old), set(&new)));
        Self {
            epochs: [one(&old), both, one(&new)],
            old,
            new,
            nodes,
            fence: Need::Rule,
            pulls: Need::Rule,
            pulls_behind_fences: true,
            checks_at_join: true,
        }
    }

    pub(crate) fn range(&self) -> RangeChange<'_> {
        RangeChange {
            old: &self.old,
            new: &self.new,
            lost: &[],
        }
    }

    pub(crate) fn place(&self, node: NodeId) -> usize {
        let mut nodes = self.nodes.iter();
        nodes.position(|&other| other == node).unwrap()
    }

    /// How many sources a receiver needs at most.
    pub(crate) fn sources_needed(&self) -> usize {
        match self.pulls {
            Need::Rule => majority(self.old.len()),
            Need::Only(count) => count,
        }
    }

    /// Whether the old list is fenced, if these nodes are.
    pub(crate) fn is_fenced(&self, is_fenced: impl Fn(usize) -> bool) -> bool {
        match self.fence {
            Need::Rule => self.range().is_fenced(|node| is_fenced(self.place(node))),
            Need::Only(count) => {
                (0..self.old.len()).filter(|&node| is_fenced(node)).count() >= count
            }
        }
    }

    /// Whether all receivers are complete, if these have pulled from those.
    pub(crate) fn is_complete(&self, has_pulled: impl Fn(usize, usize) -> bool) -> bool {
        let has_pulled = |receiver, source| has_pulled(self.place(receiver), self.place(source));
        match self.pulls {
            Need::Rule => self.range().is_complete(has_pulled),
            Need::Only(count) => self.range().receivers().all(|receiver| {
                let pulled = self
                    .old
                    .iter()
                    .filter(|&&source| has_pulled(receiver, source));
                pulled.count() >= count
            }),
        }
    }
}
