//! What became of reads and writes: how many, how slow, and how long nothing succeeded.
//!
//! ```text
//! success . . x . . . . kill . x x ----------- . . . .
//!                            '--- longest gap -'
//! ```
//!
//! The longest gap is the longest time in which no operation of anybody succeeded: what a user of the
//! whole system would notice. The slowest operation is what one unlucky user notices. Both go on across a
//! change of phase, so a gap that the kill opened is counted from the last success before it.

use std::fmt;
use std::time::{Duration, Instant};

use crate::units::{count, duration};

/// What is done.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Read,
    Write,
}

/// What happens in one phase.
#[derive(Debug)]
pub(super) struct Phase {
    reads: Tally,
    writes: Tally,
    began: Instant,
    last_success: Instant,
    gap: Duration,
}

#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    done: u64,
    failed: u64,
    /// The longest time that one took, whether it succeeded or not.
    slowest: Duration,
}

/// What happened in a phase that is over.
#[derive(Debug, Clone)]
pub(super) struct Summary {
    reads: Tally,
    writes: Tally,
    elapsed: Duration,
    /// The longest time without a success, one that the phase ended in included.
    pub(super) gap: Duration,
}

impl Phase {
    pub(super) fn begin(now: Instant) -> Self {
        Self {
            reads: Tally::default(),
            writes: Tally::default(),
            began: now,
            last_success: now,
            gap: Duration::ZERO,
        }
    }

    /// Ends this phase and begins the next; a gap goes on.
    pub(super) fn next(&mut self, now: Instant) -> Summary {
        let summary = self.summary(now);
        let last_success = self.last_success;
        *self = Self {
            last_success,
            ..Self::begin(now)
        };
        summary
    }

    /// Counts an operation that took from `started` to `now`.
    pub(super) fn count(&mut self, kind: Kind, succeeded: bool, started: Instant, now: Instant) {
        let tally = match kind {
            Kind::Read => &mut self.reads,
            Kind::Write => &mut self.writes,
        };
        tally.slowest = tally.slowest.max(now.saturating_duration_since(started));
        if !succeeded {
            tally.failed += 1;
            return;
        }
        tally.done += 1;
        let gap = now.saturating_duration_since(self.last_success);
        self.gap = self.gap.max(gap);
        self.last_success = now;
    }

    pub(super) fn summary(&self, now: Instant) -> Summary {
        let waiting = now.saturating_duration_since(self.last_success);
        Summary {
            reads: self.reads,
            writes: self.writes,
            elapsed: now.saturating_duration_since(self.began),
            gap: self.gap.max(waiting),
        }
    }
}

impl Summary {
    /// Reads and writes that succeeded.
    pub(super) const fn done(&self) -> u64 {
        self.reads.done + self.writes.done
    }

    /// Reads and writes that did not.
    pub(super) const fn failed(&self) -> u64 {
        self.reads.failed + self.writes.failed
    }

    /// The longest time that one operation took.
    pub(super) fn slowest(&self) -> Duration {
        self.reads.slowest.max(self.writes.slowest)
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |what: &str, tally: Tally| {
            let (done, failed) = (count(tally.done), count(tally.failed));
            format!(
                "{done} {what} ({failed} failed, slowest {})",
                duration(tally.slowest)
            )
        };
        let (reads, writes) = (part("reads", self.reads), part("writes", self.writes));
        write!(f, "{reads} and {writes} in {}", duration(self.elapsed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A phase and what is so many milliseconds after its beginning.
    fn phase() -> (Phase, impl Fn(u64) -> Instant) {
        let begin = Instant::now();
        (Phase::begin(begin), move |ms| {
            begin + Duration::from_millis(ms)
        })
    }

    #[test]
    fn the_longest_gap_lies_between_successes_of_any_kind_and_failures_do_not_end_it() {
        let (mut phase, at) = phase();
        phase.count(Kind::Read, true, at(9), at(10));
        phase.count(Kind::Write, false, at(10), at(100));
        phase.count(Kind::Write, true, at(240), at(250));
        phase.count(Kind::Read, true, at(255), at(260));
        let summary = phase.summary(at(265));
        assert_eq!(summary.gap, Duration::from_millis(240));
        assert_eq!((summary.done(), summary.failed()), (3, 1));
        assert_eq!(
            summary.slowest(),
            Duration::from_millis(90),
            "a failure counts, too"
        );
    }

    #[test]
    fn a_gap_that_is_not_over_counts() {
        let (mut phase, at) = phase();
        phase.count(Kind::Read, true, at(1), at(2));
        assert_eq!(phase.summary(at(9_002)).gap, Duration::from_secs(9));
    }

    #[test]
    fn the_next_phase_counts_from_zero_except_for_the_gap() {
        let (mut phase, at) = phase();
        phase.count(Kind::Read, true, at(1), at(2));
        let before = phase.next(at(50));
        assert_eq!(
            (before.done(), before.elapsed),
            (1, Duration::from_millis(50))
        );
        phase.count(Kind::Write, true, at(51), at(102));
        let after = phase.summary(at(110));
        assert_eq!((after.done(), after.gap), (1, Duration::from_millis(100)));
        assert_eq!(after.elapsed, Duration::from_millis(60));
    }
}
