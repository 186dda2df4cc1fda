//! Deletes: puts and deletes in turn, blind and causal, fresh and stale.
//!
//! ```text
//!   put --- delete --- get: absent --- put --- get: the new value only
//!     '--- kept context --- delete ------------------ must not take what came after it
//! ```
//!
//! Provokes: a deleted value that comes back from a replica which missed the delete, a new value that an old
//! delete takes along, a delete that is lost because it has no value to show for itself, an absent key whose
//! context is forgotten between two reads, a put whose caller went away and that comes back over the delete after it.
//!
//! Source: `DeCandia` et al., *Dynamo* (2007), section 4.4, whose shopping cart has deleted items resurface.

use rand::Rng as _;

use super::memory::Memory;
use super::profile::{WorkloadProfile, weighed};
use super::{SERVED, Workload, calm_key, in_calm};
use crate::history::Family;
use crate::sim::session::{Crew, KnownContext, Name, Session};

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Deletes {
    /// How many keys.
    pub(super) keys: u64,
    /// Tasks of one client.
    pub(super) tasks: u16,
    /// How the run asks.
    pub(super) profile: WorkloadProfile,
}

/// What a task does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Get,
    PutBlind,
    PutSeen,
    DeleteBlind,
    DeleteSeen,
    DeleteStale,
    /// A delete that has seen nothing takes nothing away.
    DeleteNothing,
    /// A delete and a put on its receipt.
    DeleteThenPut,
    /// A put whose caller goes away, blind or causal, and a delete of all that is there.
    LeaveThenDelete,
}

impl Workload for Deletes {
    fn name(&self) -> &'static str {
        "deletes"
    }

    fn start(&self, crew: &mut Crew) {
        let this = *self;
        for _ in 0..self.tasks {
            crew.spawn(move |session| this.fault_phase(session));
        }
    }

    fn serve(&self, crew: &mut Crew) {
        let this = *self;
        crew.spawn(move |session| this.recovery_phase(session));
    }
}

/// Where a write goes.
struct At {
    key: u64,
    name: Name,
}

impl At {
    fn key(key: u64) -> Self {
        let name = Name::of(Family::Deleted, key);
        Self { key, name }
    }
}

impl Deletes {
    async fn fault_phase(self, mut session: Session) {
        let mut memory = Memory::default();
        let steps = [
            (25, Step::Get),
            (15, Step::PutBlind),
            (20, Step::PutSeen),
            (8, Step::DeleteBlind),
            (14, Step::DeleteSeen),
            (10, Step::DeleteStale),
            (3, Step::DeleteNothing),
            (5, Step::DeleteThenPut),
            (self.profile.left / 10, Step::LeaveThenDelete),
        ];
        while session.pause().await {
            let at = At::key(session.rng().random_range(0..self.keys));
            let step = weighed(session.rng(), steps);
            self.step(&mut session, &mut memory, &at, step).await;
        }
    }

    /// Reads, then deletes or puts what was read, key by key.
    async fn recovery_phase(self, mut session: Session) {
        let mut memory = Memory::default();
        for round in 0..SERVED / 2 {
            if !in_calm(&mut session).await {
                return;
            }
            let at = At::key(calm_key(&session, round, self.keys));
            let Some((_, known)) = session.get(&at.name, self.profile.of_all()).await else {
                continue;
            };
            match round % 3 {
                0 => {
                    self.delete(&mut session, &mut memory, &at, Some(&known))
                        .await
                }
                _ => self.put(&mut session, &mut memory, &at, Some(&known)).await,
            };
        }
    }

    async fn step(&self, session: &mut Session, memory: &mut Memory, at: &At, step: Step) {
        match step {
            Step::Get => self.get(session, memory, at).await,
            Step::PutBlind => self.put(session, memory, at, None).await,
            Step::PutSeen => match self.get(session, memory, at).await {
                Some(known) => self.put(session, memory, at, Some(&known)).await,
                None => None,
            },
            Step::DeleteBlind => self.delete(session, memory, at, None).await,
            Step::DeleteSeen => match self.get(session, memory, at).await {
                Some(known) => self.delete(session, memory, at, Some(&known)).await,
                None => None,
            },
            Step::DeleteStale => {
                let stale = memory.any(session.rng(), at.key).unwrap_or_default();
                self.delete(session, memory, at, Some(&stale)).await
            }
            Step::DeleteNothing => {
                let nothing = KnownContext::default();
                self.delete(session, memory, at, Some(&nothing)).await
            }
            Step::DeleteThenPut => match self.delete(session, memory, at, None).await {
                Some(receipt) => self.put(session, memory, at, Some(&receipt)).await,
                None => None,
            },
            Step::LeaveThenDelete => {
                let known = memory.any(session.rng(), at.key);
                let ask = self.profile.write(session.rng());
                let value = self.profile.value(session);
                let left = session.leave_put(&at.name, value, known.as_ref(), ask);
                let receipt = left.await;
                memory.keep(session.rng(), at.key, receipt);
                self.delete(session, memory, at, None).await
            }
        };
    }

    async fn get(
        &self,
        session: &mut Session,
        memory: &mut Memory,
        at: &At,
    ) -> Option<KnownContext> {
        let ask = self.profile.read(session.rng());
        let known = session.get(&at.name, ask).await.map(|(_, known)| known);
        memory.keep(session.rng(), at.key, known.clone());
        known
    }

    async fn put(
        &self,
        session: &mut Session,
        memory: &mut Memory,
        at: &At,
        known: Option<&KnownContext>,
    ) -> Option<KnownContext> {
        let ask = self.profile.write(session.rng());
        let value = self.profile.value(session);
        let receipt = session.put(&at.name, value, known, ask).await.ok();
        memory.keep(session.rng(), at.key, receipt.clone());
        receipt
    }

    async fn delete(
        &self,
        session: &mut Session,
        memory: &mut Memory,
        at: &At,
        known: Option<&KnownContext>,
    ) -> Option<KnownContext> {
        let ask = self.profile.write(session.rng());
        let receipt = session.delete(&at.name, known, ask).await.ok();
        memory.keep(session.rng(), at.key, receipt.clone());
        receipt
    }
}
