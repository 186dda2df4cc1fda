//! The owners of each leaf in one epoch: by one ring, or while it changes by two and the hand between them.
//!
//! ```text
//!   Topology   epoch, source ring ------------------------------ a leaf's list
//!                 '-- changing: target ring, hand --side(leaf)-- source | both | target
//! ```
//!
//! Rings are shared: a step within a change moves the hand, and builds none.
//!
//! Invariant: both rings are of one cluster and cut their circle alike.

use std::sync::Arc;

use super::configuration::{Change, Configuration};
use super::hand::{Hand, Side};
use super::owners::{OwnerSet, Quorums};
use crate::cluster::{ClusterMap, Epoch, Member, NodeId};
use crate::placement::{PreferenceList, Ring, RingError};
use crate::token::{Leaf, LeafBits, Token};

/// Why two rings are no change of one into the other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TopologyError {
    /// They are of two clusters, or hash keys differently.
    #[error("the map before the change and the one after it are of two clusters")]
    OtherCluster,
    /// They cut the circle differently.
    #[error("the map before the change and the one after it cut the circle differently")]
    OtherLeaves,
    /// One of them makes no ring.
    #[error("a map makes no ring")]
    Ring(#[from] RingError),
}

impl TopologyError {
    /// Whether one map may change into the other.
    pub(super) fn check(before: &ClusterMap, after: &ClusterMap) -> Result<(), Self> {
        if before.cluster != after.cluster || before.token_key != after.token_key {
            return Err(Self::OtherCluster);
        }
        if before.leaf_bits != after.leaf_bits {
            return Err(Self::OtherLeaves);
        }
        Ok(())
    }
}

/// Who owns what in one epoch.
///
/// ```
/// use std::sync::Arc;
/// use quoit_ring::change::{Arcs, Hand, Topology};
/// # use quoit_ring::placement::{grow, join, Newcomer, Ring};
/// # use quoit_ring::{ClusterId, ClusterMap, Epoch, LeafBits, NodeId, TokenKey};
/// # let newcomer = |id: u64| Newcomer {
/// #     id: NodeId(id), name: format!("n{id}"), address: "h:1".into(), zone: "z".into(), weight: 100,
/// # };
/// # let empty = ClusterMap {
/// #     cluster: ClusterId(1), epoch: Epoch(1), token_key: TokenKey([0; 16]),
/// #     leaf_bits: LeafBits::FULL, replication: 3, members: vec![],
/// # };
/// # let before = grow(empty, (1..=3).map(newcomer), 1)?;
/// let mut after = before.clone();
/// join(&mut after, newcomer(4), 2)?;
///
/// let (before, after) = (Arc::new(Ring::new(&before)?), Arc::new(Ring::new(&after)?));
/// let stable = Topology::stable(before, Epoch(1));
/// let changing = stable.changing(after, Hand::on_first(Arcs::FULL), Epoch(2))?;
/// let moving = changing.lists(changing.token_of(b"cart:42"));
/// assert!(moving.owners().count() >= 3);
/// assert_eq!(changing.members().count(), 4);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Topology {
    epoch: Epoch,
    source: Arc<Ring>,
    change: Option<(Arc<Ring>, Hand)>,
}

impl Topology {
    /// All by one ring, in `epoch`: that of its map, or a later one if changes of it were made and reverted.
    #[must_use]
    pub const fn stable(ring: Arc<Ring>, epoch: Epoch) -> Self {
        Self {
            epoch,
            source: ring,
            change: None,
        }
    }

    /// All by one ring, in the epoch of its map.
    #[must_use]
    pub fn of(ring: Ring) -> Self {
        let epoch = ring.epoch();
        Self::stable(Arc::new(ring), epoch)
    }

    /// Who owns what in the epoch of `configuration`. A ring that `known` has is shared; another one is built, which takes
    /// milliseconds for a hundred members. A step within a change builds none.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use quoit_ring::change::{Arcs, Configuration, Topology};
    /// # use quoit_ring::placement::{grow, join, Newcomer};
    /// # use quoit_ring::{ClusterId, ClusterMap, Epoch, LeafBits, NodeId, TokenKey};
    /// # let newcomer = |id: u64| Newcomer {
    /// #     id: NodeId(id), name: format!("n{id}"), address: "h:1".into(), zone: "z".into(), weight: 100,
    /// # };
    /// # let empty = ClusterMap {
    /// #     cluster: ClusterId(1), epoch: Epoch(1), token_key: TokenKey([0; 16]),
    /// #     leaf_bits: LeafBits::FULL, replication: 3, members: vec![],
    /// # };
    /// # let before = grow(empty, (1..=3).map(newcomer), 1)?;
    /// # let mut after = before.clone();
    /// # join(&mut after, newcomer(4), 2)?;
    /// let first = Configuration::first(before)?;
    /// let stable = Topology::new(&first, None)?;
    /// let moving = Topology::new(&first.begin(after, Arcs::FULL)?, Some(&stable))?;
    /// assert_eq!(moving.epoch(), Epoch(2));
    /// assert!(Arc::ptr_eq(moving.source(), stable.source()), "nothing was built for it");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`TopologyError`] if a map makes no ring, or they are not of one cluster.
    pub fn new(configuration: &Configuration, known: Option<&Self>) -> Result<Self, TopologyError> {
        let ring = |map: &ClusterMap| -> Result<Arc<Ring>, RingError> {
            let known = known.into_iter().flat_map(Self::rings);
            match known.into_iter().find(|ring| ring.map() == map) {
                Some(ring) => Ok(Arc::clone(ring)),
                None => Ring::new(map).map(Arc::new),
            }
        };
        let stable = Self::stable(ring(&configuration.map)?, configuration.epoch);
        match &configuration.change {
            None => Ok(stable),
            Some(Change { target, hand }) => {
                stable.changing(ring(target)?, *hand, configuration.epoch)
            }
        }
    }

    /// The ring before the change, or the only one, and the one after it.
    fn rings(&self) -> impl Iterator<Item = &Arc<Ring>> {
        let target = self.change.as_ref().map(|(target, _)| target);
        core::iter::once(&self.source).chain(target)
    }

    /// The same ring while it changes into `target`, in `epoch`.
    ///
    /// # Errors
    /// [`TopologyError`] if they are no two rings of one cluster.
    pub fn changing(
        &self,
        target: Arc<Ring>,
        hand: Hand,
        epoch: Epoch,
    ) -> Result<Self, TopologyError> {
        TopologyError::check(self.source.map(), target.map())?;
        Ok(Self {
            epoch,
            source: Arc::clone(&self.source),
            change: Some((target, hand)),
        })
    }

    /// The epoch.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The ring before the change, or the only one.
    #[must_use]
    pub const fn source(&self) -> &Arc<Ring> {
        &self.source
    }

    /// The ring after the change, and the hand, while there is one.
    #[must_use]
    pub const fn change(&self) -> Option<&(Arc<Ring>, Hand)> {
        self.change.as_ref()
    }

    /// How finely the circle is cut.
    #[must_use]
    pub fn leaf_bits(&self) -> LeafBits {
        self.source.leaf_bits()
    }

    /// The place of `key` on the circle.
    #[must_use]
    pub fn token_of(&self, key: &[u8]) -> Token {
        self.source.token_of(key)
    }

    /// The lists of `token`. Allocates nothing.
    #[must_use]
    pub fn lists(&self, token: Token) -> OwnerLists<'_> {
        self.lists_of_leaf(self.leaf_bits().leaf_of(token))
    }

    /// The lists of the keys of `leaf`.
    #[must_use]
    pub fn lists_of_leaf(&self, leaf: Leaf) -> OwnerLists<'_> {
        let old = || self.source.list_of_leaf(leaf);
        match &self.change {
            None => OwnerLists::one(old()),
            Some((target, hand)) => match hand.side(leaf, self.leaf_bits()) {
                Side::Source => OwnerLists::one(old()),
                Side::Target => OwnerLists::one(target.list_of_leaf(leaf)),
                Side::Both => OwnerLists {
                    old: old(),
                    new: Some(target.list_of_leaf(leaf)),
                },
            },
        }
    }

    /// Copies of each key: by the ring that has more of them.
    #[must_use]
    pub fn copies(&self) -> usize {
        let copies = self.rings().map(|ring| ring.replication());
        copies.max().unwrap_or_default()
    }

    /// Whether `node` owns `leaf`, by either list.
    #[must_use]
    pub fn owns(&self, node: NodeId, leaf: Leaf) -> bool {
        self.lists_of_leaf(leaf).is_owner(node)
    }

    /// All members, of either map: those of the source first.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        let new = self.change.iter().flat_map(|(target, _)| target.members());
        let new = new.filter(|member| self.source.member(member.id).is_none());
        self.source.members().iter().chain(new)
    }

    /// A member of either map.
    #[must_use]
    pub fn member(&self, node: NodeId) -> Option<&Member> {
        let new = || {
            let (target, _) = self.change.as_ref()?;
            target.member(node)
        };
        self.source.member(node).or_else(new)
    }
}

/// The owners of a leaf: one list, or two while it moves.
#[derive(Debug, Clone, Copy)]
pub struct OwnerLists<'a> {
    old: PreferenceList<'a>,
    new: Option<PreferenceList<'a>>,
}

impl<'a> OwnerLists<'a> {
    /// A leaf that does not move.
    #[must_use]
    pub const fn one(list: PreferenceList<'a>) -> Self {
        Self {
            old: list,
            new: None,
        }
    }

    /// Whether the leaf moves.
    #[must_use]
    pub const fn is_joint(&self) -> bool {
        self.new.is_some()
    }

    /// The owners by either list, each once: those of the old list in its order, then the new ones.
    pub fn owners(&self) -> impl Iterator<Item = NodeId> + use<'a> {
        let old = self.old;
        let new = self.new.into_iter().flat_map(|list| list.owners());
        old.owners()
            .chain(new.filter(move |&node| !old.is_owner(node)))
    }

    /// Who keeps a write for an owner that does not answer: the fallbacks of either list that own nothing of it.
    pub fn fallbacks(&self) -> impl Iterator<Item = NodeId> + use<'a> {
        let lists = *self;
        let new = self.new.into_iter().flat_map(|list| list.fallbacks());
        let new = new.filter(move |&node| !lists.old.fallbacks().any(|other| other == node));
        let all = self.old.fallbacks().chain(new);
        all.filter(move |&node| !lists.is_owner(node))
    }

    /// Whether `node` is an owner, by either list.
    #[must_use]
    pub fn is_owner(&self, node: NodeId) -> bool {
        self.old.is_owner(node) || self.new.is_some_and(|new| new.is_owner(node))
    }

    /// Whether `node` is to become an owner: by the new list, and not by the old one.
    #[must_use]
    pub fn is_newcomer(&self, node: NodeId) -> bool {
        self.new.is_some_and(|new| new.is_owner(node)) && !self.old.is_owner(node)
    }

    /// The owners by the old list, or by the only one.
    pub fn old_owners(&self) -> impl Iterator<Item = NodeId> + use<'a> {
        self.old.owners()
    }

    /// The owners by the new list; none unless the leaf moves.
    pub fn new_owners(&self) -> impl Iterator<Item = NodeId> + use<'a> {
        self.new.into_iter().flat_map(|list| list.owners())
    }

    /// In which lists the owners are, numbered as in `targets`, which holds each of them in any order.
    #[must_use]
    pub fn quorums(&self, targets: &[NodeId]) -> Quorums {
        let Some(new) = self.new else {
            return Quorums::one(targets.len());
        };
        let among = |list: PreferenceList<'_>| -> OwnerSet {
            let numbered = targets.iter().enumerate();
            let its = numbered.filter(|(_, node)| list.is_owner(**node));
            its.map(|(number, _)| number).collect()
        };
        Quorums::both(among(self.old), among(new))
    }
}
