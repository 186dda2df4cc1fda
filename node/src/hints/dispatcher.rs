//! The dispatcher: which hints are read, sent and removed, and when. Pure.
//!
//! ```text
//!   handle_time(what is kept)   handle_page   handle_answer   handle_lost
//!             \                      |              |             /
//!              +--------------->  HintDispatcher: a queue per target, what is under way
//!                                    |
//!                                poll: Load | Send | Remove
//! ```
//!
//! A hint goes to its target while that owns the key, otherwise to all owners; it is removed once each of them has
//! joined it. The dispatcher does not know which nodes are away: the first hint of a queue is the probe, and after a
//! timeout or a broken connection the queue rests.
//!
//! Nothing is sent while this node cannot store removals: a hint that stays after its delivery would be delivered
//! for ever. A removal that its queue does not take makes the target's queue rest.
//!
//! What a refusal means for the other hints is decided by its scope: one that is about the hint alone skips it, one
//! that is about the target or about this node rests the queue. Refused hints are kept, counted and tried again.
//!
//! Invariant: a removed hint was joined by all its receivers.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quoit_ring::wire::{
    Kept, Refusal, RefusalScope, RefusedHints, Request, RequestFrame, Response, decode_record,
};
use quoit_ring::{Leaf, Moment, NodeId, Record};

use super::page::{Hint, Page};
use super::queue::{LONGEST_REST, MAX_WINDOW, QueueStep, TargetQueue};
use super::usage::{Gap, HintUsage, is_in_gap};
use crate::cluster::ClusterView;
use crate::write::{Change, Destination, Write};

/// How long a node may take to join a hint; what is later counts as lost.
const BUDGET: Duration = Duration::from_secs(5);

/// Something to be done.
#[derive(Debug)]
pub enum Act {
    /// Read the page of the target's hints that comes behind a key, and call [`HintDispatcher::handle_page`].
    Load {
        /// The node for which they are kept.
        target: NodeId,
        /// Behind which key.
        after: Option<Bytes>,
    },
    /// Send a frame to a node, over a connection that is made if there is none.
    Send {
        /// The receiver.
        to: NodeId,
        /// The frame.
        frame: RequestFrame,
    },
    /// Have a row removed, unless more was added to it.
    Remove(Delivered),
}

/// A hint that has been delivered.
#[derive(Debug)]
pub struct Delivered {
    target: NodeId,
    key: Bytes,
    leaf: Leaf,
    record: Record,
    bytes: usize,
}

impl Delivered {
    /// The write that removes it; nobody waits for its answer. If it gets lost the hint is delivered again, which
    /// changes nothing.
    #[must_use]
    pub fn removal<R>(self, now: Moment) -> Write<R> {
        Write {
            id: 0,
            epoch: None,
            reply: None,
            destination: Destination::Hint(self.target),
            key: self.key,
            leaf: self.leaf,
            change: Change::Delivered(self.record),
            bytes: self.bytes,
            arrived: now,
            deadline: now + BUDGET,
        }
    }
}

/// One hint under way.
#[derive(Debug)]
struct Job {
    target: NodeId,
    hint: Hint,
    leaf: Leaf,
    /// Who has not joined it yet.
    left: Vec<NodeId>,
    deadline: Moment,
}

/// Delivers the hints of one node; see the [module](crate::hints).
pub struct HintDispatcher {
    cluster: Arc<ClusterView>,
    /// The time that the rate gives one hint.
    pace: Duration,
    max_window: u32,
    queues: BTreeMap<NodeId, TargetQueue>,
    jobs: BTreeMap<u64, Job>,
    last_id: u64,
    acts: VecDeque<Act>,
    /// Whether this node stores the removal of what is delivered.
    removes: bool,
    /// Where hints must not be delivered yet.
    uncounted: Vec<Gap>,
}

impl fmt::Debug for HintDispatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HintDispatcher")
            .field("queues", &self.queues.len())
            .field("jobs", &self.jobs.len())
            .finish_non_exhaustive()
    }
}

impl HintDispatcher {
    /// A dispatcher for the node of `cluster` that sends at most so many hints a second to each target.
    #[must_use]
    pub fn new(cluster: Arc<ClusterView>, hints_per_second: u32) -> Self {
        Self {
            cluster,
            pace: Duration::from_secs(1) / hints_per_second.max(1),
            max_window: MAX_WINDOW,
            queues: BTreeMap::new(),
            jobs: BTreeMap::new(),
            last_id: 0,
            acts: VecDeque::new(),
            removes: true,
            uncounted: Vec::new(),
        }
    }

    /// Lets at most so many hints be under way to each target, in place of [`MAX_WINDOW`].
    #[must_use]
    pub const fn with_max_window(mut self, hints: u32) -> Self {
        self.max_window = hints;
        self
    }

    /// Whether as many hints are under way to some target as ever may be.
    #[must_use]
    pub fn is_window_full(&self) -> bool {
        self.queues.values().any(TargetQueue::is_window_full)
    }

    /// Whether nothing is kept and nothing under way.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.queues.is_empty() && self.acts.is_empty()
    }

    /// Looks what is kept, as [`Self::handle_time`], and reports what is refused; to be called ten times a second, or
    /// once a second while it [is idle](Self::is_idle).
    pub fn look_after(&mut self, usage: &HintUsage, now: Moment) {
        self.removes = usage.takes_removals();
        self.uncounted = usage.gaps();
        self.handle_time(&usage.kept().unwrap_or_default(), now);
        usage.set_refused(self.refused());
    }

    /// Looks what is `kept` and what has taken too long.
    pub fn handle_time(&mut self, kept: &[Kept], now: Moment) {
        for kept in kept {
            self.queues
                .entry(kept.target)
                .or_insert_with(|| TargetQueue::new(self.max_window))
                .note_kept(kept.count, now);
        }
        let keeps = |target: NodeId| kept.iter().any(|kept| kept.target == target);
        self.queues
            .retain(|&target, queue| keeps(target) || !queue.is_idle());
        let late = |(&id, job): (&u64, &Job)| (job.deadline <= now).then_some(id);
        let late: Vec<u64> = self.jobs.iter().filter_map(late).collect();
        for id in late {
            self.fail(id, Duration::ZERO, now);
        }
        self.pump(now);
    }

    /// Takes a page that was asked for; none if it could not be read.
    pub fn handle_page(&mut self, target: NodeId, page: Option<Page>, now: Moment) {
        if let Some(queue) = self.queues.get_mut(&target) {
            match page {
                Some(page) => {
                    let unreadable = page.unreadable;
                    let is_log_due = queue.loaded(page, now);
                    let gaps = &self.uncounted;
                    if !gaps.is_empty() {
                        queue.leave_out(|key| is_in_gap(gaps, target, key));
                    }
                    if is_log_due {
                        tracing::error!(target_node = %target, unreadable, "hints cannot be read");
                    }
                }
                None => queue.not_loaded(now),
            }
        }
        self.pump(now);
    }

    /// Takes a node's answer to the request with this id.
    pub fn handle_answer(&mut self, from: NodeId, id: u64, response: &Response, now: Moment) {
        let awaited = |job: &&mut Job| job.left.contains(&from);
        let Some(job) = self.jobs.get_mut(&id).filter(awaited) else {
            return;
        };
        match response {
            Response::Joined => {
                job.left.retain(|&node| node != from);
                if job.left.is_empty() {
                    self.deliver(id);
                }
            }
            Response::Refused(refusal) => self.refuse(id, *refusal, now),
            // Not an answer to a repair.
            _ => self.fail(id, Duration::ZERO, now),
        }
        self.pump(now);
    }

    /// The connection to a node broke, or could not be made: nothing that was sent to it will be answered.
    pub fn handle_lost(&mut self, node: NodeId, now: Moment) {
        let waits = |(&id, job): (&u64, &Job)| job.left.contains(&node).then_some(id);
        let lost: Vec<u64> = self.jobs.iter().filter_map(waits).collect();
        for id in lost {
            self.fail(id, Duration::ZERO, now);
        }
        self.pump(now);
    }

    /// A node is heard again: its hints need not rest any longer.
    pub fn handle_back(&mut self, node: NodeId, now: Moment) {
        if let Some(queue) = self.queues.get_mut(&node) {
            queue.end_rest(now);
        }
        self.pump(now);
    }

    /// The removal of a hint for `target` was not taken: it would be delivered again at once.
    pub fn handle_unremoved(&mut self, target: NodeId, now: Moment) {
        if let Some(queue) = self.queues.get_mut(&target) {
            queue.not_removed(now);
        }
    }

    /// The hints that their targets refuse at present.
    #[must_use]
    pub fn refused(&self) -> Option<RefusedHints> {
        let refusals = (self.queues.iter())
            .filter_map(|(&target, queue)| queue.refusals().map(|refusals| (target, refusals)));
        let mut count = 0;
        let counted = refusals.inspect(|(_, (of_target, ..))| count += of_target);
        let (target, (_, _, reason)) = counted.max_by_key(|&(_, (_, at, _))| at)?;
        Some(RefusedHints {
            count,
            target,
            reason,
        })
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<Act> {
        self.acts.pop_front()
    }

    /// Lets every queue go as far as it may.
    fn pump(&mut self, now: Moment) {
        if !self.removes {
            return;
        }
        let mut steps = Vec::new();
        for (&target, queue) in &mut self.queues {
            while let Some(step) = queue.step(self.pace, now) {
                steps.push((target, step));
            }
        }
        for (target, step) in steps {
            match step {
                QueueStep::Load(after) => self.acts.push_back(Act::Load { target, after }),
                QueueStep::Send(hint) => self.send(target, hint, now),
            }
        }
    }

    fn send(&mut self, target: NodeId, hint: Hint, now: Moment) {
        // Others may be fenced already where this node is not yet.
        let newest = self.cluster.newest();
        let leaf = self.cluster.leaf_of(&hint.key);
        let owners = newest.topology().lists_of_leaf(leaf);
        let left: Vec<NodeId> = if owners.is_owner(target) {
            vec![target]
        } else {
            owners.owners().collect()
        };
        self.last_id += 1;
        for &to in &left {
            let request = Request::Repair {
                key: hint.key.clone(),
                record: hint.record.clone(),
            };
            let frame = RequestFrame {
                id: self.last_id,
                epoch: newest.epoch(),
                budget_ms: u32::try_from(BUDGET.as_millis()).unwrap_or(u32::MAX),
                request,
            };
            self.acts.push_back(Act::Send { to, frame });
        }
        let deadline = now + BUDGET;
        let job = Job {
            target,
            hint,
            leaf,
            left,
            deadline,
        };
        self.jobs.insert(self.last_id, job);
    }

    /// Everyone has joined it.
    fn deliver(&mut self, id: u64) {
        let Some((job, queue)) = self.take(id) else {
            return;
        };
        queue.delivered(&job.hint);
        match decode_record(&job.hint.record) {
            Ok(record) => self.acts.push_back(Act::Remove(Delivered {
                target: job.target,
                leaf: job.leaf,
                record,
                bytes: job.hint.key.len() + job.hint.record.len(),
                key: job.hint.key,
            })),
            // Its target has just made sense of it, so this cannot be.
            Err(error) => tracing::error!(%error, "a hint that was delivered cannot be read"),
        }
    }

    fn fail(&mut self, id: u64, rest: Duration, now: Moment) {
        if let Some((job, queue)) = self.take(id) {
            queue.failed(&job.hint, rest, now);
        }
    }

    /// A receiver refused it.
    fn refuse(&mut self, id: u64, reason: Refusal, now: Moment) {
        let Some((job, queue)) = self.take(id) else {
            return;
        };
        let rest = match (reason.scope(), reason) {
            (RefusalScope::Request, _) => None,
            (RefusalScope::Node, Refusal::Overloaded { queue_ms }) => {
                Some(Duration::from_millis(u64::from(queue_ms)))
            }
            (RefusalScope::Node, _) => Some(Duration::ZERO),
            // What is wrong with this node's ring or certificate, no other hint will mend.
            (RefusalScope::Sender, _) => Some(LONGEST_REST),
        };
        if queue.refused(&job.hint, reason, rest, now) {
            let refused = queue.refusals().map_or(0, |(count, ..)| count);
            tracing::warn!(
                target_node = %job.target, %reason, refused,
                "a hint was refused: it is kept, and tried again later"
            );
        }
    }

    fn take(&mut self, id: u64) -> Option<(Job, &mut TargetQueue)> {
        let job = self.jobs.remove(&id)?;
        let queue = self.queues.get_mut(&job.target)?;
        Some((job, queue))
    }
}

#[cfg(test)]
mod tests;
