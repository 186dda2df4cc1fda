//! The hints for one node, on their way: how many may be under way, how fast, and when to rest.
//!
//! ```text
//!   window    1 at first and after every failure, one more for each window of successes, at most 64 and 1 MiB
//!   rate      so many a second, a long record counts as several; some 100 ms of it at once, then none for as long
//!   rest      after a failure 100 ms, doubling to 5 s; at the end of a walk, until its removals are committed
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
const MAX_WINDOW: u32 = 64;
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
    /// How many were delivered in this walk.
    delivered: u64,
    window: u32,
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
    pub(super) fn new() -> Self {
        Self {
            page: VecDeque::new(),
            after: None,
            is_last: false,
            loading: false,
            is_resumed: false,
            refused: RefusedSet::default(),
            delivered: 0,
            window: 1,
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
        // Without a delivery nothing is left that can be delivered: no hurry.
        self.rest_until = now
            + if delivered {
                BETWEEN_WALKS
            } else {
                LONGEST_REST
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

    /// A page could not be read.
    pub(super) fn not_loaded(&mut self, now: Moment) {
        self.loading = false;
        self.rest(None, Duration::ZERO, now);
    }

    /// A hint was delivered.
    pub(super) fn delivered(&mut self, hint: &Hint) {
        self.answered(hint);
        self.refused.forget(&hint.key);
        self.failures = 0;
        self.delivered += 1;
        self.successes += 1;
        if self.successes >= self.window && self.window < MAX_WINDOW {
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
mod tests {
    use super::*;

    const PACE: Duration = Duration::from_millis(1);

    fn hints(count: usize, bytes: usize) -> Vec<Hint> {
        let hint = |n: usize| Hint {
            key: n.to_string().into(),
            record: vec![0; bytes].into(),
        };
        (0..count).map(hint).collect()
    }

    /// Any hint with a record of so many bytes.
    fn hint(bytes: usize) -> Hint {
        hints(1, bytes).remove(0)
    }

    fn page(count: usize, bytes: usize, is_last: bool) -> Page {
        Page {
            target: quoit_ring::NodeId(7),
            hints: hints(count, bytes),
            is_last,
            unreadable: 0,
        }
    }

    /// A queue with a page in hand, long after anything else.
    fn queue(count: usize, bytes: usize) -> (TargetQueue, Moment) {
        let (mut queue, now) = (TargetQueue::new(), Moment(100_000_000));
        assert_eq!(queue.step(PACE, now), Some(QueueStep::Load(None)));
        assert_eq!(queue.step(PACE, now), None, "one page at a time");
        queue.loaded(page(count, bytes, true), now);
        (queue, now)
    }

    fn sends(queue: &mut TargetQueue, now: Moment) -> u32 {
        let mut sent = 0;
        while let Some(QueueStep::Send(_)) = queue.step(PACE, now) {
            sent += 1;
        }
        sent
    }

    #[test]
    fn the_window_grows_with_success_and_falls_with_a_failure() {
        let (mut queue, mut now) = queue(1_000, 0);
        let mut widest = 0;
        for _round in 0..12 {
            now += Duration::from_secs(1);
            let sent = sends(&mut queue, now);
            assert!(sent <= widest + 1);
            widest = sent;
            (0..sent).for_each(|_| queue.delivered(&hint(0)));
        }
        assert_eq!(widest, 12);
        assert_eq!(sends(&mut queue, now + BURST), 13);
        queue.failed(&hint(0), Duration::ZERO, now);
        assert_eq!(queue.window, 1);
    }

    #[test]
    fn the_rate_bounds_what_is_sent_and_long_records_count_as_several() {
        for (bytes, expected) in [(0, 1_050), (PORTION, 525)] {
            let (mut queue, began) = queue(5_000, bytes);
            queue.window = MAX_WINDOW;
            let mut sent = 0;
            for ms in 0..1_000 {
                let round = sends(&mut queue, began + Duration::from_millis(ms));
                (0..round).for_each(|_| queue.delivered(&hint(bytes)));
                sent += round;
            }
            assert!(
                (expected - 50..=expected + 55).contains(&sent),
                "{sent} of {bytes} bytes in a second"
            );
        }
    }

    #[test]
    fn long_records_are_few_at_a_time_and_one_goes_however_long_it_is() {
        for (bytes, expected) in [(300 << 10, 3), (2 << 20, 1)] {
            let (mut queue, began) = queue(9, bytes);
            queue.window = MAX_WINDOW;
            let fast = Duration::from_nanos(1);
            let mut sent = 0;
            while let Some(QueueStep::Send(_)) = queue.step(fast, began) {
                sent += 1;
            }
            assert_eq!(sent, expected);
            queue.delivered(&hint(bytes));
            assert!(queue.step(fast, began).is_some());
        }
    }

    #[test]
    fn hints_come_in_gusts() {
        let (mut queue, began) = queue(5_000, 0);
        queue.window = MAX_WINDOW;
        let mut gusts = 0;
        for ms in 0..1_000 {
            let round = sends(&mut queue, began + Duration::from_millis(ms));
            (0..round).for_each(|_| queue.delivered(&hint(0)));
            gusts += u32::from(round > 0);
        }
        assert!((8..30).contains(&gusts), "{gusts} in a second");
    }

    #[test]
    fn failures_in_a_row_rest_ever_longer_and_failures_at_once_count_once() {
        let (mut queue, mut now) = queue(9, 0);
        for expected in [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000] {
            queue.window = 3;
            assert!(queue.step(PACE, now).is_some());
            (queue.in_flight, queue.loading) = (3, false);
            (0..3).for_each(|_| queue.failed(&hint(0), Duration::ZERO, now));
            let rest = Duration::from_millis(expected);
            assert_eq!(queue.rest_until, now + rest);
            assert_eq!(queue.step(PACE, (now + rest).saturating_sub(PACE)), None);
            now += rest;
        }
        queue.delivered(&hint(0));
        queue.failed(&hint(0), Duration::from_secs(2), now);
        assert_eq!(queue.rest_until, now + Duration::from_secs(2));
    }

    #[test]
    fn a_walk_begins_again_when_the_last_one_is_over() {
        let (mut queue, now) = queue(1, 0);
        assert!(matches!(queue.step(PACE, now), Some(QueueStep::Send(_))));
        queue.delivered(&hint(0));
        assert_eq!(queue.step(PACE, now), None);
        let later = now + BETWEEN_WALKS;
        assert_eq!(queue.step(PACE, later), Some(QueueStep::Load(None)));
        queue.loaded(page(1, 0, true), later);
        assert!(matches!(queue.step(PACE, later), Some(QueueStep::Send(_))));
        assert!(queue.refused(&hint(0), Refusal::BadRecord, None, later));
        assert_eq!(queue.step(PACE, later), None);
        assert_eq!(queue.rest_until, later + LONGEST_REST, "nothing helped");
    }

    /// Sends one hint after the other and lets `fails` answer; how often each was sent, and the time in the end.
    fn walk_for(
        seconds: u64,
        count: usize,
        mut fails: impl FnMut(&mut TargetQueue, &Hint, Moment) -> bool,
    ) -> (Vec<u32>, Moment) {
        let (mut queue, began) = (TargetQueue::new(), Moment(100_000_000));
        let (mut left, mut sent) = (hints(count, 0), vec![0; count]);
        left.sort_by(|a, b| a.key.cmp(&b.key));
        let mut now = began;
        while now < began + Duration::from_secs(seconds) {
            match queue.step(PACE, now) {
                None => now += Duration::from_millis(20),
                Some(QueueStep::Load(after)) => {
                    let behind = |hint: &&Hint| after.as_ref().is_none_or(|after| hint.key > after);
                    let hints = left.iter().filter(behind).take(7).cloned().collect();
                    let is_last = left.iter().filter(behind).count() <= 7;
                    let target = quoit_ring::NodeId(7);
                    let page = Page {
                        target,
                        hints,
                        is_last,
                        unreadable: 0,
                    };
                    queue.loaded(page, now);
                }
                Some(QueueStep::Send(hint)) => {
                    let number: usize = std::str::from_utf8(&hint.key).unwrap().parse().unwrap();
                    sent[number] += 1;
                    if !fails(&mut queue, &hint, now) {
                        queue.delivered(&hint);
                        left.retain(|other| other.key != hint.key);
                    }
                }
            }
        }
        (sent, now)
    }

    #[test]
    fn a_hint_that_never_gets_through_does_not_hold_up_those_behind_it() {
        let breaks = |queue: &mut TargetQueue, hint: &Hint, now| {
            let is_poison = hint.key == b"13"[..];
            if is_poison {
                queue.failed(hint, Duration::ZERO, now);
            }
            is_poison
        };
        let (sent, _) = walk_for(120, 20, breaks);
        let others = (0..).zip(&sent).filter(|&(number, _)| number != 13);
        assert!(others.map(|(_, &times)| times).eq([1; 19]), "{sent:?}");
        assert!((20..40).contains(&sent[13]), "{sent:?}");
    }

    #[test]
    fn refused_hints_are_tried_ever_less_often() {
        let refuses = |queue: &mut TargetQueue, hint: &Hint, now| {
            let is_refused = hint.key.starts_with(b"1");
            if is_refused {
                queue.refused(hint, Refusal::BadRecord, None, now);
            }
            is_refused
        };
        let (sent, _) = walk_for(600, 20, refuses);
        for (number, &times) in sent.iter().enumerate() {
            if number.to_string().starts_with('1') {
                assert!((8..20).contains(&times), "{sent:?}");
            } else {
                assert_eq!(times, 1, "{sent:?}");
            }
        }
    }
}
