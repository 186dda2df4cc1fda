//! Registers: blind puts and reads of a few keys, where the last writer wins.
//!
//! ```text
//!   put a ----|                 many writers, no contexts: the greatest dot is the value
//!       put b -----|            a slow clock has its put superseded, and must re-mint it
//!            get --- get ---    of majorities, of all, of one
//! ```
//!
//! Provokes: an acknowledged put that is lost to one by a skewed clock, a read that returns older state than an
//! earlier one, a put of unknown outcome that appears, vanishes and appears, a digest that hides a
//! difference, a put whose caller went away and that comes back over the next one.
//!
//! Source: Kingsbury, *Jepsen*, the register workload; `DeCandia` et al., *Dynamo* (2007), section 4.5.

use rand::Rng as _;

use super::profile::WorkloadProfile;
use super::{SERVED, Workload, calm_key, in_calm};
use crate::history::Family;
use crate::sim::chance::happens;
use crate::sim::session::{Crew, Name, Session};

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Registers {
    /// How many.
    pub(super) keys: u64,
    /// Tasks of one client.
    pub(super) tasks: u16,
    /// Puts among the operations, in 1,000.
    pub(super) puts: u32,
    /// How the run asks.
    pub(super) profile: WorkloadProfile,
}

impl Workload for Registers {
    fn name(&self) -> &'static str {
        "registers"
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

impl Registers {
    async fn fault_phase(self, mut session: Session) {
        while session.pause().await {
            let key = session.rng().random_range(0..self.keys);
            if happens(session.rng(), self.profile.left) {
                self.leave(&mut session, key).await;
            } else {
                self.step(&mut session, key).await;
            }
        }
    }

    /// Leaves a put, and puts the same key again.
    async fn leave(&self, session: &mut Session, key: u64) {
        let name = Name::of(Family::Register, key);
        for is_left in [true, false] {
            let ask = self.profile.write(session.rng());
            let value = self.profile.value(session);
            if is_left {
                session.leave_put(&name, value, None, ask).await;
            } else {
                session.put(&name, value, None, ask).await.ok();
            }
        }
    }

    async fn recovery_phase(self, mut session: Session) {
        for round in 0..SERVED {
            if !in_calm(&mut session).await {
                return;
            }
            let key = calm_key(&session, round, self.keys);
            self.step(&mut session, key).await;
        }
    }

    async fn step(&self, session: &mut Session, key: u64) {
        let name = Name::of(Family::Register, key);
        if happens(session.rng(), self.puts) {
            let ask = self.profile.write(session.rng());
            let value = self.profile.value(session);
            session.put(&name, value, None, ask).await.ok(); // the history has its outcome
        } else {
            let ask = self.profile.read(session.rng());
            session.get(&name, ask).await;
        }
    }
}
