//! How the queue's capacity is divided between clients and peers.
//!
//! ```text
//!   |<--------- clients: 7/8 --------->|<- peers: 1/8 ->|      in writes and in bytes
//! ```
//!
//! Invariant: a share holds no more than its part, or a single write of any size.

use quoit_ring::Moment;

use super::load_shedding::LoadShedding;
use crate::config::WriteQueue;
use crate::reply::{Priority, Reply};
use crate::write::Write;

/// One part in so many of the capacity is the peers'.
const PEERS: usize = 8;

/// The writes that wait, by priority.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Held {
    clients: Share,
    peers: Share,
}

/// Writes and their bytes: what waits, or what may.
#[derive(Debug, Clone, Copy, Default)]
struct Share {
    requests: usize,
    bytes: usize,
}

impl Held {
    /// Nothing waits.
    pub(super) const fn new() -> Self {
        let nothing = Share {
            requests: 0,
            bytes: 0,
        };
        Self {
            clients: nothing,
            peers: nothing,
        }
    }

    /// How many writes of clients wait.
    pub(super) const fn clients(&self) -> usize {
        self.clients.requests
    }

    /// A write has left the queue.
    pub(super) fn release(&mut self, priority: Priority, bytes: usize) {
        let share = self.of(priority);
        debug_assert!(
            share.requests > 0 && share.bytes >= bytes,
            "a write leaves the share that it was admitted to"
        );
        share.requests -= 1;
        share.bytes -= bytes;
    }

    /// A write that had been admitted before is held again.
    pub(super) fn readmit(&mut self, priority: Priority, bytes: usize) {
        let share = self.of(priority);
        share.requests += 1;
        share.bytes += bytes;
    }

    /// Whether `write` may wait behind what is held; then it is held, too.
    pub(super) fn admit<R: Reply>(
        &mut self,
        write: &Write<R>,
        shedding: &LoadShedding,
        bounds: &WriteQueue,
        now: Moment,
    ) -> bool {
        let (priority, ahead) = (
            write.priority(),
            self.clients.requests + self.peers.requests,
        );
        let may_wait = self
            .of(priority)
            .has_capacity(write.bytes, Share::of(priority, bounds))
            && !shedding.is_too_late(ahead, write.deadline, now)
            && (priority == Priority::Peer || !self.turns_away(write, shedding, bounds, now));
        if may_wait {
            self.readmit(priority, write.bytes);
        }
        may_wait
    }

    /// Whether a client's write is refused although the queue is not full.
    fn turns_away<R>(
        &self,
        write: &Write<R>,
        shedding: &LoadShedding,
        bounds: &WriteQueue,
        now: Moment,
    ) -> bool {
        let (own, shed_key) = (
            self.clients.requests,
            shedding.shed_key(&write.key, &write.change),
        );
        let capacity = Share::of(Priority::Client, bounds).requests;
        shedding.is_crowded_out(shed_key, own, capacity)
            || shedding.turns_away(shed_key, own, own + self.peers.requests, now)
    }

    const fn of(&mut self, priority: Priority) -> &mut Share {
        match priority {
            Priority::Client => &mut self.clients,
            Priority::Peer => &mut self.peers,
        }
    }
}

impl Share {
    /// What those of one priority may have waiting.
    const fn of(priority: Priority, bounds: &WriteQueue) -> Self {
        let peers = Self {
            requests: bounds.requests / PEERS,
            bytes: bounds.bytes / PEERS,
        };
        match priority {
            Priority::Peer => peers,
            Priority::Client => Self {
                requests: bounds.requests - peers.requests,
                bytes: bounds.bytes - peers.bytes,
            },
        }
    }

    /// Whether a write of so many bytes fits beside what is held here.
    const fn has_capacity(self, bytes: usize, most: Self) -> bool {
        self.requests == 0
            || (self.requests < most.requests && self.bytes.saturating_add(bytes) <= most.bytes)
    }
}
