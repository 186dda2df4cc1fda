//! Callers that go away: a put is begun and dropped before it has ended, as by an aborted request or a `timeout`.
//!
//! ```text
//!   put --poll--> under way --wait, not for long--> dropped      the task goes on; the write may or may not be stored
//!                                    '- answered--> as any other put
//! ```

use std::future::{IntoFuture as _, poll_fn};
use std::task::Poll;

use bytes::Bytes;
use rand::Rng as _;

use super::{Ask, KnownContext, Name, Session};
use crate::sim::coverage::CoverageEvent;

/// Longest wait before a caller goes away, in microseconds: a put takes about as long where all is well.
const PATIENCE: u64 = 4_000;

impl Session {
    /// Begins a put and leaves it, at once or soon. Gives back what the writer knows if it was answered before.
    pub async fn leave_put(
        &mut self,
        name: &Name,
        value: Bytes,
        known: Option<&KnownContext>,
        ask: Ask,
    ) -> Option<KnownContext> {
        let wait = self.rng().random_range(0..=PATIENCE);
        let wait = if wait % 2 == 0 { 0 } else { wait };
        let (op, put) = self.begin_put(name, value, known, ask);
        let mut put = put.into_future();
        let mut patience = self.site.timeline().sleep(wait);

        // A put that is polled once has been handed over, unless it waits for a permit.
        let answer = poll_fn(|cx| match put.as_mut().poll(cx) {
            Poll::Ready(result) => Poll::Ready(Some(result)),
            Poll::Pending => std::pin::Pin::new(&mut patience).poll(cx).map(|()| None),
        });
        let answer = answer.await;
        drop(put);

        if let Some(result) = answer {
            return self.written(name, op, result).ok();
        }
        self.saw([CoverageEvent::CallerLeft]);
        self.site.left(op);
        None
    }
}
