//! The streams of one connection: the lane, and large frames beside it.
//!
//! ```text
//!   task          from            to
//!   write_lane    outbox          lane, one write for all that waits
//!   read_lane     lane            ears, all that has come in one call
//!   write_large   outbox          a stream per frame, 64 KiB a piece
//!   read_large    a stream each   ears
//! ```
//!
//! Large frames are kept from starving small ones twice: their streams have the lower priority, and what
//! is written of them and not yet acknowledged stays below half of the connection's windows, so that
//! the lane always has room.

use core::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use quinn::{
    ClosedStream, Connection, ConnectionError, ReadError, RecvStream, SendStream, WriteError,
};
use quoit_ring::wire::{DecodeError, Frames, LANE_FRAME, Refusal, Response, ResponseFrame};
use quoit_ring::{Epoch, NodeId, Time};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use super::Ears;
use super::outbox::{Outbox, Take};
use super::queued::Queued;
use super::quic::{Explained, STREAM_WINDOW};

/// Packets' worth of bytes that one read takes: 256 KiB and more once the MTU is known.
const READ_CHUNKS: usize = 64;
/// Bytes of a large frame written at once; then others have their turn.
const PIECE: usize = 64 << 10;
/// Bytes of large frames that may be unacknowledged, half of the peer's window and of this side's.
const LARGE_UNACKED: u32 = 4 << 20;
/// The lane's priority; other streams have 0.
pub(super) const LANE_PRIORITY: i32 = 1;

/// Why a connection is over.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    /// All was written and no more will come.
    #[error("it is no longer needed")]
    Finished,
    /// It was lost or closed.
    #[error("{}", Explained(.0))]
    Lost(#[from] ConnectionError),
    /// The node ended the lane between two frames: it is leaving.
    #[error("the node is stopping")]
    Leaving,
    /// The node ended or refused a stream where it must not.
    #[error("the node ended a stream {0}")]
    Cut(&'static str),
    /// The node sent what cannot be read.
    #[error("what the node sent cannot be read: {0}")]
    Malformed(#[from] DecodeError),
    /// Nothing has come from the node for a while although it was spoken to.
    #[error("the node has fallen silent")]
    Silent,
    /// More waits to be written than all operations under way can have asked for.
    #[error("the node has stopped reading")]
    Overflowed,
}

impl From<WriteError> for Ended {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::ConnectionLost(error) => Self::Lost(error),
            WriteError::Stopped(_) => Self::Cut("that was written to"),
            WriteError::ClosedStream | WriteError::ZeroRttRejected => Self::Cut("too early"),
        }
    }
}

impl From<ReadError> for Ended {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::ConnectionLost(error) => Self::Lost(error),
            ReadError::Reset(_) => Self::Cut("that was read from"),
            ReadError::ClosedStream
            | ReadError::IllegalOrderedRead
            | ReadError::ZeroRttRejected => Self::Cut("too early"),
        }
    }
}

impl From<ClosedStream> for Ended {
    fn from(_closed: ClosedStream) -> Self {
        Self::Cut("too early")
    }
}

/// Whose frames these are, and who hears them.
#[derive(Debug, Clone)]
pub(super) struct Hearing<E> {
    pub(super) node: NodeId,
    pub(super) ears: E,
    /// Set once anything that can be read has come.
    pub(super) heard: Rc<Cell<bool>>,
}

impl<E: Ears> Hearing<E> {
    fn frames(&self, frames: &mut Frames) -> Result<(), DecodeError> {
        self.ears.frames(self.node, frames)?;
        self.heard.set(true);
        Ok(())
    }

    /// Answers requests that were never sent since their time was over, as the node would have: refused and
    /// surely not begun. So whoever counts what the node owes counts right.
    fn expired(&self, ids: &[u64]) {
        let mut bytes = BytesMut::new();
        for &id in ids {
            let frame = ResponseFrame {
                id,
                epoch: Epoch(0),
                clock: Time::ZERO,
                response: Response::Refused(Refusal::Expired),
            };
            frame.encode(&mut bytes);
        }
        let mut frames = Frames::new(LANE_FRAME);
        frames.push(&bytes);
        let told = self.ears.frames(self.node, &mut frames);
        debug_assert!(told.is_ok(), "an answer made here can be read");
    }
}

/// Writes what the outbox gives, one batch at a time; when no more will come on any stream, ends the lane and
/// waits until the node has all of it.
pub(super) async fn write_lane<E: Ears>(
    hearing: Hearing<E>,
    outbox: Rc<Outbox>,
    mut lane: SendStream,
) -> Result<(), Ended> {
    loop {
        let batch = match outbox.take_lane().await {
            Take::Some(batch) => batch,
            Take::Overflowed => return Err(Ended::Overflowed),
            Take::Finished => break,
        };
        if !batch.expired.is_empty() {
            hearing.expired(&batch.expired);
        }
        if !batch.bytes.is_empty() {
            lane.write_chunk(batch.bytes).await?;
        }
    }
    lane.finish()?;
    acknowledged(&lane).await
}

/// Hands frames up as they come, all of one read together. Ends only with the connection.
pub(super) async fn read_lane<E: Ears>(
    hearing: Hearing<E>,
    mut lane: RecvStream,
) -> Result<(), Ended> {
    let mut frames = Frames::new(LANE_FRAME);
    let mut chunks: [Bytes; READ_CHUNKS] = [const { Bytes::new() }; READ_CHUNKS];
    while let Some(count) = lane.read_chunks(&mut chunks).await? {
        for chunk in chunks.iter_mut().take(count) {
            frames.push(&core::mem::take(chunk));
        }
        hearing.frames(&mut frames)?;
    }
    Err(if frames.is_empty() {
        Ended::Leaving
    } else {
        Ended::Cut("inside a frame")
    })
}

/// Gives each large frame a stream of its own.
pub(super) async fn write_large<E: Ears>(
    hearing: Hearing<E>,
    outbox: Rc<Outbox>,
    connection: Connection,
) -> Result<(), Ended> {
    let room = Arc::new(Semaphore::new(LARGE_UNACKED as usize));
    let mut writes = JoinSet::new();
    loop {
        let taken = tokio::select! {
            biased;
            Some(done) = writes.join_next() => {
                joined(done)?;
                continue;
            }
            taken = outbox.take_large() => taken,
        };
        let frame = match taken {
            Take::Some(frame) => frame,
            Take::Overflowed => return Err(Ended::Overflowed),
            Take::Finished => break,
        };
        let bytes = u32::try_from(frame.bytes()).unwrap_or(u32::MAX);
        // a stream's window bounds what is unacknowledged of one frame
        let wanted = Arc::clone(&room).acquire_many_owned(bytes.min(STREAM_WINDOW));
        let Ok(permit) = wanted.await else { break };
        let now = outbox.now();
        if frame.is_expired(now) {
            hearing.expired(&[frame.id()]);
        } else {
            let frame = (frame, Rc::clone(&outbox));
            writes.spawn_local(write_one(connection.clone(), frame, permit));
        }
    }
    while let Some(done) = writes.join_next().await {
        joined(done)?;
    }
    outbox.large_done();
    Ok(())
}

/// Writes one large frame. Once it has its stream it is written, whatever is left of its time: a stream without
/// a whole frame is an error, and a node does not begin what has no time left.
async fn write_one(
    connection: Connection,
    (frame, outbox): (Queued, Rc<Outbox>),
    _room: OwnedSemaphorePermit,
) -> Result<(), Ended> {
    let mut stream = connection.open_uni().await?;
    let mut frame = frame.encoded(outbox.now());
    while !frame.is_empty() {
        let piece = frame.split_to(frame.len().min(PIECE));
        stream.write_chunk(piece).await?;
        tokio::task::yield_now().await;
    }
    stream.finish()?;
    acknowledged(&stream).await
}

/// Waits until the node has everything that was written to a finished stream.
async fn acknowledged(stream: &SendStream) -> Result<(), Ended> {
    use quinn::StoppedError;
    match stream.stopped().await {
        Ok(None) => Ok(()),
        Ok(Some(_code)) => Err(Ended::Cut("that was written to")),
        Err(StoppedError::ConnectionLost(error)) => Err(Ended::Lost(error)),
        Err(StoppedError::ZeroRttRejected) => Err(Ended::Cut("too early")),
    }
}

/// Takes the node's large frames, each from a stream of its own. Ends only with the connection.
pub(super) async fn read_large<E: Ears>(
    hearing: Hearing<E>,
    connection: Connection,
    max_frame: usize,
) -> Result<(), Ended> {
    let mut reads = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            Some(done) = reads.join_next() => joined(done)?,
            stream = connection.accept_uni() => {
                reads.spawn_local(read_one(hearing.clone(), stream?, max_frame));
            }
        }
    }
}

/// Reads the one frame of a stream. It is handed up as soon as it is whole; nothing may follow it.
async fn read_one<E: Ears>(
    hearing: Hearing<E>,
    mut stream: RecvStream,
    max_frame: usize,
) -> Result<(), Ended> {
    let mut frames = Frames::new(max_frame);
    while let Some(chunk) = stream.read_chunk(PIECE, true).await? {
        frames.push(&chunk.bytes);
        hearing.frames(&mut frames)?;
    }
    if frames.is_empty() {
        Ok(())
    } else {
        Err(Ended::Cut("inside a frame"))
    }
}

/// What a task gave back. One that panicked takes its link along, one that was given up is over.
pub(super) fn joined(done: Result<Result<(), Ended>, tokio::task::JoinError>) -> Result<(), Ended> {
    match done.map_err(tokio::task::JoinError::try_into_panic) {
        Ok(result) => result,
        Err(Ok(panic)) => std::panic::resume_unwind(panic),
        Err(Err(_given_up)) => Err(Ended::Finished),
    }
}
