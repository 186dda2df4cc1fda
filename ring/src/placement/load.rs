//! The replica load of each node, counted leaf by leaf.
//!
//! ```text
//!   range of 3 leaves, owners a b   ->   a + 3, b + 3        load = leaves held / leaves of the circle
//!   range of 5 leaves, owners b c   ->   b + 5, c + 5        loads of all nodes sum up to N
//! ```
//!
//! This is load by the circle, as even hashing would fill it: number, size and
//! popularity of keys are left out.

use super::fair::fair_shares;
use super::ring::Ring;
use crate::cluster::NodeId;

/// The part of all keys that each member owns, 0 to 1, in the map's order; together they make N.
///
/// Every copy counts, the first as much as the last. Takes time linear in the vnodes.
///
/// ```
/// # use quoit_ring::placement::{fullest_excess, grow, replica_loads, Newcomer, Ring};
/// # use quoit_ring::{ClusterId, ClusterMap, Epoch, LeafBits, NodeId, TokenKey};
/// # let newcomer = |id: u64| Newcomer {
/// #     id: NodeId(id), name: format!("n{id}"), address: "h:1".into(), zone: "z".into(), weight: 100,
/// # };
/// # let empty = ClusterMap {
/// #     cluster: ClusterId(1), epoch: Epoch(1), token_key: TokenKey([0; 16]),
/// #     leaf_bits: LeafBits::FULL, replication: 3, members: vec![],
/// # };
/// let ring = Ring::new(&grow(empty, (1..=8).map(newcomer), 1)?)?;
/// let copies: f64 = replica_loads(&ring).iter().map(|(_, load)| load).sum();
/// assert!((copies - 3.0).abs() < 1e-9);
/// assert!(fullest_excess(&ring) < 0.05, "nobody holds 5 % more than its share");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn replica_loads(ring: &Ring) -> Vec<(NodeId, f64)> {
    let bits = ring.leaf_bits();
    let mut leaves: Vec<(NodeId, u32)> = ring.members().iter().map(|m| (m.id, 0)).collect();
    for range in ring.ranges() {
        for owner in range.list.owners() {
            if let Ok(at) = leaves.binary_search_by_key(&owner, |&(node, _)| node) {
                leaves[at].1 += range.leaves(bits);
            }
        }
    }
    let part = |leaves| f64::from(leaves) / f64::from(bits.count());
    leaves
        .into_iter()
        .map(|(node, leaves)| (node, part(leaves)))
        .collect()
}

/// How far the fullest member is above its fair share, as a part of that share: 0.05 is 5 % too much.
///
/// Never below 0 but for rounding, as loads and [`fair_shares`] have the same sum. Below 0.05 is good.
/// [`replica_loads`] has an example.
#[must_use]
pub fn fullest_excess(ring: &Ring) -> f64 {
    let fair = fair_shares(ring.map());
    let pairs = replica_loads(ring).into_iter().zip(fair);
    pairs
        .map(|((_, load), (_, fair))| load / fair - 1.0)
        .fold(f64::NEG_INFINITY, f64::max)
}
