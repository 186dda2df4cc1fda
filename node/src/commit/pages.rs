//! Pages that came from other owners: joined as repairs. Of what moves here, how far that is stands in the same batch.
//!
//! ```text
//!   page of n2 --rows--> repairs --staged--> one batch: records, sums' changes, "n2 up to this key" --> committed
//!        '--last one--> "all of n2", synced: so are all pages before it
//! ```
//!
//! A page counts as a whole or not at all: what the cursor has passed is here. A row beyond the bounds on a record is
//! skipped, as such a repair always is, and counted; whatever else refuses a row refuses the page.
//!
//! A node that has lost writes with its power gets pages of what it owns, too; once it has enough of them that is stored,
//! synced, and it answers reads.
//!
//! Invariants: whoever is said to have pulled all from a source has it synced, in either mode. Nothing is joined before what
//! was left of an earlier ownership is gone.

use bytes::Bytes;
use quoit_ring::change::moving::runs;
use quoit_ring::wire::{MAX_KEY, Page, Refusal, decode_accepted};
use quoit_ring::{Epoch, Leaf, NodeId};

use super::carry_out::Unfulfilled;
use super::committer::Staged;
use super::{Committer, Verdict};
use crate::clock::Now;
use crate::engine::layout::{META_INCOMPLETE, META_PULLED};
use crate::engine::{Batch, Durability, Engine, Keyspace};
use crate::handlers::read_repair;
use crate::storage::moving::{Run, is_in};
use crate::write::{Change, Destination, Step, Write};

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
        let Page {
            rows,
            registers,
            next,
        } = page;
        let cluster = &self.state.cluster;
        let runs = runs(&cluster.moving(epoch), |range| {
            range.is_pulled(cluster.node, source)
        });
        let mut writes = self.repairs::<R>((epoch, &runs), rows, now)?;
        // Behind the records: what was committed there is in them.
        writes.extend(self.taken::<R>((epoch, &runs), registers, now)?);
        let mut staged = self.stage_page(&writes, now)?;

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

    /// Joins rows that `source` has sent to this node, which has lost writes with its power. How far that is stands nowhere:
    /// a node that restarts begins again.
    pub(super) fn refill<R>(
        &mut self,
        (epoch, source): (Epoch, NodeId),
        rows: Vec<(Bytes, Bytes)>,
        now: Now,
    ) -> Result<(), Unfulfilled> {
        self.check_newest(epoch)?;
        let count = rows.len();
        let runs = self.state.cluster.shared_runs(epoch, source);
        let writes = self.repairs::<R>((epoch, &runs), rows, now)?;
        let staged = self.stage_page(&writes, now)?;
        let (_verdicts, committed) = self.settle(staged, &writes, now);
        committed?;
        self.state.completeness.add_refilled(count);
        self.measure(now);
        Ok(())
    }

    /// Serves reads again, and says so on the disk.
    pub(super) fn complete(&mut self, epoch: Epoch, now: Now) -> Result<(), Unfulfilled> {
        self.check_newest(epoch)?;
        if self.state.completeness.is_complete() {
            return Ok(());
        }
        if !self.has_space(now) {
            return Err(Unfulfilled::NO_SPACE);
        }
        let mut batch = Batch::with_capacity(1);
        batch.remove(Keyspace::Meta, META_INCOMPLETE);
        // Synced in either mode, and with it all that was joined before.
        self.engine.commit(batch, Durability::Fsync)?;
        self.state.completeness.complete();
        tracing::info!(
            rows = self.state.completeness.refilled_rows(),
            "complete: what was lost with the power is here again, as far as others had it"
        );
        Ok(())
    }

    /// Decides what a page does; refused if any row of it is.
    fn stage_page<R>(&mut self, writes: &[Write<R>], now: Now) -> Result<Staged, Unfulfilled> {
        let mut staged = self.stage(writes, now)?;
        if let Some(error) = staged.applied.poisoned.take() {
            return Err(error.into());
        }
        match staged.applied.verdicts.iter().find_map(refuses_the_page) {
            Some(refusal) => Err(refusal.into()),
            None => Ok(staged),
        }
    }

    /// The writes that a page is; refused if any row is in none of these leaves, which ascend.
    fn repairs<R>(
        &self,
        (epoch, runs): (Epoch, &[Run]),
        rows: Vec<(Bytes, Bytes)>,
        now: Now,
    ) -> Result<Vec<Write<R>>, Refusal> {
        let cluster = &self.state.cluster;
        let write = |(key, record): (Bytes, Bytes)| {
            let leaf = checked_leaf(&key, |key| cluster.leaf_of(key), runs)?;
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

    /// The writes that take what a source has accepted of registers; refused if any is in none of these leaves.
    fn taken<R>(
        &self,
        (epoch, runs): (Epoch, &[Run]),
        registers: Vec<(Bytes, Bytes)>,
        now: Now,
    ) -> Result<Vec<Write<R>>, Refusal> {
        let cluster = &self.state.cluster;
        let write = |(key, row): (Bytes, Bytes)| {
            let leaf = checked_leaf(&key, |key| cluster.leaf_of(key), runs)?;
            let bytes = key.len() + row.len();
            let accepted = decode_accepted(row).map_err(|_junk| Refusal::BadRecord)?;
            Ok(Write {
                id: 0,
                epoch: Some(epoch),
                reply: None,
                destination: Destination::Record,
                leaf,
                change: Change::Register(Box::new(Step::Take(accepted))),
                bytes,
                key,
                arrived: now.mono,
                deadline: now.mono,
            })
        };
        registers.into_iter().map(write).collect()
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
        | Verdict::State(_)
        | Verdict::Accepted
        | Verdict::Outbid(_)
        | Verdict::Unseen
        | Verdict::Turn { .. }
        | Verdict::Refused(
            Refusal::TooManySiblings { .. }
            | Refusal::RecordTooLarge { .. }
            | Refusal::SeenTooLarge { .. },
        ) => None,
        Verdict::Refused(refusal) => Some(*refusal),
    }
}
