//! Keys that plain writes and conditional ones share.
//!
//! ```text
//!   put ----------- put -- put              without looking
//!        swap -- swap ------------ swap     if nothing has changed since, or whatever is there
//!   read ------ read -------------- read    linearizable, or of a quorum
//! ```
//!
//! Provokes: a proposer that goes on from its last write without seeing the put that came in between, and a quorum read that misses
//! a conditional write whose commit has not come yet.
//!
//! Source: Rystsov, *CASPaxos: Replicated State Machines without logs* (2018).

use quoit_client::{Consistency, Context};
use rand::Rng as _;

use super::profile::weighed;
use super::{SERVED, Workload, calm_key, in_calm};
use crate::sim::chance::happens;
use crate::sim::session::{Crew, Session};

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shared {
    /// How many keys.
    pub(super) keys: u64,
    /// Tasks of one client.
    pub(super) tasks: u16,
    /// Plain puts among the operations, in 1,000: few leave a proposer its turn again and again.
    pub(super) plain: u32,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Swap,
    Look,
    Read,
}

impl Workload for Shared {
    fn name(&self) -> &'static str {
        "shared"
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

impl Shared {
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

    /// One operation. `last` is what this task knows of a key.
    async fn step(&self, session: &mut Session, key: u64, last: &mut Option<(u64, Context)>) {
        let name = format!("shared/{key}").into();
        let known = last.as_ref().filter(|(of, _)| *of == key);
        let known = known.map(|(_, context)| context.clone());
        let known = known.filter(|_| happens(session.rng(), 700));
        let found = if happens(session.rng(), self.plain) {
            session.shared_put(&name, known.as_ref()).await
        } else {
            let steps = [(6, Step::Swap), (2, Step::Look), (2, Step::Read)];
            match weighed(session.rng(), steps) {
                Step::Swap => session.shared_swap(&name, known.as_ref()).await,
                Step::Look => {
                    let consistency = Consistency::Linearizable;
                    session.shared_read(&name, consistency).await
                }
                Step::Read => session.shared_read(&name, Consistency::Quorum).await,
            }
        };
        if let Some(context) = found {
            *last = Some((key, context));
        }
    }
}
