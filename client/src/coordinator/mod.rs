//! The coordinator: every operation under way, and who is to be sent what. Pure.
//!
//! ```text
//!   handle_operation  handle_response  handle_link  handle_time
//!           \               |             |            /
//!            +----------> Coordinator <----------------+
//!            |  running operations, ring, peers, mint  |
//!           /               |             |            \
//!   poll_send          poll_done      poll_ring      poll_time
//! ```
//!
//! Call `handle_*` for inputs, then drain `poll_send`, `poll_ring` and `poll_done`. Time, the wall clock
//! and randomness come in as [`Now`]. An operation is an entry of a slab, not a task: nobody who waits
//! for it can half-cancel it, and it ends at its deadline at the latest.

mod mint;
mod peers;
mod plan;
mod read;
mod slab;
#[cfg(test)]
mod tests;
mod write;

#[cfg(test)]
pub(crate) use plan::read_rules;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use quoit_ring::mutant::{Mutant, mutant};
use quoit_ring::placement::Ring;
use quoit_ring::wire::map::decode_map;
use quoit_ring::wire::{DecodeError, Request, RequestFrame, Response, ResponseFrame};
use quoit_ring::{NodeId, Record};
use smallvec::{SmallVec, smallvec};

use crate::entry::Written;
use crate::env::{Link, Moment, Now};
use crate::error::{Attempt, NodeError, Outcome, ReadError, WriteError};
use crate::submission::Operation;

use mint::Mint;
use peers::Peers;
use read::Read;
use slab::{Key, Slab};
use write::Write;

/// How long repair may go on in the background once the caller has its answer.
const BACKGROUND_MICROS: u64 = 1_000_000;

/// Deadlines and patience are looked at this often while anything is under way.
const TICK_MICROS: u64 = 10_000;

/// What is wrong with an answer that does not fit what was asked.
pub(crate) const OTHER_QUESTION: DecodeError =
    DecodeError::Malformed("an answer to another question");

/// What the coordinator goes by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    /// A read asks further replicas once the first have been silent for this long.
    pub(crate) patience: Duration,
    /// Stamps from further ahead than this are not believed.
    pub(crate) max_clock_drift: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            patience: Duration::from_millis(100),
            max_clock_drift: Duration::from_millis(500),
        }
    }
}

/// How an operation ended.
#[derive(Debug)]
pub(crate) enum Done {
    Read(Result<Record, ReadError>),
    Write(Result<Written, WriteError>),
    Ask(Result<Response, NodeError>),
}

/// What a request was for; travels in its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Ask,
    Repair,
}

/// One operation under way.
#[derive(Debug)]
struct Running<T, G> {
    /// Who waits; taken when they are answered.
    ticket: Option<T>,
    /// The room it takes, free once the operation is forgotten: repair after the answer takes room, too.
    _room: Option<G>,
    started: Moment,
    deadline: Moment,
    /// How often its requests were made anew: an answer counts for the attempt that it answers, no later one.
    attempt: u8,
    /// The replicas, by index; never empty.
    targets: SmallVec<[NodeId; 3]>,
    work: Work,
}

#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "a slab's slots are used again; a box would be made for each"
)]
enum Work {
    Read(Read),
    Write(Write),
    Ask,
    /// The coordinator's own question for a newer map.
    Refresh,
}

/// Every operation of one client. `T` is handed back with an operation's end, `G` is dropped once nothing of
/// the operation is left.
#[derive(Debug)]
pub(crate) struct Coordinator<T, G> {
    settings: Settings,
    ring: Arc<Ring>,
    ring_is_new: bool,
    refreshing: bool,
    mint: Mint,
    peers: Peers,
    running: Slab<Running<T, G>>,
    sends: VecDeque<(NodeId, RequestFrame)>,
    done: VecDeque<(T, Done)>,
    next_tick: Option<Moment>,
}

impl<T, G> Coordinator<T, G> {
    /// A coordinator over `ring`; `actor` is fresh randomness.
    pub(crate) fn new(settings: Settings, ring: Ring, actor: u64) -> Self {
        Self {
            settings,
            ring: Arc::new(ring),
            ring_is_new: false,
            refreshing: false,
            mint: Mint::new(actor, settings.max_clock_drift),
            peers: Peers::default(),
            running: Slab::default(),
            sends: VecDeque::new(),
            done: VecDeque::new(),
            next_tick: None,
        }
    }

    /// The ring in force.
    pub(crate) const fn ring(&self) -> &Arc<Ring> {
        &self.ring
    }

    /// Whether nothing is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.running.is_empty()
    }

    /// Starts an operation.
    pub(crate) fn handle_operation(&mut self, operation: Operation, ticket: (T, G), now: Now) {
        match operation {
            Operation::Read { key, plan } => self.start_read(key, plan, ticket, now),
            Operation::Write { change, plan } => self.start_write(change, plan, ticket, now),
            Operation::Ask {
                node,
                request,
                deadline,
            } => {
                let running =
                    self.running_for(Some(ticket), smallvec![node], deadline, Work::Ask, now);
                let key = self.running.insert(running);
                self.send(key, 0, Purpose::Ask, request, now);
            }
        }
        self.wind_clock(now);
    }

    /// Takes a node's answer.
    pub(crate) fn handle_response(&mut self, from: NodeId, frame: ResponseFrame, now: Now) {
        self.mint.observe(frame.clock, now.wall);
        self.peers.answered(from);
        if frame.epoch > self.ring.epoch() {
            self.refresh(from, now);
        }
        let RequestId {
            key,
            attempt,
            replica,
            purpose,
        } = RequestId::from(frame.id);
        let Some(running) = self.running.get_mut(key) else {
            return; // ended before this answer came
        };
        let late = running.attempt != attempt && !mutant(Mutant::LateAnswerCounts);
        if late || running.targets.get(replica) != Some(&from) {
            return;
        }
        if purpose == Purpose::Ask {
            self.peers.took(from, now.at.since(running.started));
        }
        match &running.work {
            Work::Read(_) => self.read_answered(key, replica, purpose, frame, now),
            Work::Write(_) => self.write_answered(key, replica, frame.response, now),
            Work::Ask => self.end(key, Done::Ask(Ok(frame.response))),
            Work::Refresh => self.refreshed(key, &frame.response),
        }
    }

    /// Notes how the way to a node is; what was under way on a broken one is lost.
    pub(crate) fn handle_link(&mut self, node: NodeId, link: Link, now: Now) {
        let before = self.peers.set_link(node, link);
        if link != Link::Down || before == Link::Down {
            return;
        }
        let outcome = if before == Link::Up {
            Outcome::Lost
        } else {
            Outcome::Unreachable
        };
        for key in self.running.keys() {
            let Some(running) = self.running.get_mut(key) else {
                continue;
            };
            if let Some(replica) = running.targets.iter().position(|&target| target == node) {
                self.fail(key, replica, None, &outcome, now);
            }
        }
    }

    /// A frame was not queued: too much waits for its node.
    pub(crate) fn handle_unsent(&mut self, node: NodeId, id: u64, now: Now) {
        let id = RequestId::from(id);
        self.peers.answered(node);
        self.fail(id.key, id.replica, Some(id.purpose), &Outcome::Crowded, now);
    }

    /// Ends what is past its deadline and asks further replicas where the first ones are slow.
    pub(crate) fn handle_time(&mut self, now: Now) {
        if self.next_tick.is_some_and(|tick| now.at < tick) {
            return;
        }
        self.next_tick = None;
        for key in self.running.keys() {
            let Some(running) = self.running.get_mut(key) else {
                continue;
            };
            let expired = running.deadline <= now.at;
            match &running.work {
                Work::Read(_) => self.read_time(key, expired, now),
                Work::Write(_) if expired => self.write_expired(key, now),
                Work::Ask if expired => {
                    self.end(key, Done::Ask(Err(NodeError::Failed(Outcome::Silent))));
                }
                Work::Refresh if expired => self.give_up_refresh(key),
                Work::Write(_) | Work::Ask | Work::Refresh => {}
            }
        }
        self.wind_clock(now);
    }

    /// The next frame to send.
    pub(crate) fn poll_send(&mut self) -> Option<(NodeId, RequestFrame)> {
        self.sends.pop_front()
    }

    /// The next operation that ended.
    pub(crate) fn poll_done(&mut self) -> Option<(T, Done)> {
        self.done.pop_front()
    }

    /// The ring, if it has changed since the last call.
    pub(crate) fn poll_ring(&mut self) -> Option<Arc<Ring>> {
        core::mem::take(&mut self.ring_is_new).then(|| Arc::clone(&self.ring))
    }

    /// When to call [`Coordinator::handle_time`] next; never while nothing is under way.
    pub(crate) const fn poll_time(&self) -> Option<Moment> {
        self.next_tick
    }

    fn wind_clock(&mut self, now: Now) {
        if self.next_tick.is_none() && !self.running.is_empty() {
            self.next_tick = Some(now.at.after(TICK_MICROS));
        }
    }

    fn running_for(
        &self,
        ticket: Option<(T, G)>,
        targets: SmallVec<[NodeId; 3]>,
        deadline: Duration,
        work: Work,
        now: Now,
    ) -> Running<T, G> {
        let micros = u64::try_from(deadline.as_micros()).unwrap_or(u64::MAX);
        let (ticket, room) = ticket.unzip();
        Running {
            ticket,
            _room: room,
            started: now.at,
            deadline: now.at.after(micros),
            attempt: 0,
            targets,
            work,
        }
    }

    /// Queues a request to a replica of an operation; a replica out of reach fails at once.
    fn send(&mut self, key: Key, replica: usize, purpose: Purpose, request: Request, now: Now) {
        let Some(running) = self.running.get_mut(key) else {
            return;
        };
        let Some(&node) = running.targets.get(replica) else {
            return;
        };
        if !self.peers.reachable(node) {
            return self.fail(key, replica, Some(purpose), &Outcome::Unreachable, now);
        }
        let left_ms = running.deadline.since(now.at) / 1_000;
        let id = RequestId {
            key,
            attempt: running.attempt,
            replica,
            purpose,
        };
        let frame = RequestFrame {
            id: id.into(),
            epoch: self.ring.epoch(),
            budget_ms: u32::try_from(left_ms).unwrap_or(u32::MAX).max(1),
            request,
        };
        self.peers.asked(node);
        self.sends.push_back((node, frame));
    }

    /// A replica will not answer; with no `purpose`, nothing that it was asked.
    fn fail(
        &mut self,
        key: Key,
        replica: usize,
        purpose: Option<Purpose>,
        outcome: &Outcome,
        now: Now,
    ) {
        match self.running.get_mut(key).map(|running| &running.work) {
            Some(Work::Read(_)) => self.read_failed(key, replica, purpose, outcome, now),
            Some(Work::Write(_)) => self.write_failed(key, replica, outcome.clone(), now),
            Some(Work::Ask) => self.end(key, Done::Ask(Err(NodeError::Failed(outcome.clone())))),
            Some(Work::Refresh) => self.give_up_refresh(key),
            None => {}
        }
    }

    /// Answers who waits and forgets the operation.
    fn end(&mut self, key: Key, done: Done) {
        if let Some(ticket) = self.running.remove(key).and_then(|running| running.ticket) {
            self.done.push_back((ticket, done));
        }
    }

    /// Asks a node that answered from a newer epoch for its map, one question at a time.
    fn refresh(&mut self, from: NodeId, now: Now) {
        if core::mem::replace(&mut self.refreshing, true) {
            return;
        }
        let deadline = Duration::from_secs(1);
        let running = self.running_for(None, smallvec![from], deadline, Work::Refresh, now);
        let key = self.running.insert(running);
        self.send(key, 0, Purpose::Ask, Request::Map, now);
        self.wind_clock(now);
    }

    fn refreshed(&mut self, key: Key, response: &Response) {
        self.give_up_refresh(key);
        let Response::Map(bytes) = response else {
            return;
        };
        let ring = decode_map(bytes).ok().and_then(|map| Ring::new(&map).ok());
        let newer = |ring: &Ring| {
            ring.epoch() > self.ring.epoch() && ring.map().cluster == self.ring.map().cluster
        };
        if let Some(ring) = ring.filter(newer) {
            self.ring = Arc::new(ring);
            self.ring_is_new = true;
        }
    }

    fn give_up_refresh(&mut self, key: Key) {
        self.running.remove(key);
        self.refreshing = false;
    }

    /// The attempts of an operation, with the names of its replicas.
    fn attempts(&self, targets: &[NodeId], outcomes: Vec<Outcome>) -> Vec<Attempt> {
        let attempt = |(&node, outcome): (&NodeId, Outcome)| Attempt {
            node,
            name: self
                .ring
                .member(node)
                .map_or_else(|| node.to_string(), |m| m.name.clone()),
            outcome,
        };
        targets.iter().zip(outcomes).map(attempt).collect()
    }
}

/// What a request's id says: `generation u32 | attempt u4 | slot u20 | purpose u1 | replica u7`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct RequestId {
    /// Below 2^20 slots: there are no more than operations under way.
    key: Key,
    /// Below 16.
    attempt: u8,
    /// Below 128.
    replica: usize,
    purpose: Purpose,
}

impl From<RequestId> for u64 {
    fn from(id: RequestId) -> Self {
        let purpose = Self::from(id.purpose == Purpose::Repair);
        let low = (id.replica as Self & 0x7f) | purpose << 7;
        let slot = Self::from(id.key.slot) & 0xf_ffff;
        Self::from(id.key.generation) << 32 | Self::from(id.attempt & 0xf) << 28 | slot << 8 | low
    }
}

impl From<u64> for RequestId {
    fn from(id: u64) -> Self {
        let [low, slot @ .., g0, g1, g2, g3] = id.to_le_bytes();
        let key = Key {
            slot: u32::from_le_bytes([slot[0], slot[1], slot[2] & 0xf, 0]),
            generation: u32::from_le_bytes([g0, g1, g2, g3]),
        };
        let purpose = if low & 0x80 == 0 {
            Purpose::Ask
        } else {
            Purpose::Repair
        };
        Self {
            key,
            attempt: slot[2] >> 4,
            replica: usize::from(low & 0x7f),
            purpose,
        }
    }
}
