//! Many operations at once, never more than so many.
//!
//! ```text
//! push --> [ op op op ... ] --> a result for every push once it is full, in the order they end
//! ```
//!
//! Who has something else to wait for starts operations while there is room, and takes results as they come.

use std::future::Future;

use tokio::task::{JoinError, JoinSet};

/// Operations under way.
#[derive(Debug)]
pub(crate) struct InFlight<T> {
    tasks: JoinSet<T>,
    limit: usize,
}

impl<T: Send + 'static> InFlight<T> {
    /// At most `limit` operations, at least one.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            tasks: JoinSet::new(),
            limit: limit.max(1),
        }
    }

    /// Starts an operation. At the limit, waits for one to end first and returns its result.
    pub(crate) async fn push(
        &mut self,
        operation: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let ended = if self.has_room() {
            None
        } else {
            self.next().await
        };
        self.start(operation);
        ended
    }

    /// Starts an operation; there must be room for it.
    pub(crate) fn start(&mut self, operation: impl Future<Output = T> + Send + 'static) {
        debug_assert!(self.has_room());
        self.tasks.spawn(operation);
    }

    /// Whether another may be started without waiting.
    pub(crate) fn has_room(&self) -> bool {
        self.tasks.len() < self.limit
    }

    /// Whether none is under way.
    pub(crate) fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Waits for the next operation to end; `None` if none is under way.
    pub(crate) async fn next(&mut self) -> Option<T> {
        self.tasks.join_next().await.map(finished)
    }
}

/// What a task returned; its panic goes on here.
pub(crate) fn finished<T>(result: Result<T, JoinError>) -> T {
    match result {
        Ok(value) => value,
        // Nobody cancels these tasks, so the only other end is a panic.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn no_more_than_the_limit_are_under_way_and_every_result_comes() {
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let mut flight = InFlight::new(3);
        let mut results = Vec::new();
        for number in 0..20 {
            let (now, most) = (Arc::clone(&now), Arc::clone(&most));
            let operation = async move {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                now.fetch_sub(1, Ordering::SeqCst);
                number
            };
            results.extend(flight.push(operation).await);
        }
        while let Some(result) = flight.next().await {
            results.push(result);
        }
        results.sort_unstable();
        assert_eq!(results, (0..20).collect::<Vec<_>>());
        assert_eq!(most.load(Ordering::SeqCst), 3);
    }
}
