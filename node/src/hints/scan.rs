//! The scan that counts the hints after a start.
//!
//! Each step has a snapshot of its own and begins behind the last one's end. No hint changes meanwhile: before they are
//! counted none is accepted and none delivered. What cannot be read is passed over: a [`Gap`], which [`recount`] tries
//! again. What was wrong may have been wrong for a moment only, and a hint that is not counted is not delivered.

use std::ops::Bound;

use bytes::Bytes;
use quoit_ring::wire::Fault;

use super::row::split_row;
use super::usage::{Gap, HintDelta, HintUsage, row_bytes};
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
                    hint_usage.add(delta_of(&stored_key, &value).as_slice());
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
            "a place among the stored hints cannot be read: it is counted, and delivered, later"
        );
        let end = Bound::Unbounded;
        let next = skip_unreadable(snapshot, Keyspace::Hints, &self.last, &end, error);
        hint_usage.pass_over(Gap {
            after: self.last.clone(),
            before: next.clone(),
        });
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

/// The result of an attempt to count a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Recounted {
    /// There is more to read.
    More,
    /// Every gap is counted.
    All,
    /// One of them still cannot be read.
    Unreadable,
}

/// Counts up to `hints` of the gaps' hints. They do not change meanwhile.
///
/// # Errors
/// The engine has failed; what is not counted stays so in this run.
pub(crate) fn recount<G: Engine>(
    engine: &G,
    hint_usage: &HintUsage,
    hints: usize,
) -> Result<Recounted, Fault> {
    let gaps = hint_usage.gaps();
    let mut result = Recounted::All;
    for gap in gaps.iter() {
        match recount_gap(engine, hint_usage, gap, hints)? {
            // One that stays unreadable keeps no other from being counted.
            Recounted::Unreadable => result = Recounted::Unreadable,
            Recounted::All if gaps.len() == 1 => return Ok(Recounted::All),
            Recounted::All | Recounted::More => return Ok(Recounted::More),
        }
    }
    Ok(result)
}

/// The same for one of them.
fn recount_gap<G: Engine>(
    engine: &G,
    hint_usage: &HintUsage,
    gap: &Gap,
    hints: usize,
) -> Result<Recounted, Fault> {
    let end = (gap.before.clone()).map_or(Bound::Unbounded, Bound::Excluded);
    let rows =
        (engine.snapshot()).range(Keyspace::Hints, (Bound::Excluded(gap.after.clone()), end));

    let (mut deltas, mut read, mut last, mut error) = (Vec::new(), 0, gap.after.clone(), None);
    for row in rows.take(hints) {
        read += 1;
        match row {
            Ok((stored_key, value)) => {
                deltas.extend(delta_of(&stored_key, &value));
                last = stored_key;
            }
            Err(failed) => error = Some(failed),
        }
    }
    let over = error.is_none() && read < hints;
    hint_usage.count_gap(gap, &deltas, (!over).then_some(last));

    match error {
        Some(error @ EngineError::Poisoned { .. }) => Err(fault_of(&error)),
        Some(error) => {
            let error: &dyn std::error::Error = &error;
            tracing::debug!(error, "a place among the stored hints still cannot be read");
            Ok(Recounted::Unreadable)
        }
        None if over => Ok(Recounted::All),
        None => Ok(Recounted::More),
    }
}

/// What a stored hint adds to the count; nothing if it is none.
fn delta_of(stored_key: &Bytes, value: &Bytes) -> Option<HintDelta> {
    let Ok((target, ..)) = parse_hint_key(stored_key) else {
        tracing::error!(?stored_key, "a stored hint has a key that is none");
        return None;
    };
    Some(HintDelta {
        target,
        count: 1,
        bytes: row_bytes(stored_key.len(), value.len()),
        minted: split_row(value).0,
        is_stray: true,
    })
}
