//! Pages that were pulled: joined as repairs, with how far the pull is in the same batch.
//!
//! ```text
//!   page of n2 --rows--> repairs --staged--> one batch: records, sums' changes, "n2 up to this key" --> committed
//!        '--last one--> "all of n2", synced: so are all pages before it
//! ```
//!
//! A page counts as a whole or not at all: what the cursor has passed is here. A row beyond the bounds on a record is
//! skipped, as such a repair always is, and counted; whatever else refuses a row refuses the page.
//!
//! Invariants: whoever is said to have pulled all from a source has it synced, in either mode. Nothing is joined before what
//! was left of an earlier ownership is gone.

use bytes::Bytes;
use quoit_ring::change::moving::runs;
use quoit_ring::wire::{MAX_KEY, Page, Refusal};
use quoit_ring::{Epoch, Leaf, NodeId};

use super::carry_out::Unfulfilled;
use super::{Committer, Verdict};
use crate::clock::Now;
use crate::engine::layout::META_PULLED;
use crate::engine::{Batch, Durability, Engine, Keyspace};
use crate::handlers::read_repair;
use crate::storage::moving::{Run, is_in};
use crate::write::{Destination, Write};

impl<G: Engine> Committer<G> {
    /// Joins a page that was pulled from `source` in `epoch`.
    pub(super) fn store<R>(
        &mut self,
        (epoch, source): (Epoch, NodeId),
        page: Page,
        now: Now,
    ) -> Result<(), Unfulfilled> {
        self.check_newest(epoch)?;
        if !self.state.cluster.has_taken(epoch) {
            return Err(Refusal::Behind.into());
        }
        let Page { rows, next } = page;
        let writes = self.repairs::<R>((epoch, source), rows, now)?;

        let mut staged = self.stage(&writes, now)?;
        if let Some(error) = staged.applied.poisoned {
            return Err(error.into());
        }
        if let Some(refusal) = staged.applied.verdicts.iter().find_map(refuses_the_page) {
            return Err(refusal.into());
        }

        let mut pulled = self.state.pulled.get();
        let is_last = next.is_none();
        // A page that comes again behind the end leaves it at that.
        if !is_last && pulled.cursor(source).is_some() {
            pulled.advance(source, next);
            let row = pulled.encode();
            let batch = &mut staged.applied.batch;
            batch.insert(Keyspace::Meta, META_PULLED, row);
        }
        let (_verdicts, committed) = self.settle(staged, &writes, now);
        committed?;

        if is_last {
            // A batch of its own: it must not be there without what it says is there.
            pulled.advance(source, None);
            let mut batch = Batch::with_capacity(1);
            batch.insert(Keyspace::Meta, META_PULLED, pulled.encode());
            self.engine.commit(batch, Durability::Fsync)?;
        }
        self.state.pulled.set(pulled);
        self.measure(now);
        Ok(())
    }

    /// The writes that a page is; refused if any row is none that is pulled from `source`.
    fn repairs<R>(
        &self,
        (epoch, source): (Epoch, NodeId),
        rows: Vec<(Bytes, Bytes)>,
        now: Now,
    ) -> Result<Vec<Write<R>>, Refusal> {
        let cluster = &self.state.cluster;
        let ranges = cluster.moving(epoch);
        let runs = runs(&ranges, |range| range.is_pulled(cluster.node, source));
        let write = |(key, record): (Bytes, Bytes)| {
            let leaf = checked_leaf(&key, |key| cluster.leaf_of(key), &runs)?;
            Ok(Write {
                id: 0,
                epoch: Some(epoch),
                reply: None,
                destination: Destination::Record,
                leaf,
                change: read_repair(&record)?,
                bytes: key.len() + record.len(),
                key,
                arrived: now.mono,
                deadline: now.mono,
            })
        };
        rows.into_iter().map(write).collect()
    }
}

fn checked_leaf(
    key: &[u8],
    leaf_of: impl Fn(&[u8]) -> Leaf,
    runs: &[Run],
) -> Result<Leaf, Refusal> {
    if key.is_empty() || key.len() > MAX_KEY {
        let bytes = u64::try_from(key.len()).unwrap_or(u64::MAX);
        return Err(Refusal::BadKey { bytes });
    }
    let leaf = leaf_of(key);
    if is_in(runs, leaf) {
        Ok(leaf)
    } else {
        Err(Refusal::NotReplica)
    }
}

/// Why a page cannot count because of one of its rows. A record beyond its bounds is not why: its replicas stay different
/// until somebody writes it, whoever pulls it.
const fn refuses_the_page(verdict: &Verdict) -> Option<Refusal> {
    match verdict {
        Verdict::Joined
        | Verdict::Superseded { .. }
        | Verdict::Refused(
            Refusal::TooManySiblings { .. }
            | Refusal::RecordTooLarge { .. }
            | Refusal::SeenTooLarge { .. },
        ) => None,
        Verdict::Refused(refusal) => Some(*refusal),
    }
}
