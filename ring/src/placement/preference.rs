//! A key's preference list: its owners and fallbacks, in order.
//!
//! ```text
//!   walk:    a1 a2 b1 a1 c1 b2 ...      (letter = zone)            N = 3
//!   owners:  a1 b1 c1                   one per zone, clockwise: a2 was skipped
//!   then:    a2 b2 ...                  fallbacks: the walk without the owners
//! ```
//!
//! A list is a view into its ring's table: making and reading one allocates nothing.
//!
//! Invariants: no node is on a list twice; a list has min(N, members) owners and at most 3 fallbacks.
//! Left out: liveness.
//!
//! Source: Dynamo (2007), sections 4.3 and 4.6.

use super::ring::Ring;
use super::walk::Index;
use crate::cluster::{Member, NodeId};

/// Most fallbacks of a key; fewer in a cluster of fewer than N + 3 members.
pub const FALLBACKS: usize = 3;

/// Why a node is on a preference list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// It is one of the N owners.
    Primary,
    /// It keeps a write for an owner that does not answer, until that owner is back. It never answers
    /// reads of the key.
    Fallback,
}

/// One entry of a preference list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placement<'a> {
    /// The node.
    pub node: NodeId,
    /// Its entry in the cluster map.
    pub member: &'a Member,
    /// Owner or fallback.
    pub kind: Kind,
}

/// The owners of a key, then its fallbacks, in the order of preference. Who asks them may begin with the quicker ones.
///
/// Owners are distinct nodes, in distinct zones while there are enough, clockwise from the key. If there
/// are fewer zones than copies, the nodes skipped for their zone follow, in walk order. Fallbacks are
/// the first [`FALLBACKS`] other nodes of the walk.
///
/// ```
/// # use quoit_ring::placement::{grow, Kind, Newcomer, Ring};
/// # use quoit_ring::{ClusterId, ClusterMap, Epoch, LeafBits, NodeId, TokenKey};
/// # let newcomer = |id: u64| Newcomer {
/// #     id: NodeId(id), name: format!("n{id}"), address: "h:1".into(), zone: "z".into(), weight: 100,
/// # };
/// # let empty = ClusterMap {
/// #     cluster: ClusterId(1), epoch: Epoch(1), token_key: TokenKey([0; 16]),
/// #     leaf_bits: LeafBits::FULL, replication: 3, members: vec![],
/// # };
/// # let map = grow(empty, (1..=5).map(newcomer), 1)?;
/// let ring = Ring::new(&map)?; // five members, three copies
/// let list = ring.preference_list(ring.token_of(b"cart:42"));
/// assert_eq!(list.owners().len(), 3);
/// assert_eq!(list.fallbacks().len(), 2);
/// assert_eq!(list.iter().filter(|p| p.kind == Kind::Primary).count(), 3);
/// assert!(list.owners().all(|node| list.is_owner(node)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct PreferenceList<'a> {
    ring: &'a Ring,
    owners: &'a [Index],
    fallbacks: &'a [Index],
}

impl<'a> PreferenceList<'a> {
    pub(super) const fn new(ring: &'a Ring, owners: &'a [Index], fallbacks: &'a [Index]) -> Self {
        Self {
            ring,
            owners,
            fallbacks,
        }
    }

    /// The owners, first the one that the walk meets first; those skipped for their zone, if there are
    /// too few zones, come last.
    pub fn owners(
        &self,
    ) -> impl ExactSizeIterator<Item = NodeId> + DoubleEndedIterator + Clone + use<'a> {
        let ring = self.ring;
        self.owners.iter().map(move |&node| ring.id(node))
    }

    /// The fallbacks, in walk order. Who leaves a hint takes the first that serves.
    pub fn fallbacks(
        &self,
    ) -> impl ExactSizeIterator<Item = NodeId> + DoubleEndedIterator + Clone + use<'a> {
        let ring = self.ring;
        self.fallbacks.iter().map(move |&node| ring.id(node))
    }

    /// Owners, then fallbacks, each with its member entry.
    pub fn iter(&self) -> impl Iterator<Item = Placement<'a>> + Clone + use<'a> {
        let ring = self.ring;
        let place = move |kind| {
            move |&node: &Index| Placement {
                node: ring.id(node),
                member: ring.at(node),
                kind,
            }
        };
        let owners = self.owners.iter().map(place(Kind::Primary));
        owners.chain(self.fallbacks.iter().map(place(Kind::Fallback)))
    }

    /// Whether `node` is one of the owners.
    #[must_use]
    pub fn is_owner(&self, node: NodeId) -> bool {
        self.owners().any(|owner| owner == node)
    }
}
