//! What an operation works with: everything of the coordinator but the operations themselves.
//!
//! ```text
//!   Coordinator --on_response, on_failure, on_time, on_hedge--> operation
//!        |                                                         |
//!        '--------------------- lends the OpContext -----------------'
//!             in:  ring, settings, now, ejected       out: sends, failures, answers
//!             both: mint, health, budgets, counters, timers
//! ```
//!
//! Nothing here knows what an operation is. An operation never calls back into the coordinator: what it causes
//! (a frame, a failed send, an answer) is queued here, and the coordinator takes it once the operation has returned.

use std::collections::VecDeque;
use std::time::Duration;

use quoit_ring::change::{Known, Topology};
use quoit_ring::wire::{Request, RequestFrame};
use quoit_ring::{Epoch, Millis, NodeId};
use smallvec::SmallVec;

use crate::coordinator::background::{self, Background};
use crate::coordinator::clocks::{NodeClocks, Reached};
use crate::coordinator::mint::{self, Mint};
use crate::coordinator::request_id::{Purpose, RequestId};
use crate::coordinator::slab::Key;
use crate::coordinator::timers::Timers;
use crate::env::Now;
use crate::error::{Attempt, Outcome};
use crate::health::{Asked, Budget, ByteBudget, Health, HealthReport};
use crate::metrics::{Counters, Operations, RequestKind};
use crate::operation::refresh::RefreshPauses;
use crate::operation::register::chosen::LastChosen;
use crate::operation::register::turns::Turns;
use crate::operation::{plan, register, write};
use crate::quorum::TimeBound;
use crate::reply::Delivery;

/// How long an operation goes on in the background once its caller has the answer.
pub(crate) const BACKGROUND_MICROS: u64 = 1_000_000;

/// Coordinator settings.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    /// The longest that a read waits before it asks further replicas: it hedges earlier where it knows that its
    /// replicas are usually quicker, and has a token for it. Default 100 ms: far beyond a healthy answer in one
    /// region, and short enough for a person not to notice. Shorter asks more where everything is slow, longer
    /// leaves reads waiting for a node that has just died.
    pub(crate) hedge_all_after: Duration,
    /// Stamps from further ahead than this are not believed.
    pub(crate) max_clock_drift: Duration,
    /// What repair in the background may send.
    pub(crate) repair_bytes_per_second: u64,
    /// What writes that have returned, and requests that nobody waits for, may hold.
    pub(crate) max_background_bytes: usize,
    /// Of how many keys the mint remembers its last dot.
    pub(crate) max_minted_keys: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            hedge_all_after: Duration::from_millis(100),
            max_clock_drift: Duration::from_millis(500),
            repair_bytes_per_second: 8 << 20,
            max_background_bytes: background::DEFAULT_BOUND,
            max_minted_keys: mint::MAX_KEYS,
        }
    }
}

/// A request that will not be answered, as an event for its operation.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) key: Key,
    /// Of which attempt: the replicas of a later one are others.
    pub(crate) attempt: u8,
    pub(crate) replica: usize,
    /// Which request; `None` is every request to that replica.
    pub(crate) purpose: Option<Purpose>,
    pub(crate) outcome: Outcome,
}

/// An operation that goes on as another one.
#[derive(Debug)]
pub(crate) enum Restart {
    /// A write whose time is to be asked for.
    ClockCheck(write::Submitted),
    /// A write for which it was: its lifetime counts from then.
    Write(write::Submitted, Millis),
    /// A read of a key with a conditional write under way: it finds out whether that has happened.
    Settle(Box<register::Submitted>),
}

/// What operations share.
#[derive(Debug)]
pub(crate) struct OpContext {
    pub(crate) settings: Settings,
    /// The present, the same while one input is handled.
    pub(crate) now: Now,
    /// The epoch that the cluster is in, as far as this client knows.
    pub(crate) known: Known,
    /// Who owns what in it.
    pub(crate) topology: Topology,
    /// Whether the driver has not seen the topology yet.
    pub(crate) is_new_epoch: bool,
    /// Whether operations under way have not gone on to it yet.
    pub(crate) has_moved_on: bool,
    /// When a newer ring may be fetched.
    pub(crate) refresh: RefreshPauses,
    pub(crate) mint: Mint,
    /// What conditional writes left.
    pub(crate) last_chosen: LastChosen,
    /// Whose turn it is among them.
    pub(crate) turns: Turns,
    pub(crate) clocks: NodeClocks,
    pub(crate) health: Health,
    /// Nodes out of health at the present tick.
    pub(crate) ejected: SmallVec<[NodeId; 4]>,
    pub(crate) budget: Budget,
    pub(crate) repair_budget: ByteBudget,
    pub(crate) counters: Counters,
    pub(crate) operations: Operations,
    pub(crate) timers: Timers,
    /// Bytes of writes that have returned, and of requests that nobody waits for.
    pub(crate) background: Background,
    /// Superseded writes that wait for a later one of this client.
    pub(crate) overtaken: usize,
    /// Frames for the driver, in the order of sending.
    pub(crate) sends: VecDeque<(NodeId, RequestFrame)>,
    /// Failed sends, in the order of sending.
    pub(crate) failures: VecDeque<Failure>,
    /// Operations to begin once the present input is handled.
    pub(crate) restarts: VecDeque<Restart>,
    /// Answers for callers, in the order of answering.
    pub(crate) answers: VecDeque<Delivery>,
}

impl OpContext {
    pub(super) fn new(settings: Settings, known: Known, now: Now) -> Self {
        Self {
            settings,
            now,
            topology: known.topology().clone(),
            known,
            is_new_epoch: false,
            has_moved_on: false,
            refresh: RefreshPauses::default(),
            mint: Mint::new(
                now.random,
                settings.max_clock_drift,
                settings.max_minted_keys,
            ),
            last_chosen: LastChosen::default(),
            turns: Turns::default(),
            clocks: NodeClocks::default(),
            health: Health::new(micros(settings.hedge_all_after)),
            ejected: SmallVec::new(),
            budget: Budget::default(),
            repair_budget: ByteBudget::new(settings.repair_bytes_per_second),
            counters: Counters::default(),
            operations: Operations::new(),
            timers: Timers::default(),
            background: Background::new(settings.max_background_bytes),
            overtaken: 0,
            sends: VecDeque::new(),
            failures: VecDeque::new(),
            restarts: VecDeque::new(),
            answers: VecDeque::new(),
        }
    }

    /// Queues a frame about `epoch`.
    pub(crate) fn send(
        &mut self,
        node: NodeId,
        (id, epoch): (RequestId, Epoch),
        left_ms: u64,
        request: Request,
    ) {
        let frame = RequestFrame {
            id: id.into(),
            epoch,
            budget_ms: u32::try_from(left_ms).unwrap_or(u32::MAX).max(1),
            request,
        };
        let asked = Asked::from(&frame.request);
        self.health.sent(node, frame.id, asked, self.now.at);
        self.sends.push_back((node, frame));
    }

    /// Goes on to a later epoch.
    pub(crate) fn move_to(&mut self, known: Known) {
        debug_assert!(
            known.epoch() > self.topology.epoch(),
            "an epoch never falls"
        );
        self.topology = known.topology().clone();
        self.known = known;
        (self.is_new_epoch, self.has_moved_on) = (true, true);
    }

    /// How far the clocks of a key's owners are believed when expiry is judged: a minority with clocks far ahead
    /// must not end everybody's values. While fewer than a majority have answered, all of those must have reached it.
    pub(crate) fn time_bound(&self, owners: &[NodeId]) -> Option<TimeBound> {
        let known = self.clocks.of(owners, self.now.at);
        let mut counts = (1..=plan::majority(owners.len())).rev();
        let reached = counts.find_map(|count| known.reached(count))?;
        let max_ms = self.mint.max_drift_ms();
        Some(TimeBound { reached, max_ms })
    }

    /// The time from which a write's lifetime counts, by what is remembered of its owners' clocks. None if a check
    /// must come first: they are not known, or this machine's seems to differ by too much.
    pub(crate) fn present(&self, owners: &[NodeId], w: usize, expires: bool) -> Option<Millis> {
        let known = self.clocks.of(owners, self.now.at);
        let majority = known.reached(plan::majority(owners.len()));
        if expires && majority.is_none() {
            return None;
        }
        let w = known.reached(w);
        let reached = Reached { majority, w };
        let max_drift_ms = self.mint.max_drift_ms();
        reached.present(self.now.wall, max_drift_ms).ok()
    }

    /// What each of the targets did, with their names.
    pub(crate) fn attempts(&self, targets: &[NodeId], outcomes: Vec<Outcome>) -> Vec<Attempt> {
        let name = |node: NodeId| {
            let member = self.topology.member(node);
            member.map_or_else(|| node.to_string(), |member| member.name.clone())
        };
        let attempt = |(&node, outcome): (&NodeId, Outcome)| Attempt {
            node,
            name: name(node),
            outcome,
        };
        targets.iter().zip(outcomes).map(attempt).collect()
    }

    /// What this client knows of the nodes.
    pub(crate) fn health_report(&self) -> HealthReport {
        let counters = self.health.counters;
        HealthReport {
            hedges: counters.hedges,
            hedges_won: counters.hedges_won,
            hedges_refused: counters.hedges_refused,
            ejections: counters.ejections,
            probes: counters.probes,
            repairs: self.counters.attempts[RequestKind::Repair as usize],
            repairs_refused: self.counters.repairs_refused,
            hints: counters.hints,
            hints_forgone: counters.hints_forgone,
            taken_back: self.counters.taken_back,
            nodes: self.health.nodes().collect(),
        }
    }
}

/// A time in microseconds, at most the longest there is.
pub(crate) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
