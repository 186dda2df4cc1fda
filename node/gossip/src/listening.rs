//! The clock by which silences are measured: it stands still while this node could not have heard anybody.
//!
//! ```text
//!   real time   0   1   2   3   4   5   6   7   8   9  10  11
//!                        |-- asleep --|      |- hears nobody -|
//!   listening   0   1   2 . . . . . . 2   3  4 . . . . . . . . 4
//! ```
//!
//! A process that was paused, or a node that is cut off, finds everybody silent. The fault is its own, so that time is
//! counted against nobody, and what was measured before goes on where it stood.

use core::time::Duration;

use quoit_ring::Moment;

/// Time spent listening, since the machine was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Listened(u64);

impl Listened {
    #[cfg(test)]
    pub(crate) const fn default_at(micros: u64) -> Self {
        Self(micros)
    }

    /// The time from `earlier` to this.
    pub(crate) const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// The clock.
#[derive(Debug)]
pub(crate) struct ListeningClock {
    last: Moment,
    listened: Listened,
}

impl ListeningClock {
    pub(crate) const fn starting(now: Moment) -> Self {
        Self {
            last: now,
            listened: Listened(0),
        }
    }

    pub(crate) const fn now(&self) -> Listened {
        self.listened
    }

    /// Goes on to `now`, and counts the time since the last call unless it `is_deaf` or was asleep: more than
    /// `longest` without a call. Gives back whether it was asleep.
    pub(crate) fn advance(&mut self, now: Moment, is_deaf: bool, longest: Duration) -> bool {
        let passed = now.saturating_since(self.last);
        self.last = self.last.max(now);
        let was_asleep = passed > longest;
        if !is_deaf && !was_asleep {
            self.listened.0 = Moment(self.listened.0).after(micros(passed)).0;
        }
        was_asleep
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_secs(2);

    #[test]
    fn sleep_and_deafness_are_not_counted() {
        let mut clock = ListeningClock::starting(Moment(0));
        assert!(!clock.advance(Moment(1_000_000), false, LONGEST));
        assert!(clock.advance(Moment(9_000_000), false, LONGEST), "asleep");
        assert!(!clock.advance(Moment(10_000_000), true, LONGEST), "deaf");
        assert!(!clock.advance(Moment(10_500_000), false, LONGEST));
        assert_eq!(clock.now(), Listened(1_500_000));
    }

    #[test]
    fn a_moment_that_is_earlier_changes_nothing() {
        let mut clock = ListeningClock::starting(Moment(5_000_000));
        clock.advance(Moment(1_000_000), false, LONGEST);
        clock.advance(Moment(5_500_000), false, LONGEST);
        assert_eq!(clock.now(), Listened(500_000));
    }
}
