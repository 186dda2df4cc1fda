//! Getting back what was lost with the power: from the other owners of each range, page by page.
//!
//! ```text
//!   acknowledged by W owners, this one among them        this one forgets it: W - 1 others have it
//!   of the others, a majority's worth that have lost nothing      one of them has it
//!   or all of them, whatever they have lost                       nothing better exists
//! ```
//!
//! A range is *refilled* when as many of its other owners as make a majority of its list have sent all of it, each being
//! complete itself from its first page to its last; or when all others have, complete or not. So W - 1 nodes may lose power
//! at once, and nothing acknowledged is lost. If more did, the others wait for each other's word that they are incomplete,
//! and then complete each other. Who is written off is waited for by nobody.
//!
//! No fence is needed: what was lost had been acknowledged before, so others have it. But a write that was under way then
//! may be joined by another owner only now, and count as acknowledged, with this node's word from before. Puts that old are
//! refused once `max_write_age` is over, so the first page is asked for after that.
//!
//! It begins again with each epoch, and at each start: nothing of it is on the disk but the fact that it is not over. While
//! leaves move, the old list is the one that has everything; of what moves *to* this node, [`pull`](super::pull) takes care.
//!
//! Left out: who refuses reads meanwhile, and where that stands; see [`Completeness`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quoit_ring::change::Known;
use quoit_ring::change::rules::majority;
use quoit_ring::wire::{MembershipAnswer, MembershipRequest, Page, Refusal, Response};
use quoit_ring::{Epoch, Moment, NodeId};
use smallvec::SmallVec;

use super::pace::Pace;
use super::under_way::{About, UnderWay};
use crate::cluster::ClusterView;
use crate::commit::Task;
use crate::completeness::Completeness;

/// The first rest of an owner that has failed; each further one in a row is twice as long.
const FIRST_REST: Duration = Duration::from_millis(20);
/// The longest; and after what time an owner that is incomplete is asked again whether it is.
const LONGEST_REST: Duration = Duration::from_millis(500);
/// From how many owners pages come at a time.
const SOURCES: usize = 4;

/// How far this node is with one other owner.
#[derive(Debug, Clone, Default)]
struct Source {
    /// Behind which row the next page begins; empty at the beginning.
    after: Bytes,
    /// Whether it was complete at each page so far.
    was_complete: bool,
    /// All of it is here; and whether it was complete all the time.
    done: Option<bool>,
    /// It has said that it is incomplete, and nothing else since.
    is_incomplete: bool,
    /// The page that is being stored: where it ends.
    storing: Option<Bytes>,
    is_busy: bool,
    rest_until: Moment,
    failures: u32,
}

/// The other owners of some range.
#[derive(Debug)]
struct Others {
    nodes: SmallVec<[NodeId; 3]>,
    /// How many of them are enough if they are complete.
    needed: usize,
}

/// What one node is sent again in one epoch.
#[derive(Debug)]
pub(super) struct Refill {
    completeness: Arc<Completeness>,
    epoch: Epoch,
    /// Of each range that this node owns; of none while it is complete.
    lists: Vec<Others>,
    sources: BTreeMap<NodeId, Source>,
    pace: Pace,
    is_completing: bool,
    /// When it may be stored that the node is complete, after that has failed.
    complete_at: Moment,
}

impl Refill {
    pub(super) fn new(
        cluster: &ClusterView,
        completeness: Arc<Completeness>,
        known: &Known,
        bytes_per_second: u64,
    ) -> Self {
        let epoch = known.epoch();
        let removed = &known.configuration().removed;
        let lists = match completeness.is_complete() {
            true => Vec::new(),
            false => cluster.own_lists(epoch),
        };
        let others = |owners: SmallVec<[NodeId; 3]>| {
            let is_left =
                |node: &NodeId| *node != cluster.node && removed.binary_search(node).is_err();
            let nodes: SmallVec<[NodeId; 3]> = owners.iter().copied().filter(is_left).collect();
            let needed = majority(owners.len()).min(nodes.len());
            Others { nodes, needed }
        };
        Self {
            lists: lists.into_iter().map(others).collect(),
            completeness,
            epoch,
            sources: BTreeMap::new(),
            pace: Pace::new(bytes_per_second),
            is_completing: false,
            complete_at: Moment(0),
        }
    }

    /// Whether there is nothing to get back.
    pub(super) fn is_over(&self) -> bool {
        self.completeness.is_complete()
    }

    /// Asks the owners that it still needs; once it needs none, the node is complete.
    pub(super) fn act(&mut self, out: &mut UnderWay, now: Moment) {
        if self.is_over() || self.is_completing || now < self.completeness.settles_at() {
            return;
        }
        let wanted = self.wanted();
        if wanted.is_empty() {
            if now < self.complete_at {
                return;
            }
            self.is_completing = true;
            return out.order(Task::Complete { epoch: self.epoch }, About::Complete);
        }
        if !self.pace.is_free(now) {
            return;
        }
        let busy = self.sources.values().filter(|source| source.is_busy);
        let free = SOURCES.saturating_sub(busy.count());
        let is_ready = |node: &NodeId| {
            let source = self.sources.get(node);
            source.is_none_or(|source| !source.is_busy && now >= source.rest_until)
        };
        let ready: Vec<NodeId> = wanted.into_iter().filter(is_ready).collect();
        for node in ready.into_iter().take(free) {
            let source = self.sources.entry(node).or_default();
            if source.done.is_some() {
                // It was incomplete then, and may be complete now: all of it once more, if so.
                source.after = Bytes::new();
            }
            source.is_busy = true;
            let after = source.after.clone();
            let request = MembershipRequest::Refill { after };
            out.ask(node, self.epoch, (request, About::Refill), now);
        }
    }

    /// An owner has answered, or has not.
    pub(super) fn paged(
        &mut self,
        from: NodeId,
        answer: Option<Response>,
        out: &mut UnderWay,
        now: Moment,
    ) {
        let (is_complete, page) = match answer {
            Some(Response::Membership(answer)) => match *answer {
                MembershipAnswer::Refill { is_complete, page } => (is_complete, page),
                _ => return self.fail(from, now),
            },
            // It is not there yet, which is no fault of its own.
            Some(Response::Refused(Refusal::Behind | Refusal::OldEpoch)) => {
                return self.rest(from, FIRST_REST, now);
            }
            _ => return self.fail(from, now),
        };
        let Some(source) = self.sources.get_mut(&from) else {
            return;
        };
        source.is_incomplete = !is_complete;
        source.failures = 0;
        if !is_complete && !self.takes_incomplete(from) {
            return self.begin_again(from, now);
        }
        let Some(source) = self.sources.get_mut(&from) else {
            return;
        };
        let is_first = source.after.is_empty();
        source.was_complete = is_complete && (is_first || source.was_complete);
        source.done = None;
        source.storing = page.next.clone();
        self.pace.take(&page, now);
        let Page { rows, .. } = page;
        let (epoch, source) = (self.epoch, from);
        let task = Task::Refill {
            epoch,
            source,
            rows,
        };
        out.order(task, About::Refilled(from));
    }

    /// A page is stored, or is not: then it is asked for once more.
    pub(super) fn stored(&mut self, node: NodeId, response: &Response, now: Moment) {
        if *response != Response::Joined {
            tracing::debug!(source = %node, ?response, "a page of what was lost is not stored");
            return self.fail(node, now);
        }
        let Some(source) = self.sources.get_mut(&node) else {
            return;
        };
        source.is_busy = false;
        match source.storing.take() {
            Some(next) => source.after = next,
            None => source.done = Some(source.was_complete),
        }
    }

    /// The node is complete, as it is stored, or could not store that.
    pub(super) fn completed(&mut self, now: Moment) {
        self.is_completing = false;
        self.complete_at = now + LONGEST_REST;
    }

    /// The owners that it waits for, for people; empty while it waits for none of them.
    pub(super) fn waits_for(&self) -> Vec<NodeId> {
        if self.is_over() {
            return Vec::new();
        }
        self.wanted()
    }

    /// What an incomplete owner has sent so far counts no more than what it would send later.
    fn begin_again(&mut self, node: NodeId, now: Moment) {
        if let Some(source) = self.sources.get_mut(&node) {
            source.after = Bytes::new();
        }
        self.rest(node, LONGEST_REST, now);
    }

    fn fail(&mut self, node: NodeId, now: Moment) {
        let Some(source) = self.sources.get_mut(&node) else {
            return;
        };
        source.failures += 1;
        let doubled = FIRST_REST.saturating_mul(1 << source.failures.min(10));
        self.rest(node, doubled.min(LONGEST_REST), now);
    }

    fn rest(&mut self, node: NodeId, rest: Duration, now: Moment) {
        if let Some(source) = self.sources.get_mut(&node) {
            source.is_busy = false;
            source.storing = None;
            source.rest_until = now + rest;
        }
    }

    /// Which owners are still to be asked.
    fn wanted(&self) -> Vec<NodeId> {
        let open = self.lists.iter().filter(|others| !self.is_refilled(others));
        let mut wanted: Vec<NodeId> = open.flat_map(|others| self.wanted_of(others)).collect();
        wanted.sort_unstable();
        wanted.dedup();
        wanted
    }

    fn is_refilled(&self, others: &Others) -> bool {
        let done = |node: &NodeId| self.sources.get(node).and_then(|source| source.done);
        let complete = others.nodes.iter().filter(|node| done(node) == Some(true));
        complete.count() >= others.needed || others.nodes.iter().all(|node| done(node).is_some())
    }

    /// Of a range that is not refilled yet: as many as are needed, those who failed least often first, and all who were
    /// incomplete, since they may be complete now.
    fn wanted_of(&self, others: &Others) -> Vec<NodeId> {
        let state = |node: &NodeId| self.sources.get(node).cloned().unwrap_or_default();
        let nodes = others.nodes.iter().copied();
        if self.must_take_incomplete(others) {
            return nodes.filter(|node| state(node).done.is_none()).collect();
        }
        let is_done = |node: &NodeId| state(node).done == Some(true);
        let done = others.nodes.iter().filter(|node| is_done(node)).count();
        let missing = others.needed.saturating_sub(done);

        let is_lossy = |node: &NodeId| state(node).is_incomplete || state(node).done == Some(false);
        let (lossy, mut fresh): (Vec<NodeId>, Vec<NodeId>) =
            nodes.filter(|node| !is_done(node)).partition(is_lossy);
        fresh.sort_by_key(|node| state(node).failures); // stable
        fresh.truncate(missing);
        [lossy, fresh].concat()
    }

    /// Whether every other owner has sent all, or is incomplete: then nobody has more.
    fn must_take_incomplete(&self, others: &Others) -> bool {
        others.nodes.iter().all(|node| {
            let source = self.sources.get(node);
            source.is_some_and(|source| source.is_incomplete || source.done.is_some())
        })
    }

    /// Whether a page of an owner that is incomplete counts for some range.
    fn takes_incomplete(&self, from: NodeId) -> bool {
        let its = self
            .lists
            .iter()
            .filter(|others| others.nodes.contains(&from));
        let mut open = its.filter(|others| !self.is_refilled(others));
        open.any(|others| self.must_take_incomplete(others))
    }
}
