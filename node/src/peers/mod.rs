//! Connections to other nodes: frames out, answers back.
//!
//! ```text
//!   send(to, frame) --> link of that node, made if there is none --> dial --> lane, large frames
//!   next() <-- Answer | Lost --------------------------------------------'
//! ```
//!
//! What both ends keep to is what they keep to with clients (see `server`), and so is the socket: a node dials from
//! where it serves. It proves itself by its own certificate, and takes nobody for the node it wants whose certificate
//! does not say so.
//!
//! A link is made when the first frame for its node comes, and closed when none has come for a while. It breaks after
//! three seconds without a sign of life. What was sent on a link that broke is neither sent again nor answered: whoever
//! sent it is told that the link is lost, once, and what to do is theirs to decide.
//!
//! Bounded by whoever sends: a link holds the frames that it was given.

mod link;
mod transport;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use quinn::{ClientConfig, Endpoint};
use quoit_ring::NodeId;
use quoit_ring::wire::{LANE_FRAME, RequestFrame, ResponseFrame};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

use self::link::{Dial, Outgoing};
use crate::cluster::ClusterView;

/// Something that came of a link.
#[derive(Debug)]
pub(crate) enum Event {
    /// A node answered.
    Answer(NodeId, ResponseFrame),
    /// There is no connection to a node: it could not be made, or is no more.
    Lost(NodeId),
}

/// The links of one node.
pub(crate) struct Peers {
    cluster: Arc<ClusterView>,
    endpoint: Endpoint,
    config: ClientConfig,
    links: BTreeMap<NodeId, Link>,
    tasks: JoinSet<NodeId>,
    answers: mpsc::UnboundedReceiver<Event>,
    answered: mpsc::UnboundedSender<Event>,
}

/// The way to one node; the task behind it may be dialling still.
struct Link {
    out: Outgoing,
    task: AbortHandle,
}

impl Peers {
    /// No links yet; `config` has this node's certificate.
    pub(crate) fn new(
        cluster: Arc<ClusterView>,
        endpoint: Endpoint,
        mut config: ClientConfig,
    ) -> Self {
        config.transport_config(Arc::new(transport::transport()));
        let (answered, answers) = mpsc::unbounded_channel();
        Self {
            cluster,
            endpoint,
            config,
            links: BTreeMap::new(),
            tasks: JoinSet::new(),
            answers,
            answered,
        }
    }

    /// Sends a frame to a node of the ring; one to anybody else is lost, and told to be.
    pub(crate) fn send(&mut self, to: NodeId, frame: &RequestFrame) {
        let mut bytes = BytesMut::new();
        frame.encode(&mut bytes);
        let bytes = bytes.freeze();
        // A link whose task has just ended is told lost by `next`; this frame shares its fate.
        if let Some(link) = self.links.get(&to) {
            return link.put(bytes);
        }
        let Some(member) = self.cluster.ring.member(to) else {
            // The receiver lives in `self`.
            let _told = self.answered.send(Event::Lost(to)).is_ok();
            return;
        };
        let dial = Dial {
            endpoint: self.endpoint.clone(),
            config: self.config.clone(),
            address: member.address.clone(),
            node: to,
        };
        let (out, frames) = link::outgoing();
        let task = self
            .tasks
            .spawn(link::run(dial, frames, self.answered.clone()));
        let link = Link { out, task };
        link.put(bytes);
        self.links.insert(to, link);
    }

    /// The next thing that comes of a link; waits until something does. May be dropped and called again.
    pub(crate) async fn next(&mut self) -> Event {
        loop {
            tokio::select! {
                biased; // what a link brought in before it ended counts
                Some(event) = self.answers.recv() => return event,
                Some(ended) = self.tasks.join_next_with_id() => {
                    let (id, node) = match ended {
                        Ok((id, node)) => (id, Some(node)),
                        Err(error) => (error.id(), None),
                    };
                    let of_task = |(&node, link): (&NodeId, &Link)| (link.task.id() == id).then_some(node);
                    let Some(node) = node.or_else(|| self.links.iter().find_map(of_task)) else {
                        continue;
                    };
                    self.links.remove(&node);
                    return Event::Lost(node);
                }
                else => core::future::pending().await,
            }
        }
    }
}

impl Link {
    fn put(&self, frame: Bytes) {
        let lane = frame.len() <= LANE_FRAME;
        let out = if lane {
            &self.out.lane
        } else {
            &self.out.large
        };
        // A task that has ended takes nothing: it is told lost, and all that it was given.
        let _taken = out.send(frame).is_ok();
    }
}
