//! Frames on their way to one node.
//!
//! ```text
//!   push --> lane  [f|f|f|f]  --take_lane--> one write of all of them
//!        `-> large [F] [F]    --take_large-> a stream each
//! ```
//!
//! Who queues encodes straight into the buffer and wakes the writer only if the buffer was empty; the
//! writer takes the whole buffer. Frames wait while the first connection is being made and are dropped
//! while there is none: the driver has been told so. What waits is bounded: repairs, whose size no caller has
//! made room for, get half of the room and are turned away beyond it; a node that lets the rest grow beyond the
//! bound has stopped reading, and its connection is given up.

use core::cell::RefCell;
use core::future::poll_fn;
use core::task::{Poll, Waker};
use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use quoit_ring::wire::{LANE_FRAME, Request, RequestFrame};

use crate::env::Link;

/// The buffer grows by blocks of this size, and shares each with the writes it was cut into.
const BLOCK: usize = 64 << 10;
/// Most bytes that a frame has beside its key and record.
const AROUND: usize = 256;

/// The queue between the driver and the writers of one link. One thread, so no lock.
#[derive(Debug)]
pub(super) struct Outbox {
    state: RefCell<State>,
    limit: usize,
}

#[derive(Debug)]
struct State {
    link: Link,
    lane: BytesMut,
    large: VecDeque<Bytes>,
    large_bytes: usize,
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
pub(super) enum Take {
    /// Write this.
    Bytes(Bytes),
    /// Everything is written and no more will come.
    Finished,
    /// The node does not read: give the connection up.
    Overflowed,
}

impl Outbox {
    /// An empty outbox that holds up to `limit` bytes, of a link that is being opened.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            state: RefCell::new(State {
                link: Link::Opening,
                lane: BytesMut::with_capacity(BLOCK),
                large: VecDeque::new(),
                large_bytes: 0,
                overflowed: false,
                finished: false,
                large_done: false,
                lane_writer: None,
                large_writer: None,
                link_task: None,
                overflow_task: None,
            }),
            limit,
        }
    }

    /// Queues a frame, or drops it if there is no connection. False if it is a repair and too much waits.
    pub(super) fn push(&self, frame: &RequestFrame) -> bool {
        let mut state = self.state.borrow_mut();
        if state.link == Link::Down || state.finished {
            return true;
        }
        let waiting = state.lane.len() + state.large_bytes;
        let is_repair = matches!(frame.request, Request::Repair { .. });
        if is_repair && waiting > 0 && waiting + body_bytes(&frame.request) > self.limit / 2 {
            return false;
        }
        if body_bytes(&frame.request) + AROUND > LANE_FRAME {
            state.push_large(frame);
        } else {
            state.push_small(frame);
        }
        if state.lane.len() + state.large_bytes > self.limit {
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

    /// All small frames that wait, as one run of bytes; waits for the first.
    pub(super) async fn take_lane(&self) -> Take {
        poll_fn(|cx| {
            let mut state = self.state.borrow_mut();
            // The lane ends last: its end tells the node that nothing more will come on any stream.
            match state.end(state.lane.is_empty() && state.large_done) {
                Some(end) => Poll::Ready(end),
                None if state.lane.is_empty() => {
                    state.lane_writer = Some(cx.waker().clone());
                    Poll::Pending
                }
                None => Poll::Ready(Take::Bytes(state.lane.split().freeze())),
            }
        })
        .await
    }

    /// The next large frame; waits for it.
    pub(super) async fn take_large(&self) -> Take {
        poll_fn(|cx| {
            let mut state = self.state.borrow_mut();
            if let Some(end) = state.end(state.large.is_empty()) {
                return Poll::Ready(end);
            }
            let Some(frame) = state.large.pop_front() else {
                state.large_writer = Some(cx.waker().clone());
                return Poll::Pending;
            };
            state.large_bytes -= frame.len();
            Poll::Ready(Take::Bytes(frame))
        })
        .await
    }
}

impl State {
    fn push_small(&mut self, frame: &RequestFrame) {
        let was_empty = self.lane.is_empty();
        frame.encode(&mut self.lane);
        if was_empty {
            wake(&mut self.lane_writer);
        }
    }

    /// Encodes a frame that is probably too large for the lane into a buffer of its own.
    fn push_large(&mut self, frame: &RequestFrame) {
        let mut bytes = BytesMut::with_capacity(body_bytes(&frame.request) + AROUND);
        frame.encode(&mut bytes);
        if bytes.len() <= LANE_FRAME {
            self.lane.extend_from_slice(&bytes);
            wake(&mut self.lane_writer);
            return;
        }
        self.large_bytes += bytes.len();
        self.large.push_back(bytes.freeze());
        wake(&mut self.large_writer);
    }

    /// Why a writer whose queue is `empty` is to stop, if it is.
    fn end(&self, empty: bool) -> Option<Take> {
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
        self.large_bytes = 0;
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

/// Bytes of the raw parts of a request.
fn body_bytes(request: &Request) -> usize {
    match request {
        Request::Get { key, .. } => key.len(),
        Request::Put { key, record, .. } | Request::Repair { key, record } => {
            key.len() + record.len()
        }
        _no_body => 0,
    }
}

#[cfg(test)]
mod tests {
    use core::future::Future;
    use core::pin::pin;
    use core::task::Context;

    use quoit_ring::wire::Frames;
    use quoit_ring::{Actor, Dot, Epoch, Time};

    use super::*;

    fn frame(id: u64, record: usize) -> RequestFrame {
        RequestFrame {
            id,
            epoch: Epoch(1),
            budget_ms: 1,
            request: Request::Put {
                key: Bytes::from_static(b"k"),
                dot: Dot {
                    time: Time(1),
                    actor: Actor(1),
                },
                record: vec![7; record].into(),
            },
        }
    }

    fn repair(id: u64, record: usize) -> RequestFrame {
        let (key, record) = (Bytes::from_static(b"k"), vec![7; record].into());
        RequestFrame {
            request: Request::Repair { key, record },
            ..frame(id, 0)
        }
    }

    fn now<T>(future: impl Future<Output = T>) -> Option<T> {
        let mut context = Context::from_waker(Waker::noop());
        match pin!(future).poll(&mut context) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        }
    }

    fn ids(taken: Option<Take>) -> Vec<u64> {
        let Some(Take::Bytes(bytes)) = taken else {
            panic!("no bytes: {taken:?}");
        };
        let mut frames = Frames::new(usize::MAX);
        frames.push(&bytes);
        let mut ids = Vec::new();
        while let Some(frame) = frames.next().unwrap() {
            ids.push(RequestFrame::decode(frame).unwrap().id);
        }
        assert!(frames.is_empty());
        ids
    }

    #[test]
    fn small_frames_leave_together_and_large_ones_alone() {
        let outbox = Outbox::new(1 << 20);
        for (id, record) in [(1, 10), (2, 100_000), (3, 20), (4, 70_000)] {
            outbox.push(&frame(id, record));
        }
        assert_eq!(ids(now(outbox.take_lane())), [1, 3]);
        assert_eq!(ids(now(outbox.take_large())), [2]);
        assert_eq!(ids(now(outbox.take_large())), [4]);
        assert_eq!(now(outbox.take_lane()), None);
        assert_eq!(now(outbox.take_large()), None);
    }

    #[test]
    fn the_whole_frame_decides_which_way_it_goes() {
        for record in LANE_FRAME - AROUND - 8..LANE_FRAME + 8 {
            let (outbox, frame) = (Outbox::new(1 << 20), frame(9, record));
            let mut bytes = BytesMut::new();
            frame.encode(&mut bytes);
            outbox.push(&frame);
            let small = now(outbox.take_lane());
            assert_eq!(small.is_some(), bytes.len() <= LANE_FRAME, "{record}");
            assert_eq!(ids(small.or_else(|| now(outbox.take_large()))), [9]);
        }
    }

    #[test]
    fn frames_wait_while_the_link_opens_and_are_dropped_while_it_is_down() {
        let outbox = Outbox::new(1 << 20);
        outbox.push(&frame(1, 1));
        outbox.up();
        assert_eq!(ids(now(outbox.take_lane())), [1]);
        outbox.push(&frame(2, 1));
        outbox.push(&frame(3, 100_000));
        assert!(outbox.down());
        assert!(!outbox.down(), "known already");
        outbox.push(&frame(4, 1));
        outbox.up();
        assert_eq!(now(outbox.take_lane()), None);
        assert_eq!(now(outbox.take_large()), None);
    }

    #[test]
    fn a_node_that_does_not_read_is_given_up() {
        let outbox = Outbox::new(200_000);
        outbox.push(&frame(1, 100_000));
        outbox.push(&frame(2, 99_000));
        assert_eq!(ids(now(outbox.take_large())), [1]);
        outbox.push(&frame(3, 100_000));
        outbox.push(&frame(4, 2_000));
        assert_eq!(now(outbox.take_lane()), Some(Take::Overflowed));
        assert_eq!(now(outbox.take_large()), Some(Take::Overflowed));
        assert!(outbox.down());
        outbox.up();
        assert_eq!(now(outbox.take_lane()), None, "a new connection may try");
    }

    #[test]
    fn repairs_beyond_half_of_the_room_are_turned_away_and_hurt_nobody() {
        let outbox = Outbox::new(200_000);
        assert!(outbox.push(&repair(1, 150_000)), "one always finds room");
        assert!(!outbox.push(&repair(2, 10_000)));
        assert!(outbox.push(&frame(3, 10)));
        assert_eq!(ids(now(outbox.take_large())), [1]);
        assert!(outbox.push(&repair(4, 10_000)));
        assert_eq!(ids(now(outbox.take_lane())), [3, 4]);
    }

    #[test]
    fn who_waits_for_an_overflow_is_told_while_the_writers_are_busy() {
        let outbox = Outbox::new(1_000);
        assert_eq!(now(outbox.overflowed()), None);
        outbox.push(&frame(1, 2_000));
        assert_eq!(now(outbox.overflowed()), Some(()));
    }

    #[test]
    fn what_is_queued_before_the_end_is_still_taken() {
        let outbox = Outbox::new(1 << 20);
        outbox.push(&frame(1, 1));
        outbox.finish();
        outbox.push(&frame(2, 1));
        assert_eq!(ids(now(outbox.take_lane())), [1]);
        assert_eq!(
            now(outbox.take_lane()),
            None,
            "large frames may still be on their way"
        );
        assert_eq!(now(outbox.take_large()), Some(Take::Finished));
        outbox.large_done();
        assert_eq!(now(outbox.take_lane()), Some(Take::Finished));
    }
}
