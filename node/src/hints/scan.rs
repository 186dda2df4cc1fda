//! The scan that counts the hints after a start.

use quoit_ring::wire::Fault;

use super::usage::{HintDelta, HintUsage, row_bytes};
use crate::engine::layout::parse_hint_key;
use crate::engine::{Engine, Keyspace, Snapshot};
use crate::storage::fault_of;

/// The walk that counts the hints after a start, a piece at a time.
#[derive(Debug)]
pub struct HintScan<G: Engine> {
    walk: <G::Snapshot as Snapshot>::Range,
}

impl<G: Engine> HintScan<G> {
    /// Begins with what `engine` holds now; call it before the run's first commit.
    #[must_use]
    pub fn new(engine: &G) -> Self {
        Self {
            walk: engine.snapshot().range(Keyspace::Hints, ..),
        }
    }

    /// Counts up to `hints` of them into `hint_usage`; true once it was the last of them.
    ///
    /// # Errors
    /// What is wrong with the storage; the count will not be there in this run.
    pub fn step(&mut self, hint_usage: &HintUsage, hints: usize) -> Result<bool, Fault> {
        let mut counted = 0;
        for entry in self.walk.by_ref().take(hints) {
            let (stored_key, value) = entry.map_err(|error| fault_of(&error))?;
            let (target, ..) = parse_hint_key(&stored_key).map_err(|_short| Fault::Corrupt)?;
            let bytes = row_bytes(stored_key.len(), value.len());
            hint_usage.add(&[HintDelta {
                target,
                count: 1,
                bytes,
            }]);
            counted += 1;
        }
        let over = counted < hints;
        if over {
            hint_usage.set_ready();
        }
        Ok(over)
    }
}
