//! The pool of small rings that the properties draw their cases from.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use proptest::prelude::*;

use crate::{empty_map, member, setting};
use quoit_ring::placement::Ring;
use quoit_ring::{ClusterMap, NodeId, Token};

/// Rings that the cases of one property are drawn over.
pub(crate) const POOL: usize = 400;

pub(crate) fn cases() -> ProptestConfig {
    let cases = setting("QUOIT_CASES").map_or(100_000, |cases| cases.parse().unwrap());
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// Numbers that follow from a seed: xorshift64*.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }
}

/// A map of 2 to 9 members in 1 to 5 zones with 1 to 6 random vnodes each, and 1 to 5 copies.
fn random_map(seed: u64) -> ClusterMap {
    let mut random = Random(seed + 1);
    let mut map = empty_map(6 + u8::try_from(random.below(4)).unwrap(), 1);
    map.replication = 1 + u8::try_from(random.below(5)).unwrap();
    let (zones, mut taken) = (1 + random.below(5), BTreeSet::new());
    for id in 0..2 + random.below(8) {
        let mut vnodes = BTreeSet::new();
        for _ in 0..1 + random.below(6) {
            let leaf = u32::try_from(random.below(u64::from(map.leaf_bits.count()))).unwrap();
            if taken.insert(leaf) {
                vnodes.insert(leaf);
            }
        }
        if !vnodes.is_empty() {
            map.members
                .push(member(id, &random.below(zones).to_string(), vnodes));
        }
    }
    map
}

/// A ring, and the same without one of its members.
pub(crate) struct Pair {
    pub(crate) with: Ring,
    pub(crate) without: Ring,
    pub(crate) node: NodeId,
}

pub(crate) fn pool() -> &'static [Pair] {
    static POOL_OF_PAIRS: OnceLock<Vec<Pair>> = OnceLock::new();
    POOL_OF_PAIRS.get_or_init(|| (0..).map(pair).take(POOL).collect())
}

fn pair(seed: u64) -> Pair {
    let map = random_map(seed);
    let at = usize::try_from(seed).unwrap() % map.members.len();
    let mut rest = map.clone();
    let node = rest.members.remove(at).id;
    Pair {
        with: Ring::new(&map).unwrap(),
        without: Ring::new(&rest).unwrap(),
        node,
    }
}

pub(crate) fn zone_of(ring: &Ring, node: NodeId) -> &str {
    &ring.member(node).unwrap().zone
}

pub(crate) fn zones(ring: &Ring, nodes: impl IntoIterator<Item = NodeId>) -> BTreeSet<&str> {
    nodes.into_iter().map(|node| zone_of(ring, node)).collect()
}

pub(crate) fn owners(ring: &Ring, token: Token) -> Vec<NodeId> {
    ring.preference_list(token).owners().collect()
}

pub(crate) fn all_zones(ring: &Ring) -> usize {
    zones(ring, ring.members().iter().map(|member| member.id)).len()
}

/// A property over a pool that never gets to the hard cases would prove little.
#[test]
fn the_pool_reaches_every_case() {
    let reach = |case: fn(&Pair) -> bool| pool().iter().filter(|pair| case(pair)).count();
    let copies = |pair: &Pair| usize::from(pair.with.map().replication);
    assert!(reach(|p| p.without.members().len() < usize::from(p.with.map().replication)) > 20);
    assert!(reach(|p| all_zones(&p.without) >= p.with.replication()) > 100);
    assert!(reach(|p| all_zones(&p.without) < p.without.replication()) > 50);
    assert!(reach(|p| all_zones(&p.without) < all_zones(&p.with)) > 20);
    assert!(pool().iter().filter(|pair| copies(pair) == 1).count() > 20);
}
