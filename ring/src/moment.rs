//! Monotonic time, as every pure part of the system is given it.
//!
//! ```text
//!   clock of the process --> Moment --> client, node and simulation: deadlines, delays, timers
//! ```
//!
//! Only differences count: the start is any instant, and differs between processes. What wall time and causality
//! need is [`Millis`](crate::Millis) and [`Time`](crate::Time).

use core::fmt;

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
