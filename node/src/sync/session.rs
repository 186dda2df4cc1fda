//! One sync with one other owner, from the first sum to the last.
//!
//! ```text
//!   Totals  equal? --yes--> over
//!      |no
//!   Comparing   descent -> leaves that differ -> pairing -> keys that differ -> exchange
//!      |  nothing is left
//!   Settling    until what was written here is in the sums
//!      '--> Totals, up to a few times: what is written meanwhile differs for a moment, too
//! ```
//!
//! It asks for one part of the tree or one page at a time, and for several keys. An answer that is not what was asked for
//! ends it: the other node may be of another build, or broken. So do pages without end, and a minute in which nothing comes.
//!
//! Left out: when it begins, which pace it may keep, and connections.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quoit_ring::merkle::SharedLeaves;
use quoit_ring::wire::{KeyPage, Refusal, Request, Response, SyncAnswer, SyncRequest};
use quoit_ring::{Millis, Moment, NodeId, Sum, Time};

use super::descent::{Descent, Nodes};
use super::exchange::{self, Exchange, FloorOf};
use super::pairing::{LeafOf, Pairing};
use crate::storage::{LeafPage, Sums};
use crate::write::Change;

/// How long the other node may take to answer.
pub(super) const ANSWER_DEADLINE: Duration = Duration::from_secs(5);
/// How long what was written here takes to be committed, while few writes wait.
const SETTLE: Duration = Duration::from_millis(200);
/// How long at most: writes that have waited for longer are dropped.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// How long nothing need come, while nothing is late: a disk may hang.
const NO_PROGRESS: Duration = Duration::from_secs(60);
/// How many pages without a key may come in a row: eight million tombstones in a few leaves.
const EMPTY_PAGES: u32 = 1 << 16;
/// How often the tree is gone down, as long as fewer keys differ each time.
const PASSES: u32 = 4;
/// Bytes of a frame beside its body, about.
const HEAD: u64 = 32;

/// How a sync has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Both have the same, of all that both own; or what differed was written meanwhile, and the same when it was looked at.
    Equal,
    /// So many keys differed at the last look: they are being written, or could not be repaired.
    Differ {
        /// How many.
        keys: u64,
    },
    /// It broke off; what was repaired stays so.
    Failed(Failure),
}

/// Why a sync broke off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// There is no connection to the other node.
    #[error("there is no connection")]
    Unreachable,
    /// It has not answered in time.
    #[error("no answer came in time")]
    Silent,
    /// It takes part in none at present.
    #[error("refused: {0}")]
    Refused(Refusal),
    /// Its answer is not what was asked for.
    #[error("the answer is not what was asked for")]
    WrongAnswer,
    /// Rows here could not be read.
    #[error("rows of this node cannot be read")]
    Unreadable,
    /// The ring has changed.
    #[error("the ring has changed")]
    NewEpoch,
    /// The other node has begun one of its own.
    #[error("the other node has begun one of its own")]
    Yielded,
    /// Nothing came for a minute, or nothing but empty pages.
    #[error("it gets no further")]
    Stuck,
}

/// What a sync has found and moved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Keys that differed.
    pub differing: u64,
    /// Records that were given to this node's committer.
    pub pulled: u64,
    /// Records that the other node has joined.
    pub pushed: u64,
    /// Keys that were left at the last look: a record that cannot be read, or that the other node refuses.
    pub failed: u64,
    /// Rows here that could not be read at the last look.
    pub damaged: u64,
    /// Keys of which one side had lost its row.
    pub restored: u64,
    /// Bytes of requests, about.
    pub sent: u64,
    /// Bytes of answers, about.
    pub received: u64,
}

impl Tally {
    /// Adds what was found and moved later; what could not be repaired is that of the last look.
    pub(super) const fn add(&mut self, later: Self) {
        self.differing += later.differing;
        self.pulled += later.pulled;
        self.pushed += later.pushed;
        self.restored += later.restored;
        self.failed = later.failed;
        self.damaged = later.damaged;
        self.sent += later.sent;
        self.received += later.received;
    }
}

/// Something to be done.
#[derive(Debug)]
pub(super) enum Step {
    /// Send the other node a request; its answer comes with this number.
    Ask(u64, Request),
    /// Read a page of these leaves, behind this key.
    Look(Vec<u32>, Option<Bytes>),
    /// Join this here.
    Write {
        key: Bytes,
        change: Change,
        bytes: usize,
    },
}

/// What a request is about.
#[derive(Debug)]
enum About {
    Total,
    Below(Nodes),
    Keys,
    Key(exchange::About),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Beginning,
    Totals,
    Comparing,
    /// Since then.
    Settling(Moment),
    Over(Ended),
}

/// See the [module](self).
pub(super) struct Session {
    peer: NodeId,
    shared: Arc<SharedLeaves>,
    sums: Arc<Sums>,
    leaf_of: LeafOf,
    phase: Phase,
    passes: u32,
    /// How many keys differed in the pass before.
    before: u64,
    /// When something last came.
    found_at: Moment,
    empty_pages: u32,
    descent: Descent,
    pairing: Option<Pairing>,
    exchange: Exchange,
    floor_of: FloorOf,
    /// Writes up to this time are all here once it [has brought them over](Self::round).
    horizon: Option<(u64, Time)>,
    /// Whether the last look found none of them on one side alone.
    has_all: bool,
    asked: BTreeMap<u64, (About, Moment)>,
    last: u64,
    tally: Tally,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("peer", &self.peer)
            .field("phase", &self.phase)
            .finish_non_exhaustive()
    }
}

impl Session {
    /// With this peer, about what both own. Its requests have numbers above `last`.
    pub(super) fn new(
        (peer, shared): (NodeId, Arc<SharedLeaves>),
        sums: Arc<Sums>,
        (leaf_of, floor_of): (LeafOf, FloorOf),
        horizon: Option<(u64, Time)>,
        (last, now): (u64, Moment),
    ) -> Self {
        Self {
            peer,
            shared,
            sums,
            leaf_of,
            phase: Phase::Beginning,
            passes: 0,
            before: u64::MAX,
            found_at: now,
            empty_pages: 0,
            descent: Descent::from_root(),
            pairing: None,
            exchange: Exchange::new(Arc::clone(&floor_of), horizon.map(|(_, time)| time)),
            floor_of,
            horizon,
            has_all: false,
            asked: BTreeMap::new(),
            last,
            tally: Tally::default(),
        }
    }

    /// The other node.
    pub(super) const fn peer(&self) -> NodeId {
        self.peer
    }

    /// The number of its last request.
    pub(super) const fn last(&self) -> u64 {
        self.last
    }

    /// How it has ended, with what it found; none while it goes on.
    pub(super) fn ended(&self) -> Option<(Ended, Tally)> {
        match self.phase {
            Phase::Over(ended) => Some((ended, self.tally())),
            _ => None,
        }
    }

    /// What it has found and moved so far.
    pub(super) const fn tally(&self) -> Tally {
        let mut tally = self.tally;
        if self.is_in_a_pass() {
            tally.add(self.exchange.tally);
        }
        tally
    }

    const fn is_in_a_pass(&self) -> bool {
        self.passes > 0
    }

    /// The round for which it counts, if whatever the other owner had joined by its start of writes up to the horizon is here, too.
    pub(super) fn round(&self) -> Option<u64> {
        let has_ended = matches!(self.phase, Phase::Over(Ended::Equal | Ended::Differ { .. }));
        let (round, _) = self.horizon?;
        (has_ended && self.has_all).then_some(round)
    }

    /// Breaks it off.
    pub(super) const fn fail(&mut self, failure: Failure) {
        self.phase = Phase::Over(Ended::Failed(failure));
    }

    /// Gives up if an answer is late, or nothing came for long although it did not rest.
    pub(super) fn handle_time(&mut self, rests: bool, now: Moment) {
        if rests {
            self.found_at = now;
        }
        if now.saturating_since(self.found_at) > NO_PROGRESS {
            self.fail(Failure::Stuck);
        } else if self.asked.values().any(|&(_, deadline)| deadline <= now) {
            self.fail(Failure::Silent);
        }
    }

    /// The other node has answered. Whether it takes more at once: else it is to be left alone for a moment.
    pub(super) fn answered(
        &mut self,
        number: u64,
        (response, clock): (Response, Millis),
        now: Moment,
    ) -> bool {
        let Some((about, _)) = self.asked.remove(&number) else {
            return true;
        };
        self.tally.received += HEAD + answer_bytes(&response);
        self.found_at = now;
        let mut takes_more = true;
        let taken = match (about, response) {
            (About::Key(about), response) => {
                let answered = self.exchange.answered(about, response, clock);
                answered.map(|takes| takes_more = takes)
            }
            (_, Response::Refused(refusal)) => Err(Failure::Refused(refusal)),
            (About::Total, Response::Sync(SyncAnswer::Total(sum))) => self.compare_totals(sum),
            (About::Below(nodes), Response::Sync(SyncAnswer::Below(sums))) => {
                self.compare_children(&nodes, &sums)
            }
            (About::Keys, Response::Sync(SyncAnswer::Keys(page))) => self.take_keys(page),
            _ => Err(Failure::WrongAnswer),
        };
        if let Err(failure) = taken {
            self.fail(failure);
        }
        takes_more
    }

    /// A page of keys was read here; none if it could not be.
    pub(super) fn looked(&mut self, page: Option<LeafPage>, now: Moment) {
        let Some(pairing) = &mut self.pairing else {
            return;
        };
        self.found_at = now;
        match page.map(|page| pairing.read_here(page)) {
            Some(Ok(())) => {}
            Some(Err(_out_of_order)) => self.fail(Failure::WrongAnswer),
            None => self.fail(Failure::Unreadable),
        }
    }

    /// The next thing to be done; none until something comes in. `is_calm` says whether no writes wait here.
    pub(super) fn next(&mut self, is_calm: bool, now: Moment) -> Option<Step> {
        match self.phase {
            Phase::Beginning => {
                self.phase = Phase::Totals;
                Some(self.ask(SyncRequest::Total, About::Total, now))
            }
            Phase::Settling(since) if is_settled(since, is_calm, now) => {
                self.phase = Phase::Totals;
                Some(self.ask(SyncRequest::Total, About::Total, now))
            }
            Phase::Comparing => self.compare(now),
            Phase::Totals | Phase::Settling(_) | Phase::Over(_) => None,
        }
    }

    fn compare(&mut self, now: Moment) -> Option<Step> {
        if let Some(step) = self.exchange_next(now) {
            return Some(step);
        }
        if !self.exchange.is_full()
            && let Some(step) = self.look_for_more(now)
        {
            return Some(step);
        }
        if self.asked.is_empty() && self.is_idle() {
            self.phase = Phase::Settling(now);
        }
        None
    }

    /// Goes on with the keys of the leaves at hand, or with the tree.
    fn look_for_more(&mut self, now: Moment) -> Option<Step> {
        self.pair();
        if let Some(step) = self.exchange_next(now) {
            return Some(step);
        }
        if let Some(pairing) = &mut self.pairing {
            let leaves = pairing.leaves().to_vec();
            if let Some(after) = pairing.wants_here() {
                return Some(Step::Look(leaves, after));
            }
            let after = pairing.wants_there()?.unwrap_or_default();
            let keys = SyncRequest::Keys { leaves, after };
            return Some(self.ask(keys, About::Keys, now));
        }

        let is_asked = |(about, _): &(About, Moment)| matches!(about, About::Below(_));
        if self.asked.values().any(is_asked) {
            return None;
        }
        let nodes = self.descent.next()?;
        if nodes.level >= self.shared.leaf_level() {
            self.pairing = Some(Pairing::new(nodes.nodes, Arc::clone(&self.leaf_of)));
            return self.look_for_more(now);
        }
        let below = SyncRequest::Below {
            level: nodes.level,
            nodes: nodes.nodes.clone(),
        };
        Some(self.ask(below, About::Below(nodes), now))
    }

    fn exchange_next(&mut self, now: Moment) -> Option<Step> {
        Some(match self.exchange.next()? {
            exchange::Step::Ask(request, about) => self.send(request, About::Key(about), now),
            exchange::Step::Write { key, change, bytes } => Step::Write { key, change, bytes },
        })
    }

    fn ask(&mut self, request: SyncRequest, about: About, now: Moment) -> Step {
        self.send(Request::Sync(request), about, now)
    }

    fn send(&mut self, request: Request, about: About, now: Moment) -> Step {
        self.last += 1;
        self.tally.sent += HEAD + bytes(request.body_bytes());
        self.asked.insert(self.last, (about, now + ANSWER_DEADLINE));
        Step::Ask(self.last, request)
    }

    fn compare_totals(&mut self, theirs: Sum) -> Result<(), Failure> {
        let shared = &self.shared;
        let ours = self.sums.with_tree(|tree| shared.total(tree));
        let ours = ours.ok_or(Failure::Refused(Refusal::NotReady))?;
        if ours == theirs {
            self.has_all = true;
            self.phase = Phase::Over(Ended::Equal);
            return Ok(());
        }

        if self.is_in_a_pass() {
            let horizon = self.horizon.map(|(_, time)| time);
            let fresh = Exchange::new(Arc::clone(&self.floor_of), horizon);
            let pass = core::mem::replace(&mut self.exchange, fresh);
            let found = pass.tally;
            self.tally.add(found);
            // What differed in this pass is repaired, but whether it was joined only the next one shows.
            self.has_all = pass.old_differing == 0 && found.failed + found.damaged == 0;
            let keys = found.differing + found.failed + found.damaged;
            if keys == 0 || keys >= self.before || self.passes >= PASSES {
                self.passes = 0;
                let ended = if keys == 0 {
                    Ended::Equal
                } else {
                    Ended::Differ { keys }
                };
                self.phase = Phase::Over(ended);
                return Ok(());
            }
            self.before = keys;
        }
        self.passes += 1;
        self.descent = Descent::from_root();
        self.phase = Phase::Comparing;
        Ok(())
    }

    fn compare_children(&mut self, nodes: &Nodes, theirs: &[u64]) -> Result<(), Failure> {
        let Self {
            sums,
            shared,
            descent,
            ..
        } = self;
        let compared = sums.with_tree(|tree| {
            let own = |level, index| shared.sum(tree, level, index).short();
            descent.compared(nodes, theirs, (shared, own))
        });
        let compared = compared.ok_or(Failure::Refused(Refusal::NotReady))?;
        compared.map_err(|_wrong_length| Failure::WrongAnswer)
    }

    fn take_keys(&mut self, page: KeyPage) -> Result<(), Failure> {
        let Some(pairing) = &mut self.pairing else {
            return Err(Failure::WrongAnswer);
        };
        self.empty_pages = if page.rows.is_empty() {
            self.empty_pages + 1
        } else {
            0
        };
        if self.empty_pages > EMPTY_PAGES {
            return Err(Failure::Stuck);
        }
        let read = pairing.read_there(page);
        read.map_err(|_out_of_order| Failure::WrongAnswer)
    }

    /// Takes keys that are known to differ to the exchange, as long as that takes more.
    fn pair(&mut self) {
        let Some(pairing) = &mut self.pairing else {
            return;
        };
        while !self.exchange.is_full() {
            let Some(differing) = pairing.next() else {
                break;
            };
            self.exchange.add(differing);
        }
        if pairing.is_over() {
            self.exchange.tally.damaged += pairing.damaged();
            self.pairing = None;
        }
    }

    /// Whether nothing is left of this pass.
    fn is_idle(&self) -> bool {
        self.exchange.is_idle() && self.pairing.is_none() && self.descent.is_over()
    }
}

/// Whether what was written here is in the sums: nothing waits any more, or what waits is dropped.
fn is_settled(since: Moment, is_calm: bool, now: Moment) -> bool {
    let waited = now.saturating_since(since);
    waited >= LONGEST_WAIT || (is_calm && waited >= SETTLE)
}

/// Bytes of an answer's body.
fn answer_bytes(response: &Response) -> u64 {
    bytes(match response {
        response if response.record().is_some() => response.record().map_or(0, Bytes::len),
        Response::Sync(SyncAnswer::Below(sums)) => size_of_val(&sums[..]),
        Response::Sync(SyncAnswer::Keys(page)) => {
            let rows = page.rows.iter().map(|(key, _)| key.len() + 10);
            rows.sum::<usize>() + page.next.as_ref().map_or(0, Bytes::len)
        }
        _ => 16,
    })
}

fn bytes(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}
