//! Large frames: each on a stream of its own, so that small requests never wait behind them.
//!
//! ```text
//!   stream = one frame, length field included, and nothing behind it
//! ```
//!
//! One at a time in either direction: that bounds the memory of a connection to one large frame beside its
//! windows, and costs no speed, since the next stream's bytes gather in its window meanwhile. A frame is
//! written in pieces with a pause after each, and below the lane's priority: what blocks others is the event
//! loop, and a piece is how long it blocks.
//!
//! A frame longer than this node handles, though no longer than any may be, is no fault of a peer whose node is
//! configured otherwise: it is refused by name, its bytes are passed over, and the connection lives on. (Stopping
//! its stream would do as well, but looks to its sender like a connection gone wrong.) Memory is taken as bytes
//! come, not as they are announced.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use quinn::{Connection, ReadError, ReadExactError, RecvStream, SendStream};
use quoit_ring::wire::{MAX_FRAME, Refusal};

use super::connection::{End, FRAME_DEADLINE, delivered};
use super::output::{Answers, Output};
use crate::engine::Engine;
use crate::env::Env;
use crate::handlers::Session;

/// Bytes written before others get their turn.
const PIECE: usize = 64 << 10;
/// Bytes of the length field.
const LENGTH: usize = 4;
/// Bytes from behind the length to the end of the id: kind, version, id.
const TO_ID: usize = 10;
/// Bytes of kind and version.
const BEFORE_ID: usize = 2;
/// The lane has priority 0.
const PRIORITY: i32 = -1;

/// Reads frames of at most `max` bytes and has them handled, until the connection ends.
pub(super) async fn read<E: Env<Reply = Answers>, G: Engine>(
    connection: Connection,
    mut session: Session<E, G>,
    output: Arc<Output>,
    max: usize,
) -> End {
    loop {
        let Ok(mut stream) = connection.accept_uni().await else {
            return End::Gone;
        };
        let began = session.replica().env().now().mono;
        let incoming = match read_frame(&mut stream, max).await {
            Ok(incoming) => incoming,
            Err(end) => return end,
        };
        let now = session.replica().env().now();
        match incoming {
            Incoming::Frame(frame) => {
                // Its budget was written with its first bytes.
                let waited = now.mono.saturating_since(began);
                if let Err(error) = session.handle_after(waited, frame, now) {
                    return End::Malformed(error.to_string());
                }
            }
            Incoming::TooLarge { id, bytes } => {
                session.refuse(id, too_large(bytes, max), now);
                session.submit(now);
                if let Err(end) = pass_over(&mut stream, bytes.saturating_sub(TO_ID)).await {
                    return end;
                }
            }
        }
        session.submit(now);
        output.room().await;
    }
}

/// What a stream carries.
enum Incoming {
    /// Its frame, without its length field.
    Frame(Bytes),
    /// A frame that is of no use, read up to its id.
    TooLarge { id: u64, bytes: usize },
}

/// The one frame of a stream.
async fn read_frame(stream: &mut RecvStream, max: usize) -> Result<Incoming, End> {
    let length = in_time(FRAME_DEADLINE, read_length(stream)).await?;
    if length > MAX_FRAME {
        return Err(End::Malformed(format!(
            "a frame of {length} bytes; {MAX_FRAME} are the most there can be"
        )));
    }
    if length > max {
        let id = in_time(FRAME_DEADLINE, read_id(stream)).await?;
        return Ok(Incoming::TooLarge { id, bytes: length });
    }
    let mut frame = buffer_for(length);
    read_body(stream, length, |piece| frame.extend_from_slice(piece)).await?;
    Ok(Incoming::Frame(frame.freeze()))
}

/// What a frame of `length` bytes is read into: grows with what comes.
fn buffer_for(length: usize) -> BytesMut {
    BytesMut::with_capacity(length.min(PIECE))
}

/// Reads the rest of a frame, and keeps nothing of it.
async fn pass_over(stream: &mut RecvStream, length: usize) -> Result<(), End> {
    read_body(stream, length, |_piece| ()).await
}

async fn read_length(stream: &mut RecvStream) -> Result<usize, End> {
    let length: [u8; LENGTH] = read_array(stream).await?;
    Ok(usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX))
}

async fn read_id(stream: &mut RecvStream) -> Result<u64, End> {
    let head: [u8; TO_ID] = read_array(stream).await?;
    let mut head = &head[..];
    head.advance(BEFORE_ID);
    Ok(head.get_u64_le())
}

async fn read_array<const N: usize>(stream: &mut RecvStream) -> Result<[u8; N], End> {
    let mut array = [0; N];
    match stream.read_exact(&mut array).await {
        Ok(()) => Ok(array),
        Err(ReadExactError::FinishedEarly(_)) => Err(cut_off()),
        Err(ReadExactError::ReadError(error)) => Err(end_of(&error)),
    }
}

fn too_large(bytes: usize, max: usize) -> Refusal {
    let [bytes, max] = [bytes, max].map(|n| u64::try_from(n).unwrap_or(u64::MAX));
    Refusal::RecordTooLarge { bytes, max }
}

/// Reads the last `length` bytes of a stream, in the time that so many may take.
async fn read_body(
    stream: &mut RecvStream,
    length: usize,
    mut take: impl FnMut(&[u8]),
) -> Result<(), End> {
    let reading = async {
        let mut left = length;
        loop {
            match stream.read_chunk(PIECE, true).await {
                Ok(Some(chunk)) if chunk.bytes.len() <= left => {
                    left -= chunk.bytes.len();
                    take(&chunk.bytes);
                }
                Ok(Some(_)) => {
                    return Err(End::Malformed("bytes behind a large frame".to_owned()));
                }
                Ok(None) if left == 0 => return Ok(()),
                Ok(None) => return Err(cut_off()),
                Err(error) => return Err(end_of(&error)),
            }
        }
    };
    let megabytes = u32::try_from(length >> 20).unwrap_or(u32::MAX);
    in_time(FRAME_DEADLINE.saturating_mul(1 + megabytes), reading).await
}

/// Waits for `reading`, but no longer than `deadline`.
async fn in_time<T>(
    deadline: Duration,
    reading: impl Future<Output = Result<T, End>>,
) -> Result<T, End> {
    let slow = || End::Malformed("a frame came too slowly".to_owned());
    tokio::time::timeout(deadline, reading)
        .await
        .map_err(|_elapsed| slow())?
}

fn end_of(error: &ReadError) -> End {
    match error {
        ReadError::Reset(_) => cut_off(),
        _ => End::Gone,
    }
}

fn cut_off() -> End {
    End::Malformed("a stream ended inside a frame".to_owned())
}

/// Writes large answers until no more are to come and the peer has them all.
pub(super) async fn write(connection: Connection, output: Arc<Output>) -> End {
    let mut last = None;
    while let Some(frame) = output.next_large().await {
        let Ok(mut stream) = connection.open_uni().await else {
            return End::Gone;
        };
        let bytes = frame.len();
        write_frame(&mut stream, frame).await;
        last = Some(stream.stopped());
        output.written(bytes);
    }
    match last {
        Some(last) => delivered(last).await,
        None => End::Delivered,
    }
}

/// Writes one frame; a peer that no longer wants it is no error.
async fn write_frame(stream: &mut SendStream, mut frame: Bytes) {
    if stream.set_priority(PRIORITY).is_err() {
        return;
    }
    while !frame.is_empty() {
        let piece = frame.split_to(PIECE.min(frame.len()));
        if stream.write_chunk(piece).await.is_err() {
            return;
        }
        tokio::task::yield_now().await;
    }
    if let Err(error) = stream.finish() {
        tracing::trace!(%error, "a large answer was not wanted any more");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_announced_frame_takes_no_memory_before_its_bytes_come() {
        assert!(
            buffer_for(10).capacity() >= 10,
            "a short one is read into one piece"
        );
        assert!(buffer_for(MAX_FRAME).capacity() <= PIECE);
    }
}
