//! All streams of a connection that this side dialled, until it ends.
//!
//! ```text
//!   task          from            to
//!   write_lane    outbox          lane, one write for all that waits
//!   read_lane     lane            sink, all that has come in one call
//!   write_large   outbox          a stream per frame, 64 KiB a piece
//!   read_large    a stream each   sink
//! ```
//!
//! Large frames are kept from starving small ones twice: their streams have the lower priority, and what is written of
//! them and not yet acknowledged stays a stream's window below the connection's, so that the lane always has its share.
//!
//! Runs inside a [`tokio::task::LocalSet`]: outbox and sink belong to one thread.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use quinn::{Connection, ConnectionError};
use quoit_ring::wire::{DecodeError, Frames, LANE_FRAME, Refusal, Response, ResponseFrame};
use quoit_ring::{Epoch, Time};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};

use crate::lane::{self, Lane, LaneReader, acknowledged};
use crate::large::{self, Large};
use crate::outbox::{LaneSource, Queued, RequestOutbox, Take};
use crate::quic::{SERVER_STREAM_WINDOW, Side};
use crate::silence::silent;
use crate::{CloseCode, StreamError};

/// Bytes of large frames that may be unacknowledged: the windows of their streams. One more window is left to the lane.
const LARGE_UNACKED: u32 = Side::Server.large_streams() * SERVER_STREAM_WINDOW;
/// How long what is written may take to arrive before a connection that is no longer needed is closed.
const FLUSH: Duration = Duration::from_secs(1);
/// How often the close is checked to have been sent, and how many times.
const CLOSE_POLL: (Duration, u32) = (Duration::from_millis(1), 20);

/// Takes the frames that the other end sends. A session calls it from its own tasks, all on one thread.
pub trait FrameSink: Clone + 'static {
    /// Takes every whole frame out of `frames`.
    ///
    /// # Errors
    /// A frame cannot be read: the connection is closed as malformed.
    fn frames(&self, frames: &mut Frames) -> Result<(), DecodeError>;

    /// Takes one frame that came on a stream of its own, without its length field.
    ///
    /// # Errors
    /// The frame cannot be read: the connection is closed as malformed.
    fn frame(&self, frame: Bytes) -> Result<(), DecodeError>;
}

/// The bounds of a session.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Most bytes of a large frame that is taken; a longer one is passed over, see [`run`]. As many may arrive at once
    /// as [`Side::large_streams`](crate::quic::Side::large_streams) says; the lane's frames have their own bound.
    pub max_frame: usize,
    /// Looks without a datagram after which the other end is given up, see [`silence`](crate::silence):
    /// [`CLIENT_LOOKS`](crate::silence::CLIENT_LOOKS) or [`PEER_LOOKS`](crate::silence::PEER_LOOKS).
    pub silent_looks: u32,
}

/// Why a session is over.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// All was written, and [`RequestOutbox::finish`] said that no more will come.
    #[error("it is no longer needed")]
    Finished,
    /// The other side ended the lane between two frames.
    #[error("the node is stopping")]
    Leaving,
    /// Nothing has come for a while although something was sent.
    #[error("the node has fallen silent")]
    Silent,
    /// A stream broke.
    #[error(transparent)]
    Broken(#[from] StreamError),
}

impl From<ConnectionError> for Ended {
    fn from(error: ConnectionError) -> Self {
        Self::Broken(StreamError::Lost(error))
    }
}

impl From<DecodeError> for Ended {
    fn from(error: DecodeError) -> Self {
        Self::Broken(StreamError::Malformed(error))
    }
}

/// Moves frames between `outbox`, `sink` and the connection until one of the reasons in [`Ended`], then closes the
/// connection: as [`CloseCode::Malformed`] if the other end broke the protocol, else as [`CloseCode::Done`]. No task of
/// the session is left when it returns. Dropped earlier, it stops its tasks and leaves the closing to the last handle.
///
/// The caller calls [`RequestOutbox::open`] before and [`RequestOutbox::close`] after. Two kinds of requests are answered
/// here: one whose time is over before it is written, as [`Refusal::Expired`], and one whose answer is longer than
/// [`Limits::max_frame`], as [`Refusal::RecordTooLarge`]; the other end may be configured for more. What was written and
/// has no answer when the session ends stays without one.
///
/// # Panics
/// If `sink` panics in one of the session's tasks.
pub async fn run<S: FrameSink>(
    connection: &Connection,
    lane: Lane,
    outbox: &Rc<RequestOutbox>,
    sink: &S,
    limits: Limits,
) -> Ended {
    let Lane { send, receive } = lane;
    let feed = || Feed {
        outbox: Rc::clone(outbox),
        sink: sink.clone(),
    };
    let mut tasks = JoinSet::new();
    tasks.spawn_local(read_lane(sink.clone(), LaneReader::new(receive, None)));
    tasks.spawn_local(write_lane(feed(), send));
    tasks.spawn_local(write_large(feed(), connection.clone()));
    tasks.spawn_local(read_large(
        sink.clone(),
        connection.clone(),
        limits.max_frame,
    ));

    let ended = tokio::select! {
        biased;
        ended = last(connection, &mut tasks) => ended,
        () = outbox.overflowed() => StreamError::Overflowed.into(),
        () = silent(connection, limits.silent_looks) => Ended::Silent,
        () = flushed_late(outbox) => Ended::Finished,
    };
    let ended = if outbox.is_finished() {
        Ended::Finished
    } else {
        ended
    };
    close(connection, &ended).await;
    tasks.shutdown().await;
    ended
}

/// Waits for the first task that fails, or for both writers to have written all. A node that is
/// leaving closes the connection itself once it has sent its last large answers.
async fn last(connection: &Connection, tasks: &mut JoinSet<Result<(), Ended>>) -> Ended {
    let mut writers = 2;
    while let Some(done) = tasks.join_next().await {
        match joined(done) {
            Ok(()) if writers > 1 => writers -= 1,
            Ok(()) => break,
            Err(Ended::Leaving) => {
                let closed = timeout(FLUSH, connection.closed()).await;
                return closed.map_or(Ended::Leaving, Ended::from);
            }
            Err(ended) => return ended,
        }
    }
    Ended::Finished
}

/// Resolves when the connection is no longer needed and its last frames had time enough to arrive.
async fn flushed_late(outbox: &RequestOutbox) {
    outbox.finished().await;
    sleep(FLUSH).await;
}

/// Closes a connection, and waits a moment until the close has been sent.
async fn close(connection: &Connection, ended: &Ended) {
    let code = match ended {
        Ended::Finished | Ended::Leaving | Ended::Silent => CloseCode::Done,
        Ended::Broken(StreamError::Lost(_) | StreamError::Overflowed) => CloseCode::Done,
        Ended::Broken(_) => CloseCode::Malformed,
    };
    connection.close(code.code(), b"");

    let (pause, times) = CLOSE_POLL;
    for _ in 0..times {
        if connection.stats().frame_tx.connection_close > 0 {
            return;
        }
        sleep(pause).await;
    }
}

/// What the two writers write, and where they report requests whose time is over.
struct Feed<S> {
    outbox: Rc<RequestOutbox>,
    sink: S,
}

impl<S: FrameSink> Feed<S> {
    /// Answers requests that were never sent because their time was over, as the node would have: refused, and surely
    /// not begun. So the requester's count of what the node still owes stays right.
    fn expired(&self, ids: &[u64]) -> Result<(), DecodeError> {
        refuse(&self.sink, ids, Refusal::Expired)
    }
}

/// Answers requests in place of the other end. A sink that cannot take the answer ends the session: its requests would
/// otherwise stay unanswered for ever.
fn refuse(sink: &impl FrameSink, ids: &[u64], refusal: Refusal) -> Result<(), DecodeError> {
    let mut bytes = BytesMut::new();
    for &id in ids {
        let frame = ResponseFrame {
            id,
            epoch: Epoch(0),
            clock: Time::ZERO,
            response: Response::Refused(refusal),
        };
        frame.encode(&mut bytes);
    }

    let mut frames = Frames::new(LANE_FRAME);
    frames.push(&bytes);
    sink.frames(&mut frames)
}

impl<S: FrameSink> LaneSource for Feed<S> {
    async fn next_lane(&self) -> Result<Option<Bytes>, StreamError> {
        loop {
            let batch = match self.outbox.take_lane().await {
                Take::Some(batch) => batch,
                Take::Overflowed => return Err(StreamError::Overflowed),
                Take::Finished => return Ok(None),
            };
            if !batch.expired.is_empty() {
                self.expired(&batch.expired)?;
            }
            if !batch.bytes.is_empty() {
                return Ok(Some(batch.bytes));
            }
        }
    }

    fn written(&self, _bytes: usize) {} // counted out when they were taken
}

/// Writes the lane; when no more will come on any stream, ends it and waits until the node has all of it.
async fn write_lane<S: FrameSink>(
    feed: Feed<S>,
    mut stream: quinn::SendStream,
) -> Result<(), Ended> {
    lane::write(&mut stream, &feed).await?;
    Ok(acknowledged(&stream).await?)
}

/// Hands frames on as they come, all of one read together. Ends only with the connection.
async fn read_lane<S: FrameSink>(sink: S, mut lane: LaneReader) -> Result<(), Ended> {
    while lane.read().await? {
        sink.frames(lane.frames())?;
    }
    Err(Ended::Leaving)
}

/// Gives each large frame a stream of its own. When no more will come and the node has all, the lane may end.
async fn write_large<S: FrameSink>(feed: Feed<S>, connection: Connection) -> Result<(), Ended> {
    let unacked = Arc::new(Semaphore::new(LARGE_UNACKED as usize));
    let mut writes = JoinSet::new();
    loop {
        let taken = tokio::select! {
            biased;
            Some(done) = writes.join_next() => {
                joined(done)?;
                continue;
            }
            taken = feed.outbox.take_large() => taken,
        };
        let frame = match taken {
            Take::Some(frame) => frame,
            Take::Overflowed => return Err(StreamError::Overflowed.into()),
            Take::Finished => break,
        };

        let bytes = u32::try_from(frame.bytes()).unwrap_or(u32::MAX);
        // One stream's window bounds how much of one frame can be unacknowledged.
        let wanted = Arc::clone(&unacked).acquire_many_owned(bytes.min(SERVER_STREAM_WINDOW));
        let Ok(permit) = wanted.await else { break };
        if frame.is_expired(feed.outbox.now()) {
            feed.expired(&[frame.id()])?;
        } else {
            let frame = (frame, Rc::clone(&feed.outbox));
            writes.spawn_local(write_one(connection.clone(), frame, permit));
        }
    }
    while let Some(done) = writes.join_next().await {
        joined(done)?;
    }
    feed.outbox.large_done();
    Ok(())
}

/// Writes one large frame. Once it has its turn it is written, whatever is left of its time: a stream without a whole
/// frame is an error, and a node does not begin what has no time left.
async fn write_one(
    connection: Connection,
    (frame, outbox): (Queued, Rc<RequestOutbox>),
    _unacked: OwnedSemaphorePermit,
) -> Result<(), Ended> {
    let bytes = frame.encoded(outbox.now());
    let stream = large::write(&connection, bytes).await?;
    Ok(acknowledged(&stream).await?)
}

/// Takes the node's large frames, each from a stream of its own. All streams are read at the same time: the client's
/// window depends on it, see [`Side`]. Ends only with the connection.
async fn read_large<S: FrameSink>(
    sink: S,
    connection: Connection,
    max_frame: usize,
) -> Result<(), Ended> {
    let mut reads = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            Some(done) = reads.join_next() => joined(done)?,
            stream = connection.accept_uni() => {
                reads.spawn_local(read_one(sink.clone(), stream?, max_frame));
            }
        }
    }
}

/// Reads the one frame of a stream. One that is longer than is handled here fails its request alone: its bytes are passed
/// over, and all other requests get their answers.
async fn read_one<S: FrameSink>(
    sink: S,
    mut stream: quinn::RecvStream,
    max_frame: usize,
) -> Result<(), Ended> {
    match large::read(&mut stream, max_frame, None).await? {
        Large::Frame(frame) => Ok(sink.frame(frame)?),
        Large::TooLong { id, bytes } => {
            let [size, max] = [bytes, max_frame].map(|n| u64::try_from(n).unwrap_or(u64::MAX));
            refuse(&sink, &[id], Refusal::RecordTooLarge { bytes: size, max })?;
            Ok(large::pass_over(&mut stream, bytes, None).await?)
        }
    }
}

/// The result of a task. A panic is carried on into the session; an aborted task counts as finished.
fn joined(done: Result<Result<(), Ended>, JoinError>) -> Result<(), Ended> {
    match done.map_err(JoinError::try_into_panic) {
        Ok(result) => result,
        Err(Ok(panic)) => std::panic::resume_unwind(panic),
        Err(Err(_given_up)) => Err(Ended::Finished),
    }
}

#[cfg(test)]
mod tests;
