//! A conditional write, or a linearizable read: between the [`Round`] and the frames.
//!
//! ```text
//!   Looking     Look    --> all owners --a majority agrees, nothing pending--> answered, in one round
//!      '-- no --v
//!   Waiting     another operation of this client on the key has the turn
//!               |-- its last ballot was chosen just now: Extend --> all owners --------------------------.
//!               v                                                     '-- refused: asked first --v       |
//!   LiningUp    other clients were met on the key: AwaitTurn --> its first owner, who lets one in at a time
//!               v
//!   Preparing   Prepare --> all owners --a majority promised: joined, decided--.                         |
//!      ^                                      '-- answered, if it says so      |                         |
//!      |                                                                       v                         |
//!      |-- outbid, too few: a pause, a higher ballot --<-- Proposing   Accept --> all owners             |
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
//!
//! | module | what it does |
//! | --- | --- |
//! | `goal` | what is wanted, and what follows from what is there |
//! | `steps` | goes on as far as the answers allow |
//! | `frames` | what owners are asked, and what they answer |
//! | `chosen` | what this client's last write of a key left |
//! | `turns` | whose turn it is on a key |

pub(crate) mod chosen;
mod frames;
mod goal;
mod steps;
pub(crate) mod turns;

use bytes::Bytes;
use quoit_ring::change::OwnerSet;
use quoit_ring::register::{Ballot, Round};
use quoit_ring::wire::{Response, ResponseFrame};
use quoit_ring::{Dot, Epoch, Millis, Moment, NodeId};
use smallvec::SmallVec;
use tokio::sync::OwnedSemaphorePermit;

use crate::coordinator::context::OpContext;
use crate::coordinator::request_id::Purpose;
use crate::coordinator::slab::Key;
use crate::error::{OTHER_QUESTION, Outcome};
use crate::metrics::Kind;
use crate::operation::plan::{self, Plan};
use crate::operation::requests::Requests;
use crate::operation::{Handler, Progress};
use crate::trace::Trace;

use self::goal::Finding;
pub(crate) use self::goal::{Condition, Goal, Swap, SwapResult};

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

/// Where an operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Looking,
    /// For its turn among this client's operations.
    Waiting,
    /// For its turn among clients.
    LiningUp,
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
    /// It goes without a prepare.
    extends: bool,
    /// The record that is proposed, as it is sent.
    value: Bytes,
    finding: Finding,
    /// The owners' clock when a majority had answered, and that moment by this machine's clocks.
    at: (Millis, (Moment, Millis)),
}

/// An operation on a register under way. Boxed: larger than what a slot is made for.
#[derive(Debug)]
pub(crate) struct Register(Box<Running>);

#[derive(Debug)]
struct Running {
    requests: Requests,
    epoch: Epoch,
    key: Bytes,
    kind: Kind,
    /// Taken when the caller is answered, and the permit with it.
    goal: Option<Goal>,
    permit: Option<OwnedSemaphorePermit>,
    phase: Phase,
    /// It has a place in the queue of its key.
    is_queued: bool,
    /// It has been in line before this round.
    was_in_line: bool,
    /// The owner by whose word it has its turn among clients.
    in_turn_at: Option<usize>,
    /// An owner has promised another proposer more in the present attempt.
    was_outbid: bool,
    has_looked: bool,
    round: Round,
    proposal: Option<Proposal>,
    /// What this operation has proposed of its own so far.
    dots: Vec<Dot>,
    /// What each owner did last.
    outcomes: Vec<Outcome>,
    /// Owners that have not answered the present attempt, and the bytes of a request of it.
    awaited: (OwnerSet, usize),
    /// Owners whose answers are awaited in the background.
    late: SmallVec<[NodeId; 3]>,
    /// When to try again, whatever has come.
    again: Moment,
    /// How often it has paused.
    pauses: u8,
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
            epoch: cx.topology.epoch(),
            key: name,
            kind,
            goal: Some(goal),
            permit: Some(permit),
            phase: Phase::Pausing,
            is_queued: false,
            was_in_line: false,
            in_turn_at: None,
            was_outbid: false,
            has_looked: false,
            round: Round::new(Ballot::ZERO, quorums),
            proposal: None,
            dots: Vec::new(),
            outcomes: Vec::new(),
            awaited: (OwnerSet::NONE, 0),
            late: SmallVec::new(),
            again: cx.now.at,
            pauses: 0,
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
            Response::Refused(refusal) => running.failed(owner, Outcome::Refused(refusal), cx),
            _ => running.failed(owner, Outcome::Damaged(OTHER_QUESTION), cx),
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
            running.failed(owner, outcome, cx);
        }
        running.step(cx)
    }

    fn on_time(&mut self, cx: &mut OpContext) -> Progress {
        let running = &mut *self.0;
        if running.phase == Phase::Committing {
            return if running.requests.is_expired(cx) {
                running.forget(cx)
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
        if running.phase != Phase::Waiting && running.again <= cx.now.at {
            running.begin_round(cx);
        }
        Progress::Pending
    }

    /// Begins again with the owners of the new epoch: what was promised or accepted in an earlier one does not count in this.
    fn on_epoch(&mut self, cx: &mut OpContext) -> Progress {
        let running = &mut *self.0;
        if running.phase == Phase::Committing {
            return running.forget(cx);
        }
        let (targets, quorums) = Running::owners(&running.key, cx);
        if !running.requests.begin_epoch(targets) {
            return running.give_up(cx);
        }
        running.epoch = cx.topology.epoch();
        // Its owner may be another one now.
        (running.was_in_line, running.in_turn_at) = (false, None);
        if running.phase == Phase::Waiting {
            running.round = Round::new(Ballot::ZERO, quorums);
        } else {
            running.begin_round(cx);
        }
        Progress::Pending
    }

    fn on_turn(&mut self, cx: &mut OpContext) -> Progress {
        let running = &mut *self.0;
        if running.phase != Phase::Waiting {
            return Progress::Pending;
        }
        if running.requests.is_expired(cx) {
            return running.give_up(cx); // with the one before it, which had the same deadline
        }
        if running.epoch == cx.topology.epoch() {
            running.begin_turn(cx);
        } else {
            // It begins in the newer epoch, of which it is about to learn.
            running.phase = Phase::Pausing;
            running.again = running.requests.deadline;
        }
        Progress::Pending
    }

    fn on_hedge(&mut self, cx: &mut OpContext) -> Progress {
        let running = &mut *self.0;
        if running.phase == Phase::Waiting {
            cx.turns.expire(cx.now.at);
        }
        let waits = matches!(running.phase, Phase::Pausing | Phase::LiningUp);
        if waits && running.again <= cx.now.at {
            running.begin_round(cx);
        }
        Progress::Pending
    }
}
