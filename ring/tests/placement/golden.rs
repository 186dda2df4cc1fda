//! A ring small enough to check by hand.

use crate::{empty_map, member};
use quoit_ring::placement::Ring;
use quoit_ring::{ClusterMap, Leaf, NodeId};

/// Sixteen leaves, five nodes in three zones, three copies. The circle, leaf by leaf:
///
/// ```text
///   leaf   0  1  2  3  4  5  6  7  8  9 10 11 12 13 14 15
///   vnode  . a1  . a2  . b1  . c1  . b2  . a1  . b1  . a2
/// ```
fn small_map() -> ClusterMap {
    let mut map = empty_map(4, 3);
    map.members = vec![
        member(0xa1, "a", [1, 11]),
        member(0xa2, "a", [3, 15]),
        member(0xb1, "b", [5, 13]),
        member(0xb2, "b", [9]),
        member(0xc1, "c", [7]),
    ];
    map
}

/// `leaf: owners | fallbacks`
fn line(ring: &Ring, leaf: Leaf) -> String {
    let names = |nodes: Vec<NodeId>| {
        let names: Vec<String> = nodes.iter().map(|node| format!("{:x}", node.0)).collect();
        names.join(" ")
    };
    let list = ring.list_of_leaf(leaf);
    let (owners, fallbacks) = (list.owners().collect(), list.fallbacks().collect());
    format!("{:2}: {} | {}", leaf.0, names(owners), names(fallbacks))
}

#[test]
fn leaves_have_golden_preference_lists() {
    let ring = Ring::new(&small_map()).unwrap();
    assert_eq!(
        [1, 2, 4, 6, 8, 11, 12, 14, 15].map(|leaf| line(&ring, Leaf(leaf))),
        [
            " 1: a1 b1 c1 | a2 b2",
            " 2: a2 b1 c1 | b2 a1",
            " 4: b1 c1 a1 | b2 a2",
            " 6: c1 b2 a1 | b1 a2",
            " 8: b2 a1 c1 | b1 a2",
            "11: a1 b1 c1 | a2 b2",
            "12: b1 a2 c1 | a1 b2",
            "14: a2 b1 c1 | a1 b2",
            "15: a2 b1 c1 | a1 b2",
        ]
    );
}

#[test]
fn keys_have_golden_preference_lists() {
    let ring = Ring::new(&small_map()).unwrap();
    let keys = [
        "apple",
        "banana",
        "cart:{42}:items",
        "cart:{42}:total",
        "zebra",
    ];
    let leaf_of = |key: &str| ring.leaf_bits().leaf_of(ring.token_of(key.as_bytes()));
    assert_eq!(
        keys.map(|key| format!("{key} on {}", line(&ring, leaf_of(key)))),
        [
            "apple on 14: a2 b1 c1 | a1 b2",
            "banana on  7: c1 b2 a1 | b1 a2",
            "cart:{42}:items on 11: a1 b1 c1 | a2 b2",
            "cart:{42}:total on 11: a1 b1 c1 | a2 b2",
            "zebra on 12: b1 a2 c1 | a1 b2",
        ]
    );
}
