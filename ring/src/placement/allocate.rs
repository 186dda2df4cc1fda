//! How a member gets its vnodes, and how a cluster grows by one member at a time.
//!
//! ```text
//!   map + newcomer --> levels (who loses which leaves) --> search --> positions, kept in the map
//! ```
//!
//! The positions become part of the newcomer's entry, so all others just read them: two versions of
//! this search may differ without harm. Vnodes of members never move. A member of weight 100 has 150
//! vnodes, others in proportion between 16 and 600; fewer on a circle of few leaves. More vnodes would
//! not even out the load further (tried with up to four times as many), and fewer leave it less even.
//!
//! Left out: admission of members, and the transfer of data.
//!
//! Source: Dynamo (2007), sections 4.2 and 6.2, for vnodes by capacity; where they go is our own.

use super::cover;
use super::search::Search;
use super::seed::SplitMix;
use super::validate::{self, RingError};
use super::walk;
use crate::cluster::{ClusterMap, DEFAULT_WEIGHT, MAX_MEMBERS, Member, NodeId, VNODES};
use crate::token::{Leaf, LeafBits};

/// Fewest vnodes of a member, however light it is, while there are free leaves.
pub const MIN_VNODES: u32 = 16;

/// Most vnodes of a member, as a multiple of those of weight 100: 1,024 such members fit on 2^20 leaves.
const MOST_TIMES: u32 = 4;

/// Fewest leaves per vnode that a first member of weight 100 leaves: small circles get fewer vnodes.
const LEAVES_PER_VNODE: u32 = 64;

/// A member that is about to join and has no vnodes yet. The fields, and their bounds, are those of
/// [`Member`]; [`grow`] takes a list of these for a first map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Newcomer {
    /// Its identity, never used before in the cluster.
    pub id: NodeId,
    /// Its name, unique in the cluster.
    pub name: String,
    /// `host:port` at which it will serve.
    pub address: String,
    /// Its failure domain; may be empty.
    pub zone: String,
    /// Its share relative to others; [`DEFAULT_WEIGHT`] is ordinary.
    pub weight: u32,
}

/// Why a newcomer gets no positions. The map is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AllocateError {
    /// The map is not valid even without the newcomer.
    #[error("the cluster map is not valid")]
    Map(#[source] RingError),
    /// The newcomer breaks a rule, or takes what a member has.
    #[error("the newcomer does not fit the cluster map")]
    Newcomer(#[source] RingError),
    /// Every leaf has a vnode.
    #[error("all {leaves} leaves of the circle have a virtual node")]
    Full {
        /// How many leaves the circle has.
        leaves: u32,
    },
}

impl Newcomer {
    /// Its member entry, with `vnodes` as [`allocate`] gave them: ascending, on free leaves.
    #[must_use]
    pub fn into_member(self, vnodes: Vec<Leaf>) -> Member {
        let Self {
            id,
            name,
            address,
            zone,
            weight,
        } = self;
        Member {
            id,
            name,
            address,
            zone,
            weight,
            vnodes,
        }
    }
}

/// The positions at which `newcomer` would make the replica load of `map` most even, ascending.
///
/// A search of bounded length, 10 to 50 ms for a member of weight 100 among 100. `seed` is any number;
/// equal arguments give equal positions. It aims at the [`fair_shares`](super::fair_shares) of the grown
/// cluster. `map` may have no members yet.
///
/// ```
/// # use quoit_ring::placement::{allocate, Newcomer};
/// # use quoit_ring::{ClusterId, ClusterMap, Epoch, LeafBits, NodeId, TokenKey};
/// let map = ClusterMap {
///     cluster: ClusterId(1),
///     epoch: Epoch(1),
///     token_key: TokenKey([0; 16]),
///     leaf_bits: LeafBits::FULL,
///     replication: 3,
///     members: vec![],
/// };
/// let newcomer = Newcomer {
///     id: NodeId(1),
///     name: "first".into(),
///     address: "10.0.0.1:7000".into(),
///     zone: "east".into(),
///     weight: 100,
/// };
/// let vnodes = allocate(&map, &newcomer, 42)?;
/// assert_eq!(vnodes.len(), 150);
/// assert!(vnodes.is_sorted());
/// # Ok::<(), quoit_ring::placement::AllocateError>(())
/// ```
///
/// # Errors
/// [`AllocateError`] if the map or the newcomer breaks a rule, or the circle is full. Nothing was changed.
pub fn allocate(
    map: &ClusterMap,
    newcomer: &Newcomer,
    seed: u64,
) -> Result<Vec<Leaf>, AllocateError> {
    validate::check(map).map_err(AllocateError::Map)?;
    let circle = walk::circle(map);
    validate::check_circle(&circle, &map.members).map_err(AllocateError::Map)?;

    let newcomer = newcomer.clone().into_member(Vec::new());
    check_newcomer(map, &newcomer).map_err(AllocateError::Newcomer)?;

    let vnodes = vnode_count(map.leaf_bits, newcomer.weight, circle.len())?;
    let levels = cover::levels(map, &circle, &newcomer);
    let taken = circle.iter().map(|vnode| vnode.leaf).collect();
    Ok(Search::new(taken, map.leaf_bits, levels, seed).run(vnodes))
}

/// Gives `newcomer` its positions and adds it to `map`. The epoch stays: it is the caller's to advance.
/// The vnodes of the other members stay where they are: a key moves to the newcomer or not at all.
///
/// ```
/// # use quoit_ring::placement::{grow, join, replica_loads, Newcomer, Ring};
/// # use quoit_ring::{ClusterId, ClusterMap, Epoch, LeafBits, NodeId, TokenKey};
/// # let newcomer = |id: u64| Newcomer {
/// #     id: NodeId(id), name: format!("n{id}"), address: "h:1".into(), zone: "z".into(), weight: 100,
/// # };
/// # let empty = ClusterMap {
/// #     cluster: ClusterId(1), epoch: Epoch(1), token_key: TokenKey([0; 16]),
/// #     leaf_bits: LeafBits::FULL, replication: 3, members: vec![],
/// # };
/// let mut map = grow(empty, (1..=4).map(newcomer), 1)?;
/// let before = map.members.clone();
/// join(&mut map, newcomer(5), 2)?;
/// assert_eq!(map.members[..4], before);
/// // Three copies of everything on five members: 0.6 of all keys each.
/// assert!(replica_loads(&Ring::new(&map)?).iter().all(|(_, load)| (0.57..0.63).contains(load)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// As [`allocate`]; `map` is then unchanged.
pub fn join(map: &mut ClusterMap, newcomer: Newcomer, seed: u64) -> Result<(), AllocateError> {
    let vnodes = allocate(map, &newcomer, seed)?;
    let at = map
        .members
        .partition_point(|member| member.id < newcomer.id);
    map.members.insert(at, newcomer.into_member(vnodes));
    Ok(())
}

/// Lets `newcomers` [`join`] one after the other, in any order of their ids. A first map that is not in use
/// yet comes out better if it is [`settle`](fn@super::settle)d after that.
///
/// ```
/// # use quoit_ring::placement::{grow, AllocateError, Newcomer, RingError};
/// # use quoit_ring::{ClusterId, ClusterMap, Epoch, LeafBits, NodeId, TokenKey};
/// # let newcomer = |id: u64| Newcomer {
/// #     id: NodeId(id), name: format!("n{id}"), address: "h:1".into(), zone: "z".into(), weight: 100,
/// # };
/// # let empty = ClusterMap {
/// #     cluster: ClusterId(1), epoch: Epoch(1), token_key: TokenKey([0; 16]),
/// #     leaf_bits: LeafBits::FULL, replication: 3, members: vec![],
/// # };
/// let map = grow(empty, [newcomer(2), newcomer(1)], 42)?;
/// assert_eq!(map.members[0].id, NodeId(1));
/// let again = grow(map, [newcomer(2)], 42);
/// assert_eq!(again, Err(AllocateError::Newcomer(RingError::DuplicateId { node: NodeId(2) })));
/// # Ok::<(), AllocateError>(())
/// ```
///
/// # Errors
/// As [`allocate`], for the first newcomer that does not fit; the map is then gone, those who joined it
/// included.
pub fn grow(
    mut map: ClusterMap,
    newcomers: impl IntoIterator<Item = Newcomer>,
    seed: u64,
) -> Result<ClusterMap, AllocateError> {
    let mut seeds = SplitMix::new(seed);
    for newcomer in newcomers {
        join(&mut map, newcomer, seeds.next())?;
    }
    Ok(map)
}

fn check_newcomer(map: &ClusterMap, newcomer: &Member) -> Result<(), RingError> {
    validate::check_member(newcomer)?;
    if map.members.len() >= MAX_MEMBERS {
        return Err(RingError::TooManyMembers {
            found: map.members.len() + 1,
        });
    }
    if map.members.iter().any(|member| member.id == newcomer.id) {
        return Err(RingError::DuplicateId { node: newcomer.id });
    }
    if map
        .members
        .iter()
        .any(|member| member.name == newcomer.name)
    {
        return Err(RingError::DuplicateName {
            name: newcomer.name.clone(),
        });
    }
    Ok(())
}

/// How many vnodes a member of `weight` gets on a circle with `taken` of its leaves taken.
///
/// Never more than half of the free leaves, so that others fit, but at least one.
fn vnode_count(bits: LeafBits, weight: u32, taken: usize) -> Result<u32, AllocateError> {
    let leaves = bits.count();
    let taken = u32::try_from(taken).unwrap_or(leaves);
    let free = leaves.saturating_sub(taken);
    if free == 0 {
        return Err(AllocateError::Full { leaves });
    }

    let ordinary = VNODES.min(leaves / LEAVES_PER_VNODE);
    let most = (MOST_TIMES * ordinary).max(MIN_VNODES);
    let scaled = (ordinary * weight / DEFAULT_WEIGHT).clamp(MIN_VNODES, most);
    Ok(scaled.min(free / 2).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(bits: u8, weight: u32, taken: usize) -> u32 {
        vnode_count(LeafBits::new(bits).unwrap(), weight, taken).unwrap()
    }

    #[test]
    fn vnodes_follow_the_weight_between_16_and_600() {
        assert_eq!(count(20, 100, 0), 150);
        assert_eq!(count(20, 200, 0), 300);
        assert_eq!(count(20, 50, 0), 75);
        assert_eq!(count(20, 1, 0), 16);
        assert_eq!(count(20, 10_000, 0), 600);
    }

    #[test]
    fn a_small_circle_gets_fewer_vnodes() {
        assert_eq!(count(12, 100, 0), 64);
        assert_eq!(count(6, 100, 0), 16);
        assert_eq!(count(6, 100, 48), 8);
        assert_eq!(count(1, 100, 1), 1);
    }

    #[test]
    fn a_full_circle_takes_nobody() {
        let full = vnode_count(LeafBits::new(4).unwrap(), 100, 16);
        assert_eq!(full, Err(AllocateError::Full { leaves: 16 }));
    }
}
