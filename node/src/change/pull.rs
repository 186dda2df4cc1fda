//! Pulling what moves to this node: from a majority of the old owners, page by page.
//!
//! ```text
//!   source n1   page --stored--> page --stored--> ... --> done, on the disk
//!   source n2   page --stored--> ...                              a majority of each old list: complete
//! ```
//!
//! A page is asked for once the one before it is stored together with the place where it ends ([`PullProgress`]), so a node
//! that restarts goes on where it was. One page at a time comes from a source, and no more bytes a second than are configured: the
//! node's clients come first. A source that fails, or is not fenced yet, is asked again later; another old owner takes
//! its place meanwhile.
//!
//! From an old owner that leaves for good is pulled, too, beyond a majority: what nobody else holds would go with it. How
//! long that is waited for is for the driver of the change to say.
//!
//! Left out: when all receivers together are complete, which is for whoever drives the change to say.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use quoit_ring::change::{Known, MovingRange};
use quoit_ring::wire::{MembershipAnswer, MembershipRequest, Refusal, Response};
use quoit_ring::{Epoch, Moment, NodeId};

use super::pace::Pace;
use super::under_way::{About, UnderWay};
use crate::cluster::ClusterView;
use crate::commit::{PullProgress, Task};

/// The first rest of a source that has failed; each further one in a row is twice as long.
const FIRST_REST: Duration = Duration::from_millis(20);
/// The longest.
const LONGEST_REST: Duration = Duration::from_secs(1);
/// From how many sources pages come at a time.
const SOURCES: usize = 4;

/// One old owner that is pulled from.
#[derive(Debug, Clone, Copy, Default)]
struct Source {
    is_busy: bool,
    rest_until: Moment,
    failures: u32,
}

/// What one node pulls in one epoch.
#[derive(Debug)]
pub(super) struct Pull {
    cluster: Arc<ClusterView>,
    epoch: Epoch,
    /// Who owned what comes to this node, and who is to.
    moving: Vec<MovingRange>,
    /// Old owners that are no members after the change.
    leavers: Vec<NodeId>,
    progress: Arc<PullProgress>,
    sources: BTreeMap<NodeId, Source>,
    pace: Pace,
}

impl Pull {
    /// What the node of `cluster` pulls in the epoch of `known`; `progress` says how far it is on the disk.
    pub(super) fn new(
        cluster: Arc<ClusterView>,
        known: &Known,
        progress: Arc<PullProgress>,
        bytes_per_second: u64,
    ) -> Self {
        let node = cluster.node;
        let mut moving = known.moving();
        moving.retain(|moving| moving.change().receivers().any(|it| it == node));
        let old = moving.iter().flat_map(|moving| moving.change().old);
        let stays = |node: NodeId| {
            let change = known.topology().change();
            change.is_none_or(|(target, _)| target.member(node).is_some())
        };
        let old = old.filter(|old| known.configuration().removed.binary_search(old).is_err());
        let mut leavers: Vec<NodeId> = old.copied().filter(|&old| !stays(old)).collect();
        leavers.sort_unstable();
        leavers.dedup();

        Self {
            cluster,
            epoch: known.epoch(),
            moving,
            leavers,
            progress,
            sources: BTreeMap::new(),
            pace: Pace::new(bytes_per_second),
        }
    }

    /// Whether there is nothing to pull, or no more.
    pub(super) fn is_complete(&self) -> bool {
        self.wanted().is_empty()
    }

    /// Asks the sources that it still needs.
    pub(super) fn act(&mut self, out: &mut UnderWay, now: Moment) {
        if self.moving.is_empty() || !self.pace.is_free(now) {
            return;
        }
        // What is left of an earlier ownership goes first: until then no page can be stored.
        if !self.cluster.has_taken(self.epoch) {
            return;
        }
        let busy = self.sources.values().filter(|source| source.is_busy);
        let free = SOURCES.saturating_sub(busy.count());
        let is_ready = |node: &NodeId| {
            let source = self.sources.get(node).copied().unwrap_or_default();
            !source.is_busy && now >= source.rest_until
        };
        let ready: Vec<NodeId> = self.wanted().into_iter().filter(is_ready).collect();
        for node in ready.into_iter().take(free) {
            let source = self.sources.entry(node).or_default();
            let after = self.progress.cursor(self.epoch, node);
            let Some(after) = after else {
                continue;
            };
            source.is_busy = true;
            let request = MembershipRequest::Pull { after };
            out.ask(node, self.epoch, (request, About::Page), now);
        }
    }

    /// A source has answered, or has not.
    pub(super) fn paged(
        &mut self,
        from: NodeId,
        answer: Option<Response>,
        out: &mut UnderWay,
        now: Moment,
    ) {
        let page = match answer {
            Some(Response::Membership(answer)) => match *answer {
                MembershipAnswer::Page(page) => page,
                _ => return self.fail(from, now),
            },
            // It is not there yet, which is no fault of its own.
            Some(Response::Refused(Refusal::Behind | Refusal::OldEpoch)) => {
                return self.rest(from, FIRST_REST, now);
            }
            _ => return self.fail(from, now),
        };
        self.pace.take(&page, now);
        let task = Task::Store {
            epoch: self.epoch,
            source: from,
            page,
        };
        out.order(task, About::Stored(from));
    }

    /// A page is stored, or is not: then it is asked for once more.
    pub(super) fn stored(&mut self, source: NodeId, response: &Response, now: Moment) {
        if *response != Response::Joined {
            tracing::debug!(%source, ?response, "a page that was pulled is not stored");
            return self.fail(source, now);
        }
        if let Some(source) = self.sources.get_mut(&source) {
            source.is_busy = false;
            source.failures = 0;
        }
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
            source.rest_until = now + rest;
        }
    }

    /// Which sources are still to be pulled from.
    fn wanted(&self) -> Vec<NodeId> {
        let stored = self.progress.done(self.epoch);
        let done = |node: NodeId| stored.contains(&node);
        let failures = |node| self.sources.get(&node).map_or(0, |it| it.failures);
        let needed = self.moving.iter().flat_map(|moving| {
            let range = moving.change();
            range.sources(self.cluster.node, done, failures)
        });
        let leavers = self.leavers.iter().copied();
        let leavers = leavers.filter(|&node| node != self.cluster.node && !done(node));
        let mut wanted: Vec<NodeId> = needed.chain(leavers).collect();
        wanted.sort_unstable();
        wanted.dedup();
        wanted
    }
}
