//! What a driven client hands to a real recorder, and when.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};

use ::metrics::{
    Counter, CounterFn, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};
use quoit_ring::wire::Refusal;

use super::*;

/// A recorder that keeps what it was given.
#[derive(Debug, Default, Clone)]
struct Shown(Arc<Mutex<Given>>);

#[derive(Debug, Default)]
struct Given {
    described: BTreeSet<String>,
    counters: BTreeMap<String, u64>,
    seconds: Vec<(f64, usize)>,
}

/// One series of it.
#[derive(Debug)]
struct Series(Shown, String);

impl Shown {
    fn given(&self) -> MutexGuard<'_, Given> {
        self.0.lock().unwrap()
    }

    /// Every counter that was added to, as `name{label,..}`, since this was asked the last time.
    fn counters(&self) -> Vec<(String, u64)> {
        let counters = core::mem::take(&mut self.given().counters);
        counters.into_iter().collect()
    }

    fn series(&self, key: &Key) -> Arc<Series> {
        assert!(self.given().described.contains(key.name()), "{key}");
        let labels: Vec<_> = key.labels().map(|label| label.value().to_owned()).collect();
        let name = key.name().replace("quoit_client_", "");
        let series = format!("{name}{{{}}}", labels.join(","));
        Arc::new(Series(self.clone(), series))
    }
}

impl Recorder for Shown {
    fn describe_counter(&self, name: KeyName, _unit: Option<Unit>, _what: SharedString) {
        self.given().described.insert(name.as_str().to_owned());
    }

    fn describe_gauge(&self, _name: KeyName, _unit: Option<Unit>, _what: SharedString) {}

    fn describe_histogram(&self, name: KeyName, unit: Option<Unit>, _what: SharedString) {
        assert_eq!(unit, Some(Unit::Seconds));
        self.given().described.insert(name.as_str().to_owned());
    }

    fn register_counter(&self, key: &Key, _metadata: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.series(key))
    }

    fn register_gauge(&self, key: &Key, _metadata: &Metadata<'_>) -> Gauge {
        panic!("a client has none: {key}");
    }

    fn register_histogram(&self, key: &Key, _metadata: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.series(key))
    }
}

impl CounterFn for Series {
    fn increment(&self, value: u64) {
        *self.0.given().counters.entry(self.1.clone()).or_default() += value;
    }

    fn absolute(&self, value: u64) {
        panic!("{} = {value}: clients would not add up", self.1);
    }
}

impl HistogramFn for Series {
    fn record(&self, value: f64) {
        self.record_many(value, 1);
    }

    fn record_many(&self, value: f64, count: usize) {
        assert!(self.1.starts_with("operation_seconds{"), "{}", self.1);
        self.0.given().seconds.push((value, count));
    }
}

/// Runs a test under a recorder of its own.
fn recorded(test: impl FnOnce(&Shown)) {
    let shown = Shown::default();
    ::metrics::with_local_recorder(&shown, || test(&shown));
}

impl Bench {
    /// So much time passes, and a tick is looked at.
    fn pass(&mut self, micros: u64) {
        self.log.borrow_mut().micros += micros;
        self.driver.tick();
        self.driver.pump();
    }

    fn answer_all(&mut self, response: &Response) {
        for request in self.sent() {
            self.answer(&request, 1, response.clone());
        }
        self.driver.pump();
    }
}

fn counted(expected: &[(&str, u64)]) -> Vec<(String, u64)> {
    let owned = |(name, count): &(&str, u64)| ((*name).to_owned(), *count);
    expected.iter().map(owned).collect()
}

#[test]
fn a_recorder_hears_of_operations_and_attempts_once_nothing_is_under_way() {
    recorded(|shown| {
        let mut bench = Bench::new();
        let _put = Waiting::on(bench.client.put("key", "value"));
        let _get = Waiting::on(bench.client.get("key"));
        let _wrong = Waiting::on(bench.client.get("key").r(9));
        bench.take_in();
        bench.answer_all(&Response::Absent);
        let unfit = Refusal::Draining;
        bench.answer_all(&Response::Refused(unfit));
        assert_eq!(shown.counters(), [], "nothing before the tick");
        bench.pass(10_000);
        assert_eq!(
            shown.counters(),
            counted(&[
                ("attempts_total{read}", 2),
                ("attempts_total{write}", 3),
                ("operations_total{get,invalid}", 1),
                ("operations_total{get,ok}", 1),
                ("operations_total{put,unknown}", 1),
            ])
        );
        bench.pass(10_000);
        assert_eq!(shown.counters(), [], "each is handed over once");
    });
}

#[test]
fn a_busy_client_hands_its_numbers_over_once_a_second() {
    recorded(|shown| {
        let mut bench = Bench::new();
        let _slow = Waiting::on(bench.client.put("slow", "value"));
        let mut ticks = Vec::new();
        for tick in 1..=250_u32 {
            let _next = Waiting::on(bench.client.put("key", "value"));
            bench.take_in();
            bench.sent();
            bench.pass(10_000);
            if shown.counters().iter().any(|(_, count)| *count > 1) {
                ticks.push(tick);
            }
        }
        assert_eq!(ticks, [100, 200]);
    });
}

#[test]
fn clients_in_one_process_add_up_and_the_end_of_one_hands_over_the_rest() {
    recorded(|shown| {
        for _ in 0..2 {
            let mut bench = Bench::new();
            let _delete = Waiting::on(bench.client.delete("key"));
            bench.take_in();
            bench.answer_all(&Response::Joined);
        }
        let deletes = ("operations_total{delete,ok}".to_owned(), 2);
        assert!(shown.counters().contains(&deletes));
    });
}

#[test]
fn latencies_come_as_seconds_from_start_to_answer() {
    recorded(|shown| {
        let mut bench = Bench::new();
        let _get = Waiting::on(bench.client.get("key"));
        bench.take_in();
        bench.log.borrow_mut().micros += 300;
        bench.answer_all(&Response::Absent);
        bench.pass(10_000);
        let seconds = &shown.given().seconds;
        let about = |s: f64| (s - 300e-6).abs() < 10e-6;
        assert!(matches!(seconds[..], [(s, 1)] if about(s)), "{seconds:?}");
    });
}

#[test]
fn hedges_remints_refusals_and_lost_connections_are_counted_apart() {
    recorded(|shown| {
        let mut bench = Bench::new();
        for node in 1..=3 {
            bench.driver.link(NodeId(node), Link::Up);
        }
        let _get = Waiting::on(bench.client.get("key"));
        let _put = Waiting::on(bench.client.put("key", "value"));
        bench.take_in();
        let sent = bench.sent();
        for request in &sent {
            let response = match request.1.request {
                Request::Put { .. } => Response::Superseded {
                    named: false,
                    above: Time::at(Millis(1_700_000_000_001)),
                },
                _ => Response::Refused(Refusal::Overloaded { queue_ms: 20 }),
            };
            bench.answer(request, 1, response);
        }
        bench.driver.pump();
        bench.driver.link(NodeId(3), Link::Down);
        drop(bench);
        let counters = shown.counters();
        let has = |name: &str, count| {
            let entry = (name.to_owned(), count);
            assert!(counters.contains(&entry), "{name} {count}: {counters:?}");
        };
        has("remints_total{}", 1);
        has("attempts_total{write}", 6);
        has("attempts_total{read}", 3);
        has("refusals_total{overloaded}", 2);
        has("connections_lost_total{}", 1);
    });
}
