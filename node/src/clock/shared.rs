//! The clock that readers and the committer share.
//!
//! ```text
//!   reading         carried by answers     max(wall, every stamp joined since the start), small steps back held
//!   age reference   ages are checked here  max(reading, mark of the earlier run)
//! ```
//!
//! Two readings of one clock. Ages are checked against a clock that never goes back, restarts included: its
//! high-water mark is stored ahead of use. Just after a crash it therefore stands up to the mark's lead ahead of
//! wall time, and must not leave the node: a client that minted above it would be refused by every other node.
//!
//! A wall clock that is set back a little is waited for: a value that a reader saw expired must not come back.
//! One that is set back a lot was wrong before, and is followed.

use std::sync::atomic::{AtomicU64, Ordering};

use quoit_ring::{Clock, Time};

use super::Now;

/// The node's hybrid logical clock. Lock-free; any thread may read it.
#[derive(Debug)]
pub struct SharedClock {
    clock: Clock,
    start_mark: Time,
    last_reading: AtomicU64,
    max_drift_ms: u64,
}

impl SharedClock {
    /// The clock of a node that begins to serve. `start_mark` is the mark stored by its earlier run,
    /// [`Time::ZERO`] if there was none; stamps may be `max_drift_ms` ahead of wall time.
    #[must_use]
    pub const fn new(start_mark: Time, max_drift_ms: u64) -> Self {
        Self {
            clock: Clock::starting_at(Time::ZERO),
            start_mark,
            last_reading: AtomicU64::new(0),
            max_drift_ms,
        }
    }

    /// The mark of the earlier run.
    #[must_use]
    pub const fn start_mark(&self) -> Time {
        self.start_mark
    }

    /// The clock that answers carry.
    #[must_use]
    pub fn reading(&self, now: Now) -> Time {
        let reading = self.clock.now(now.wall);

        // Several threads read it, and a slower one must not undo what a quicker one has sent out.
        let last = Time(self.last_reading.fetch_max(reading.0, Ordering::Relaxed));
        let back_ms = last.millis().0.saturating_sub(reading.millis().0);

        // Further back than clocks may differ: it was wrong before.
        if back_ms > self.max_drift_ms {
            self.last_reading.store(reading.0, Ordering::Relaxed);
            return reading;
        }
        reading.max(last)
    }

    /// The clock that ages are checked against: never goes back, restarts included.
    #[must_use]
    pub fn age_reference(&self, now: Now) -> Time {
        self.reading(now).max(self.start_mark)
    }

    /// Moves the clock up to a stamp that was joined; its drift was checked before.
    pub(crate) fn observe(&self, stamp: Time, now: Now) {
        // A stamp beyond the drift was refused already; were one to come here, the clock stays.
        let _moved = self.clock.observe(stamp, now.wall, self.max_drift_ms);
    }
}
