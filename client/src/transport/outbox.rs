//! Frames on their way to one node.
//!
//! ```text
//!   push --> lane  [f|f|f|f]  --take_lane--> one write of all of them
//!        `-> large [F] [F]    --take_large-> a stream each
//! ```
//!
//! Who queues wakes the writer only if there was nothing; the writer takes all that waits, up to [`BATCH`] bytes.
//! A frame is encoded when it is taken, with what is then left of its budget, and one that has nothing left is not
//! written at all (`queued`); so no more is taken than a write soon gets rid of.
//!
//! Frames wait while the first connection is being made and are dropped while there is none: the driver has been
//! told so. What waits is bounded: repairs, whose size no caller has made room for, get half of the room and are
//! turned away beyond it; a node that lets the rest grow beyond the bound has stopped reading, and its connection
//! is given up.

use core::cell::RefCell;
use core::future::poll_fn;
use core::task::{Poll, Waker};
use std::collections::VecDeque;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use quoit_ring::wire::{Request, RequestFrame};

use super::queued::{self, Queued};
use crate::env::Link;

/// The lane's buffer grows by blocks of this size, and shares each with the writes it was cut into.
const BLOCK: usize = 64 << 10;
/// A write of the lane takes no more frames once it has this many bytes.
const BATCH: usize = 128 << 10;

/// The queue between the driver and the writers of one link. One thread, so no lock.
#[derive(Debug)]
pub(super) struct Outbox {
    state: RefCell<State>,
    limit: usize,
    clock: fn() -> Instant,
}

#[derive(Debug)]
struct State {
    link: Link,
    lane: VecDeque<Queued>,
    large: VecDeque<Queued>,
    /// What both have waiting, as [`Queued::bytes`] counts it.
    bytes: usize,
    /// What small frames are encoded into.
    buffer: BytesMut,
    /// More than the limit came: the connection is to be given up.
    overflowed: bool,
    /// No more will be queued.
    finished: bool,
    /// All large frames are written and acknowledged, and no more will come.
    large_done: bool,
    lane_writer: Option<Waker>,
    large_writer: Option<Waker>,
    /// Waits for the end, see [`Outbox::finished`].
    link_task: Option<Waker>,
    /// See [`Outbox::overflowed`].
    overflow_task: Option<Waker>,
}

/// What a writer is to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Take<T> {
    /// Write this.
    Some(T),
    /// Everything is written and no more will come.
    Finished,
    /// The node does not read: give the connection up.
    Overflowed,
}

/// Small frames that leave together.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Batch {
    /// Whole frames, one behind the other; may be none.
    pub(super) bytes: Bytes,
    /// The ids of frames that waited too long. They are not among the bytes, and nobody will answer them.
    pub(super) expired: Vec<u64>,
}

impl Outbox {
    /// An empty outbox that holds up to `limit` bytes, of a link that is being opened. Waiting is measured by
    /// `clock`.
    pub(super) fn new(limit: usize, clock: fn() -> Instant) -> Self {
        Self {
            state: RefCell::new(State {
                link: Link::Opening,
                lane: VecDeque::new(),
                large: VecDeque::new(),
                bytes: 0,
                buffer: BytesMut::with_capacity(BLOCK),
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

    /// Queues a frame, or drops it if there is no connection. False if too much waits and it is a repair or a hint: no
    /// room of an operation bounds those.
    pub(super) fn push(&self, frame: &RequestFrame) -> bool {
        let mut state = self.state.borrow_mut();
        if state.link == Link::Down || state.finished {
            return true;
        }
        let may_wait = matches!(frame.request, Request::Repair { .. } | Request::Hint { .. });
        let after = state.bytes + queued::bytes(&frame.request);
        if may_wait && state.bytes > 0 && after > self.limit / 2 {
            return false;
        }
        state.push(Queued::new(frame.clone(), (self.clock)()));
        if state.bytes > self.limit {
            state.overflow();
        }
        true
    }

    /// How the way is.
    pub(super) fn link(&self) -> Link {
        self.state.borrow().link
    }

    /// Whether [`Outbox::finish`] was called.
    pub(super) fn is_finished(&self) -> bool {
        self.state.borrow().finished
    }

    /// Frames flow from now on.
    pub(super) fn up(&self) {
        let mut state = self.state.borrow_mut();
        state.link = Link::Up;
        state.large_done = false;
    }

    /// The node has all large frames, and no more will come.
    pub(super) fn large_done(&self) {
        let mut state = self.state.borrow_mut();
        state.large_done = true;
        wake(&mut state.lane_writer);
    }

    /// There is no connection: what waits is dropped. False if that was known before.
    pub(super) fn down(&self) -> bool {
        let mut state = self.state.borrow_mut();
        state.clear();
        state.overflowed = false;
        core::mem::replace(&mut state.link, Link::Down) != Link::Down
    }

    /// No more frames: what is queued is still written.
    pub(super) fn finish(&self) {
        let mut state = self.state.borrow_mut();
        state.finished = true;
        state.wake_both();
        wake(&mut state.link_task);
    }

    /// Waits for [`Outbox::finish`].
    pub(super) async fn finished(&self) {
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

    /// Waits until more waits than may; whoever writes may be waiting for the node just then.
    pub(super) async fn overflowed(&self) {
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

    /// The small frames that wait, as one run of bytes, at most a write's worth; waits for the first.
    pub(super) async fn take_lane(&self) -> Take<Batch> {
        poll_fn(|cx| {
            let mut state = self.state.borrow_mut();
            // The lane ends last: its end tells the node that nothing more will come on any stream.
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

    /// The next large frame, in time or not; waits for it.
    pub(super) async fn take_large(&self) -> Take<Queued> {
        poll_fn(|cx| {
            let mut state = self.state.borrow_mut();
            if let Some(end) = state.end(state.large.is_empty()) {
                return Poll::Ready(end);
            }
            let Some(frame) = state.large.pop_front() else {
                state.large_writer = Some(cx.waker().clone());
                return Poll::Pending;
            };
            state.bytes -= frame.bytes();
            Poll::Ready(Take::Some(frame))
        })
        .await
    }

    /// The present, by the clock that waiting is measured by.
    pub(super) fn now(&self) -> Instant {
        (self.clock)()
    }
}

impl State {
    fn push(&mut self, frame: Queued) {
        self.bytes += frame.bytes();
        let (queue, writer) = if frame.is_large() {
            (&mut self.large, &mut self.large_writer)
        } else {
            (&mut self.lane, &mut self.lane_writer)
        };
        queue.push_back(frame);
        wake(writer);
    }

    /// The next small frames, as they leave at `now`.
    fn batch(&mut self, now: Instant) -> Batch {
        let mut expired = Vec::new();
        while self.buffer.len() < BATCH
            && let Some(frame) = self.lane.pop_front()
        {
            self.bytes -= frame.bytes();
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
        self.bytes = 0;
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
