//! Maps of a few members with a few vnodes: any of them is one to change into.

use quoit_ring::change::{Arcs, Configuration};
use quoit_ring::token::TokenKey;
use quoit_ring::{ClusterId, ClusterMap, Epoch, Leaf, LeafBits, Member, NodeId};

use super::rng::Rng;

/// A member with one or two vnodes where `map` has none.
pub(crate) fn member(rng: &mut Rng, map: &ClusterMap, id: NodeId) -> Member {
    let taken = |leaf| {
        map.members
            .iter()
            .any(|member| member.vnodes.contains(&leaf))
    };
    let mut vnodes = Vec::new();
    let count = 1 + rng.index(2);
    while vnodes.len() < count {
        let leaf = Leaf(u32::try_from(rng.below(u64::from(map.leaf_bits.count()))).unwrap());
        if !taken(leaf) && !vnodes.contains(&leaf) {
            vnodes.push(leaf);
        }
    }
    vnodes.sort_unstable();
    Member {
        id,
        name: format!("n{id}"),
        address: "h:1".into(),
        zone: String::new(),
        weight: 1,
        vnodes,
    }
}

/// Adds a member in its place.
pub(crate) fn insert(map: &mut ClusterMap, member: Member) {
    let at = map.members.partition_point(|other| other.id < member.id);
    map.members.insert(at, member);
}

/// Three to six members.
pub(crate) fn first(rng: &mut Rng) -> Configuration {
    let mut map = ClusterMap {
        cluster: ClusterId(1),
        epoch: Epoch(1),
        token_key: TokenKey([0; 16]),
        leaf_bits: LeafBits::new(5).unwrap(),
        replication: *rng.pick(&[1, 2, 3, 3, 3, 3, 4]),
        members: Vec::new(),
    };
    for id in 0..3 + rng.below(4) {
        let member = member(rng, &map, NodeId(id));
        insert(&mut map, member);
    }
    Configuration::first(map).unwrap()
}

/// One arc, or two.
pub(crate) fn arcs(rng: &mut Rng) -> Arcs {
    Arcs::new(*rng.pick(&[1, 1, 2])).unwrap()
}
