//! When a moving range is fenced, and when its new owners are complete: what the next epoch waits for.
//!
//! ```text
//!   fenced     a majority of the old list refuses older epochs, durably
//!   complete   each receiver has pulled from a majority of the old list, each behind its own fence, and has synced
//! ```
//!
//! *Fenced* is never lowered because a node is suspected to be dead: it may not be, and still serve who does not know.
//! Receivers are the new owners; if the list gets shorter, those who stay, too, since a majority of fewer must then hold
//! what a majority of more held.
//!
//! Source: the models of this crate's tests: without any of these rules they find an acknowledged write that is lost.

use smallvec::SmallVec;

use crate::cluster::NodeId;

/// One range that moves: its owners before and after.
///
/// ```
/// use quoit_ring::NodeId;
/// use quoit_ring::change::RangeChange;
///
/// let [a, b, c, d] = [1, 2, 3, 4].map(NodeId);
/// let range = RangeChange { old: &[a, b, c], new: &[d, b, c] };
/// assert!(range.receivers().eq([d]));
/// assert!(range.is_fenced(|node| [a, b].contains(&node)));
/// assert!(!range.is_complete(|_receiver, source| source == a), "one source is no majority");
/// assert!(range.is_complete(|_receiver, source| source != b));
///
/// let shorter = RangeChange { old: &[a, b, c], new: &[b, c] };
/// assert!(shorter.receivers().eq([b, c]), "they sync");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RangeChange<'a> {
    /// The owners before.
    pub old: &'a [NodeId],
    /// The owners after.
    pub new: &'a [NodeId],
}

impl<'a> RangeChange<'a> {
    /// Who has to pull before the step is complete.
    pub fn receivers(self) -> impl Iterator<Item = NodeId> + use<'a> {
        let is_shorter = self.new.len() < self.old.len();
        let new = self.new.iter().copied();
        new.filter(move |node| is_shorter || !self.old.contains(node))
    }

    /// Whether enough old owners refuse older epochs.
    #[must_use]
    pub fn is_fenced(self, is_fenced: impl Fn(NodeId) -> bool) -> bool {
        let fenced = self.old.iter().filter(|&&node| is_fenced(node)).count();
        fenced >= majority(self.old.len())
    }

    /// Whether every receiver has pulled from enough old owners, itself among them if it is one. `has_pulled` says of a
    /// receiver and a source whether what the source held behind its fence is durable at the receiver.
    #[must_use]
    pub fn is_complete(self, has_pulled: impl Fn(NodeId, NodeId) -> bool) -> bool {
        let needed = majority(self.old.len());
        self.receivers().all(|receiver| {
            let pulled = |&&source: &&NodeId| source == receiver || has_pulled(receiver, source);
            self.old.iter().filter(pulled).count() >= needed
        })
    }

    /// Which nodes a receiver should still pull from, given what it has pulled: those that have failed least often come first.
    /// Empty once it has enough.
    #[must_use]
    pub fn sources(
        self,
        receiver: NodeId,
        has_pulled: impl Fn(NodeId) -> bool,
        failures: impl Fn(NodeId) -> u32,
    ) -> SmallVec<[NodeId; 3]> {
        let done = |&source: &NodeId| source == receiver || has_pulled(source);
        let pulled = self.old.iter().filter(|&source| done(source)).count();
        let missing = majority(self.old.len()).saturating_sub(pulled);
        let open = self.old.iter().copied().filter(|source| !done(source));
        let mut open: SmallVec<[NodeId; 3]> = open.collect();
        open.sort_by_key(|&source| failures(source)); // stable
        open.truncate(missing);
        open
    }
}

/// More than half of `n`.
#[must_use]
pub const fn majority(n: usize) -> usize {
    n / 2 + 1
}
