//! What a watch reads when, and what it yields. Pure: answers, reads and time in; polls, reads and notices out.
//!
//! ```text
//!   answers of polls --keys--> dirty --read, once the key is not being read--> another version than was yielded?  yield it
//!          '-- a node restarted, overflowed, was lost --> a pass over all: one read of a key, one scan of a prefix
//! ```
//!
//! **Why none is missed.** A write is acknowledged once a majority of a key's owners has joined it, and each of them reports it
//! afterwards. While all are heard, the word of the one that made it a majority leads to a read that begins later, and any
//! quorum meets the write. While only a majority is heard, the word may come from an owner that has the write before a
//! majority has it, and a read may miss it; but no write is acknowledged later than the longest deadline after its first
//! join, so a pass that much later sees it. While fewer are heard, passes come all the time.
//!
//! Invariants: a key leaves `dirty` when its read begins, so what is reported meanwhile is read again; no key is read twice at a
//! time, and none while a pass yields rows, which may be older than a read of just now. Nothing is kept without a bound.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use quoit_ring::wire::WatchAnswer;
use quoit_ring::{Millis, Moment, NodeId};

use super::event::Lag;
use super::feeds::{Feeds, Level, PollAsk};
use super::memory::{Found, Memory};

/// Most keys that wait to be read, and the most bytes of them.
const MOST_DIRTY: usize = 4_096;
const MOST_DIRTY_BYTES: usize = 1 << 20;
/// Most reads beside each other.
const MOST_READS: usize = 16;
/// The longest deadline that a write may have, and a little: what was joined before is acknowledged by then, or never.
const SETTLED: Duration = Duration::from_secs(31);
/// How often all is read while too few owners are heard: a key, a prefix.
const BLIND: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(10)];
/// Pauses between attempts of what failed: they double.
const PAUSE: Duration = Duration::from_millis(200);
const DOUBLES: u32 = 4;

/// What is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    Key(Bytes),
    Prefix(Bytes),
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Poll(PollAsk),
    Read(Bytes),
    /// Scans the prefix: [`Machine::row`] for each row, then [`Machine::scanned`].
    Scan,
    Notify(Notice),
    /// Nothing, before an answer comes or [`Machine::due`].
    Wait,
}

/// What the reader gets beside changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Notice {
    Current,
    Lagged(Lag),
    Reset,
}

/// A look at all.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Pass {
    None,
    /// Not before this moment.
    Needed(Moment),
    /// The prefix is to be scanned.
    Begun,
    /// The key is read, or the prefix scanned.
    Running,
    /// The keys that the scan has not found, behind this one.
    Missing(Option<Bytes>),
}

/// Whether all that was there has been yielded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lagging {
    No,
    /// Not yet: it has begun.
    Quiet,
    /// Not any more, and the reader knows.
    Reported,
}

/// One watch.
#[derive(Debug)]
pub(crate) struct Machine {
    target: Target,
    feeds: Feeds,
    memory: Memory,
    pass: Pass,
    number: u64,
    /// Whether the memory was empty when the pass began: then nothing can be missing.
    is_whole: bool,
    /// Whether another one must follow the one that is running.
    is_doubtful: bool,
    /// A pass of which the reader learns nothing.
    again: Option<Moment>,
    /// When a node last reported a change.
    hinted: Option<Moment>,
    failures: u32,
    dirty: BTreeSet<Bytes>,
    dirty_bytes: usize,
    reading: BTreeSet<Bytes>,
    /// Of those being read, the ones that the pass waits for.
    awaited: BTreeSet<Bytes>,
    notices: VecDeque<Notice>,
    lag: Lagging,
    /// Whether a node has refused, since it has as many subscriptions as it may.
    is_refused: bool,
    now: Moment,
    /// The latest clock of a node, and when it showed that.
    clock: (Millis, Moment),
}

impl Machine {
    /// Watches `target` at these nodes. `known` is what was yielded earlier: of a key a version, of a prefix anything.
    pub(crate) fn new(
        target: Target,
        nodes: (impl IntoIterator<Item = NodeId>, usize),
        known: Option<u64>,
    ) -> Self {
        let mut memory = Memory::new(matches!(target, Target::Key(_)));
        match (&target, known) {
            (Target::Key(key), Some(version)) => memory.recall(key, version),
            (Target::Prefix(_), Some(_)) => memory.forget(),
            (_, None) => {}
        }
        Self {
            target,
            feeds: Feeds::new(0, nodes),
            memory,
            pass: Pass::Needed(Moment(0)),
            number: 0,
            is_whole: false,
            is_doubtful: false,
            again: None,
            hinted: None,
            failures: 0,
            dirty: BTreeSet::new(),
            dirty_bytes: 0,
            reading: BTreeSet::new(),
            awaited: BTreeSet::new(),
            notices: VecDeque::new(),
            lag: Lagging::Quiet,
            is_refused: false,
            now: Moment(0),
            clock: (Millis(0), Moment(0)),
        }
    }

    /// The version of the key that was yielded last.
    pub(crate) fn version(&self) -> Option<u64> {
        match &self.target {
            Target::Key(key) => self.memory.version(key),
            Target::Prefix(_) => None,
        }
    }

    /// A node answered a poll of a generation, by its clock.
    pub(crate) fn heard(
        &mut self,
        (generation, node): (u64, NodeId),
        (answer, clock): (WatchAnswer, Millis),
        now: Moment,
    ) {
        self.pass_time(now);
        if clock > self.clock() {
            self.clock = (clock, now);
        }
        if generation != self.feeds.generation() {
            return;
        }
        let heard = self.feeds.heard(node, answer, now);
        if !heard.keys.is_empty() {
            self.hinted = Some(now);
            if self.feeds.level() != Level::All {
                self.again = self.again.or(Some(now + SETTLED));
            }
        }
        for key in &heard.keys {
            self.mark_dirty(key);
        }
        if let Some(lag) = heard.doubt {
            self.doubt(lag, now);
        }
    }

    /// A node did not answer a poll of a generation, or refused since it has too many subscriptions.
    pub(crate) fn failed(
        &mut self,
        (generation, node): (u64, NodeId),
        is_refused: bool,
        now: Moment,
    ) {
        self.pass_time(now);
        if generation == self.feeds.generation() {
            self.is_refused |= is_refused;
            self.feeds.failed(node, now);
        }
    }

    /// Another epoch: these nodes are asked, and those before no more.
    pub(crate) fn moved(&mut self, nodes: (impl IntoIterator<Item = NodeId>, usize)) {
        self.feeds = Feeds::new(self.feeds.generation() + 1, nodes);
        self.doubt(Lag::Ring, self.now);
    }

    /// A read of a key ended; whether what it found is to be yielded.
    pub(crate) fn read(&mut self, key: &Bytes, found: Option<&Found>) -> bool {
        self.reading.remove(key);
        let is_awaited = self.awaited.remove(key);
        let Some(found) = found else {
            self.fail();
            return false;
        };
        self.failures = 0;
        let stamp = (self.number, self.clock());
        let is_news = self.memory.note(key, found, stamp);
        if is_awaited && self.pass == Pass::Running {
            self.end_pass();
        }
        is_news
    }

    /// The scan found a row; whether it is to be yielded. One that differs from what was yielded is read behind the scan: a
    /// scan does not see what a conditional write has pending, and would go back behind a read that did.
    pub(crate) fn row(&mut self, key: &Bytes, found: &Found) -> bool {
        let known = self.memory.version(key);
        if !self.is_whole && known.is_some_and(|version| version != found.version) {
            return false;
        }
        let stamp = (self.number, self.clock());
        self.memory.note(key, found, stamp)
    }

    /// The scan has come to its end, or has failed.
    pub(crate) fn scanned(&mut self, is_complete: bool) {
        if !is_complete {
            self.fail();
        } else if self.is_whole {
            self.end_pass();
        } else {
            self.pass = Pass::Missing(None);
        }
    }

    /// Time has passed.
    pub(crate) fn pass_time(&mut self, now: Moment) {
        self.now = self.now.max(now);
        if self.feeds.pass(self.now) {
            self.doubt(Lag::Owners, self.now);
        }
        if (self.again.take_if(|again| *again <= self.now)).is_some()
            && self.feeds.level() != Level::All
        {
            self.need(self.now);
        }
        while let Some(key) = self.memory.take_due(self.clock()) {
            self.mark_dirty(&key);
        }
    }

    /// When to call [`Machine::pass_time`] at the latest.
    pub(crate) fn due(&self) -> Option<Moment> {
        let pass = match self.pass {
            Pass::Needed(at) if at > self.now => Some(at),
            _ => None,
        };
        let (Millis(clock), at) = self.clock;
        let expiry = self.memory.due().map(|Millis(due)| {
            let left_ms = due.saturating_sub(clock);
            at.after(left_ms.saturating_mul(1_000))
        });
        let feeds = self.feeds.due();
        [pass, expiry, feeds, self.again]
            .into_iter()
            .flatten()
            .min()
    }

    /// The latest moment that it was given.
    pub(crate) const fn now(&self) -> Moment {
        self.now
    }

    /// What to do next.
    pub(crate) fn poll(&mut self) -> Step {
        if let Some(notice) = self.notices.pop_front() {
            return Step::Notify(notice);
        }
        if let Some(ask) = self.feeds.ask(self.now) {
            return Step::Poll(ask);
        }
        match self.pass.clone() {
            Pass::Needed(at) if at <= self.now && self.feeds.is_settled() => {
                if self.reading.is_empty() {
                    return self.begin_pass();
                }
                Step::Wait
            }
            Pass::Begun => {
                self.pass = Pass::Running;
                Step::Scan
            }
            Pass::Running => Step::Wait,
            Pass::Missing(behind) => self.find_missing(behind.as_ref()),
            Pass::None | Pass::Needed(_) => self.read_dirty(),
        }
    }

    /// Reads a key that has changed.
    fn read_dirty(&mut self) -> Step {
        if self.reading.len() >= MOST_READS {
            return Step::Wait;
        }
        let free = |key: &&Bytes| !self.reading.contains(*key);
        let Some(key) = self.dirty.iter().find(free).cloned() else {
            return Step::Wait;
        };
        self.unmark(&key);
        self.reading.insert(key.clone());
        Step::Read(key)
    }

    fn find_missing(&mut self, behind: Option<&Bytes>) -> Step {
        if self.reading.len() >= MOST_READS {
            return Step::Wait;
        }
        let Some(key) = self.memory.missing(behind, self.number) else {
            if self.awaited.is_empty() {
                self.end_pass();
                return self.poll();
            }
            return Step::Wait;
        };
        self.pass = Pass::Missing(Some(key.clone()));
        self.unmark(&key);
        self.awaited.insert(key.clone());
        self.reading.insert(key.clone());
        Step::Read(key)
    }

    fn begin_pass(&mut self) -> Step {
        self.number += 1;
        self.is_doubtful = false;
        // What was reported before is seen by it.
        self.dirty.clear();
        self.dirty_bytes = 0;
        let is_recent = self.hinted.is_some_and(|at| at + SETTLED > self.now);
        self.again = is_recent.then_some(self.now + SETTLED);
        match &self.target {
            Target::Key(key) => {
                self.pass = Pass::Running;
                self.reading.insert(key.clone());
                self.awaited.insert(key.clone());
                Step::Read(key.clone())
            }
            Target::Prefix(_) => {
                self.is_whole = self.number == 1 || self.memory.has_forgotten();
                self.pass = Pass::Begun;
                if self.memory.has_forgotten() {
                    self.memory.reset();
                    self.notices.push_back(Notice::Reset);
                }
                self.poll()
            }
        }
    }

    fn end_pass(&mut self) {
        self.pass = Pass::None;
        self.failures = 0;
        if self.memory.has_forgotten() && !self.is_whole {
            self.is_doubtful = true; // what made place may be among what is gone
        }
        if self.is_doubtful {
            self.pass = Pass::Needed(self.now + PAUSE);
            return;
        }
        if self.feeds.level() == Level::TooFew {
            let [key, prefix] = BLIND;
            let pause = if matches!(self.target, Target::Key(_)) {
                key
            } else {
                prefix
            };
            self.again = Some(self.now + pause);
            if self.lag != Lagging::Reported {
                self.lag = Lagging::Reported;
                let why = if self.is_refused {
                    Lag::Refused
                } else {
                    Lag::Owners
                };
                self.notices.push_back(Notice::Lagged(why));
            }
        } else if self.lag != Lagging::No {
            self.lag = Lagging::No;
            self.notices.push_back(Notice::Current);
        }
    }

    /// All is to be read: what was missed is not known.
    fn doubt(&mut self, lag: Lag, at: Moment) {
        if self.lag != Lagging::Reported {
            self.lag = Lagging::Reported;
            self.notices.push_back(Notice::Lagged(lag));
        }
        self.need(at);
    }

    fn need(&mut self, at: Moment) {
        match self.pass {
            Pass::None => self.pass = Pass::Needed(at),
            Pass::Needed(_) => {}
            Pass::Begun | Pass::Running | Pass::Missing(_) => self.is_doubtful = true,
        }
    }

    /// A read or scan has failed: all is read again, in a while.
    fn fail(&mut self) {
        let at = self.now + PAUSE * (1 << self.failures.min(DOUBLES));
        self.failures = self.failures.saturating_add(1);
        self.awaited.clear();
        self.pass = Pass::None;
        self.doubt(Lag::Unread, at);
    }

    fn mark_dirty(&mut self, key: &Bytes) {
        // A copy: the key may be a slice of an answer.
        if self.dirty.insert(Bytes::copy_from_slice(key)) {
            self.dirty_bytes += key.len();
        }
        if self.dirty.len() > MOST_DIRTY || self.dirty_bytes > MOST_DIRTY_BYTES {
            self.dirty.clear();
            self.dirty_bytes = 0;
            self.doubt(Lag::TooMany, self.now);
        }
    }

    fn unmark(&mut self, key: &Bytes) {
        if self.dirty.remove(key) {
            self.dirty_bytes -= key.len();
        }
    }

    /// What the nodes' clocks show by now, as far as is known.
    fn clock(&self) -> Millis {
        let (Millis(clock), at) = self.clock;
        Millis(clock.saturating_add(self.now.since(at) / 1_000))
    }
}

#[cfg(test)]
mod tests;
