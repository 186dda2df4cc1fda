//! The disk of one simulated node, which outlives the node's processes.
//!
//! ```text
//!   DiskEngine      commit           get, snapshot       handle of one process; useless once that has died
//!                      |                   ^
//!                      v                   |
//!   Disk    [ durable | batch batch batch ... ]          what reads see is all of it
//!                     '------ unsynced ------'
//!             kill        nothing is lost: the operating system has it all
//!             power loss  the last so many batches are lost, none of the durable ones
//! ```
//!
//! [`Disk::open`] gives the node the [`Engine`](quoit_node::engine::Engine) it runs on; the simulation keeps
//! the [`Disk`] to crash it, to break it and to look at what is really there.
//!
//! Invariants: a batch is there whole or not at all; what a power loss leaves is a prefix of the commits, no
//! shorter than up to the last [`Durability::Fsync`]; after a failed commit, and after a crash, every call on
//! the handle answers [`EngineError::Poisoned`] until the disk is opened again; an unreadable key is an error
//! and never an absence; nothing is random but what the caller's random source decides.
//!
//! Left out: torn batches (the real engine's journal detects them by checksum and drops them, which is the loss
//! of a whole batch), bytes that rot unnoticed, slowness, and reordering within the unsynced part: the
//! journal is one file, and recovery stops at its first gap.

mod engine;
mod faults;
mod image;
mod state;

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quoit_node::engine::MemorySnapshot;
#[cfg(doc)]
use quoit_node::engine::{Durability, EngineError};
use rand::Rng;

pub use self::engine::{DiskEngine, DiskRange, DiskSnapshot};
pub use self::faults::{BadSectors, Fired};
pub use self::image::MOST_UNSYNCED;
pub use self::state::Counters;
use self::state::State;

/// One node's disk. Clones are handles on the same disk.
///
/// ```
/// use quoit_integration_tests::sim::disk::Disk;
/// use quoit_node::engine::{Batch, Durability, Engine, Keyspace};
/// use rand::{SeedableRng, rngs::StdRng};
///
/// let disk = Disk::new();
/// let engine = disk.open();
/// let mut batch = Batch::new();
/// batch.insert(Keyspace::Records, &b"key"[..], &b"value"[..]);
/// engine.commit(batch, Durability::Fsync)?;
///
/// disk.power_loss(&mut StdRng::seed_from_u64(1));
/// assert!(engine.get(Keyspace::Records, b"key").is_err());
/// assert!(disk.open().get(Keyspace::Records, b"key")?.is_some());
/// # Ok::<(), quoit_node::engine::EngineError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Disk {
    state: Arc<Mutex<State>>,
}

impl Disk {
    /// A disk with a new engine on it, holding only its format version like any new engine.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens the engine for a new process: it reads what is there, and a failure of the past is over.
    ///
    /// An engine that is still open dies of it as of [`Disk::kill`]: two processes on one disk are not simulated.
    #[must_use]
    pub fn open(&self) -> DiskEngine {
        let opening = self.state().open();
        DiskEngine::new(Arc::clone(&self.state), opening)
    }

    /// The process dies. Everything committed stays, unsynced or not.
    pub fn kill(&self) {
        self.state().kill();
    }

    /// The machine loses power: the process dies, and with it a suffix of the unsynced batches, any length of it
    /// equally likely from none to all. Returns how many batches were lost.
    ///
    /// Draws once from `rng`, also when there is nothing to lose.
    pub fn power_loss(&self, rng: &mut impl Rng) -> usize {
        let mut state = self.state();
        let lost = rng.random_range(0..=state.unsynced());
        state.power_loss(lost);
        lost
    }

    /// How many batches a power loss could take now, at most [`MOST_UNSYNCED`].
    #[must_use]
    pub fn unsynced(&self) -> usize {
        self.state().unsynced()
    }

    /// Whether the disk is nearly full: `free_space` says so, while commits still work. Every other time it leaves some
    /// of the reserve that a node has for removals.
    pub fn set_full(&self, full: bool) {
        let mut state = self.state();
        if full {
            state.fill();
        } else {
            state.faults.full = false;
        }
    }

    /// Whether the disk is full without warning: every commit fails with [`EngineError::NoSpace`], stores nothing
    /// and ends the use of the engine, whatever `free_space` said.
    pub fn set_brim(&self, brim: bool) {
        self.state().faults.brim = brim;
    }

    /// Makes the next commit fail with [`EngineError::Io`] and end the use of the engine, as after a failed `fsync`.
    ///
    /// Its batch is there after the next opening if `kept`, unsynced, and else is not. The fault waits for its
    /// commit across crashes and openings; setting it again replaces it.
    pub fn fail_next_commit(&self, kept: bool) {
        self.state().faults.next_commit_kept = Some(kept);
    }

    /// Makes some keys unreadable, or with `None` all readable again: nothing was lost.
    pub fn set_unreadable(&self, bad: Option<BadSectors>) {
        self.state().faults.unreadable = bad;
    }

    /// Ends all faults, also one that still waits for its commit. A poisoned engine stays so until it is opened again.
    pub fn heal(&self) {
        self.state().heal();
    }

    /// What is really there, unreadable keys included, for checks from outside. While it is alive the first commit
    /// to each keyspace copies that keyspace.
    #[must_use]
    pub fn contents(&self) -> MemorySnapshot {
        self.state().contents()
    }

    /// How often each fault has hit the node.
    #[must_use]
    pub fn fired(&self) -> Fired {
        self.state().fired
    }

    /// How much was done, over all openings.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.state().counters
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

/// A panic of the node under test says nothing about the disk.
fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
