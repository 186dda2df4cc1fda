//! The sweep: values that have expired are removed, though nobody reads them. Pure.
//!
//! ```text
//!   answers of others ---> MajorityClock ---> mark
//!   time, pages, answers ---> ExpiryDriver ---> Order    by this mark, these entries: to the committer
//!                                          '--> Look     the next entries that are due, off a snapshot
//! ```
//!
//! A reader takes an expired value for dead, but it stays on the disk and in the Merkle sums until it is killed: by a reader
//! that finds it, or here. Entries (due | key) are written with each record that expires and removed with it, so the sweep walks
//! them in the order of their times and looks at nothing else.
//!
//! **One pass** goes up to one mark:
//!
//! ```text
//!   adopt    the committer joins what expires by the mark as its death from now on; no entry is added behind it
//!   look     a page of entries behind the last one that was looked at
//!   sweep    the committer reads each record again, kills what is due, and moves the sums
//! ```
//!
//! So nothing comes to lie behind the cursor, and no pass walks over the entries that earlier ones have removed. What could
//! not be read is passed over; a minute later, and each hour, a pass begins at the first entry again.
//!
//! Killing is joining what a delete at that time would have left: the value's dot stays seen, so a copy that comes late is
//! known to be dead. A sweep at one node is therefore one everywhere, and the mark is what a *majority* of the members has
//! reached ([`MajorityClock`]). It is left out while the node is incomplete or out of space.
//!
//! Invariants: one order or look at a time; what it moves in a second is bounded, and less while this node's writes wait. The
//! mark never falls within a run. Left out: tombstones that may be forgotten.

pub(crate) mod driver;
mod majority_clock;
mod page;
#[cfg(test)]
mod tests;
mod view;

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use quoit_ring::wire::{DiskLevel, Response};
use quoit_ring::{Millis, Moment, NodeId, Record, Time};

pub use self::majority_clock::MajorityClock;
use self::page::end_of;
pub use self::page::{Due, DuePage, Look, look};
pub use self::view::ExpiryView;
use crate::clock::Now;
use crate::commit::Task;
use crate::state::NodeState;

/// How long after a pass the next one begins.
const REST: Duration = Duration::from_secs(1);
/// How long after something that was refused, or could not be read.
const LONG_REST: Duration = Duration::from_secs(10);
/// How often a pass begins at the first entry.
const REWIND: Duration = Duration::from_secs(3_600);
/// The same after records that could not be read.
const REWIND_DAMAGED: Duration = Duration::from_secs(60);
/// How much of the rate may be used at once after a while in which it was not.
const BURST: Duration = Duration::from_millis(100);
/// So many bytes of records cost as much as a key.
const KEY_BYTES: u64 = 1 << 10;
/// With so many writes waiting on this node, a key costs twice as much; with twice as many, three times.
const LOADED: u64 = 64;

/// How a node sweeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpiryOptions {
    /// At most so many keys a second; a record counts once for each KiB.
    pub keys_per_second: u32,
}

/// Something to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Give the committer this order, and its answer to [`ExpiryDriver::handle_answer`].
    Order(Task),
    /// Read a page, by [`look`], and call [`ExpiryDriver::handle_page`].
    Look(Look),
}

#[derive(Debug)]
enum Phase {
    /// Until the next pass, or after something that went wrong.
    Resting(Moment),
    /// The committer is to adopt the mark of a pass.
    Adopting(Millis),
    /// The next page is read once the pace allows.
    Waiting(Millis),
    Looking(Millis),
    /// The committer kills what is due; behind that key there is more.
    Sweeping(Millis, Option<Bytes>),
}

/// A node's sweep; see the [module](self).
#[derive(Debug)]
pub struct ExpiryDriver {
    state: NodeState,
    clock: MajorityClock,
    phase: Phase,
    /// Behind this entry the next look begins.
    after: Option<Bytes>,
    rewinds_at: Moment,
    /// When the first entry behind the last pass is due.
    beyond: Option<Millis>,
    nanos_per_key: u64,
    load: u64,
    free_at: Moment,
    acts: VecDeque<Act>,
}

impl ExpiryDriver {
    /// The sweep of the node with this state, which starts `now`.
    #[must_use]
    pub fn new(state: &NodeState, options: ExpiryOptions, now: Moment) -> Self {
        Self {
            clock: MajorityClock::new(state.limits.max_clock_drift_ms),
            state: state.clone(),
            phase: Phase::Resting(now),
            after: None,
            rewinds_at: now + REWIND,
            beyond: None,
            nanos_per_key: 1_000_000_000 / u64::from(options.keys_per_second.max(1)),
            load: 0,
            free_at: Moment(0),
            acts: VecDeque::new(),
        }
    }

    /// Another node has answered something, with its clock.
    pub fn handle_clock(&mut self, from: NodeId, clock: Time, now: Moment) {
        self.clock.observe(from, clock, now);
    }

    /// Goes on with what is due, while so many writes wait here; to be called every 10 ms while it
    /// [is busy](Self::is_busy), and some times a second else.
    pub fn handle_time(&mut self, queued_writes: u32, now: Now) {
        self.load = u64::from(queued_writes);
        match self.phase {
            Phase::Resting(until) if until <= now.mono => self.begin(now),
            Phase::Waiting(mark) => self.look_on(mark, now.mono),
            _ => {}
        }
    }

    /// The committer has answered the last order.
    pub fn handle_answer(&mut self, response: &Response, now: Moment) {
        let is_done = *response == Response::Joined;
        match std::mem::replace(&mut self.phase, Phase::Resting(now + LONG_REST)) {
            Phase::Adopting(mark) if is_done => self.look_on(mark, now),
            Phase::Sweeping(mark, next) if is_done => self.walk_on(mark, next, now),
            // Refused: the cursor is where it was.
            Phase::Adopting(_) | Phase::Sweeping(..) => {}
            phase => self.phase = phase,
        }
    }

    /// A page was read; none if it could not be.
    pub fn handle_page(&mut self, page: Option<DuePage>, now: Moment) {
        let Phase::Looking(mark) = self.phase else {
            return;
        };
        let Some(page) = page else {
            return self.phase = Phase::Resting(now + LONG_REST);
        };
        self.beyond = page.beyond;
        self.charge(&page, now);
        let Some(&(oldest, _)) = page.due.first() else {
            return self.walk_on(mark, page.next, now);
        };
        self.state.expiry.set_oldest(Some(oldest));
        self.phase = Phase::Sweeping(mark, page.next);
        let due = page.due;
        self.acts.push_back(Act::Order(Task::Sweep { mark, due }));
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<Act> {
        self.acts.pop_front()
    }

    /// Whether a pass is under way.
    #[must_use]
    pub const fn is_busy(&self) -> bool {
        !matches!(self.phase, Phase::Resting(_))
    }

    /// Begins a pass, if this node may and a majority has come further.
    fn begin(&mut self, now: Now) {
        self.phase = Phase::Resting(now.mono + REST);
        let state = &self.state;
        if !state.completeness.is_complete() || state.stats.disk().0 == DiskLevel::Full {
            return;
        }
        let own = (state.cluster.node, state.clock.reading(now));
        let Some(mark) = self.clock.mark(own, &members(state), now.mono) else {
            return;
        };
        if now.mono >= self.rewinds_at {
            self.rewinds_at = now.mono + REWIND;
            self.after = None;
        }
        self.phase = Phase::Adopting(mark);
        let due = Vec::new();
        self.acts.push_back(Act::Order(Task::Sweep { mark, due }));
    }

    /// Reads the next page, if the pace allows.
    fn look_on(&mut self, mark: Millis, now: Moment) {
        if self.free_at > now + BURST {
            self.phase = Phase::Waiting(mark);
            return;
        }
        let after = self.after.clone();
        self.phase = Phase::Looking(mark);
        self.acts.push_back(Act::Look(Look { mark, after }));
    }

    /// A page is over.
    fn walk_on(&mut self, mark: Millis, next: Option<Bytes>, now: Moment) {
        if next.is_some() {
            self.after = next;
            return self.look_on(mark, now);
        }
        self.after = Some(end_of(mark));
        if self.state.expiry.take_passed_over() {
            self.rewinds_at = self.rewinds_at.min(now + REWIND_DAMAGED);
        }
        self.state.expiry.set_oldest(self.beyond);
        self.phase = Phase::Resting(now + REST);
    }

    /// A page takes its time: more of it the more of the node's writes wait.
    fn charge(&mut self, page: &DuePage, now: Moment) {
        let keys = u64::try_from(page.looked).unwrap_or(u64::MAX);
        let keys = keys.max(page.bytes / KEY_BYTES);
        let nanos = keys.saturating_mul(self.nanos_per_key) / LOADED;
        let cost = Duration::from_nanos(nanos.saturating_mul(LOADED + self.load));
        self.free_at = self.free_at.max(now) + cost;
    }
}

/// The members by the newest epoch, but for those that are written off.
fn members(state: &NodeState) -> Vec<NodeId> {
    let newest = state.cluster.newest();
    let removed = &newest.configuration().removed;
    let members = newest.topology().members().map(|member| member.id);
    members
        .filter(|id| removed.binary_search(id).is_err())
        .collect()
}

/// Kills what expires by `mark`; how many values those are.
pub(crate) fn bury(record: &mut Record, mark: Millis) -> usize {
    let before = record.live().len();
    let is_over = |expiry: Option<Millis>| expiry.is_some_and(|expiry| expiry <= mark);
    if record.live().iter().any(|sibling| is_over(sibling.expiry)) {
        *record = record.at(mark);
    }
    before - record.live().len()
}
