//! What a gateway holds at once: operations under way, and bytes.
//!
//! ```text
//!   body or command   memory(bytes) --none left--> refused as overloaded, unread
//!   read, write       slot()        --a second---> refused as overloaded, nothing sent
//!   answer            memory(bytes), kept until the connection has taken it
//! ```
//!
//! Memory is taken before the bytes are, and never waited for: who waits for memory holds other memory meanwhile.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::settings::Limits;

/// How long an operation may wait for those before it.
const WAIT: Duration = Duration::from_secs(1);
/// Bytes of one permit: a semaphore counts to 2^29 at least.
const UNIT: usize = 1 << 10;

/// A part of the budget, given back when it is dropped.
pub(crate) type Permit = OwnedSemaphorePermit;

/// The budget of one gateway.
#[derive(Debug)]
pub(crate) struct Budget {
    slots: Arc<Semaphore>,
    /// Slots in all.
    most: u32,
    units: Arc<Semaphore>,
}

impl Budget {
    pub(crate) fn new(limits: &Limits) -> Self {
        let units = (limits.memory_bytes / UNIT).min(Semaphore::MAX_PERMITS);
        Self {
            slots: Arc::new(Semaphore::new(limits.max_in_flight)),
            most: u32::try_from(limits.max_in_flight).unwrap_or(u32::MAX),
            units: Arc::new(Semaphore::new(units)),
        }
    }

    /// The right to one operation; `None` if those before it take too long.
    pub(crate) async fn slot(&self) -> Option<Permit> {
        self.slots(1).await
    }

    /// The right to what stands for so many operations, or for all that there may be.
    pub(crate) async fn slots(&self, count: u32) -> Option<Permit> {
        let (count, slots) = (count.min(self.most), Arc::clone(&self.slots));
        if let Ok(permit) = Arc::clone(&slots).try_acquire_many_owned(count) {
            return Some(permit);
        }
        tokio::time::timeout(WAIT, slots.acquire_many_owned(count))
            .await
            .ok()?
            .ok()
    }

    /// The right to hold so many bytes; `None` if others hold too many.
    pub(crate) fn memory(&self, bytes: usize) -> Option<Permit> {
        let units = u32::try_from(bytes.div_ceil(UNIT)).ok()?;
        Arc::clone(&self.units).try_acquire_many_owned(units).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn memory_is_given_out_once_and_comes_back() {
        let budget = Budget::new(&Limits {
            memory_bytes: 4 * UNIT,
            ..Limits::default()
        });
        let three = budget.memory(2 * UNIT + 1).unwrap();
        assert!(budget.memory(UNIT + 1).is_none());
        assert!(budget.memory(usize::MAX).is_none());
        drop(three);
        assert!(budget.memory(4 * UNIT).is_some());
    }

    #[tokio::test]
    async fn an_operation_waits_for_another_but_not_for_ever() {
        let budget = Budget::new(&Limits {
            max_in_flight: 1,
            ..Limits::default()
        });
        let first = budget.slot().await.unwrap();
        assert!(budget.slot().await.is_none());
        drop(first);
        assert!(budget.slot().await.is_some());
    }
}
