//! The coordinator: routes events to the operations under way. Pure.
//!
//! ```text
//!   start    handle_response   handle_link, handle_unsent   handle_time
//!      \            |                     |                   /
//!       |   request id -> entry   every entry with that node |  every entry
//!       v           v                     v                  v
//!     start    on_response            on_failure       on_time, on_hedge
//!      \____________\_____________________/__________________/
//!                         one Operation of the slab
//!                                   |
//!                 OpContext: sends, failures, answers, timers
//!      /                     |                   |              \
//!   poll_send           poll_answer          poll_epoch      poll_time
//! ```
//!
//! Call `start` and `handle_*` for inputs, then drain `poll_send`, `poll_epoch` and `poll_answer`. Time, the wall
//! clock and randomness come in as [`Now`]. The coordinator owns the slab and never looks at what an operation is:
//! that is in [`operation`](crate::operation), one file each. An operation is an entry of the slab, not a task: no
//! caller can half-cancel it, and it ends at its deadline at the latest.
//!
//! Invariant: no failure is left in the queue when an input returns.
//!
//! Source: the split of events from their handlers follows openraft's `engine/handler`.

pub(crate) mod background;
pub(crate) mod clocks;
pub(crate) mod context;
pub(crate) mod mint;
pub(crate) mod request_id;
pub(crate) mod slab;
#[cfg(test)]
mod tests;
pub(crate) mod timers;

use quoit_ring::change::{Branch, Known, Topology};
use quoit_ring::wire::{RequestFrame, ResponseFrame};
use quoit_ring::{Moment, NodeId};

use crate::env::{Link, Now};
use crate::error::Outcome;
use crate::health::{self, Answer};
use crate::metrics::{Counters, Operations};
use crate::operation::write::Write;
use crate::operation::{Operation, Progress, Submission};
use crate::reply::Delivery;

pub(crate) use context::Settings;
use context::{Failure, OpContext, Restart};
use request_id::RequestId;
use slab::{Key, Slab};
use timers::Tick;

/// Every operation of one client.
#[derive(Debug)]
pub(crate) struct Coordinator {
    running: Slab<Operation>,
    context: OpContext,
}

impl Coordinator {
    /// A coordinator over `ring`; the randomness of `now` names it as a writer.
    pub(crate) fn new(settings: Settings, known: Known, now: Now) -> Self {
        Self {
            running: Slab::default(),
            context: OpContext::new(settings, known, now),
        }
    }

    /// Who owns what.
    pub(crate) const fn topology(&self) -> &Topology {
        &self.context.topology
    }

    /// Whether nothing is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.running.is_empty()
    }

    /// How operations ended, what was sent, and what came of it.
    pub(crate) const fn counters(&mut self) -> (&mut Operations, &Counters, &health::Counters) {
        let context = &mut self.context;
        (
            &mut context.operations,
            &context.counters,
            &context.health.counters,
        )
    }

    /// Starts an operation.
    pub(crate) fn handle_submission(&mut self, submission: Submission, now: Now) {
        self.context.now = now;
        self.start(submission);
        self.wind_clock();
    }

    /// Takes a node's answer.
    pub(crate) fn handle_response(&mut self, from: NodeId, frame: ResponseFrame, now: Now) {
        let context = &mut self.context;
        context.now = now;

        // What an answer says about its node counts even if nobody waits for it.
        context.mint.observe(frame.clock, now.wall);
        context.clocks.observe(from, frame.clock, now.at);
        let answer = Answer::from(&frame.response);
        context.health.answered(from, frame.id, answer, now.at);
        context.counters.answer(answer);
        let present = context.topology.epoch();
        // One of another recovery of the cluster leads nowhere.
        let is_foreign = Branch::of(frame.epoch).is_foreign(Branch::of(present));
        if frame.epoch > present && !is_foreign {
            context.refresh.show(from, frame.epoch, present);
            if context.refresh.is_over(from, now.at) {
                self.start(Submission::refresh(from));
                self.wind_clock();
            }
        }

        let id = RequestId::from(frame.id);
        let Some(operation) = self.running.get_mut(id.key) else {
            return; // it ended before this answer came
        };
        let progress = operation.receive((from, id), frame, &mut self.context);
        self.after(id.key, progress);
        self.settle();
        if core::mem::take(&mut self.context.has_moved_on) {
            self.begin_epoch();
        }
        self.drop_ended_timers();
    }

    /// Lets every operation go on in the epoch that the cluster has gone on to.
    fn begin_epoch(&mut self) {
        for slot in 0..self.running.slots() {
            if let Some((key, operation)) = self.running.get_in(slot) {
                let progress = operation.on_epoch(&mut self.context);
                self.after(key, progress);
                self.settle();
            }
        }
    }

    /// Notes the state of the connection to a node; requests under way on a broken one are lost.
    pub(crate) fn handle_link(&mut self, node: NodeId, link: Link, now: Now) {
        let context = &mut self.context;
        context.now = now;

        let outcome = match (context.health.set_link(node, link, now.at), link) {
            (Link::Up, Link::Down) => {
                context.counters.connections_lost += 1;
                Outcome::Lost
            }
            // The node has another address by a newer map: its old connection closes without answers.
            (Link::Up, Link::Opening) => Outcome::Lost,
            // Frames wait for the first connection, so none of them has left.
            (Link::Opening, Link::Down) => Outcome::Unreachable,
            _ => return,
        };

        for slot in 0..self.running.slots() {
            let Some((key, operation)) = self.running.get_in(slot) else {
                continue;
            };
            // A node that keeps a write for several owners is several targets.
            let requests = operation.requests();
            for (replica, &target) in requests.targets().iter().enumerate() {
                if target == node {
                    self.context.failures.push_back(Failure {
                        key,
                        attempt: requests.attempt(),
                        replica,
                        purpose: None,
                        outcome: outcome.clone(),
                    });
                }
            }
            self.settle();
        }
    }

    /// A frame was not queued: too much waits for its node.
    pub(crate) fn handle_unsent(&mut self, node: NodeId, id: u64, now: Now) {
        let context = &mut self.context;
        context.now = now;

        context.health.unsent(node, id);
        context.counters.unsent += 1;
        let id = RequestId::from(id);
        context.failures.push_back(Failure {
            key: id.key,
            attempt: id.attempt,
            replica: id.replica,
            purpose: Some(id.purpose),
            outcome: Outcome::QueueFull,
        });
        self.settle();
    }

    /// Whether requests that nobody waits for are to be taken back: those that [`Coordinator::awaits`] does not.
    pub(crate) const fn poll_sweep(&mut self) -> bool {
        self.context.background.take_sweep()
    }

    /// Whether a request is of an operation under way, and of its present attempt.
    pub(crate) fn awaits(&mut self, id: u64) -> bool {
        let id = RequestId::from(id);
        let operation = self.running.get_mut(id.key);
        operation.is_some_and(|it| it.requests().attempt() == id.attempt)
    }

    /// A request that is not awaited was taken back before it was sent.
    pub(crate) fn handle_taken_back(&mut self, node: NodeId, id: u64) {
        self.context.health.unsent(node, id);
        self.context.counters.taken_back += 1;
    }

    /// Ends what is past its deadline and asks further replicas where the first ones are slow.
    pub(crate) fn handle_time(&mut self, now: Now) {
        self.context.now = now;
        while let Some(key) = self.context.timers.take_hedge(now.at) {
            if let Some(operation) = self.running.get_mut(key) {
                let progress = operation.on_hedge(&mut self.context);
                self.after(key, progress);
                self.settle();
            }
        }

        let context = &mut self.context;
        match context.timers.take_tick(now.at) {
            Some(Tick::InTime) => context.health.look(now.at),
            // This machine slept: the answers may be here, unread, so no node is blamed.
            Some(Tick::Late) => {}
            None => return,
        }
        context.ejected = context.health.ejected().collect();
        context.turns.expire(now.at);
        self.settle();

        for slot in 0..self.running.slots() {
            let Some((key, operation)) = self.running.get_in(slot) else {
                continue;
            };
            let progress = operation.on_time(&mut self.context);
            self.after(key, progress);
            self.settle();
        }
        // What waits for a newer map gets no response that would ask for it again.
        let present = self.context.topology.epoch();
        if let Some(node) = self.context.refresh.due(present, now.at)
            && !self.running.is_empty()
        {
            self.start(Submission::refresh(node));
        }
        self.drop_ended_timers();
        self.wind_clock();
    }

    /// The next frame to send.
    pub(crate) fn poll_send(&mut self) -> Option<(NodeId, RequestFrame)> {
        self.context.sends.pop_front()
    }

    /// The next answer for a caller.
    pub(crate) fn poll_answer(&mut self) -> Option<Delivery> {
        self.context.answers.pop_front()
    }

    /// Whether the topology has changed since the last call.
    pub(crate) const fn poll_epoch(&mut self) -> bool {
        core::mem::replace(&mut self.context.is_new_epoch, false)
    }

    /// When to call [`Coordinator::handle_time`] next; never while nothing is under way.
    pub(crate) const fn poll_time(&self) -> Option<Moment> {
        self.context.timers.next()
    }

    fn start(&mut self, submission: Submission) {
        self.begin(|key, cx| Operation::start(submission, key, cx));
        self.settle();
    }

    fn begin(&mut self, start: impl FnOnce(Key, &mut OpContext) -> Option<Operation>) {
        // Its requests carry the key, so the key comes first.
        let key = self.running.reserve();
        match start(key, &mut self.context) {
            Some(operation) => self.running.fill(key, operation),
            None => self.running.remove(key),
        }
    }

    /// Delivers failed sends, each to an operation that has returned from what it was doing: its own failures never
    /// come up in the middle of its work. A failure may cause others; each takes a replica away, so that ends. So
    /// do restarts: a write is checked once; and turns: each comes once.
    fn settle(&mut self) {
        loop {
            while let Some(failure) = self.context.failures.pop_front() {
                let key = failure.key;
                if let Some(operation) = self.running.get_mut(key) {
                    let progress = operation.fail(failure, &mut self.context);
                    self.after(key, progress);
                }
            }

            if let Some(key) = self.context.turns.poll_ready() {
                if let Some(operation) = self.running.get_mut(key) {
                    let progress = operation.on_turn(&mut self.context);
                    self.after(key, progress);
                }
                continue;
            }

            match self.context.restarts.pop_front() {
                None => return,
                Some(Restart::ClockCheck(write)) => {
                    let check = Submission::ClockCheck(write);
                    self.begin(|key, cx| Operation::start(check, key, cx));
                }
                Some(Restart::Settle(read)) => {
                    let read = Submission::Register(*read);
                    self.begin(|key, cx| Operation::start(read, key, cx));
                }
                Some(Restart::Write(write, time)) => {
                    self.begin(|key, cx| {
                        Write::start_at(write, time, key, cx).map(Operation::Write)
                    });
                }
            }
        }
    }

    fn after(&mut self, key: Key, progress: Progress) {
        if progress == Progress::Over {
            self.running.remove(key);
        }
    }

    fn drop_ended_timers(&mut self) {
        let running = &self.running;
        self.context.timers.drop_ended(|key| running.contains(key));
    }

    fn wind_clock(&mut self) {
        if !self.running.is_empty() {
            self.context.timers.wind(self.context.now.at);
        }
    }
}
