//! Whether a node has all that it acknowledged, or has lost its last writes with its machine's power.
//!
//! ```text
//!   start, after a loss of power that the cache did not outlive   meta: incomplete, synced   reads refused
//!   refilled from the other owners, synced                        meta: nothing              reads answered
//! ```
//!
//! An incomplete node is an owner all the same: it takes writes, repairs, hints and votes, and what it acknowledges it
//! holds. What it does not hold says nothing, so it answers no reads and no sums, and nobody counts it as one who has all
//! of a range that moves.
//!
//! Left out: whether something was lost ([`LastRun`](crate::identity::LastRun)), and how it is got back (`change::refill`).

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use quoit_ring::Moment;
use quoit_ring::wire::Refusal;

/// Whether the node is complete, for all its threads.
#[derive(Debug, Default)]
pub struct Completeness {
    is_incomplete: AtomicBool,
    /// When nothing is under way any more that was acknowledged before the loss, in microseconds.
    settles_at: AtomicU64,
    refilled_rows: AtomicU64,
}

impl Completeness {
    /// Whether it has all that it acknowledged.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        !self.is_incomplete.load(Ordering::Acquire)
    }

    /// Refuses what only a complete node answers.
    ///
    /// # Errors
    /// [`Refusal::Incomplete`].
    pub fn check(&self) -> Result<(), Refusal> {
        if self.is_complete() {
            Ok(())
        } else {
            Err(Refusal::Incomplete)
        }
    }

    /// From when on it may be refilled: earlier, another owner could still be about to join a write for whose quorum this
    /// node counts, and has lost.
    #[must_use]
    pub fn settles_at(&self) -> Moment {
        Moment(self.settles_at.load(Ordering::Acquire))
    }

    /// Rows that it was sent again since its start.
    #[must_use]
    pub fn refilled_rows(&self) -> u64 {
        self.refilled_rows.load(Ordering::Relaxed)
    }

    /// It is incomplete, as it is stored.
    pub(crate) fn lose(&self) {
        self.is_incomplete.store(true, Ordering::Release);
    }

    pub(crate) fn set_settles_at(&self, at: Moment) {
        self.settles_at.store(at.0, Ordering::Release);
    }

    pub(crate) fn add_refilled(&self, rows: usize) {
        let rows = u64::try_from(rows).unwrap_or(u64::MAX);
        self.refilled_rows.fetch_add(rows, Ordering::Relaxed);
    }

    /// It is complete, as it is stored.
    pub(crate) fn complete(&self) {
        self.is_incomplete.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_complete_unless_it_has_lost_something_it_did_not_get_back() {
        let completeness = Completeness::default();
        assert_eq!(completeness.check(), Ok(()));
        completeness.lose();
        assert_eq!(completeness.check(), Err(Refusal::Incomplete));
        completeness.add_refilled(3);
        completeness.complete();
        assert!(completeness.is_complete() && completeness.refilled_rows() == 3);
    }
}
