//! What all incoming connections share: the bounds of handshakes, seats and long frames, and what is counted and logged of those
//! that are not served.
//!
//! The machines decide; this only holds them, and ends the task of a handshake that was given up. Everything here runs
//! on the I/O thread, and no lock is held while something is waited for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quoit_ring::Moment;
use tokio::task::AbortHandle;

use super::handshakes::{Decision, HandshakeId, Handshakes, Origin, TOTAL};
use super::oversize::Oversize;
use super::seats::{Full, Holder, Seat, SeatBounds, Seats};
use crate::seldom::Seldom;
use crate::state::{ConnectionEvent, ServiceState};

/// The bounds of a node's callers.
#[derive(Debug)]
pub(super) struct Intake {
    handshakes: Mutex<Handshakes>,
    tasks: Mutex<BTreeMap<HandshakeId, AbortHandle>>,
    seats: Mutex<Seats>,
    service: Arc<ServiceState>,
    pub(super) complaints: Complaints,
    pub(super) oversize: Oversize,
}

/// What is said of connections that were not served, each kind seldom.
#[derive(Debug, Default)]
pub(super) struct Complaints {
    /// Addresses are validated first.
    pub(super) retries: Seldom,
    /// Handshakes refused.
    pub(super) refusals: Seldom,
    /// Handshakes that failed.
    pub(super) failures: Seldom,
    /// Handshakes given up for others.
    given_up: Seldom,
    /// Callers without a role.
    pub(super) roles: Seldom,
    /// Connections without a seat.
    pub(super) seats: Seldom,
}

impl Intake {
    pub(super) fn new(bounds: SeatBounds, oversize: Oversize, service: &Arc<ServiceState>) -> Self {
        Self {
            handshakes: Mutex::default(),
            tasks: Mutex::default(),
            seats: Mutex::new(Seats::new(bounds)),
            service: Arc::clone(service),
            complaints: Complaints::default(),
            oversize,
        }
    }

    pub(super) fn decide(&self, from: Origin, now: Moment) -> Decision {
        lock(&self.handshakes).decide(from, now)
    }

    /// Counts the handshake out when it is dropped.
    pub(super) fn under_way(self: &Arc<Self>, id: HandshakeId) -> UnderWay {
        UnderWay {
            id,
            intake: Arc::clone(self),
        }
    }

    /// Names the task that ends with the handshake if it is given up.
    pub(super) fn runs_in(&self, id: HandshakeId, task: AbortHandle) {
        let mut tasks = lock(&self.tasks);
        tasks.insert(id, task);
        debug_assert!(tasks.len() <= TOTAL, "a task for each handshake under way");
    }

    /// Ends a handshake for whose place another one has come.
    pub(super) fn give_up(&self, id: HandshakeId, now: Moment) {
        let total = self.count(ConnectionEvent::HandshakeGivenUp);
        if let Some(left_out) = self.complaints.given_up.may_say(now) {
            tracing::warn!(
                left_out,
                total,
                "a handshake that stood still was given up for another"
            );
        }
        if let Some(task) = lock(&self.tasks).remove(&id) {
            task.abort();
        }
    }

    /// Takes a seat, which is freed when it is dropped.
    pub(super) fn seat(self: &Arc<Self>, holder: Holder) -> Result<Seated, Full> {
        let seat = lock(&self.seats).take(holder)?;
        self.service.connected();
        Ok(Seated {
            seat,
            intake: Arc::clone(self),
        })
    }

    /// Counts what happened; how often it has.
    pub(super) fn count(&self, event: ConnectionEvent) -> u64 {
        self.service.count(event)
    }
}

/// A handshake under way.
#[derive(Debug)]
pub(super) struct UnderWay {
    id: HandshakeId,
    intake: Arc<Intake>,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        lock(&self.intake.tasks).remove(&self.id);
        lock(&self.intake.handshakes).over(self.id);
    }
}

/// A seat that is taken.
#[derive(Debug)]
pub(super) struct Seated {
    seat: Seat,
    intake: Arc<Intake>,
}

impl Drop for Seated {
    fn drop(&mut self) {
        lock(&self.intake.seats).free(self.seat);
        self.intake.service.disconnected();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
