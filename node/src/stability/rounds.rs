//! The rounds of one node: what is asked, counted and stored, and when. Pure.
//!
//! ```text
//!   Resting --due--> Asking --all have answered, or time is up--> Promising --own promise is on the disk--> Open
//!      ^                                                                                                     |
//!      |                                        syncs that begin now count; all are over, or time is up      |
//!      '-- Forgetting <--floors are on the disk-- Storing <--------------------------------------------------'
//! ```
//!
//! A new epoch, or a member that does not promise, ends a round; an owner with which no sync comes to its end costs its leaves
//! this round. The next one begins after the interval.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::RangeInclusive;
use std::time::Duration;

use quoit_ring::change::{Known, Stretch};
use quoit_ring::wire::{Promised, Request, Response, SyncAnswer, SyncRequest};
use quoit_ring::{Epoch, Leaf, Millis, Moment, NodeId, Time};

use crate::commit::Task;

/// How long members may take to answer.
const ANSWER: Duration = Duration::from_secs(5);
/// How long this node's own disk may take: an order that got lost must not end all rounds.
const OWN: Duration = Duration::from_secs(30);
/// How many intervals syncs may take, each of which is due once in one.
const INTERVALS: u32 = 3;

/// Something to be done.
#[derive(Debug)]
pub(crate) enum RoundAct {
    /// Ask a node; its answer comes with this number.
    Ask(NodeId, u64, Request),
    /// Have the committer do this; its answer comes with this ticket.
    Order(u64, Task),
}

/// Leaves that have the same owners.
#[derive(Debug)]
struct Range {
    leaves: RangeInclusive<Leaf>,
    /// The other owners.
    owners: Vec<NodeId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Resting,
    Asking { until: Moment },
    Promising { ticket: u64, until: Moment },
    Open { until: Moment },
    Storing { ticket: u64, until: Moment },
    Forgetting { ticket: u64, until: Moment },
}

/// The rounds of one node.
#[derive(Debug)]
pub(crate) struct Rounds {
    node: NodeId,
    interval: Duration,
    max_drift_ms: u64,
    epoch: Epoch,
    ranges: Vec<Range>,
    /// All other members: one that owns nothing here any more may still have rows or hints of these leaves.
    members: BTreeSet<NodeId>,
    /// Counts rounds.
    round: u64,
    phase: Phase,
    due: Moment,
    /// Who has not answered yet, by the number of the question.
    asked: BTreeMap<u64, NodeId>,
    answers: BTreeMap<NodeId, Promised>,
    /// With which owners this node has synced since the round is open.
    synced: BTreeSet<NodeId>,
    /// Who was missing in the last round.
    waits_for: Option<NodeId>,
    last: u64,
    acts: VecDeque<RoundAct>,
}

impl Rounds {
    /// Without an interval there are none.
    pub(crate) fn new(node: NodeId, interval: Duration, max_drift_ms: u64) -> Self {
        Self {
            node,
            interval,
            max_drift_ms,
            epoch: Epoch(0),
            ranges: Vec::new(),
            members: BTreeSet::new(),
            round: 0,
            phase: Phase::Resting,
            due: Moment(0),
            asked: BTreeMap::new(),
            answers: BTreeMap::new(),
            synced: BTreeSet::new(),
            waits_for: None,
            last: 0,
            acts: VecDeque::new(),
        }
    }

    /// An epoch begins: what a round has found so far is about other owners. How many leaves this node owns in it.
    pub(crate) fn begin_epoch(&mut self, known: &Known) -> u64 {
        self.epoch = known.epoch();
        let removed = &known.configuration().removed;
        let is_there = |node: &NodeId| removed.binary_search(node).is_err();
        let members = known.topology().members().map(|member| member.id);
        let others = members.filter(|&member| member != self.node);
        self.members = others.filter(is_there).collect();
        let mut owned = 0;
        let range = |stretch: Stretch<'_>| {
            if stretch.lists.is_owner(self.node) {
                owned += u64::from(stretch.leaves.end().0 - stretch.leaves.start().0) + 1;
            }
            let owners = stretch.lists.owners().filter(|&owner| owner != self.node);
            let owners: Vec<NodeId> = owners.collect();
            let counts = stretch.lists.is_owner(self.node) && !stretch.lists.is_joint();
            (counts && owners.iter().all(is_there)).then_some(Range {
                leaves: stretch.leaves,
                owners,
            })
        };
        self.ranges = known.topology().stretches().filter_map(range).collect();
        self.waits_for = None;
        self.rest();
        owned
    }

    /// Begins a round if one is due, and ends one that takes too long. `reading` is this node's clock.
    pub(crate) fn handle_time(&mut self, reading: Time, may_begin: bool, now: Moment) {
        match self.phase {
            Phase::Resting if may_begin && self.is_due(now) => self.ask(reading, now),
            Phase::Asking { until } if until <= now => self.promise(now),
            Phase::Open { until } if until <= now => self.store(now),
            Phase::Promising { until, .. }
            | Phase::Storing { until, .. }
            | Phase::Forgetting { until, .. }
                if until <= now =>
            {
                self.rest();
            }
            _ => {}
        }
    }

    /// An operator wants one as soon as may be.
    pub(crate) fn all_now(&mut self, now: Moment) {
        self.due = now;
    }

    /// Whether syncs that begin now count, for which round, and up to which time writes must have come over: none of a later time
    /// is looked at.
    pub(crate) fn horizon(&self) -> Option<(u64, Time)> {
        let own = self.answers.get(&self.node)?;
        matches!(self.phase, Phase::Open { .. }).then_some((self.round, own.refused))
    }

    /// A sync that began while the round was open has brought over all that the other owner had.
    pub(crate) fn synced(&mut self, (peer, round): (NodeId, u64), now: Moment) {
        // One of an earlier round began before what this one was promised.
        if round != self.round || !matches!(self.phase, Phase::Open { .. }) {
            return;
        }
        self.synced.insert(peer);
        let mut owners = self.ranges.iter().flat_map(|range| &range.owners);
        if owners.all(|owner| self.synced.contains(owner)) {
            self.store(now);
        }
    }

    /// A node has answered a question.
    pub(crate) fn answered(&mut self, from: NodeId, number: u64, response: Response, now: Moment) {
        if self.asked.get(&number) != Some(&from) {
            return;
        }
        self.asked.remove(&number);
        // Later than that it says nothing: syncs that count may have begun before.
        if matches!(self.phase, Phase::Asking { .. })
            && let Response::Sync(SyncAnswer::Promised(promised)) = response
        {
            self.answers.insert(from, promised);
        }
        self.go_on(now);
    }

    /// The connection to a node broke, or could not be made.
    pub(crate) fn lost(&mut self, node: NodeId, now: Moment) {
        self.asked.retain(|_, &mut of| of != node);
        self.go_on(now);
    }

    /// The committer has carried out an order.
    pub(crate) fn done(&mut self, done: u64, response: Response, now: Moment) {
        match (self.phase, response) {
            (Phase::Promising { ticket, .. }, Response::Sync(SyncAnswer::Promised(promised)))
                if ticket == done =>
            {
                self.answers.insert(self.node, promised);
                self.synced.clear();
                let until = now + self.interval * INTERVALS;
                self.phase = Phase::Open { until };
                if self.ranges.iter().all(|range| range.owners.is_empty()) {
                    self.store(now); // it is alone
                }
            }
            // It has not handed over what it owned before, or does not know its hints.
            (Phase::Promising { ticket, .. }, _) if ticket == done => {
                self.waits_for = Some(self.node);
                self.rest();
            }
            (Phase::Storing { ticket, .. }, Response::Joined) if ticket == done => self.forget(now),
            (Phase::Forgetting { ticket, .. }, Response::Joined) if ticket == done => self.rest(),
            // There is more.
            (Phase::Forgetting { ticket, .. }, Response::Heard) if ticket == done => {
                self.forget(now);
            }
            (Phase::Storing { ticket, .. } | Phase::Forgetting { ticket, .. }, _)
                if ticket == done =>
            {
                self.rest();
            }
            _ => {}
        }
    }

    /// The next thing to do.
    pub(crate) fn poll(&mut self) -> Option<RoundAct> {
        self.acts.pop_front()
    }

    /// A member for which leaves wait: it has not promised in the last round, or no sync with it came to its end.
    pub(crate) const fn waits_for(&self) -> Option<NodeId> {
        self.waits_for
    }

    /// Whether the committer works for a round: its answers are awaited.
    pub(crate) const fn is_working(&self) -> bool {
        matches!(
            self.phase,
            Phase::Promising { .. } | Phase::Storing { .. } | Phase::Forgetting { .. }
        )
    }

    fn missing(&self) -> Option<NodeId> {
        let is_silent = |node: &NodeId| !self.answers.contains_key(node);
        let silent = self.members.iter().copied().find(is_silent);
        silent.or_else(|| {
            let mut owners = self.ranges.iter().flat_map(|range| &range.owners);
            owners.find(|owner| !self.synced.contains(owner)).copied()
        })
    }

    fn is_due(&self, now: Moment) -> bool {
        !self.interval.is_zero() && self.due <= now && !self.ranges.is_empty()
    }

    fn ask(&mut self, reading: Time, now: Moment) {
        self.due = now + self.interval;
        self.round += 1;
        self.answers.clear();
        self.asked.clear();
        for &other in &self.members {
            self.last += 1;
            self.asked.insert(self.last, other);
            let promise = Request::Sync(SyncRequest::Promise { at_most: reading });
            self.acts
                .push_back(RoundAct::Ask(other, self.last, promise));
        }
        self.phase = Phase::Asking {
            until: now + ANSWER,
        };
        self.go_on(now);
    }

    /// Goes on once nobody's answer is awaited.
    fn go_on(&mut self, now: Moment) {
        if matches!(self.phase, Phase::Asking { .. }) && self.asked.is_empty() {
            self.promise(now);
        }
    }

    /// This node's own part. No more than the others have promised: a clock that is ahead binds nobody, not even its own node.
    fn promise(&mut self, now: Moment) {
        self.asked.clear();
        self.waits_for = self.missing();
        if self.members.iter().any(|it| !self.answers.contains_key(it)) {
            return self.rest(); // no leaf could be counted
        }
        let least = self.answers.values().map(|promised| promised.refused).min();
        let ticket = self.order(Task::Promise {
            clock: Time::MAX,
            refused: least.unwrap_or(Time::MAX),
            epoch: self.epoch,
        });
        self.phase = Phase::Promising {
            ticket,
            until: now + OWN,
        };
    }

    fn store(&mut self, now: Moment) {
        self.waits_for = self.missing();
        let round: Vec<_> = self
            .ranges
            .iter()
            .filter_map(|range| self.stable(range))
            .collect();
        if round.is_empty() {
            return self.rest();
        }
        let epoch = self.epoch;
        let ticket = self.order(Task::Stabilize { epoch, round });
        self.phase = Phase::Storing {
            ticket,
            until: now + OWN,
        };
    }

    fn forget(&mut self, now: Moment) {
        let epoch = self.epoch;
        let ticket = self.order(Task::ForgetDead { epoch });
        self.phase = Phase::Forgetting {
            ticket,
            until: now + OWN,
        };
    }

    /// Up to when no write of these leaves is under way, by this round; none if somebody has not taken part.
    fn stable(&self, range: &Range) -> Option<(RangeInclusive<Leaf>, Time)> {
        let are_synced = range.owners.iter().all(|owner| self.synced.contains(owner));
        if !are_synced {
            return None;
        }
        let mut stable = Time::MAX;
        for node in self.members.iter().copied().chain([self.node]) {
            let answer = self.answers.get(&node)?;
            let is_for_an_owner =
                |target: NodeId| target == self.node || range.owners.contains(&target);
            let hints = answer
                .hints
                .iter()
                .filter(|(target, _)| is_for_an_owner(*target));
            let hints = hints.map(|(_, minted)| *minted).chain([answer.other_hints]);
            let oldest = hints.map(Time::before).min().unwrap_or(Time::MAX);
            stable = stable.min(answer.refused).min(oldest);
        }
        // Not needed by the argument: room for what it may have missed.
        let ms = stable.millis().0.checked_sub(self.max_drift_ms)?;
        let stable = Time::at(Millis(ms));
        (stable > Time::ZERO).then(|| (range.leaves.clone(), stable))
    }

    fn order(&mut self, task: Task) -> u64 {
        self.last += 1;
        self.acts.push_back(RoundAct::Order(self.last, task));
        self.last
    }

    fn rest(&mut self) {
        self.phase = Phase::Resting;
        self.asked.clear();
    }
}
