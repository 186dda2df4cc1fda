//! What a collector of spans sees of a driven client.

use std::collections::BTreeMap;
use std::fmt::{Debug, Write as _};
use std::sync::Mutex;

use quoit_ring::wire::Refusal;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Span, Subscriber, info_span};
use tracing_subscriber::layer::{Context as Collecting, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;

use super::*;

/// A collector that keeps every span.
#[derive(Debug, Clone, Default)]
struct Collected(Arc<Mutex<BTreeMap<u64, Shown>>>);

#[derive(Debug, Clone, Default)]
struct Shown {
    parent: Option<u64>,
    name: &'static str,
    fields: String,
    closed: bool,
}

impl Visit for Shown {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.fields, " {field}={value:?}").unwrap();
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        write!(self.fields, " {field}={value}").unwrap();
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Collected {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, collecting: Collecting<'_, S>) {
        let parent = collecting.span(id).unwrap().parent();
        let mut shown = Shown {
            parent: parent.map(|parent| parent.id().into_u64()),
            name: attributes.metadata().name(),
            ..Shown::default()
        };
        attributes.record(&mut shown);
        self.0.lock().unwrap().insert(id.into_u64(), shown);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, _collecting: Collecting<'_, S>) {
        let mut spans = self.0.lock().unwrap();
        values.record(spans.get_mut(&id.into_u64()).unwrap());
    }

    fn on_close(&self, id: Id, _collecting: Collecting<'_, S>) {
        self.0
            .lock()
            .unwrap()
            .get_mut(&id.into_u64())
            .unwrap()
            .closed = true;
    }
}

impl Collected {
    /// Every span as a line, indented below its parent; open ones end in dots.
    fn tree(&self) -> Vec<String> {
        let spans = self.0.lock().unwrap();
        let depth = |span: &Shown| {
            let up = |id: &u64| spans.get(id).and_then(|span| span.parent);
            core::iter::successors(span.parent, up).count()
        };
        let line = |span: &Shown| {
            let indent = "  ".repeat(depth(span));
            let open = if span.closed { "" } else { " ..." };
            format!("{indent}{}{}{open}", span.name, span.fields)
        };
        spans.values().map(line).collect()
    }
}

/// Runs a test under a collector of its own.
fn collected(test: impl FnOnce(&Collected)) {
    let collected = Collected::default();
    let subscriber = tracing_subscriber::registry().with(collected.clone());
    tracing::subscriber::with_default(subscriber, || test(&collected));
}

#[test]
fn an_operation_is_a_span_below_its_callers_with_one_for_each_request() {
    collected(|spans| {
        let mut bench = Bench::new();
        let client = bench.client.clone();
        let mut put = Waiting::on(async move {
            let request = info_span!("request");
            let put = client.put("cart:{42}", "milk").into_future();
            tracing::Instrument::instrument(put, request).await
        });
        bench.driver.take_in();
        bench.driver.pump();
        let sent: Vec<_> = core::mem::take(&mut bench.log.borrow_mut().sent);
        bench.log.borrow_mut().micros += 250;
        let refused = Response::Refused(Refusal::Draining);
        for (to, response) in sent
            .iter()
            .zip([Response::Joined, refused, Response::Joined])
        {
            bench.answer(to, 1, response);
        }
        bench.driver.pump();
        assert!(put.answer().unwrap().is_ok());
        let name = |index: usize| format!("n{}", sent[index].0.0);
        // the node that refused gets a hint, which is under way when the caller has its answer
        for hint in bench.sent() {
            bench.answer(&hint, 1, Response::Joined);
        }
        bench.driver.pump();
        assert_eq!(
            spans.tree(),
            [
                "request".to_owned(),
                "  put key=cart:{42} consistency=Quorum w=2 outcome=ok elapsed_us=250".into(),
                format!(
                    "    attempt node={} kind=write outcome=joined elapsed_us=250",
                    name(0)
                ),
                format!(
                    "    attempt node={} kind=write outcome={} elapsed_us=250",
                    name(1),
                    Refusal::Draining
                ),
                format!(
                    "    attempt node={} kind=write outcome=joined elapsed_us=250",
                    name(2)
                ),
                format!(
                    "    attempt node={} kind=hint outcome=joined elapsed_us=0",
                    name(0)
                ),
            ]
        );
    });
}

#[test]
fn a_read_shows_its_repairs_and_what_nobody_waited_for() {
    collected(|spans| {
        let mut bench = Bench::new();
        let mut get = Waiting::on(bench.client.get("key"));
        bench.take_in();
        let sent = bench.sent();
        bench.driver.link(sent[0].0, Link::Down);
        bench.driver.pump();
        bench.log.borrow_mut().micros += 6_000_000;
        bench.driver.tick();
        bench.driver.pump();
        assert!(get.answer().unwrap().is_err());
        let tree = spans.tree();
        let has = |what: &str| tree.iter().filter(|line| line.contains(what)).count();
        assert_eq!(
            has("get key=key consistency=Quorum r=2 outcome=unavailable"),
            1
        );
        assert_eq!(
            has("kind=read outcome=no connection elapsed_us=0"),
            1,
            "{tree:?}"
        );
        assert_eq!(has("kind=read outcome=unanswered"), 2, "{tree:?}");
        assert_eq!(has(" ..."), 0, "all are closed: {tree:?}");
    });
}

#[test]
fn without_a_collector_there_is_no_span_to_carry() {
    let bench = Bench::new();
    let _get = Waiting::on(bench.client.get("key"));
    let mut batch = Vec::new();
    bench.driver.callers.take(&mut batch);
    let [Submission::Read(read)] = &batch[..] else {
        panic!("one read: {batch:?}");
    };
    assert!(read.caller.trace.is_none());
    assert!(Span::current().is_disabled());
}
