//! Health: what a client knows of each node from its own requests, and what it does about it. Pure.
//!
//! ```text
//!   sent, answered, look, set_link --> Node: delays, in flight, strikes, queue reported
//!                                        |
//!                  route, can_help <- reads ask, before they ask anybody
//! ```
//!
//! | what happens to a node | what reads do about it |
//! | --- | --- |
//! | it is slow | ask the others first: delay average x (requests in flight + 1), plus the queue it reported |
//! | an answer is later than 19 of 20 | ask one other replica, if the budget has a token |
//! | it says nothing, or only that it cannot serve | ask it last; one request asks after it now and then |
//! | it is slow and nobody asks it any more | one request a second asks whether it still is |
//!
//! Nothing here takes a node out of an operation: ejected ones are ordered last, so that a quorum is asked for
//! whatever this module believes, and being wrong costs time only. Liveness of the cluster is another thing,
//! and the nodes' own: what one client cannot reach may be well. Left out: writes go to all replicas whatever
//! their health.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `delay` | mean and spread of a delay |
//! | `node` | one node: timing its requests, ejection and coming back |
//! | `budget` | the tokens that hedges and re-sends share |
//! | `bytes` | the bytes that repair in the background may send |
//! | `report` | what callers may see of it |
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

use quoit_ring::wire::{Refusal, Request, Response};
use quoit_ring::{Moment, NodeId};
use smallvec::SmallVec;

use crate::env::Link;

pub(crate) use budget::Budget;
pub(crate) use bytes::ByteBudget;
use node::{Cost, Node};
pub use report::{HealthReport, NodeHealth};

/// A read waits for this long at least before it hedges, in microseconds. Timers count milliseconds, and on an
/// idle machine a process that was asleep is late by as much: a shorter wait would spend the budget on that.
const HEDGE_FLOOR: u64 = 1_000;

/// A node that reads pass by is asked again after this long, in microseconds.
const FORGOTTEN_AFTER: u64 = 1_000_000;

/// What a request asks for: reads wait for no disk, so their delay says nothing about that of writes.
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
            _ => Self::Other,
        }
    }
}

/// What an answer says about the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It did what it was asked.
    Served,
    /// It refused this request and would serve others. How quick it was says nothing.
    Refused,
    /// Its time was over before the node began. The way there says so too, of what it never sent, so it is no
    /// sign of life; and a deadline that nobody could keep is no strike.
    Expired,
    /// It has too much to do.
    Overloaded { queue_ms: u32 },
    /// It serves nobody at present.
    Unfit,
}

impl From<&Response> for Answer {
    fn from(response: &Response) -> Self {
        match response {
            Response::Refused(Refusal::Overloaded { queue_ms }) => Self::Overloaded {
                queue_ms: *queue_ms,
            },
            Response::Refused(Refusal::Draining | Refusal::NotReady | Refusal::Storage(_)) => {
                Self::Unfit
            }
            Response::Refused(Refusal::Expired) => Self::Expired,
            Response::Refused(_) => Self::Refused,
            _ => Self::Served,
        }
    }
}

/// How often something was done about a node's health.
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

/// What a read is to do beside asking the first of its replicas.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Route {
    /// How long it waits before it hedges, in microseconds; nothing if that is unknown or no less than the
    /// `hedge_all_after`.
    pub(crate) hedge_after: Option<u64>,
    /// Whom to ask as well, so that something is learnt about it: an ejected node whose time is over, or one that
    /// reads have passed by for a second since it was slow. To wait for its answer is nobody's business.
    pub(crate) probe: Option<NodeId>,
}

/// A replica, what asking it costs, and what is known of it.
type Ranked<'a> = (Cost, NodeId, Option<&'a Node>);
type Order<'a> = SmallVec<[Ranked<'a>; 3]>;

/// All nodes that were ever spoken of.
#[derive(Debug)]
pub(crate) struct Health {
    /// The longest that a read waits before it asks others, in microseconds; what is silent for longer is
    /// overdue.
    hedge_all_after: u64,
    nodes: BTreeMap<NodeId, Node>,
    pub(crate) counters: Counters,
}

impl Health {
    /// Knows nobody yet.
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

    /// Sets how the way to a node is and gives back how it was.
    pub(crate) fn set_link(&mut self, node: NodeId, link: Link, now: Moment) -> Link {
        self.node(node, now).set_link(link, now)
    }

    /// Whether a frame to the node would be sent.
    pub(crate) fn reachable(&self, node: NodeId) -> bool {
        self.nodes.get(&node).is_none_or(Node::reachable)
    }

    /// A request goes to the node. No two that are under way have one id.
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

    /// Looks for answers that are overdue.
    pub(crate) fn look(&mut self, now: Moment) {
        for node in self.nodes.values_mut() {
            let ejected = node.look(self.hedge_all_after, now);
            self.counters.ejections += u64::from(ejected);
        }
    }

    /// Sorts a read's replicas by cost, equal ones as they were, and returns what else to do when the
    /// first `count` of them are asked.
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
        let (asked, others) = order.split_at(count.min(order.len()));
        if others.is_empty() {
            return Route::default();
        }
        Route {
            hedge_after: self.hedge_after(asked),
            probe: probe(asked, others, now),
        }
    }

    /// How long a read of these replicas waits before it hedges: as long as the slowest of them takes for 19 of 20
    /// answers, of those that are waited for.
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

    /// Whether one more request to the node is likely to help a read: it is not ejected, and has not reported a
    /// queue that this would make longer.
    pub(crate) fn can_help(&self, node: NodeId, now: Moment) -> bool {
        self.nodes.get(&node).is_none_or(|node| node.can_help(now))
    }

    /// Nodes that are out of the way of reads, until they answer.
    pub(crate) fn ejected(&self) -> impl Iterator<Item = NodeId> {
        let ejected = |(&id, node): (&NodeId, &Node)| node.is_ejected().then_some(id);
        self.nodes.iter().filter_map(ejected)
    }

    /// What is known of every node, in the order of their ids.
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

/// What asking a node to read costs, the least first.
fn cost(node: Option<&Node>, now: Moment) -> Cost {
    node.map_or_else(Cost::unknown, |node| node.cost(now))
}

/// Which of the replicas that are not asked is to be asked beside the read.
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
