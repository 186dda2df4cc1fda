//! A preference list is the walk, done naively.

use std::collections::BTreeSet;

use proptest::prelude::*;

use crate::pool::{POOL, Pair, all_zones, cases, pool, zones};
use crate::{empty_map, member};
use quoit_ring::placement::{FALLBACKS, Kind, Ring, replica_loads};
use quoit_ring::{ClusterMap, Leaf, Member, NodeId, Token};

/// Owners and fallbacks as the rule says it: sort all vnodes, walk, take.
fn naive(map: &ClusterMap, token: Token) -> (Vec<NodeId>, Vec<NodeId>) {
    let leaf = map.leaf_bits.leaf_of(token);
    let mut vnodes: Vec<(bool, Leaf, &Member)> = Vec::new();
    for member in &map.members {
        vnodes.extend(member.vnodes.iter().map(|&at| (at < leaf, at, member)));
    }
    vnodes.sort_by_key(|&(wrapped, at, _)| (wrapped, at));
    let mut walk: Vec<&Member> = Vec::new();
    for (_, _, member) in vnodes {
        if !walk.contains(&member) {
            walk.push(member);
        }
    }
    let (mut first_of_zone, mut skipped): (Vec<&Member>, Vec<&Member>) = Default::default();
    for &member in &walk {
        let zone_is_new = first_of_zone.iter().all(|first| first.zone != member.zone);
        if zone_is_new {
            first_of_zone.push(member);
        } else {
            skipped.push(member);
        }
    }
    let candidates = first_of_zone.into_iter().chain(skipped);
    let owners: Vec<NodeId> = candidates
        .map(|m| m.id)
        .take(map.replication.into())
        .collect();
    let others = walk
        .iter()
        .map(|m| m.id)
        .filter(|node| !owners.contains(node));
    let fallbacks = others.take(FALLBACKS).collect();
    (owners, fallbacks)
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn the_preference_list_is_the_naive_walk(at in 0..POOL, token: u64) {
        let ring = &pool()[at].with;
        let list = ring.preference_list(Token(token));
        let (owners, fallbacks) = naive(ring.map(), Token(token));
        prop_assert!(list.owners().eq(owners));
        prop_assert!(list.fallbacks().eq(fallbacks));
    }

    #[test]
    fn owners_are_n_distinct_nodes_in_distinct_zones_while_there_are_enough(at in 0..POOL, token: u64) {
        let ring = &pool()[at].with;
        let (members, list) = (ring.members(), ring.preference_list(Token(token)));
        let n = usize::from(ring.map().replication).min(members.len());
        let (owners, fallbacks): (Vec<_>, Vec<_>) = list.iter().partition(|p| p.kind == Kind::Primary);
        prop_assert_eq!(owners.len(), n);
        prop_assert_eq!(fallbacks.len(), FALLBACKS.min(members.len() - n));
        let nodes: BTreeSet<NodeId> = list.iter().map(|p| p.node).collect();
        prop_assert_eq!(nodes.len(), owners.len() + fallbacks.len());
                prop_assert_eq!(zones(ring, list.owners()).len(), n.min(all_zones(ring)));
        for place in list.iter() {
            prop_assert_eq!(place.node, place.member.id);
            prop_assert_eq!(list.is_owner(place.node), place.kind == Kind::Primary);
        }
    }

    #[test]
    fn a_range_holds_exactly_the_leaves_that_share_its_list(at in 0..POOL, token: u64) {
        let ring = &pool()[at].with;
        let leaf = ring.leaf_bits().leaf_of(Token(token));
        let holders: Vec<_> = ring.ranges().filter(|range| range.contains(leaf)).collect();
        prop_assert_eq!(holders.len(), 1);
        prop_assert!(holders[0].list.iter().eq(ring.preference_list(Token(token)).iter()));
        for member in ring.members() {
            let owned = ring.ranges_of(member.id).any(|range| range.contains(leaf));
            prop_assert_eq!(owned, ring.owns(member.id, leaf));
        }
    }
}

#[test]
fn ranges_cut_the_circle_into_all_its_leaves() {
    for Pair { with: ring, .. } in pool() {
        let leaves: u32 = ring
            .ranges()
            .map(|range| range.leaves(ring.leaf_bits()))
            .sum();
        assert_eq!(leaves, ring.leaf_bits().count());
        let copies: f64 = replica_loads(ring).iter().map(|&(_, load)| load).sum();
        assert!((copies - f64::from(u32::try_from(ring.replication()).unwrap())).abs() < 1e-9);
    }
}

#[test]
fn one_vnode_owns_the_whole_circle() {
    let mut map = empty_map(4, 3);
    map.members = vec![member(7, "", [5])];
    let ring = Ring::new(&map).unwrap();
    let range = ring.ranges().next().unwrap();
    assert_eq!(
        (range.after, range.last, range.leaves(map.leaf_bits)),
        (Leaf(5), Leaf(5), 16)
    );
    assert!((0..16).all(|leaf| range.contains(Leaf(leaf)) && ring.owns(NodeId(7), Leaf(leaf))));
    assert_eq!(ring.replication(), 1);
}

#[test]
fn looking_up_a_key_allocates_nothing() {
    let mut map = empty_map(8, 3);
    map.members = (0..9)
        .map(|at: u32| member(at.into(), ["a", "b", "c"][at as usize % 3], [at]))
        .collect();
    let ring = Ring::new(&map).unwrap();
    let mut owned = 0;
    let used = allocation_counter::measure(|| {
        for key in [b"x", b"y", b"z"] {
            let list = ring.preference_list(ring.token_of(key));
            owned += list
                .iter()
                .filter(|place| list.is_owner(place.node))
                .count();
        }
    });
    assert_eq!((owned, used.count_total), (9, 0));
}
