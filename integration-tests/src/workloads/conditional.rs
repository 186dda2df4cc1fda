//! Conditional writes: a few keys that change only under a condition, read in two ways.
//!
//! ```text
//!   if absent --|      |-- if value a: b --|      |-- linearizable get --|
//!        |-- if value a: c --|   |-- quorum get --|    |-- delete if b --|
//!                 of an unknown one the outcome is asked, or not
//! ```
//!
//! Provokes: two that both win, a success that a later read misses, a write that a mismatch was answered for and that happens
//! after all, a promise forgotten by a restart, a value lost when the ring changes.
//!
//! Source: Kingsbury, *Jepsen*, the compare-and-set register workload.

use rand::Rng as _;

use super::{SERVED, Workload, calm_key, in_calm};
use crate::sim::chance::happens;
use crate::sim::session::{Change, Crew, If, Session};

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Conditional {
    /// How many.
    pub(super) keys: u64,
    /// Tasks of one client.
    pub(super) tasks: u16,
    /// Reads among the operations, in 1,000.
    pub(super) reads: u32,
}

impl Workload for Conditional {
    fn name(&self) -> &'static str {
        "conditional"
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

impl Conditional {
    async fn fault_phase(self, mut session: Session) {
        let mut last = None;
        while session.pause().await {
            let key = session.rng().random_range(0..self.keys);
            self.step(&mut session, key, &mut last).await;
        }
    }

    async fn recovery_phase(self, mut session: Session) {
        let mut last = None;
        for round in 0..SERVED {
            if !in_calm(&mut session).await {
                return;
            }
            let key = calm_key(&session, round, self.keys);
            self.step(&mut session, key, &mut last).await;
        }
    }

    /// One operation. `last` is what this task knows of a key: what it expects there.
    async fn step(&self, session: &mut Session, key: u64, last: &mut Option<(u64, Option<u64>)>) {
        let name = format!("conditional/{key}").into();
        if happens(session.rng(), self.reads) {
            let linearizable = happens(session.rng(), 600);
            if let Some(found) = session.look(&name, linearizable).await {
                *last = Some((key, found));
            }
            return;
        }

        let known = last.filter(|(of, _)| *of == key).map(|(_, found)| found);
        let (condition, expected) = match known {
            _ if happens(session.rng(), 150) => (If::Any, None),
            Some(Some(value)) => (If::Value(value), Some(value)),
            _ => (If::Absent, None),
        };
        let change = if expected.is_some() && happens(session.rng(), 250) {
            Change::Delete
        } else {
            Change::Set(session.fresh_number())
        };
        if let Some(found) = session.swap(&name, condition, change).await {
            *last = Some((key, found));
        }
    }
}
