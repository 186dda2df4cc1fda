//! Which owners of a leaf send its rows in a scan: client and node must agree on that.
//!
//! ```text
//!   list of the leaf     n3   n1   n2        2 of them, without n3:   n1 with values, n2 versions alone
//!   while it moves       n3   n1   n2 -> n1 n2 n4, without n3:        n1 n2, and of the new list the same two
//! ```
//!
//! Left out: whether so many are enough.

use smallvec::SmallVec;

use super::topology::OwnerLists;
use crate::cluster::NodeId;

/// The owners that send the rows of a leaf, each once; the first sends values.
pub type Covering = SmallVec<[NodeId; 6]>;

impl OwnerLists<'_> {
    /// The first `count` owners that are not in `without`, which ascends; while the leaf moves, so many of either list.
    ///
    /// ```
    /// # use quoit_ring::change::Topology;
    /// # use quoit_ring::placement::{grow, Newcomer, Ring};
    /// # use quoit_ring::{ClusterId, ClusterMap, Epoch, LeafBits, NodeId, TokenKey};
    /// # let newcomer = |id: u64| Newcomer {
    /// #     id: NodeId(id), name: format!("n{id}"), address: "h:1".into(), zone: "z".into(), weight: 100,
    /// # };
    /// # let empty = ClusterMap {
    /// #     cluster: ClusterId(1), epoch: Epoch(1), token_key: TokenKey([0; 16]),
    /// #     leaf_bits: LeafBits::FULL, replication: 3, members: vec![],
    /// # };
    /// let topology = Topology::of(Ring::new(&grow(empty, (1..=5).map(newcomer), 1)?)?);
    /// let lists = topology.lists(topology.token_of(b"cart:42"));
    /// let owners: Vec<NodeId> = lists.owners().collect();
    /// assert_eq!(lists.covering(2, &[])[..], owners[..2]);
    /// assert_eq!(lists.covering(2, &owners[..1])[..], owners[1..]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn covering(&self, count: usize, without: &[NodeId]) -> Covering {
        let is_left = |node: &NodeId| without.binary_search(node).is_err();
        let mut covering: Covering = self.old_owners().filter(is_left).take(count).collect();
        for node in self.new_owners().filter(is_left).take(count) {
            if !covering.contains(&node) {
                covering.push(node);
            }
        }
        covering
    }
}
