//! The lane: the one stream per connection on which all small frames travel, both ways.
//!
//! ```text
//!   read up to 64 chunks --> cut into frames --> handle each --> submit once --> one write of all answers
//! ```
//!
//! Many frames share one packet, one read, one commit and one write; that is worth several times the
//! requests per second of a stream for each.
//!
//! What one read brought may take several turns, and other connections have theirs in between: how long a frame
//! has waited since it was read is deducted from its budget. What still lies in the stream's window, 1 MiB at
//! most, is not seen; its sender is held back by it, and deducts what frames have waited over there.
//!
//! A stream that ends inside a frame is an error: a dropped stream looks like a finished one.

use std::sync::Arc;

use bytes::Bytes;
use quinn::{Connection, ReadError, RecvStream, SendStream};
use quoit_ring::Moment;
use quoit_ring::wire::{DecodeError, Frames, LANE_FRAME};
use tokio::sync::oneshot;

use super::connection::{End, FRAME_DEADLINE, delivered};
use super::output::{Answers, Output};
use crate::engine::Engine;
use crate::env::{Env, Now};
use crate::handlers::Session;

/// Chunks (packets' worth) taken in one read: about 256 KiB.
const CHUNKS: usize = 64;
/// Frames handled before other connections get their turn.
const TURN: usize = 256;
/// Frames handled by one reading of the clock: reads that go to the disk take their time.
const BY_ONE_CLOCK: usize = 16;

/// Accepts the lane, passes its other half on to the writer, and has requests handled until the peer is
/// done or goes wrong.
pub(super) async fn read<E: Env<Reply = Answers>, G: Engine>(
    connection: Connection,
    session: Session<E, G>,
    output: Arc<Output>,
    writer: oneshot::Sender<SendStream>,
) -> End {
    let Ok((send, stream)) = connection.accept_bi().await else {
        return End::Gone;
    };
    // A writer that has ended has no use for it; then the connection is about to be closed.
    let _passed_on = writer.send(send).is_ok();
    let frames = Frames::new(LANE_FRAME);
    let chunks = vec![Bytes::new(); CHUNKS];
    let mut reader = Reader {
        stream,
        session,
        output,
        frames,
        chunks,
        read_at: Moment(0),
        partial_since: None,
    };
    match reader.run().await {
        Ok(()) => End::Finished,
        Err(end) => end,
    }
}

struct Reader<E: Env<Reply = Answers>, G> {
    stream: RecvStream,
    session: Session<E, G>,
    output: Arc<Output>,
    frames: Frames,
    chunks: Vec<Bytes>,
    /// When the last bytes of the buffer were read: no frame in it was whole before.
    read_at: Moment,
    /// Since when the first frame of the buffer has been incomplete.
    partial_since: Option<Moment>,
}

impl<E: Env<Reply = Answers>, G: Engine> Reader<E, G> {
    async fn run(&mut self) -> Result<(), End> {
        while let Some(count) = self.fill().await? {
            self.read_at = self.now().mono;
            for chunk in self.chunks.iter_mut().take(count) {
                self.frames.push(&std::mem::take(chunk));
            }
            while self
                .turn()
                .map_err(|error| End::Malformed(error.to_string()))?
            {
                self.output.room().await;
                tokio::task::yield_now().await;
            }
        }
        if self.frames.is_empty() {
            Ok(())
        } else {
            Err(End::Malformed("the lane ended inside a frame".to_owned()))
        }
    }

    /// Waits for bytes; how many chunks there are, or `None` at the stream's end.
    async fn fill(&mut self) -> Result<Option<usize>, End> {
        let now = self.now();
        let read = self.stream.read_chunks(&mut self.chunks);
        let read = match self.partial_since {
            None => read.await,
            Some(since) => {
                let left = FRAME_DEADLINE.saturating_sub(now.mono.saturating_since(since));
                let slow = || End::Malformed("a frame came too slowly".to_owned());
                tokio::time::timeout(left, read)
                    .await
                    .map_err(|_elapsed| slow())?
            }
        };
        read.map_err(|error| match error {
            ReadError::Reset(_) => End::Malformed("the lane was reset".to_owned()),
            _ => End::Gone,
        })
    }

    /// Handles a turn's worth of frames, fewer if the answers fill up; whether there may be more.
    fn turn(&mut self) -> Result<bool, DecodeError> {
        let mut now = self.now();
        let mut handled = 0;
        let more = loop {
            if handled == TURN || self.output.is_full() {
                break true;
            }
            let Some(frame) = self.frames.next()? else {
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
        self.partial_since = match self.partial_since {
            _ if self.frames.is_empty() => None,
            Some(since) if handled == 0 => Some(since),
            _ => Some(now.mono),
        };
        Ok(more)
    }

    fn now(&self) -> Now {
        self.session.replica().env().now()
    }
}

/// Writes answers until no more are to come and the peer has them all.
pub(super) async fn write(lane: oneshot::Receiver<SendStream>, output: Arc<Output>) -> End {
    let mut stream = match opened(lane, &output).await {
        Ok(stream) => stream,
        Err(end) => return end,
    };
    while let Some(answers) = output.next_lane().await {
        let bytes = answers.len();
        if stream.write_chunk(answers).await.is_err() {
            return End::Gone;
        }
        output.written(bytes);
    }
    if stream.finish().is_err() {
        return End::Gone;
    }
    delivered(stream.stopped()).await
}

/// Waits for the lane. A stream exists for its other end only once bytes have travelled on it, so a caller
/// that has sent nothing but large frames has no lane yet: until then its answers travel alone, too.
async fn opened(
    mut lane: oneshot::Receiver<SendStream>,
    output: &Output,
) -> Result<SendStream, End> {
    loop {
        tokio::select! {
            biased;
            stream = &mut lane => return stream.map_err(|_no_reader| End::Gone),
            answers = output.next_lane() => match answers {
                Some(answers) => output.divert(answers),
                None => return Err(End::Delivered),
            },
        }
    }
}
