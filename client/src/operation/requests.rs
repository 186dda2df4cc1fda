//! The requests of one operation: to which nodes, until when, and as which attempt.
//!
//! ```text
//!   Caller      what a caller hands over with what it wants    reply, permit, trace
//!   Requests    what an operation under way has               key, targets, deadline, attempt, trace
//!
//!   send --reachable----> a frame in the outbox
//!        \-unreachable--> a Failure in the queue of events
//! ```
//!
//! Every operation owns one of each, and the coordinator finds an operation's nodes by its targets. Left out: what the
//! requests are for.

use std::time::Duration;

use quoit_ring::change::OwnerSet;
use quoit_ring::wire::{Refusal, Request, Response, ResponseFrame};
use quoit_ring::{Epoch, Moment, NodeId};
use smallvec::SmallVec;
use tokio::sync::OwnedSemaphorePermit;

use crate::coordinator::context::{Failure, OpContext, micros};
use crate::coordinator::request_id::{MAX_ATTEMPTS, MAX_REPLICAS, Purpose, RequestId};
use crate::coordinator::slab::Key;
use crate::error::Outcome;
use crate::metrics::{End, Kind, RequestKind};
use crate::reply::Reply;
use crate::trace::Trace;

/// How long after it was found behind a node is asked again, in microseconds, and how often that doubles.
const AGAIN_MICROS: u64 = 10_000;
const AGAIN_DOUBLES: u8 = 4;

/// The nodes of an operation, by the index that its machine uses.
pub(crate) type Targets = SmallVec<[NodeId; 3]>;

/// Who waits for an operation, and what it occupies.
#[derive(Debug)]
pub(crate) struct Caller<T: Send + 'static> {
    pub(crate) kind: Kind,
    /// Dropping the other end never stops the operation.
    pub(crate) reply: Reply<T>,
    /// Its share of [`max_in_flight`](crate::ClientBuilder::max_in_flight).
    pub(crate) permit: OwnedSemaphorePermit,
    /// Only if a collector wants spans, or the caller a report.
    pub(crate) trace: Option<Box<Trace>>,
}

impl<T: Send + 'static> Caller<T> {
    /// Answers an operation that makes no request.
    pub(crate) fn answer_at_once(self, end: End, value: T, cx: &mut OpContext) {
        if let Some(mut trace) = self.trace {
            trace.ended(end, 0, cx.now.at);
        }
        cx.operations.ended(self.kind, end, 0);
        cx.answers.push_back(self.reply.set(value));
    }
}

/// The requests of one operation.
#[derive(Debug)]
pub(crate) struct Requests {
    key: Key,
    started: Moment,
    pub(crate) deadline: Moment,
    /// How often its requests were made again: a response or failure counts for its own attempt, no later one.
    attempt: u8,
    targets: Targets,
    /// Those that have refused the epoch as an old one. That decides nothing: the newer one is on its way.
    outdated: OwnerSet,
    /// Those that have not learned of the epoch yet, and are asked again.
    behind: OwnerSet,
    /// When that is, and how often it was.
    again: (Moment, u8),
    trace: Option<Box<Trace>>,
}

impl Requests {
    /// None yet; `targets` are the nodes they go to.
    pub(crate) fn new(
        key: Key,
        targets: Targets,
        deadline: Duration,
        trace: Option<Box<Trace>>,
        cx: &OpContext,
    ) -> Self {
        debug_assert!(targets.len() <= MAX_REPLICAS, "an id has no more replicas");
        Self {
            key,
            started: cx.now.at,
            deadline: cx.now.at.after(micros(deadline)),
            attempt: 0,
            targets,
            outdated: OwnerSet::NONE,
            behind: OwnerSet::NONE,
            again: (Moment(0), 0),
            trace,
        }
    }

    pub(crate) const fn key(&self) -> Key {
        self.key
    }

    /// How often its requests were made again.
    pub(crate) const fn attempt(&self) -> u8 {
        self.attempt
    }

    pub(crate) fn targets(&self) -> &[NodeId] {
        &self.targets
    }

    /// One more node; gives back its index.
    pub(crate) fn add_target(&mut self, node: NodeId) -> usize {
        debug_assert!(self.targets.len() < MAX_REPLICAS, "checked by the caller");
        self.targets.push(node);
        self.targets.len() - 1
    }

    /// Begins a new attempt, to the first `targets` nodes only: earlier responses no longer count.
    pub(crate) fn begin_attempt(&mut self, targets: usize) {
        self.attempt += 1;
        debug_assert!(self.attempt < MAX_ATTEMPTS, "an id tells no more apart");
        self.targets.truncate(targets);
    }

    /// Begins a new attempt, to other nodes; false if an id tells no more attempts apart.
    pub(crate) fn begin_epoch(&mut self, targets: Targets) -> bool {
        debug_assert!(targets.len() <= MAX_REPLICAS, "an id has no more replicas");
        // What a write may still be minted again takes attempts, too.
        if self.attempt >= MAX_ATTEMPTS / 2 {
            return false;
        }
        self.attempt += 1;
        self.targets = targets;
        (self.outdated, self.behind) = (OwnerSet::NONE, OwnerSet::NONE);
        true
    }

    /// Whether a target does not serve the epoch. One that has gone on is to be asked in the newer epoch, and one that is
    /// behind again in a while: neither has decided anything. Owners only, whose numbers are below 32.
    pub(crate) fn refuses_epoch(
        &mut self,
        replica: usize,
        response: &Response,
        cx: &OpContext,
    ) -> bool {
        match response {
            Response::Refused(Refusal::OldEpoch) => self.outdated.insert(replica),
            Response::Refused(Refusal::Behind) => {
                if self.behind.is_empty() {
                    let (_, times) = self.again;
                    let pause = AGAIN_MICROS << times.min(AGAIN_DOUBLES);
                    self.again = (cx.now.at.after(pause), times.saturating_add(1));
                }
                self.behind.insert(replica);
            }
            _ => return false,
        }
        true
    }

    /// The targets that did not serve the epoch.
    pub(crate) fn refused_epoch(&self) -> OwnerSet {
        self.outdated | self.behind
    }

    /// The targets that were behind, once it is time to ask them again.
    pub(crate) fn take_behind(&mut self, cx: &OpContext) -> OwnerSet {
        if self.behind.is_empty() || cx.now.at < self.again.0 {
            return OwnerSet::NONE;
        }
        core::mem::take(&mut self.behind)
    }

    /// The targets that did not serve the epoch, and why, since it is too late to ask them again.
    pub(crate) fn take_refusals(&mut self) -> impl Iterator<Item = (usize, Outcome)> + use<> {
        let outdated = core::mem::take(&mut self.outdated);
        let behind = core::mem::take(&mut self.behind);
        let of = |set: OwnerSet, why| set.iter().map(move |it| (it, Outcome::Refused(why)));
        of(outdated, Refusal::OldEpoch).chain(of(behind, Refusal::Behind))
    }

    pub(crate) fn is_expired(&self, cx: &OpContext) -> bool {
        self.deadline <= cx.now.at
    }

    /// Queues a request to a target, in the epoch that this client knows. One to a node without a connection fails: a
    /// queued event, as the operation is in the middle of its work.
    pub(crate) fn send(
        &mut self,
        replica: usize,
        what: (Purpose, RequestKind),
        request: Request,
        cx: &mut OpContext,
    ) {
        self.send_as_of(cx.topology.epoch(), (replica, what), request, cx);
    }

    /// The same in another epoch, for what is about that one.
    pub(crate) fn send_as_of(
        &mut self,
        epoch: Epoch,
        (replica, (purpose, kind)): (usize, (Purpose, RequestKind)),
        request: Request,
        cx: &mut OpContext,
    ) {
        let Some(&node) = self.targets.get(replica) else {
            debug_assert!(false, "machines know the targets only");
            return;
        };
        let id = RequestId {
            key: self.key,
            attempt: self.attempt,
            replica,
            purpose,
        };
        if let Some(trace) = &mut self.trace {
            trace.sent(id.into(), kind, (node, &cx.topology), cx.now.at);
        }

        if !cx.health.reachable(node) {
            cx.counters.unreachable += 1;
            let failure = Failure {
                key: self.key,
                attempt: self.attempt,
                replica,
                purpose: Some(purpose),
                outcome: Outcome::Unreachable,
            };
            // The trace learns it now: the operation may be over when the event comes.
            self.trace_failure(&failure, cx);
            cx.failures.push_back(failure);
            return;
        }
        cx.counters.attempt(kind);
        let left_ms = self.deadline.since(cx.now.at) / 1_000;
        cx.send(node, (id, epoch), left_ms, request);
    }

    /// Whether a response is to a request of this attempt, and from the node that was asked.
    pub(crate) fn accept(
        &mut self,
        (from, id): (NodeId, RequestId),
        frame: &ResponseFrame,
        cx: &OpContext,
    ) -> bool {
        if let Some(trace) = &mut self.trace {
            trace.answered(frame.id, &frame.response, cx.now.at);
        }
        let is_late = self.attempt != id.attempt;
        !is_late && self.targets.get(id.replica) == Some(&from)
    }

    /// Shows in the trace that a replica will not answer.
    pub(crate) fn trace_failure(&mut self, failure: &Failure, cx: &OpContext) {
        let &Failure {
            attempt,
            replica,
            purpose,
            ..
        } = failure;
        if let Some(trace) = &mut self.trace {
            let is_failed = |id| RequestId::from(id).is_for(attempt, replica, purpose);
            trace.failed(is_failed, &failure.outcome, cx.now.at);
        }
    }

    /// Answers the caller, once the driver pumps, and counts the operation as ended.
    pub(crate) fn answer<T: Send + 'static>(
        &mut self,
        (kind, reply): (Kind, Reply<T>),
        end: End,
        value: T,
        cx: &mut OpContext,
    ) {
        let elapsed = cx.now.at.since(self.started);
        if let Some(trace) = &mut self.trace {
            trace.ended(end, elapsed, cx.now.at);
        }
        cx.operations.ended(kind, end, elapsed);
        cx.answers.push_back(reply.set(value));
    }

    /// The trace, for the operation that goes on with it.
    pub(crate) fn take_trace(&mut self) -> Option<Box<Trace>> {
        self.trace.take()
    }

    /// How long the operation has been under way.
    pub(crate) fn elapsed(&self, cx: &OpContext) -> Duration {
        Duration::from_micros(cx.now.at.since(self.started))
    }
}
