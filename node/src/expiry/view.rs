//! What the committer, the sweep and the handlers have in common: how far is swept, and what came of it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use quoit_ring::Millis;
use quoit_ring::wire::Response;
use tokio::sync::Notify;

/// How far a node has come with what expires.
#[derive(Debug, Default)]
pub struct ExpiryView {
    /// Written by the committer alone.
    mark: AtomicU64,
    swept: AtomicU64,
    /// 0 if there is none.
    oldest: AtomicU64,
    /// Whether a record that is due could not be read.
    has_passed_over: AtomicBool,
    answer: Mutex<Option<Response>>,
    answered: Notify,
}

impl ExpiryView {
    /// What expires by then is joined as its death; 0 until the first sweep of this run.
    #[must_use]
    pub fn mark(&self) -> Millis {
        Millis(self.mark.load(Ordering::Acquire))
    }

    /// Values that sweeps have removed since the start.
    #[must_use]
    pub fn swept(&self) -> u64 {
        self.swept.load(Ordering::Relaxed)
    }

    /// When the value expires, or has expired, that is to be removed next; `None` if none expires, or none was looked for yet.
    #[must_use]
    pub fn oldest(&self) -> Option<Millis> {
        let oldest = self.oldest.load(Ordering::Relaxed);
        (oldest > 0).then_some(Millis(oldest))
    }

    /// From now on what expires by `mark` is joined as its death. The mark never falls.
    pub(crate) fn adopt(&self, mark: Millis) {
        self.mark.fetch_max(mark.0, Ordering::AcqRel);
    }

    pub(crate) fn add_swept(&self, values: u64) {
        self.swept.fetch_add(values, Ordering::Relaxed);
    }

    pub(crate) fn set_oldest(&self, due: Option<Millis>) {
        self.oldest
            .store(due.map_or(0, |due| due.0), Ordering::Relaxed);
    }

    /// A record that is due could not be read, and was passed over.
    pub(crate) fn pass_over(&self) {
        self.has_passed_over.store(true, Ordering::Relaxed);
    }

    /// Whether one was since the last call.
    pub(crate) fn take_passed_over(&self) -> bool {
        self.has_passed_over.swap(false, Ordering::Relaxed)
    }

    /// An order of the sweep was carried out, or refused.
    pub fn answer(&self, response: Response) {
        *self.lock() = Some(response);
        self.answered.notify_one();
    }

    /// Takes what came of the last order, once.
    #[must_use]
    pub fn take_answer(&self) -> Option<Response> {
        self.lock().take()
    }

    /// Waits until an order was answered, and takes the answer. Cancel safe.
    pub(crate) async fn wait(&self) -> Response {
        loop {
            // Registered before the look, so nothing comes unnoticed in between.
            let answered = self.answered.notified();
            if let Some(response) = self.take_answer() {
                return response;
            }
            answered.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Response>> {
        self.answer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
