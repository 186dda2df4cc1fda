//! Large frames: each on a stream of its own, so that small requests never wait behind them.
//!
//! ```text
//!   stream = one frame, length field included, and nothing behind it
//! ```
//!
//! A frame is written in pieces, yielding after each, with a lower priority than the lane's: other tasks of the event loop
//! wait for one piece at most.
//!
//! A frame longer than its reader handles, though no longer than any may be, is not an error: its sender may be
//! configured differently. The reader learns its id, can refuse that request, and passes its bytes over. (Stopping its
//! stream would also work, but looks to its sender like a broken connection.) Memory is taken as bytes come, not as they are announced.

use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use quinn::{Connection, RecvStream, SendStream};
use quoit_ring::wire::MAX_FRAME;
use tokio::time::timeout;

use crate::StreamError;

/// Bytes that are read or written before other tasks get their turn.
pub const PIECE: usize = 64 << 10;

/// Bytes of the length field.
const LENGTH: usize = 4;
/// Bytes from behind the length to the end of the id: kind, version, id.
const TO_ID: usize = 10;
/// Bytes of kind and version.
const BEFORE_ID: usize = 2;
/// How such a stream is named in errors.
const NAME: &str = "a stream";

/// What a stream carries.
#[derive(Debug, PartialEq, Eq)]
pub enum Large {
    /// Its frame, without its length field.
    Frame(Bytes),
    /// A frame of more bytes than are handled here, read up to its id; [`pass_over`] reads the rest.
    TooLong {
        /// The frame's id.
        id: u64,
        /// Its length, by its length field.
        bytes: usize,
    },
}

/// Reads the one frame of a stream, up to the stream's end, if it has at most `max` bytes. Takes up to `deadline` for
/// the length and again for each MiB that has begun: [`FRAME_DEADLINE`](crate::lane::FRAME_DEADLINE) where strangers
/// may connect, `None` for who dialled, whose requests have deadlines of their own. Not cancel safe.
///
/// # Errors
/// [`StreamError`]: the stream ended inside the frame or went on behind it, the frame is longer than any may be or came
/// too slowly, or the connection is lost.
pub async fn read(
    stream: &mut RecvStream,
    max: usize,
    deadline: Option<Duration>,
) -> Result<Large, StreamError> {
    debug_assert!(
        max >= TO_ID,
        "a frame too long to handle has an id to refuse"
    );
    read_if(stream, |bytes| bytes <= max, deadline).await
}

/// The same for a frame that `admits` lets in by its length, before any of it is kept; it lets in all that are shorter
/// than a head. Any other is [`Large::TooLong`].
///
/// # Errors
/// As [`read`].
pub async fn read_if(
    stream: &mut RecvStream,
    admits: impl FnOnce(usize) -> bool,
    deadline: Option<Duration>,
) -> Result<Large, StreamError> {
    let length = in_time(0, deadline, read_length(stream)).await?;
    if length > MAX_FRAME {
        return Err(StreamError::TooLong { bytes: length });
    }
    if !admits(length) {
        let id = in_time(0, deadline, read_id(stream)).await?;
        return Ok(Large::TooLong { id, bytes: length });
    }

    let mut frame = buffer_for(length);
    let keep = |piece: &[u8]| frame.extend_from_slice(piece);
    read_body(stream, (length, deadline), keep).await?;
    debug_assert_eq!(frame.len(), length, "a body is read whole or not at all");
    Ok(Large::Frame(frame.freeze()))
}

/// Reads the rest of a frame of `bytes` bytes that is too long, and keeps nothing of it. It has the time that [`read`]
/// would give it.
///
/// # Errors
/// As [`read`].
pub async fn pass_over(
    stream: &mut RecvStream,
    bytes: usize,
    deadline: Option<Duration>,
) -> Result<(), StreamError> {
    let rest = bytes.saturating_sub(TO_ID);
    read_body(stream, (rest, deadline), |_piece| ()).await
}

/// Writes one whole frame, its length field included, on a stream of its own, and ends the stream. Waits while the
/// other side permits no more streams or bytes. Returns when the transport has all of it;
/// [`acknowledged`](crate::lane::acknowledged) waits for its arrival.
///
/// # Errors
/// [`StreamError::Lost`], or [`StreamError::Refused`] if the other side does not want it.
pub async fn write(connection: &Connection, mut frame: Bytes) -> Result<SendStream, StreamError> {
    let mut stream = connection.open_uni().await?;
    while !frame.is_empty() {
        let piece = frame.split_to(PIECE.min(frame.len()));
        stream.write_chunk(piece).await?;
        tokio::task::yield_now().await;
    }
    stream.finish()?;
    Ok(stream)
}

/// The buffer for a frame of `length` bytes; it grows with what comes.
fn buffer_for(length: usize) -> BytesMut {
    BytesMut::with_capacity(length.min(PIECE))
}

async fn read_length(stream: &mut RecvStream) -> Result<usize, StreamError> {
    let length: [u8; LENGTH] = read_array(stream).await?;
    Ok(usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX))
}

async fn read_id(stream: &mut RecvStream) -> Result<u64, StreamError> {
    let head: [u8; TO_ID] = read_array(stream).await?;
    let mut head = &head[..];
    head.advance(BEFORE_ID);
    Ok(head.get_u64_le())
}

async fn read_array<const N: usize>(stream: &mut RecvStream) -> Result<[u8; N], StreamError> {
    let mut array = [0; N];
    match stream.read_exact(&mut array).await {
        Ok(()) => Ok(array),
        Err(error) => Err(cut(StreamError::reading_exactly(NAME, error))),
    }
}

/// Reads the last `length` bytes of a stream, in the time that so many may take.
async fn read_body(
    stream: &mut RecvStream,
    (length, deadline): (usize, Option<Duration>),
    mut take: impl FnMut(&[u8]),
) -> Result<(), StreamError> {
    let reading = async {
        let mut left = length;
        loop {
            match stream.read_chunk(PIECE, true).await {
                Ok(Some(chunk)) if chunk.bytes.len() <= left => {
                    left -= chunk.bytes.len();
                    take(&chunk.bytes);
                }
                Ok(Some(_)) => return Err(StreamError::Trailing),
                Ok(None) if left == 0 => return Ok(()),
                Ok(None) => return Err(StreamError::CutShort(NAME)),
                Err(error) => return Err(cut(StreamError::reading(NAME, error))),
            }
        }
    };
    in_time(length, deadline, reading).await
}

/// A sender that resets a stream has cut its frame short.
fn cut(error: StreamError) -> StreamError {
    match error {
        StreamError::Reset(name) => StreamError::CutShort(name),
        other => other,
    }
}

/// Waits for `reading` as long as `bytes` bytes may take.
async fn in_time<T>(
    bytes: usize,
    deadline: Option<Duration>,
    reading: impl Future<Output = Result<T, StreamError>>,
) -> Result<T, StreamError> {
    let Some(deadline) = deadline else {
        return reading.await;
    };
    let megabytes = u32::try_from(bytes >> 20).unwrap_or(u32::MAX);
    timeout(
        deadline.saturating_mul(megabytes.saturating_add(1)),
        reading,
    )
    .await
    .map_err(|_elapsed| StreamError::TooSlow)?
}

#[cfg(test)]
mod tests;
