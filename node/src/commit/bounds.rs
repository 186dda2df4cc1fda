//! The bounds on one key's record, held wherever records are joined. Pure.
//!
//! ```text
//!   bounds on            siblings          intervals of seen     bytes
//!   a client's put       max_siblings      MAX_INTERVALS         max_record_bytes
//!   repair, delivery     N times each: what N replicas, all within the bounds on puts, hold together
//! ```
//!
//! Whatever changes a record is paid for by the one thread that commits, and a record is read, joined and written as a
//! whole. So a key without bounds would take the node from all others. Clients send repairs, since read repair is
//! theirs, so the bounds hold for everybody.
//!
//! **Replicas that differ.** A repair is refused where replicas were filled with more than N times what each of them
//! may take from clients. Fallbacks of sloppy writes are not among the N, and each may keep as much of a key for an
//! owner: so a delivery may be refused although each write in it was within its bounds. The replicas stay different
//! then, which a quorum read reports, and the node's status and log. Any write that has seen what is there makes the
//! record smaller, and is joined by all, unless it brings more intervals than allowed. One without a context always is:
//! so a key can always be mended, and never only by an operator.
//!
//! Invariant: a join leaves a record within its bounds, or no larger than it was.

use quoit_ring::Record;
use quoit_ring::wire::{Refusal, record_len};

use crate::config::Limits;

/// Most of everything that a record may have.
#[derive(Debug, Clone, Copy)]
pub(super) struct RecordBounds {
    siblings: usize,
    intervals: usize,
    bytes: usize,
}

impl RecordBounds {
    /// The bounds on what clients may put.
    pub(super) const fn of_puts(limits: &Limits) -> Self {
        Self {
            siblings: limits.max_siblings,
            intervals: limits.max_intervals,
            bytes: limits.max_record_bytes,
        }
    }

    /// The bounds on what `copies` replicas may have become together.
    pub(super) const fn of_repairs(limits: &Limits, copies: usize) -> Self {
        Self {
            siblings: limits.max_siblings.saturating_mul(copies),
            intervals: limits.max_intervals.saturating_mul(copies),
            bytes: limits.merged_record_bytes(copies),
        }
    }

    /// Joins `other` into `current`.
    ///
    /// # Errors
    /// The bound that would be passed; nothing was joined.
    pub(super) fn join(&self, current: &mut Record, other: &Record) -> Result<(), Refusal> {
        // The common case needs no copy: a join has no more of anything than both have together.
        if self.surely_hold(current, other) {
            current.join(other);
            return Ok(());
        }
        *current = self.joined(current, other)?;
        Ok(())
    }

    /// What `current` becomes with `other`.
    ///
    /// # Errors
    /// The bound that would be passed.
    pub(super) fn joined(&self, current: &Record, other: &Record) -> Result<Record, Refusal> {
        let mut joined = current.clone();
        joined.join(other);
        self.check(current, &joined)?;
        Ok(joined)
    }

    fn surely_hold(&self, a: &Record, b: &Record) -> bool {
        let siblings = a.live().len() + b.live().len();
        let intervals = a.seen().intervals().len() + b.seen().intervals().len();
        siblings <= self.siblings
            && intervals <= self.intervals
            && most_bytes(a) + most_bytes(b) <= self.bytes
    }

    /// Refuses what would take the record beyond its bounds; what leaves it no larger may pass, or nothing could ever
    /// be merged or deleted there.
    fn check(&self, current: &Record, joined: &Record) -> Result<(), Refusal> {
        let grows = |now: usize, before: usize, max: usize| now > max && now > before;

        let [siblings, before] = [joined, current].map(|record| record.live().len());
        if grows(siblings, before, self.siblings) {
            let max = u32::try_from(self.siblings).unwrap_or(u32::MAX);
            return Err(Refusal::TooManySiblings { max });
        }

        let [intervals, before] = [joined, current].map(|record| record.seen().intervals().len());
        if grows(intervals, before, self.intervals) {
            let [intervals, max] = [intervals, self.intervals].map(wide);
            return Err(Refusal::SeenTooLarge { intervals, max });
        }

        let bytes = record_len(joined);
        if grows(bytes, record_len(current), self.bytes) {
            let [bytes, max] = [bytes, self.bytes].map(wide);
            return Err(Refusal::RecordTooLarge { bytes, max });
        }
        Ok(())
    }
}

/// What a record's encoding has at most: fixed fields, and every number at its longest.
pub(super) fn most_bytes(record: &Record) -> usize {
    32 + 48 * record.live().len() + 32 * record.seen().intervals().len() + record.value_bytes()
}

fn wide(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}
