//! Bodies, in both directions, and the memory that they take.
//!
//! ```text
//!   request   length known: memory taken, then read     unknown: memory for the longest, then read
//!   answer    memory taken, then handed out in pieces   given back when the connection has the last one
//! ```
//!
//! So a peer that sends slowly, or does not read, holds no more than was set aside for it, and only as long as the
//! listener's timeouts let it.

use core::pin::Pin;
use core::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_LENGTH;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use hyper::body::{Frame, SizeHint};

use crate::budget::Permit;
use crate::failure::{Failure, Kind};
use crate::store::Store;

/// Bytes of an answer that the connection gets at a time.
const PIECE: usize = 64 << 10;

/// A body that was read, with its memory.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) bytes: Bytes,
    _memory: Permit,
}

/// Reads a body of at most `max` bytes within `time`.
///
/// # Errors
/// It is too long, too slow or broken, or there is no memory for it. The rest is not read.
pub(crate) async fn receive(
    store: &Store,
    headers: &HeaderMap,
    body: Body,
    max: usize,
    time: Duration,
) -> Result<Received, Failure> {
    let promised = headers.get(CONTENT_LENGTH).and_then(|value| {
        let text = value.to_str().ok()?;
        text.parse::<usize>().ok()
    });
    if promised.is_some_and(|bytes| bytes > max) {
        return Err(too_long(max));
    }
    let memory = store.memory(promised.unwrap_or(max))?;
    let slow = |_elapsed| Failure::new(Kind::SlowBody, "the body did not arrive in time");
    let bytes = tokio::time::timeout(time, collect(body, max))
        .await
        .map_err(slow)??;
    Ok(Received {
        bytes,
        _memory: memory,
    })
}

async fn collect(body: Body, max: usize) -> Result<Bytes, Failure> {
    let mut pieces = body.into_data_stream();
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(piece) = pieces.next().await {
        let piece = piece
            .map_err(|error| Failure::new(Kind::BadBody, format!("the body broke off: {error}")))?;
        if first.len() + all.len() + piece.len() > max {
            return Err(too_long(max));
        }
        // Most bodies come in one piece, which need not be copied.
        if first.is_empty() && all.is_empty() {
            first = piece;
            continue;
        }
        all.extend_from_slice(&std::mem::take(&mut first));
        all.extend_from_slice(&piece);
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}

fn too_long(max: usize) -> Failure {
    let what = format!("the body has more than {max} bytes");
    Failure::new(Kind::ValueTooLarge, what)
        .advice("split the value, or raise `--max-value` here and `max_value_bytes` of the nodes")
}

/// An answer's body that gives its memory back once it is sent.
struct Sent {
    rest: Bytes,
    _memory: Permit,
}

/// The body of an answer.
///
/// # Errors
/// There is no memory for it.
pub(crate) fn answer(store: &Store, bytes: Bytes) -> Result<Body, Failure> {
    let memory = store.memory(bytes.len())?;
    Ok(Body::new(Sent {
        rest: bytes,
        _memory: memory,
    }))
}

impl hyper::body::Body for Sent {
    type Data = Bytes;
    type Error = core::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let piece = self.rest.len().min(PIECE);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}
