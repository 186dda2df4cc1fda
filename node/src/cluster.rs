//! The cluster as one node sees it: its own id, and the ring.

use bytes::Bytes;
use quoit_ring::placement::Ring;
use quoit_ring::wire::map::encode_map;
use quoit_ring::{Epoch, Leaf, NodeId};

/// A node and its ring. Does not change while the node runs.
#[derive(Debug)]
pub struct ClusterView {
    /// This node.
    pub node: NodeId,
    /// The ring: which nodes own which keys.
    pub ring: Ring,
    /// The ring's map, encoded for answers.
    pub map: Bytes,
}

impl ClusterView {
    /// The view of `node`.
    #[must_use]
    pub fn new(node: NodeId, ring: Ring) -> Self {
        let map = encode_map(ring.map()).into();
        Self { node, ring, map }
    }

    /// The ring's epoch.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.ring.epoch()
    }

    /// The leaf of `key`.
    #[must_use]
    pub fn leaf_of(&self, key: &[u8]) -> Leaf {
        self.ring.leaf_bits().leaf_of(self.ring.token_of(key))
    }
}
