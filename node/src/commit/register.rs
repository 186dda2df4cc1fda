//! One step of a conditional write, on the register of one key. Pure.
//!
//! ```text
//!   Look, Prepare   what is held now: behind all that was accepted before, in this batch too
//!   Accept, Extend  pending, if no higher ballot was promised; its batch is synced in either mode
//!   Commit          joined into the record; the ballot stays
//! ```
//!
//! **Ballots are times**, so they are held to the clock as writes are: none from the future, none older than writes may be, none
//! that others count on to be refused, and none up to the mark of the run before. Its own mark is stored with the batch.

use bytes::Bytes;
use quoit_ring::register::{Accepted, Acceptor, Ballot, Denied};
use quoit_ring::wire::{
    Refusal, RegisterRequest, RegisterState, Response, decode_accepted, record_bytes, record_len,
};
use quoit_ring::{Epoch, Millis, Record, Time, check_drift};

use super::bounds::RecordBounds;
use super::carry_out::Unfulfilled;
use super::{Committer, Rules, Verdict};
use crate::clock::Now;
use crate::engine::layout::{NAMESPACE, record_key};
use crate::engine::{Engine, Keyspace};
use crate::handlers::read_register;
use crate::storage::Unreadable;
use crate::write::{Destination, Step, Write};

/// The register of a key, while the writes of a batch go through it.
#[derive(Debug)]
pub(super) struct RegisterRow {
    acceptor: Acceptor,
    stored: Option<Accepted>,
    /// The highest ballot that it promised in this batch.
    promised: Option<Ballot>,
}

/// By how much a register changes once its batch is committed.
#[derive(Debug)]
pub struct RegisterChange {
    /// Its key.
    pub key: Bytes,
    /// Nothing below it is taken any more.
    pub promised: Option<Ballot>,
    /// If that has changed: since when a value is pending, if one is.
    pub pending: Option<Option<Time>>,
}

/// What a step finds of its key.
pub(super) struct Current<'a> {
    pub(super) record: &'a mut Record,
    /// Whether there is a row by now.
    pub(super) has_row: bool,
    pub(super) floor: Time,
}

impl RegisterRow {
    /// Reads it. Nothing at or below the floor of its leaf is taken: its row may have been removed since.
    pub(super) fn read<G: Engine>(
        engine: &G,
        key: &[u8],
        floor: Time,
        rules: &Rules,
    ) -> Result<Self, Unreadable> {
        let stored = engine.get(Keyspace::Ballots, &record_key(NAMESPACE, key));
        let stored = stored.map_err(Unreadable::Engine)?;
        let stored = (stored.map(decode_accepted).transpose()).map_err(Unreadable::Record)?;
        let floor = match floor {
            Time::ZERO => Ballot::ZERO,
            floor => Ballot::last_of(floor),
        };
        let promised = rules.registers.promised(key).max(floor);
        Ok(Self {
            acceptor: Acceptor::new(promised, stored.clone()),
            stored,
            promised: None,
        })
    }

    /// Does one step.
    pub(super) fn step(
        &mut self,
        step: &Step,
        current: &mut Current<'_>,
        rules: &Rules,
    ) -> Result<Verdict, Refusal> {
        let bounds = RecordBounds::of_repairs(&rules.limits, rules.copies);
        match step {
            Step::Look => Ok(self.state(current)),
            Step::Prepare(ballot) => {
                check(*ballot, rules)?;
                match self.acceptor.prepare(*ballot) {
                    Ok(()) => {
                        self.promised = self.promised.max(Some(*ballot));
                        Ok(self.state(current))
                    }
                    Err(denied) => self.denied(denied, rules),
                }
            }
            Step::Accept(ballot, value) | Step::Extend(ballot, value) => {
                check(*ballot, rules)?;
                check_stamp(value.max_time(), rules)?;
                bounds.joined(current.record, value)?;
                if rules.registers.is_full() {
                    return Err(Refusal::Overloaded { queue_ms: 0 });
                }
                let (value, held) = (value.clone(), &*current.record);
                let taken = match step {
                    Step::Extend(..) => self.acceptor.extend(*ballot, value, held),
                    _ => self.acceptor.accept(*ballot, value, held),
                };
                match taken {
                    Ok(()) => {
                        self.promised = self.promised.max(Some(*ballot));
                        Ok(Verdict::Accepted)
                    }
                    Err(denied) => self.denied(denied, rules),
                }
            }
            Step::Commit(ballot, value) => {
                check_stamp(ballot.time, rules)?;
                if let Some(value) = value {
                    check_stamp(value.max_time(), rules)?;
                    bounds.joined(current.record, value)?;
                }
                if let Some(chosen) = self.acceptor.commit(*ballot, value.clone()) {
                    current.record.join(&chosen);
                }
                Ok(Verdict::Joined)
            }
            &Step::AwaitTurn { contended } => Ok(Verdict::Turn { contended }),
            Step::EndTurn => Ok(Verdict::Turn { contended: false }),
            Step::Take(theirs) => {
                if let Some(chosen) = self.acceptor.take(theirs.clone()) {
                    current.record.join(&chosen);
                }
                Ok(Verdict::Joined)
            }
        }
    }

    /// What changes on the disk: the row to be stored, if it differs.
    pub(super) fn changed(&self) -> Option<&Accepted> {
        let accepted = self.acceptor.accepted();
        accepted.filter(|_| accepted != self.stored.as_ref())
    }

    /// What changes in memory once that is stored.
    pub(super) fn change(&self, key: &Bytes) -> Option<RegisterChange> {
        let since = |accepted: &Accepted| accepted.value.as_ref().map(|_| accepted.since);
        let pending = self.acceptor.accepted().and_then(since);
        let has_changed = pending != self.stored.as_ref().and_then(since);
        (has_changed || self.promised.is_some()).then(|| RegisterChange {
            key: key.clone(),
            promised: self.promised,
            pending: has_changed.then_some(pending),
        })
    }

    /// Bytes of what it would answer.
    pub(super) fn bytes(&self, current: &Current<'_>) -> usize {
        let pending = self.acceptor.accepted().and_then(|it| it.value.as_ref());
        record_len(current.record) + pending.map_or(0, record_len)
    }

    /// What the owner holds: all of one instant.
    fn state(&self, current: &Current<'_>) -> Verdict {
        let accepted = self.acceptor.accepted();
        Verdict::State(Box::new(RegisterState {
            floor: current.floor,
            row: current.has_row.then(|| record_bytes(current.record)),
            ballot: accepted.map(|accepted| accepted.ballot),
            pending: accepted.and_then(|accepted| accepted.value.as_ref().map(record_bytes)),
        }))
    }

    fn denied(&self, denied: Denied, rules: &Rules) -> Result<Verdict, Refusal> {
        match denied {
            Denied::Outbid(promised) => Ok(Verdict::Outbid(promised)),
            Denied::Unseen => Ok(Verdict::Unseen),
            Denied::Reused => {
                rules.registers.add_reused();
                Err(Refusal::BallotReused)
            }
        }
    }
}

impl<G: Engine> Committer<G> {
    /// Does one step by itself, for this node's own round.
    pub(super) fn step<R>(
        &mut self,
        epoch: Epoch,
        request: RegisterRequest,
        now: Now,
    ) -> Result<Response, Unfulfilled> {
        self.check_newest(epoch)?;
        let RegisterRequest { key, ask } = request;
        let write = Write::<R> {
            id: 0,
            epoch: Some(epoch),
            reply: None,
            destination: Destination::Record,
            leaf: self.state.cluster.leaf_of(&key),
            change: read_register(&ask, &self.state.limits)?,
            bytes: key.len(),
            key,
            arrived: now.mono,
            deadline: now.mono,
        };
        if !self.is_owned(epoch, write.leaf) {
            return Err(Refusal::NotReplica.into());
        }
        self.state.completeness.check()?;
        let writes = [write];
        let staged = self.stage(&writes, now)?;
        let (mut verdicts, committed) = self.settle(staged, &writes, now);
        committed?;
        let verdict = verdicts.pop().ok_or(Refusal::NotReady)?;
        Ok(verdict.into())
    }
}

/// Refuses a ballot that is not of the present.
fn check(ballot: Ballot, rules: &Rules) -> Result<(), Refusal> {
    check_stamp(ballot.time, rules)?;
    let Millis(now) = rules.age_reference.millis();
    let age_ms = now.saturating_sub(ballot.time.millis().0);
    let max_ms = rules.limits.max_write_age_ms;
    if age_ms > max_ms || ballot.time <= rules.promised {
        let age_ms = age_ms.max(max_ms + 1);
        return Err(Refusal::TooOld { age_ms, max_ms });
    }
    // It may have been barred before the start. That mark lies ahead of the clock and must not leave the node, so nobody is outbid by
    // it.
    if ballot.time <= rules.registers.start() {
        return Err(Refusal::NotReady);
    }
    Ok(())
}

fn check_stamp(stamp: Time, rules: &Rules) -> Result<(), Refusal> {
    let max_ms = rules.limits.max_clock_drift_ms;
    check_drift(stamp, rules.now.wall, max_ms).map_err(|drift| Refusal::ClockAhead {
        ahead_ms: drift.ahead_ms,
        max_ms: drift.max_ms,
    })
}
