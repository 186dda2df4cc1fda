//! The clock's high-water mark: stored ahead of use, so that ages never go back, restarts included.
//!
//! ```text
//!   clock   ----------------------->          every batch that reads it beyond the mark ...
//!   mark    ----------|- lead -|              ... stores a new mark, `LEAD_MS` ahead, in the same commit
//! ```
//!
//! A mark is due well before it is reached, at half its lead, so most batches carry none. An idle node moves it now
//! and then. It is never lowered, and a jump of the wall clock moves it only once the jump has lasted
//! ([`ClockGuard`]).

use std::sync::Arc;
use std::time::Duration;

use quoit_ring::{Millis, Time};

use super::guard::ClockGuard;
use super::{Now, SharedClock};
use crate::config::Limits;

/// How far ahead of use the clock's mark is stored, at most: also how far ahead of wall time ages may be
/// checked after a crash.
pub(crate) const LEAD_MS: u64 = 3_000;

/// The stored mark, and when it moves.
#[derive(Debug)]
pub(crate) struct ClockMark {
    clock: Arc<SharedClock>,
    mark: Time,
    guard: ClockGuard,
    lead_ms: u64,
    max_drift_ms: u64,
}

impl ClockMark {
    /// The mark with which `clock` begins `now`.
    pub(crate) fn new(clock: Arc<SharedClock>, limits: &Limits, now: Now) -> Self {
        let mark = clock.start_mark();
        Self {
            clock,
            mark,
            guard: ClockGuard::new(mark, now),
            lead_ms: LEAD_MS.min(limits.max_write_age_ms / 4),
            max_drift_ms: limits.max_clock_drift_ms,
        }
    }

    /// How long an idle node may leave it alone: less than its lead lasts.
    pub(crate) fn rest(&self) -> Duration {
        Duration::from_millis(self.lead_ms / 3).max(Duration::from_millis(1))
    }

    /// The mark as it is stored, or will be with the batch that is under way.
    pub(crate) const fn stored(&self) -> Time {
        self.mark
    }

    /// The new mark, if one is due for a batch that joins stamps up to `latest`; it must be stored with that batch.
    pub(crate) fn advance(&mut self, latest: Time, now: Now) -> Option<Time> {
        let clock = self.storable(latest, now);
        if later(clock, self.lead_ms / 2) <= self.mark {
            return None;
        }

        let mark = later(clock, self.lead_ms);
        debug_assert!(mark > self.mark, "a mark is never lowered");
        self.mark = mark;
        Some(mark)
    }

    /// The mark to store at the end of a run: no lead is needed, for nothing reads the clock any more.
    pub(crate) fn last(mut self, now: Now) -> Time {
        let clock = self.storable(Time::ZERO, now);
        self.mark.max(clock)
    }

    /// The clock as far as it may be stored: whatever has been read or joined, but no further ahead of trusted wall
    /// time than a stamp may be.
    fn storable(&mut self, latest: Time, now: Now) -> Time {
        let trusted = Time::at(self.guard.trusted(now));
        let bound = later(trusted, self.max_drift_ms);
        self.clock.age_reference(now).max(latest).min(bound)
    }
}

fn later(time: Time, ms: u64) -> Time {
    Time::at(Millis(time.millis().0.saturating_add(ms)))
}
