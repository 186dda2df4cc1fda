//! What handlers, committer and driver have in common of stability.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use bytes::Bytes;
use quoit_ring::wire::StabilityStatus;
use quoit_ring::{Epoch, Leaf, Millis, NodeId, Time};

use super::Floors;
use crate::commit::Finished;

/// What a node knows of stability.
#[derive(Debug, Default)]
pub struct StabilityView {
    floors: RwLock<Arc<Floors>>,
    promised: AtomicU64,
    /// How many leaves the node owns in the newest epoch.
    owned: AtomicU64,
    /// Behind which row of the graves tombstones are looked for next; none at the start of a walk.
    grave: Mutex<Option<Bytes>>,
    /// The same of the ballots.
    ballot: Mutex<Option<Bytes>>,
    counts: Mutex<StabilityStatus>,
    /// The least floor of all that the node owns, and of which epoch and floors that is.
    least: Mutex<Option<(Epoch, Arc<Floors>, Time)>>,
    /// Answers to the driver's orders.
    pub(crate) finished: Finished,
}

impl StabilityView {
    /// The floors as they are stored.
    #[must_use]
    pub fn floors(&self) -> Arc<Floors> {
        Arc::clone(&self.floors.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The floor of a leaf.
    #[must_use]
    pub fn floor(&self, leaf: Leaf) -> Time {
        (self.floors.read().unwrap_or_else(PoisonError::into_inner)).at(leaf)
    }

    /// The least floor of what the node owns in `epoch`, made by `least` unless it is known already.
    pub(crate) fn least_owned(
        &self,
        (epoch, floors): (Epoch, &Arc<Floors>),
        least: impl FnOnce(&Floors) -> Time,
    ) -> Time {
        let mut known = lock(&self.least);
        match &*known {
            Some((of, those, time)) if *of == epoch && Arc::ptr_eq(those, floors) => *time,
            _ => {
                let time = least(floors);
                *known = Some((epoch, Arc::clone(floors), time));
                time
            }
        }
    }

    /// Sets floors that are on the disk.
    pub(crate) fn set_floors(&self, floors: Floors) {
        *self.floors.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(floors);
    }

    /// Clients' writes up to this time are refused.
    #[must_use]
    pub fn promised(&self) -> Time {
        Time(self.promised.load(Ordering::Acquire))
    }

    /// Sets a promise that is on the disk.
    pub(crate) fn promise(&self, time: Time) {
        self.promised.fetch_max(time.0, Ordering::AcqRel);
    }

    /// Behind which grave the walk goes on.
    pub(crate) fn grave(&self) -> Option<Bytes> {
        lock(&self.grave).clone()
    }

    /// The walk over graves goes on behind this one; none if it is over.
    pub(crate) fn set_grave(&self, last: Option<Bytes>) {
        *lock(&self.grave) = last;
    }

    /// Behind which ballot the walk goes on.
    pub(crate) fn ballot(&self) -> Option<Bytes> {
        lock(&self.ballot).clone()
    }

    /// The walk over ballots goes on behind this one; none if it is over.
    pub(crate) fn set_ballot(&self, last: Option<Bytes>) {
        *lock(&self.ballot) = last;
    }

    /// Counts tombstones that were removed.
    pub(crate) fn add_forgotten(&self, tombstones: u64) {
        lock(&self.counts).forgotten += tombstones;
    }

    /// Counts lost rows that were restored, here or at another owner.
    pub(crate) fn add_restored(&self, rows: u64) {
        lock(&self.counts).restored += rows;
    }

    /// Sets who holds the floors back.
    pub(crate) fn set_waits_for(&self, node: Option<NodeId>) {
        lock(&self.counts).waits_for = node;
    }

    /// Sets how many leaves the node owns.
    pub(crate) fn set_owned(&self, leaves: u64) {
        self.owned.store(leaves, Ordering::Relaxed);
    }

    /// How far the floors are behind a clock.
    #[must_use]
    pub fn status(&self, wall: Millis) -> StabilityStatus {
        let (least, leaves) = self.floors().least();
        let leaves_without = (self.owned.load(Ordering::Relaxed)).saturating_sub(leaves);
        let lag = |stable: Time| wall.0.saturating_sub(stable.millis().0);
        StabilityStatus {
            lag_ms: least.filter(|_| leaves_without == 0).map(lag),
            leaves_without,
            ..*lock(&self.counts)
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
