//! What makes no ring, and who gets no place on one.

use crate::{empty_map, member, newcomer};
use quoit_ring::placement::{AllocateError, Newcomer, Ring, RingError, allocate, grow, join};
use quoit_ring::{ClusterMap, Leaf, NodeId};

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);

/// Damages a sound map, and what that map is refused for.
type Damage = (fn(&mut ClusterMap), RingError);

#[rustfmt::skip]
fn damaged_members() -> Vec<Damage> {
    use RingError as E;
    let name = "node-1".to_owned();
    vec![
        (|m| m.members.clear(), E::NoMembers),
        (|m| m.replication = 0, E::Replication { found: 0 }),
        (|m| m.replication = 17, E::Replication { found: 17 }),
        (|m| m.members.reverse(), E::MembersNotAscending { node: A }),
        (|m| m.members[1].id = A, E::DuplicateId { node: A }),
        (|m| m.members[1].name = "node-1".into(), E::DuplicateName { name }),
        (|m| m.members[0].name.clear(), E::NameLength { node: A, bytes: 0 }),
        (|m| m.members[0].name = "x".repeat(65), E::NameLength { node: A, bytes: 65 }),
        (|m| m.members[0].address.clear(), E::AddressLength { node: A, bytes: 0 }),
        (|m| m.members[0].address = "x".repeat(256), E::AddressLength { node: A, bytes: 256 }),
        (|m| m.members[0].zone = "x".repeat(65), E::ZoneLength { node: A, bytes: 65 }),
        (|m| m.members[1].weight = 0, E::Weight { node: B, weight: 0 }),
        (|m| m.members[1].weight = 10_001, E::Weight { node: B, weight: 10_001 }),
    ]
}

#[rustfmt::skip]
fn damaged_vnodes() -> Vec<Damage> {
    use RingError as E;
    let [one, nine, sixteen] = [1, 9, 16].map(Leaf);
    vec![
        (|m| m.members[1].vnodes.clear(), E::NoVnodes { node: B }),
        (|m| m.members[1].vnodes[0] = Leaf(16), E::VnodeOutOfRange { node: B, leaf: sixteen }),
        (|m| m.members[0].vnodes[1] = Leaf(1), E::VnodesNotAscending { node: A, leaf: one }),
        (|m| m.members[0].vnodes.swap(0, 1), E::VnodesNotAscending { node: A, leaf: one }),
        (|m| m.members[1].vnodes[0] = Leaf(9), E::SharedLeaf { leaf: nine, first: A, second: B }),
    ]
}

#[test]
fn a_broken_map_makes_no_ring() {
    let mut sound = empty_map(4, 3);
    sound.members = vec![member(1, "a", [1, 9]), member(2, "b", [5])];
    assert!(Ring::new(&sound).is_ok());
    for (damage, error) in damaged_members().into_iter().chain(damaged_vnodes()) {
        let mut map = sound.clone();
        damage(&mut map);
        assert_eq!(Ring::new(&map), Err(error));
    }
}

#[test]
fn a_map_of_more_than_1024_members_makes_no_ring() {
    let mut crowd = empty_map(11, 3);
    crowd.members = (0..1024)
        .map(|at: u32| member(at.into(), "", [at]))
        .collect();
    assert!(Ring::new(&crowd).is_ok());
    crowd.members.push(member(1024, "", [1024]));
    assert_eq!(
        Ring::new(&crowd),
        Err(RingError::TooManyMembers { found: 1025 })
    );
    crowd.members.pop();
    let refused = allocate(&crowd, &nth(1024), 1);
    let error = RingError::TooManyMembers { found: 1025 };
    assert_eq!(refused, Err(AllocateError::Newcomer(error)));
}

fn nth(i: u64) -> Newcomer {
    newcomer(i, "", 100)
}

#[test]
fn a_newcomer_that_takes_what_a_member_has_gets_no_place() {
    let map = grow(empty_map(20, 3), (0..2).map(nth), 1).unwrap();
    let refused = |newcomer| match allocate(&map, &newcomer, 1) {
        Err(AllocateError::Newcomer(error)) => error,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(nth(1)), RingError::DuplicateId { node: NodeId(1) });
    let same_name = Newcomer {
        id: NodeId(9),
        ..nth(1)
    };
    assert_eq!(
        refused(same_name),
        RingError::DuplicateName {
            name: "node-1".into()
        }
    );
    let weightless = Newcomer {
        weight: 0,
        ..nth(2)
    };
    assert_eq!(
        refused(weightless),
        RingError::Weight { node: B, weight: 0 }
    );
}

#[test]
fn nobody_joins_a_broken_map() {
    let mut map = empty_map(4, 3);
    map.members = vec![member(1, "a", [1, 9]), member(2, "b", [9])];
    let broken = map.clone();
    let error = RingError::SharedLeaf {
        leaf: Leaf(9),
        first: A,
        second: B,
    };
    assert_eq!(join(&mut map, nth(3), 1), Err(AllocateError::Map(error)));
    assert_eq!(map, broken);
}

#[test]
fn a_small_circle_takes_members_until_every_leaf_has_a_vnode() {
    for bits in 1..=6 {
        let mut map = empty_map(bits, 3);
        let full = (0..100).find_map(|i| join(&mut map, nth(i), i).err());
        let leaves = map.leaf_bits.count();
        assert_eq!(full, Some(AllocateError::Full { leaves }));
        let vnodes: usize = map.members.iter().map(|member| member.vnodes.len()).sum();
        assert_eq!(vnodes, leaves as usize);
        assert!(Ring::new(&map).is_ok());
    }
}
