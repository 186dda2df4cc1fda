//! Unique keys: every put makes a key that was never there, as a set gets its elements.
//!
//! ```text
//!   put unique/0    put unique/1    put unique/2 ...      each once, whatever the outcome
//!   get own, get others', get one that was never acknowledged; scan all
//!   at the end: every acknowledged key is there
//! ```
//!
//! Provokes: loss. Nothing overwrites such a key, so nothing can excuse its absence: not a later put, not a
//! merge, not a floor. Puts to a single replica are among them, which is then the only one that holds the
//! key.
//!
//! Source: Kingsbury, *Jepsen*, the `set` and `set-full` workloads.

use std::cell::Cell;
use std::rc::Rc;

use rand::Rng as _;

use super::profile::WorkloadProfile;
use super::{SERVED, Workload, in_calm};
use crate::history::Family;
use crate::sim::chance::happens;
use crate::sim::session::{Crew, KnownContext, Name, Session};

/// Scans among the operations of the fault phase, in 1,000: each is a read of all keys.
const SCANS: u32 = 8;

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct UniqueKeys {
    /// Tasks of one client.
    pub(super) tasks: u16,
    /// Puts among the operations, in 1,000.
    pub(super) puts: u32,
    /// After so many keys the fault phase puts no more, and reads less.
    pub(super) most: u64,
    /// How the run asks.
    pub(super) profile: WorkloadProfile,
    /// Keys begun so far, by all clients.
    pub(super) begun: Rc<Cell<u64>>,
}

impl Workload for UniqueKeys {
    fn name(&self) -> &'static str {
        "unique keys"
    }

    fn start(&self, crew: &mut Crew) {
        for _ in 0..self.tasks {
            let this = self.clone();
            crew.spawn(move |session| this.fault_phase(session));
        }
    }

    fn serve(&self, crew: &mut Crew) {
        let this = self.clone();
        crew.spawn(move |session| this.recovery_phase(session));
    }
}

impl UniqueKeys {
    async fn fault_phase(self, mut session: Session) {
        while session.pause().await {
            let below_limit = self.begun.get() < self.most;
            if happens(session.rng(), SCANS) {
                session.scan(Family::Unique, self.begun.get()).await;
            } else if below_limit && happens(session.rng(), self.puts) {
                self.put(&mut session).await;
            } else if below_limit || happens(session.rng(), 300) {
                self.read_any(&mut session).await;
            }
        }
    }

    async fn recovery_phase(self, mut session: Session) {
        for round in 0..SERVED {
            if !in_calm(&mut session).await {
                return;
            }
            match round {
                2 => session.scan(Family::Unique, self.begun.get()).await,
                _ if round % 4 == 0 => self.put(&mut session).await,
                _ => self.read_any(&mut session).await,
            }
        }
    }

    /// Makes a key, with or without a context, and now and then reads it at once.
    async fn put(&self, session: &mut Session) {
        let index = self.begun.get();
        self.begun.set(index + 1);
        let name = Name::of(Family::Unique, index);
        let ask = self.profile.write(session.rng());
        let nothing = happens(session.rng(), 300).then(KnownContext::default);
        let value = self.profile.value(session);
        let stored = session.put(&name, value, nothing.as_ref(), ask).await;
        if stored.is_ok() && happens(session.rng(), 150) {
            self.read(session, index).await;
        }
    }

    async fn read_any(&self, session: &mut Session) {
        let begun = self.begun.get();
        // One more: a key that no client has begun is absent.
        let index = session.rng().random_range(0..=begun);
        self.read(session, index).await;
    }

    async fn read(&self, session: &mut Session, index: u64) {
        let ask = self.profile.read(session.rng());
        session.get(&Name::of(Family::Unique, index), ask).await;
    }
}
