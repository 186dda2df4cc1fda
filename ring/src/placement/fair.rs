//! What each node should hold: the most even load that weights and zones allow.
//!
//! ```text
//!   share        zone a (one copy of each key at most)      zone b        zone c
//!    1.0  - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - no node above
//!                 |###|                                     |   |         |   |
//!         |###|   |###|   |###|     water: level x weight,  |###|  |###|  |###|
//!         '###'   '###'   '###'     cut at 1 and per zone   '###'  '###'  '###'
//! ```
//!
//! A node's share is the part of all keys that it holds, 0 to 1; the shares sum up to N. Shares follow
//! the weights until a limit binds: a node holds one copy of a key at most, and a zone too while there
//! are at least N zones. With fewer zones than copies, each zone holds at least one copy of each key and
//! at most what the others leave over. What a limit cuts off rises as water among the rest.
//!
//! Left out: whether vnodes can be placed such that all hold just that; the search comes close.

use super::walk::{Index, zones};
use crate::cluster::{ClusterMap, Member, NodeId};

/// Halvings of the search for the water level: enough for every bit of an `f64` near 2^-24.
const HALVINGS: u32 = 80;

/// The part of all keys that each member should hold, 0 to 1, in the map's order.
///
/// It is the target that [`allocate`](fn@super::allocate) aims at: replica load over weight as even as one
/// copy per node, and one per zone while there are enough zones, allow. The shares sum up to N, or to
/// the number of members if they are fewer. Needs no vnodes.
///
/// ```
/// # use quoit_ring::placement::{fair_shares, grow, Newcomer};
/// # use quoit_ring::{ClusterId, ClusterMap, Epoch, LeafBits, NodeId, TokenKey};
/// # let newcomer = |id: u64, weight| Newcomer {
/// #     id: NodeId(id), name: format!("n{id}"), address: "h:1".into(), zone: String::new(), weight,
/// # };
/// # let empty = ClusterMap {
/// #     cluster: ClusterId(1), epoch: Epoch(1), token_key: TokenKey([0; 16]),
/// #     leaf_bits: LeafBits::FULL, replication: 2, members: vec![],
/// # };
/// // Two copies on weights 100, 100 and 300: the big one would hold 1.2 of them, but 1 is all there is.
/// let map = grow(empty, [newcomer(1, 100), newcomer(2, 100), newcomer(3, 300)], 7)?;
/// let shares: Vec<f64> = fair_shares(&map).into_iter().map(|(_, share)| share).collect();
/// assert!(shares.iter().zip([0.5, 0.5, 1.0]).all(|(is, should)| (is - should).abs() < 1e-9));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn fair_shares(map: &ClusterMap) -> Vec<(NodeId, f64)> {
    let ids = map.members.iter().map(|member| member.id);
    ids.zip(shares(map.members.iter(), usize::from(map.replication)))
        .collect()
}

/// The fair share of each of `members` if there are `copies` of each key.
pub(super) fn shares<'a>(
    members: impl Iterator<Item = &'a Member> + Clone,
    copies: usize,
) -> Vec<f64> {
    let (zone_of, zone_count) = zones(members.clone());
    let copies = copies.min(zone_of.len());

    let mut weights: Vec<Vec<f64>> = vec![Vec::new(); usize::from(zone_count)];
    for (member, &zone) in members.clone().zip(&zone_of) {
        weights[usize::from(zone)].push(f64::from(member.weight));
    }
    let limits: Vec<(f64, f64)> = weights
        .iter()
        .map(|zone| limits(zone.len(), weights.len(), copies))
        .collect();

    // First what each zone holds, then what each node of it holds.
    let filled = |level: f64| -> Vec<f64> {
        let zones = weights.iter().zip(&limits);
        zones
            .map(|(zone, &(least, most))| fill(zone, level).clamp(least, most))
            .collect()
    };
    let level = water_level(float(copies), |level| filled(level).iter().sum());
    let levels: Vec<f64> = (filled(level).into_iter().zip(&weights))
        .map(|(total, zone)| water_level(total, |level| fill(zone, level)))
        .collect();

    let share = |(member, &zone): (&Member, &Index)| {
        (levels[usize::from(zone)] * f64::from(member.weight)).min(1.0)
    };
    let shares: Vec<f64> = members.zip(&zone_of).map(share).collect();
    debug_assert!(
        (shares.iter().sum::<f64>() - float(copies)).abs() < 1e-6,
        "the shares sum up to the copies"
    );
    shares
}

/// The fewest and the most copies of a key that a zone of `nodes` nodes holds.
fn limits(nodes: usize, zones: usize, copies: usize) -> (f64, f64) {
    if zones >= copies {
        (0.0, 1.0)
    } else {
        (1.0, float(nodes.min(copies - zones + 1)))
    }
}

/// What nodes of these weights hold at a water level, each at most one copy.
fn fill(weights: &[f64], level: f64) -> f64 {
    weights.iter().map(|weight| (level * weight).min(1.0)).sum()
}

/// The level, 0 to 1, at which `held`, which never falls, reaches `total`. Weights are at least 1, so
/// level 1 fills every node.
fn water_level(total: f64, held: impl Fn(f64) -> f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..HALVINGS {
        let middle = (low + high) / 2.0;
        if held(middle) < total {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

/// A small count as a float.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts of members: at most 1024"
)]
const fn float(count: usize) -> f64 {
    count as f64
}
