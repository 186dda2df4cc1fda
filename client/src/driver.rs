//! The one driver of the client's decisions: inputs in, frames and answers out.
//!
//! ```text
//!   take_in   received   link   tick        inputs, any number of them
//!         \      |        |     /
//!          +--> Coordinator <--+            decides; nothing leaves yet
//!                    |
//!                  pump --> Env::send, Env::members, the callers' answers
//! ```
//!
//! It owns the [`Coordinator`] and the environment. A client with a thread and a client that its owner drives
//! share it: they differ in their [`Env`] and in who calls it. Inputs never send: the outputs of a batch leave
//! together, at the [`Driver::pump`] that ends the batch. Left out: every decision (`coordinator`), and how
//! callers reach it (`bridge`).
//!
//! Source: sans-I/O machines such as `quinn-proto` and `rustls`.

use bytes::Bytes;
use core::task::{Context, Poll};
use quoit_ring::change::{Known, Topology};
use quoit_ring::wire::{DecodeError, ResponseFrame};
use quoit_ring::{Moment, NodeId};

use crate::bridge::{Alive, DriverEnd};
use crate::coordinator::{Coordinator, Settings};
use crate::env::{Env, Link, Now};
use crate::metrics::Publisher;
use crate::operation::Submission;

/// Runs a client without a thread of its own; made by [`ClientBuilder::drive`](crate::ClientBuilder::drive).
///
/// Its owner passes events to it, and calls [`Driver::pump`] after each batch of them:
///
/// | event | input |
/// | --- | --- |
/// | callers submitted operations | [`Driver::take_in`] |
/// | a frame arrived | [`Driver::received`] |
/// | a connection opened or broke | [`Driver::link`] |
/// | [`Driver::next_tick`] is reached | [`Driver::tick`] |
///
/// Inputs neither send nor answer: the pump does, so that the outputs of many inputs leave together. No input
/// blocks, and none is async. The driver never reads a clock: its [`Env`] does.
///
/// Dropping it ends the client: waiting reads fail as closed and waiting writes as
/// [`Abandoned`](crate::WriteError::Abandoned); later operations fail as closed. It may be dropped at any time;
/// to lose nothing, drop it once [`Driver::is_finished`] is true.
///
/// ```
/// use std::pin::pin;
/// use std::task::{Context, Poll, Waker};
///
/// use bytes::{Buf, BytesMut};
/// use quoit_client::Client;
/// # use quoit_client::env::{Env, Link, Now};
/// # use quoit_ring::{Moment, change::Topology};
/// use quoit_ring::wire::{RequestFrame, Response, ResponseFrame};
/// use quoit_ring::{NodeId, Time};
/// # use quoit_ring::{ClusterId, ClusterMap, Epoch, Leaf, LeafBits, Member, Millis, TokenKey, placement::Ring};
/// # let member = |id: u32| Member {
/// #     id: NodeId(id.into()), name: format!("n{id}"), address: format!("10.0.0.{id}:7440"),
/// #     zone: "z".into(), weight: 100, vnodes: vec![Leaf(id)],
/// # };
/// # let map = ClusterMap {
/// #     cluster: ClusterId(7), epoch: Epoch(1), token_key: TokenKey([2; 16]),
/// #     leaf_bits: LeafBits::FULL, replication: 3, members: (1..=3).map(member).collect(),
/// # };
/// # let ring = Ring::new(&map).unwrap();
/// # #[derive(Default)]
/// # struct ByHand { random: u64, sent: Vec<(NodeId, RequestFrame)> }
/// # impl Env for ByHand {
/// #     fn now(&mut self) -> Now {
/// #         self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
/// #         Now { at: Moment(0), wall: Millis(1_700_000_000_000), random: self.random }
/// #     }
/// #     fn send(&mut self, to: NodeId, frame: &RequestFrame) -> bool {
/// #         self.sent.push((to, frame.clone()));
/// #         true
/// #     }
/// #     fn members(&mut self, _topology: &Topology) {}
/// # }
///
/// // `ByHand` is an `Env` that keeps frames in `sent`; the ring has three nodes and three copies.
/// let (client, mut driver) = Client::builder().drive(ring, ByHand::default())?;
/// let mut context = Context::from_waker(Waker::noop());
/// let mut put = pin!(client.put("key", "value").into_future());
/// assert!(put.as_mut().poll(&mut context).is_pending(), "left in the inbox");
///
/// driver.take_in();
/// driver.pump();
/// let requests = std::mem::take(&mut driver.env().sent);
/// assert_eq!(requests.len(), 3, "one to each owner");
///
/// for (node, request) in &requests[..2] {
///     let (id, epoch, clock) = (request.id, request.epoch, Time::default());
///     let mut bytes = BytesMut::new();
///     ResponseFrame { id, epoch, clock, response: Response::Joined }.encode(&mut bytes);
///     bytes.advance(4); // a frame comes without its length field, as `Frames` cuts it off
///     driver.received(*node, bytes.freeze())?;
/// }
/// driver.pump();
/// let Poll::Ready(written) = put.as_mut().poll(&mut context) else { panic!("two of three are enough") };
/// assert_eq!(written?.acked, 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Driver<E> {
    // First, so that it is dropped first: new operations are refused before waiting ones are abandoned.
    callers: DriverEnd,
    /// Submissions taken from the inbox and not yet started; keeps its allocation.
    batch: Vec<Submission>,
    coordinator: Coordinator,
    env: E,
    publisher: Publisher,
    /// Whether a tick has passed since the last pump.
    ticked: bool,
    /// The `Env`'s present at the last input.
    at: Moment,
    // Last, so that `close` returns when all else is gone.
    _alive: Alive,
}

impl<E: Env> Driver<E> {
    pub(crate) fn new(callers: DriverEnd, settings: Settings, known: Known, mut env: E) -> Self {
        env.members(known.topology());
        let now = env.now();
        let coordinator = Coordinator::new(settings, known, now);
        callers.publish(coordinator.topology());
        Self {
            _alive: callers.alive(),
            callers,
            batch: Vec::new(),
            coordinator,
            env,
            publisher: Publisher::new(now.at),
            ticked: false,
            at: now.at,
        }
    }

    /// The environment. The driver does not notice changes made to it here.
    #[must_use]
    pub const fn env(&mut self) -> &mut E {
        &mut self.env
    }

    /// Who owns what, as this client knows it: callers see it after the next [`Driver::pump`].
    #[must_use]
    pub const fn topology(&self) -> &Topology {
        self.coordinator.topology()
    }

    /// Whether operations wait for [`Driver::take_in`]. Costs an uncontended lock.
    #[must_use]
    pub fn has_submissions(&self) -> bool {
        !self.batch.is_empty() || !self.callers.is_empty()
    }

    /// Waits for submissions: ready with true once [`Driver::take_in`] has something to start, with false once
    /// the client is closed and no more can come. While pending, the first submission wakes the task of `cx`,
    /// from the caller's thread; only the task of the last call is woken.
    ///
    /// An event loop needs this to sleep; one that polls [`Driver::take_in`], as a simulation does, does not.
    /// It takes all submissions out of the inbox: the next `take_in` starts just those and takes no lock.
    pub fn poll_submissions(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        if self.batch.is_empty() {
            self.callers.poll_take(&mut self.batch, cx)
        } else {
            Poll::Ready(true)
        }
    }

    /// Starts the submitted operations, each at the `Env`'s present. With none it costs an uncontended lock.
    pub fn take_in(&mut self) {
        if self.batch.is_empty() {
            self.callers.take(&mut self.batch);
        }

        let mut batch = core::mem::take(&mut self.batch);
        for submission in batch.drain(..) {
            let now = self.now();
            self.coordinator.handle_submission(submission, now);
        }
        self.batch = batch;
    }

    /// Handles a frame from a node, without its length field, which [`Frames`](quoit_ring::wire::Frames)
    /// removes. An answer to no request under way is ignored, so duplicate and late ones are harmless.
    ///
    /// # Errors
    /// [`DecodeError`] if the frame is not a response; nothing has changed. The link is unusable: close it, and
    /// report it to [`Driver::link`] as down.
    pub fn received(&mut self, from: NodeId, frame: Bytes) -> Result<(), DecodeError> {
        let frame = ResponseFrame::decode(frame)?;
        let now = self.now();
        self.coordinator.handle_response(from, frame, now);
        Ok(())
    }

    /// Sets the state of the link to a node. [`Link::Down`] fails all requests under way there, and nothing is
    /// sent there until the link is reported up.
    pub fn link(&mut self, node: NodeId, link: Link) {
        let now = self.now();
        self.coordinator.handle_link(node, link, now);
    }

    /// Handles passed deadlines and slow replicas. Before [`Driver::next_tick`] it does nothing; a late call
    /// makes operations end that much later.
    pub fn tick(&mut self) {
        let now = self.now();
        self.coordinator.handle_time(now);
        self.ticked = true;
    }

    /// When to call [`Driver::tick`] next, in the `Env`'s monotonic time; `None` if nothing is under way. A
    /// tick stays due if the last operation ends before it; no further one follows. Every input can change it.
    #[must_use]
    pub const fn next_tick(&self) -> Option<Moment> {
        self.coordinator.poll_time()
    }

    /// Whether nothing is under way: no operation, and no repair after an answer. Operations still in the
    /// inbox do not count.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.coordinator.is_idle()
    }

    /// Whether the client has ended: its handles are closed or dropped, and all operations are done. Then drop
    /// the driver, which completes [`Client::close`](crate::Client::close).
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.is_idle() && self.batch.is_empty() && self.callers.is_finished()
    }

    /// Ends a batch of inputs: passes a new ring to the `Env`, sends the queued frames, and delivers the
    /// answers. With nothing to do it costs five comparisons. After a tick it may publish
    /// [`metrics`](crate::metrics) to the application's recorder.
    pub fn pump(&mut self) {
        // First: what is to be sent goes to members that are new, or have moved.
        if self.coordinator.poll_epoch() {
            let topology = self.coordinator.topology();
            self.env.members(topology);
            self.callers.publish(topology);
        }

        // What is to be sent needs the room of what nobody waits for any more.
        if self.coordinator.poll_sweep() {
            let coordinator = &mut self.coordinator;
            let taken_back = self.env.sweep(&mut |id| coordinator.awaits(id));
            for (node, id) in taken_back {
                self.coordinator.handle_taken_back(node, id);
            }
        }

        while let Some((node, frame)) = self.coordinator.poll_send() {
            if !self.env.send(node, &frame) {
                let now = self.now();
                self.coordinator.handle_unsent(node, frame.id, now);
            }
        }

        while let Some(answer) = self.coordinator.poll_answer() {
            answer.deliver();
        }

        if core::mem::take(&mut self.ticked) && self.publisher.is_due(self.is_idle(), self.at) {
            self.publish();
        }
    }

    /// The present, by the `Env`.
    fn now(&mut self) -> Now {
        let now = self.env.now();
        self.at = now.at;
        now
    }
}

impl<E> Driver<E> {
    /// Publishes the counts since the last time.
    fn publish(&mut self) {
        let (operations, sent, health) = self.coordinator.counters();
        self.publisher.publish(operations, sent, health, self.at);
    }
}

impl<E> Drop for Driver<E> {
    fn drop(&mut self) {
        self.publish();
    }
}

#[cfg(test)]
mod tests;
