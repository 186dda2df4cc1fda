//! A conditional write, or a linearizable read: between the [`Round`] and the frames.
//!
//! ```text
//!   Looking     Look    --> all owners --a majority agrees, nothing pending--> answered, in one round
//!      '-- no --v
//!   Preparing   Prepare --> all owners --a majority promised: joined, decided--.
//!      ^                                      '-- answered, if it says so      |
//!      |                                                                       v
//!      |-- outbid, too few: a pause, a higher ballot --<-- Proposing   Accept --> all owners
//!                                                                       | a majority: it happened; answered
//!                                                          Committing  Commit --> whoever has accepted, and the others
//! ```
//!
//! Each message that goes to all owners is an attempt of its own, so late answers to the one before are passed over. A reader
//! looks first, and promises nothing to anybody; everybody else bars lower ballots at once.
//!
//! **What was proposed may be chosen by others.** A round that ends without a majority leaves its value pending somewhere, and a later
//! proposer may carry it on. So what this operation wrote is looked for in each later round, and unless it is found there the
//! round is finished: only behind that is it barred for good.
//!
//! Invariant: an operation is not answered as having done nothing while a value that it proposed may be chosen.

mod goal;

use bytes::Bytes;
use quoit_ring::change::{OwnerSet, Quorums};
use quoit_ring::register::{Ballot, Joined, Round};
use quoit_ring::wire::{
    RegisterAnswer, RegisterAsk, RegisterRequest, Request, Response, ResponseFrame, record_bytes,
};
use quoit_ring::{Delta, Dot, Millis, Moment};
use tokio::sync::OwnedSemaphorePermit;

use crate::coordinator::context::{BACKGROUND_MICROS, OpContext};
use crate::coordinator::request_id::{MAX_ATTEMPTS, Purpose};
use crate::coordinator::slab::Key;
use crate::error::{OTHER_QUESTION, Outcome};
use crate::metrics::{Kind, RequestKind};
use crate::operation::plan::{self, Plan};
use crate::operation::requests::{Requests, Targets};
use crate::operation::{Handler, Progress};
use crate::trace::Trace;

pub(crate) use self::goal::{Condition, Goal, Swap, SwapResult};
use self::goal::{Decision, Finding};

/// How long a majority has to answer before all are asked again, in microseconds: far beyond a synced answer.
const PATIENCE: u64 = 1_000_000;
/// The longest first pause of one that was outbid, in microseconds; it doubles so many times at most.
const PAUSE: u64 = 2_000;
const PAUSE_DOUBLES: u8 = 6;
/// No more attempts than this: an id tells no more apart.
const LAST_ATTEMPT: u8 = MAX_ATTEMPTS - 4;

/// What is wanted of a key's register.
#[derive(Debug)]
pub(crate) struct Submitted {
    pub(crate) key: Bytes,
    pub(crate) plan: Plan,
    pub(crate) goal: Goal,
    pub(crate) kind: Kind,
    pub(crate) permit: OwnedSemaphorePermit,
    pub(crate) trace: Option<Box<Trace>>,
}

/// Where a round is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Looking,
    Preparing,
    Proposing,
    /// Nobody is asked until the moment to try again.
    Pausing,
    /// The caller has its answer.
    Committing,
}

/// What is proposed, and what follows once it is chosen.
#[derive(Debug)]
struct Proposal {
    value: Bytes,
    finding: Finding,
}

/// An operation on a register under way. Boxed: larger than what a slot is made for.
#[derive(Debug)]
pub(crate) struct Register(Box<Running>);

#[derive(Debug)]
struct Running {
    requests: Requests,
    key: Bytes,
    kind: Kind,
    /// Taken when the caller is answered.
    goal: Option<Goal>,
    /// Kept to the end: commits occupy the client, too.
    _permit: OwnedSemaphorePermit,
    phase: Phase,
    round: Round,
    proposal: Option<Proposal>,
    /// What this operation has proposed of its own so far.
    dots: Vec<Dot>,
    /// What each owner did last.
    outcomes: Vec<Outcome>,
    /// Owners that have not answered the accept.
    awaited: OwnerSet,
    /// When to try again, whatever has come.
    again: Moment,
    /// How often it has paused.
    pauses: u8,
    has_looked: bool,
}

impl Running {
    /// The owners of the key by the newest epoch.
    fn owners(key: &[u8], cx: &OpContext) -> (Targets, Quorums) {
        let lists = cx.topology.lists(cx.topology.token_of(key));
        let targets: Targets = lists.owners().collect();
        let quorums = lists.quorums(&targets);
        (targets, quorums)
    }

    /// Begins a round: looks, or prepares.
    fn begin_round(&mut self, cx: &mut OpContext) {
        if self.requests.attempt() >= LAST_ATTEMPT {
            self.phase = Phase::Pausing;
            self.again = self.requests.deadline;
            return;
        }
        let (targets, quorums) = Self::owners(&self.key, cx);
        debug_assert_eq!(targets.len(), self.requests.targets().len(), "of one epoch");
        let looks = !self.has_looked && matches!(self.goal, Some(Goal::Read(_)));
        self.has_looked = true;
        self.round = Round::new(cx.mint.ballot(cx.now), quorums);
        self.proposal = None;
        if looks {
            self.ask_all(Phase::Looking, cx);
        } else {
            self.ask_all(Phase::Preparing, cx);
        }
    }

    /// Asks all owners what the phase is for.
    fn ask_all(&mut self, phase: Phase, cx: &mut OpContext) {
        let owners = self.requests.targets().len();
        self.phase = phase;
        self.requests.begin_attempt(owners);
        self.outcomes = vec![Outcome::TimedOut; owners];
        self.awaited = OwnerSet::first(owners);
        self.again = cx.now.at.after(PATIENCE);
        for owner in 0..owners {
            self.ask(owner, cx);
        }
    }

    fn ask(&mut self, owner: usize, cx: &mut OpContext) {
        let ballot = self.round.ballot();
        let ask = match (self.phase, &self.proposal) {
            (Phase::Looking, _) => RegisterAsk::Look,
            (Phase::Preparing, _) => RegisterAsk::Prepare { ballot },
            (Phase::Proposing | Phase::Committing, Some(proposal)) => RegisterAsk::Accept {
                ballot,
                value: proposal.value.clone(),
            },
            _ => return,
        };
        self.send(owner, Purpose::Ask, ask, cx);
    }

    fn send(&mut self, owner: usize, purpose: Purpose, ask: RegisterAsk, cx: &mut OpContext) {
        let key = self.key.clone();
        let request = Request::Register(RegisterRequest { key, ask });
        let what = (purpose, RequestKind::Register);
        self.requests.send(owner, what, request, cx);
    }

    /// Tells an owner that the value is chosen: by its ballot alone if it has the value.
    fn commit(&mut self, owner: usize, cx: &mut OpContext) {
        let Some(proposal) = &self.proposal else {
            return;
        };
        let value = if self.round.acceptors().contains(owner) {
            Bytes::new()
        } else {
            proposal.value.clone()
        };
        let ballot = self.round.ballot();
        self.send(
            owner,
            Purpose::Repair,
            RegisterAsk::Commit { ballot, value },
            cx,
        );
    }

    /// An owner has answered.
    fn answered(
        &mut self,
        owner: usize,
        answer: RegisterAnswer,
        clock: Millis,
        cx: &mut OpContext,
    ) {
        self.awaited.remove(owner);
        match (answer, self.phase) {
            (RegisterAnswer::State(state), Phase::Looking | Phase::Preparing) => {
                match state.owner_state(clock) {
                    Ok(state) => {
                        self.outcomes[owner] = Outcome::Done;
                        self.round.promised(owner, state);
                    }
                    Err(junk) => self.failed(owner, Outcome::Damaged(junk)),
                }
            }
            (RegisterAnswer::Accepted, Phase::Proposing | Phase::Committing) => {
                self.outcomes[owner] = Outcome::Done;
                self.round.accepted(owner);
                if self.phase == Phase::Committing {
                    self.commit(owner, cx);
                }
            }
            (RegisterAnswer::Outbid { promised }, _) => {
                // One from too far ahead is not believed: this machine's clock comes to it.
                let _believed = cx.mint.observe(promised.time, cx.now.wall);
                self.failed(owner, Outcome::Outbid);
                if self.phase == Phase::Committing {
                    self.commit(owner, cx);
                }
            }
            _ => self.failed(owner, Outcome::Damaged(OTHER_QUESTION)),
        }
    }

    fn failed(&mut self, owner: usize, outcome: Outcome) {
        self.awaited.remove(owner);
        if let Some(last) = self.outcomes.get_mut(owner) {
            *last = outcome;
        }
        self.round.failed(owner);
    }

    /// Goes on as far as the answers allow.
    fn step(&mut self, cx: &mut OpContext) -> Progress {
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
                self.pause(cx);
            }
            Phase::Committing if self.awaited.is_empty() => return Progress::Over,
            _ => {}
        }
        Progress::Pending
    }

    /// A majority has promised: what is there decides what is proposed.
    fn decide(&mut self, joined: Joined, cx: &mut OpContext) -> Progress {
        let Some(goal) = &self.goal else {
            return Progress::Over;
        };
        let (value, finding) = match goal.decide(&joined, &self.dots) {
            Decision::Answer(finding) => return self.end(finding, cx),
            Decision::Keep(finding) => (joined.record, finding),
            Decision::Write { value, ttl } => {
                let expiry = match plan::expiry(ttl, joined.at) {
                    Ok(expiry) => expiry,
                    Err(invalid) => return self.end(Finding::Invalid(invalid), cx),
                };
                let latest = joined.record.max_time();
                if !cx.mint.observe(latest, cx.now.wall) {
                    self.pause(cx); // until this machine's clock comes to it
                    return Progress::Pending;
                }
                let key_hash = cx.mint.hash(&self.key, cx.now);
                let (dot, prev) = cx.mint.mint((key_hash, false), latest, cx.now);
                let value = value.map(|value| (value, expiry));
                let delta = Delta::causal(dot, prev, joined.record.seen(), value);
                let mut record = joined.record;
                record.join(delta.record());
                self.dots.push(dot);
                let finding = Finding::Applied(dot, record.clone());
                (record, finding)
            }
        };
        let value = record_bytes(&value);
        self.proposal = Some(Proposal { value, finding });
        self.round.propose();
        self.ask_all(Phase::Proposing, cx);
        Progress::Pending
    }

    /// A majority has accepted: it happened, and whoever has the value learns so.
    fn chosen(&mut self, cx: &mut OpContext) -> Progress {
        let Some(proposal) = &self.proposal else {
            return Progress::Over;
        };
        let finding = proposal.finding.clone();
        self.phase = Phase::Committing;
        cx.budget.earn();
        let owners = OwnerSet::first(self.requests.targets().len());
        for owner in (owners - self.awaited).iter() {
            self.commit(owner, cx);
        }
        let background = cx.now.at.after(BACKGROUND_MICROS);
        self.answer(finding, cx);
        self.requests.deadline = self.requests.deadline.min(background);
        if self.awaited.is_empty() {
            Progress::Over
        } else {
            Progress::Pending
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
        Progress::Over
    }

    fn answer(&mut self, finding: Finding, cx: &mut OpContext) {
        if let Some(goal) = self.goal.take() {
            // Where a majority agreed, nothing was proposed.
            let acked = match self.round.acceptors().len() {
                0 => self.round.promisers(),
                acked => acked,
            };
            let own = (&self.key, &self.dots[..]);
            goal.answer((finding, acked), own, (&mut self.requests, self.kind), cx);
        }
    }

    /// The deadline has passed.
    fn give_up(&mut self, cx: &mut OpContext) -> Progress {
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

impl Handler for Register {
    type Submitted = Submitted;

    fn start(submitted: Submitted, key: Key, cx: &mut OpContext) -> Option<Self> {
        let Submitted {
            key: name,
            plan,
            goal,
            kind,
            permit,
            trace,
        } = submitted;
        let (targets, quorums) = Running::owners(&name, cx);
        let checked = plan::check_register(&plan).and_then(|()| goal.check());
        let requests = Requests::new(key, targets, plan.deadline, trace, cx);
        let mut running = Box::new(Running {
            requests,
            key: name,
            kind,
            goal: Some(goal),
            _permit: permit,
            phase: Phase::Pausing,
            round: Round::new(Ballot::ZERO, quorums),
            proposal: None,
            dots: Vec::new(),
            outcomes: Vec::new(),
            awaited: OwnerSet::NONE,
            again: cx.now.at,
            pauses: 0,
            has_looked: false,
        });
        if let Err(invalid) = checked {
            running.answer(Finding::Invalid(invalid), cx);
            return None;
        }
        running.begin_round(cx);
        Some(Self(running))
    }

    fn requests(&mut self) -> &mut Requests {
        &mut self.0.requests
    }

    fn on_response(
        &mut self,
        owner: usize,
        purpose: Purpose,
        frame: ResponseFrame,
        cx: &mut OpContext,
    ) -> Progress {
        let running = &mut *self.0;
        if purpose == Purpose::Repair {
            return Progress::Pending; // of a commit: whoever misses it learns of it in the next round
        }
        if running.requests.refuses_epoch(owner, &frame.response, cx) {
            return Progress::Pending;
        }
        match frame.response {
            Response::Register(answer) => {
                running.answered(owner, *answer, frame.clock.millis(), cx);
            }
            Response::Refused(refusal) => running.failed(owner, Outcome::Refused(refusal)),
            _ => running.failed(owner, Outcome::Damaged(OTHER_QUESTION)),
        }
        running.step(cx)
    }

    fn on_failure(
        &mut self,
        owner: usize,
        purpose: Option<Purpose>,
        outcome: Outcome,
        cx: &mut OpContext,
    ) -> Progress {
        let running = &mut *self.0;
        if purpose != Some(Purpose::Repair) {
            running.failed(owner, outcome);
        }
        running.step(cx)
    }

    fn on_time(&mut self, cx: &mut OpContext) -> Progress {
        let running = &mut *self.0;
        if running.phase == Phase::Committing {
            return if running.requests.is_expired(cx) {
                Progress::Over
            } else {
                Progress::Pending
            };
        }
        if running.requests.is_expired(cx) {
            for (owner, why) in running.requests.take_refusals() {
                running.outcomes[owner] = why;
            }
            return running.give_up(cx);
        }
        for owner in running.requests.take_behind(cx).iter() {
            running.ask(owner, cx);
        }
        if running.again <= cx.now.at {
            running.begin_round(cx);
        }
        Progress::Pending
    }

    /// Begins again with the owners of the new epoch: what was promised or accepted in an earlier one does not count in this.
    fn on_epoch(&mut self, cx: &mut OpContext) -> Progress {
        let running = &mut *self.0;
        if running.phase == Phase::Committing {
            return Progress::Over;
        }
        let (targets, _) = Running::owners(&running.key, cx);
        if !running.requests.begin_epoch(targets) {
            return running.give_up(cx);
        }
        running.begin_round(cx);
        Progress::Pending
    }

    fn on_hedge(&mut self, cx: &mut OpContext) -> Progress {
        let running = &mut *self.0;
        if running.phase == Phase::Pausing && running.again <= cx.now.at {
            running.begin_round(cx);
        }
        Progress::Pending
    }
}
