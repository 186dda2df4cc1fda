//! How far the machine's wall clock is trusted when its time is stored for ever.
//!
//! ```text
//!   wall   ----+     +----      a jump ahead of what the monotonic clock measured
//!              |.....|          doubted: the stored mark goes on at the monotonic clock's pace
//!   trusted  --------'
//!                                a jump that lasts becomes the time
//! ```
//!
//! A clock that is wrong before it is first set, or for a moment, must not put the clock's mark years ahead:
//! after the next start ages would be checked against it, and every write be too old. Doubt costs little. While
//! it lasts the mark may lie behind the times that were read, and if the node then crashes and the jump is
//! undone, ages are checked against the right clock; if the jump was real, the wall itself is above the mark.
//!
//! A node that starts takes the mark of its earlier run for the last trusted time, so that a clock that is
//! wrong just after the machine's start is doubted, too. One that has never run trusts what it reads when it starts: so
//! a jump before its first commit is doubted as any other. Left out: the clock that ages are checked against while
//! running.

use std::time::Duration;

use quoit_ring::{Millis, Moment, Time};

use super::Now;

/// How far ahead of the monotonic clock's measure wall time may be found without doubt, in milliseconds: more
/// than a step that corrects a clock kept in order.
const JUMP_MS: u64 = 2_000;
/// How long a jump must last to be believed: longer than a machine takes to set its clock after its start.
const BELIEVED: Duration = Duration::from_secs(300);

/// The wall clock, held to the monotonic one.
#[derive(Debug)]
pub(super) struct ClockGuard {
    /// What was last trusted, and when.
    last: (Millis, Moment),
    doubted_since: Option<Moment>,
}

impl ClockGuard {
    /// The guard of a node that starts `now`. `mark` is the mark of its earlier run, [`Time::ZERO`] if there was none.
    pub(super) const fn new(mark: Time, now: Now) -> Self {
        let mark = mark.millis();
        let believed = if mark.0 == 0 { now.wall } else { mark };
        Self {
            last: (believed, now.mono),
            doubted_since: None,
        }
    }

    /// Wall time as far as it is trusted.
    pub(super) fn trusted(&mut self, now: Now) -> Millis {
        let (last, then) = self.last;
        let passed = now.mono.since(then) / 1_000;
        let measured = last.0.saturating_add(passed);
        let jumped = now.wall.0 > measured.saturating_add(JUMP_MS);
        let since = *self.doubted_since.get_or_insert(now.mono);
        if jumped && now.mono.saturating_since(since) < BELIEVED {
            return Millis(measured);
        }
        self.doubted_since = None;
        self.last = (now.wall, now.mono);
        now.wall
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const YEAR: u64 = 365 * 86_400_000;

    fn at(wall: u64, mono_s: u64) -> Now {
        Now {
            wall: Millis(wall),
            mono: Moment(mono_s * 1_000_000),
        }
    }

    #[test]
    fn a_clock_that_keeps_pace_is_believed() {
        let mut guard = ClockGuard::new(Time::ZERO, at(4_000, 0));
        for (wall, mono) in [(5_000, 1), (6_000, 2), (9_000, 3), (8_000, 4)] {
            assert_eq!(guard.trusted(at(wall, mono)), Millis(wall));
        }
    }

    #[test]
    fn a_short_jump_ahead_leaves_no_trace() {
        let mut guard = ClockGuard::new(Time::ZERO, at(4_000, 0));
        guard.trusted(at(5_000, 1));
        assert_eq!(guard.trusted(at(YEAR, 2)), Millis(6_000));
        assert_eq!(guard.trusted(at(YEAR + 60_000, 62)), Millis(66_000));
        assert_eq!(guard.trusted(at(67_000, 63)), Millis(67_000));
        assert_eq!(
            guard.trusted(at(YEAR, 300)),
            Millis(304_000),
            "doubted again"
        );
    }

    #[test]
    fn a_jump_before_the_first_reading_that_is_stored_is_doubted_too() {
        let mut guard = ClockGuard::new(Time::ZERO, at(5_000, 1));
        assert_eq!(guard.trusted(at(YEAR, 2)), Millis(6_000));
    }

    #[test]
    fn a_jump_that_lasts_becomes_the_time() {
        let mut guard = ClockGuard::new(Time::ZERO, at(4_000, 0));
        guard.trusted(at(5_000, 1));
        for second in 2..302 {
            assert!(guard.trusted(at(YEAR + second * 1_000, second)) < Millis(400_000));
        }
        let lasting = YEAR + 302_000;
        assert_eq!(guard.trusted(at(lasting, 302)), Millis(lasting));
    }

    #[test]
    fn a_wrong_clock_at_the_start_is_held_to_the_earlier_run() {
        let mut guard = ClockGuard::new(Time::at(Millis(50_000)), at(YEAR, 1));
        assert_eq!(guard.trusted(at(YEAR, 1)), Millis(50_000));
        assert_eq!(guard.trusted(at(51_000, 2)), Millis(51_000));
    }
}
