//! The hints that one target refuses: how many they are, why, and when each is tried again.
//!
//! ```text
//!   refused --> skipped for 1 s --> tried, refused --> 2 s --> ... --> 60 s       delivered: forgotten
//! ```
//!
//! A hint may be refused for ever: its record is larger than its target's build or settings take, its stamp is ahead
//! of its target's clock, or the target cannot read the row that it would be joined with. The hints behind it must not
//! wait for it. It stays where it is, since what is wrong may be mended.
//!
//! Keys are remembered by their hashes. Two keys with one hash share a pause, which delays one of them by a minute at
//! most. Bounded: [`MOST`] hints are remembered; one beyond them is tried in every walk.

use std::collections::BTreeMap;
use std::time::Duration;

use quoit_ring::wire::Refusal;
use quoit_ring::{Moment, content_hash};

/// Most hints that are remembered for one target.
const MOST: usize = 4_096;
/// The pause after a hint's first refusal; each further one in a row is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause: how much later than need be a hint arrives whose target has been mended.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How often a refusal is worth a line in the log.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// One refused hint.
#[derive(Debug, Clone, Copy)]
struct Pause {
    refusals: u32,
    until: Moment,
}

/// The refused hints for one target.
#[derive(Debug, Default)]
pub(super) struct RefusedSet {
    hints: BTreeMap<u64, Pause>,
    newest: Option<(Moment, Refusal)>,
    log_after: Option<Moment>,
}

impl RefusedSet {
    /// The hint of `key` was refused. If it is the hint that is at fault, it pauses.
    pub(super) fn note(&mut self, key: &[u8], reason: Refusal, pauses: bool, now: Moment) {
        self.newest = Some((now, reason));
        let hash = content_hash(key, None);
        if self.hints.len() >= MOST && !self.hints.contains_key(&hash) {
            return;
        }

        let pause = self.hints.entry(hash).or_insert(Pause {
            refusals: 0,
            until: now,
        });
        if pauses {
            let doubled = FIRST_PAUSE.saturating_mul(1 << pause.refusals.min(16));
            pause.until = now + doubled.min(LONGEST_PAUSE);
            pause.refusals = pause.refusals.saturating_add(1);
        }
    }

    /// The hint of `key` was delivered.
    pub(super) fn forget(&mut self, key: &[u8]) {
        if !self.hints.is_empty() {
            self.hints.remove(&content_hash(key, None));
        }
    }

    /// Whether the hint of `key` is to be skipped.
    pub(super) fn is_paused(&self, key: &[u8], now: Moment) -> bool {
        !self.hints.is_empty()
            && (self.hints.get(&content_hash(key, None))).is_some_and(|pause| now < pause.until)
    }

    /// When the first of them may be tried again, if these are all of the `kept` hints.
    pub(super) fn all_paused_until(&self, kept: u64) -> Option<Moment> {
        let remembered = u64::try_from(self.hints.len()).unwrap_or(u64::MAX);
        let first = self.hints.values().map(|pause| pause.until).min();
        first.filter(|_| remembered >= kept)
    }

    /// How many there are, and when and why the last of them was refused; `None` if there are none.
    pub(super) fn summary(&self) -> Option<(u64, Moment, Refusal)> {
        let (at, reason) = self.newest.filter(|_| !self.hints.is_empty())?;
        let count = u64::try_from(self.hints.len()).unwrap_or(u64::MAX);
        Some((count, at, reason))
    }

    /// Whether a line in the log is due; it counts as written.
    pub(super) fn is_log_due(&mut self, now: Moment) -> bool {
        let due = self.log_after.is_none_or(|after| after <= now);
        if due {
            self.log_after = Some(now + LOG_EVERY);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Moment = Moment(100_000_000);
    const REASON: Refusal = Refusal::BadRecord;

    #[test]
    fn a_refused_hint_pauses_ever_longer_until_it_is_delivered() {
        let (mut refused, mut now) = (RefusedSet::default(), NOW);
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            refused.note(b"k", REASON, true, now);
            let pause = Duration::from_secs(seconds);
            assert!(refused.is_paused(b"k", (now + pause).saturating_sub(FIRST_PAUSE / 2)));
            now += pause;
            assert!(!refused.is_paused(b"k", now));
        }
        assert!(!refused.is_paused(b"other", NOW));
        assert_eq!(refused.summary().map(|(count, ..)| count), Some(1));
        refused.forget(b"k");
        assert_eq!(refused.summary(), None);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut refused = RefusedSet::default();
        for n in 0..=MOST {
            refused.note(n.to_string().as_bytes(), REASON, true, NOW);
        }
        assert_eq!(refused.hints.len(), MOST);
        assert!(!refused.is_paused(MOST.to_string().as_bytes(), NOW));
    }

    #[test]
    fn a_line_in_the_log_is_due_once_a_minute() {
        let mut refused = RefusedSet::default();
        assert!(refused.is_log_due(NOW));
        assert!(!refused.is_log_due(NOW + LOG_EVERY / 2));
        assert!(refused.is_log_due(NOW + LOG_EVERY));
    }
}
