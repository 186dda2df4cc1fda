//! Counters: read, merge, add one to the own slot, put with the context; the cart of the paper with numbers.
//!
//! ```text
//!   get --> a: 3  |  a: 2, b: 1      siblings
//!   merge > a: 3, b: 1
//!   add   > a: 3, b: 2 --put on that read--> replaces both
//! ```
//!
//! Provokes: an increment lost or counted twice. A sibling dropped by a merge of records, a retry under a
//! new dot, a put that replaces more than its reader merged: all show as a count that is too low or that
//! falls.
//!
//! Reads are by quorums, since a writer that misses its own last step makes it again, and counts less than was
//! acknowledged. After an unknown outcome it reads again before it goes on, as it does after every other.
//!
//! Source: Shapiro et al., *Convergent and Commutative Replicated Data Types* (2011); `DeCandia` et al.,
//! *Dynamo* (2007), section 4.4.

use quoit_client::Entry;
use rand::Rng as _;

use super::profile::WorkloadProfile;
use super::{SERVED, Workload, calm_key, in_calm};
use crate::history::{Family, GCounter, MergeCounters};
use crate::sim::chance::happens;
use crate::sim::session::{Ask, Crew, Name, Session};

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counters {
    /// How many.
    pub(super) keys: u64,
    /// Tasks of one client.
    pub(super) tasks: u16,
    /// How the run asks.
    pub(super) profile: WorkloadProfile,
}

impl Workload for Counters {
    fn name(&self) -> &'static str {
        "counters"
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

impl Counters {
    async fn fault_phase(self, mut session: Session) {
        while session.pause().await {
            let key = session.rng().random_range(0..self.keys);
            let name = Name::of(Family::Counter, key);
            let ask = self.profile.quorum(session.rng());
            if happens(session.rng(), 150) {
                session.get_merged(&name, ask, MergeCounters).await;
            } else {
                self.increment(&mut session, &name, ask).await;
            }
        }
    }

    async fn recovery_phase(self, mut session: Session) {
        for round in 0..SERVED / 2 {
            if !in_calm(&mut session).await {
                return;
            }
            let name = Name::of(Family::Counter, calm_key(&session, round, self.keys));
            self.increment(&mut session, &name, self.profile.of_all())
                .await;
        }
    }

    /// Adds one on top of a read asked for with `read`, if that succeeds.
    async fn increment(&self, session: &mut Session, name: &Name, read: Ask) {
        let Some((entry, known)) = session.get_merged(name, read, MergeCounters).await else {
            return;
        };
        let Some(mut counter) = counter_of(&entry) else {
            return; // bytes that no client put: the invariants report the read
        };
        counter.increment(session.writer());
        let value = counter.to_value(session.fresh_number());
        let ask = self.profile.quorum(session.rng());
        session.put(name, value, Some(&known), ask).await.ok(); // the next read shows the outcome
    }
}

/// What a merged read has counted; `None` if it is no counter.
fn counter_of(entry: &Entry) -> Option<GCounter> {
    if entry.is_absent() {
        return Some(GCounter::default());
    }
    GCounter::parse(entry.value()?)
}
