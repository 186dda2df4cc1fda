//! An operation on a register goes on as far as the answers allow.

use std::time::Duration;

use bytes::Bytes;
use quoit_ring::change::OwnerSet;
use quoit_ring::register::{Joined, Round};
use quoit_ring::wire::record_bytes;
use quoit_ring::{Delta, Millis, Moment, Record};

use super::chosen::Chosen;
use super::goal::{Decision, Finding, Goal};
use super::turns::{Kept, Place};
use super::{Phase, Proposal, Running};
use crate::coordinator::context::{BACKGROUND_MICROS, OpContext};
use crate::coordinator::request_id::MAX_ATTEMPTS;
use crate::entry::Context;
use crate::error::{InvalidRequest, Outcome};
use crate::operation::{Progress, plan};

/// The longest first pause of one that was outbid, in microseconds; it doubles so many times at most.
const PAUSE: u64 = 2_000;
const PAUSE_DOUBLES: u8 = 6;
/// No more attempts than this: an id tells no more apart.
const LAST_ATTEMPT: u8 = MAX_ATTEMPTS - 4;

impl Running {
    /// Begins: looks, or waits for its turn, or prepares.
    pub(super) fn begin_round(&mut self, cx: &mut OpContext) {
        if self.requests.attempt() >= LAST_ATTEMPT {
            self.phase = Phase::Pausing;
            self.again = self.requests.deadline;
            self.leave(cx); // it holds nobody up until then
        } else if !self.has_looked && matches!(self.goal, Some(Goal::Read(_))) {
            self.has_looked = true;
            self.new_round(cx);
            self.ask_all(Phase::Looking, cx);
        } else if self.is_queued {
            let is_alone = !cx.turns.is_contended(&self.key, cx.now.at);
            if is_alone || self.was_in_line || !self.line_up(cx) {
                // This ballot bars the one that is kept.
                cx.last_chosen.remove(&self.key);
                self.new_round(cx);
                self.ask_all(Phase::Preparing, cx);
            }
        } else {
            self.queue(cx);
        }
    }

    /// By a ballot of its own, which nobody has seen.
    fn new_round(&mut self, cx: &OpContext) {
        let (targets, quorums) = Self::owners(&self.key, cx);
        debug_assert_eq!(targets.len(), self.requests.targets().len(), "of one epoch");
        self.proposal = None;
        self.round = Round::new(cx.mint.ballot(cx.now), quorums);
    }

    /// Takes its place among this client's operations on the key.
    fn queue(&mut self, cx: &mut OpContext) {
        self.is_queued = true;
        let context = match &self.goal {
            Some(Goal::Swap(swap, _)) => swap.condition.context(),
            _ => None,
        };
        let place = (cx.turns).take(&self.key, self.requests.key(), (context, cx.now.at));
        match place {
            Place::First(kept) => {
                if let Some(kept) = kept.filter(|kept| kept.epoch == self.epoch) {
                    self.in_turn_at = kept.in_turn_at;
                    self.was_in_line = kept.in_turn_at.is_some();
                }
                self.begin_turn(cx);
            }
            Place::Behind => {
                self.abandon(cx);
                self.phase = Phase::Waiting;
                self.outcomes = vec![Outcome::Outbid; self.requests.targets().len()];
                if let Some(until) = cx.turns.kept_until(&self.key) {
                    cx.timers.hedge_at(until, self.requests.key());
                }
            }
        }
    }

    /// Its turn has come. Where other clients write the key, too, what this one left is hardly the last.
    pub(super) fn begin_turn(&mut self, cx: &mut OpContext) {
        if cx.turns.is_contended(&self.key, cx.now.at) || !self.extend(cx) {
            self.begin_round(cx);
        }
    }

    /// Proposes on top of what this client's last one left; false if it has to ask first.
    fn extend(&mut self, cx: &mut OpContext) -> bool {
        let Some(goal @ Goal::Swap(..)) = &self.goal else {
            return false;
        };
        let (of, max_drift_ms) = ((self.epoch, cx.now), cx.mint.max_drift_ms());
        let Some((chosen, record)) = cx.last_chosen.take(&self.key, of, max_drift_ms) else {
            return false;
        };
        let joined = Joined {
            at: chosen.present(cx.now.at),
            record,
            agreed: false,
        };
        // Anything else is not said without having asked.
        let Decision::Write { value, ttl } = goal.decide(&joined, &self.dots) else {
            return false;
        };
        let at = (chosen.at, chosen.answered); // the pair: what passes since then is counted once
        let Ok(Some((record, finding))) = self.write(joined, (value, ttl), cx) else {
            return false;
        };
        let (_, quorums) = Self::owners(&self.key, cx);
        self.round = Round::new(chosen.next, quorums);
        self.propose((true, at), (record, finding), cx);
        true
    }

    /// Goes on as far as the answers allow.
    pub(super) fn step(&mut self, cx: &mut OpContext) -> Progress {
        let max_drift_ms = cx.mint.max_drift_ms();
        match self.phase {
            Phase::Looking if self.round.is_promised(max_drift_ms) => {
                let joined = self.round.joined(max_drift_ms);
                if joined.agreed {
                    return self.end(Finding::Found(joined.record), cx);
                }
                self.begin_round(cx);
            }
            Phase::Preparing if self.round.is_promised(max_drift_ms) => {
                let joined = self.round.joined(max_drift_ms);
                return self.decide(joined, cx);
            }
            Phase::Proposing if self.round.is_accepted() => return self.chosen(cx),
            Phase::Looking | Phase::Preparing | Phase::Proposing if self.round.is_lost() => {
                self.lost(cx);
            }
            Phase::LiningUp if self.awaited.0.is_empty() => self.begin_round(cx),
            Phase::Committing if self.awaited.0.is_empty() => return self.forget(cx),
            _ => {}
        }
        Progress::Pending
    }

    /// The round is lost: another one follows, in turn if another client was first.
    fn lost(&mut self, cx: &mut OpContext) {
        if self.was_outbid {
            cx.turns.contend(&self.key, cx.now.at);
        }
        let has_asked = self.proposal.as_ref().is_none_or(|it| !it.extends);
        let may_line_up = !self.was_in_line && cx.turns.is_contended(&self.key, cx.now.at);
        self.end_turn(cx);
        if !has_asked || (self.was_outbid && may_line_up) {
            self.begin_round(cx);
        } else {
            self.pause(cx);
        }
    }

    /// A majority has promised: what is there decides what is proposed.
    fn decide(&mut self, joined: Joined, cx: &mut OpContext) -> Progress {
        let Some(goal) = &self.goal else {
            return Progress::Over;
        };
        let at = (joined.at, (cx.now.at, cx.now.wall));
        let proposed = match goal.decide(&joined, &self.dots) {
            Decision::Answer(finding) => return self.end(finding, cx),
            Decision::Keep(finding) => (joined.record, finding),
            Decision::Write { value, ttl } => match self.write(joined, (value, ttl), cx) {
                Ok(Some(written)) => written,
                Ok(None) => {
                    self.pause(cx); // until this machine's clock comes to it
                    return Progress::Pending;
                }
                Err(invalid) => return self.end(Finding::Invalid(invalid), cx),
            },
        };
        self.propose((false, at), proposed, cx);
        Progress::Pending
    }

    /// The value on top of what is there; none while this machine's clock is too far behind that.
    fn write(
        &mut self,
        joined: Joined,
        (value, ttl): (Option<Bytes>, Option<Duration>),
        cx: &mut OpContext,
    ) -> Result<Option<(Record, Finding)>, InvalidRequest> {
        let expiry = plan::expiry(ttl, joined.at)?;
        let latest = joined.record.max_time();
        if !cx.mint.observe(latest, cx.now.wall) {
            return Ok(None);
        }
        let key_hash = cx.mint.hash(&self.key, cx.now);
        let (dot, prev) = cx.mint.mint((key_hash, false), latest, cx.now);
        let value = value.map(|value| (value, expiry));
        let delta = Delta::causal(dot, prev, joined.record.seen(), value);
        let mut record = joined.record;
        record.join(delta.record());
        self.dots.push(dot);
        let finding = Finding::Applied(dot, record.clone());
        Ok(Some((record, finding)))
    }

    fn propose(
        &mut self,
        (extends, at): (bool, (Millis, (Moment, Millis))),
        (record, finding): (Record, Finding),
        cx: &mut OpContext,
    ) {
        self.proposal = Some(Proposal {
            extends,
            value: record_bytes(&record),
            finding,
            at,
        });
        self.round.propose();
        self.ask_all(Phase::Proposing, cx);
    }

    /// A majority has accepted: it happened, and whoever has the value learns so.
    fn chosen(&mut self, cx: &mut OpContext) -> Progress {
        let Some(proposal) = &self.proposal else {
            return Progress::Over;
        };
        let finding = proposal.finding.clone();
        if let Some(next) = self.round.ballot().next() {
            let (at, answered) = proposal.at;
            let chosen = Chosen {
                next,
                record: proposal.value.clone(),
                epoch: self.epoch,
                at,
                answered,
            };
            cx.last_chosen.put(&self.key, chosen, cx.now.at);
        }
        self.phase = Phase::Committing;
        self.requests.deadline = cx.now.at.after(BACKGROUND_MICROS);
        cx.budget.earn();
        let owners = OwnerSet::first(self.requests.targets().len());
        for owner in (owners - self.awaited.0).iter() {
            self.commit(owner, cx);
        }
        self.in_turn_at = None; // a commit ends its turn
        self.answer(finding, cx);
        if self.charge(cx) && !self.awaited.0.is_empty() {
            Progress::Pending
        } else {
            self.forget(cx)
        }
    }

    /// Tries again after a while, longer each time, so that of several proposers one gets through.
    fn pause(&mut self, cx: &mut OpContext) {
        let longest = PAUSE << self.pauses.min(PAUSE_DOUBLES);
        self.pauses = self.pauses.saturating_add(1);
        self.phase = Phase::Pausing;
        self.again = cx.now.at.after(PAUSE / 2 + cx.now.random % longest);
        cx.timers.hedge_at(self.again, self.requests.key());
    }

    fn end(&mut self, finding: Finding, cx: &mut OpContext) -> Progress {
        self.answer(finding, cx);
        self.end_turn(cx);
        self.abandon(cx);
        Progress::Over
    }

    /// Answers the caller, and lets the next operation on the key begin.
    pub(super) fn answer(&mut self, finding: Finding, cx: &mut OpContext) {
        self.keep_turn(&finding, cx);
        if let Some(goal) = self.goal.take() {
            // Where a majority agreed, nothing was proposed.
            let acked = match self.round.acceptors().len() {
                0 => self.round.promisers(),
                acked => acked,
            };
            let own = (&self.key, &self.dots[..]);
            goal.answer((finding, acked), own, (&mut self.requests, self.kind), cx);
        }
        self.leave(cx);
        self.permit = None;
    }

    /// Keeps the turn of one that finds something else than it has read, for the write on what is there.
    fn keep_turn(&mut self, finding: &Finding, cx: &mut OpContext) {
        let (Some(Goal::Swap(swap, _)), Finding::Found(record)) = (&self.goal, finding) else {
            return;
        };
        if swap.condition.context().is_some() && core::mem::take(&mut self.is_queued) {
            let kept = Kept {
                context: Context::of(record),
                in_turn_at: self.in_turn_at.take(),
                epoch: self.epoch,
                since: cx.now.at,
            };
            let key = self.requests.key();
            if let Some((until, next)) = cx.turns.keep(&self.key, key, kept) {
                cx.timers.hedge_at(until, next);
            }
        }
    }

    /// Lets the next operation on the key begin.
    fn leave(&mut self, cx: &mut OpContext) {
        if core::mem::take(&mut self.is_queued) {
            cx.turns.leave(&self.key, self.requests.key());
        }
    }

    /// The deadline has passed.
    pub(super) fn give_up(&mut self, cx: &mut OpContext) -> Progress {
        let outcomes = core::mem::take(&mut self.outcomes);
        let answered = outcomes.iter().filter(|it| **it == Outcome::Done).count();
        let finding = Finding::GaveUp {
            answered,
            needed: self.round.needed(),
            attempts: cx.attempts(self.requests.targets(), outcomes),
        };
        self.end(finding, cx)
    }
}
