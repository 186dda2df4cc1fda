//! The clusters that runs are made of: five nodes in one of three layouts.
//!
//! ```text
//!   N = 3, zone each        n1 | n2 | n3 | n4 | n5        most runs
//!   N = 3, three zones      n1 n4 | n2 n5 | n3            zones that hold two nodes
//!   N = 5, zone each        every key on every node       quorums of three
//! ```
//!
//! In some runs two more nodes may join, and members may leave or move.
//!
//! The maps are fixed, so that a ring, which takes a while to make, is made once in a process and shared by
//! all runs. What differs from seed to seed is drawn in [`Plan::of`](super::Plan::of).

use std::sync::{Arc, OnceLock};

use quoit_ring::placement::{Newcomer, Ring, grow, join};
use quoit_ring::wire::FirstMap;
use quoit_ring::{ClusterId, ClusterMap, Epoch, LeafBits, MerkleKey, NodeId, TokenKey};

use rand::Rng as _;
use rand::rngs::SmallRng;

use super::NODES;

/// How an operator changes the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// A node joins.
    Join,
    /// Two do.
    JoinTwo,
    /// A member leaves.
    Leave,
    /// One leaves, and another joins.
    Replace,
    /// A member moves to other places on the circle.
    Move,
}

impl Target {
    /// Every one.
    pub const ALL: [Self; 5] = [
        Self::Join,
        Self::JoinTwo,
        Self::Leave,
        Self::Replace,
        Self::Move,
    ];
}

/// A ring with its first map.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// The ring.
    pub ring: Arc<Ring>,
    /// The map.
    pub first: Arc<FirstMap>,
    zones: u64,
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

    /// The members of the first map, and so many nodes that may join.
    #[must_use]
    pub fn nodes(&self, spares: usize) -> Vec<NodeId> {
        let count = self.first.map.members.len() + spares;
        (1..=count as u64).map(NodeId).collect()
    }

    /// The map after a change; `None` if it cannot be made: nobody is left to join, or too few would stay.
    #[must_use]
    pub fn target(
        &self,
        map: &ClusterMap,
        removed: &[NodeId],
        wanted: Target,
        rng: &mut SmallRng,
    ) -> Option<ClusterMap> {
        let mut target = map.clone();
        let (leave, come) = match wanted {
            Target::Join => (false, 1),
            Target::JoinTwo => (false, 2),
            Target::Leave => (true, 0),
            Target::Replace => (true, 1),
            Target::Move => {
                let at = rng.random_range(0..target.members.len());
                let moved = target.members.remove(at).id;
                return self.joined(target, moved, rng);
            }
        };
        for _ in 0..come {
            let is_open = |node: &NodeId| {
                !removed.contains(node) && target.members.iter().all(|it| it.id != *node)
            };
            let next = self.nodes(2).into_iter().find(is_open)?;
            target = self.joined(target, next, rng)?;
        }
        if leave {
            if target.members.len() <= usize::from(target.replication) {
                return None;
            }
            let at = rng.random_range(0..map.members.len());
            let gone = map.members[at].id;
            target.members.retain(|member| member.id != gone);
        }
        Some(target)
    }

    /// The map without a member whose disk is lost, and with the last of so many spares in its place if that `joins`; `None`
    /// if too few would stay.
    #[must_use]
    pub fn without(
        &self,
        map: &ClusterMap,
        lost: NodeId,
        joins: Option<usize>,
        rng: &mut SmallRng,
    ) -> Option<ClusterMap> {
        let mut target = map.clone();
        target.members.retain(|member| member.id != lost);
        if let Some(spares) = joins {
            let spare = self.nodes(spares).pop()?;
            return self.joined(target, spare, rng);
        }
        (target.members.len() >= usize::from(target.replication)).then_some(target)
    }

    fn joined(&self, mut map: ClusterMap, node: NodeId, rng: &mut SmallRng) -> Option<ClusterMap> {
        let newcomer = newcomer(node.0 - 1, self.zones);
        join(&mut map, newcomer, rng.random()).ok()?;
        Some(map)
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
    let newcomers = (0..NODES as u64).map(|index| newcomer(index, zones));
    let map = grow(empty, newcomers, 11).expect("the newcomers fit");
    let ring = Ring::new(&map).expect("the map makes a ring");
    Cluster {
        zones,
        ring: Arc::new(ring),
        first: Arc::new(FirstMap {
            map,
            merkle_key: MerkleKey([5; 16]),
        }),
    }
}

fn newcomer(index: u64, zones: u64) -> Newcomer {
    Newcomer {
        id: NodeId(index + 1),
        name: format!("n{}", index + 1),
        address: format!("n{}:7440", index + 1),
        zone: format!("z{}", index % zones),
        weight: 10,
    }
}
