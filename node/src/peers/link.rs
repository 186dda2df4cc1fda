//! One connection to another node, from its first frame to its end.
//!
//! ```text
//!   dial --> lane:  frames out, gathered into one write   <-- answers, cut off as they come
//!            large: a stream for each frame               <-- answers to a lane that has carried nothing yet
//! ```
//!
//! All of it is one task: whatever goes wrong in any part ends it, and with it the connection.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use quinn::{ClientConfig, Connection, Endpoint, RecvStream, SendStream};
use quoit_ring::NodeId;
use quoit_ring::role::server_name;
use quoit_ring::wire::{Frames, LANE_FRAME, ResponseFrame};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use super::Event;
use crate::server::CloseCode;

/// How long a connection may take to be made.
const DIAL_DEADLINE: Duration = Duration::from_secs(2);
/// How long a link is kept for which there are no more frames.
const UNUSED: Duration = Duration::from_secs(10);
/// Bytes gathered for one write.
const GATHERED: usize = 256 << 10;
/// Chunks taken in one read.
const CHUNKS: usize = 16;
/// The lane has priority 0.
const LARGE_PRIORITY: i32 = -1;

/// Whom to dial, and how.
pub(super) struct Dial {
    pub(super) endpoint: Endpoint,
    pub(super) config: ClientConfig,
    pub(super) address: String,
    pub(super) node: NodeId,
}

/// Where frames for a link are put.
pub(super) struct Outgoing {
    pub(super) lane: UnboundedSender<Bytes>,
    pub(super) large: UnboundedSender<Bytes>,
}

/// Where a link takes them from.
pub(super) struct Queued {
    lane: UnboundedReceiver<Bytes>,
    large: UnboundedReceiver<Bytes>,
}

pub(super) fn outgoing() -> (Outgoing, Queued) {
    let (lane, lane_out) = mpsc::unbounded_channel();
    let (large, large_out) = mpsc::unbounded_channel();
    let queued = Queued {
        lane: lane_out,
        large: large_out,
    };
    (Outgoing { lane, large }, queued)
}

/// A connection that could not be made, or is over; the words are for the log.
struct End(String);

impl<E: std::error::Error> From<E> for End {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// Serves a link until it ends, and gives back whose it was.
pub(super) async fn run(dial: Dial, queued: Queued, events: UnboundedSender<Event>) -> NodeId {
    let node = dial.node;
    match tokio::time::timeout(DIAL_DEADLINE, dial.connect()).await {
        Ok(Ok(connection)) => {
            tracing::debug!(peer = %node, "connected to a node");
            let End(reason) = serve(&connection, node, queued, &events).await;
            connection.close(CloseCode::Done.code(), b"");
            tracing::debug!(peer = %node, reason, "disconnected from a node");
        }
        Ok(Err(End(reason))) => tracing::debug!(peer = %node, reason, "a node cannot be reached"),
        Err(_elapsed) => tracing::debug!(peer = %node, "a node does not answer"),
    }
    node
}

impl Dial {
    /// Connects, at the first of its addresses that this node's socket can reach.
    async fn connect(self) -> Result<Connection, End> {
        let mut end = End("the name has no address".to_owned());
        let addresses: Vec<SocketAddr> = tokio::net::lookup_host(&self.address).await?.collect();
        let name = server_name(self.node);
        for address in addresses {
            let connecting = self
                .endpoint
                .connect_with(self.config.clone(), address, &name);
            match connecting {
                Ok(connecting) => match connecting.await {
                    Ok(connection) => return Ok(connection),
                    Err(error) => end = error.into(),
                },
                Err(error) => end = error.into(),
            }
        }
        Err(end)
    }
}

/// Carries frames and answers until something ends it.
async fn serve(
    connection: &Connection,
    node: NodeId,
    queued: Queued,
    events: &UnboundedSender<Event>,
) -> End {
    let (send, receive) = match connection.open_bi().await {
        Ok(streams) => streams,
        Err(error) => return error.into(),
    };
    let Queued { lane, large } = queued;
    let ended = tokio::select! {
        ended = write_lane(send, lane) => ended,
        ended = write_large(connection, large) => ended,
        ended = read_lane(receive, node, events) => ended,
        ended = read_large(connection, node, events) => ended,
    };
    match ended {
        Ok(()) => End("no longer used".to_owned()),
        Err(end) => end,
    }
}

async fn write_lane(
    mut stream: SendStream,
    mut frames: UnboundedReceiver<Bytes>,
) -> Result<(), End> {
    let mut gathered = BytesMut::new();
    loop {
        let Ok(Some(frame)) = tokio::time::timeout(UNUSED, frames.recv()).await else {
            return Ok(());
        };
        gathered.extend_from_slice(&frame);
        while gathered.len() < GATHERED
            && let Ok(frame) = frames.try_recv()
        {
            gathered.extend_from_slice(&frame);
        }
        stream.write_chunk(gathered.split().freeze()).await?;
    }
}

async fn write_large(
    connection: &Connection,
    mut frames: UnboundedReceiver<Bytes>,
) -> Result<(), End> {
    while let Some(frame) = frames.recv().await {
        let mut stream = connection.open_uni().await?;
        stream.set_priority(LARGE_PRIORITY)?;
        stream.write_chunk(frame).await?;
        stream.finish()?;
    }
    // No more are to come, of either kind: whether that ends the link is for the lane to say.
    core::future::pending().await
}

async fn read_lane(
    mut stream: RecvStream,
    node: NodeId,
    events: &UnboundedSender<Event>,
) -> Result<(), End> {
    let mut frames = Frames::new(LANE_FRAME);
    let mut chunks = vec![Bytes::new(); CHUNKS];
    while let Some(count) = stream.read_chunks(&mut chunks).await? {
        for chunk in chunks.iter_mut().take(count) {
            frames.push(&core::mem::take(chunk));
        }
        while let Some(frame) = frames.next()? {
            let answer = ResponseFrame::decode(frame)?;
            events.send(Event::Answer(node, answer))?;
        }
    }
    Err(End("the node is stopping".to_owned()))
}

/// Reads answers that come on streams of their own; none that is asked for is longer than the lane's frames.
async fn read_large(
    connection: &Connection,
    node: NodeId,
    events: &UnboundedSender<Event>,
) -> Result<(), End> {
    loop {
        let mut stream = connection.accept_uni().await?;
        let bytes = stream.read_to_end(LANE_FRAME).await?;
        let mut frames = Frames::new(LANE_FRAME);
        frames.push(&bytes);
        let Some(frame) = frames.next()? else {
            return Err(End("a stream ended inside a frame".to_owned()));
        };
        events.send(Event::Answer(node, ResponseFrame::decode(frame)?))?;
    }
}
