//! Spans of operations and of their requests, for `tracing` collectors.
//!
//! ```text
//!   the caller's span
//!     get {key, consistency, r}                    outcome, elapsed_us    from the call to the answer, and the
//!       attempt {node: n2, kind: read}             outcome, elapsed_us    repair after it
//!       attempt {node: n3, kind: read}             outcome, elapsed_us
//!       attempt {node: n1, kind: hedge}            unanswered
//! ```
//!
//! All have level `debug` and target `quoit_client`. An operation's span is made where it is awaited, as a child of the
//! caller's current span, and moves to the driver with the operation. `elapsed_us` is measured by the driver: unlike the
//! span itself, it leaves out the wait for a permit. `unanswered` marks a request whose answer was not needed any more:
//! the operation ended without it, or at its deadline.
//!
//! `explain` returns the same data to the caller, with or without a collector.
//!
//! Invariant: without an interested collector nothing is allocated, and an operation costs one comparison here. Left
//! out: questions to single nodes, and probes, which belong to no operation.

use std::borrow::Cow;
use std::time::Duration;

use quoit_ring::change::Topology;
use quoit_ring::wire::{RegisterAnswer, Response};
use quoit_ring::{Moment, NodeId};
use smallvec::SmallVec;
use tokio::sync::oneshot;
use tracing::dispatcher::get_default;
use tracing::field::{Empty, display};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::NoSubscriber;
use tracing::{Span, debug_span};

use crate::consistency::Consistency;
use crate::error::{OTHER_QUESTION, Outcome};
use crate::metrics::{End, Kind, RequestKind};
use crate::operation::plan::Plan;

/// Most bytes of a key in a span.
const SHOWN: usize = 48;

/// A get, put or delete that begins: the fields of its span.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Begun<'a> {
    pub(crate) kind: Kind,
    pub(crate) key: &'a [u8],
    pub(crate) plan: &'a Plan,
}

/// The trace of an operation that begins, if a collector or the caller wants one. `copies` is N; `report` receives
/// the trace once the operation and its repairs are over.
#[inline]
pub(crate) fn begin(
    begun: Begun<'_>,
    copies: impl FnOnce() -> u8,
    report: Option<oneshot::Sender<ReadTrace>>,
) -> Option<Box<Trace>> {
    if report.is_none() && LevelFilter::current() < LevelFilter::DEBUG {
        return None; // the usual case: one comparison
    }
    begin_wanted(begun, copies, report)
}

#[cold]
fn begin_wanted(
    begun: Begun<'_>,
    copies: impl FnOnce() -> u8,
    report: Option<oneshot::Sender<ReadTrace>>,
) -> Option<Box<Trace>> {
    let span = wanted(begun, copies);
    if span.is_none() && report.is_none() {
        return None;
    }
    let report = report.map(|to| Report {
        to,
        trace: ReadTrace::default(),
        started: None,
    });
    Some(Box::new(Trace {
        span: span.unwrap_or_else(Span::none),
        open: SmallVec::new(),
        report,
    }))
}

/// The span of an operation that begins, if anybody collects it.
fn wanted(begun: Begun<'_>, copies: impl FnOnce() -> u8) -> Option<Span> {
    if get_default(|d| d.is::<NoSubscriber>()) {
        return None; // a collector is set, but for another thread
    }
    let span = span(begun, copies)?;
    (!span.is_disabled()).then_some(span)
}

fn span(begun: Begun<'_>, copies: impl FnOnce() -> u8) -> Option<Span> {
    let Begun { kind, key, plan } = begun;
    let count = || {
        plan.count
            .unwrap_or_else(|| usual(plan.consistency, copies()))
    };
    Some(match kind {
        Kind::Get => debug_span!(
            target: "quoit_client",
            "get",
            key = %shown(key),
            consistency = ?plan.consistency,
            r = count(),
            outcome = Empty,
            elapsed_us = Empty,
        ),
        Kind::Put => debug_span!(
            target: "quoit_client",
            "put",
            key = %shown(key),
            consistency = ?plan.consistency,
            w = count(),
            outcome = Empty,
            elapsed_us = Empty,
        ),
        Kind::Delete => debug_span!(
            target: "quoit_client",
            "delete",
            key = %shown(key),
            consistency = ?plan.consistency,
            w = count(),
            outcome = Empty,
            elapsed_us = Empty,
        ),
        Kind::CompareAndSet => debug_span!(
            target: "quoit_client",
            "compare_and_set",
            key = %shown(key),
            outcome = Empty,
            elapsed_us = Empty,
        ),
        Kind::Ask => return None,
    })
}

/// R and W unless set.
const fn usual(consistency: Consistency, copies: u8) -> u8 {
    match consistency {
        Consistency::One => 1,
        Consistency::Quorum | Consistency::Linearizable => copies / 2 + 1,
    }
}

/// A key as text: its beginning, with invalid UTF-8 replaced.
fn shown(key: &[u8]) -> Cow<'_, str> {
    let mut shown = String::from_utf8_lossy(&key[..key.len().min(SHOWN)]);
    if key.len() > SHOWN {
        shown.to_mut().push('…');
    }
    shown
}

/// One request of a read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestReport {
    /// The node.
    pub node: NodeId,
    /// Its name for people.
    pub name: String,
    /// What it was for.
    pub kind: RequestKind,
    /// When it was made, counted from the read's first request.
    pub after: Duration,
    /// How long it took to be answered or to fail; `None` if the read ended before.
    pub elapsed: Option<Duration>,
    /// Its outcome; `None` if the read ended before. A read does not wait for repairs after its answer.
    pub outcome: Option<Outcome>,
}

/// The trace of one operation: its span, and those of its open requests.
#[derive(Debug)]
pub(crate) struct Trace {
    span: Span,
    open: SmallVec<[Attempt; 3]>,
    report: Option<Report>,
}

/// The trace of a read, for [`Get::explain`](crate::Get::explain).
#[derive(Debug, Default)]
pub(crate) struct ReadTrace {
    pub(crate) requests: Vec<RequestReport>,
    /// How long it took to the answer.
    pub(crate) answered_after: Option<Duration>,
}

#[derive(Debug)]
struct Report {
    to: oneshot::Sender<ReadTrace>,
    trace: ReadTrace,
    /// When the first request was made.
    started: Option<Moment>,
}

/// An unanswered request.
#[derive(Debug)]
struct Attempt {
    id: u64,
    is_question: bool,
    span: Span,
    sent: Moment,
    /// Its index among the requests of the report.
    place: usize,
}

impl Trace {
    /// A request goes to a node.
    pub(crate) fn sent(
        &mut self,
        id: u64,
        kind: RequestKind,
        node: (NodeId, &Topology),
        now: Moment,
    ) {
        let (id_of_node, topology) = node;
        let name = topology
            .member(id_of_node)
            .map_or("unknown", |m| m.name.as_str());
        let span = debug_span!(
            target: "quoit_client",
            parent: &self.span,
            "attempt",
            node = name,
            kind = kind.name(),
            outcome = Empty,
            elapsed_us = Empty,
        );

        let place = self.report.as_mut().map_or(0, |report| {
            let started = *report.started.get_or_insert(now);
            report.trace.requests.push(RequestReport {
                node: id_of_node,
                name: name.to_owned(),
                kind,
                after: Duration::from_micros(now.since(started)),
                elapsed: None,
                outcome: None,
            });
            report.trace.requests.len() - 1
        });
        self.open.push(Attempt {
            id,
            is_question: matches!(kind, RequestKind::Read | RequestKind::Hedge),
            span,
            sent: now,
            place,
        });
    }

    /// A request was answered.
    pub(crate) fn answered(&mut self, id: u64, response: &Response, now: Moment) {
        let Some(index) = self.open.iter().position(|attempt| attempt.id == id) else {
            return;
        };
        let attempt = self.open.swap_remove(index);
        let outcome = match response {
            Response::Record(_)
            | Response::Absent
            | Response::Above { .. }
            | Response::Unsettled { .. }
            | Response::Joined => Outcome::Done,
            Response::Register(answer) => match **answer {
                RegisterAnswer::Outbid { .. } => Outcome::Outbid,
                _ => Outcome::Done,
            },
            Response::Superseded { .. } => Outcome::Superseded,
            Response::Refused(refusal) if attempt.is_question => Outcome::of_question(*refusal),
            Response::Refused(refusal) => Outcome::Refused(*refusal),
            _other => Outcome::Damaged(OTHER_QUESTION),
        };

        match response {
            answer if answer.record().is_some() => attempt.span.record("outcome", "record"),
            Response::Absent | Response::Above { .. } => attempt.span.record("outcome", "absent"),
            Response::Joined => attempt.span.record("outcome", "joined"),
            Response::Register(_) if outcome == Outcome::Done => {
                attempt.span.record("outcome", "done")
            }
            _other => attempt.span.record("outcome", display(&outcome)),
        };
        close(&attempt, self.report.as_mut(), outcome, now);
    }

    /// The requests whose ids are `which` will not be answered.
    pub(crate) fn failed(&mut self, which: impl Fn(u64) -> bool, outcome: &Outcome, now: Moment) {
        let Self { open, report, .. } = self;
        open.retain(|attempt| {
            let lost = which(attempt.id);
            if lost {
                attempt.span.record("outcome", display(outcome));
                close(attempt, report.as_mut(), outcome.clone(), now);
            }
            !lost
        });
    }

    /// The caller has its answer; repair may go on.
    pub(crate) fn ended(&mut self, end: End, micros: u64, now: Moment) {
        self.span.record("outcome", end.name());
        self.span.record("elapsed_us", micros);
        if let Some(report) = &mut self.report {
            let after = |started| Duration::from_micros(now.since(started));
            report.trace.answered_after = report.started.map(after);
        }
    }
}

fn close(attempt: &Attempt, report: Option<&mut Report>, outcome: Outcome, now: Moment) {
    let micros = now.since(attempt.sent);
    attempt.span.record("elapsed_us", micros);
    if let Some(request) = report.and_then(|report| report.trace.requests.get_mut(attempt.place)) {
        request.elapsed = Some(Duration::from_micros(micros));
        request.outcome = Some(outcome);
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        for attempt in &self.open {
            attempt.span.record("outcome", "unanswered");
        }
        if let Some(report) = self.report.take() {
            drop(report.to.send(report.trace)); // the caller may have dropped its future
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_key_is_cut_and_invalid_utf8_is_replaced() {
        assert_eq!(shown(b"cart:{42}"), "cart:{42}");
        assert_eq!(shown(&[b'a'; 300]), format!("{}…", "a".repeat(48)));
        assert_eq!(shown(b"k\xff"), "k\u{fffd}");
    }
}
