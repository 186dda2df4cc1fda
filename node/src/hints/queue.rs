//! The hints for one node, on their way: how many may be under way, how fast, and when to rest.
//!
//! ```text
//!   window    1 at first and after every failure, one more for each window of successes, at most 64 and 1 MiB
//!   rate      so many a second, a long record counts as several; some 100 ms of it at once, then none for as long
//!   rest      after a failure 100 ms, doubling to 5 s; at the end of a walk, until its removals are committed;
//!             if all hints are paused, until the first of them is due
//! ```
//!
//! The window is the target's credit: it takes what it answers for, and no more. A node that has just come back has
//! clients who want to be served. For their sake hints come in gusts, too: those that come together share one commit,
//! and each commit is one more sync that clients' writes have to wait for.
//!
//! A walk goes over all hints of the target once, page by page. What could not be delivered stays where it is, for a
//! later walk to find.
//!
//! No hint holds up the others. One that its target refuses for what it is pauses by itself ([`RefusedSet`]). After any
//! other failure the next walk begins *behind* the hint that failed: it may be the very hint that breaks the
//! connection.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use quoit_ring::Moment;
use quoit_ring::wire::Refusal;

use super::page::{Hint, Page};
use super::refused::RefusedSet;

/// Most hints under way to one node.
pub const MAX_WINDOW: u32 = 64;
/// Most bytes of their records, unless one alone has more.
const MAX_BYTES: usize = 1 << 20;
/// How much of the rate may be used at once after a while in which it was not.
const BURST: Duration = Duration::from_millis(100);
/// How much of the rate is gathered, once it is used up, before the next hint is sent.
const GATHERED: Duration = Duration::from_millis(80);
/// Bytes of a record that count as one hint.
const PORTION: usize = 4 << 10;
/// The first rest after a failure; each further one in a row is twice as long.
const FIRST_REST: Duration = Duration::from_millis(100);
/// The longest rest: how much later than need be a node that is back gets its first hint.
pub(super) const LONGEST_REST: Duration = Duration::from_secs(5);
/// The rest between two walks: what was delivered in the first is removed by then.
const BETWEEN_WALKS: Duration = Duration::from_millis(200);

/// The rest after a removal that was not taken: its hint is there to be delivered again.
const UNREMOVED: Duration = Duration::from_secs(1);

/// What a queue wants done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum QueueStep {
    /// Read the page behind this key.
    Load(Option<Bytes>),
    /// Send this.
    Send(Hint),
}

/// The hints for one node.
#[derive(Debug)]
pub(super) struct TargetQueue {
    page: VecDeque<Hint>,
    /// Behind which key the next page begins.
    after: Option<Bytes>,
    /// Whether the page is the walk's last.
    is_last: bool,
    loading: bool,
    /// Whether the walk began behind a hint that had failed.
    is_resumed: bool,
    refused: RefusedSet,
    /// How many are kept.
    kept: u64,
    /// How many were delivered in this walk.
    delivered: u64,
    window: u32,
    max_window: u32,
    /// Successes since the window last changed.
    successes: u32,
    in_flight: u32,
    /// Bytes of their records.
    bytes: usize,
    failures: u32,
    rest_until: Moment,
    /// When the rate allows the next one.
    free_at: Moment,
    /// Whether the rate was used up, and is being gathered.
    is_gathering: bool,
}

impl TargetQueue {
    /// A queue of which at most `max_window` are under way.
    pub(super) fn new(max_window: u32) -> Self {
        Self {
            page: VecDeque::new(),
            after: None,
            is_last: false,
            loading: false,
            is_resumed: false,
            refused: RefusedSet::default(),
            kept: 0,
            delivered: 0,
            window: 1,
            max_window,
            successes: 0,
            in_flight: 0,
            bytes: 0,
            failures: 0,
            rest_until: Moment(0),
            free_at: Moment(0),
            is_gathering: false,
        }
    }

    /// Whether nothing of it is under way.
    pub(super) const fn is_idle(&self) -> bool {
        self.in_flight == 0 && !self.loading
    }

    /// Whether as many are under way as ever may be.
    pub(super) const fn is_window_full(&self) -> bool {
        self.in_flight >= self.max_window
    }

    /// So many are kept. A new one does not wait for those that are paused.
    pub(super) fn note_kept(&mut self, count: u64, now: Moment) {
        if count > self.kept {
            self.rest_until = self.rest_until.min(now + LONGEST_REST);
        }
        self.kept = count;
    }

    /// The target is there again: the first hint goes out now, as a probe.
    pub(super) fn end_rest(&mut self, now: Moment) {
        self.rest_until = self.rest_until.min(now);
    }

    /// What to do now, if anything. `pace` is the time that the rate gives one hint.
    pub(super) fn step(&mut self, pace: Duration, now: Moment) -> Option<QueueStep> {
        if now < self.rest_until || self.in_flight >= self.window {
            return None;
        }
        while self
            .page
            .pop_front_if(|hint| self.refused.is_paused(&hint.key, now))
            .is_some()
        {}
        if self.page.is_empty() {
            return self.next_page(now);
        }
        if !self.may_send(now) {
            return None;
        }
        let fits = |hint: &Hint| self.bytes == 0 || self.bytes + hint.record.len() <= MAX_BYTES;
        let hint = self.page.pop_front_if(|hint| fits(hint))?;
        let portions = u32::try_from(1 + hint.record.len() / PORTION).unwrap_or(u32::MAX);
        self.free_at = self.free_at.max(now.saturating_sub(BURST)) + pace.saturating_mul(portions);
        self.in_flight += 1;
        self.bytes += hint.record.len();
        Some(QueueStep::Send(hint))
    }

    /// Whether the rate allows one more.
    fn may_send(&mut self, now: Moment) -> bool {
        let gathered = if self.is_gathering {
            GATHERED
        } else {
            Duration::ZERO
        };
        self.is_gathering = now < self.free_at + gathered;
        !self.is_gathering
    }

    fn next_page(&mut self, now: Moment) -> Option<QueueStep> {
        if self.loading {
            return None;
        }
        if !self.is_last {
            self.loading = true;
            return Some(QueueStep::Load(self.after.clone()));
        }
        if self.in_flight > 0 {
            return None;
        }

        let (delivered, was_resumed) = (self.delivered > 0, self.is_resumed);
        self.begin_walk(None);
        if was_resumed && !delivered {
            self.loading = true; // the hints before the one that failed have waited already
            return Some(QueueStep::Load(None));
        }
        self.rest_until = if delivered {
            now + BETWEEN_WALKS
        } else {
            // Nothing is left that can be delivered: no hurry, and no walk before one of them may be tried.
            let due = self.refused.all_paused_until(self.kept);
            due.unwrap_or_default().max(now + LONGEST_REST)
        };
        None
    }

    /// Begins a walk behind a hint, or with the first one.
    fn begin_walk(&mut self, behind: Option<Bytes>) {
        self.page.clear();
        self.is_resumed = behind.is_some();
        self.after = behind;
        self.is_last = false;
        self.delivered = 0;
    }

    /// A page was read. Whether something in it could not be, and that is worth a line in the log.
    pub(super) fn loaded(&mut self, page: Page, now: Moment) -> bool {
        self.loading = false;
        self.is_last = page.is_last;
        self.after = page.hints.last().map(|hint| hint.key.clone());
        self.page = page.hints.into();
        page.unreadable > 0 && self.refused.is_log_due(now)
    }

    /// Leaves hints of the page where they are.
    pub(super) fn leave_out(&mut self, is_left: impl Fn(&[u8]) -> bool) {
        self.page.retain(|hint| !is_left(&hint.key));
    }

    /// A page could not be read.
    pub(super) fn not_loaded(&mut self, now: Moment) {
        self.loading = false;
        self.rest(None, Duration::ZERO, now);
    }

    /// The removal of a hint was not taken.
    pub(super) fn not_removed(&mut self, now: Moment) {
        self.window = 1;
        self.successes = 0;
        self.rest_until = self.rest_until.max(now + UNREMOVED);
    }

    /// A hint was delivered.
    pub(super) fn delivered(&mut self, hint: &Hint) {
        self.answered(hint);
        self.refused.forget(&hint.key);
        self.failures = 0;
        self.delivered += 1;
        self.successes += 1;
        if self.successes >= self.window && self.window < self.max_window {
            self.window += 1;
            self.successes = 0;
        }
    }

    /// A hint was refused. Without a rest it alone is at fault, and the next one may fare better; otherwise its target
    /// takes none for at least so long. Whether that is worth a line in the log.
    pub(super) fn refused(
        &mut self,
        hint: &Hint,
        reason: Refusal,
        rest: Option<Duration>,
        now: Moment,
    ) -> bool {
        (self.refused).note(&hint.key, reason, rest.is_none(), now);
        match rest {
            None => self.answered(hint),
            Some(at_least) => self.failed(hint, at_least, now),
        }
        self.refused.is_log_due(now)
    }

    /// A hint did not get through: its target is away, or has too much to do for `at_least` so long.
    pub(super) fn failed(&mut self, hint: &Hint, at_least: Duration, now: Moment) {
        self.answered(hint);
        self.rest(Some(&hint.key), at_least, now);
    }

    /// The hints that were refused: how many, and when and why the last of them was.
    pub(super) fn refusals(&self) -> Option<(u64, Moment, Refusal)> {
        self.refused.summary()
    }

    const fn answered(&mut self, hint: &Hint) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(hint.record.len());
    }

    /// Rests after the hint of `failed` did not get through; the next walk begins behind it.
    fn rest(&mut self, failed: Option<&Bytes>, at_least: Duration, now: Moment) {
        self.window = 1;
        self.successes = 0;
        if now < self.rest_until {
            return; // one of several that failed together
        }
        let doubled = FIRST_REST.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        self.rest_until = now + doubled.max(at_least).min(LONGEST_REST);
        let is_over = self.is_last && self.page.is_empty();
        self.begin_walk(failed.filter(|_| !is_over).cloned());
    }
}

#[cfg(test)]
mod tests;
