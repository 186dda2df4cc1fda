//! The coordinator: every operation under way, and who is to be sent what. Pure.
//!
//! ```text
//!   handle_operation  handle_response  handle_link  handle_time
//!           \               |             |            /
//!            +----------> Coordinator <----------------+
//!            |  running operations, ring, mint,        |
//!            |  health, budget, timers                 |
//!           /               |             |            \
//!   poll_send          poll_done      poll_ring      poll_time
//! ```
//!
//! Call `handle_*` for inputs, then drain `poll_send`, `poll_ring` and `poll_done`. Time, the wall clock
//! and randomness come in as [`Now`]. An operation is an entry of a slab, not a task: nobody who waits
//! for it can half-cancel it, and it ends at its deadline at the latest.

mod handoff;
mod mint;
mod plan;
mod read;
mod refresh;
mod request_id;
mod slab;
#[cfg(test)]
mod tests;
mod timers;
mod write;

pub(crate) use plan::{read_rules, write_count};

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use quoit_ring::mutant::{Mutant, mutant};
use quoit_ring::placement::Ring;
use quoit_ring::wire::{DecodeError, Request, RequestFrame, ResponseFrame};
use quoit_ring::{Moment, NodeId, Record};
use smallvec::{SmallVec, smallvec};

use crate::entry::Written;
use crate::env::{Link, Now};
use crate::error::{Attempt, NodeError, Outcome, ReadError, WriteError};
use crate::health::{self, Answer, Asked, Budget, ByteBudget, Health, HealthReport};
use crate::metrics::{Counters, RequestKind};
use crate::submission::{Operation, Told};
use crate::trace::Trace;

use mint::Mint;
use read::Read;
use request_id::{Purpose, RequestId};
use slab::{Key, Slab};
use timers::{Tick, Timers};
use write::Write;

/// How long repair may go on in the background once the caller has its answer.
const BACKGROUND_MICROS: u64 = 1_000_000;

/// What is wrong with an answer that does not fit what was asked.
pub(crate) const OTHER_QUESTION: DecodeError =
    DecodeError::Malformed("an answer to another question");

/// What the coordinator goes by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    /// The longest that a read waits before it asks further replicas: it hedges earlier where it knows that its
    /// replicas are usually quicker, and has a token for it. Default 100 ms: far beyond a healthy answer in one
    /// region, and short enough for a person not to notice. Shorter asks more where everything is slow, longer
    /// leaves reads waiting for a node that has just died.
    pub(crate) hedge_all_after: Duration,
    /// Stamps from further ahead than this are not believed.
    pub(crate) max_clock_drift: Duration,
    /// What repair in the background may send.
    pub(crate) repair_bytes_per_second: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            hedge_all_after: Duration::from_millis(100),
            max_clock_drift: Duration::from_millis(500),
            repair_bytes_per_second: 8 << 20,
        }
    }
}

/// How an operation ended.
#[derive(Debug)]
pub(crate) enum Done {
    Read(Result<Record, ReadError>),
    Write(Result<Written, WriteError>),
    Ask(Result<Told, NodeError>),
}

/// One operation under way.
#[derive(Debug)]
struct Running<T, G> {
    /// Who waits; taken when they are answered.
    ticket: Option<T>,
    /// The room it takes, free once the operation is forgotten: repair after the answer takes room, too. A write
    /// gives it back with the answer.
    room: Option<G>,
    deadline: Moment,
    /// How often its requests were made anew: an answer counts for the attempt that it answers, no later one.
    attempt: u8,
    /// The replicas, by index; never empty.
    targets: SmallVec<[NodeId; 3]>,
    /// Only if somebody collects spans.
    trace: Option<Box<Trace>>,
    work: Work,
}

#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "a slab's slots are used again; a box would be made for each"
)]
enum Work {
    Read(Read),
    Write(Write),
    Ask,
    /// The coordinator's own question for a newer map.
    Refresh,
}

/// Every operation of one client. `T` is handed back with an operation's end, `G` is dropped once nothing of
/// the operation is left.
#[derive(Debug)]
pub(crate) struct Coordinator<T, G> {
    settings: Settings,
    ring: Arc<Ring>,
    ring_is_new: bool,
    refreshing: bool,
    mint: Mint,
    health: Health,
    budget: Budget,
    repair_budget: ByteBudget,
    counters: Counters,
    /// Of the operation that starts next.
    next_trace: Option<Box<Trace>>,
    running: Slab<Running<T, G>>,
    sends: VecDeque<(NodeId, RequestFrame)>,
    done: VecDeque<(T, Done)>,
    timers: Timers,
    /// Bytes of writes that have returned.
    pending_handoff: usize,
}

impl<T, G> Coordinator<T, G> {
    /// A coordinator over `ring`; `actor` is fresh randomness.
    pub(crate) fn new(settings: Settings, ring: Ring, actor: u64) -> Self {
        Self {
            settings,
            ring: Arc::new(ring),
            ring_is_new: false,
            refreshing: false,
            mint: Mint::new(actor, settings.max_clock_drift),
            health: Health::new(micros(settings.hedge_all_after)),
            budget: Budget::default(),
            repair_budget: ByteBudget::new(settings.repair_bytes_per_second),
            counters: Counters::default(),
            next_trace: None,
            running: Slab::default(),
            sends: VecDeque::new(),
            done: VecDeque::new(),
            timers: Timers::default(),
            pending_handoff: 0,
        }
    }

    /// The ring in force.
    pub(crate) const fn ring(&self) -> &Arc<Ring> {
        &self.ring
    }

    /// Whether nothing is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.running.is_empty()
    }

    /// What was sent, and what came of it.
    pub(crate) const fn counters(&self) -> (&Counters, &health::Counters) {
        (&self.counters, &self.health.counters)
    }

    /// What the requests of the operation that starts next are told to.
    pub(crate) fn trace_next(&mut self, trace: Option<Box<Trace>>) {
        self.next_trace = trace;
    }

    /// Starts an operation.
    pub(crate) fn handle_operation(&mut self, operation: Operation, ticket: (T, G), now: Now) {
        match operation {
            Operation::Read { key, plan } => self.start_read(key, plan, ticket, now),
            Operation::Write { change, plan } => self.start_write(change, plan, ticket, now),
            Operation::Ask {
                node,
                request,
                deadline,
            } => {
                let running =
                    self.running_for(Some(ticket), smallvec![node], deadline, Work::Ask, now);
                let key = self.running.insert(running);
                self.send(key, 0, Purpose::Ask, request, now);
            }
            Operation::Health => {
                let report = Told::Health(self.health_report());
                self.done.push_back((ticket.0, Done::Ask(Ok(report))));
            }
        }
        self.next_trace = None;
        self.wind_clock(now);
    }

    /// Takes a node's answer.
    pub(crate) fn handle_response(&mut self, from: NodeId, frame: ResponseFrame, now: Now) {
        self.mint.observe(frame.clock, now.wall);
        let answer = Answer::from(&frame.response);
        self.health.answered(from, frame.id, answer, now.at);
        self.counters.answer(answer);
        if frame.epoch > self.ring.epoch() {
            self.refresh(from, now);
        }
        let RequestId {
            key,
            attempt,
            replica,
            purpose,
        } = RequestId::from(frame.id);
        let Some(running) = self.running.get_mut(key) else {
            return; // ended before this answer came
        };
        if let Some(trace) = &mut running.trace {
            trace.answered(frame.id, &frame.response, now.at);
        }
        let late = running.attempt != attempt && !mutant(Mutant::LateAnswerCounts);
        if late || running.targets.get(replica) != Some(&from) {
            return;
        }
        match &running.work {
            Work::Read(_) => self.read_answered(key, replica, purpose, frame, now),
            Work::Write(_) => self.write_answered(key, replica, frame.response, now),
            Work::Ask => self.end(key, Done::Ask(Ok(Told::Node(frame.response)))),
            Work::Refresh => self.refreshed(key, &frame.response),
        }
        self.timers.drop_ended(|key| self.running.contains(key));
    }

    /// Notes how the way to a node is; what was under way on a broken one is lost.
    pub(crate) fn handle_link(&mut self, node: NodeId, link: Link, now: Now) {
        let before = self.health.set_link(node, link, now.at);
        if link != Link::Down || before == Link::Down {
            return;
        }
        let outcome = if before == Link::Up {
            self.counters.connections_lost += 1;
            Outcome::Lost
        } else {
            Outcome::Unreachable
        };
        for slot in 0..self.running.slots() {
            let Some((key, running)) = self.running.get_in(slot) else {
                continue;
            };
            // A node that keeps a write for several owners has several places.
            let here = |(replica, &target): (usize, &NodeId)| (target == node).then_some(replica);
            let replicas: SmallVec<[usize; 2]> = running
                .targets
                .iter()
                .enumerate()
                .filter_map(here)
                .collect();
            for replica in replicas {
                self.fail(key, replica, None, &outcome, now);
            }
        }
    }

    /// A frame was not queued: too much waits for its node.
    pub(crate) fn handle_unsent(&mut self, node: NodeId, id: u64, now: Now) {
        self.health.unsent(node, id);
        self.counters.unsent += 1;
        let id = RequestId::from(id);
        self.fail(
            id.key,
            id.replica,
            Some(id.purpose),
            &Outcome::QueueFull,
            now,
        );
    }

    /// Ends what is past its deadline and asks further replicas where the first ones are slow.
    pub(crate) fn handle_time(&mut self, now: Now) {
        while let Some(key) = self.timers.take_hedge(now.at) {
            self.hedge(key, now);
        }
        match self.timers.take_tick(now.at) {
            Some(Tick::InTime) => self.health.look(now.at),
            Some(Tick::Late) => {} // this machine slept: the answers may be here, unread
            None => return,
        }
        let ejected: SmallVec<[NodeId; 4]> = self.health.ejected().collect();
        for slot in 0..self.running.slots() {
            let Some((key, running)) = self.running.get_in(slot) else {
                continue;
            };
            let expired = running.deadline <= now.at;
            match &running.work {
                Work::Read(_) => self.read_time(key, expired, now),
                Work::Write(_) if expired => self.write_expired(key, now),
                Work::Write(_) if !ejected.is_empty() => self.write_time(key, &ejected, now),
                Work::Ask if expired => {
                    self.end(key, Done::Ask(Err(NodeError::Failed(Outcome::TimedOut))));
                }
                Work::Refresh if expired => self.give_up_refresh(key),
                Work::Write(_) | Work::Ask | Work::Refresh => {}
            }
        }
        self.timers.drop_ended(|key| self.running.contains(key));
        self.wind_clock(now);
    }

    /// The next frame to send.
    pub(crate) fn poll_send(&mut self) -> Option<(NodeId, RequestFrame)> {
        self.sends.pop_front()
    }

    /// The next operation that ended.
    pub(crate) fn poll_done(&mut self) -> Option<(T, Done)> {
        self.done.pop_front()
    }

    /// The ring, if it has changed since the last call.
    pub(crate) fn poll_ring(&mut self) -> Option<Arc<Ring>> {
        core::mem::take(&mut self.ring_is_new).then(|| Arc::clone(&self.ring))
    }

    /// When to call [`Coordinator::handle_time`] next; never while nothing is under way.
    pub(crate) const fn poll_time(&self) -> Option<Moment> {
        self.timers.next()
    }

    fn wind_clock(&mut self, now: Now) {
        if !self.running.is_empty() {
            self.timers.wind(now.at);
        }
    }

    fn health_report(&self) -> HealthReport {
        let counters = self.health.counters;
        HealthReport {
            hedges: counters.hedges,
            hedges_won: counters.hedges_won,
            hedges_refused: counters.hedges_refused,
            ejections: counters.ejections,
            probes: counters.probes,
            repairs: self.counters.attempts[RequestKind::Repair as usize],
            repairs_refused: self.counters.repairs_refused,
            hints: counters.hints,
            hints_forgone: counters.hints_forgone,
            nodes: self.health.nodes().collect(),
        }
    }

    fn running_for(
        &mut self,
        ticket: Option<(T, G)>,
        targets: SmallVec<[NodeId; 3]>,
        deadline: Duration,
        work: Work,
        now: Now,
    ) -> Running<T, G> {
        let (ticket, room) = ticket.unzip();
        Running {
            ticket,
            room,
            deadline: now.at.after(micros(deadline)),
            attempt: 0,
            targets,
            trace: self.next_trace.take(),
            work,
        }
    }

    /// Queues a request to a replica of an operation; a replica out of reach fails at once.
    fn send(&mut self, key: Key, replica: usize, purpose: Purpose, request: Request, now: Now) {
        let Some(running) = self.running.get_mut(key) else {
            return;
        };
        let Some(&node) = running.targets.get(replica) else {
            return;
        };
        let kind = match &running.work {
            Work::Read(read) => read.attempt_kind(replica, purpose),
            Work::Write(_) if matches!(request, Request::Hint { .. }) => RequestKind::Hint,
            Work::Write(_) => RequestKind::Write,
            Work::Ask | Work::Refresh => RequestKind::Ask,
        };
        let id = RequestId {
            key,
            attempt: running.attempt,
            replica,
            purpose,
        };
        if let Some(trace) = &mut running.trace {
            trace.sent(id.into(), kind, (node, &self.ring), now.at);
        }
        if !self.health.reachable(node) {
            self.counters.unreachable += 1;
            return self.fail(key, replica, Some(purpose), &Outcome::Unreachable, now);
        }
        self.counters.attempt(kind);
        let left_ms = running.deadline.since(now.at) / 1_000;
        self.queue(node, id, left_ms, request, now);
    }

    /// Queues a frame.
    fn queue(&mut self, node: NodeId, id: RequestId, left_ms: u64, request: Request, now: Now) {
        let frame = RequestFrame {
            id: id.into(),
            epoch: self.ring.epoch(),
            budget_ms: u32::try_from(left_ms).unwrap_or(u32::MAX).max(1),
            request,
        };
        let asked = Asked::from(&frame.request);
        self.health.sent(node, frame.id, asked, now.at);
        self.sends.push_back((node, frame));
    }

    /// A replica will not answer; with no `purpose`, nothing that it was asked.
    fn fail(
        &mut self,
        key: Key,
        replica: usize,
        purpose: Option<Purpose>,
        outcome: &Outcome,
        now: Now,
    ) {
        let mut running = self.running.get_mut(key);
        if let Some(trace) = running.as_mut().and_then(|r| r.trace.as_mut()) {
            let asked = |id| RequestId::from(id).is_for(replica, purpose);
            trace.failed(asked, outcome, now.at);
        }
        match running.map(|running| &running.work) {
            Some(Work::Read(_)) => self.read_failed(key, replica, purpose, outcome, now),
            Some(Work::Write(_)) => self.write_failed(key, replica, outcome.clone(), now),
            Some(Work::Ask) => self.end(key, Done::Ask(Err(NodeError::Failed(outcome.clone())))),
            Some(Work::Refresh) => self.give_up_refresh(key),
            None => {}
        }
    }

    /// Answers who waits and forgets the operation.
    fn end(&mut self, key: Key, done: Done) {
        if let Some(ticket) = self.running.remove(key).and_then(|running| running.ticket) {
            self.done.push_back((ticket, done));
        }
    }

    /// The attempts of an operation, with the names of its replicas.
    fn attempts(&self, targets: &[NodeId], outcomes: Vec<Outcome>) -> Vec<Attempt> {
        let attempt = |(&node, outcome): (&NodeId, Outcome)| Attempt {
            node,
            name: self
                .ring
                .member(node)
                .map_or_else(|| node.to_string(), |m| m.name.clone()),
            outcome,
        };
        targets.iter().zip(outcomes).map(attempt).collect()
    }
}

/// A time in microseconds, at most the longest there is.
fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
