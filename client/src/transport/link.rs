//! One member's connection, made again whenever it ends.
//!
//! ```text
//!             dialled                 ended
//!   Opening ----------> Up ------------------------> Down --.
//!      |                 ^                            ^  |  | dial fails: back-off
//!      `-- dial fails ---|----------------------------'  |<-'
//!                        `------- dialled ---------------'
//! ```
//!
//! Each change is reported once. The node has to prove its identity at each connection, so another node
//! at a reused address is never taken for it. Back-off restarts only once the node has sent a readable frame: a node
//! that accepts connections and closes them at once is not dialled in a loop. One that has no seat for this client is
//! dialled less often still.

use core::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use quinn::Connection;
use quoit_ring::wire::{DecodeError, Frames, RequestFrame};
use quoit_ring::{Member, NodeId, role};
use quoit_transport::StreamError;
use quoit_transport::dial::{DialError, Dialer, NO_ANSWER};
use quoit_transport::lane::Lane;
use quoit_transport::outbox::{RequestOutbox, clock};
use quoit_transport::session::{self, Ended, FrameSink, Limits};
use quoit_transport::silence::CLIENT_LOOKS;
use rand::RngCore as _;
use rand::rngs::SmallRng;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

use super::backoff::Backoff;
use super::{Bounds, LinkEvents};
use crate::env::Link;

/// How long one attempt to connect may take.
const ATTEMPT: Duration = Duration::from_secs(1);

/// The driver's end of a link.
#[derive(Debug)]
pub(crate) struct LinkHandle {
    address: String,
    outbox: Rc<RequestOutbox>,
    abort: AbortHandle,
}

impl LinkHandle {
    /// Starts a link to `member` as one of `tasks`; inside a [`tokio::task::LocalSet`]. The task ends
    /// some time after [`LinkHandle::finish`], and before that only by a panic.
    pub(crate) fn open<E: LinkEvents>(
        member: &Member,
        dialer: &Rc<Dialer>,
        events: E,
        bounds: Bounds,
        rng: SmallRng,
        tasks: &mut JoinSet<()>,
    ) -> Self {
        let outbox = Rc::new(RequestOutbox::new(bounds.max_outbox, clock));
        let address = &member.address;
        let link = OneLink {
            sink: Sink {
                node: member.id,
                events,
                heard: Rc::new(Cell::new(false)),
            },
            address: address.clone(),
            dialer: Rc::clone(dialer),
            outbox: Rc::clone(&outbox),
            max_frame: bounds.max_frame,
            rng,
        };
        Self {
            address: address.clone(),
            outbox,
            abort: tasks.spawn_local(link.run()),
        }
    }

    /// Where the node is.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Queues a frame; drops it if there is no connection. False if it is a repair or a hint and too much waits.
    pub(crate) fn send(&self, frame: &RequestFrame) -> bool {
        self.outbox.push(frame)
    }

    /// Takes back what waits and is not awaited; gives the ids.
    pub(crate) fn sweep(&self, is_awaited: &mut dyn FnMut(u64) -> bool) -> Vec<u64> {
        self.outbox.sweep(is_awaited)
    }

    /// The link is no longer needed: what is queued is written, then the connection is closed.
    pub(crate) fn finish(&self) {
        self.outbox.finish();
        if !self.outbox.is_open() {
            self.abort.abort();
        }
    }
}

struct OneLink<E> {
    sink: Sink<E>,
    address: String,
    dialer: Rc<Dialer>,
    outbox: Rc<RequestOutbox>,
    max_frame: usize,
    rng: SmallRng,
}

impl<E: LinkEvents> OneLink<E> {
    async fn run(mut self) {
        let node = self.sink.node;
        self.sink.events.link(node, Link::Opening);
        let mut backoff = Backoff::default();
        loop {
            let crowded = match self.connect().await {
                Ok((connection, lane)) => {
                    let ended = self.serve(connection, lane).await;
                    tracing::info!(%node, address = %self.address, "connection over: {ended}");
                    matches!(ended, Ended::Broken(error) if error.is_crowded())
                }
                Err(why) => {
                    tracing::debug!(%node, address = %self.address, "no connection: {why}");
                    matches!(why, ConnectError::Lane(error) if error.is_crowded())
                }
            };
            if self.outbox.is_finished() {
                return;
            }
            if self.outbox.close() {
                self.sink.events.link(node, Link::Down);
            }
            if self.sink.heard.take() {
                backoff.reset();
            }
            let random = self.rng.next_u64();
            let pause = match crowded {
                true => backoff.pause_while_crowded(random),
                false => backoff.pause(random),
            };
            sleep(pause).await;
        }
    }

    async fn connect(&self) -> Result<(Connection, Lane), ConnectError> {
        let name = role::server_name(self.sink.node);
        let attempt = async {
            let connection = self.dialer.dial(&self.address, &name).await?;
            let lane = Lane::open(&connection).await.map_err(ConnectError::Lane)?;
            Ok((connection, lane))
        };
        timeout(ATTEMPT, attempt)
            .await
            .unwrap_or(Err(ConnectError::NoAnswer))
    }

    /// Moves frames until the connection ends; no task of it is left then.
    async fn serve(&self, connection: Connection, lane: Lane) -> Ended {
        let node = self.sink.node;
        tracing::info!(%node, address = %self.address, "connected");
        self.outbox.open();
        self.sink.events.link(node, Link::Up);

        let limits = Limits {
            max_frame: self.max_frame,
            silent_looks: CLIENT_LOOKS,
        };
        session::run(&connection, lane, &self.outbox, &self.sink, limits).await
    }
}

/// Why there is no connection with a lane.
#[derive(Debug, thiserror::Error)]
enum ConnectError {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error(transparent)]
    Lane(StreamError),
    #[error("{NO_ANSWER}")]
    NoAnswer,
}

/// Passes on what a node sends, with the node's id.
#[derive(Debug, Clone)]
struct Sink<E> {
    node: NodeId,
    events: E,
    /// Set once a readable frame has come.
    heard: Rc<Cell<bool>>,
}

impl<E: LinkEvents> FrameSink for Sink<E> {
    fn frames(&self, frames: &mut Frames) -> Result<(), DecodeError> {
        self.events.frames(self.node, frames)?;
        self.heard.set(true);
        Ok(())
    }

    fn frame(&self, frame: Bytes) -> Result<(), DecodeError> {
        self.events.frame(self.node, frame)?;
        self.heard.set(true);
        Ok(())
    }
}
