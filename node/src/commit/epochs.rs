//! Epochs, as the one thread sees them that commits: learned on the disk, fenced between two batches.
//!
//! ```text
//!   batch | learn 7: stored, synced, served | batch | fence 7 | batch: writes of epoch 6 are refused
//! ```
//!
//! Both happen here and not where a message arrives, so no write is joined in an epoch that has been refused by then, not
//! even one that waited in the queue. That is what who pulls a range relies on: behind the fence nothing older is added.

use quoit_ring::Epoch;
use quoit_ring::change::Known;
use quoit_ring::wire::configuration::encode_configuration;

use super::Committer;
use crate::clock::Now;
use crate::engine::layout::META_CONFIGURATION;
use crate::engine::{Batch, Durability, Engine, EngineError, Keyspace};

impl<G: Engine> Committer<G> {
    /// Learns a newer epoch: stores it, and serves it from then on. False if the disk has no space for it.
    ///
    /// # Errors
    /// The engine's: whether the epoch is stored is unknown, it is not served, and the engine takes no more.
    pub fn learn(&mut self, known: Known, now: Now) -> Result<bool, EngineError> {
        if known.epoch() <= self.state.cluster.newest().epoch() {
            return Ok(true);
        }
        if !self.has_space(now) {
            return Ok(false);
        }

        let mut batch = Batch::with_capacity(1);
        let encoded = encode_configuration(known.configuration());
        batch.insert(Keyspace::Meta, META_CONFIGURATION, encoded);
        // In either mode: a node that forgot an epoch would serve an older one again, which others count as fenced.
        self.engine.commit(batch, Durability::Fsync)?;
        self.state.cluster.learn(known);
        Ok(true)
    }

    /// Refuses epochs before `fence`, in whatever is joined from now on; the epoch that all before are refused of, which
    /// is less if this node has not learned of `fence`.
    pub fn fence(&mut self, fence: Epoch) -> Epoch {
        self.state.cluster.fence(fence)
    }
}
