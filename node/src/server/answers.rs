//! The handle by which a replica's answers get into a connection's outbox.

use std::sync::Arc;

use quoit_ring::wire::{Response, ResponseFrame};
use quoit_transport::outbox::AnswerOutbox;

use super::oversize::Oversize;
use crate::env::{Priority, Reply};

/// Where the answers to one caller go; see [`AnswerOutbox`].
#[derive(Debug, Clone)]
pub(crate) struct Answers {
    outbox: Arc<AnswerOutbox>,
    /// Where memory for records longer than one value comes from; `None` for other nodes, which are not bounded.
    oversize: Option<Oversize>,
}

impl Answers {
    /// Answers to a client, if there is `oversize`, or to another node.
    pub(super) const fn new(outbox: Arc<AnswerOutbox>, oversize: Option<Oversize>) -> Self {
        Self { outbox, oversize }
    }
}

impl Reply for Answers {
    fn send(&self, answer: &ResponseFrame) {
        let (Some(record), Some(oversize)) = (answer.response.record(), &self.oversize) else {
            return self.outbox.push(answer);
        };
        match oversize.take(record.len()) {
            Ok(permit) => self.outbox.push_with(answer, permit),
            Err(refusal) => self.outbox.push(&ResponseFrame {
                response: Response::Refused(refusal),
                ..answer.clone()
            }),
        }
    }

    fn flush(&self) {
        self.outbox.flush();
    }

    fn priority(&self) -> Priority {
        match self.oversize {
            Some(_) => Priority::Client,
            None => Priority::Peer,
        }
    }
}
