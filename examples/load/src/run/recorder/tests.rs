//! What is recorded of operations.

use super::*;
use crate::result::Percentiles;

const SECOND: Duration = Duration::from_secs(1);

fn failure(kind: &str) -> Result<Done, OpError> {
    Err(OpError {
        kind: kind.to_owned(),
        may_be_stored: false,
    })
}

/// An operation that should have begun `at` ms after the begin, waited and was served so long.
fn times(begin: Instant, at: u64, waited: u64, served: u64) -> Times {
    let intended = begin + Duration::from_millis(at);
    let started = intended + Duration::from_millis(waited);
    Times {
        intended,
        started,
        ended: started + Duration::from_millis(served),
    }
}

fn recorder(begin: Instant) -> Recorder {
    Recorder::new(begin, 3 * SECOND, SECOND).unwrap()
}

#[test]
fn waiting_is_in_the_intended_latency_alone() {
    let begin = Instant::now();
    let mut recorder = recorder(begin);
    recorder.record(Verb::Get, times(begin, 100, 50, 10), Ok(Done::Plain));
    let get = &recorder.operations().unwrap()["get"];
    assert_eq!(get.count, 1);
    assert!(
        get.intended.p50.abs_diff(60_000) <= 60,
        "{:?}",
        get.intended
    );
    assert!(get.service.p50.abs_diff(10_000) <= 10, "{:?}", get.service);
    let back = hlog::decode(&get.intended_hlog).unwrap();
    assert_eq!((back.len(), back.max()), (1, get.intended.max));
}

#[test]
fn the_time_line_has_a_slice_for_every_second_even_an_empty_one() {
    let begin = Instant::now();
    let mut recorder = recorder(begin);
    recorder.record(Verb::Get, times(begin, 100, 0, 10), Ok(Done::Plain));
    recorder.record(Verb::Put, times(begin, 200, 0, 20), failure("slow"));
    recorder.record(Verb::Get, times(begin, 2500, 0, 10), Ok(Done::Plain));
    let slices = recorder.timeline();
    let shown: Vec<(f64, u64, u64)> = slices
        .iter()
        .map(|slice| (slice.at, slice.count, slice.errors))
        .collect();
    assert_eq!(shown, [(0.0, 1, 1), (1.0, 0, 0), (2.0, 1, 0)]);
    assert_eq!(slices[1].max, 0);
}

#[test]
fn an_operation_that_ends_too_late_has_a_latency_but_no_rate() {
    let begin = Instant::now();
    let mut recorder = recorder(begin);
    recorder.record(Verb::Get, times(begin, 2900, 0, 10), Ok(Done::Plain));
    recorder.record(Verb::Get, times(begin, 2900, 0, 500), Ok(Done::Plain));
    let get = &recorder.operations().unwrap()["get"];
    assert_eq!(get.count, 2);
    assert!((get.rate - 1.0 / 3.0).abs() < 1e-9);
    assert!(get.intended.max >= 499_000);
    assert_eq!(
        recorder
            .timeline()
            .iter()
            .map(|slice| slice.count)
            .sum::<u64>(),
        1
    );
}

#[test]
fn failures_are_counted_by_kind_and_kept_out_of_the_latencies() {
    let begin = Instant::now();
    let mut recorder = recorder(begin);
    for kind in (0..40).map(|kind| format!("kind {kind}")) {
        recorder.record(Verb::Put, times(begin, 1, 0, 1), failure(&kind));
    }
    let put = &recorder.operations().unwrap()["put"];
    assert_eq!(
        (put.count, put.errors.len(), put.errors[OTHER]),
        (0, KINDS + 1, 8)
    );
    assert_eq!(put.intended, Percentiles::default());
    assert_eq!(recorder.counts(), (0, 40));
}

#[test]
fn the_longest_time_without_a_success_is_known() {
    let begin = Instant::now();
    let mut recorder = recorder(begin);
    recorder.record(Verb::Get, times(begin, 100, 0, 0), Ok(Done::Plain));
    recorder.mark(begin + Duration::from_millis(200));
    recorder.record(Verb::Get, times(begin, 300, 0, 1), failure("down"));
    recorder.record(Verb::Get, times(begin, 900, 0, 0), Ok(Done::Plain));
    recorder.record(Verb::Get, times(begin, 950, 0, 0), Ok(Done::Plain));
    assert_eq!(recorder.mark(begin + SECOND), Duration::from_millis(700));
}

#[test]
fn a_mismatch_is_an_answer_and_in_no_figure_of_successes() {
    let begin = Instant::now();
    let mut recorder = recorder(begin);
    recorder.record(Verb::Cas, times(begin, 100, 0, 20), Ok(Done::Plain));
    recorder.record(Verb::Cas, times(begin, 200, 0, 10), Ok(Done::Mismatch));
    recorder.record(Verb::Cas, times(begin, 2900, 0, 500), Ok(Done::Mismatch));
    let cas = &recorder.operations().unwrap()["cas"];
    assert_eq!((cas.count, cas.failed(), cas.intended.min), (1, 0, 20_000));
    assert!((cas.rate - 1.0 / 3.0).abs() < 1e-9);
    let mismatches = cas.mismatches.unwrap();
    assert_eq!((mismatches.count, mismatches.after.min), (2, 10_000));
    assert_eq!(cas.attempts, None);
    assert_eq!((recorder.counts(), recorder.in_time()), ((3, 0), 2));
}

#[test]
fn attempts_of_updates_are_counted_apart_from_their_latency() {
    let begin = Instant::now();
    let mut recorder = recorder(begin);
    for attempt in 1..=100 {
        recorder.record(
            Verb::Update,
            times(begin, 1, 0, 1),
            Ok(Done::After(attempt)),
        );
    }
    let update = &recorder.operations().unwrap()["update"];
    let attempts = update.attempts.unwrap();
    assert_eq!((attempts.p50, attempts.p99, attempts.max), (50, 99, 100));
    assert_eq!((update.count, update.mismatches), (100, None));
}
