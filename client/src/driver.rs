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
//! It owns the [`Coordinator`] and the environment. The client with a thread and the one that its owner
//! drives have the same: they differ in their [`Env`] and in who calls. Inputs never send: the outputs of a
//! whole batch of them leave together, at the [`Driver::pump`] that ends it. Left out: every decision
//! (`coordinator`), and how callers reach it (`bridge`).
//!
//! Source: machines without input and output, as `quinn-proto` and `rustls` are.

use core::task::{Context, Poll};
use std::sync::Arc;

use bytes::Bytes;
use quoit_ring::placement::Ring;
use quoit_ring::wire::{DecodeError, ResponseFrame};
use quoit_ring::{Moment, NodeId};

use crate::bridge::{Alive, DriverEnd};
use crate::coordinator::{Coordinator, Settings};
use crate::env::{Env, Link, Now};
use crate::metrics::Publisher;
use crate::operation::Submission;

/// Runs a client without a thread of its own; made by [`ClientBuilder::drive`](crate::ClientBuilder::drive).
///
/// Its owner calls it with what happens, and [`Driver::pump`] after each batch of that:
///
/// | what happened | input |
/// | --- | --- |
/// | callers left operations | [`Driver::take_in`] |
/// | a frame came | [`Driver::received`] |
/// | a connection opened or broke | [`Driver::link`] |
/// | [`Driver::next_tick`] is reached | [`Driver::tick`] |
///
/// No input sends or answers anything by itself: that is the pump's, so that the outputs of many inputs
/// leave together. None of them ever blocks, and none is async. The driver never reads a clock; what it
/// sees of the outside comes through its [`Env`].
///
/// Dropping it ends the client: callers that wait learn that the client is closed, or, for a write, that it
/// was [`Abandoned`](crate::WriteError::Abandoned); later operations fail as closed. It may be dropped at
/// any time; to lose nothing, once [`Driver::is_finished`] says so.
///
/// ```
/// use std::pin::pin;
/// use std::task::{Context, Poll, Waker};
///
/// use bytes::{Buf, BytesMut};
/// use quoit_client::Client;
/// # use quoit_client::env::{Env, Link, Now};
/// # use quoit_ring::Moment;
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
/// #     fn members(&mut self, _map: &ClusterMap) {}
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
    /// First, so that it is dropped first: new operations are refused before those that wait are abandoned.
    callers: DriverEnd,
    /// Submissions that were taken from the inbox and not yet started; keeps its allocation.
    batch: Vec<Submission>,
    coordinator: Coordinator,
    env: E,
    publisher: Publisher,
    /// Whether a tick has passed since the last pump.
    ticked: bool,
    /// The `Env`'s present at the last input.
    at: Moment,
    /// Last, so that callers of `close` return when all else is gone.
    _alive: Alive,
}

impl<E: Env> Driver<E> {
    pub(crate) fn new(callers: DriverEnd, settings: Settings, ring: Ring, mut env: E) -> Self {
        env.members(ring.map());
        let now = env.now();
        let coordinator = Coordinator::new(settings, ring, now);
        callers.publish(coordinator.ring());
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

    /// The environment. What is done to it here the driver does not notice.
    #[must_use]
    pub const fn env(&mut self) -> &mut E {
        &mut self.env
    }

    /// The ring in force: what callers see after the next [`Driver::pump`].
    #[must_use]
    pub const fn ring(&self) -> &Arc<Ring> {
        self.coordinator.ring()
    }

    /// Whether callers have left operations that [`Driver::take_in`] would start. Costs an uncontended lock.
    #[must_use]
    pub fn has_submissions(&self) -> bool {
        !self.batch.is_empty() || !self.callers.is_empty()
    }

    /// Waits for operations that callers leave: ready with true once [`Driver::take_in`] has something to
    /// start, with false once the client is closed and nothing more will ever come. Until then the task of
    /// `cx` is woken at the first, from the caller's thread; only that of the last call.
    ///
    /// An event loop that owns its thread needs this to sleep; one that calls [`Driver::take_in`] again and
    /// again, as a simulation does, does not. What it finds is taken from the inbox, all at once: the next
    /// `take_in` starts just that and takes no lock.
    pub fn poll_submissions(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        if self.batch.is_empty() {
            self.callers.poll_take(&mut self.batch, cx)
        } else {
            Poll::Ready(true)
        }
    }

    /// Takes the operations that callers have left and starts them, each under the `Env`'s present. With
    /// nothing there it costs an uncontended lock.
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

    /// Takes a frame off a node's link: without its length field, as [`Frames`](quoit_ring::wire::Frames)
    /// cuts it off. An answer to nothing that is under way is ignored, so one may come twice or late.
    ///
    /// # Errors
    /// [`DecodeError`] if the frame is not a response; nothing has changed. The link is of no more use:
    /// close it, and report it to [`Driver::link`] as down.
    pub fn received(&mut self, from: NodeId, frame: Bytes) -> Result<(), DecodeError> {
        let frame = ResponseFrame::decode(frame)?;
        let now = self.now();
        self.coordinator.handle_response(from, frame, now);
        Ok(())
    }

    /// Notes how the way to a node is. Once it is [`Link::Down`], what was under way there has failed, and
    /// nothing more is sent there until it is reported up.
    pub fn link(&mut self, node: NodeId, link: Link) {
        let now = self.now();
        self.coordinator.handle_link(node, link, now);
    }

    /// Looks for deadlines that have passed and for replicas that are slow. Before [`Driver::next_tick`] it
    /// does nothing; later than that, operations end as much later.
    pub fn tick(&mut self) {
        let now = self.now();
        self.coordinator.handle_time(now);
        self.ticked = true;
    }

    /// When to call [`Driver::tick`] next, by the `Env`'s monotonic time; `None` if nothing is under way. It
    /// stays due when the last operation has ended before it: the tick then finds that, and no other follows.
    /// Every input can change it.
    #[must_use]
    pub const fn next_tick(&self) -> Option<Moment> {
        self.coordinator.poll_time()
    }

    /// Whether nothing is under way, neither an operation nor repair after its answer. What still lies in
    /// the inbox does not count.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.coordinator.is_idle()
    }

    /// Whether the client has come to its end: its handles are closed or dropped, and all that they left is
    /// done. Then drop the driver, which ends [`Client::close`](crate::Client::close).
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.is_idle() && self.batch.is_empty() && self.callers.is_finished()
    }

    /// Sends the queued frames, passes a new ring to the `Env`, and delivers the answers: ends a
    /// batch of inputs. With nothing to do it costs four comparisons. After a tick it may hand the
    /// application's recorder what was counted: [`metrics`](crate::metrics).
    pub fn pump(&mut self) {
        while let Some((node, frame)) = self.coordinator.poll_send() {
            if !self.env.send(node, &frame) {
                let now = self.now();
                self.coordinator.handle_unsent(node, frame.id, now);
            }
        }
        if let Some(ring) = self.coordinator.poll_ring() {
            self.env.members(ring.map());
            self.callers.publish(&ring);
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
    /// Hands the application's recorder what was counted since the last time.
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
