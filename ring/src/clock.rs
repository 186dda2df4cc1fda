//! The hybrid logical clock: wall time that never goes back.
//!
//! ```text
//!   63                      16 15          0
//!  +--------------------------+-------------+
//!  |  milliseconds since 1970 |   counter   |
//!  +--------------------------+-------------+
//! ```
//!
//! A client mints every dot above all times it has seen, so a write made after another was seen is
//! stamped later, whatever the wall clocks say. The counter starts at a random 15-bit value in each
//! millisecond and then advances by small random steps: two clients rarely mint one time. A counter that
//! runs over carries into the milliseconds; wall time catches up.
//!
//! Invariants: minted times only rise, and none lies below the wall's millisecond. A stamp that is too
//! far ahead never moves a clock: one broken clock cannot drag the others along. Wall time and randomness
//! are arguments; left out is keeping the high-water mark.
//!
//! Source: Kulkarni et al., *Logical Physical Clocks and Consistent Snapshots in Globally Distributed
//! Databases* (2014), section 3; the random counter is our own.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

/// Bits of the counter below the milliseconds.
const COUNTER_BITS: u32 = 16;
/// A new millisecond's counter starts below this value.
const COUNTER_START: u64 = 1 << 15;
/// Within a millisecond the counter advances by 1 to this value.
const COUNTER_STEP: u64 = 32;

/// Wall time: milliseconds since 1970-01-01 UTC. A stamp holds 48 bits of it, until the year 10889.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    bincode::Encode,
    bincode::Decode,
)]
pub struct Millis(pub u64);

/// A reading of a hybrid logical clock: 48 bits of milliseconds, 16 of counter. Zero is before all.
///
/// ```
/// # use quoit_ring::{Millis, Time};
/// let time = Time(Time::at(Millis(1_700_000_000_000)).0 + 7);
/// assert_eq!(time.millis(), Millis(1_700_000_000_000));
/// assert_eq!(format!("{time:?}"), "1700000000000.7");
/// assert!(time.before() < time && Time::ZERO.before() == Time::ZERO);
/// ```
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, bincode::Encode, bincode::Decode,
)]
pub struct Time(pub u64);

impl Time {
    /// Before every write.
    pub const ZERO: Self = Self(0);

    /// After every write.
    pub const MAX: Self = Self(u64::MAX);

    /// The first time of a millisecond, its counter 0. Bits above the 48th of `millis` are lost.
    #[must_use]
    pub const fn at(millis: Millis) -> Self {
        Self(millis.0 << COUNTER_BITS)
    }

    /// The millisecond it lies in.
    #[must_use]
    pub const fn millis(self) -> Millis {
        Millis(self.0 >> COUNTER_BITS)
    }

    /// The time just before this one; [`Time::ZERO`] has none and stays.
    #[must_use]
    pub const fn before(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.millis().0, self.0 & 0xffff)
    }
}

/// A stamp from too far in the future; nothing was changed by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a stamp lies {ahead_ms} ms ahead of this machine's clock, {max_ms} ms are allowed: check both clocks"
)]
pub struct Drift {
    /// How far ahead it lies, in milliseconds.
    pub ahead_ms: u64,
    /// How far it may.
    pub max_ms: u64,
}

/// Refuses a `time` more than `max_ms` milliseconds ahead of `wall`; one that lies behind is never refused.
///
/// ```
/// # use quoit_ring::{check_drift, Drift, Millis, Time};
/// let wall = Millis(10_000);
/// assert_eq!(check_drift(Time::at(Millis(10_500)), wall, 500), Ok(()));
/// let refused = check_drift(Time::at(Millis(10_501)), wall, 500);
/// assert_eq!(refused, Err(Drift { ahead_ms: 501, max_ms: 500 }));
/// ```
///
/// # Errors
/// [`Drift`], saying by how much. There is nothing to change.
pub const fn check_drift(time: Time, wall: Millis, max_ms: u64) -> Result<(), Drift> {
    let ahead_ms = time.millis().0.saturating_sub(wall.0);
    if ahead_ms > max_ms {
        Err(Drift { ahead_ms, max_ms })
    } else {
        Ok(())
    }
}

/// A hybrid logical clock that threads may share.
///
/// ```
/// # use quoit_ring::{Clock, Millis, Time};
/// let clock = Clock::starting_at(Time::ZERO);
/// let first = clock.mint(Millis(1_000), 42);
/// let second = clock.mint(Millis(900), 42); // the wall clock went back
/// assert!(second > first);
/// ```
#[derive(Debug)]
pub struct Clock {
    last: AtomicU64,
}

impl Clock {
    /// A clock that never reads below `mark`, the persisted high-water mark of an earlier run.
    #[must_use]
    pub const fn starting_at(mark: Time) -> Self {
        Self {
            last: AtomicU64::new(mark.0),
        }
    }

    /// The present: wall time, or the latest time minted or seen if that is later.
    ///
    /// ```
    /// # use quoit_ring::{Clock, Millis, Time};
    /// let clock = Clock::starting_at(Time::at(Millis(5_000)));
    /// assert_eq!(clock.now(Millis(7_000)), Time::at(Millis(7_000)));
    /// assert_eq!(clock.now(Millis(3_000)), Time::at(Millis(5_000)), "never below its mark");
    /// ```
    #[must_use]
    pub fn now(&self, wall: Millis) -> Time {
        Time(self.last.load(Ordering::Acquire)).max(Time::at(wall))
    }

    /// A time above every one minted or seen, for a new dot. `random`, fresh for each call, spreads the
    /// counter: its low 15 bits where a new millisecond starts, its upper half how far the next step goes.
    ///
    /// ```
    /// # use quoit_ring::{Clock, Millis, Time};
    /// let clock = Clock::starting_at(Time::ZERO);
    /// let wall = Millis(1_000);
    /// let (first, second) = (clock.mint(wall, 7), clock.mint(wall, 7));
    /// assert_eq!(first, Time(Time::at(wall).0 + 7));
    /// assert!(second > first && second.millis() == wall);
    /// ```
    pub fn mint(&self, wall: Millis, random: u64) -> Time {
        let fresh = Time::at(wall).0 + random % COUNTER_START;
        let step = 1 + (random >> 32) % COUNTER_STEP;
        let next = |last: u64| fresh.max(last.saturating_add(step));
        let previous = self
            .last
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |last| Some(next(last)));
        let previous = previous.unwrap_or_else(|unchanged| unchanged);
        let minted = next(previous);
        debug_assert!(
            minted > previous || previous == u64::MAX,
            "minted times only rise"
        );
        Time(minted)
    }

    /// Moves the clock up to `time`, so that later mints lie above it. It never moves back.
    ///
    /// ```
    /// # use quoit_ring::{Clock, Millis, Time};
    /// let (clock, wall) = (Clock::starting_at(Time::ZERO), Millis(1_000));
    /// clock.observe(Time::at(Millis(1_300)), wall, 500)?; // from a machine that is 300 ms ahead
    /// assert!(clock.mint(wall, 0) > Time::at(Millis(1_300)));
    /// assert!(clock.observe(Time::at(Millis(9_000)), wall, 500).is_err());
    /// assert!(clock.now(wall) < Time::at(Millis(9_000)));
    /// # Ok::<(), quoit_ring::Drift>(())
    /// ```
    ///
    /// # Errors
    /// [`Drift`] if `time` is more than `max_ms` milliseconds ahead of `wall`; the clock is not moved.
    pub fn observe(&self, time: Time, wall: Millis, max_ms: u64) -> Result<(), Drift> {
        // Refuse first: one broken clock must not drag the others along.
        check_drift(time, wall, max_ms)?;
        self.last.fetch_max(time.0, Ordering::AcqRel);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_refused_stamp_never_moves_the_clock() {
        let clock = Clock::starting_at(Time::at(Millis(10)));
        let drift = clock.observe(Time::at(Millis(1_000)), Millis(100), 500);
        assert_eq!(
            drift,
            Err(Drift {
                ahead_ms: 900,
                max_ms: 500
            })
        );
        assert_eq!(clock.now(Millis(0)), Time::at(Millis(10)));
    }

    #[test]
    fn a_restart_starts_above_its_mark() {
        let clock = Clock::starting_at(Time::at(Millis(5_000)));
        assert!(clock.mint(Millis(100), 0) > Time::at(Millis(5_000)));
    }

    #[test]
    fn ties_between_two_clients_in_one_millisecond_are_rare() {
        let ties = (0..1_000_u64)
            .filter(|&i| {
                let spread = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
                let one = Clock::starting_at(Time::ZERO).mint(Millis(7), spread(2 * i + 1));
                let two = Clock::starting_at(Time::ZERO).mint(Millis(7), spread(2 * i + 2));
                one == two
            })
            .count();
        assert!(ties <= 2, "{ties} ties of 1,000");
    }

    proptest! {
        #[test]
        fn minted_times_only_rise(walls in proptest::collection::vec((0_u64..1 << 40, any::<u64>()), 1..50)) {
            let clock = Clock::starting_at(Time::ZERO);
            let mut last = Time::ZERO;
            for (wall, random) in walls {
                let time = clock.mint(Millis(wall), random);
                prop_assert!(time > last);
                last = time;
            }
        }
    }
}
