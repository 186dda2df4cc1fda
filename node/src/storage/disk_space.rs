//! Whether the disk has space for one more batch, measured now and then.
//!
//! ```text
//!   look   every second, and after every 4 MiB    too little --> refuse all writes
//!                                                 enough     --> take them again
//! ```
//!
//! A look is a system call or two, too much for every batch; what comes in between two looks is less than what
//! the engine keeps in reserve.

use std::time::Duration;

use quoit_ring::Moment;

use crate::engine::Engine;

/// How long a look counts.
const LOOK: Duration = Duration::from_secs(1);
/// How many bytes it counts for.
const BYTES: usize = 4 << 20;

/// The last measurement of free space on the disk.
#[derive(Debug)]
pub(crate) struct DiskSpace {
    looked: Option<Moment>,
    since: usize,
    enough: bool,
}

impl DiskSpace {
    pub(crate) const fn new() -> Self {
        Self {
            looked: None,
            since: 0,
            enough: true,
        }
    }

    /// Whether `bytes` more may be committed.
    pub(crate) fn is_enough<G: Engine>(&mut self, engine: &G, bytes: usize, now: Moment) -> bool {
        self.since = self.since.saturating_add(bytes);
        let fresh = self.looked.is_some_and(|last| now < last + LOOK);
        if fresh && self.since < BYTES {
            return self.enough;
        }
        let enough = engine.has_room(u64::try_from(self.since).unwrap_or(u64::MAX));
        match (self.enough, enough) {
            (true, false) => tracing::error!(
                "no space is left on the disk beyond what is needed to keep it in order: \
                 writes are refused until there is more"
            ),
            (false, true) => tracing::info!("the disk has space again: writes are accepted"),
            (true, true) | (false, false) => {}
        }
        (self.looked, self.since, self.enough) = (Some(now), 0, enough);
        enough
    }
}
