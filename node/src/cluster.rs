//! The cluster as one node sees it: its own id, and the epochs that it serves.
//!
//! ```text
//!   epoch       5             6           7             8
//!            refused        served      served       refused: this node is behind
//!                            fence      newest
//! ```
//!
//! A request names the epoch in which its sender looked up the owners, and is served by the owners of that epoch or not at
//! all. What is decided after an epoch is **learned** first, on the disk before it is served; then both are served until
//! the **fence** is raised, from when older epochs are refused, where a request arrives and again where a write is joined.
//! Answers announce the epoch at the fence: by the time that clients hear of one, the other nodes have learned it.
//!
//! Invariants: served are one epoch or several in a row; the first of them is the fence, and neither it nor the last one
//! ever falls. So a restart, which begins with the newest one only, refuses all that was refused before.
//!
//! Left out: who decides, and when a node learns or is fenced.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use bytes::Bytes;
use quoit_ring::change::Topology;
use quoit_ring::placement::Ring;
use quoit_ring::wire::Refusal;
use quoit_ring::wire::map::encode_map;
use quoit_ring::{Epoch, Leaf, LeafBits, NodeId, Token, TokenKey, token_of};

/// One epoch: who owns what in it, and its encoding for answers.
#[derive(Debug, Clone)]
pub struct Known {
    /// Who owns what.
    pub topology: Topology,
    /// What is agreed on in it, encoded.
    pub encoded: Bytes,
}

/// A node, and the epochs that it serves.
#[derive(Debug)]
pub struct ClusterView {
    /// This node.
    pub node: NodeId,
    // The same in every epoch, so a key's leaf is found without a lock.
    token_key: TokenKey,
    leaf_bits: LeafBits,
    /// The epoch at the fence: what answers carry.
    announced: AtomicU64,
    /// Ascending, never empty.
    served: RwLock<Vec<Known>>,
}

impl ClusterView {
    /// The view of `node` in a cluster that goes by one ring.
    #[must_use]
    pub fn new(node: NodeId, ring: Ring) -> Self {
        let encoded = encode_map(ring.map()).into();
        let topology = Topology::of(ring);
        Self::at(node, Known { topology, encoded })
    }

    /// The view of `node` in this epoch.
    #[must_use]
    pub fn at(node: NodeId, known: Known) -> Self {
        let map = known.topology.source().map();
        Self {
            node,
            token_key: map.token_key,
            leaf_bits: map.leaf_bits,
            announced: AtomicU64::new(known.topology.epoch().0),
            served: RwLock::new(vec![known]),
        }
    }

    /// The epoch that answers carry: older ones are refused.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        Epoch(self.announced.load(Ordering::Acquire))
    }

    /// The leaf of `key`.
    #[must_use]
    pub fn leaf_of(&self, key: &[u8]) -> Leaf {
        self.leaf_bits.leaf_of(self.token_of(key))
    }

    /// The place of `key` on the circle.
    #[must_use]
    pub fn token_of(&self, key: &[u8]) -> Token {
        token_of(&self.token_key, key)
    }

    /// Whether `node` owns `leaf` in `epoch`.
    ///
    /// # Errors
    /// [`Refusal::OldEpoch`] or [`Refusal::Behind`] if that epoch is not served.
    pub fn owns(&self, epoch: Epoch, node: NodeId, leaf: Leaf) -> Result<bool, Refusal> {
        let served = self.read();
        at(&served, epoch).map(|known| known.topology.owns(node, leaf))
    }

    /// Refuses an epoch that is not served.
    ///
    /// # Errors
    /// [`Refusal::OldEpoch`] or [`Refusal::Behind`].
    pub fn serves(&self, epoch: Epoch) -> Result<(), Refusal> {
        if epoch == self.epoch() {
            return Ok(()); // all but ever, and without a lock
        }
        at(&self.read(), epoch).map(|_known| ())
    }

    /// The epoch that is announced.
    #[must_use]
    pub fn current(&self) -> Known {
        let served = self.read();
        served[0].clone()
    }

    /// The newest epoch that this node has learned: who is a member by it is one.
    #[must_use]
    pub fn newest(&self) -> Topology {
        let served = self.read();
        served[served.len() - 1].topology.clone()
    }

    /// Serves a newer epoch, too, which is on the disk; false if it is none. Epochs that this node has missed take those
    /// before them along: it does not know who owned what in between.
    pub(crate) fn learn(&self, known: Known) -> bool {
        let epoch = known.topology.epoch();
        let mut served = self.served.write().unwrap_or_else(PoisonError::into_inner);
        let newest = served[served.len() - 1].topology.epoch();
        if epoch <= newest {
            return false;
        }
        if epoch.0 > newest.0 + 1 {
            served.clear();
        }
        served.push(known);
        self.announce(&served);
        true
    }

    /// Refuses all epochs before `fence`, as far as this node has learned later ones. The epoch that it refuses all
    /// before from now on.
    pub(crate) fn fence(&self, fence: Epoch) -> Epoch {
        let mut served = self.served.write().unwrap_or_else(PoisonError::into_inner);
        let last = served.len() - 1;
        let is_before = |known: &&Known| known.topology.epoch() < fence;
        let before = served.iter().take_while(is_before).count();
        served.drain(..before.min(last));
        self.announce(&served);
        served[0].topology.epoch()
    }

    fn announce(&self, served: &[Known]) {
        let in_a_row =
            |pair: &[Known]| pair[0].topology.epoch().0 + 1 == pair[1].topology.epoch().0;
        debug_assert!(served.windows(2).all(in_a_row), "none is left out");
        let fence = served[0].topology.epoch().0;
        let before = self.announced.swap(fence, Ordering::AcqRel);
        debug_assert!(before <= fence, "a fence never falls");
    }

    fn read(&self) -> RwLockReadGuard<'_, Vec<Known>> {
        self.served.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The epoch among those that are served.
fn at(served: &[Known], epoch: Epoch) -> Result<&Known, Refusal> {
    let found = served.iter().find(|known| known.topology.epoch() == epoch);
    found.ok_or(if epoch < served[0].topology.epoch() {
        Refusal::OldEpoch
    } else {
        Refusal::Behind
    })
}

#[cfg(test)]
mod tests {
    use quoit_ring::change::{Arcs, Configuration};

    use super::*;
    use crate::testing::{SELF, ring};

    /// A ring of one that becomes one of two, epoch by epoch; with the view of its member in the first one.
    fn epochs() -> (ClusterView, Vec<Known>) {
        let mut now = Configuration::first(ring(1).map().clone()).unwrap();
        let mut epochs = Vec::new();
        let begun = now.begin(ring(2).map().clone(), Arcs::FULL).unwrap();
        let mut next = Some(begun);
        while let Some(configuration) = next {
            now = configuration;
            epochs.push(Known {
                topology: Topology::new(&now, None).unwrap(),
                encoded: Bytes::new(),
            });
            next = now.step();
        }
        (ClusterView::new(SELF, ring(1)), epochs)
    }

    #[test]
    fn epochs_from_the_fence_to_the_newest_are_served() {
        let (cluster, epochs) = epochs();
        assert_eq!(cluster.serves(Epoch(3)), Err(Refusal::Behind));
        assert!(cluster.learn(epochs[0].clone()) && !cluster.learn(epochs[0].clone()));
        assert_eq!(cluster.epoch(), Epoch(2), "it is not announced yet");
        assert_eq!(
            [2, 3].map(|epoch| cluster.serves(Epoch(epoch))),
            [Ok(()); 2]
        );

        assert_eq!(cluster.fence(Epoch(9)), Epoch(3), "as far as it knows");
        assert_eq!(cluster.serves(Epoch(2)), Err(Refusal::OldEpoch));
        assert_eq!(
            (cluster.serves(Epoch(3)), cluster.epoch()),
            (Ok(()), Epoch(3))
        );
        assert_eq!(cluster.fence(Epoch(1)), Epoch(3), "it never falls");
    }

    #[test]
    fn a_node_that_has_missed_epochs_serves_none_before() {
        let (cluster, epochs) = epochs();
        assert!(cluster.learn(epochs[0].clone()) && cluster.learn(epochs[2].clone()));
        let answers = [2, 3, 4, 5].map(|epoch| cluster.serves(Epoch(epoch)).err());
        let old = Some(Refusal::OldEpoch);
        assert_eq!(answers, [old, old, old, None]);
    }

    #[test]
    fn a_leaf_has_its_owners_by_epoch() {
        let (cluster, epochs) = epochs();
        let last = epochs.last().unwrap().topology.clone();
        let moved = (0..1 << 12).map(Leaf).find(|&leaf| !last.owns(SELF, leaf));
        let moved = moved.expect("the second member owns some");
        for known in epochs {
            let epoch = known.topology.epoch();
            let owns = known.topology.owns(SELF, moved);
            assert!(cluster.learn(known));
            assert_eq!(cluster.owns(epoch, SELF, moved), Ok(owns));
        }
        assert_eq!(cluster.owns(Epoch(2), SELF, moved), Ok(true));
        let last = cluster.newest().epoch();
        assert_eq!(cluster.owns(last, SELF, moved), Ok(false));
    }
}
