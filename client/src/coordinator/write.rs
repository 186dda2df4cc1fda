//! Writes under way: between the [`WriteQuorum`] and the frames.
//!
//! ```text
//!   Response::Joined, Superseded, Refused --> acked, covered, failed
//!   WriteStep::Send   --> Request::Put, one record encoded once for all replicas
//!   WriteStep::Hint   --> Request::Hint to the next fallback, or to an owner that has the write
//!   WriteStep::Remint --> a new dot above what covers the old one, then Send again
//! ```
//!
//! Invariant: a dot lies above everything its context has seen, and a write minted anew has seen its first
//! attempt. Left out: when to do what, which is the machine's.

use bytes::{Bytes, BytesMut};
use quoit_ring::mutant::{Mutant, mutant};
use quoit_ring::wire::{Request, Response, encode_record};
use quoit_ring::{Delta, Dot, Millis, NodeId, Time};
use smallvec::SmallVec;

use crate::coordinator::slab::Key;
use crate::coordinator::{
    BACKGROUND_MICROS, Coordinator, Done, OTHER_QUESTION, Purpose, Work, plan,
};
use crate::entry::{Context, Written};
use crate::env::Now;
use crate::error::{InvalidRequest, Outcome, WriteError};
use crate::quorum::{Acked, WriteFailure, WriteQuorum, WriteStep};
use crate::submission::{Change, Plan};

/// One write.
#[derive(Debug)]
pub(crate) struct Write {
    pub(super) change: Change,
    expiry: Option<Millis>,
    /// How many own the key: whom it is kept at comes behind them.
    pub(super) owners: usize,
    w: usize,
    pub(super) dot: Dot,
    /// The record of the present dot, encoded once for all replicas.
    pub(super) record: Bytes,
    context: Context,
    pub(super) quorum: WriteQuorum,
    /// Whether its last second has begun, in which those are found who keep it.
    is_closing: bool,
}

impl<T, G> Coordinator<T, G> {
    pub(super) fn start_write(&mut self, change: Change, plan: Plan, ticket: (T, G), now: Now) {
        let list = self.ring.preference_list(self.ring.token_of(&change.key));
        let targets: SmallVec<[NodeId; 3]> = list.owners().collect();
        let deadline = plan.deadline;
        match self.prepare(change, &plan, targets.len(), now) {
            Ok(write) => {
                let work = Work::Write(write);
                let running = self.running_for(Some(ticket), targets, deadline, work, now);
                let key = self.running.insert(running);
                self.step_write(key, now);
            }
            Err(invalid) => self
                .done
                .push_back((ticket.0, Done::Write(Err(invalid.into())))),
        }
    }

    /// Checks a write and mints its dot above everything its context has seen.
    fn prepare(
        &mut self,
        change: Change,
        plan: &Plan,
        n: usize,
        now: Now,
    ) -> Result<Write, InvalidRequest> {
        let w = plan::write_count(plan, n)?;
        let expiry = plan::expiry(change.ttl, now.wall)?;
        let latest = change.context.as_ref().map_or(Time::ZERO, Context::latest);
        if !self.mint.observe(latest, now.wall) {
            return Err(InvalidRequest::FutureContext {
                ahead_ms: latest.millis().0.saturating_sub(now.wall.0),
                max_ms: self.mint.max_drift_ms(),
            });
        }
        let (dot, prev) = self.mint.mint(&change.key, latest, now);
        let quorum = WriteQuorum::new(n, w, plan.sloppy);
        let base = change.context.clone().unwrap_or_default();
        let (record, context) = encoded(&change, expiry, &base, prev, dot);
        Ok(Write {
            change,
            expiry,
            owners: n,
            w,
            dot,
            record,
            context,
            quorum,
            is_closing: false,
        })
    }

    pub(super) fn write_answered(
        &mut self,
        key: Key,
        replica: usize,
        response: Response,
        now: Now,
    ) {
        let Some(write) = self.write(key) else { return };
        let keeps = replica >= write.owners && response == Response::Joined;
        match response {
            Response::Joined => write.quorum.acked(replica),
            Response::Superseded { named, above } => write.quorum.superseded(replica, named, above),
            Response::Refused(refusal) => write.quorum.failed(replica, Outcome::Refused(refusal)),
            _other => write
                .quorum
                .failed(replica, Outcome::Damaged(OTHER_QUESTION)),
        }
        self.health.counters.hints += u64::from(keeps);
        self.step_write(key, now);
    }

    pub(super) fn write_failed(&mut self, key: Key, replica: usize, outcome: Outcome, now: Now) {
        let Some(write) = self.write(key) else { return };
        write.quorum.failed(replica, outcome);
        self.step_write(key, now);
    }

    /// The deadline has passed, of the write or of its stay after it has returned: then whoever has not answered is
    /// taken to have missed it, and those who keep it for them get a second, too.
    pub(super) fn write_expired(&mut self, key: Key, now: Now) {
        let Some(running) = self.running.get_mut(key) else {
            return;
        };
        let Work::Write(write) = &mut running.work else {
            return;
        };
        if write.quorum.has_returned() && !write.is_closing {
            write.is_closing = true;
            running.deadline = now.at.after(BACKGROUND_MICROS);
            let late: SmallVec<[usize; 3]> = write.quorum.awaited().collect();
            late.into_iter()
                .for_each(|owner| write.quorum.overdue(owner));
        } else {
            write.quorum.expired();
        }
        self.step_write(key, now);
    }

    fn write(&mut self, key: Key) -> Option<&mut Write> {
        match &mut self.running.get_mut(key)?.work {
            Work::Write(write) => Some(write),
            Work::Read(_) | Work::Ask | Work::Refresh => None,
        }
    }

    /// Does everything the quorum asks for now.
    pub(super) fn step_write(&mut self, key: Key, now: Now) {
        while let Some(write) = self.write(key) {
            let Some(step) = write.quorum.poll_step() else {
                return;
            };
            match step {
                WriteStep::Send(replica) => self.send_write(key, replica, now),
                WriteStep::Hint(owner) => self.hint(key, owner, now),
                WriteStep::Remint(above) => self.remint(key, above, now),
                WriteStep::Return(verdict) => self.return_write(key, verdict, now),
                WriteStep::Finish => self.forget_write(key),
            }
        }
    }

    fn send_write(&mut self, key: Key, replica: usize, now: Now) {
        if mutant(Mutant::RetryMintsNewDot) && replica > 0 {
            let read = self.write(key).and_then(|w| w.change.context.clone());
            self.mint_over(key, &read.unwrap_or_default(), Time::ZERO, now);
        }
        let Some(write) = self.write(key) else { return };
        let request = Request::Put {
            key: write.change.key.clone(),
            dot: write.dot,
            record: write.record.clone(),
        };
        self.send(key, replica, Purpose::Ask, request, now);
    }

    /// Mints the write anew above what covers it. The new dot builds on the first attempt, so it replaces
    /// that wherever it was joined, and on nothing that this client wrote in between.
    fn remint(&mut self, key: Key, above: Time, now: Now) {
        let believed = self.mint.observe(above, now.wall);
        let Some(write) = self.write(key) else { return };
        if !believed {
            return write.quorum.cannot_remint();
        }
        let first = core::mem::take(&mut write.context);
        self.budget.charge();
        self.counters.remints += 1;
        self.mint_over(key, &first, above, now);
        if let Some(running) = self.running.get_mut(key)
            && let Work::Write(write) = &mut running.work
        {
            running.attempt += 1;
            running.targets.truncate(write.owners);
            write.quorum.reminted();
        }
    }

    /// Gives the write a new dot above `above` that builds on `base`.
    fn mint_over(&mut self, key: Key, base: &Context, above: Time, now: Now) {
        let Some(Work::Write(write)) = self.running.get_mut(key).map(|r| &mut r.work) else {
            return;
        };
        let above = above.max(base.latest());
        let (dot, prev) = self.mint.mint(&write.change.key, above, now);
        let (record, context) = encoded(&write.change, write.expiry, base, prev, dot);
        (write.dot, write.record, write.context) = (dot, record, context);
    }

    fn return_write(&mut self, key: Key, verdict: Result<Acked, WriteFailure>, now: Now) {
        let Some(running) = self.running.get_mut(key) else {
            return;
        };
        let (Some(ticket), Work::Write(write)) = (running.ticket.take(), &mut running.work) else {
            return;
        };
        let result = match verdict {
            Ok(Acked { nodes, hints }) => {
                self.budget.earn();
                Ok(Written {
                    dot: write.dot,
                    acked: nodes,
                    hints,
                    context: core::mem::take(&mut write.context), // only minting anew would need it
                })
            }
            Err(failure) => {
                let (targets, owners, needed) = (running.targets.clone(), write.owners, write.w);
                Err(self.explain_write(&targets, (needed, owners), failure))
            }
        };
        self.done.push_back((ticket, Done::Write(result)));
        self.await_handoff(key, now);
    }

    fn explain_write(
        &self,
        targets: &[NodeId],
        (needed, n): (usize, usize),
        failure: WriteFailure,
    ) -> WriteError {
        let WriteFailure {
            acked,
            acked_before,
            unknown_before,
            outcomes,
        } = failure;
        // Replicas that hold an earlier dot of this write count as having stored it.
        let acked = acked.max(acked_before);
        let unknown = |o: &Outcome| *o != Outcome::Done && o.may_be_stored();
        let ambiguous = unknown_before || outcomes.iter().any(unknown);
        let attempts = self.attempts(targets, outcomes);
        match (acked, ambiguous) {
            (_, true) if !mutant(Mutant::FailedSaysNotStored) => WriteError::Unknown {
                acked,
                needed,
                attempts,
            },
            (_, true) | (0, false) => WriteError::NotStored {
                needed,
                n,
                attempts,
            },
            (_, false) => WriteError::UnderReplicated {
                acked,
                needed,
                attempts,
            },
        }
    }
}

/// The record that joins a change in under `dot`, and what its writer has seen then. A change with a context
/// replaces what `base` has seen; one without replaces whatever is older.
fn encoded(
    change: &Change,
    expiry: Option<Millis>,
    base: &Context,
    prev: Time,
    dot: Dot,
) -> (Bytes, Context) {
    let value = change.value.clone().map(|value| (value, expiry));
    let delta = if change.context.is_some() && !mutant(Mutant::ContextCoversTooMuch) {
        Delta::causal(dot, prev, base.seen(), value)
    } else {
        Delta::blind(dot, value)
    };
    let mut out = BytesMut::new();
    encode_record(delta.record(), &mut out);
    (out.freeze(), Context::of(delta.record()))
}
