//! Workloads: what the clients of a simulated cluster do, in small pieces that any run can combine.
//!
//! ```text
//!   seed --mix--> registers, siblings, ...          each with keys of its own family
//!
//!   fault phase   start: tasks of a client's life         operations may fail; a crash takes the tasks with it
//!   recovery phase    serve: tasks of every client            the same keys; every operation must succeed
//!   after   the invariants judge the history        a workload checks nothing itself
//! ```
//!
//! A workload provokes one kind of anomaly, which its file's header names. Tasks know nothing of
//! each other: what they share is the keys, of which there are so few that they meet. All randomness is the
//! task's own, so that one seed is one run.
//!
//! In the recovery phase one task of each client and workload writes, and causally only on top of a read of all
//! replicas. So no key keeps more siblings than there are clients, which the nodes' limit must allow.
//!
//! Left out: what crashes when (`sim`), and what must hold (`invariants`).
//!
//! Source: Zhou et al., *`FoundationDB`: A Distributed Unbundled Transactional Key Value Store* (2021),
//! section 4.

mod conditional;
mod counters;
mod deletes;
mod expiring;
mod memory;
mod mixing;
mod profile;
mod registers;
mod shared;
mod siblings;
mod twins;
mod unique_keys;

use rand::Rng as _;

use crate::sim::session::{Crew, Phase, Session};

pub use self::mixing::mix;
pub use self::twins::{TWIN_KEYS, TwinPut, TwinReaders};

/// Operations of one task in the recovery phase, about.
const SERVED: u64 = 14;

/// Longest wait between two of them, in microseconds.
const CALM_PAUSE: u64 = 500_000;

/// One piece of what clients do.
pub trait Workload: std::fmt::Debug {
    /// Its name, for people.
    fn name(&self) -> &'static str;

    /// Adds this workload's tasks of one client's life, at each start of a client in the fault phase. A task ends
    /// with the fault phase.
    fn start(&self, crew: &mut Crew);

    /// Adds tasks that use the same keys in the recovery phase, once for each client. A task ends after about 14
    /// operations, of which every one must succeed.
    fn serve(&self, crew: &mut Crew);
}

/// Waits between two operations of the recovery phase, so long that tasks seldom meet: a node with capacity for three
/// requests may refuse the fourth, healed or not. False once the run is over.
async fn in_calm(session: &mut Session) -> bool {
    let micros = session.rng().random_range(0..=CALM_PAUSE);
    session.sleep(micros).await;
    session.phase() != Phase::Over
}

/// Which of `keys` keys a client is to use in round `round` of the recovery phase: it begins with one of its own, so that
/// clients meet less than in the fault phase.
fn calm_key(session: &Session, round: u64, keys: u64) -> u64 {
    (u64::from(session.id().slot) + round) % keys.max(1)
}

#[cfg(test)]
mod tests;
