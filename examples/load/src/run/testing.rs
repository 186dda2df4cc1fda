//! A store that is as slow as a test wants it, on paused time.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::target::{Mark, OpError, Swapped};

/// Answers after `service`; from `stalls.0` to `stalls.1` after its begin it answers nothing.
#[derive(Debug)]
pub(crate) struct Fake {
    pub(crate) begin: Instant,
    pub(crate) service: Duration,
    pub(crate) stalls: Option<(Duration, Duration)>,
    pub(crate) now: AtomicUsize,
    /// Most operations that were there at once.
    pub(crate) most: AtomicUsize,
    /// Conditional writes so far, of any key.
    written: AtomicU64,
}

impl Fake {
    pub(crate) fn new(service: Duration, stalls: Option<(Duration, Duration)>) -> Self {
        Self {
            begin: Instant::now(),
            service,
            stalls,
            now: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            written: AtomicU64::new(0),
        }
    }

    async fn serve(&self) {
        let now = self.now.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(now, Ordering::Relaxed);
        if let Some((from, to)) = self.stalls
            && (from..to).contains(&self.begin.elapsed())
        {
            tokio::time::sleep_until(self.begin + to).await;
        }
        tokio::time::sleep(self.service).await;
        self.now.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) async fn get(&self, _key: &[u8]) -> Result<Option<Bytes>, OpError> {
        self.serve().await;
        Ok(None)
    }

    pub(crate) async fn put(&self, _key: &[u8], _value: Bytes) -> Result<(), OpError> {
        self.serve().await;
        Ok(())
    }

    pub(crate) async fn delete(&self, _key: &[u8]) -> Result<(), OpError> {
        self.serve().await;
        Err(OpError {
            kind: "refused".to_owned(),
            may_be_stored: false,
        })
    }

    /// Writes as somebody else.
    pub(crate) fn overtake(&self) {
        self.written.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) async fn look(&self) -> Result<Mark, OpError> {
        self.serve().await;
        Ok(Mark::Fake(self.written.load(Ordering::Relaxed)))
    }

    pub(crate) async fn swap(&self, expected: u64) -> Result<Swapped, OpError> {
        self.serve().await;
        let there = self.written.load(Ordering::Relaxed);
        if there != expected {
            return Ok(Swapped::Mismatch(Mark::Fake(there)));
        }
        self.overtake();
        Ok(Swapped::Applied(Mark::Fake(there + 1)))
    }

    pub(crate) async fn update(&self) -> Result<u32, OpError> {
        let mut there = self.look().await?;
        let mut attempts = 0;
        while let Mark::Fake(expected) = there {
            attempts += 1;
            match self.swap(expected).await? {
                Swapped::Mismatch(other) => there = other,
                Swapped::Applied(_) => break,
            }
        }
        Ok(attempts)
    }
}
