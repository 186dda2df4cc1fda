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
use quinn::Connection;
use quoit_ring::NodeId;
use quoit_ring::role::server_name;
use quoit_ring::wire::{DecodeError, Frames, MAX_FRAME, RequestFrame, ResponseFrame};
use quoit_transport::StreamError;
use quoit_transport::dial::{DialError, Dialer};
use quoit_transport::lane::Lane;
use quoit_transport::outbox::{RequestOutbox, clock};
use quoit_transport::session::{self, FrameSink, Limits};
use quoit_transport::silence::PEER_LOOKS;
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
    let Some((connection, lane)) = connect(&addresses, &dialer, node).await else {
        return;
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
}

/// Connects to a node at one of its addresses, one after the other.
async fn connect(
    addresses: &[String],
    dialer: &Dialer,
    node: NodeId,
) -> Option<(Connection, Lane)> {
    for address in addresses {
        let connecting = async {
            let connection = dialer.dial(address, &server_name(node)).await?;
            let lane = Lane::open(&connection).await?;
            Ok::<_, LinkError>((connection, lane))
        };
        match timeout(DIAL_DEADLINE, connecting).await {
            Ok(Ok(connected)) => return Some(connected),
            Ok(Err(reason)) => {
                tracing::debug!(peer = %node, address, %reason, "a node cannot be reached");
            }
            Err(_elapsed) => tracing::debug!(peer = %node, address, "a node does not answer"),
        }
    }
    None
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

/// Passes answers on, with the name of the node that gave them.
#[derive(Clone)]
struct Sink {
    node: NodeId,
    answered: mpsc::Sender<Event>,
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
