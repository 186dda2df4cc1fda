//! The server's side of the lane: frames in, requests handled in turns, answers out.
//!
//! ```text
//!   read up to 64 chunks --> cut into frames --> handle each --> submit once --> one write of all answers
//! ```
//!
//! Frames of one read may take several turns, and other connections have theirs in between: the time that a frame
//! has waited since it was read is deducted from its budget. Bytes still in the stream's window, 1 MiB at
//! most, are not counted; flow control holds their sender back, and it deducts the time that frames wait there.

use std::sync::Arc;

use quinn::SendStream;
use quoit_ring::Moment;
use quoit_ring::wire::DecodeError;
use quoit_transport::lane::{self, LaneReader};
use quoit_transport::outbox::AnswerOutbox;

use super::answers::Answers;
use super::end::{End, delivered};
use crate::engine::Engine;
use crate::env::{Env, Now};
use crate::handlers::Session;

/// Frames handled before other connections get their turn.
const TURN: usize = 256;
/// Frames handled by one reading of the clock; not more, since reads from the disk take long.
const BY_ONE_CLOCK: usize = 16;

/// Handles the requests of a lane until the peer is done or breaks the protocol.
pub(super) async fn read<E: Env<Reply = Answers>, G: Engine>(
    lane: LaneReader,
    session: Session<E, G>,
    outbox: Arc<AnswerOutbox>,
) -> End {
    let mut requests = Requests {
        lane,
        session,
        outbox,
        read_at: Moment::default(),
    };
    requests.run().await
}

struct Requests<E: Env<Reply = Answers>, G> {
    lane: LaneReader,
    session: Session<E, G>,
    outbox: Arc<AnswerOutbox>,
    /// When the last bytes of the buffer were read: no frame in it was whole before.
    read_at: Moment,
}

impl<E: Env<Reply = Answers>, G: Engine> Requests<E, G> {
    async fn run(&mut self) -> End {
        loop {
            match self.lane.read().await {
                Ok(true) => self.read_at = self.now().mono,
                Ok(false) => return End::Finished,
                Err(error) => return error.into(),
            }

            loop {
                match self.turn() {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => return End::Malformed(error.to_string()),
                }
                self.outbox.drained().await;
                tokio::task::yield_now().await;
            }
        }
    }

    /// Handles a turn's worth of frames, fewer if the answers fill up; whether there may be more.
    fn turn(&mut self) -> Result<bool, DecodeError> {
        let mut now = self.now();
        let mut handled = 0;
        let more = loop {
            if handled == TURN || self.outbox.is_full() {
                break true;
            }
            let Some(frame) = self.lane.frames().next()? else {
                break false;
            };
            if handled % BY_ONE_CLOCK == BY_ONE_CLOCK - 1 {
                now = self.now();
            }
            let waited = now.mono.saturating_since(self.read_at);
            self.session.handle_after(waited, frame, now)?;
            handled += 1;
        };

        self.session.submit(now);
        // One more look at the clock for all of them: the later ones have waited for those before.
        let since = self.now().mono.saturating_since(self.read_at);
        let metrics = &self.session.replica().state().metrics;
        metrics.handling.add(since, handled);
        Ok(more)
    }

    fn now(&self) -> Now {
        self.session.replica().env().now()
    }
}

/// Writes answers until no more will come and the peer has them all.
pub(super) async fn write(mut stream: SendStream, outbox: Arc<AnswerOutbox>) -> End {
    match lane::write(&mut stream, &outbox).await {
        Ok(()) => delivered(&stream).await,
        Err(_no_longer_read) => End::Gone,
    }
}
