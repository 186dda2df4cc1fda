//! A proposal of what shall follow an epoch, put to the voters of that epoch.
//!
//! ```text
//!   Prepare, Accept --> all voters --a majority: decided--> the caller; this client goes on to that epoch
//!        ^                 | '--behind: taught, then asked again
//!        '---- a pause ----'    beaten by another proposer, or too few have answered for a while
//! ```
//!
//! Each request that goes to all voters is an attempt of its own, so late answers to the one before are passed over. What
//! to ask, and when something is decided, is in [`Decision`]; here is only when to try again and when to give up.
//!
//! Invariant: once an `Accept` was sent the proposal may be decided, whatever this client hears of it, and its error says
//! so. Left out: telling members that are no voters.

use std::sync::Arc;
use std::time::Duration;

use quoit_ring::change::{Configuration, Decision, DecisionStep, OwnerSet};
use quoit_ring::wire::{
    MembershipAnswer, MembershipRequest, Refusal, Request, Response, ResponseFrame,
};
use quoit_ring::{Moment, NodeId};
use tokio::sync::OwnedSemaphorePermit;

use crate::coordinator::context::OpContext;
use crate::coordinator::request_id::{MAX_ATTEMPTS, Purpose};
use crate::coordinator::slab::Key;
use crate::error::{OTHER_QUESTION, Outcome};
use crate::membership::{MembershipError, Proposed};
use crate::metrics::{End, Kind, RequestKind};
use crate::operation::requests::{Caller, Requests};
use crate::operation::{Handler, Progress};
use crate::reply::Reply;

/// How long a majority has to answer before all are asked again, in microseconds: far beyond a synced answer.
const PATIENCE: u64 = 500_000;
/// The longest first pause of one that was beaten, in microseconds; it doubles so many times at most.
const PAUSE: u64 = 20_000;
const PAUSE_DOUBLES: u8 = 5;
/// No more attempts than this: an id tells no more apart.
const LAST_ATTEMPT: u8 = MAX_ATTEMPTS - 2;

/// What came of a proposal.
pub(crate) type ProposalResult = Result<Proposed, MembershipError>;

/// A proposal.
#[derive(Debug)]
pub(crate) struct Submitted {
    /// What it follows.
    pub(crate) after: Arc<Configuration>,
    pub(crate) next: Box<Configuration>,
    pub(crate) deadline: Duration,
    pub(crate) caller: Caller<ProposalResult>,
}

/// A proposal under way. Boxed: it is rare, and larger than what a slot is made for.
#[derive(Debug)]
pub(crate) struct Propose(Box<Proposal>);

#[derive(Debug)]
struct Proposal {
    requests: Requests,
    decision: Decision,
    wanted: Configuration,
    reply: Option<(Kind, Reply<ProposalResult>)>,
    /// What each voter did last, in their order.
    outcomes: Vec<Outcome>,
    /// Voters that were behind, and are asked again once they have learned.
    taught: OwnerSet,
    /// When to try again.
    again: Moment,
    times_beaten: u8,
    may_be_decided: bool,
    _permit: OwnedSemaphorePermit,
}

impl Proposal {
    /// Asks all voters.
    fn ask_all(&mut self, request: &MembershipRequest, cx: &mut OpContext) {
        let voters = self.decision.voters().len();
        self.requests.begin_attempt(voters);
        self.outcomes = vec![Outcome::TimedOut; voters];
        self.taught = OwnerSet::NONE;
        self.again = cx.now.at.after(PATIENCE);
        for voter in 0..voters {
            self.ask(voter, request.clone(), cx);
        }
    }

    fn ask(&mut self, voter: usize, request: MembershipRequest, cx: &mut OpContext) {
        self.may_be_decided |= matches!(request, MembershipRequest::Accept { .. });
        let what = (Purpose::Ask, RequestKind::Ask);
        let request = Request::Membership(request);
        self.requests
            .send_as_of(self.decision.after(), (voter, what), request, cx);
    }

    /// A voter has answered.
    fn answered(&mut self, voter: usize, answer: MembershipAnswer, cx: &mut OpContext) -> Progress {
        if matches!(answer, MembershipAnswer::Learned(_)) {
            if self.taught.contains(voter) {
                self.taught.remove(voter);
                self.ask(voter, self.decision.asking().clone(), cx);
            }
            return Progress::Pending;
        }
        if answer == MembershipAnswer::NoSuccessor {
            return self.end(Err(MembershipError::NoSuccessor), cx);
        }
        let Some(&node) = self.requests.targets().get(voter) else {
            return Progress::Pending;
        };

        self.outcomes[voter] = Outcome::Done;
        let ballot = self.decision.ballot();
        match self.decision.answered(node, ballot, answer) {
            Ok(None) => {}
            Ok(Some(DecisionStep::Ask(request))) => self.ask_all(&request, cx),
            Ok(Some(DecisionStep::Teach(request))) => {
                self.taught.insert(voter);
                self.ask(voter, request, cx);
            }
            Ok(Some(DecisionStep::Beaten)) => {
                let longest = PAUSE << self.times_beaten.min(PAUSE_DOUBLES);
                self.times_beaten = self.times_beaten.saturating_add(1);
                self.again = cx.now.at.after(1 + cx.now.random % longest);
            }
            Ok(Some(DecisionStep::Decided(next) | DecisionStep::Overtaken(next))) => {
                return self.decided(next, cx);
            }
            Err(junk) => self.outcomes[voter] = Outcome::Damaged(junk),
        }
        Progress::Pending
    }

    /// An epoch is decided that follows, this one or a later one. This client goes on to it: only so has it links to the
    /// members that are new in it.
    fn decided(&mut self, decided: Configuration, cx: &mut OpContext) -> Progress {
        if decided.epoch > cx.known.epoch()
            && let Ok(known) = cx.known.later(decided.clone())
        {
            cx.move_to(known);
        }
        let is_next = decided.epoch == self.wanted.epoch;
        let decided = Box::new(decided);
        let proposed = if *decided == self.wanted {
            Proposed::Decided(decided)
        } else if is_next {
            Proposed::Another(decided)
        } else {
            Proposed::Overtaken(decided)
        };
        self.end(Ok(proposed), cx)
    }

    fn end(&mut self, result: ProposalResult, cx: &mut OpContext) -> Progress {
        if let Some(reply) = self.reply.take() {
            let end = End::from(&result);
            self.requests.answer(reply, end, result, cx);
        }
        Progress::Over
    }

    fn give_up(&mut self, cx: &mut OpContext) -> Progress {
        let outcomes = core::mem::take(&mut self.outcomes);
        let error = MembershipError::NoMajority {
            needed: outcomes.len() / 2 + 1,
            attempts: cx.attempts(self.requests.targets(), outcomes),
            may_be_decided: self.may_be_decided,
        };
        self.end(Err(error), cx)
    }
}

impl Handler for Propose {
    type Submitted = Submitted;

    fn start(submitted: Submitted, key: Key, cx: &mut OpContext) -> Option<Self> {
        let Submitted {
            after,
            next,
            deadline,
            caller,
        } = submitted;
        let voters = after.voters.iter().copied().collect();
        // A name that was in no ballot before, as random as any id.
        let proposer = NodeId(cx.now.random);
        let decision = Decision::new(after, (*next).clone(), proposer);
        let mut proposal = Box::new(Proposal {
            requests: Requests::new(key, voters, deadline, caller.trace, cx),
            wanted: *next,
            reply: Some((caller.kind, caller.reply)),
            outcomes: Vec::new(),
            taught: OwnerSet::NONE,
            again: cx.now.at,
            times_beaten: 0,
            may_be_decided: false,
            _permit: caller.permit,
            decision,
        });
        let first = proposal.decision.first();
        proposal.ask_all(&first, cx);
        Some(Self(proposal))
    }

    fn requests(&mut self) -> &mut Requests {
        &mut self.0.requests
    }

    fn on_response(
        &mut self,
        voter: usize,
        _purpose: Purpose,
        frame: ResponseFrame,
        cx: &mut OpContext,
    ) -> Progress {
        let proposal = &mut *self.0;
        match frame.response {
            Response::Membership(answer) => return proposal.answered(voter, *answer, cx),
            Response::Refused(Refusal::Forbidden) => {
                return proposal.end(Err(MembershipError::Forbidden), cx);
            }
            Response::Refused(refusal) => {
                proposal.outcomes[voter] = Outcome::Refused(refusal);
            }
            _ => proposal.outcomes[voter] = Outcome::Damaged(OTHER_QUESTION),
        }
        Progress::Pending
    }

    fn on_failure(
        &mut self,
        voter: usize,
        _purpose: Option<Purpose>,
        outcome: Outcome,
        _cx: &mut OpContext,
    ) -> Progress {
        self.0.outcomes[voter] = outcome;
        Progress::Pending
    }

    fn on_time(&mut self, cx: &mut OpContext) -> Progress {
        let proposal = &mut *self.0;
        if proposal.requests.is_expired(cx) || proposal.requests.attempt() >= LAST_ATTEMPT {
            return proposal.give_up(cx);
        }
        if proposal.again <= cx.now.at {
            let request = proposal.decision.again();
            proposal.ask_all(&request, cx);
        }
        Progress::Pending
    }
}
