//! A first map that is not in use yet: members may still move, so they do.
//!
//! ```text
//!   a b c d  -->  b c d, a searches again  -->  the more even of the two  -->  then b, c, d, a ...
//! ```
//!
//! Growth places each member without knowing the next ones. Where zones or weights are very uneven,
//! that can leave a member several percent too full until the next joins. A map that holds no data yet
//! can do better: take one member off the circle, let it search again among all the others, keep the
//! better of its two sets of places, and go on to the next, for a few rounds.
//!
//! Invariant: no step leaves the load less even. Left out: moving members that hold data.

use super::allocate::{AllocateError, Newcomer, allocate};
use super::fair::fair_shares;
use super::load::{fullest_excess, replica_loads};
use super::ring::Ring;
use super::seed::SplitMix;
use crate::cluster::{ClusterMap, Member};

/// Most times that each member moves.
const ROUNDS: u32 = 6;
/// Good enough: no member more than this part above its share.
const GOAL: f64 = 0.01;

/// Lets the members of `map`, which must not be in use yet, search for better places in turn.
///
/// Stops as soon as no member is more than 1 % above its fair share, at once if that is so already, and
/// after 6 rounds at the latest; each search takes as long as [`allocate`]. The load never comes out
/// less even, by the sum of the squares of how far each member is off its share.
///
/// ```
/// # use quoit_ring::placement::{fullest_excess, grow, settle, Newcomer, Ring};
/// # use quoit_ring::{ClusterId, ClusterMap, Epoch, LeafBits, NodeId, TokenKey};
/// # let newcomer = |(zone, id): (&str, u64)| Newcomer {
/// #     id: NodeId(id), name: format!("n{id}"), address: "h:1".into(), zone: zone.into(), weight: 100,
/// # };
/// # let empty = ClusterMap {
/// #     cluster: ClusterId(1), epoch: Epoch(1), token_key: TokenKey([0; 16]),
/// #     leaf_bits: LeafBits::FULL, replication: 3, members: vec![],
/// # };
/// let zones = ["a", "a", "a", "b", "b", "c", "c"].into_iter().zip(1..);
/// let mut map = grow(empty, zones.map(newcomer), 42)?;
/// let grown = fullest_excess(&Ring::new(&map)?);
/// settle(&mut map, 43)?;
/// assert!(fullest_excess(&Ring::new(&map)?) <= grown.max(0.01));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`AllocateError::Map`] if the map is not valid or has no members; it is then unchanged.
pub fn settle(map: &mut ClusterMap, seed: u64) -> Result<(), AllocateError> {
    let mut seeds = SplitMix::new(seed);
    let mut ring = Ring::new(map).map_err(AllocateError::Map)?;
    for _ in 0..ROUNDS {
        for at in 0..map.members.len() {
            if fullest_excess(&ring) <= GOAL {
                return Ok(());
            }
            let moved = with_moved(map, at, seeds.next())?;
            let moved_ring = Ring::new(&moved).map_err(AllocateError::Map)?;
            if unevenness(&moved_ring) < unevenness(&ring) {
                (*map, ring) = (moved, moved_ring);
            }
        }
    }
    Ok(())
}

/// `map` with new places for its member number `at`.
fn with_moved(map: &ClusterMap, at: usize, seed: u64) -> Result<ClusterMap, AllocateError> {
    let mut moved = map.clone();
    let Member {
        id,
        name,
        address,
        zone,
        weight,
        vnodes: _,
    } = moved.members.remove(at);
    let newcomer = Newcomer {
        id,
        name,
        address,
        zone,
        weight,
    };
    let vnodes = allocate(&moved, &newcomer, seed)?;
    moved.members.insert(at, newcomer.into_member(vnodes));
    Ok(moved)
}

fn unevenness(ring: &Ring) -> f64 {
    let pairs = replica_loads(ring).into_iter().zip(fair_shares(ring.map()));
    pairs
        .map(|((_, load), (_, fair))| (load / fair - 1.0).powi(2))
        .sum()
}
