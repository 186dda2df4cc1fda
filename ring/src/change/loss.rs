//! What is lost if the disks of some members are.
//!
//! ```text
//!   owners   a b c      lost  c      a majority is left: nothing that a majority acknowledged is lost
//!   owners   a b c      lost  b c    none is: what only b and c had is lost, and nothing can be read or written
//!   owners   a b c      lost  a b c  all of it is lost
//! ```
//!
//! Source: quorum intersection; a write with fewer copies than a majority (W = 1) may be lost in each case.

use super::known::Known;
use crate::cluster::NodeId;

/// Shares of the circle, 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Loss {
    /// Of which no majority of the owners is left, those without any included.
    pub no_majority: f64,
    /// Of which no owner is left.
    pub no_copy: f64,
}

impl Known {
    /// What is lost with the copies of these members, and of those that are written off already. Looks at each range of the
    /// ring: some milliseconds at 100 members.
    ///
    /// ```
    /// use quoit_ring::change::Known;
    /// # use quoit_ring::placement::{grow, Newcomer, Ring};
    /// # use quoit_ring::{ClusterId, ClusterMap, Epoch, LeafBits, NodeId, TokenKey};
    /// # let newcomer = |id: u64| Newcomer {
    /// #     id: NodeId(id), name: format!("n{id}"), address: "h:1".into(), zone: "z".into(), weight: 100,
    /// # };
    /// # let empty = ClusterMap {
    /// #     cluster: ClusterId(1), epoch: Epoch(1), token_key: TokenKey([0; 16]),
    /// #     leaf_bits: LeafBits::FULL, replication: 3, members: vec![],
    /// # };
    /// let known = Known::of(Ring::new(&grow(empty, (1..=4).map(newcomer), 1)?)?);
    /// assert_eq!(known.loss(&[NodeId(1)]).no_majority, 0.0);
    /// let of_two = known.loss(&[NodeId(1), NodeId(2)]);
    /// assert!((0.4..0.6).contains(&of_two.no_majority) && of_two.no_copy == 0.0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn loss(&self, lost: &[NodeId]) -> Loss {
        let removed = &self.configuration().removed;
        let is_lost = |node: &NodeId| lost.contains(node) || removed.binary_search(node).is_ok();
        let (mut no_majority, mut no_copy) = (0_u64, 0_u64);
        for stretch in self.topology().stretches() {
            let leaves = u64::from(stretch.leaves.end().0 - stretch.leaves.start().0) + 1;
            let lists = [
                stretch.lists.old_owners().collect::<Vec<_>>(),
                stretch.lists.new_owners().collect(),
            ];
            let left = |list: &Vec<NodeId>| list.iter().filter(|node| !is_lost(node)).count();
            // Where it moves, both lists must have a majority; else the second one is empty.
            let mut owned = lists.iter().filter(|list| !list.is_empty());
            if owned.any(|list| left(list) * 2 <= list.len()) {
                no_majority += leaves;
            }
            if left(&lists[0]) == 0 {
                no_copy += leaves;
            }
        }

        #[expect(clippy::cast_precision_loss, reason = "there are 2^20 leaves at most")]
        let share = |leaves: u64| leaves as f64 / f64::from(self.topology().leaf_bits().count());
        Loss {
            no_majority: share(no_majority),
            no_copy: share(no_copy),
        }
    }
}
