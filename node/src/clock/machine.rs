//! The machine's clocks.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use quoit_ring::{Millis, Moment};

/// Both clocks, read together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// Wall time: comparable between machines, may jump.
    pub wall: Millis,
    /// Monotonic time of this process, in microseconds since its start: never goes back, means nothing elsewhere.
    pub mono: Moment,
}

/// The machine's clocks; the one place that reads them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clocks {
    started: Instant,
}

impl Clocks {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the machine's clocks"
    )]
    pub(crate) fn start() -> Self {
        Self {
            started: Instant::now(),
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the machine's clocks"
    )]
    pub(crate) fn now(&self) -> Now {
        // A clock set before 1970 reads as 1970: every stamp is then too far ahead, and refused.
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Now {
            wall: Millis(u64::try_from(wall.as_millis()).unwrap_or(u64::MAX)),
            mono: Moment::default() + self.started.elapsed(),
        }
    }
}
