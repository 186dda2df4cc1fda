//! Registers: what handlers and committer share of conditional writes.
//!
//! ```text
//!   promises   key -> the ballot below which nothing is taken     in memory: gone with the process
//!   pending    key -> since when a value is pending               what the disk holds
//! ```
//!
//! **A promise is not stored.** A mark is: above all ballots that were promised, moved some seconds ahead and synced before an answer
//! leaves. A node that starts refuses every ballot up to it, so what it promised before is refused, too. The table of
//! promises is bounded. What is dropped from it raises a floor for all keys, which costs a proposer another attempt and no more.
//!
//! **A value is pending** from its accept to its commit. Reads of its key say so, since it may have been chosen; and no floor
//! rises above it.
//!
//! Invariant: a key is pending here before its accept is answered, and until its value is in the record.

mod load;
mod promises;
mod settling;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use bytes::Bytes;
use quoit_ring::Time;
use quoit_ring::register::Ballot;

use self::promises::Promises;
pub(crate) use self::settling::{Ask, Settling};

/// Most values that may be pending: what nobody commits is ended one by one.
const MAX_PENDING: usize = 1 << 16;

/// The registers of a node, as far as they are in memory.
#[derive(Debug)]
pub struct Registers {
    promises: Mutex<Promises>,
    /// What the run before may have promised lies at or below it.
    start: AtomicU64,
    /// By key: since when.
    pending: RwLock<BTreeMap<Bytes, Time>>,
    /// How many, to be read without the lock.
    count: AtomicUsize,
    reused: AtomicU64,
}

impl Registers {
    /// Those of a node that has promised nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            promises: Mutex::new(Promises::new(Ballot::ZERO)),
            start: AtomicU64::new(0),
            pending: RwLock::default(),
            count: AtomicUsize::new(0),
            reused: AtomicU64::new(0),
        }
    }

    /// The node starts again: what it promised before lies at or below `barred`, and is forgotten.
    pub(crate) fn start_at(&self, barred: Time) {
        self.start.store(barred.0, Ordering::Release);
        if barred > Time::ZERO {
            *self.promises() = Promises::new(Ballot::last_of(barred));
        }
    }

    /// At or below it nothing is taken.
    pub(crate) fn start(&self) -> Time {
        Time(self.start.load(Ordering::Acquire))
    }

    /// Whether so much is pending that no more is taken.
    pub(crate) fn is_full(&self) -> bool {
        self.pending() >= MAX_PENDING
    }

    /// Nothing below this ballot is taken of a key.
    pub(crate) fn promised(&self, key: &[u8]) -> Ballot {
        self.promises().get(key)
    }

    /// Takes nothing below a ballot of a key any more.
    pub(crate) fn promise(&self, key: &[u8], ballot: Ballot) {
        self.promises().raise(key, ballot);
    }

    /// Whether a value is pending under a key.
    #[must_use]
    pub fn is_pending(&self, key: &[u8]) -> bool {
        self.count.load(Ordering::Acquire) > 0
            && (self.pending.read().unwrap_or_else(PoisonError::into_inner)).contains_key(key)
    }

    /// Sets since when a value is pending under a key; none if none is.
    pub(crate) fn set_pending(&self, key: &Bytes, since: Option<Time>) {
        let mut pending = (self.pending.write()).unwrap_or_else(PoisonError::into_inner);
        match since {
            // A copy: the key may be a slice of a frame.
            Some(since) => pending.insert(Bytes::copy_from_slice(key), since),
            None => pending.remove(key),
        };
        self.count.store(pending.len(), Ordering::Release);
    }

    /// Since when the oldest value is pending.
    #[must_use]
    pub fn oldest(&self) -> Option<Time> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        let pending = self.pending.read().unwrap_or_else(PoisonError::into_inner);
        pending.values().copied().min()
    }

    /// A key whose value is pending since before a time, behind this one in the order of keys.
    pub(crate) fn pending_before(&self, time: Time, after: &[u8]) -> Option<Bytes> {
        use std::ops::Bound::{Excluded, Unbounded};
        let pending = self.pending.read().unwrap_or_else(PoisonError::into_inner);
        let mut behind = pending.range::<[u8], _>((Excluded(after), Unbounded));
        behind
            .find(|(_, since)| Time::ZERO < **since && **since < time)
            .map(|(key, _)| key.clone())
    }

    /// How many values are pending.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// Counts a ballot that came with two values.
    pub(crate) fn add_reused(&self) {
        self.reused.fetch_add(1, Ordering::Relaxed);
    }

    /// Ballots that came with two values since the start.
    #[must_use]
    pub fn reused(&self) -> u64 {
        self.reused.load(Ordering::Relaxed)
    }

    fn promises(&self) -> MutexGuard<'_, Promises> {
        self.promises.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Registers {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_starts_again_takes_nothing_that_it_may_have_promised() {
        let registers = Registers::new();
        assert_eq!(registers.promised(b"any"), Ballot::ZERO);
        registers.start_at(Time(7));
        assert_eq!(registers.promised(b"any"), Ballot::last_of(Time(7)));
    }

    #[test]
    fn what_is_pending_is_known_until_it_is_not() {
        let registers = Registers::new();
        assert_eq!(
            (registers.is_pending(b"a"), registers.oldest()),
            (false, None)
        );
        registers.set_pending(&"a".into(), Some(Time(5)));
        registers.set_pending(&"b".into(), Some(Time(3)));
        assert!(registers.is_pending(b"a") && !registers.is_pending(b"c"));
        assert_eq!(
            (registers.oldest(), registers.pending()),
            (Some(Time(3)), 2)
        );
        assert_eq!(registers.pending_before(Time(5), b""), Some("b".into()));
        assert_eq!(registers.pending_before(Time(9), b"a"), Some("b".into()));
        assert_eq!(registers.pending_before(Time(9), b"b"), None);
        registers.set_pending(&"b".into(), None);
        assert_eq!(registers.oldest(), Some(Time(5)));
    }
}
