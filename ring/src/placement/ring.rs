//! The ring: from a token to its preference list, without allocation.
//!
//! ```text
//!   leaf ---> bucket ---> vnode number ---> row of the table: owners | fallbacks
//!             (top bits)  (search in the     (one row of member indexes per vnode)
//!                          bucket's few)
//! ```
//!
//! There are about as many buckets as vnodes, so a bucket holds one vnode on average, and the search in a
//! crowded one is binary. Rows are written once, when the ring is built, in one sweep.
//!
//! Invariants: positions are sorted and distinct; every row has the same length; a ring never changes.
//!
//! Left out: making a map (`allocate`), and agreement on its successor.
//!
//! Source: Dynamo (2007), sections 4.2 and 4.3.

use super::buckets::Buckets;
use super::preference::{FALLBACKS, PreferenceList};
use super::validate::{self, RingError};
use super::walk::{self, Index, Vnode, Walk};
use crate::cluster::{ClusterMap, Epoch, Member, NodeId};
use crate::token::{Leaf, LeafBits, Token, token_of};

/// The ring of one cluster map: a pure function of it.
///
/// Takes about 8 + 2 (N + 3) bytes per vnode beside the map: 3 MB at 1,000 members and N = 3.
///
/// ```
/// use quoit_ring::placement::{Newcomer, Ring, grow, settle};
/// # use quoit_ring::{ClusterId, ClusterMap, Epoch, LeafBits, NodeId, TokenKey};
/// # let empty = ClusterMap {
/// #     cluster: ClusterId(1), epoch: Epoch(1), token_key: TokenKey([0; 16]),
/// #     leaf_bits: LeafBits::FULL, replication: 3, members: vec![],
/// # };
/// let newcomers = ["east", "east", "west", "west", "north"].into_iter().zip(1..);
/// let newcomers = newcomers.map(|(zone, id)| Newcomer {
///     id: NodeId(id),
///     name: format!("node-{id}"),
///     address: format!("10.0.0.{id}:7000"),
///     zone: zone.into(),
///     weight: 100,
/// });
/// let mut map = grow(empty, newcomers, 42)?;
/// settle(&mut map, 43)?; // not in use yet, so members may still move
///
/// let ring = Ring::new(&map)?;
/// let owners = ring.preference_list(ring.token_of(b"cart:42")).owners();
/// let mut zones: Vec<_> = owners.filter_map(|id| ring.member(id)).map(|m| &m.zone).collect();
/// zones.sort();
/// assert_eq!(zones, ["east", "north", "west"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ring {
    map: ClusterMap,
    /// The members' ids, beside each other for the cache.
    ids: Vec<NodeId>,
    positions: Vec<Leaf>,
    buckets: Buckets,
    /// N, at most the number of members.
    copies: usize,
    /// `row_len` members per vnode, owners first.
    rows: Vec<Index>,
    row_len: usize,
}

/// The leaves of one vnode, all with the same preference list; at least one leaf.
///
/// ```
/// # use quoit_ring::placement::{grow, Newcomer, Ring};
/// # use quoit_ring::{ClusterId, ClusterMap, Epoch, Leaf, LeafBits, NodeId, TokenKey};
/// # let newcomer = |id: u64| Newcomer {
/// #     id: NodeId(id), name: format!("n{id}"), address: "h:1".into(), zone: "z".into(), weight: 100,
/// # };
/// # let empty = ClusterMap {
/// #     cluster: ClusterId(1), epoch: Epoch(1), token_key: TokenKey([0; 16]),
/// #     leaf_bits: LeafBits::FULL, replication: 2, members: vec![],
/// # };
/// # let ring = Ring::new(&grow(empty, (1..=3).map(newcomer), 1)?)?;
/// let leaves: u32 = ring.ranges().map(|range| range.leaves(ring.leaf_bits())).sum();
/// assert_eq!(leaves, ring.leaf_bits().count(), "together they are the circle");
/// let own = ring.ranges_of(NodeId(1)).find(|range| range.contains(Leaf(7)));
/// assert_eq!(own.is_some(), ring.owns(NodeId(1), Leaf(7)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Range<'a> {
    /// The leaf before the first; equal to `last` if the range is the whole circle.
    pub after: Leaf,
    /// The last leaf: the vnode's position. Below `after` if the range wraps around.
    pub last: Leaf,
    /// Their preference list.
    pub list: PreferenceList<'a>,
}

impl Ring {
    /// Checks `map` and builds its ring, in time linear in its vnodes (after sorting them). Keeps a copy
    /// of the map.
    ///
    /// ```
    /// # use quoit_ring::{ClusterId, ClusterMap, Epoch, LeafBits, TokenKey};
    /// # use quoit_ring::placement::{Ring, RingError};
    /// # let empty = ClusterMap {
    /// #     cluster: ClusterId(1), epoch: Epoch(1), token_key: TokenKey([0; 16]),
    /// #     leaf_bits: LeafBits::FULL, replication: 3, members: vec![],
    /// # };
    /// assert_eq!(Ring::new(&empty), Err(RingError::NoMembers));
    /// let too_many = ClusterMap { replication: 200, ..empty };
    /// assert!(Ring::new(&too_many).is_err());
    /// ```
    ///
    /// # Errors
    /// [`RingError`] names the first rule that the map breaks; nothing is kept.
    pub fn new(map: &ClusterMap) -> Result<Self, RingError> {
        let circle = Self::checked(map)?;

        let members = map.members.len();
        let copies = usize::from(map.replication).min(members);
        let row_len = (copies + FALLBACKS).min(members);
        let positions: Vec<Leaf> = circle.iter().map(|vnode| vnode.leaf).collect();
        debug_assert!(
            positions.is_sorted_by(|a, b| a < b),
            "positions are sorted and distinct"
        );

        Ok(Self {
            ids: map.members.iter().map(|member| member.id).collect(),
            buckets: Buckets::new(&positions, map.leaf_bits),
            rows: rows(&map.members, &circle, copies, row_len),
            map: map.clone(),
            positions,
            copies,
            row_len,
        })
    }

    /// Whether [`Ring::new`] would build a ring of `map`, for a third of what that costs: one sort of the vnodes.
    ///
    /// # Errors
    /// [`RingError`] names the first rule that the map breaks.
    pub fn check(map: &ClusterMap) -> Result<(), RingError> {
        Self::checked(map).map(drop)
    }

    /// The vnodes of a map that makes a ring, clockwise.
    fn checked(map: &ClusterMap) -> Result<Vec<Vnode>, RingError> {
        if map.members.is_empty() {
            return Err(RingError::NoMembers);
        }
        validate::check(map)?;
        let circle = walk::circle(map);
        validate::check_circle(&circle, &map.members)?;
        Ok(circle)
    }

    /// The preference list of `token`. Allocates nothing; [`Ring`] has an example.
    #[must_use]
    pub fn preference_list(&self, token: Token) -> PreferenceList<'_> {
        self.list_of_leaf(self.map.leaf_bits.leaf_of(token))
    }

    /// The preference list of the keys of `leaf`. A leaf outside the circle is the last one's.
    #[must_use]
    pub fn list_of_leaf(&self, leaf: Leaf) -> PreferenceList<'_> {
        let leaf = leaf.min(Leaf(self.map.leaf_bits.count() - 1));
        let vnode = self.buckets.first_from(leaf, &self.positions);
        self.list(if vnode == self.positions.len() {
            0
        } else {
            vnode
        })
    }

    /// The last leaf of the range of `leaf`, or of the circle: up to there all leaves have one list.
    pub(crate) fn last_alike(&self, leaf: Leaf) -> Leaf {
        let vnode = self.buckets.first_from(leaf, &self.positions);
        let end = Leaf(self.map.leaf_bits.count() - 1);
        self.positions.get(vnode).copied().unwrap_or(end)
    }

    fn list(&self, vnode: usize) -> PreferenceList<'_> {
        let row = &self.rows[vnode * self.row_len..][..self.row_len];
        let (owners, fallbacks) = row.split_at(self.copies);
        PreferenceList::new(self, owners, fallbacks)
    }

    /// The place of `key` on this cluster's circle; a key that holds a `{tag}` lies where its tag does.
    #[must_use]
    pub fn token_of(&self, key: &[u8]) -> Token {
        token_of(&self.map.token_key, key)
    }

    /// Whether `node` is an owner of `leaf`; false for a node that is not in this ring.
    #[must_use]
    pub fn owns(&self, node: NodeId, leaf: Leaf) -> bool {
        self.list_of_leaf(leaf).is_owner(node)
    }

    /// Every vnode's range, clockwise from leaf 0; together they are the circle, each leaf once.
    pub fn ranges(&self) -> impl ExactSizeIterator<Item = Range<'_>> + Clone {
        let count = self.positions.len();
        (0..count).map(move |vnode| Range {
            after: self.positions[if vnode == 0 { count - 1 } else { vnode - 1 }],
            last: self.positions[vnode],
            list: self.list(vnode),
        })
    }

    /// The ranges that `node` is an owner of, clockwise from leaf 0. Neighbours are not merged.
    pub fn ranges_of(&self, node: NodeId) -> impl Iterator<Item = Range<'_>> + Clone {
        self.ranges().filter(move |range| range.list.is_owner(node))
    }

    /// The map that this ring was built from.
    #[must_use]
    pub const fn map(&self) -> &ClusterMap {
        &self.map
    }

    /// Which epoch of the cluster this ring is.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.map.epoch
    }

    /// How many owners each key has: N, or the number of members if they are fewer.
    #[must_use]
    pub const fn replication(&self) -> usize {
        self.copies
    }

    /// How finely the circle is cut.
    #[must_use]
    pub const fn leaf_bits(&self) -> LeafBits {
        self.map.leaf_bits
    }

    /// All members, ascending by id.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.map.members
    }

    /// The member `node`, or `None` if it is not in this ring.
    #[must_use]
    pub fn member(&self, node: NodeId) -> Option<&Member> {
        self.ids
            .binary_search(&node)
            .ok()
            .map(|at| &self.map.members[at])
    }

    pub(super) fn id(&self, node: Index) -> NodeId {
        self.ids[usize::from(node)]
    }

    pub(super) fn at(&self, node: Index) -> &Member {
        &self.map.members[usize::from(node)]
    }
}

impl Range<'_> {
    /// How many leaves the range has, of a circle cut by `bits`.
    #[must_use]
    pub const fn leaves(&self, bits: LeafBits) -> u32 {
        // All of the circle, if the two are equal: a range is never empty.
        (self.last.0.wrapping_sub(self.after.0).wrapping_sub(1) & (bits.count() - 1)) + 1
    }

    /// Whether `leaf` lies in the range.
    #[must_use]
    pub fn contains(&self, leaf: Leaf) -> bool {
        if self.after < self.last {
            self.after < leaf && leaf <= self.last
        } else {
            self.after < leaf || leaf <= self.last
        }
    }
}

/// Each vnode's owners and fallbacks.
fn rows(members: &[Member], circle: &[Vnode], copies: usize, row_len: usize) -> Vec<Index> {
    let mut rows = vec![0; circle.len() * row_len];
    Walk::new(members).sweep(circle, |walk, vnode| {
        let row = &mut rows[vnode * row_len..][..row_len];
        let (owners, fallbacks) = row.split_at_mut(copies);
        fill(owners, walk.owners());
        fill(
            fallbacks,
            walk.nodes().filter(|node| !owners.contains(node)),
        );
        debug_assert!(
            (1..row.len()).all(|at| !row[..at].contains(&row[at])),
            "no node is on a list twice"
        );
    });
    rows
}

fn fill(slots: &mut [Index], nodes: impl Iterator<Item = Index>) {
    for (slot, node) in slots.iter_mut().zip(nodes) {
        *slot = node;
    }
}
