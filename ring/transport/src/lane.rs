//! The lane: the one stream of a connection on which all small frames travel, both ways.
//!
//! ```text
//!   open:    preface, then frames          accept: the preface must come first, within ten seconds
//!   read:    up to 64 chunks at once --> cut into frames
//!   write:   all that waits in one write
//! ```
//!
//! Many frames share one packet, one read and one write; that is worth several times the requests per second of a
//! stream for each.
//!
//! The preface makes the lane exist on the other side: QUIC announces a stream with its first bytes, and a dialler whose
//! first frames are all large would otherwise have none for its answers. A lane that ends inside a frame is an error.
//! At the side that was dialled, so is a frame that does not become whole within [`FRAME_DEADLINE`]: a byte now and then
//! buys no time.

use std::time::Duration;

use bytes::Bytes;
use quinn::{Connection, RecvStream, SendStream};
use quoit_ring::wire::{Frames, LANE_FRAME};
use tokio::time::{Instant, timeout};

use crate::StreamError;
use crate::outbox::LaneSource;

/// The first bytes that a dialler writes on the lane. Read as a frame's length they are over every bound, so that
/// nothing can take them for one.
pub const PREFACE: [u8; 4] = *b"lane";
/// How long a frame may take from its first byte to its last (per MiB, if it is large), and a lane to be opened: ten
/// seconds. This crate's own tests don't wait as long.
pub const FRAME_DEADLINE: Duration = Duration::from_millis(if cfg!(test) { 300 } else { 10_000 });

/// The lane's priority; streams of large frames have 0.
const PRIORITY: i32 = 1;
/// Packets' worth of bytes that one read takes: 256 KiB and more once packets are long.
const CHUNKS: usize = 64;
/// How the lane is named in errors.
const NAME: &str = "the lane";

/// Both halves of a lane.
#[derive(Debug)]
pub struct Lane {
    /// Where frames are written.
    pub send: SendStream,
    /// Where frames come from.
    pub receive: RecvStream,
}

impl Lane {
    /// Opens the lane of a connection that this side dialled and writes the [`PREFACE`]. Do this first on every
    /// connection: its acceptor reads nothing before, and closes it after [`FRAME_DEADLINE`].
    ///
    /// # Errors
    /// [`StreamError::Lost`] if the connection is gone, [`StreamError::Refused`] if the acceptor stops the stream.
    pub async fn open(connection: &Connection) -> Result<Self, StreamError> {
        let (mut send, receive) = connection.open_bi().await?;
        send.set_priority(PRIORITY)?;
        send.write_chunk(Bytes::from_static(&PREFACE)).await?;
        Ok(Self { send, receive })
    }

    /// Waits until the dialler has opened the lane and its preface has come.
    ///
    /// # Errors
    /// [`StreamError::NoLane`] after [`FRAME_DEADLINE`], [`StreamError::NoPreface`] if it begins with other bytes,
    /// [`StreamError::CutShort`] or [`StreamError::Reset`] if it ends within them, [`StreamError::Lost`]. Close the
    /// connection unless it is lost.
    pub async fn accept(connection: &Connection) -> Result<Self, StreamError> {
        let accepting = async {
            let (send, mut receive) = connection.accept_bi().await?;
            let mut preface = [0; PREFACE.len()];
            receive
                .read_exact(&mut preface)
                .await
                .map_err(|error| StreamError::reading_exactly(NAME, error))?;
            if preface != PREFACE {
                return Err(StreamError::NoPreface);
            }
            send.set_priority(PRIORITY)?;
            Ok(Self { send, receive })
        };
        let in_time = timeout(FRAME_DEADLINE, accepting).await;
        in_time.map_err(|_elapsed| StreamError::NoLane)?
    }
}

/// Cuts what comes on a lane into frames.
#[derive(Debug)]
pub struct LaneReader {
    stream: RecvStream,
    frames: Frames,
    chunks: [Bytes; CHUNKS],
    /// Bytes in `frames` after the last read: fewer now means that frames were taken since.
    held: usize,
    /// Since when the first frame has been incomplete.
    partial_since: Option<Instant>,
    frame_deadline: Option<Duration>,
}

impl LaneReader {
    /// A reader of a lane behind its preface. A frame must become whole within `frame_deadline`: [`FRAME_DEADLINE`] where
    /// strangers may connect, `None` for who dialled, whose requests have deadlines of their own.
    #[must_use]
    pub fn new(stream: RecvStream, frame_deadline: Option<Duration>) -> Self {
        Self {
            stream,
            frames: Frames::new(LANE_FRAME),
            chunks: [const { Bytes::new() }; CHUNKS],
            held: 0,
            partial_since: None,
            frame_deadline,
        }
    }

    /// What was read and not yet taken. A frame's length is checked against the lane's bound when it is taken. Take all
    /// whole frames before the next [`LaneReader::read`].
    pub const fn frames(&mut self) -> &mut Frames {
        &mut self.frames
    }

    /// Waits for bytes; false once the lane has ended between two frames. At most 64 packets' worth is taken at once.
    /// Cancel safe.
    ///
    /// # Errors
    /// [`StreamError::CutShort`], [`StreamError::TooSlow`], [`StreamError::Reset`] or [`StreamError::Lost`]; the
    /// connection is of no more use.
    pub async fn read(&mut self) -> Result<bool, StreamError> {
        let deadline = self.next_deadline();
        let reading = self.stream.read_chunks(&mut self.chunks);

        let read = match deadline {
            None => reading.await,
            Some(deadline) => tokio::time::timeout_at(deadline, reading)
                .await
                .map_err(|_elapsed| StreamError::TooSlow)?,
        };
        let Some(count) = read.map_err(|error| StreamError::reading(NAME, error))? else {
            return if self.frames.is_empty() {
                Ok(false)
            } else {
                Err(StreamError::CutShort(NAME))
            };
        };

        for chunk in self.chunks.iter_mut().take(count) {
            self.frames.push(&core::mem::take(chunk));
        }
        self.held = self.frames.len();
        Ok(true)
    }

    /// Until when the frame that has begun must be whole.
    fn next_deadline(&mut self) -> Option<Instant> {
        let allowed = self.frame_deadline?;
        let taken = self.frames.len() < self.held;
        self.held = self.frames.len();
        if self.frames.is_empty() {
            self.partial_since = None;
        } else if taken || self.partial_since.is_none() {
            self.partial_since = Some(Instant::now());
        }
        self.partial_since.map(|since| since + allowed)
    }
}

/// Writes what `source` gives, one batch at a time, and ends the lane once no more will come. Not cancel safe: a frame
/// may be written in part.
///
/// # Errors
/// [`StreamError::Lost`] or [`StreamError::Refused`], and what the source says.
pub async fn write(stream: &mut SendStream, source: &impl LaneSource) -> Result<(), StreamError> {
    while let Some(frames) = source.next_lane().await? {
        let bytes = frames.len();
        stream.write_chunk(frames).await?;
        source.written(bytes);
    }
    stream.finish()?;
    Ok(())
}

/// Waits until the other side has received all of a finished stream. No deadline. Cancel safe.
///
/// # Errors
/// [`StreamError::Lost`], or [`StreamError::Refused`] if it does not want it.
pub async fn acknowledged(stream: &SendStream) -> Result<(), StreamError> {
    StreamError::stopped(stream.stopped().await)
}

#[cfg(test)]
mod tests;
