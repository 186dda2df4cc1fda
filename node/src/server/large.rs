//! The server's side of large frames: requests in, answers out, each on a stream of its own.
//!
//! One request is read at a time: that bounds the memory of a connection to one large frame beside its windows, and costs
//! no speed, since the next stream's bytes arrive in its window meanwhile. Answers are written one at a time, too, and
//! count as output until they are acknowledged: a client that leaves a packet of each unacknowledged makes the node keep
//! them all.
//!
//! A frame longer than one value needs takes memory that all clients share, see `oversize`; if there is none, it is refused
//! as overloaded, and its bytes are passed over.
//!
//! A record longer than this node handles is refused and its bytes are passed over: the peer is configured
//! differently, and its connection stays.

use std::sync::Arc;

use quinn::Connection;
use quoit_ring::wire::Refusal;
use quoit_transport::StreamError;
use quoit_transport::lane::{FRAME_DEADLINE, acknowledged};
use quoit_transport::large::{self, Large};
use quoit_transport::outbox::{AnswerOutbox, LargeAnswer};
use tokio::task::JoinSet;

use super::answers::Answers;
use super::end::{DELIVERY_DEADLINE, End};
use super::oversize::Oversize;
use crate::engine::Engine;
use crate::env::Env;
use crate::handlers::Session;

/// Reads frames of at most `max` bytes and handles them, until the connection ends.
pub(super) async fn read<E: Env<Reply = Answers>, G: Engine>(
    connection: Connection,
    mut session: Session<E, G>,
    outbox: Arc<AnswerOutbox>,
    (max, oversize): (usize, Option<Oversize>),
) -> End {
    loop {
        let Ok(mut stream) = connection.accept_uni().await else {
            return End::Gone;
        };
        let began = session.replica().env().now().mono;
        let mut memory = Ok(None);
        let admits = |bytes| {
            if let Some(oversize) = oversize.as_ref().filter(|_| bytes <= max) {
                memory = oversize.take(bytes);
            }
            bytes <= max && memory.is_ok()
        };
        let large = match large::read_if(&mut stream, admits, Some(FRAME_DEADLINE)).await {
            Ok(large) => large,
            Err(error) => return error.into(),
        };

        // No answer is added to a full outbox: with the lane's reader doing the same, at most one exceeds its bound.
        outbox.drained().await;
        let now = session.replica().env().now();
        match large {
            Large::Frame(frame) => {
                // Its budget was written with its first bytes.
                let waited = now.mono.saturating_since(began);
                if let Err(error) = session.handle_after(waited, frame, now) {
                    return End::Malformed(error.to_string());
                }
            }
            Large::TooLong { id, bytes } => {
                let refusal = memory.err().unwrap_or_else(|| too_large(bytes, max));
                session.refuse(id, refusal, now);
                session.submit(now);
                if let Err(error) = large::pass_over(&mut stream, bytes, Some(FRAME_DEADLINE)).await
                {
                    return error.into();
                }
            }
        }
        session.submit(now);
    }
}

fn too_large(bytes: usize, max: usize) -> Refusal {
    let [bytes, max] = [bytes, max].map(|n| u64::try_from(n).unwrap_or(u64::MAX));
    Refusal::RecordTooLarge { bytes, max }
}

/// Writes large answers until no more will come and the peer has them all.
pub(super) async fn write(connection: Connection, outbox: Arc<AnswerOutbox>) -> End {
    let mut unacknowledged = JoinSet::new();
    while let Some(LargeAnswer { frame, permit }) = outbox.next_large().await {
        let bytes = frame.len();
        match large::write(&connection, frame).await {
            Ok(stream) => {
                let outbox = Arc::clone(&outbox);
                unacknowledged.spawn(async move {
                    // Whatever became of it, it is in memory no longer.
                    let _end = acknowledged(&stream).await.is_ok();
                    drop(permit);
                    outbox.written(bytes);
                });
            }
            // A peer may lose interest in an answer.
            Err(StreamError::Refused) => {
                tracing::trace!("a large answer was not wanted any more");
                outbox.written(bytes);
            }
            Err(_lost) => return End::Gone,
        }
        while unacknowledged.try_join_next().is_some() {}
    }

    let all = async { while unacknowledged.join_next().await.is_some() {} };
    match tokio::time::timeout(DELIVERY_DEADLINE, all).await {
        Ok(()) => End::Delivered,
        Err(_elapsed) => End::Gone,
    }
}
