//! The handle by which a replica's answers get into a connection's outbox.

use std::sync::Arc;

use quoit_ring::wire::ResponseFrame;
use quoit_transport::outbox::AnswerOutbox;

use crate::env::{Priority, Reply};

/// Where the answers to one caller go; see [`AnswerOutbox`].
#[derive(Debug, Clone)]
pub(crate) struct Answers {
    outbox: Arc<AnswerOutbox>,
    priority: Priority,
}

impl Answers {
    /// Answers to a caller of this priority.
    pub(super) const fn new(outbox: Arc<AnswerOutbox>, priority: Priority) -> Self {
        Self { outbox, priority }
    }
}

impl Reply for Answers {
    fn send(&self, answer: &ResponseFrame) {
        self.outbox.push(answer);
    }

    fn flush(&self) {
        self.outbox.flush();
    }

    fn priority(&self) -> Priority {
        self.priority
    }
}
