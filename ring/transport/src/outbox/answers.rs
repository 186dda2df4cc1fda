//! A connection's answers on their way out, shared by the threads that make them.
//!
//! ```text
//!   I/O thread ----.          lane   [frame frame frame ...] --swap--> one write
//!                  +--push-->
//!   committer -----'          large  [frame] [frame]         --------> a stream each
//! ```
//!
//! Answers are encoded straight into the buffer that is written; the writer swaps it out whole. Pushing
//! does not wake the writer: a flush after many answers wakes it once, so that they share packets.
//!
//! Bounded: beyond [`MAX_OUTPUT`] bytes the connection's requests are left unread until it has drained. Answers to
//! writes that were taken in before still come; the write queue bounds them.
//!
//! A large answer counts until it is acknowledged as a whole: while a part of it is not, all of it stays in memory, and
//! the transport's own window counts only that part.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use quoit_ring::wire::{LANE_FRAME, Response, ResponseFrame};
use tokio::sync::{Notify, OwnedSemaphorePermit};

use super::LaneSource;
use crate::StreamError;

/// Bytes waiting at which a connection's requests are left unread: two of the longest values by default, so that one is
/// read while another is sent.
pub const MAX_OUTPUT: usize = 2 << 20;
/// What a frame has beside a record or a map: more than enough.
const HEAD: usize = 512;
/// What the lane's buffer starts with.
const LANE_BUFFER: usize = 16 << 10;

/// The answers of one connection. Any thread may push.
///
/// ```
/// use quoit_ring::wire::{Response, ResponseFrame};
/// use quoit_ring::{Epoch, Time};
/// use quoit_transport::outbox::AnswerOutbox;
///
/// let outbox = AnswerOutbox::new();
/// let response = Response::Joined;
/// outbox.push(&ResponseFrame { id: 1, epoch: Epoch(1), clock: Time(1), response });
/// outbox.flush();
/// assert!(!outbox.is_full());
/// ```
pub struct AnswerOutbox {
    buffers: Mutex<Buffers>,
    /// Bytes in the buffers or being written, those of large answers until they are acknowledged.
    bytes: AtomicUsize,
    lane_filled: AtomicBool,
    large_filled: AtomicBool,
    wake_lane: Notify,
    wake_large: Notify,
    drained: Notify,
}

struct Buffers {
    lane: BytesMut,
    large: VecDeque<LargeAnswer>,
    finishing: bool,
}

/// A frame that needs a stream of its own.
#[derive(Debug)]
pub struct LargeAnswer {
    /// The frame, its length field included.
    pub frame: Bytes,
    /// Memory that it takes from others' beside this connection's. Keep it until the frame is out of memory.
    pub permit: Option<OwnedSemaphorePermit>,
}

impl AnswerOutbox {
    /// An empty outbox.
    #[must_use]
    pub fn new() -> Arc<Self> {
        let lane = BytesMut::with_capacity(LANE_BUFFER);
        Arc::new(Self {
            buffers: Mutex::new(Buffers {
                lane,
                large: VecDeque::new(),
                finishing: false,
            }),
            bytes: AtomicUsize::new(0),
            lane_filled: AtomicBool::new(false),
            large_filled: AtomicBool::new(false),
            wake_lane: Notify::new(),
            wake_large: Notify::new(),
            drained: Notify::new(),
        })
    }

    /// Whether more than [`MAX_OUTPUT`] bytes wait, so that requests should be left unread for now.
    pub fn is_full(&self) -> bool {
        self.bytes.load(Ordering::Acquire) > MAX_OUTPUT
    }

    /// Waits until requests may be read again. Cancel safe.
    pub async fn drained(&self) {
        loop {
            let drained = self.drained.notified(); // before the look, so that no wake is missed
            if !self.is_full() {
                return;
            }
            drained.await;
        }
    }

    /// What waits for the lane, as soon as there is something; `None` once all is out and no more will come.
    async fn take_lane(&self) -> Option<Bytes> {
        loop {
            let filled = self.wake_lane.notified();
            {
                let mut buffers = self.buffers();
                if !buffers.lane.is_empty() {
                    return Some(buffers.lane.split().freeze());
                }
                if buffers.finishing {
                    return None;
                }
            }
            filled.await;
        }
    }

    /// The next frame that needs a stream of its own; `None` once all are out and no more will come. Count it out with
    /// [`AnswerOutbox::written`]. Cancel safe.
    pub async fn next_large(&self) -> Option<LargeAnswer> {
        loop {
            let filled = self.wake_large.notified();
            {
                let mut buffers = self.buffers();
                if let Some(answer) = buffers.large.pop_front() {
                    return Some(answer);
                }
                if buffers.finishing {
                    return None;
                }
            }
            filled.await;
        }
    }

    /// Counts out bytes that the transport has taken, or all of a large answer that was acknowledged; no more than were
    /// taken from here.
    pub fn written(&self, bytes: usize) {
        let before = self.bytes.fetch_sub(bytes, Ordering::AcqRel);
        debug_assert!(before >= bytes, "only what was taken is counted out");
        if before > MAX_OUTPUT && before - bytes <= MAX_OUTPUT {
            self.drained.notify_waiters();
        }
    }

    /// No more will come: the writers end once all is out.
    pub fn finish(&self) {
        self.buffers().finishing = true;
        self.wake_lane.notify_one();
        self.wake_large.notify_one();
    }

    fn buffers(&self) -> MutexGuard<'_, Buffers> {
        self.buffers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the writers of what was pushed since the last flush.
    pub fn flush(&self) {
        if self.lane_filled.swap(false, Ordering::AcqRel) {
            self.wake_lane.notify_one();
        }
        if self.large_filled.swap(false, Ordering::AcqRel) {
            self.wake_large.notify_one();
        }
    }

    /// Adds an answer, which need not leave before [`AnswerOutbox::flush`]. Never waits and never refuses: the caller
    /// bounds what comes by [`AnswerOutbox::is_full`].
    pub fn push(&self, answer: &ResponseFrame) {
        self.push_with(answer, None);
    }

    /// The same for an answer that takes memory of others; the permit goes with it if it is large, else back.
    pub fn push_with(&self, answer: &ResponseFrame, permit: Option<OwnedSemaphorePermit>) {
        let large = may_be_large(&answer.response).then(|| encoded(answer));
        let mut buffers = self.buffers();
        let (bytes, filled) = match large {
            Some(frame) if frame.len() > LANE_FRAME => {
                let bytes = frame.len();
                buffers.large.push_back(LargeAnswer { frame, permit });
                (bytes, &self.large_filled)
            }
            Some(frame) => {
                buffers.lane.extend_from_slice(&frame);
                (frame.len(), &self.lane_filled)
            }
            None => {
                let before = buffers.lane.len();
                answer.encode(&mut buffers.lane);
                (buffers.lane.len() - before, &self.lane_filled)
            }
        };
        self.bytes.fetch_add(bytes, Ordering::AcqRel);
        drop(buffers);
        filled.store(true, Ordering::Release);
    }
}

/// Whether an answer's frame might be too long for the lane.
fn may_be_large(response: &Response) -> bool {
    match response {
        Response::Map(body) => body.len() + HEAD > LANE_FRAME,
        answer => (answer.record()).is_some_and(|body| body.len() + HEAD > LANE_FRAME),
    }
}

fn encoded(answer: &ResponseFrame) -> Bytes {
    let mut out = BytesMut::new();
    answer.encode(&mut out);
    out.freeze()
}

impl fmt::Debug for AnswerOutbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnswerOutbox")
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

impl LaneSource for Arc<AnswerOutbox> {
    async fn next_lane(&self) -> Result<Option<Bytes>, StreamError> {
        Ok(self.take_lane().await)
    }

    fn written(&self, bytes: usize) {
        AnswerOutbox::written(self, bytes);
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use quoit_ring::wire::Frames;
    use quoit_ring::{Epoch, Time};

    use super::*;

    fn answer(id: u64, bytes: usize) -> ResponseFrame {
        let response = Response::Record(vec![7; bytes].into());
        ResponseFrame {
            id,
            epoch: Epoch(1),
            clock: Time(1),
            response,
        }
    }

    /// The result of `future` if it does not have to wait.
    fn now<T>(future: impl Future<Output = T>) -> Option<T> {
        let mut future = std::pin::pin!(future);
        match future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        }
    }

    #[test]
    fn answers_share_one_write_and_large_ones_travel_alone() {
        let output = AnswerOutbox::new();
        let answers = Arc::clone(&output);
        assert!(now(output.take_lane()).is_none());
        for (id, bytes) in [(1, 10), (2, LANE_FRAME), (3, 20)] {
            answers.push(&answer(id, bytes));
        }
        answers.flush();
        let mut frames = Frames::new(LANE_FRAME);
        frames.push(&now(output.take_lane()).unwrap().unwrap());
        for id in [1, 3] {
            let frame = ResponseFrame::decode(frames.next().unwrap().unwrap()).unwrap();
            assert_eq!(frame.id, id);
        }
        assert!(frames.is_empty());
        let large = now(output.next_large()).unwrap().unwrap();
        let decoded = ResponseFrame::decode(large.frame.slice(4..));
        assert_eq!(decoded.unwrap().id, 2);
    }

    #[test]
    fn the_longest_frame_for_the_lane_is_exactly_as_long_as_its_reader_allows() {
        for bytes in LANE_FRAME - 600..LANE_FRAME {
            let output = AnswerOutbox::new();
            Arc::clone(&output).push(&answer(1, bytes));
            let Some(Some(written)) = now(output.take_lane()) else {
                continue;
            };
            assert!(written.len() <= LANE_FRAME);
            let mut frames = Frames::new(LANE_FRAME);
            frames.push(&written);
            assert!(frames.next().unwrap().is_some());
        }
    }

    #[test]
    fn a_full_outbox_may_be_filled_again_once_it_is_written() {
        let output = AnswerOutbox::new();
        let answers = Arc::clone(&output);
        let mut sent = 0;
        while !output.is_full() {
            sent += 1;
            answers.push(&answer(sent, 1 << 20));
        }
        assert_eq!(sent, 2);
        let mut drained = std::pin::pin!(output.drained());
        let mut context = Context::from_waker(Waker::noop());
        assert!(drained.as_mut().poll(&mut context).is_pending());
        let written = now(output.next_large()).unwrap().unwrap();
        output.written(written.frame.len());
        assert!(drained.as_mut().poll(&mut context).is_ready());
    }

    #[test]
    fn a_finished_outbox_ends_once_it_is_empty() {
        let output = AnswerOutbox::new();
        Arc::clone(&output).push(&answer(1, 10));
        output.finish();
        assert!(matches!(now(output.take_lane()), Some(Some(_))));
        assert!(matches!(now(output.take_lane()), Some(None)));
        assert!(matches!(now(output.next_large()), Some(None)));
    }
}
