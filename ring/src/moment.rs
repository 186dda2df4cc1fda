//! Monotonic time, as every pure part of the system is given it.
//!
//! ```text
//!   clock of the process --> Moment --> client, node and simulation: deadlines, delays, timers
//! ```
//!
//! Only differences count: the start is any instant, and differs between processes. What wall time and causality
//! need is [`Millis`](crate::Millis) and [`Time`](crate::Time).

use core::fmt;
use core::ops::{Add, AddAssign};
use core::time::Duration;

/// A monotonic time in microseconds, counted from any start: only differences count.
///
/// ```
/// use quoit_ring::Moment;
///
/// let begun = Moment(1_000_000); // one second after the start
/// assert_eq!(begun.after(500), Moment(1_000_500));
/// assert_eq!(begun.after(500).since(begun), 500);
/// assert_eq!(begun.since(begun.after(500)), 0, "nothing lasts less than nothing");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Moment(
    /// Microseconds since the start.
    pub u64,
);

impl Moment {
    /// This moment and `micros` microseconds more; the last there is, if that is too late for a `u64`.
    #[must_use]
    pub const fn after(self, micros: u64) -> Self {
        Self(self.0.saturating_add(micros))
    }

    /// Microseconds from `earlier` to this moment; 0 if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Moment {
    /// Seconds and microseconds since the start.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

impl Moment {
    /// The time from `earlier` to this moment; zero if `earlier` is later.
    #[must_use]
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.since(earlier))
    }

    /// This moment less `duration`, in whole microseconds; the start, if that is before it.
    #[must_use]
    pub fn saturating_sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(micros(duration)))
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    /// `duration` later, in whole microseconds; the last moment there is, if that is too late for a `u64`.
    fn add(self, duration: Duration) -> Self {
        self.after(micros(duration))
    }
}

impl AddAssign<Duration> for Moment {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

/// Whole microseconds of `duration`: parts of one are dropped.
fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_count_in_whole_microseconds() {
        let begun = Moment(1_000_000);
        assert_eq!(begun + Duration::from_nanos(1_999), Moment(1_000_001));
        assert_eq!(
            begun.saturating_sub(Duration::from_millis(1)),
            Moment(999_000)
        );
        let mut later = begun;
        later += Duration::from_secs(1);
        assert_eq!(later.saturating_since(begun), Duration::from_secs(1));
    }

    #[test]
    fn what_is_beyond_either_end_stops_there() {
        assert_eq!(Moment(5).saturating_sub(Duration::from_secs(1)), Moment(0));
        assert_eq!(Moment(5).saturating_since(Moment(6)), Duration::ZERO);
        assert_eq!(Moment(5) + Duration::MAX, Moment(u64::MAX));
    }
}
