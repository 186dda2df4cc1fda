//! Memory for frames longer than one value needs, shared by all clients.
//!
//! ```text
//!   frame or answer up to `max_value_bytes` + 64 KiB    from its connection's own part, always
//!   longer: siblings, repairs of them                   from 128 MiB for all; if those are taken: overloaded
//! ```
//!
//! A record may be several times as long as a value, and a repair as long as the records of all replicas. Were each
//! connection to hold as much in both directions, a few hundred clients that never read would take all memory. Other nodes
//! of the map are not bounded here: they are few, and have a few connections each.

use std::sync::Arc;

use quoit_ring::wire::Refusal;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::RECORD_OVERHEAD;

/// Bytes for all of a node's clients together.
const ALL: u32 = 128 << 20;
/// When to come back, in milliseconds: frames take about as long on their way.
const COME_BACK: u32 = 1_000;

/// The part of frames that exceeds what one value needs.
#[derive(Debug, Clone)]
pub(super) struct Oversize {
    all: Arc<Semaphore>,
    ordinary: usize,
}

impl Oversize {
    /// For values of at most so many bytes.
    pub(super) fn new(max_value_bytes: usize) -> Self {
        Self {
            all: Arc::new(Semaphore::new(ALL as usize)),
            ordinary: max_value_bytes.saturating_add(RECORD_OVERHEAD),
        }
    }

    /// Takes memory for a frame of `bytes` bytes; none if it is an ordinary one. Dropped, it is free again.
    ///
    /// # Errors
    /// [`Refusal::Overloaded`] if others have it.
    pub(super) fn take(&self, bytes: usize) -> Result<Option<OwnedSemaphorePermit>, Refusal> {
        if bytes <= self.ordinary {
            return Ok(None);
        }
        let overloaded = Refusal::Overloaded {
            queue_ms: COME_BACK,
        };
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let all = Arc::clone(&self.all);
        match all.try_acquire_many_owned(bytes) {
            Ok(permit) => Ok(Some(permit)),
            Err(_taken) => Err(overloaded),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_value_needs_is_always_there_and_the_rest_is_shared() {
        let oversize = Oversize::new(1 << 20);
        let long = oversize.take(100 << 20).unwrap();
        assert!(long.is_some());
        assert!(oversize.take(40 << 20).is_err());
        assert!(oversize.take((1 << 20) + (64 << 10)).unwrap().is_none());
        drop(long);
        assert!(oversize.take(40 << 20).unwrap().is_some());
    }
}
