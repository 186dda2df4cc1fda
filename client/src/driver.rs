//! The one driver of the client's decisions: inputs in, frames and answers out.
//!
//! It owns the [`Coordinator`] and the environment and runs on the client's I/O thread only. Each input
//! ends with [`Driver::pump`], so the outputs of a whole batch of inputs leave together.

use bytes::Bytes;
use quoit_ring::NodeId;
use quoit_ring::placement::Ring;
use quoit_ring::wire::{DecodeError, ResponseFrame};
use tokio::sync::OwnedSemaphorePermit;

use crate::coordinator::{Coordinator, Done, Settings};
use crate::env::{Env, Link, Moment};
use crate::submission::{Reply, Submission};

/// The coordinator and its environment.
#[derive(Debug)]
pub(crate) struct Driver<E> {
    coordinator: Coordinator<Reply, OwnedSemaphorePermit>,
    env: E,
}

impl<E: Env> Driver<E> {
    pub(crate) fn new(settings: Settings, ring: Ring, mut env: E) -> Self {
        env.members(ring.map());
        let actor = env.now().random;
        Self {
            coordinator: Coordinator::new(settings, ring, actor),
            env,
        }
    }

    /// The environment.
    pub(crate) const fn env(&mut self) -> &mut E {
        &mut self.env
    }

    /// The ring in force.
    pub(crate) const fn ring(&self) -> &std::sync::Arc<Ring> {
        self.coordinator.ring()
    }

    /// Starts an operation.
    pub(crate) fn submit(&mut self, submission: Submission) {
        let ticket = (submission.reply, submission.room);
        let now = self.env.now();
        self.coordinator
            .handle_operation(submission.operation, ticket, now);
    }

    /// Takes a frame off a node's link.
    ///
    /// # Errors
    /// The frame is not a response: the link is of no more use.
    pub(crate) fn received(&mut self, from: NodeId, frame: Bytes) -> Result<(), DecodeError> {
        let frame = ResponseFrame::decode(frame)?;
        let now = self.env.now();
        self.coordinator.handle_response(from, frame, now);
        Ok(())
    }

    /// Notes how the way to a node is.
    pub(crate) fn link(&mut self, node: NodeId, link: Link) {
        let now = self.env.now();
        self.coordinator.handle_link(node, link, now);
    }

    /// Looks for deadlines that have passed.
    pub(crate) fn tick(&mut self) {
        let now = self.env.now();
        self.coordinator.handle_time(now);
    }

    /// When to call [`Driver::tick`] next.
    pub(crate) fn next_tick(&self) -> Option<Moment> {
        self.coordinator.poll_time()
    }

    /// Whether nothing is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.coordinator.is_idle()
    }

    /// Sends what is to be sent and answers who can be answered.
    pub(crate) fn pump(&mut self) {
        while let Some((node, frame)) = self.coordinator.poll_send() {
            if !self.env.send(node, &frame) {
                let now = self.env.now();
                self.coordinator.handle_unsent(node, frame.id, now);
            }
        }
        if let Some(ring) = self.coordinator.poll_ring() {
            self.env.members(ring.map());
        }
        while let Some((reply, done)) = self.coordinator.poll_done() {
            answer(reply, done);
        }
    }
}

/// Answers a caller; one that has gone away no longer cares.
fn answer(reply: Reply, done: Done) {
    match (reply, done) {
        (Reply::Read(to), Done::Read(result)) => drop(to.send(result)),
        (Reply::Write(to), Done::Write(result)) => drop(to.send(result)),
        (Reply::Ask(to), Done::Ask(result)) => drop(to.send(result)),
        (Reply::Read(_) | Reply::Write(_) | Reply::Ask(_), _) => {
            debug_assert!(false, "an operation ends as what it began");
        }
    }
}
