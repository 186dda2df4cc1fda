//! Requests on their way to one node, with a bound and with deadlines.
//!
//! ```text
//!   push --> lane  [f|f|f|f]  --take_lane--> one write of all of them
//!        `-> large [F] [F]    --take_large-> a stream each
//! ```
//!
//! Pushing wakes the writer only if nothing waited; the writer takes all that waits, up to [`BATCH`] bytes. A request
//! is encoded when it is taken, with what is then left of its budget, and an expired one is not written at all. So no
//! more is taken at once than one write soon sends.
//!
//! Requests wait while the connection is being made and are dropped while there is none: the pusher knows from the
//! link's state. What waits is bounded in bytes:
//!
//! ```text
//!   repairs and hints    refused while all that waits is over half of the limit: they are optional; one alone never is
//!   all others           up to the limit, whatever waits of those; beyond it the connection is given up
//! ```
//!
//! The pusher bounds the others, and keeps the limit above that: it takes back, by a sweep, what nobody waits for any
//! more. If they grow beyond the limit nevertheless, the node has stopped reading.

use core::cell::RefCell;
use core::future::poll_fn;
use core::task::{Poll, Waker};
use std::collections::VecDeque;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use quoit_ring::wire::RequestFrame;

use super::queued::{self, Queued};

/// The lane's buffer grows by blocks of this size, and shares each with the writes it was cut into.
const BLOCK: usize = 64 << 10;
/// A write of the lane takes no more frames once it has this many bytes.
const BATCH: usize = 128 << 10;

/// The queue between the operations and the writers of one link. All on one thread, so no lock.
///
/// ```
/// use quoit_ring::Epoch;
/// use quoit_ring::wire::{Request, RequestFrame};
/// use quoit_transport::outbox::{RequestOutbox, clock};
///
/// let outbox = RequestOutbox::new(1 << 20, clock);
/// let frame = RequestFrame { id: 1, epoch: Epoch(1), budget_ms: 500, request: Request::Map };
/// assert!(outbox.push(&frame)); // waits for the connection
/// assert!(outbox.close()); // there is none: dropped
/// assert!(outbox.push(&frame)); // dropped at once
/// assert_eq!(outbox.pushed(), 1);
/// ```
#[derive(Debug)]
pub struct RequestOutbox {
    state: RefCell<State>,
    limit: usize,
    clock: fn() -> Instant,
}

/// Whether requests go anywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    /// The connection is being made: they wait for it.
    Waiting,
    /// They are written.
    Open,
    /// There is no connection: they are dropped.
    Dropping,
}

#[derive(Debug)]
struct State {
    flow: Flow,
    lane: VecDeque<Queued>,
    large: VecDeque<Queued>,
    /// What both have waiting, as [`Queued::bytes`] counts it.
    bytes: usize,
    /// How much of that is repairs and hints.
    optional: usize,
    /// What small frames are encoded into.
    buffer: BytesMut,
    pushed: u64,
    /// More than the limit came: the connection is to be given up.
    overflowed: bool,
    /// No more will be queued.
    finished: bool,
    /// All large frames are written and acknowledged, and no more will come.
    large_done: bool,
    lane_writer: Option<Waker>,
    large_writer: Option<Waker>,
    /// Waits for the end, see [`RequestOutbox::finished`].
    link_task: Option<Waker>,
    /// See [`RequestOutbox::overflowed`].
    overflow_task: Option<Waker>,
}

/// What a writer does next.
#[derive(Debug, PartialEq, Eq)]
pub enum Take<T> {
    /// Write this.
    Some(T),
    /// Everything is written and no more will come.
    Finished,
    /// The node does not read: give the connection up.
    Overflowed,
}

/// Small frames that leave together.
#[derive(Debug, PartialEq, Eq)]
pub struct Batch {
    /// Whole frames, one behind the other; may be none.
    pub bytes: Bytes,
    /// The ids of frames that waited too long. They are not among the bytes, so the node will not answer them.
    pub expired: Vec<u64>,
}

impl RequestOutbox {
    /// An empty outbox that holds up to `limit` bytes, of a connection that is being made. Requests wait by `clock`.
    #[must_use]
    pub fn new(limit: usize, clock: fn() -> Instant) -> Self {
        Self {
            state: RefCell::new(State {
                flow: Flow::Waiting,
                lane: VecDeque::new(),
                large: VecDeque::new(),
                bytes: 0,
                optional: 0,
                buffer: BytesMut::with_capacity(BLOCK),
                pushed: 0,
                overflowed: false,
                finished: false,
                large_done: false,
                lane_writer: None,
                large_writer: None,
                link_task: None,
                overflow_task: None,
            }),
            limit,
            clock,
        }
    }

    /// Queues a request, or drops it if there is no connection or [`RequestOutbox::finish`] was called.
    ///
    /// False if it is a repair or a hint, something waits, and both together are over half of the limit. Any other
    /// request is always taken; if those together are beyond the limit the outbox overflows, which drops everything and
    /// ends the connection.
    pub fn push(&self, frame: &RequestFrame) -> bool {
        let mut state = self.state.borrow_mut();
        if state.flow == Flow::Dropping || state.finished {
            return true;
        }
        let after = state.bytes + queued::bytes(&frame.request);
        if queued::is_optional(&frame.request) && state.bytes > 0 && after > self.limit / 2 {
            return false;
        }
        state.push(Queued::new(frame.clone(), (self.clock)()));
        if state.bytes - state.optional > self.limit {
            state.overflow();
        }
        true
    }

    /// Takes requests back that nobody waits for any more, and gives their ids: none of them will be written. Repairs and
    /// hints stay, which serve whether somebody waits for them or not, and have a bound of their own.
    pub fn sweep(&self, is_awaited: &mut dyn FnMut(u64) -> bool) -> Vec<u64> {
        let mut state = self.state.borrow_mut();
        let State {
            lane, large, bytes, ..
        } = &mut *state;
        let mut swept = Vec::new();
        let mut stays = |frame: &Queued| {
            let stays = frame.is_optional() || is_awaited(frame.id());
            if !stays {
                *bytes -= frame.bytes();
                swept.push(frame.id());
            }
            stays
        };
        lane.retain(&mut stays);
        large.retain(&mut stays);
        swept
    }

    /// Whether frames flow now.
    pub fn is_open(&self) -> bool {
        self.state.borrow().flow == Flow::Open
    }

    /// How many requests were ever queued; shows whether a link is in use. Those dropped at once don't count.
    pub fn pushed(&self) -> u64 {
        self.state.borrow().pushed
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting() == 0
    }

    /// How many bytes wait, about.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.state.borrow().bytes
    }

    /// Whether [`RequestOutbox::finish`] was called.
    pub fn is_finished(&self) -> bool {
        self.state.borrow().finished
    }

    /// Frames flow from now on.
    pub fn open(&self) {
        let mut state = self.state.borrow_mut();
        state.flow = Flow::Open;
        state.large_done = false;
    }

    /// The node has all large frames, and no more will come.
    pub fn large_done(&self) {
        let mut state = self.state.borrow_mut();
        state.large_done = true;
        wake(&mut state.lane_writer);
    }

    /// There is no connection: what waits is dropped. False if there was none before.
    pub fn close(&self) -> bool {
        let mut state = self.state.borrow_mut();
        state.clear();
        state.overflowed = false;
        core::mem::replace(&mut state.flow, Flow::Dropping) != Flow::Dropping
    }

    /// No more frames: what is queued is still written.
    pub fn finish(&self) {
        let mut state = self.state.borrow_mut();
        state.finished = true;
        state.wake_both();
        wake(&mut state.link_task);
    }

    /// Waits for [`RequestOutbox::finish`]; one task at a time.
    pub async fn finished(&self) {
        poll_fn(|cx| {
            let mut state = self.state.borrow_mut();
            if state.finished {
                return Poll::Ready(());
            }
            state.link_task = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Waits for an overflow. One task at a time may wait; the writers may be waiting for the node at that moment.
    pub async fn overflowed(&self) {
        poll_fn(|cx| {
            let mut state = self.state.borrow_mut();
            if state.overflowed {
                return Poll::Ready(());
            }
            state.overflow_task = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// The small frames that wait, as one run of bytes, at most a write's worth; waits for the first. Cancel safe.
    pub async fn take_lane(&self) -> Take<Batch> {
        poll_fn(|cx| {
            let mut state = self.state.borrow_mut();
            // The lane ends last: its end shows the node that nothing more will come on any stream.
            match state.end(state.lane.is_empty() && state.large_done) {
                Some(end) => Poll::Ready(end),
                None if state.lane.is_empty() => {
                    state.lane_writer = Some(cx.waker().clone());
                    Poll::Pending
                }
                None => Poll::Ready(Take::Some(state.batch((self.clock)()))),
            }
        })
        .await
    }

    /// The next large frame, expired or not; waits for it. Cancel safe.
    pub async fn take_large(&self) -> Take<Queued> {
        poll_fn(|cx| {
            let mut state = self.state.borrow_mut();
            if let Some(end) = state.end(state.large.is_empty()) {
                return Poll::Ready(end);
            }
            let Some(frame) = state.large.pop_front() else {
                state.large_writer = Some(cx.waker().clone());
                return Poll::Pending;
            };
            state.left(&frame);
            Poll::Ready(Take::Some(frame))
        })
        .await
    }

    /// The present, by the clock that measures waiting.
    pub fn now(&self) -> Instant {
        (self.clock)()
    }
}

impl State {
    fn push(&mut self, frame: Queued) {
        self.pushed += 1;
        self.bytes += frame.bytes();
        if frame.is_optional() {
            self.optional += frame.bytes();
        }
        let (queue, writer) = if frame.is_large() {
            (&mut self.large, &mut self.large_writer)
        } else {
            (&mut self.lane, &mut self.lane_writer)
        };
        queue.push_back(frame);
        wake(writer);
    }

    /// A frame no longer waits.
    fn left(&mut self, frame: &Queued) {
        self.bytes -= frame.bytes();
        if frame.is_optional() {
            self.optional -= frame.bytes();
        }
    }

    /// The next small frames, as they leave at `now`.
    fn batch(&mut self, now: Instant) -> Batch {
        let mut expired = Vec::new();
        while self.buffer.len() < BATCH
            && let Some(frame) = self.lane.pop_front()
        {
            self.left(&frame);
            if frame.is_expired(now) {
                expired.push(frame.id());
            } else {
                frame.encode(now, &mut self.buffer);
            }
        }
        let bytes = self.buffer.split().freeze();
        Batch { bytes, expired }
    }

    /// Why a writer whose queue is `empty` is to stop, if it is.
    const fn end<T>(&self, empty: bool) -> Option<Take<T>> {
        match (self.overflowed, self.finished && empty) {
            (true, _) => Some(Take::Overflowed),
            (false, true) => Some(Take::Finished),
            (false, false) => None,
        }
    }

    fn overflow(&mut self) {
        self.clear();
        self.overflowed = true;
        self.wake_both();
        wake(&mut self.overflow_task);
    }

    fn clear(&mut self) {
        self.lane.clear();
        self.large.clear();
        (self.bytes, self.optional) = (0, 0);
    }

    fn wake_both(&mut self) {
        wake(&mut self.lane_writer);
        wake(&mut self.large_writer);
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

#[cfg(test)]
mod tests;
