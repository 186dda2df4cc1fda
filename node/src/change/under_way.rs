//! What has been asked and not answered yet: requests to other nodes, and orders to this node's own committer.
//!
//! ```text
//!   ask(to, request) --> to another node: Act::Send, lost or late after a while
//!                    '-> to this node:    Act::Order, never late
//! ```
//!
//! A node asks itself as it asks any other, and the answers are alike, so nothing that decides has two cases.
//!
//! Invariant: an answer counts for what it answers, once: by its id, and from the node that was asked.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use quoit_ring::consensus::Ballot;
use quoit_ring::wire::{MembershipRequest, Request, RequestFrame};
use quoit_ring::{Epoch, Moment, NodeId};

use super::Act;
use crate::commit::Task;

/// Ids of these requests have this bit, and those of hints, which share the links, have not.
const OURS: u64 = 1 << 63;

/// How long a node may take to answer; what is later counts as lost.
const BUDGET: Duration = Duration::from_secs(2);

/// How much later an answer may still come.
const LATEST: Duration = Duration::from_secs(10);

/// What a request is about, and so who wants its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum About {
    /// A vote, asked for by this ballot.
    Vote(Ballot),
    /// Whether a node knows the newest epoch.
    Learn,
    /// How far a node is in this epoch.
    Progress(Epoch),
    /// What is agreed on in an epoch that somebody has announced.
    Map,
    /// A page of what this node pulls.
    Page,
    /// Whether a page of this source is stored here.
    Stored(NodeId),
    /// A page of what this node has lost.
    Refill,
    /// Whether a page of that of this source is stored here.
    Refilled(NodeId),
    /// Whether it is stored that this node has all again.
    Complete,
    /// Whether this node itself refuses older epochs.
    Fenced,
    /// Sums below this node of the tree's last level but one.
    Sums(u32),
    /// What an owner holds of this row of the page that is being handed over.
    Held(usize),
    /// Whether an owner has joined this row of the page that is being pushed.
    Pushed(usize),
    /// Whether rows of leaves that this node does not own are gone.
    Forgotten,
    /// Whether the leaves that come to this node are empty, and taken.
    Taken,
}

#[derive(Debug)]
struct Asked {
    to: NodeId,
    about: About,
    deadline: Option<Moment>,
    /// It is late, and counts if it comes all the same.
    is_late: bool,
}

/// What is to be done, and what is under way.
#[derive(Debug)]
pub(super) struct UnderWay {
    node: NodeId,
    last: u64,
    asked: BTreeMap<u64, Asked>,
    acts: VecDeque<Act>,
}

impl UnderWay {
    pub(super) const fn new(node: NodeId) -> Self {
        Self {
            node,
            last: OURS,
            asked: BTreeMap::new(),
            acts: VecDeque::new(),
        }
    }

    /// Whether an id is one of these requests'.
    pub(super) const fn is_ours(id: u64) -> bool {
        id & OURS != 0
    }

    /// Asks a node, or this one, about an epoch.
    pub(super) fn ask(
        &mut self,
        to: NodeId,
        epoch: Epoch,
        (request, about): (MembershipRequest, About),
        now: Moment,
    ) {
        if to != self.node {
            return self.send(to, epoch, (Request::Membership(request), about), now);
        }
        // It never pulls from itself.
        let Some(task) = Task::of(request, epoch) else {
            return debug_assert!(false, "{about:?} is for others");
        };
        self.order(task, about);
    }

    /// Sends another node a request.
    pub(super) fn send(
        &mut self,
        to: NodeId,
        epoch: Epoch,
        (request, about): (Request, About),
        now: Moment,
    ) {
        let id = self.note(to, about, Some(now + BUDGET));
        let frame = RequestFrame {
            id,
            epoch,
            budget_ms: u32::try_from(BUDGET.as_millis()).unwrap_or(u32::MAX),
            request,
        };
        self.acts.push_back(Act::Send { to, frame });
    }

    /// Asks a node that knows a newer epoch for it, unless it is being asked.
    pub(super) fn catch_up(&mut self, from: NodeId, known: Epoch, now: Moment) {
        let mut asked = self.asked.values();
        if from != self.node && !asked.any(|asked| asked.about == About::Map) {
            self.send(from, known, (Request::Map, About::Map), now);
        }
    }

    /// Gives this node's committer an order.
    pub(super) fn order(&mut self, task: Task, about: About) {
        let ticket = self.note(self.node, about, None);
        self.acts.push_back(Act::Order { ticket, task });
    }

    /// Wants rows read that this node does not own in this epoch: those behind `after`.
    pub(super) fn look(&mut self, epoch: Epoch, after: Option<Bytes>) {
        self.acts.push_back(Act::Look { epoch, after });
    }

    /// What was pulled or pushed in an epoch that is over has no meaning any more.
    pub(super) fn begin_epoch(&mut self) {
        self.asked.retain(|_, asked| {
            matches!(asked.about, About::Learn | About::Progress(_) | About::Map)
        });
    }

    fn note(&mut self, to: NodeId, about: About, deadline: Option<Moment>) -> u64 {
        self.last += 1;
        let asked = Asked {
            to,
            about,
            deadline,
            is_late: false,
        };
        self.asked.insert(self.last, asked);
        self.last
    }

    /// What `from` has answered with this id, unless nothing was asked, or it is too late.
    pub(super) fn answered(&mut self, from: NodeId, id: u64) -> Option<About> {
        let asked = self.asked.get(&id).filter(|asked| asked.to == from)?;
        debug_assert!(asked.deadline.is_some() || from == self.node, "an order");
        self.asked.remove(&id).map(|asked| asked.about)
    }

    /// There is no connection to a node: nothing that it was asked will be answered.
    pub(super) fn lost(&mut self, node: NodeId) -> Vec<About> {
        let lost = self
            .asked
            .extract_if(.., |_, asked| asked.to == node && asked.deadline.is_some());
        lost.map(|(_, asked)| asked.about).collect()
    }

    /// What should have been answered by now. What a node knows counts also if it comes later: a node with much to do
    /// would be asked again and again, and never heard.
    pub(super) fn late(&mut self, now: Moment) -> Vec<(NodeId, About)> {
        let mut late = Vec::new();
        self.asked.retain(|_, asked| {
            if asked.deadline.is_none_or(|deadline| deadline > now) {
                return true;
            }
            if !asked.is_late {
                late.push((asked.to, asked.about));
            }
            let counts = matches!(asked.about, About::Learn | About::Progress(_));
            let is_first = !std::mem::replace(&mut asked.is_late, true);
            asked.deadline = Some(now + LATEST);
            counts && is_first
        });
        late
    }

    /// The next thing to be done.
    pub(super) fn poll(&mut self) -> Option<Act> {
        self.acts.pop_front()
    }
}
