//! Expiring values: puts that live 50 ms to 3 s, read before and after their end, overwritten in between.
//!
//! ```text
//!   put, 400 ms ------------------------| dead
//!     get: there     put again, 2 s ----+------------------------| dead
//!                                   get: there, whatever the outcome of the first      get: absent, for good
//! ```
//!
//! Provokes: a value that is read after its end, or again after a read has found it dead; an end that takes
//! a later value along; a node whose clock is wrong, which judges alone (one replica) or with others
//! (quorums).
//!
//! Reads after a wait aim at the end: half of them come within 10 ms of it, where clocks disagree. Nothing is
//! deleted, so an absent key is one whose value has ended.
//!
//! Source: Apache Cassandra, whose expired cells are tombstones from then on; Dynamo has no expiry.

use std::time::Duration;

use rand::Rng as _;
use rand::rngs::SmallRng;

use super::memory::Memory;
use super::profile::{WorkloadProfile, weighed};
use super::{SERVED, Workload, calm_key, in_calm};
use crate::history::Family;
use crate::sim::chance::happens;
use crate::sim::session::{Ask, Crew, KnownContext, Name, Phase, Session};

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Expiring {
    /// How many keys.
    pub(super) keys: u64,
    /// Tasks of one client.
    pub(super) tasks: u16,
    /// How the run asks.
    pub(super) profile: WorkloadProfile,
}

/// Longest sleep without a look at whether the fault phase is over, in microseconds.
const NAP: u64 = 50_000;

/// What a task does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Get,
    /// A value that ends.
    Put,
    /// One that ends, waited for.
    PutAndWait,
    /// One that ends, on top of what was read.
    PutSeen,
    /// One that does not end, over one that does.
    PutForEver,
}

impl Workload for Expiring {
    fn name(&self) -> &'static str {
        "expiring"
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

impl Expiring {
    async fn fault_phase(self, mut session: Session) {
        let mut memory = Memory::default();
        let steps = [
            (45, Step::Get),
            (20, Step::Put),
            (10, Step::PutAndWait),
            (15, Step::PutSeen),
            (10, Step::PutForEver),
        ];
        while session.pause().await {
            let key = session.rng().random_range(0..self.keys);
            let step = weighed(session.rng(), steps);
            self.step(&mut session, &mut memory, key, step).await;
        }
    }

    /// Puts, reads, waits for the end, reads again.
    async fn recovery_phase(self, mut session: Session) {
        for round in 0..SERVED / 3 {
            if !in_calm(&mut session).await {
                return;
            }
            let name = Name::of(Family::Expiring, calm_key(&session, round, self.keys));
            // Clocks may be 400 ms apart even now: a put that lives shorter than twice that may have to be refused.
            let ttl = Duration::from_millis(session.rng().random_range(900..=1_200));
            let ask = self.profile.write(session.rng());
            let value = self.profile.value(&mut session);
            let ask = Ask {
                ttl: Some(ttl),
                ..ask
            };
            session.put(&name, value, None, ask).await.ok(); // the history has its outcome
            for _ in 0..2 {
                let ask = self.profile.read(session.rng());
                session.get(&name, ask).await;
                session.sleep(ttl_micros(ttl)).await;
            }
        }
    }

    async fn step(&self, session: &mut Session, memory: &mut Memory, key: u64, step: Step) {
        let name = Name::of(Family::Expiring, key);
        let ask = self.profile.write(session.rng());
        let ttl = lifetime(session.rng());
        let ending = Ask {
            ttl: Some(ttl),
            ..ask
        };
        let known = match step {
            Step::Get => self.get(session, &name).await,
            Step::Put => self.put(session, &name, None, ending).await,
            Step::PutForEver => self.put(session, &name, None, ask).await,
            Step::PutSeen => {
                let seen = memory.any(session.rng(), key).unwrap_or_default();
                self.put(session, &name, Some(&seen), ending).await
            }
            Step::PutAndWait => {
                let receipt = self.put(session, &name, None, ending).await;
                if receipt.is_some() {
                    wait_for_end(session, ttl).await;
                    self.get(session, &name).await
                } else {
                    None
                }
            }
        };
        memory.keep(session.rng(), key, known);
    }

    async fn get(&self, session: &mut Session, name: &Name) -> Option<KnownContext> {
        let ask = self.profile.read(session.rng());
        session.get(name, ask).await.map(|(_, known)| known)
    }

    async fn put(
        &self,
        session: &mut Session,
        name: &Name,
        known: Option<&KnownContext>,
        ask: Ask,
    ) -> Option<KnownContext> {
        let value = self.profile.value(session);
        session.put(name, value, known, ask).await.ok()
    }
}

/// How long a value lives: 50 ms to 3 s, mostly less than 400 ms.
fn lifetime(rng: &mut SmallRng) -> Duration {
    let most = if happens(rng, 800) { 400 } else { 3_000 };
    Duration::from_millis(rng.random_range(50..=most))
}

/// Sleeps until shortly before or after a value's end, or until the fault phase is over.
async fn wait_for_end(session: &mut Session, ttl: Duration) {
    let micros = ttl_micros(ttl);
    let mut left = if happens(session.rng(), 500) {
        micros.saturating_sub(10_000) + session.rng().random_range(0..=20_000)
    } else {
        session.rng().random_range(0..=micros + micros / 2)
    };
    while left > 0 && session.phase() == Phase::FaultPhase {
        let nap = left.min(NAP);
        session.sleep(nap).await;
        left -= nap;
    }
}

fn ttl_micros(ttl: Duration) -> u64 {
    u64::try_from(ttl.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    #[test]
    fn lifetimes_lie_between_50_ms_and_3_s_and_most_are_short() {
        let mut rng = SmallRng::seed_from_u64(1);
        let drawn: Vec<_> = (0..2_000).map(|_| lifetime(&mut rng).as_millis()).collect();
        assert!(drawn.iter().all(|ms| (50..=3_000).contains(ms)));
        let short = drawn.iter().filter(|ms| **ms <= 400).count();
        assert!((1_580..1_780).contains(&short));
        assert!(drawn.iter().any(|ms| *ms > 2_800));
    }
}
