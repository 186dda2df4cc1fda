//! The owners of the one key that is looked at, in each epoch that was decided: by the shipped topology.

use std::sync::Arc;

use quoit_ring::change::rules::majority;
use quoit_ring::change::{Configuration, OwnerSet, Quorums, RangeChange, Topology};
use quoit_ring::{Leaf, NodeId, Ring};

/// Where the key lies: on the first of two arcs.
const LEAF: Leaf = Leaf(9);

/// What a node is to the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    None,
    /// In the only list, or the old one.
    Owner,
    /// In the new list alone.
    Newcomer,
}

#[derive(Debug, Clone)]
pub(crate) struct Lists {
    pub(crate) old: Vec<NodeId>,
    pub(crate) new: Option<Vec<NodeId>>,
    /// Those of either, each once.
    pub(crate) owners: Vec<NodeId>,
    both: Quorums,
}

impl Lists {
    pub(crate) fn of(configuration: &Configuration) -> Self {
        let ring = |map| Arc::new(Ring::new(map).unwrap());
        let source = ring(&configuration.map);
        let stable = Topology::stable(Arc::clone(&source), configuration.epoch);
        let target = configuration.change.as_ref();
        let target = target.map(|change| (ring(&change.target), change.hand));
        let topology = match target.clone() {
            Some((target, hand)) => stable.changing(target, hand, configuration.epoch).unwrap(),
            None => stable,
        };

        let lists = topology.lists_of_leaf(LEAF);
        let owners: Vec<NodeId> = lists.owners().collect();
        let both = lists.quorums(&owners);
        let list = |ring: &Ring| ring.list_of_leaf(LEAF).owners().collect::<Vec<_>>();
        let new = target
            .filter(|_| lists.is_joint())
            .map(|(ring, _)| list(&ring));
        let old = match &new {
            Some(_) => list(&source),
            None => owners.clone(),
        };
        Self {
            old,
            new,
            owners,
            both,
        }
    }

    pub(crate) fn role(&self, node: NodeId) -> Role {
        if self.old.contains(&node) {
            Role::Owner
        } else if self.owners.contains(&node) {
            Role::Newcomer
        } else {
            Role::None
        }
    }

    /// The range as it moves, if it does.
    pub(crate) fn range(&self) -> Option<RangeChange<'_>> {
        let new = self.new.as_deref()?;
        Some(RangeChange {
            old: &self.old,
            new,
            lost: &[],
        })
    }

    fn set(&self, is_in: impl Fn(NodeId) -> bool) -> OwnerSet {
        let numbered = self.owners.iter().enumerate();
        let its = numbered.filter(|(_, node)| is_in(**node));
        its.map(|(number, _)| number).collect()
    }

    fn one(&self, list: &[NodeId]) -> Quorums {
        Quorums::both(self.set(|node| list.contains(&node)), OwnerSet::NONE)
    }

    /// Both lists; the old one alone; the new one alone.
    pub(crate) fn counted(&self, count: Count) -> Quorums {
        match (count, &self.new) {
            (Count::Old, _) => self.one(&self.old),
            (Count::New, Some(new)) => self.one(new),
            (Count::Both, _) | (Count::New, None) => self.both,
        }
    }

    /// Whether a majority of each list is in it.
    pub(crate) fn majority(&self, count: Count, is_in: impl Fn(NodeId) -> bool) -> bool {
        self.counted(count).reached(self.set(is_in), majority)
    }

    /// Whether so many of each list are in it that every majority has one.
    pub(crate) fn held(&self, count: Count, is_in: impl Fn(NodeId) -> bool) -> bool {
        let needed = |n| n - majority(n) + 1;
        self.counted(count).reached(self.set(is_in), needed)
    }
}

/// In which lists something is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Count {
    Both,
    Old,
    New,
}
