//! One connection to another node, from its first frame to its end.
//!
//! ```text
//!   dial, 2 s an address --> lane --> session until it breaks or is unused for 10 s
//! ```
//!
//! All of it is one task: a failure in any part ends it, and with it the connection. Frames of either kind
//! keep the link in use.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use quinn::{Connection, ConnectionError};
use quoit_ring::NodeId;
use quoit_ring::role::server_name;
use quoit_ring::wire::{DecodeError, Frames, MAX_FRAME, RequestFrame, ResponseFrame};
use quoit_transport::dial::{DialError, Dialer};
use quoit_transport::lane::Lane;
use quoit_transport::outbox::{RequestOutbox, clock};
use quoit_transport::session::{self, Ended, FrameSink, Limits};
use quoit_transport::silence::PEER_LOOKS;
use quoit_transport::{CloseCode, StreamError};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, Id, JoinSet};
use tokio::time::{sleep, timeout};

use super::Event;

/// How long a connection may take to be made.
const DIAL_DEADLINE: Duration = Duration::from_secs(2);
/// How long a link is kept for which there are no more frames; tests do not wait as long.
pub(super) const UNUSED: Duration = Duration::from_millis(if cfg!(test) { 500 } else { 10_000 });
/// Most bytes that wait for one node. The longest frame may wait alone; beside others, hints get half of this. A hint
/// that finds no space is refused, stays in its queue, and is sent again later.
const MAX_OUTBOX: usize = MAX_FRAME + (4 << 20);

/// The node's handle of a link; the task behind it may be dialling still.
pub(super) struct PeerLink {
    outbox: Rc<RequestOutbox>,
    task: AbortHandle,
}

impl PeerLink {
    /// Starts a link to a node at the first of its addresses where it answers, as one of `tasks`; inside a [`tokio::task::LocalSet`].
    pub(super) fn open(
        (node, addresses): (NodeId, Vec<String>),
        dialer: Rc<Dialer>,
        answered: mpsc::Sender<Event>,
        tasks: &mut JoinSet<()>,
    ) -> Self {
        let outbox = Rc::new(RequestOutbox::new(MAX_OUTBOX, clock));
        let sink = Sink { node, answered };
        let task = run(addresses, dialer, Rc::clone(&outbox), sink);
        Self {
            outbox,
            task: tasks.spawn_local(task),
        }
    }

    /// Queues a request; false if too much waits already.
    pub(super) fn send(&self, frame: &RequestFrame) -> bool {
        self.outbox.push(frame)
    }

    pub(super) fn task_id(&self) -> Id {
        self.task.id()
    }
}

/// Serves a link until it ends.
async fn run(addresses: Vec<String>, dialer: Rc<Dialer>, outbox: Rc<RequestOutbox>, sink: Sink) {
    let node = sink.node;
    let (connection, lane) = match connect(&addresses, &dialer, node).await {
        Ok(connected) => connected,
        Err(is_removed) => {
            return sink.note_end(is_removed);
        }
    };

    tracing::debug!(peer = %node, "connected to a node");
    outbox.open();
    // Hints are answered by a word, pulls by pages of rows.
    let limits = Limits {
        max_frame: MAX_FRAME,
        silent_looks: PEER_LOOKS,
    };
    let serving = session::run(&connection, lane, &outbox, &sink, limits);
    tokio::pin!(serving);
    let ended = tokio::select! {
        biased;
        ended = &mut serving => ended,
        () = unused(&outbox) => {
            outbox.finish();
            serving.await
        }
    };
    tracing::debug!(peer = %node, reason = %ended, "disconnected from a node");
    // The session closes the connection itself, so that one says nothing of its end any more.
    let closed = match &ended {
        Ended::Broken(StreamError::Lost(error)) => Some(error),
        _ => None,
    };
    sink.note_end(says_removed(closed));
}

/// Whether the other side has closed a connection since this node was removed.
fn says_removed(closed: Option<&ConnectionError>) -> bool {
    let Some(ConnectionError::ApplicationClosed(close)) = closed else {
        return false;
    };
    CloseCode::from_code(close.error_code.into_inner()) == Some(CloseCode::Removed)
}

/// Connects to a node at one of its addresses, one after the other; else whether it said that this node was removed.
async fn connect(
    addresses: &[String],
    dialer: &Dialer,
    node: NodeId,
) -> Result<(Connection, Lane), bool> {
    let mut is_removed = false;
    for address in addresses {
        let connecting = async {
            let connection = dialer.dial(address, &server_name(node)).await?;
            let lane = Lane::open(&connection).await?;
            Ok::<_, LinkError>((connection, lane))
        };
        match timeout(DIAL_DEADLINE, connecting).await {
            Ok(Ok(connected)) => return Ok(connected),
            Ok(Err(reason)) => {
                tracing::debug!(peer = %node, address, %reason, "a node cannot be reached");
                is_removed |= says_removed(reason.closed());
            }
            Err(_elapsed) => tracing::debug!(peer = %node, address, "a node does not answer"),
        }
    }
    Err(is_removed)
}

/// Resolves once no frame, small or large, was queued for a while.
async fn unused(outbox: &RequestOutbox) {
    let mut before = outbox.pushed();
    loop {
        sleep(UNUSED).await;
        let pushed = outbox.pushed();
        if pushed == before && outbox.is_empty() {
            return;
        }
        before = pushed;
    }
}

/// Why there is no link.
#[derive(Debug, thiserror::Error)]
enum LinkError {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error(transparent)]
    Lane(#[from] StreamError),
}

impl LinkError {
    /// What ended the connection, if there was one.
    const fn closed(&self) -> Option<&ConnectionError> {
        match self {
            Self::Dial(DialError::Lost(error)) | Self::Lane(StreamError::Lost(error)) => {
                Some(error)
            }
            Self::Dial(_) | Self::Lane(_) => None,
        }
    }
}

/// Passes answers on, with the name of the node that gave them.
#[derive(Clone)]
struct Sink {
    node: NodeId,
    answered: mpsc::Sender<Event>,
}

impl Sink {
    /// The link has ended; if `is_removed`, since the other node says that this one was removed.
    fn note_end(&self, is_removed: bool) {
        if is_removed {
            // If there is no space the next link says so again.
            self.answered.try_send(Event::SaysRemoved(self.node)).ok();
        }
    }
}

impl FrameSink for Sink {
    fn frames(&self, frames: &mut Frames) -> Result<(), DecodeError> {
        while let Some(frame) = frames.next()? {
            self.frame(frame)?;
        }
        Ok(())
    }

    fn frame(&self, frame: Bytes) -> Result<(), DecodeError> {
        let answer = Event::Answer(self.node, ResponseFrame::decode(frame)?);
        let passed_on = self.answered.try_send(answer);
        passed_on.map_err(|_full| DecodeError::Malformed("more answers than requests"))
    }
}
