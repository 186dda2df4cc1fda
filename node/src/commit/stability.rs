//! What stability does on the disk: promises, floors, and tombstones that are forgotten.
//!
//! ```text
//!   Promise      refused = clock - max_write_age --synced--> "no older write comes from a client any more"
//!   Stabilize    floors raised                   --synced--> served: from now on no row means that all is seen
//!   ForgetDead   graves below what is forgotten  --> row, leaf entry and grave removed, some at a time
//!                ballots below a floor           --> removed likewise
//! ```
//!
//! Between two batches, like all orders: what was joined before counts, and what comes later is checked against it.

use std::ops::Bound;

use quoit_ring::change::Known;
use quoit_ring::wire::{Promised, Refusal, Response, SyncAnswer, decode_accepted, decode_record};
use quoit_ring::{Epoch, Millis, NodeId, Record, Time};

use super::Committer;
use super::carry_out::Unfulfilled;
use crate::clock::Now;
use crate::engine::layout::{
    META_PROMISED, META_STABLE, NAMESPACE, parse_leaf_key, parse_record_key, record_key,
};
use crate::engine::{Batch, Durability, Engine, EngineError, Keyspace, Snapshot as _};
use crate::stability::Floors;
use crate::storage::moving::Run;
use crate::storage::{BatchBuilder, Unreadable};

/// Graves that are looked at in one order: clients' writes wait meanwhile.
const GRAVES: usize = 128;

impl<G: Engine> Committer<G> {
    /// Refuses clients' writes from now on that are too old by this node's clock, and by `clock` if that is earlier, but none after
    /// `refused`.
    pub(super) fn promise(
        &mut self,
        (clock, refused): (Time, Time),
        epoch: Epoch,
        now: Now,
    ) -> Result<Response, Unfulfilled> {
        self.check_newest(epoch)?;
        // Rows of an earlier ownership are writes that are still on their way to their present owners.
        let cluster = &self.state.cluster;
        if !self.state.leftovers.is_clean(epoch) || !cluster.has_taken(epoch) {
            return Err(Refusal::NotReady.into());
        }
        if !self.has_space(now) {
            return Err(Unfulfilled::NO_SPACE);
        }
        // What was joined before may be among them, so they are looked at here. While they are being counted nobody knows.
        let hints = self.state.hints.oldest().ok_or(Refusal::NotReady)?;
        // A value that is pending may be joined yet, like one in a hint.
        let pending = self.state.registers.oldest().unwrap_or(Time::MAX);

        let mut batch = Batch::with_capacity(2);
        self.advance_mark(Time::ZERO, now, &mut batch);
        // Not beyond the clock's mark, which follows no jump of the wall clock before that has lasted.
        let clock = (self.state.clock.reading(now)).min(clock).min(self.mark());
        let ms = clock
            .millis()
            .0
            .saturating_sub(self.state.limits.max_write_age_ms);
        let refused = Time::at(Millis(ms))
            .min(refused)
            .max(self.state.stability.promised());

        batch.insert(
            Keyspace::Meta,
            META_PROMISED,
            refused.0.to_be_bytes().to_vec(),
        );
        // In either mode, and with it all that was joined before: whoever hears of it forgets what it knows to be here.
        self.engine.commit(batch, Durability::Fsync)?;
        self.state.stability.promise(refused);
        Ok(Response::Sync(SyncAnswer::Promised(Promised {
            refused,
            hints: hints.by_target,
            other_hints: hints.of_any_key.min(pending),
        })))
    }

    /// Raises floors: of these leaves, which this node has owned all the time, no write up to these times is under way.
    pub(super) fn stabilize(
        &mut self,
        epoch: Epoch,
        round: &[(Run, Time)],
        now: Now,
    ) -> Result<(), Unfulfilled> {
        self.check_newest(epoch)?;
        if !self.state.completeness.is_complete() {
            return Err(Refusal::Incomplete.into());
        }
        if !self.has_space(now) {
            return Err(Unfulfilled::NO_SPACE);
        }
        debug_assert!(
            (round.iter()).all(|(run, _)| self.is_owned(epoch, *run.start())),
            "a round is about what the node owns"
        );

        // Where a repair has brought an older write, what kills it may not be here yet, and others may have forgotten that: a
        // round later.
        let is_calm = |run: &Run| self.old_joined.range(run.clone()).next().is_none();
        let calm = round.iter().filter(|(run, _)| is_calm(run)).cloned();
        let floors = (self.state.stability.floors()).raised(&calm.collect::<Vec<_>>());
        let mut batch = Batch::with_capacity(1);
        put_floors(&floors, &mut batch);
        // In either mode: a floor that was served must be there after a loss of power, and what was joined below it.
        self.engine.commit(batch, Durability::Fsync)?;
        self.old_joined.clear();
        self.state.stability.set_floors(floors);
        self.state.stability.set_grave(None);
        Ok(())
    }

    /// Removes some of the tombstones below what is forgotten. True once all are.
    pub(super) fn forget_dead(&mut self, epoch: Epoch, now: Now) -> Result<bool, Unfulfilled> {
        self.check_newest(epoch)?;
        if !self.has_space(now) {
            return Err(Unfulfilled::NO_SPACE);
        }
        let (floors, stability) = (self.state.stability.floors(), &self.state.stability);
        let start = stability.grave().map_or(Bound::Unbounded, Bound::Excluded);
        let graves = (self.engine.snapshot()).range(Keyspace::Graves, (start, Bound::Unbounded));
        let mut builder = BatchBuilder::new(3 * GRAVES, 0);
        let (mut looked, mut forgotten, mut last) = (0, 0, None);
        for grave in graves.take(GRAVES) {
            let (grave, _nothing) = grave.map_err(Unfulfilled::reading)?;
            looked += 1;
            if let Ok((leaf, _, key)) = parse_leaf_key(&grave)
                && floors.forgotten(leaf) > Time::ZERO
                && let Some(dead) = self.dead_row(key, now)?
                && is_forgotten(&dead, floors.forgotten(leaf))
            {
                builder.remove_record(key, leaf, &dead);
                if !self.has_ballot(key)? {
                    builder.remove_leaf(key, leaf);
                }
                forgotten += 1;
            }
            last = Some(grave);
        }

        self.commit(builder.into_batch(), Time::ZERO, now)?;
        let is_over = looked < GRAVES;
        self.state.stability.add_forgotten(forgotten);
        self.state.stability.set_grave(last.filter(|_| !is_over));
        self.measure(now);
        Ok(is_over)
    }

    /// Removes some of the ballots that nobody needs any more. Whether that were the last.
    ///
    /// A ballot is kept for ten times as long as a write may be old, so that its proposer finds out what became of it. Then its
    /// leaf's floor stands for it: no ballot at or below that is taken. A value that is pending anywhere keeps the floor below it,
    /// so nobody holds one that this ballot bars.
    pub(super) fn forget_ballots(&mut self, epoch: Epoch, now: Now) -> Result<bool, Unfulfilled> {
        self.check_newest(epoch)?;
        if !self.has_space(now) {
            return Err(Unfulfilled::NO_SPACE);
        }
        let (floors, stability) = (self.state.stability.floors(), &self.state.stability);
        let kept_ms = self.state.limits.max_write_age_ms.saturating_mul(10);
        let old = Time::at(Millis(now.wall.0.saturating_sub(kept_ms)));
        let start = stability.ballot().map_or(Bound::Unbounded, Bound::Excluded);
        let ballots = (self.engine.snapshot()).range(Keyspace::Ballots, (start, Bound::Unbounded));
        let mut builder = BatchBuilder::new(2 * GRAVES, 0);
        let (mut looked, mut last) = (0, None);
        for row in ballots.take(GRAVES) {
            let (stored, row) = row.map_err(Unfulfilled::reading)?;
            looked += 1;
            if let (Ok((_, key)), Ok(accepted)) = (parse_record_key(&stored), decode_accepted(row))
            {
                let leaf = self.state.cluster.leaf_of(key);
                let time = accepted.ballot.time;
                if accepted.value.is_none() && time <= floors.at(leaf) && time <= old {
                    builder.remove_ballot(key);
                    if !self.has_record(key)? {
                        builder.remove_leaf(key, leaf);
                    }
                }
            }
            last = Some(stored);
        }

        self.commit(builder.into_batch(), Time::ZERO, now)?;
        let is_over = looked < GRAVES;
        self.state.stability.set_ballot(last.filter(|_| !is_over));
        Ok(is_over)
    }

    /// Whether anything was accepted of the register of `key`.
    fn has_ballot(&self, key: &[u8]) -> Result<bool, Unfulfilled> {
        let stored = (self.engine).get(Keyspace::Ballots, &record_key(NAMESPACE, key));
        stored
            .map(|row| row.is_some())
            .map_err(Unfulfilled::reading)
    }

    /// The tombstone of `key`, if that is what is stored. What cannot be read stays.
    fn dead_row(&self, key: &[u8], now: Now) -> Result<Option<Record>, Unfulfilled> {
        let stored = (self.engine).get(Keyspace::Records, &record_key(NAMESPACE, key));
        let record = match stored {
            Ok(None) => return Ok(None),
            Ok(Some(stored)) => decode_record(&stored).map_err(Unreadable::Record),
            Err(error @ EngineError::Poisoned { .. }) => return Err(error.into()),
            Err(error) => Err(Unreadable::Engine(error)),
        };
        if let Err(error) = &record {
            self.state.damage.say(error, now.mono);
        }
        Ok(record.ok().filter(|record| record.live().is_empty()))
    }
}

/// Whether a tombstone says nothing that the floor of its leaf does not say.
fn is_forgotten(dead: &Record, forgotten: Time) -> bool {
    let mut above = dead.clone();
    above.raise_floor(forgotten);
    above.is_only_floor(forgotten)
}

/// Floors of what `node` still owns in an epoch that it learns, for the batch that stores it; none if they stay as they are.
pub(super) fn floors_of_owned(floors: &Floors, known: &Known, node: NodeId) -> Option<Floors> {
    let stretches = known.topology().stretches();
    // By the old list where a leaf moves: what it is to own it does not own yet.
    let owned = stretches.filter(|it| it.lists.old_owners().any(|owner| owner == node));
    let owned: Vec<Run> = owned.map(|stretch| stretch.leaves).collect();
    let kept = floors.within(&owned);
    (kept != *floors).then_some(kept)
}

/// Puts floors in a batch.
pub(super) fn put_floors(floors: &Floors, batch: &mut Batch) {
    batch.insert(Keyspace::Meta, META_STABLE, floors.encode());
}

#[cfg(test)]
mod tests {
    use quoit_ring::{Actor, Delta, Dot, Seen};

    use super::*;

    #[test]
    fn a_tombstone_is_forgotten_once_all_that_it_has_seen_lies_below() {
        let dot = |time| Dot {
            time: Time(time),
            actor: Actor(1),
        };
        let blind = Delta::blind(dot(10), None).into_record();
        assert!(!is_forgotten(&blind, Time(9)) && is_forgotten(&blind, Time(10)));
        let causal = Delta::causal(dot(12), Time(10), &Seen::up_to(Time(5)), None).into_record();
        assert!(!is_forgotten(&causal, Time(11)) && is_forgotten(&causal, Time(12)));
    }
}
