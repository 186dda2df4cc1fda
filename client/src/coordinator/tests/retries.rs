//! Writes that failed and are sent again: what goes out, and what can be said of them afterwards.

use super::*;

fn superseded() -> Response {
    let above = Time::at(Millis(WALL.0 + 300));
    let named = false;
    Response::Superseded { named, above }
}

/// A put of which one replica has answered and the others have not.
fn unknown(bench: &mut Bench, context: Option<Context>, answer: Response) -> WriteError {
    bench.start(1, put("v", context));
    let sent = bench.sent();
    bench.answer(&sent[0], answer);
    bench.pass(5_100);
    bench.written().unwrap_err()
}

#[test]
fn a_retry_sends_the_same_record_under_the_same_dot() {
    for context in [None, Some(Context::default())] {
        let mut bench = Bench::new();
        bench.start(1, put("v", context));
        let first = bench.sent();
        bench.pass(5_100);
        let error = bench.written().unwrap_err();
        assert_eq!(error.stored(), Stored::Maybe);
        assert!(error.can_retry());

        // Another write of this client in between changes nothing about it.
        bench.start(2, put("w", Some(Context::default())));
        bench.sent();
        bench.start(3, Call::Retry(error));
        let again = bench.sent();
        assert_eq!(again.len(), 3);
        assert_eq!(record_bytes(&again[0].1), record_bytes(&first[0].1));
        for to in &again[..2] {
            bench.answer(to, Response::Joined);
        }
        let written = bench.written().unwrap();
        assert_eq!(written.acked, 2);
        assert_eq!(written.dot, record_in(&first[0].1).live()[0].dot);
    }
}

/// What a replica holds that has joined these.
fn stored(deltas: &[&Record]) -> Vec<Bytes> {
    let mut stored = Record::default();
    deltas.iter().for_each(|delta| stored.join(delta));
    let values = stored.live().iter().map(|sibling| sibling.value.clone());
    values.map(Option::unwrap).collect()
}

/// A put of unknown outcome, its record, that of its retry and that of a second put of the same value and context.
fn put_retried_and_put_again(context: Option<&Context>) -> [Record; 3] {
    let mut bench = Bench::new();
    bench.start(1, put("v", context.cloned()));
    let first = record_in(&bench.sent()[0].1);
    bench.pass(5_100);
    let error = bench.written().unwrap_err();
    bench.start(2, Call::Retry(error));
    let retry = record_in(&bench.sent()[0].1);
    bench.pass(5_100);
    bench.written().unwrap_err();
    bench.pass(10);
    bench.start(3, put("v", context.cloned()));
    let second = record_in(&bench.sent()[0].1);
    [first, retry, second]
}

#[test]
fn a_causal_retry_leaves_one_value_where_a_second_put_leaves_two() {
    let [first, retry, second] = put_retried_and_put_again(Some(&Context::default()));
    assert_eq!(stored(&[&first, &retry]), ["v"]);
    assert_eq!(stored(&[&first, &second]), ["v", "v"]);
}

#[test]
fn a_blind_retry_spares_what_another_wrote_where_a_second_put_erases_it() {
    let [first, retry, second] = put_retried_and_put_again(None);
    let dot = quoit_ring::Dot {
        time: Time::at(Millis(WALL.0 + 900)),
        actor: quoit_ring::Actor(99),
    };
    let other = Delta::blind(dot, Some(("other".into(), None)));
    assert_eq!(stored(&[&first, other.record(), &retry]), ["other"]);
    assert_eq!(stored(&[&first, other.record(), &second]), ["v"]);
}

#[test]
fn a_write_that_may_be_stored_is_never_reported_as_not_stored_by_its_retry() {
    let mut bench = Bench::new();
    let error = unknown(&mut bench, None, superseded());
    bench.start(2, Call::Retry(error));
    for to in &bench.sent() {
        bench.answer(to, Response::Refused(Refusal::Draining));
    }
    let error = bench.written().unwrap_err();
    assert_eq!(error.stored(), Stored::Maybe, "{error}");
    assert!(error.can_retry());
}

#[test]
fn an_under_replicated_write_stays_so_until_its_retry_finds_w() {
    let mut bench = Bench::new();
    bench.start(1, put("v", None));
    let sent = bench.sent();
    bench.answer(&sent[0], Response::Joined);
    for to in &sent[1..] {
        bench.answer(to, Response::Refused(Refusal::Draining));
    }
    let mut error = bench.written().unwrap_err();
    for _ in 0..2 {
        assert_eq!(error.stored(), Stored::UnderReplicated, "{error}");
        bench.start(2, Call::Retry(error));
        for to in &bench.sent() {
            bench.answer(to, Response::Refused(Refusal::Draining));
        }
        error = bench.written().unwrap_err();
    }
    bench.start(3, Call::Retry(error));
    for to in &bench.sent() {
        bench.answer(to, Response::Joined);
    }
    assert!(bench.written().is_ok());
}

#[test]
fn acknowledgements_of_the_first_try_and_of_its_retry_count_together() {
    let mut bench = Bench::new();
    let error = unknown(&mut bench, None, Response::Joined);
    bench.start(2, Call::Retry(error));
    let again = bench.sent();
    assert_eq!(again.len(), 2, "one has it already");
    bench.answer(&again[0], Response::Joined);
    assert_eq!(bench.written().unwrap().acked, 2);
    bench.answer(&again[1], Response::Joined);
    assert!(bench.coordinator.is_idle());
}

#[test]
fn a_retry_is_never_minted_again_over_what_superseded_it() {
    for context in [None, Some(Context::default())] {
        let mut bench = Bench::new();
        let error = unknown(&mut bench, context, Response::Joined);
        bench.start(2, Call::Retry(error));
        for to in &bench.sent() {
            bench.answer(to, superseded());
        }
        assert!(bench.sent().is_empty());
        let error = bench.written().unwrap_err();
        assert_eq!(error.stored(), Stored::Maybe);
        assert!(!error.can_retry(), "{error}");
        assert!(error.to_string().contains("a later write is there already"));
    }
}

#[test]
fn a_retry_that_a_later_acknowledged_write_of_its_client_superseded_was_overwritten() {
    let mut bench = Bench::new();
    let error = unknown(&mut bench, None, Response::Joined);
    bench.start(2, put("w", None));
    for to in &bench.sent() {
        bench.answer(to, Response::Joined);
    }
    bench.written().unwrap();
    bench.start(3, Call::Retry(error));
    for to in &bench.sent() {
        bench.answer(to, superseded());
    }
    assert!(bench.written().is_ok());
}

#[test]
fn a_retry_that_comes_too_late_says_so() {
    let mut bench = Bench::new();
    let error = unknown(&mut bench, None, Response::Joined);
    bench.start(2, Call::Retry(error));
    for to in &bench.sent() {
        let (age_ms, max_ms) = (61_000, 60_000);
        bench.answer(to, Response::Refused(Refusal::TooOld { age_ms, max_ms }));
    }
    let error = bench.written().unwrap_err();
    assert_eq!(error.stored(), Stored::Maybe);
    assert!(!error.can_retry());
    let text = error.to_string();
    assert!(text.contains("the write is 61000 ms old"), "{text}");
}

#[test]
fn what_a_client_writes_after_the_retry_of_anothers_write_lies_above_that() {
    let mut fast = Bench::new();
    fast.wall_off = 400;
    let error = unknown(&mut fast, None, superseded());
    let mut bench = Bench::new();
    bench.pass(5_100);
    bench.wall_off = -5_100;
    bench.start(1, Call::Retry(error));
    let retried = record_in(&bench.sent()[0].1).max_time();
    bench.start(2, put("later", None));
    let later = record_in(&bench.sent()[0].1).max_time();
    assert!(later > retried, "{later:?} {retried:?}");
}

#[test]
fn a_write_that_lies_too_far_ahead_to_be_written_above_is_not_sent_again() {
    let mut fast = Bench::new();
    fast.wall_off = 3_600_000;
    let error = unknown(&mut fast, None, superseded());
    let mut bench = Bench::new();
    bench.start(1, Call::Retry(error));
    assert!(bench.sent().is_empty());
    assert!(matches!(bench.written(), Err(WriteError::Invalid(_))));
    assert!(bench.coordinator.is_idle());
}

#[test]
fn a_retry_that_was_abandoned_leaves_open_whether_w_have_the_write() {
    let mut bench = Bench::new();
    bench.start(1, put("v", None));
    let sent = bench.sent();
    bench.answer(&sent[0], Response::Joined);
    for to in &sent[1..] {
        bench.answer(to, Response::Refused(Refusal::Draining));
    }
    let error = bench.written().unwrap_err().left_open();
    assert_eq!(error.stored(), Stored::Maybe);

    // And that stays so, whatever the next retry finds.
    bench.start(2, Call::Retry(error));
    for to in &bench.sent() {
        bench.answer(to, Response::Refused(Refusal::Draining));
    }
    assert_eq!(bench.written().unwrap_err().stored(), Stored::Maybe);
}

#[test]
fn what_was_sent_to_a_node_that_got_another_address_may_be_stored() {
    let mut bench = Bench::new();
    for node in 1..=3 {
        bench.link(node, Link::Up);
    }
    bench.start(1, put("v", None));
    let sent = bench.sent();
    bench.link(sent[0].0.0, Link::Opening);
    bench.link(sent[0].0.0, Link::Down);
    for to in &sent[1..] {
        bench.answer(to, Response::Refused(Refusal::Draining));
    }
    assert_eq!(bench.written().unwrap_err().stored(), Stored::Maybe);
}
