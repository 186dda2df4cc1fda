//! The clusters that runs are made of: five nodes in one of three layouts.
//!
//! ```text
//!   N = 3, zone each        n1 | n2 | n3 | n4 | n5        most runs
//!   N = 3, three zones      n1 n4 | n2 n5 | n3            zones that hold two nodes
//!   N = 5, zone each        every key on every node       quorums of three
//! ```
//!
//! Some runs go through epochs in which the ring begins to change into another one of the same nodes.
//!
//! The maps are fixed, so that a ring, which takes a while to make, is made once in a process and shared by
//! all runs. What differs from seed to seed is drawn in [`Plan::of`](super::Plan::of).

use std::sync::{Arc, OnceLock};

use quoit_ring::change::{Arcs, Known};
use quoit_ring::placement::{Newcomer, Ring, grow};
use quoit_ring::wire::FirstMap;
use quoit_ring::{ClusterId, ClusterMap, Epoch, LeafBits, MerkleKey, NodeId, TokenKey};

use super::NODES;

/// Most epochs that a run goes through, after the first one: an even number, so that the last one is none of a change.
pub const MAX_EPOCHS: usize = 8;

/// A ring with its first map.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// The ring.
    pub ring: Arc<Ring>,
    /// The map.
    pub first: Arc<FirstMap>,
    /// The epochs that it may go through, the first one included: a change of the ring is begun, and reverted, in turn. So
    /// every other one is joint, and nothing has to be moved.
    pub epochs: Arc<Vec<Known>>,
}

impl Cluster {
    /// Five nodes with so many copies of each key, in as many zones. Rings are made once in a process.
    ///
    /// # Panics
    /// Never: the maps are fixed and make rings.
    #[must_use]
    pub fn of(replication: u8, zones: u64) -> Self {
        static MADE: OnceLock<Vec<((u8, u64), Cluster)>> = OnceLock::new();
        let all = MADE.get_or_init(|| {
            let variants = [(3, 5), (3, 3), (5, 5)];
            variants
                .into_iter()
                .map(|(n, zones)| ((n, zones), make(n, zones)))
                .collect()
        });
        let found = all
            .iter()
            .find(|(variant, _)| *variant == (replication, zones));
        found.map_or_else(|| make(replication, zones), |(_, cluster)| cluster.clone())
    }
}

#[expect(clippy::expect_used, reason = "a fixed map, covered by a test")]
fn make(replication: u8, zones: u64) -> Cluster {
    let empty = ClusterMap {
        cluster: ClusterId(7),
        epoch: Epoch(1),
        token_key: TokenKey([3; 16]),
        leaf_bits: LeafBits::new(8).expect("8 bits are in range"),
        replication,
        members: Vec::new(),
    };
    let newcomer = |index: u64| Newcomer {
        id: NodeId(index + 1),
        name: format!("n{}", index + 1),
        address: format!("n{}:7440", index + 1),
        zone: format!("z{}", index % zones),
        weight: 10,
    };
    let grown = |seed| {
        let newcomers = (0..NODES as u64).map(newcomer);
        grow(empty.clone(), newcomers, seed).expect("the newcomers fit")
    };
    let (map, target) = (grown(11), grown(12));
    let ring = Ring::new(&map).expect("the map makes a ring");
    Cluster {
        epochs: Arc::new(epochs(Known::of(ring.clone()), &target)),
        ring: Arc::new(ring),
        first: Arc::new(FirstMap {
            map,
            merkle_key: MerkleKey([5; 16]),
        }),
    }
}

/// The epochs of a cluster that begins to change into `target`, and goes back, again and again.
#[expect(clippy::expect_used, reason = "fixed maps, covered by a test")]
fn epochs(first: Known, target: &ClusterMap) -> Vec<Known> {
    let whole = Arcs::new(1).expect("one is a power of two");
    let mut epochs = vec![first];
    for _ in 0..MAX_EPOCHS {
        let last = &epochs[epochs.len() - 1];
        let now = last.configuration();
        let next = now
            .revert()
            .map_or_else(|| now.begin(target.clone(), whole), Ok);
        let next = last.later(next.expect("the maps are of one cluster"));
        epochs.push(next.expect("both maps make rings"));
    }
    epochs
}
