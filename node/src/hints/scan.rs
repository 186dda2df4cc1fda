//! The scan that counts the hints after a start.
//!
//! Each step has a snapshot of its own and begins behind the last one's end. No hint changes meanwhile: before they are
//! counted none is accepted and none delivered. What cannot be read is passed over and not counted, so that the bound on
//! hints may be passed by as much.

use std::ops::Bound;

use bytes::Bytes;
use quoit_ring::wire::Fault;

use super::usage::{HintDelta, HintUsage, row_bytes};
use crate::engine::layout::parse_hint_key;
use crate::engine::{Engine, EngineError, Keyspace, Snapshot, skip_unreadable};
use crate::storage::fault_of;

/// The walk that counts the hints after a start, a chunk at a time.
#[derive(Debug)]
pub struct HintScan {
    /// What is not counted yet.
    next: Bound<Bytes>,
    /// The key behind which that begins.
    last: Bytes,
}

impl HintScan {
    /// A walk from the start.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            next: Bound::Unbounded,
            last: Bytes::new(),
        }
    }

    /// Counts up to `hints` of them into `hint_usage`; true once it was the last of them.
    ///
    /// # Errors
    /// The engine has failed; the count will not be there in this run.
    pub fn step<G: Engine>(
        &mut self,
        engine: &G,
        hint_usage: &HintUsage,
        hints: usize,
    ) -> Result<bool, Fault> {
        let snapshot = engine.snapshot();
        let walk = snapshot.range(Keyspace::Hints, (self.next.clone(), Bound::Unbounded));
        let mut counted = 0;
        for entry in walk.take(hints) {
            counted += 1;
            match entry {
                Ok((stored_key, value)) => {
                    count(&stored_key, value.len(), hint_usage);
                    self.next = Bound::Excluded(stored_key.clone());
                    self.last = stored_key;
                }
                Err(error) => return self.pass(&snapshot, hint_usage, &error),
            }
        }
        let over = counted < hints;
        if over {
            hint_usage.set_ready();
        }
        Ok(over)
    }

    /// Passes over what cannot be read.
    fn pass<S: Snapshot>(
        &mut self,
        snapshot: &S,
        hint_usage: &HintUsage,
        error: &EngineError,
    ) -> Result<bool, Fault> {
        if matches!(error, EngineError::Poisoned { .. }) {
            return Err(fault_of(error));
        }
        tracing::error!(
            error = error as &dyn std::error::Error,
            "a place among the stored hints cannot be read: it is not counted"
        );
        hint_usage.pass_over();
        let end = Bound::Unbounded;
        let next = skip_unreadable(snapshot, Keyspace::Hints, &self.last, &end, error);
        let Some(next) = next else {
            hint_usage.set_ready();
            return Ok(true);
        };
        self.next = Bound::Included(next.clone());
        self.last = next;
        Ok(false)
    }
}

impl Default for HintScan {
    fn default() -> Self {
        Self::new()
    }
}

fn count(stored_key: &Bytes, value: usize, hint_usage: &HintUsage) {
    let Ok((target, ..)) = parse_hint_key(stored_key) else {
        tracing::error!(?stored_key, "a stored hint has a key that is none");
        return;
    };
    hint_usage.add(&[HintDelta {
        target,
        count: 1,
        bytes: row_bytes(stored_key.len(), value),
    }]);
}
