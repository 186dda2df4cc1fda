//! What the owners of a register are asked, and what they answer.

use bytes::Bytes;
use quoit_ring::Millis;
use quoit_ring::change::{OwnerSet, Quorums};
use quoit_ring::wire::{RegisterAnswer, RegisterAsk, RegisterRequest, Request};
use smallvec::SmallVec;

use super::{Phase, Running};
use crate::coordinator::context::OpContext;
use crate::coordinator::request_id::Purpose;
use crate::error::{OTHER_QUESTION, Outcome};
use crate::metrics::RequestKind;
use crate::operation::Progress;
use crate::operation::requests::Targets;

/// How long a majority has to answer before all are asked again, in microseconds: far beyond a synced answer.
const PATIENCE: u64 = 1_000_000;
/// How long a turn is waited for, in microseconds: far more than a long queue takes. It only delays, so whoever waits longer goes on.
const IN_LINE: u64 = 200_000;
/// What a request takes beside its key and value, about.
const OVERHEAD: usize = 256;

impl Running {
    /// The owners of the key by the newest epoch.
    pub(super) fn owners(key: &[u8], cx: &OpContext) -> (Targets, Quorums) {
        let lists = cx.topology.lists(cx.topology.token_of(key));
        let targets: Targets = lists.owners().collect();
        let quorums = lists.quorums(&targets);
        (targets, quorums)
    }

    /// Asks all owners what the phase is for.
    pub(super) fn ask_all(&mut self, phase: Phase, cx: &mut OpContext) {
        self.abandon(cx);
        let owners = self.requests.targets().len();
        self.phase = phase;
        self.requests.begin_attempt(owners);
        self.outcomes = vec![Outcome::TimedOut; owners];
        self.was_outbid = false;
        self.awaited = (OwnerSet::first(owners), self.bytes());
        self.again = cx.now.at.after(PATIENCE);
        for owner in 0..owners {
            self.ask(owner, cx);
        }
    }

    /// Asks the first owner that can be reached for a turn; false if there is none.
    pub(super) fn line_up(&mut self, cx: &mut OpContext) -> bool {
        let mut targets = self.requests.targets().iter();
        let Some(first) = targets.position(|node| cx.health.reachable(*node)) else {
            return false;
        };
        self.abandon(cx);
        self.phase = Phase::LiningUp;
        self.was_in_line = true;
        let owners = self.requests.targets().len();
        self.requests.begin_attempt(owners);
        self.outcomes = vec![Outcome::Outbid; owners];
        let only = OwnerSet::first(first + 1) - OwnerSet::first(first);
        self.awaited = (only, self.bytes());
        self.again = cx.now.at.after(IN_LINE);
        cx.timers.hedge_at(self.again, self.requests.key());
        // The owner has no turn for one that has gone on.
        let deadline = self.requests.deadline;
        self.requests.deadline = deadline.min(self.again);
        self.ask(first, cx);
        self.requests.deadline = deadline;
        true
    }

    /// Lets the next proposer in, where nothing is committed that would.
    pub(super) fn end_turn(&mut self, cx: &mut OpContext) {
        self.was_in_line = false;
        if let Some(first) = self.in_turn_at.take() {
            cx.background.abandon(OVERHEAD + self.key.len());
            self.send(first, Purpose::Repair, RegisterAsk::EndTurn, cx);
        }
    }

    /// Asks one of them.
    pub(super) fn ask(&mut self, owner: usize, cx: &mut OpContext) {
        if self.phase == Phase::LiningUp && !self.awaited.0.contains(owner) {
            return; // it was behind before, and has no say in this
        }
        let ballot = self.round.ballot();
        let ask = match (self.phase, &self.proposal) {
            (Phase::Looking, _) => RegisterAsk::Look,
            (Phase::LiningUp, _) => RegisterAsk::AwaitTurn,
            (Phase::Preparing, _) => RegisterAsk::Prepare { ballot },
            (Phase::Proposing | Phase::Committing, Some(proposal)) => {
                let value = proposal.value.clone();
                match proposal.extends {
                    true => RegisterAsk::Extend { ballot, value },
                    false => RegisterAsk::Accept { ballot, value },
                }
            }
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
    pub(super) fn commit(&mut self, owner: usize, cx: &mut OpContext) {
        let Some(proposal) = &self.proposal else {
            return;
        };
        let value = if self.round.acceptors().contains(owner) {
            Bytes::new()
        } else {
            proposal.value.clone()
        };
        let ballot = self.round.ballot();
        // Nobody waits for what comes of it.
        cx.background
            .abandon(OVERHEAD + self.key.len() + value.len());
        let ask = RegisterAsk::Commit { ballot, value };
        self.send(owner, Purpose::Repair, ask, cx);
    }

    /// An owner has answered.
    pub(super) fn answered(
        &mut self,
        owner: usize,
        answer: RegisterAnswer,
        clock: Millis,
        cx: &mut OpContext,
    ) {
        match (answer, self.phase) {
            (RegisterAnswer::State(state), Phase::Looking | Phase::Preparing) => {
                match state.owner_state(clock) {
                    Ok(state) => {
                        self.heard_of(owner, Outcome::Done, cx);
                        self.round.promised(owner, state);
                    }
                    Err(junk) => self.failed(owner, Outcome::Damaged(junk), cx),
                }
            }
            (RegisterAnswer::Accepted, Phase::Proposing | Phase::Committing) => {
                self.heard_of(owner, Outcome::Done, cx);
                self.round.accepted(owner);
                if self.phase == Phase::Committing {
                    self.commit(owner, cx);
                }
            }
            (RegisterAnswer::Outbid { promised }, _) => {
                // One from too far ahead is not believed: this machine's clock comes to it.
                let _believed = cx.mint.observe(promised.time, cx.now.wall);
                self.was_outbid = true;
                self.outbid(owner, cx);
            }
            (RegisterAnswer::Turn { contended }, Phase::LiningUp) => {
                self.heard_of(owner, Outcome::Outbid, cx);
                self.in_turn_at = Some(owner);
                if contended {
                    cx.turns.contend(&self.key, cx.now.at);
                }
            }
            (RegisterAnswer::Unseen, Phase::Proposing | Phase::Committing) => {
                self.outbid(owner, cx);
            }
            // Nothing is asked: it is a late answer.
            (_, Phase::Waiting | Phase::Pausing) => {}
            _ => self.failed(owner, Outcome::Damaged(OTHER_QUESTION), cx),
        }
    }

    /// An owner has not taken the value for another write's sake. If it is chosen all the same, the owner learns so.
    fn outbid(&mut self, owner: usize, cx: &mut OpContext) {
        self.failed(owner, Outcome::Outbid, cx);
        if self.phase == Phase::Committing {
            self.commit(owner, cx);
        }
    }

    /// An owner will not do what it was asked.
    pub(super) fn failed(&mut self, owner: usize, outcome: Outcome, cx: &mut OpContext) {
        self.heard_of(owner, outcome, cx);
        self.round.failed(owner);
    }

    fn heard_of(&mut self, owner: usize, outcome: Outcome, cx: &mut OpContext) {
        let (awaited, bytes) = &mut self.awaited;
        awaited.remove(owner);
        if let Some(last) = self.outcomes.get_mut(owner) {
            *last = outcome;
        }
        let node = self.requests.targets().get(owner);
        if let Some(place) = self.late.iter().position(|late| Some(late) == node) {
            cx.background.answered(*bytes, self.late.swap_remove(place));
        }
    }

    /// What goes on from here has no permit, but a bound of its own; false if there is no room for it.
    pub(super) fn charge(&mut self, cx: &mut OpContext) -> bool {
        let (awaited, bytes) = self.awaited;
        let targets = self.requests.targets();
        let late = awaited.iter().filter_map(|it| targets.get(it).copied());
        self.late = late.collect::<SmallVec<_>>();
        cx.background.begin(bytes, &self.late)
    }

    /// Nothing more will come of one whose caller has its answer.
    pub(super) fn forget(&mut self, cx: &mut OpContext) -> Progress {
        let (_, bytes) = self.awaited;
        cx.background.end(bytes, &self.late);
        self.abandon(cx);
        Progress::Over
    }

    /// Nobody waits any more for the requests of the present attempt that were not answered.
    pub(super) fn abandon(&mut self, cx: &mut OpContext) {
        let (awaited, bytes) = core::mem::take(&mut self.awaited);
        cx.background.abandon(awaited.len() * bytes);
    }

    fn bytes(&self) -> usize {
        let value = self.proposal.as_ref().map_or(0, |it| it.value.len());
        OVERHEAD + self.key.len() + value
    }
}
