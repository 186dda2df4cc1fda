//! Anti-entropy: owners of the same leaves find what differs between them, and repair it. Pure.
//!
//! ```text
//!   time, answers, pages ---> SyncDriver ---> Send     to the other owner
//!                               |   |         Look     keys of leaves, read off this node's own disk
//!                        Schedule   Session   Write    joined here, like any repair
//! ```
//!
//! What a client could not hand over (it died, the queue of hints was full, a disk lost a row) differs between replicas until
//! somebody reads it. A node compares its Merkle sums with those of each other owner of its leaves, goes down to the keys that
//! differ, and joins their records both ways:
//!
//! ```text
//!   total      16 bytes; equal for most: that is all
//!   children   8 bytes each, level by level, where they differ
//!   keys       of the leaves that differ, 8 bytes each and the key
//!   records    of the keys that differ, whoever lacks them
//! ```
//!
//! Everything is about one epoch, whose leaves that move are left out; with the next one it begins again. While the disk is
//! short of space nothing begins: what it would bring is refused.
//!
//! Sums are of live values. So a delete is found as a value that is there and not here, and the tombstone is joined as any
//! record; two that differ in what they have seen alone are equal, as they are to every reader.
//!
//! Invariants: it changes nothing but by joins, so an answer may be late, lost or stale. One sync at a time; what it reads here
//! and there and writes in a second is bounded, and less while this node's writes wait.
//!
//! A sync that a round of stability waits for says whether it has brought over all older writes ([`stability`](crate::stability)).
//!
//! Source: Dynamo (2007), section 4.7.

mod descent;
pub(crate) mod driver;
mod exchange;
mod pairing;
mod schedule;
mod session;
#[cfg(test)]
mod tests;
mod view;

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quoit_ring::wire::{DiskLevel, MemberState, Request, RequestFrame, Response, ResponseFrame};
use quoit_ring::{Epoch, Millis, Moment, NodeId};
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};

use self::schedule::{HEARD, Schedule};
use self::session::{ANSWER_DEADLINE, LONGEST_WAIT, Session, Step};
pub use self::session::{Ended, Failure, Tally};
pub use self::view::{PeerSync, SyncView};
use crate::clock::Now;
use crate::commit::Task;
use crate::engine::{EngineError, Snapshot};
use crate::register::{Ask, Settling};
use crate::stability::{RoundAct, Rounds};
use crate::state::NodeState;
use crate::storage::{LeafPage, LeafRow, WantedLeaves, read_leaf_page};
use crate::write::{Change, Destination, Write};

/// Ids of these requests have this bit, and none above it; those of hints have none of the three.
const OURS: u64 = 1 << 61;
/// Those of rounds of stability have this one, too.
const ROUNDS: u64 = 1 << 60;
/// Those that end a conditional write of others have this one.
const SETTLES: u64 = 1 << 59;
/// What a request costs beside its bytes, in bytes: it is read and joined by itself.
const REQUEST: u64 = 256;
/// How much of the rate may be used at once after a while in which it was not.
const BURST: Duration = Duration::from_millis(100);
/// The longest rest for one thing that was moved.
const LONGEST_REST: Duration = Duration::from_secs(1);
/// How long a node that is overloaded is left alone.
const OVERLOADED: Duration = Duration::from_millis(200);
/// With so many writes waiting on this node, a byte costs twice as much; with twice as many, three times.
const LOADED: u64 = 64;

/// How a node syncs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyncOptions {
    /// How long after a sync the next one with the same node begins; zero to begin none but those that are ordered.
    pub interval: Duration,
    /// At most so many bytes a second, read and written.
    pub bytes_per_second: u64,
}

/// Something to be done.
#[derive(Debug)]
pub enum Act {
    /// Send a frame to a node, over a connection that is made if there is none.
    Send {
        /// The receiver.
        to: NodeId,
        /// The frame.
        frame: RequestFrame,
    },
    /// Read a page of keys, by [`look`], and call [`SyncDriver::handle_page`].
    Look(Look),
    /// Join a record here; if it cannot be taken now, call [`SyncDriver::handle_refused`].
    Write(Repair),
    /// Have the committer do this, for [`Asker::Rounds`](crate::commit::Asker::Rounds) with this ticket; if it cannot be taken
    /// now, call [`SyncDriver::handle_done`] with a refusal.
    Order {
        /// Names the order.
        ticket: u64,
        /// What is to be done.
        task: Task,
    },
}

/// A page of keys to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// Names the sync.
    pub session: u64,
    /// The leaves, ascending.
    leaves: Vec<u32>,
    /// Behind which key.
    after: Option<Bytes>,
}

/// A record to be joined.
#[derive(Debug)]
pub struct Repair {
    epoch: Epoch,
    key: Bytes,
    change: Change,
    bytes: usize,
}

impl Repair {
    /// The write that does it.
    #[must_use]
    pub fn write<R>(self, state: &NodeState, now: Moment) -> Write<R> {
        Write {
            id: 0,
            epoch: Some(self.epoch),
            reply: None,
            destination: Destination::Record,
            leaf: state.cluster.leaf_of(&self.key),
            key: self.key,
            change: self.change,
            bytes: self.bytes,
            arrived: now,
            deadline: now + LONGEST_WAIT,
        }
    }
}

/// Reads a page of keys.
///
/// # Errors
/// The engine's, if it cannot say which keys there are.
pub fn look<S: Snapshot>(
    snapshot: &S,
    state: &NodeState,
    look: &Look,
) -> Result<LeafPage, EngineError> {
    let after = look.after.as_deref();
    let wanted = WantedLeaves {
        leaves: &look.leaves,
        after: after.map(|key| (state.cluster.leaf_of(key), key)),
    };
    read_leaf_page(snapshot, wanted, (state.sums.key(), state.cluster.node))
}

/// A node's part in anti-entropy; see the [module](self).
pub struct SyncDriver {
    state: NodeState,
    epoch: Epoch,
    schedule: Schedule,
    rounds: Rounds,
    settling: Settling,
    session: Option<Session>,
    /// Counts syncs.
    sessions: u64,
    rng: SmallRng,
    last_id: u64,
    bytes_per_second: u64,
    load: u64,
    /// This node's clock, in milliseconds, as of the last call.
    wall: u64,
    free_at: Moment,
    acts: VecDeque<Act>,
}

impl fmt::Debug for SyncDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SyncDriver")
            .field("node", &self.state.cluster.node)
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}

impl SyncDriver {
    /// The part of the node with this state. `seed` is random.
    #[must_use]
    pub fn new(state: &NodeState, options: SyncOptions, seed: u64) -> Self {
        Self {
            state: state.clone(),
            epoch: Epoch(0),
            schedule: Schedule::new(options.interval),
            rounds: Rounds::new(
                state.cluster.node,
                options.interval,
                state.limits.max_clock_drift_ms,
            ),
            settling: Settling::new(
                state.limits.max_write_age_ms,
                state.limits.max_clock_drift_ms,
            ),
            session: None,
            sessions: 0,
            rng: SmallRng::seed_from_u64(seed),
            last_id: OURS,
            bytes_per_second: options.bytes_per_second.max(1),
            load: 0,
            wall: 0,
            free_at: Moment(0),
            acts: VecDeque::new(),
        }
    }

    /// Whether an answer with this id is for this driver.
    #[must_use]
    pub const fn is_ours(id: u64) -> bool {
        id >> 61 == 1
    }

    /// Goes on with what is due, while so many writes wait here; to be called every 10 ms while it
    /// [is busy](Self::is_busy), and some times a second else.
    pub fn handle_time(&mut self, queued_writes: u32, now: Now) {
        self.wall = now.wall.0;
        let (reading, now) = (self.state.clock.reading(now), now.mono);
        self.load = u64::from(queued_writes);
        self.follow_ring(now);
        if self.state.sync.take_wanted() {
            self.schedule.all_now(now);
            self.rounds.all_now(now);
        }
        for (ticket, response) in self.state.stability.finished.take() {
            self.finished(ticket, response, now);
        }
        self.rounds.handle_time(reading, self.may_begin(), now);
        self.settling.handle_time(
            &self.state.registers,
            self.state.cluster.newest().topology(),
            (reading, self.rng.random()),
            now,
        );
        if let Some(session) = &mut self.session {
            session.handle_time(self.free_at > now + BURST, now);
        }
        self.yield_to_peer(now);
        self.begin(now);
        self.go_on(now);
        self.follow_rounds();
    }

    /// The committer could not be given an order.
    pub fn handle_done(&mut self, ticket: u64, response: Response, now: Moment) {
        self.finished(ticket, response, now);
        self.follow_rounds();
    }

    fn finished(&mut self, ticket: u64, response: Response, now: Moment) {
        if ticket & SETTLES == 0 {
            return self.rounds.done(ticket, response, now);
        }
        let clock = Millis(self.wall);
        (self.settling).answered(ticket & !SETTLES, Some(response), clock, now);
    }

    /// A node has answered.
    pub fn handle_answer(&mut self, from: NodeId, frame: ResponseFrame, now: Moment) {
        if frame.id & ROUNDS != 0 {
            (self.rounds).answered(from, frame.id & !(OURS | ROUNDS), frame.response, now);
            return self.follow_rounds();
        }
        if frame.id & SETTLES != 0 {
            let (number, clock) = (frame.id & !(OURS | SETTLES), frame.clock.millis());
            (self.settling).answered(number, Some(frame.response), clock, now);
            return self.follow_rounds();
        }
        let session = self.session.as_mut().filter(|it| it.peer() == from);
        let Some(session) = session else {
            return;
        };
        let before = session.tally().received;
        let answer = (frame.response, frame.clock.millis());
        let takes_more = session.answered(frame.id, answer, now);
        let received = session.tally().received - before;
        self.charge(received, now);
        if !takes_more {
            self.rest(OVERLOADED, now);
        }
        self.go_on(now);
    }

    /// The connection to a node broke, or could not be made.
    pub fn handle_lost(&mut self, node: NodeId, now: Moment) {
        self.rounds.lost(node, now);
        self.settling.lost(node, now);
        self.follow_rounds();
        if let Some(session) = self.session.as_mut().filter(|it| it.peer() == node) {
            session.fail(Failure::Unreachable);
            self.go_on(now);
        }
    }

    /// A member is there again.
    pub fn handle_back(&mut self, node: NodeId, now: Moment) {
        if self.state.cluster.node < node {
            self.schedule.now(node, now);
        }
    }

    /// A page of keys was read; none if it could not be.
    pub fn handle_page(&mut self, session: u64, page: Option<LeafPage>, now: Moment) {
        if session != self.sessions || self.session.is_none() {
            return;
        }
        // The other node reads as much for its page.
        let read = page.as_ref().map_or(0, bytes_of);
        self.charge(2 * read, now);
        if let Some(session) = &mut self.session {
            session.looked(page, now);
        }
        self.go_on(now);
    }

    /// A write was not taken: what it was to repair is found again later.
    pub fn handle_refused(&mut self, now: Moment) {
        self.rest(OVERLOADED, now);
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<Act> {
        self.acts.pop_front()
    }

    /// Whether a sync is under way, or a round waits for the committer.
    #[must_use]
    pub const fn is_busy(&self) -> bool {
        self.session.is_some() || self.rounds.is_working() || self.settling.is_busy()
    }

    /// With a new epoch everything begins again.
    fn follow_ring(&mut self, now: Moment) {
        let newest = self.state.cluster.newest().epoch();
        if newest == self.epoch {
            return;
        }
        let Ok(shared) = self.state.sync.shared(&self.state.cluster, newest) else {
            return; // there is a newer one by now
        };
        if let Some(session) = &mut self.session {
            session.fail(Failure::NewEpoch);
            self.end(now);
        }
        self.epoch = newest;
        let owned = self.rounds.begin_epoch(&self.state.cluster.newest());
        self.state.stability.set_owned(owned);
        self.state.sync.keep(|peer| shared.contains_key(peer));
        self.schedule
            .begin_epoch(shared.keys().copied(), now, &mut self.rng);
    }

    /// Of two that go through what differs between them, the one with the lower id goes on.
    fn yield_to_peer(&mut self, now: Moment) {
        let node = self.state.cluster.node;
        if let Some(session) = &mut self.session
            && session.peer() < node
            && is_heard(&self.state.sync, session.peer(), now)
        {
            session.fail(Failure::Yielded);
        }
    }

    /// Whether anything new may be begun.
    fn may_begin(&self) -> bool {
        let (view, stats) = (&self.state.sync, &self.state.stats);
        let has_space = stats.disk().0 == DiskLevel::Ample;
        !view.is_paused() && has_space && self.state.sums.is_ready()
    }

    /// Does what the rounds of stability want done.
    fn follow_rounds(&mut self) {
        while let Some(act) = self.rounds.poll() {
            let act = match act {
                RoundAct::Ask(to, number, request) => {
                    let budget_ms = u32::try_from(ANSWER_DEADLINE.as_millis()).unwrap_or(u32::MAX);
                    let frame = RequestFrame {
                        id: OURS | ROUNDS | number,
                        epoch: self.epoch,
                        budget_ms,
                        request,
                    };
                    Act::Send { to, frame }
                }
                RoundAct::Order(ticket, task) => Act::Order { ticket, task },
            };
            self.acts.push_back(act);
        }
        while let Some(Ask {
            to,
            number,
            request,
        }) = self.settling.poll()
        {
            let epoch = self.epoch;
            let act = if to == self.state.cluster.node {
                let ticket = SETTLES | number;
                Act::Order {
                    ticket,
                    task: Task::Register { epoch, request },
                }
            } else {
                let budget_ms = u32::try_from(ANSWER_DEADLINE.as_millis()).unwrap_or(u32::MAX);
                let frame = RequestFrame {
                    id: OURS | SETTLES | number,
                    epoch,
                    budget_ms,
                    request: Request::Register(request),
                };
                Act::Send { to, frame }
            };
            self.acts.push_back(act);
        }
        (self.state.stability).set_waits_for(self.rounds.waits_for());
    }

    fn begin(&mut self, now: Moment) {
        let view = &self.state.sync;
        if self.session.is_some() || !self.may_begin() {
            return;
        }
        let Some(peer) = self.schedule.next(now) else {
            return;
        };
        if has_failed(&self.state, peer) {
            return self.schedule.is_away(peer, now, &mut self.rng);
        }
        if is_heard(view, peer, now) && self.schedule.yields_to(peer, now, &mut self.rng) {
            return;
        }
        let shared = view.shared(&self.state.cluster, self.epoch);
        let Some(shared) = shared.ok().and_then(|shared| shared.get(&peer).cloned()) else {
            return; // the next call follows the ring
        };

        self.sessions += 1;
        let cluster = Arc::clone(&self.state.cluster);
        let leaf_of = Arc::new(move |key: &[u8]| cluster.leaf_of(key));
        let sums = Arc::clone(&self.state.sums);
        // As they are before any row is read: what is joined later, and then lies below a floor, must not count as absent.
        let (cluster, floors) = (
            Arc::clone(&self.state.cluster),
            self.state.stability.floors(),
        );
        let floor_of = Arc::new(move |key: &[u8]| floors.at(cluster.leaf_of(key)));
        view.set_comparing(Some(peer));
        let horizon = self.rounds.horizon();
        let session = Session::new(
            (peer, shared),
            sums,
            (leaf_of, floor_of),
            horizon,
            (self.last_id, now),
        );
        self.session = Some(session);
    }

    /// Does all that the pace allows.
    fn go_on(&mut self, now: Moment) {
        let is_calm = self.load == 0;
        while now + BURST >= self.free_at
            && let Some(session) = &mut self.session
            && let Some(step) = session.next(is_calm, now)
        {
            self.take(step, now);
        }
        if self.session.as_ref().is_some_and(|it| it.ended().is_some()) {
            self.end(now);
        }
    }

    fn take(&mut self, step: Step, now: Moment) {
        let Some(session) = &self.session else {
            return;
        };
        let act = match step {
            Step::Ask(id, request) => {
                let sent = u64::try_from(request.body_bytes()).unwrap_or(u64::MAX);
                let (to, epoch) = (session.peer(), self.epoch);
                self.charge(sent, now);
                let budget_ms = u32::try_from(ANSWER_DEADLINE.as_millis()).unwrap_or(u32::MAX);
                let frame = RequestFrame {
                    id,
                    epoch,
                    budget_ms,
                    request,
                };
                Act::Send { to, frame }
            }
            Step::Look(leaves, after) => Act::Look(Look {
                session: self.sessions,
                leaves,
                after,
            }),
            Step::Write { key, change, bytes } => {
                let epoch = self.epoch;
                self.charge(u64::try_from(bytes).unwrap_or(u64::MAX), now);
                Act::Write(Repair {
                    epoch,
                    key,
                    change,
                    bytes,
                })
            }
        };
        self.acts.push_back(act);
    }

    /// So many bytes were moved: more rest the more of the node's writes wait.
    fn charge(&mut self, bytes: u64, now: Moment) {
        let cost = u128::from(bytes + REQUEST) * u128::from(LOADED + self.load) * 1_000_000;
        let cost = cost / u128::from(LOADED) / u128::from(self.bytes_per_second);
        let cost = Duration::from_micros(u64::try_from(cost).unwrap_or(u64::MAX));
        let debt = self.free_at.saturating_since(now);
        self.free_at = now + debt + cost.min(LONGEST_REST);
    }

    /// Does nothing for so long.
    fn rest(&mut self, rest: Duration, now: Moment) {
        self.free_at = self.free_at.max(now + BURST + rest);
    }

    fn end(&mut self, now: Moment) {
        let Some(session) = self.session.take() else {
            return;
        };
        self.last_id = session.last();
        self.state.sync.set_comparing(None);
        let Some((ended, tally)) = session.ended() else {
            return debug_assert!(false, "it is over");
        };
        let peer = session.peer();
        if let Some(round) = session.round() {
            self.rounds.synced((peer, round), now);
        }
        self.state.stability.add_restored(tally.restored);
        let got_on = tally.pulled + tally.pushed > 0;
        self.schedule
            .ended(peer, (ended, got_on), now, &mut self.rng);
        let is_news = self.state.sync.note(peer, (ended, tally), now);
        log(peer, ended, &tally, is_news);
    }
}

/// Whether gossip holds this member for failed.
fn has_failed(state: &NodeState, peer: NodeId) -> bool {
    let seen = state.members.get();
    let mut members = seen.members.iter();
    members.any(|member| member.node == peer && member.state == MemberState::Failed)
}

/// Keys and records of a page.
fn bytes_of(page: &LeafPage) -> u64 {
    let bytes = |row: &LeafRow| row.key.len() + row.record.as_ref().map_or(0, Bytes::len);
    let bytes: usize = page.rows.iter().map(bytes).sum();
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// Whether this peer goes through what differs at present.
fn is_heard(view: &SyncView, peer: NodeId, now: Moment) -> bool {
    let heard = view.heard(peer);
    heard.is_some_and(|heard| now.saturating_since(heard) < HEARD)
}

fn log(peer: NodeId, ended: Ended, tally: &Tally, is_news: bool) {
    let Tally {
        differing,
        pulled,
        pushed,
        failed,
        ..
    } = *tally;
    let is_left = tally.damaged + failed > 0;
    if is_left && is_news {
        tracing::warn!(
            %peer, ?ended, differing, pulled, pushed, failed, damaged = tally.damaged,
            "a sync cannot repair some keys"
        );
    } else if differing > 0 && !is_left {
        tracing::info!(%peer, ?ended, differing, pulled, pushed, "a sync has repaired what differed");
    } else {
        tracing::debug!(%peer, ?ended, "a sync has ended");
    }
}
