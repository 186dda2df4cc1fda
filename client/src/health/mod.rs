//! Health: what a client learns about each node from its own requests, and how its reads react. Pure.
//!
//! ```text
//!   sent, answered, look, set_link --> Node: delays, in flight, strikes, queue reported
//!                                        |
//!                  route, can_help <- a read calls these before it sends
//! ```
//!
//! | a node | reads |
//! | --- | --- |
//! | is slow | ask other replicas first, by mean delay x (requests in flight + 1) plus the reported queue |
//! | answers later than its p95 | hedge: ask one other replica, if the budget has a token |
//! | does not answer, or cannot serve | ask it last (ejected); a probe tries it again from time to time |
//! | is slow and gets no reads any more | send it one probe a second |
//!
//! Invariant: health never excludes a node from an operation. Ejected nodes are ordered last and a quorum is always
//! asked, so a wrong guess costs time only. Left out: the cluster's own view of liveness, since a node that one client
//! cannot reach may be healthy; and writes, which go to all replicas whatever their health.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `delay` | mean and spread of a delay |
//! | `node` | one node: timed requests, ejection, recovery |
//! | `budget` | the tokens that hedges and re-sends share |
//! | `bytes` | the byte budget of background repair |
//! | `report` | the public report |
//!
//! Source: Dean and Barroso, *The Tail at Scale* (2013), for hedged requests; Suresh et al., *C3* (2015), for
//! ranking replicas by delay times queue.

mod budget;
mod bytes;
mod delay;
mod node;
mod report;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use quoit_ring::wire::{Fault, Refusal, RegisterAsk, RegisterRequest, Request, Response};
use quoit_ring::{Moment, NodeId};
use smallvec::SmallVec;

use crate::env::Link;

pub(crate) use budget::Budget;
pub(crate) use bytes::ByteBudget;
use node::{Cost, Node};
pub use report::{HealthReport, NodeHealth};

/// Shortest wait of a read before it hedges, in microseconds. Timers have millisecond resolution, and a process that
/// slept wakes up to that late: a shorter wait would spend the budget on timer noise.
const HEDGE_FLOOR: u64 = 1_000;

/// A slow node that got no reads for this long, in microseconds, is probed.
const FORGOTTEN_AFTER: u64 = 1_000_000;

/// What a request asks for. Reads and writes are timed apart: only writes wait for an fsync.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    Read,
    Write,
    /// Neither: maps, statuses. Not timed.
    Other,
}

impl From<&Request> for Asked {
    fn from(request: &Request) -> Self {
        match request {
            Request::Get { .. } => Self::Read,
            Request::Put { .. } | Request::Repair { .. } | Request::Hint { .. } => Self::Write,
            Request::Register(RegisterRequest {
                ask: RegisterAsk::Accept { .. } | RegisterAsk::Extend { .. },
                ..
            }) => Self::Write,
            _ => Self::Other,
        }
    }
}

/// What an answer says about the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It did what it was asked.
    Served,
    /// It refused this request and would serve others. Not timed: a refusal takes less time than the work.
    Refused,
    /// The deadline passed before the node started. No sign of life, since the client's own outbox reports requests
    /// that it never sent so, too. No strike either: no node could have kept that deadline.
    Expired,
    /// It is overloaded and reports its queue.
    Overloaded { queue_ms: u32 },
    /// It cannot serve any request at present.
    Unfit,
}

impl From<&Response> for Answer {
    fn from(response: &Response) -> Self {
        match response {
            Response::Refused(Refusal::Overloaded { queue_ms }) => Self::Overloaded {
                queue_ms: *queue_ms,
            },
            // A full disk: it serves reads, and takes deletes.
            Response::Refused(Refusal::Storage(Fault::NoSpace)) => Self::Refused,
            Response::Refused(Refusal::Draining | Refusal::NotReady | Refusal::Storage(_)) => {
                Self::Unfit
            }
            Response::Refused(Refusal::Expired) => Self::Expired,
            Response::Refused(_) => Self::Refused,
            _ => Self::Served,
        }
    }
}

/// Actions taken because of health, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    pub(crate) hedges: u64,
    pub(crate) hedges_won: u64,
    pub(crate) hedges_refused: u64,
    pub(crate) ejections: u64,
    pub(crate) probes: u64,
    pub(crate) hints: u64,
    pub(crate) hints_forgone: u64,
}

/// What a read does beside asking the first of its replicas.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Route {
    /// How long it waits before it hedges, in microseconds; `None` if that is unknown, or not shorter than
    /// `hedge_all_after`.
    pub(crate) hedge_after: Option<u64>,
    /// A node to probe: one whose ejection is over, or one that was slow and has had no reads for a second. The read
    /// does not wait for its answer.
    pub(crate) probe: Option<NodeId>,
}

/// A replica, what asking it costs, and what is known of it.
type Ranked<'a> = (Cost, NodeId, Option<&'a Node>);
type Order<'a> = SmallVec<[Ranked<'a>; 3]>;

/// Every node that a request or a link event ever named.
#[derive(Debug)]
pub(crate) struct Health {
    /// The longest wait of a read before it asks the other replicas, in microseconds. A request unanswered for longer
    /// is overdue.
    hedge_all_after: u64,
    nodes: BTreeMap<NodeId, Node>,
    pub(crate) counters: Counters,
}

impl Health {
    /// No nodes yet.
    pub(crate) const fn new(hedge_all_after: u64) -> Self {
        Self {
            hedge_all_after,
            nodes: BTreeMap::new(),
            counters: Counters {
                hedges: 0,
                hedges_won: 0,
                hedges_refused: 0,
                ejections: 0,
                probes: 0,
                hints: 0,
                hints_forgone: 0,
            },
        }
    }

    /// Sets the state of the link to a node and returns the one before.
    pub(crate) fn set_link(&mut self, node: NodeId, link: Link, now: Moment) -> Link {
        self.node(node, now).set_link(link, now)
    }

    /// Whether a frame to the node would be sent.
    pub(crate) fn reachable(&self, node: NodeId) -> bool {
        self.nodes.get(&node).is_none_or(Node::reachable)
    }

    /// A request goes to the node.
    pub(crate) fn sent(&mut self, node: NodeId, id: u64, asked: Asked, now: Moment) {
        self.node(node, now).sent(id, asked, now);
    }

    /// A request was not sent after all.
    pub(crate) fn unsent(&mut self, node: NodeId, id: u64) {
        if let Some(node) = self.nodes.get_mut(&node) {
            node.unsent(id);
        }
    }

    /// The node answered a request.
    pub(crate) fn answered(&mut self, node: NodeId, id: u64, answer: Answer, now: Moment) {
        if let Some(node) = self.nodes.get_mut(&node) {
            let ejected = node.answered(id, answer, now);
            self.counters.ejections += u64::from(ejected);
        }
    }

    /// Looks for overdue requests.
    pub(crate) fn look(&mut self, now: Moment) {
        for node in self.nodes.values_mut() {
            let ejected = node.look(self.hedge_all_after, now);
            self.counters.ejections += u64::from(ejected);
        }
    }

    /// Sorts a read's replicas by cost (stable), and returns what else to do when the first `count` are asked.
    pub(crate) fn route(&self, replicas: &mut [NodeId], count: usize, now: Moment) -> Route {
        let known = |&id: &NodeId| (id, self.nodes.get(&id));
        let mut order: Order<'_> = replicas
            .iter()
            .map(known)
            .map(|(id, node)| (cost(node, now), id, node))
            .collect();
        order.sort_by_key(|(cost, ..)| *cost);
        for (replica, (_, id, _)) in replicas.iter_mut().zip(&order) {
            *replica = *id;
        }

        // Without a replica to spare there is nothing to hedge with and none to probe.
        let (asked, others) = order.split_at(count.min(order.len()));
        if others.is_empty() {
            return Route::default();
        }
        Route {
            hedge_after: self.hedge_after(asked),
            probe: probe(asked, others, now),
        }
    }

    /// How long a read of these replicas waits before it hedges: the largest p95 among those that are not ejected.
    fn hedge_after(&self, asked: &[Ranked<'_>]) -> Option<u64> {
        let mut slowest = None;
        for (_, _, node) in asked {
            let node = (*node)?;
            if !node.is_ejected() {
                slowest = slowest.max(Some(node.read_p95()?));
            }
        }
        let wait = slowest?.max(HEDGE_FLOOR);
        (wait < self.hedge_all_after).then_some(wait)
    }

    /// Whether a hedge to the node is likely to help: it is not ejected and reports no queue.
    pub(crate) fn can_help(&self, node: NodeId, now: Moment) -> bool {
        self.nodes.get(&node).is_none_or(|node| node.can_help(now))
    }

    /// The ejected nodes, which reads ask last until they answer.
    pub(crate) fn ejected(&self) -> impl Iterator<Item = NodeId> {
        let ejected = |(&id, node): (&NodeId, &Node)| node.is_ejected().then_some(id);
        self.nodes.iter().filter_map(ejected)
    }

    /// A report on every node, ordered by id.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = NodeHealth> {
        self.nodes.iter().map(|(&id, node)| NodeHealth {
            node: id,
            reachable: node.reachable(),
            ejected: node.is_ejected(),
            in_flight: node.in_flight(),
            read_mean: node.known_mean().map(Duration::from_micros),
            read_p95: node.read_p95().map(Duration::from_micros),
        })
    }

    fn node(&mut self, node: NodeId, now: Moment) -> &mut Node {
        self.nodes.entry(node).or_insert_with(|| Node::new(now))
    }
}

/// The cost of reading from a node; the cheapest is asked first.
fn cost(node: Option<&Node>, now: Moment) -> Cost {
    node.map_or_else(Cost::unknown, |node| node.cost(now))
}

/// Which of the replicas that the read leaves out to probe.
fn probe(asked: &[Ranked<'_>], others: &[Ranked<'_>], now: Moment) -> Option<NodeId> {
    let find = |wanted: &dyn Fn(&Node) -> bool| {
        let of = |(_, _, node): &&Ranked<'_>| node.is_some_and(wanted);
        others.iter().find(of).map(|(_, id, _)| *id)
    };
    find(&|node| node.wants_probe(now)).or_else(|| {
        let mean = |(_, _, node): &Ranked<'_>| node.map_or(0, Node::read_mean);
        let slowest = asked.iter().map(mean).max()?.saturating_mul(2);
        find(&|node| node.is_forgotten(FORGOTTEN_AFTER, now) && node.read_mean() > slowest)
    })
}
