//! The walk that brings the Merkle sums back after a start, chunk by chunk, at the pace of its caller.
//!
//! ```text
//!   step   open: the changes beside it are noted --> snapshot
//!   step   up to so many rows and bytes are read off it --> added --> snapshot dropped
//! ```
//!
//! A snapshot keeps the engine from dropping what is overwritten meanwhile, in memory and on disk: each lives for one
//! chunk.
//!
//! **What cannot be read.** A record that is junk is summed up as a taint, which no other node has: its leaf is never
//! taken for equal. A place that the engine cannot read is passed over, and the rows there are not known, so in the
//! end the sums are not ready: the walk begins again when its caller comes back, since a disk may recover.

use std::ops::Bound;

use bytes::{Bytes, BytesMut};
use quoit_ring::wire::{Fault, decode_record};

use super::cursor::{Position, SummedRow};
use super::{Sums, fault_of};
use crate::cluster::ClusterView;
use crate::engine::layout::{NAMESPACE, parse_record_key, record_key};
use crate::engine::{Engine, EngineError, Keyspace, Snapshot, skip_unreadable};

/// Bytes of records after which a chunk ends.
const MOST_BYTES: usize = 1 << 20;

/// What a step of a walk leaves to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Walked {
    /// There is more to read.
    More,
    /// Everything was read.
    Over,
    /// Everything was read that can be. Another step begins again from the start; let some time pass before.
    Incomplete,
}

/// The walk that brings the sums back after a start, a chunk at a time, each with a snapshot of its own.
#[derive(Debug)]
pub struct Rebuild<G: Engine> {
    /// The snapshot of the chunk that is open.
    chunk: Option<G::Snapshot>,
    /// How often the chunk had to be read again: each time it is half as long.
    retries: u32,
    /// Places that were passed over.
    gaps: u64,
    is_incomplete: bool,
}

impl<G: Engine> Rebuild<G> {
    /// A walk from the start.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            chunk: None,
            retries: 0,
            gaps: 0,
            is_incomplete: false,
        }
    }

    /// Opens a chunk, or adds the one that is open, of up to `rows` records, to `sums`.
    ///
    /// # Errors
    /// The engine has failed; the sums will not be ready in this run.
    pub fn step(
        &mut self,
        engine: &G,
        sums: &Sums,
        cluster: &ClusterView,
        rows: usize,
    ) -> Result<Walked, Fault> {
        let Some(snapshot) = self.chunk.take() else {
            if std::mem::take(&mut self.is_incomplete) {
                sums.start_over();
                self.gaps = 0;
            }
            sums.open_chunk();
            self.chunk = Some(engine.snapshot());
            return Ok(Walked::More);
        };

        let mut chunk = Chunk {
            snapshot: &snapshot,
            sums,
            cluster,
            rows: Vec::new(),
            unreadable: 0,
            gaps: 0,
        };
        let rows = (rows >> self.retries.min(16)).max(1);
        let end = chunk.read(rows)?;
        let Chunk {
            rows,
            unreadable,
            gaps,
            ..
        } = chunk;
        let is_over = end == Position::End;
        if !sums.close_chunk(rows, end, unreadable) {
            self.retries += 1;
            return Ok(Walked::More);
        }

        self.retries = 0;
        self.gaps += gaps;
        match (is_over, self.gaps) {
            (false, _) => Ok(Walked::More),
            (true, 0) => {
                sums.set_ready();
                Ok(Walked::Over)
            }
            (true, _) => {
                self.is_incomplete = true;
                Ok(Walked::Incomplete)
            }
        }
    }
}

impl<G: Engine> Default for Rebuild<G> {
    fn default() -> Self {
        Self::new()
    }
}

/// A chunk being read.
struct Chunk<'a, S> {
    snapshot: &'a S,
    sums: &'a Sums,
    cluster: &'a ClusterView,
    rows: Vec<SummedRow>,
    /// Records that are junk, and places that cannot be read.
    unreadable: u64,
    gaps: u64,
}

impl<S: Snapshot> Chunk<'_, S> {
    /// Reads up to `most` rows, or until a gap; where the chunk ends.
    fn read(&mut self, most: usize) -> Result<Position, Fault> {
        let Position::Before(first) = self.sums.position() else {
            return Ok(Position::End);
        };
        let mut last = record_key(NAMESPACE, &first);
        let end = Bound::Excluded(record_key(NAMESPACE + 1, &[]));
        let range = (Bound::Included(last.clone()), end.clone());
        let mut bytes = 0;
        for row in self.snapshot.range(Keyspace::Records, range) {
            let (stored_key, value) = match row {
                Ok(row) => row,
                Err(error) => return self.pass(&last, &end, &error),
            };
            bytes += value.len();
            self.add(&stored_key, &value);
            last = stored_key;
            if self.rows.len() >= most || bytes >= MOST_BYTES {
                return Ok(behind(&last));
            }
        }
        Ok(Position::End)
    }

    /// Sums up one row.
    fn add(&mut self, stored_key: &Bytes, value: &Bytes) {
        // A key in the range of its namespace is not shorter than that.
        let Ok((_namespace, key)) = parse_record_key(stored_key) else {
            return;
        };
        let merkle_key = self.sums.key();
        let sum = match decode_record(value) {
            Ok(record) => merkle_key.sum_of(key, &record),
            Err(error) => {
                tracing::error!(%error, ?key, "a stored record cannot be read");
                self.unreadable += 1;
                merkle_key.taint(self.cluster.node, key)
            }
        };
        // The row cannot be kept alive by its key alone for longer than the chunk.
        let (leaf, key) = (self.cluster.leaf_of(key), stored_key.slice_ref(key));
        self.rows.push((key, leaf, sum));
    }

    /// Ends the chunk behind what cannot be read.
    fn pass(
        &mut self,
        last: &[u8],
        end: &Bound<Bytes>,
        error: &EngineError,
    ) -> Result<Position, Fault> {
        if matches!(error, EngineError::Poisoned { .. }) {
            return Err(fault_of(error));
        }
        let error_: &dyn std::error::Error = error;
        tracing::error!(
            error = error_,
            "a place among the stored records cannot be read"
        );
        self.unreadable += 1;
        self.gaps += 1;
        let next = skip_unreadable(self.snapshot, Keyspace::Records, last, end, error);
        let next = next.as_ref().map(|next| parse_record_key(next));
        Ok(match next {
            Some(Ok((NAMESPACE, key))) => Position::Before(Bytes::copy_from_slice(key)),
            _ => Position::End,
        })
    }
}

/// The position right behind a stored key.
fn behind(stored_key: &[u8]) -> Position {
    let key = parse_record_key(stored_key).map_or(&[][..], |(_namespace, key)| key);
    let mut next = BytesMut::with_capacity(key.len() + 1);
    next.extend_from_slice(key);
    next.extend_from_slice(&[0]);
    Position::Before(next.freeze())
}
