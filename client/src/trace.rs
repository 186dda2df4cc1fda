//! Spans of operations and of their requests, for whoever collects them.
//!
//! ```text
//!   the caller's span
//!     get {key, consistency, r}                    outcome, elapsed_us    from the call to the answer, and the
//!       attempt {node: n2, kind: read}             outcome, elapsed_us    repair after it
//!       attempt {node: n3, kind: read}             outcome, elapsed_us
//!       attempt {node: n1, kind: hedge}            unanswered
//! ```
//!
//! All are of the level `debug` and the target `quoit_client`. An operation's span is made where it is awaited, as a
//! child of the span that the caller is in, and goes with it to the driver; the elapsed time is the driver's, so it
//! leaves out the wait for room, which the span itself has in it. `unanswered` is a request whose answer nobody waits
//! for any more: the operation ended without it, or at its deadline.
//!
//! Invariant: without a collector that wants them nothing is allocated, and an operation costs one comparison here.
//! Left out: questions to single nodes, and probes, which belong to no operation.

use std::borrow::Cow;

use quoit_ring::NodeId;
use quoit_ring::placement::Ring;
use quoit_ring::wire::Response;
use smallvec::SmallVec;
use tracing::dispatcher::get_default;
use tracing::field::{Empty, display};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::NoSubscriber;
use tracing::{Span, debug_span};

use crate::config::Consistency;
use crate::env::Moment;
use crate::error::Outcome;
use crate::metrics::{AttemptKind, End};
use crate::submission::{Operation, Plan};

/// Bytes of a key that a span shows.
const SHOWN: usize = 48;

/// The span of an operation that begins, if anybody wants it; `copies` is N.
pub(crate) fn begin(operation: &Operation, copies: impl FnOnce() -> u8) -> Option<Box<Span>> {
    if LevelFilter::current() < LevelFilter::DEBUG || get_default(|d| d.is::<NoSubscriber>()) {
        return None; // nobody collects, or somebody in another thread only
    }
    let span = span(operation, copies)?;
    (!span.is_disabled()).then(|| Box::new(span))
}

fn span(operation: &Operation, copies: impl FnOnce() -> u8) -> Option<Span> {
    let count = |plan: &Plan| {
        plan.count
            .unwrap_or_else(|| usual(plan.consistency, copies()))
    };
    Some(match operation {
        Operation::Read { key, plan } => debug_span!(
            target: "quoit_client",
            "get",
            key = %shown(key),
            consistency = ?plan.consistency,
            r = count(plan),
            outcome = Empty,
            elapsed_us = Empty,
        ),
        Operation::Write { change, plan } if change.value.is_some() => debug_span!(
            target: "quoit_client",
            "put",
            key = %shown(&change.key),
            consistency = ?plan.consistency,
            w = count(plan),
            outcome = Empty,
            elapsed_us = Empty,
        ),
        Operation::Write { change, plan } => debug_span!(
            target: "quoit_client",
            "delete",
            key = %shown(&change.key),
            consistency = ?plan.consistency,
            w = count(plan),
            outcome = Empty,
            elapsed_us = Empty,
        ),
        Operation::Ask { .. } | Operation::Health => return None,
    })
}

/// R and W unless set.
const fn usual(consistency: Consistency, copies: u8) -> u8 {
    match consistency {
        Consistency::One => 1,
        Consistency::Quorum => copies / 2 + 1,
    }
}

/// A key for people: its beginning, and what is no text replaced.
fn shown(key: &[u8]) -> Cow<'_, str> {
    let mut shown = String::from_utf8_lossy(&key[..key.len().min(SHOWN)]);
    if key.len() > SHOWN {
        shown.to_mut().push('…');
    }
    shown
}

/// An operation has its answer.
pub(crate) fn ended(span: &Span, end: End, micros: u64) {
    span.record("outcome", end.name());
    span.record("elapsed_us", micros);
}

/// The requests of an operation whose span somebody wants.
#[derive(Debug)]
pub(crate) struct Trace {
    span: Span,
    open: SmallVec<[Attempt; 3]>,
}

/// A request that was not answered yet.
#[derive(Debug)]
struct Attempt {
    id: u64,
    span: Span,
    sent: Moment,
}

impl Trace {
    /// Of an operation under `span`.
    pub(crate) fn new(span: Span) -> Self {
        Self {
            span,
            open: SmallVec::new(),
        }
    }

    /// A request goes to a node.
    pub(crate) fn sent(&mut self, id: u64, kind: AttemptKind, node: (NodeId, &Ring), now: Moment) {
        let (node, ring) = node;
        let span = debug_span!(
            target: "quoit_client",
            parent: &self.span,
            "attempt",
            node = ring.member(node).map_or("unknown", |member| member.name.as_str()),
            kind = kind.name(),
            outcome = Empty,
            elapsed_us = Empty,
        );
        let sent = now;
        self.open.push(Attempt { id, span, sent });
    }

    /// A request was answered.
    pub(crate) fn answered(&mut self, id: u64, response: &Response, now: Moment) {
        let Some(index) = self.open.iter().position(|attempt| attempt.id == id) else {
            return;
        };
        let span = self.open[index].close(now);
        match response {
            Response::Record(_) => span.record("outcome", "record"),
            Response::Absent => span.record("outcome", "absent"),
            Response::Joined => span.record("outcome", "joined"),
            Response::Covered { .. } => span.record("outcome", "covered"),
            Response::Refused(refusal) => span.record("outcome", display(refusal)),
            _other => span.record("outcome", "an answer to another question"),
        };
        self.open.swap_remove(index);
    }

    /// The requests whose ids are `which` will not be answered.
    pub(crate) fn failed(&mut self, which: impl Fn(u64) -> bool, outcome: &Outcome, now: Moment) {
        self.open.retain(|attempt| {
            let lost = which(attempt.id);
            if lost {
                attempt.close(now).record("outcome", display(outcome));
            }
            !lost
        });
    }
}

impl Attempt {
    fn close(&self, now: Moment) -> &Span {
        self.span.record("elapsed_us", now.since(self.sent))
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        for attempt in &self.open {
            attempt.span.record("outcome", "unanswered");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_key_is_shown_by_its_beginning_and_bytes_that_are_no_text_are_replaced() {
        assert_eq!(shown(b"cart:{42}"), "cart:{42}");
        assert_eq!(shown(&[b'a'; 300]), format!("{}…", "a".repeat(48)));
        assert_eq!(shown(b"k\xff"), "k\u{fffd}");
    }
}
