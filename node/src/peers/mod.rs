//! Connections to other nodes: requests out, answers back.
//!
//! ```text
//!   send(to, frame) --> link of that node, made if there is none --> dial --> lane, large frames
//!   next() <-- Answer | Lost --------------------------------------------'
//! ```
//!
//! Both ends speak `quoit-transport`, as with clients, and the socket is the one at which this node serves. It proves
//! itself by its own certificate, and accepts as the wanted node only one whose certificate names it.
//!
//! A link is made when the first frame for its node comes, and closed when none has come for a while. It is given up
//! after three seconds without a datagram. What was sent on a link that broke is neither sent again nor answered:
//! [`Event::Lost`] reports that once, and the sender decides what to do.
//!
//! Bounded: what waits for one node, in bytes (a request beyond it is refused), and the answers not taken yet (a link
//! beyond it is lost).

pub(crate) mod driver;
mod link;
mod removal;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use quoit_ring::wire::{Refusal, RequestFrame, Response, ResponseFrame};
use quoit_ring::{NodeId, Time};
use quoit_transport::dial::Dialer;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use self::link::PeerLink;
use crate::cluster::ClusterView;

pub(crate) use self::removal::Removal;

/// Most answers that wait to be taken. A node answers only what it was asked, and no more than 64 hints are under way
/// to one: a peer that sends more than this breaks the protocol.
const MAX_ANSWERS: usize = 8_192;
/// Most addresses that are tried beside the ring's: where a member was heard, and where it says that it is.
const MAX_FOUND: usize = 2;

/// What a link reports.
#[derive(Debug)]
pub(crate) enum Event {
    /// A node answered.
    Answer(NodeId, ResponseFrame),
    /// There is no connection to a node: it could not be made, or it has ended.
    Lost(NodeId),
    /// This member says that this node was removed from the cluster. [`Event::Lost`] follows.
    SaysRemoved(NodeId),
}

/// The links of one node. They run on the [`LocalSet`](tokio::task::LocalSet) that calls [`Peers::next`].
pub(crate) struct Peers {
    cluster: Arc<ClusterView>,
    dialer: Rc<Dialer>,
    links: BTreeMap<NodeId, PeerLink>,
    /// Where members were found that the ring's address may not lead to, the latest first.
    found_at: BTreeMap<NodeId, VecDeque<String>>,
    tasks: JoinSet<()>,
    answers: mpsc::Receiver<Event>,
    answered: mpsc::Sender<Event>,
    /// What came of requests that were not queued: their node is in no ring, or too much waits for it.
    unsent: VecDeque<Event>,
}

impl Peers {
    /// No links yet; `dialer` has this node's certificate.
    pub(crate) fn new(cluster: Arc<ClusterView>, dialer: Rc<Dialer>) -> Self {
        let (answered, answers) = mpsc::channel(MAX_ANSWERS);
        Self {
            cluster,
            dialer,
            links: BTreeMap::new(),
            found_at: BTreeMap::new(),
            tasks: JoinSet::new(),
            answers,
            answered,
            unsent: VecDeque::new(),
        }
    }

    /// Whose links they are.
    pub(crate) fn cluster(&self) -> &ClusterView {
        &self.cluster
    }

    /// Sends a request to a node of the ring. If there is no such node, its link is lost at once; if more waits for it
    /// than may, the request is answered as refused, for the node would say the same.
    pub(crate) fn send(&mut self, to: NodeId, frame: &RequestFrame) {
        // A link whose task has just ended is reported as lost by `next`, and this frame with it.
        if let Some(link) = self.links.get(&to) {
            if !link.send(frame) {
                self.unsent.push_back(refused(to, frame));
            }
            return;
        }

        let newest = self.cluster.newest();
        let Some(member) = newest.topology().member(to) else {
            self.unsent.push_back(Event::Lost(to));
            return;
        };
        let (dialer, answered) = (Rc::clone(&self.dialer), self.answered.clone());
        let found_at = self.found_at.get(&to).into_iter().flatten().cloned();
        let addresses = core::iter::once(member.address.clone()).chain(found_at);
        let tasks = &mut self.tasks;
        let link = PeerLink::open((to, addresses.collect()), dialer, answered, tasks);
        let queued = link.send(frame);
        debug_assert!(queued, "an empty outbox takes any frame");
        self.links.insert(to, link);
    }

    /// A member was found at this address: it is tried if there is none at the ring's. At the ring's own, others that were
    /// found before lead nowhere any more.
    pub(crate) fn note_address(&mut self, node: NodeId, address: String) {
        let newest = self.cluster.newest();
        match newest.topology().member(node) {
            Some(member) if member.address != address => {
                let found = self.found_at.entry(node).or_default();
                if !found.contains(&address) {
                    found.push_front(address);
                    found.truncate(MAX_FOUND);
                }
            }
            Some(_) | None => drop(self.found_at.remove(&node)),
        }
        let is_member = |node: &NodeId| newest.topology().member(*node).is_some();
        self.found_at.retain(|node, _| is_member(node)); // so it is bounded
    }

    /// The next event of any link; waits for it. Cancel safe.
    pub(crate) async fn next(&mut self) -> Event {
        loop {
            if let Some(event) = self.unsent.pop_front() {
                return event;
            }
            tokio::select! {
                biased; // answers that came before a link ended still count
                Some(event) = self.answers.recv() => return event,
                Some(ended) = self.tasks.join_next_with_id() => {
                    let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
                    let of_task = |(&node, link): (&NodeId, &PeerLink)| (link.task_id() == id).then_some(node);
                    let Some(node) = self.links.iter().find_map(of_task) else {
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

/// The answer to a request for which there is no space.
fn refused(to: NodeId, request: &RequestFrame) -> Event {
    let answer = ResponseFrame {
        id: request.id,
        epoch: request.epoch,
        clock: Time::ZERO,
        response: Response::Refused(Refusal::Overloaded { queue_ms: 0 }),
    };
    Event::Answer(to, answer)
}
