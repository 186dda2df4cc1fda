//! What goes on in the background: writes that have returned, and requests that nobody waits for any more.
//!
//! ```text
//!   put -- W answers --> returned, its permit free         a late owner's request waits in the outbox
//!                          |  a third of the bound for each late owner, two thirds in all
//!          has every owner, or a hint, or no more room --> over
//!                          |  a third, of requests that were never answered
//!                          '--> a sweep: the outboxes drop what belongs to no operation
//! ```
//!
//! The permits of operations bound what waits in outboxes for them. A write that has returned has none, or an owner that
//! does not read would stop its whole client. So these bytes have bounds of their own. At the first a write is over
//! early: whoever is late gets it as long as its request waits, or from repair, and the write counts as a hint forgone. At
//! the second all requests are taken back whose operations are over; the owner has missed them, as it would have if its
//! connection had broken. No operation that is under way loses a request, so no caller notices either bound.
//!
//! In another epoch a write that has returned is sent to owners that lack it. It counts for those from then on, and for no
//! others; if there is no room it is over. What waits for the owners before counts as unanswered, and if that is too much
//! it is taken back before anything is sent in the new epoch.
//!
//! Invariant: what waits in all outboxes, repairs and hints apart, is at most the bytes of operations with a permit, and
//! the bound. What is counted is never too little: a record counts for each node that it waits for, and a write minted again
//! counts its earlier requests as unanswered.

use std::collections::BTreeMap;

use quoit_ring::NodeId;

/// The default bound: a third of it, 8 MiB, holds what a node reads in a tenth of a second.
pub(crate) const DEFAULT_BOUND: usize = 24 << 20;

/// Bytes in the background, counted.
#[derive(Debug)]
pub(crate) struct Background {
    /// A third of the bound: for one late owner, and for requests that nobody waits for. All late owners have two.
    third: usize,
    pending: usize,
    /// By late owner. A node stays here for ever: there are as many as the cluster has had.
    pending_for: BTreeMap<NodeId, usize>,
    abandoned: usize,
}

impl Background {
    /// Nothing yet, of at most so many bytes.
    pub(crate) const fn new(bound: usize) -> Self {
        Self {
            third: bound / 3,
            pending: 0,
            pending_for: BTreeMap::new(),
            abandoned: 0,
        }
    }

    /// A write of so many bytes has returned, and these owners are late. False if there is no room for it: then it is to
    /// end at once. It counts until [`Background::end`] in any case.
    pub(crate) fn begin(&mut self, bytes: usize, late: &[NodeId]) -> bool {
        self.pending += bytes;
        let mut has_room = self.pending <= 2 * self.third;
        for &node in late {
            let pending = self.pending_for.entry(node).or_default();
            *pending += bytes;
            has_room &= *pending <= self.third;
        }
        has_room
    }

    /// The same write is over.
    pub(crate) fn end(&mut self, bytes: usize, late: &[NodeId]) {
        debug_assert!(self.pending >= bytes, "counted when it returned");
        self.pending = self.pending.saturating_sub(bytes);
        for &node in late {
            self.answered(bytes, node);
        }
    }

    /// An owner of a write of so many bytes is no longer late: nothing of it waits for that owner.
    pub(crate) fn answered(&mut self, bytes: usize, node: NodeId) {
        if let Some(pending) = self.pending_for.get_mut(&node) {
            *pending = pending.saturating_sub(bytes);
        }
    }

    /// Nobody waits any more for requests of so many bytes, which may still wait in outboxes.
    pub(crate) const fn abandon(&mut self, bytes: usize) {
        self.abandoned += bytes;
    }

    /// Whether the outboxes are to be swept; asks once each time.
    pub(crate) const fn take_sweep(&mut self) -> bool {
        let is_due = self.abandoned > self.third;
        if is_due {
            self.abandoned = 0;
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;
    const A: NodeId = NodeId(1);
    const B: NodeId = NodeId(2);

    #[test]
    fn one_late_owner_leaves_room_for_another() {
        let mut background = Background::new(DEFAULT_BOUND);
        for _ in 0..8 {
            assert!(background.begin(MIB, &[A]));
        }
        assert!(!background.begin(MIB, &[A]));
        assert!(background.begin(MIB, &[B]));
        background.end(MIB, &[A]);
        assert!(!background.begin(1, &[A]), "there are 8 MiB again");
        background.end(1, &[A]);
        background.end(MIB, &[A]);
        assert!(background.begin(1, &[A]));
    }

    #[test]
    fn a_write_that_one_owner_holds_up_leaves_another_that_has_answered_its_room() {
        let mut background = Background::new(DEFAULT_BOUND);
        for _ in 0..8 {
            assert!(background.begin(MIB, &[A, B]));
            background.answered(MIB, B);
        }
        assert!(background.begin(8 * MIB, &[B]));
        background.end(MIB, &[A]);
        assert_eq!(background.pending_for[&A], 7 * MIB);
        assert_eq!(background.pending_for[&B], 8 * MIB);
    }

    #[test]
    fn all_late_owners_together_have_a_bound() {
        let mut background = Background::new(DEFAULT_BOUND);
        for id in 0..16 {
            assert!(background.begin(MIB, &[NodeId(id)]));
        }
        assert!(!background.begin(MIB, &[NodeId(16)]));
    }

    #[test]
    fn a_sweep_is_due_after_every_eight_mebibytes() {
        let mut background = Background::new(DEFAULT_BOUND);
        background.abandon(8 * MIB);
        assert!(!background.take_sweep());
        background.abandon(1);
        assert!(background.take_sweep() && !background.take_sweep());
    }
}
