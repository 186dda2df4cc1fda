//! Several writes of one client on one key, of which an earlier one is superseded: which may be minted again, and what
//! the others report.

use super::*;

fn delete() -> Call {
    let Call::Write { mut update, plan } = put("", None) else {
        unreachable!("a put is a write");
    };
    update.value = None;
    Call::Write { update, plan }
}

/// What a replica says that has something later, minted `ms` after the bench began.
fn superseded(ms: u64) -> Response {
    let above = Time::at(Millis(WALL.0 + ms));
    let named = false;
    Response::Superseded { named, above }
}

fn answer_all(bench: &mut Bench, sent: &[(NodeId, RequestFrame)], response: &Response) {
    for to in sent {
        bench.answer(to, response.clone());
    }
}

#[test]
fn an_abandoned_put_does_not_come_back_over_the_delete_that_followed_it() {
    let mut bench = Bench::new();
    bench.start(1, put("large", None));
    let large = bench.sent();
    bench.abandon(1);
    bench.start(2, delete());
    let small = bench.sent();

    // The small frames overtake the large ones.
    answer_all(&mut bench, &small, &Response::Joined);
    assert!(bench.written().is_ok());
    answer_all(&mut bench, &large, &superseded(300));
    assert!(bench.sent().is_empty(), "nobody waits for it any more");
    assert!(bench.coordinator.is_idle());
    assert_eq!(bench.occupied(), 0);
}

#[test]
fn an_abandoned_put_is_not_minted_again_over_another_clients_write_either() {
    for context in [None, Some(Context::default())] {
        let mut bench = Bench::new();
        bench.start(1, put("v", context));
        let sent = bench.sent();
        bench.abandon(1);
        answer_all(&mut bench, &sent, &superseded(300));
        assert!(bench.sent().is_empty());
        assert!(bench.coordinator.is_idle());
    }
}

#[test]
fn a_blind_put_that_a_later_acknowledged_one_of_its_client_superseded_was_overwritten() {
    let mut bench = Bench::new();
    bench.start(1, put("a", None));
    let first = bench.sent();
    bench.start(2, put("b", None));
    let second = bench.sent();
    answer_all(&mut bench, &second, &Response::Joined);
    bench.written().unwrap();
    answer_all(&mut bench, &first[..2], &superseded(300));
    assert!(bench.done().is_none(), "the third may acknowledge");
    answer_all(&mut bench, &first[2..], &superseded(300));
    assert_eq!(bench.written().unwrap().acked, 3);
    assert!(bench.sent().is_empty() && bench.coordinator.is_idle());
}

#[test]
fn a_superseded_blind_put_waits_for_the_later_one_of_its_client() {
    let mut bench = Bench::new();
    bench.start(1, put("a", None));
    let first = bench.sent();
    bench.start(2, put("b", None));
    let second = bench.sent();
    answer_all(&mut bench, &first, &superseded(300));
    assert!(bench.sent().is_empty() && bench.done().is_none());

    // Another client's write has superseded both, so the later one is minted again, and the earlier one is not.
    answer_all(&mut bench, &second, &superseded(300));
    let again = bench.sent();
    assert_eq!(again.len(), 3);
    bench.pass(20);
    assert!(bench.sent().is_empty() && bench.done().is_none());
    answer_all(&mut bench, &again, &Response::Joined);
    assert!(bench.written().is_ok(), "the later one");
    assert!(bench.done().is_none());
    bench.pass(10);
    assert!(
        bench.written().is_ok(),
        "the earlier one was overwritten by it"
    );
    assert!(bench.coordinator.is_idle());
}

#[test]
fn a_superseded_blind_put_whose_successor_fails_is_reported_as_not_stored() {
    let mut bench = Bench::new();
    bench.start(1, put("a", None));
    let first = bench.sent();
    bench.start(2, put("b", None));
    let second = bench.sent();
    answer_all(&mut bench, &first, &superseded(300));
    answer_all(&mut bench, &second, &Response::Refused(Refusal::Draining));
    assert_eq!(bench.written().unwrap_err().stored(), Stored::No);
    bench.pass(10);
    let error = bench.written().unwrap_err();
    assert_eq!(error.stored(), Stored::No, "{error}");
    assert!(bench.sent().is_empty() && bench.coordinator.is_idle());
}

#[test]
fn a_superseded_causal_put_stands_beside_a_later_write_of_its_client() {
    let mut bench = Bench::new();
    bench.start(1, put("a", Some(Context::default())));
    let first = bench.sent();
    bench.start(2, put("b", None));
    let second = bench.sent();
    answer_all(&mut bench, &second, &Response::Joined);
    bench.written().unwrap();
    answer_all(&mut bench, &first, &superseded(300));
    let again = bench.sent();
    let mut stored = record_in(&second[0].1);
    stored.join(&record_in(&again[0].1));
    assert_eq!(stored.live().len(), 2);
    answer_all(&mut bench, &again, &Response::Joined);
    assert!(bench.written().is_ok());
}

#[test]
fn writes_of_one_client_on_other_keys_and_of_other_clients_are_not_meant() {
    let mut bench = Bench::new();
    bench.start(1, put("a", None));
    let first = bench.sent();
    let Call::Write { mut update, plan } = put("b", None) else {
        unreachable!("a put is a write");
    };
    update.key = "another".into();
    bench.start(2, Call::Write { update, plan });
    bench.sent();
    answer_all(&mut bench, &first, &superseded(300));
    assert_eq!(
        bench.sent().len(),
        3,
        "another client's write is in its way"
    );
}

/// A put of "k" in other respects than the plan's own.
fn put_with(value: &'static str, plan: Plan) -> Call {
    let Call::Write { update, .. } = put(value, None) else {
        unreachable!("a put is a write");
    };
    Call::Write { update, plan }
}

fn w(count: u8) -> Plan {
    Plan {
        count: Some(count),
        ..plan()
    }
}

#[test]
fn an_overtaken_put_ends_with_the_later_one_though_one_before_had_more_copies() {
    let mut bench = Bench::new();
    bench.start(1, put_with("all", w(3)));
    let all = bench.sent();
    answer_all(&mut bench, &all, &Response::Joined);
    bench.written().unwrap();

    for _ in 0..5 {
        bench.start(2, put("a", None));
        let first = bench.sent();
        bench.start(3, put("b", None));
        let second = bench.sent();
        answer_all(&mut bench, &first, &superseded(300));
        assert!(bench.done().is_none());
        answer_all(&mut bench, &second, &Response::Joined);
        bench.written().unwrap();
        bench.pass(10);
        bench.written().unwrap();
    }
}

#[test]
fn a_superseded_sloppy_put_needs_a_later_one_on_as_many_nodes() {
    let sloppy = Plan {
        sloppy: true,
        ..w(2)
    };
    let thin = Plan {
        consistency: Consistency::One,
        ..w(1)
    };
    for (later, joining, is_enough) in [(thin, 1, false), (thin, 2, true), (sloppy, 2, true)] {
        let mut bench = Bench::new();
        bench.start(1, put_with("a", sloppy));
        let first = bench.sent();
        bench.start(2, put_with("b", later));
        let second = bench.sent();
        answer_all(&mut bench, &second[..joining], &Response::Joined);
        bench.written().unwrap();
        answer_all(&mut bench, &second[joining..], &superseded(300));
        answer_all(&mut bench, &first, &superseded(300));
        assert_eq!(bench.written().is_ok(), is_enough);
    }
}

#[test]
fn an_overwritten_put_does_not_lend_its_copies_to_the_one_that_overwrote_it() {
    let mut bench = Bench::new();
    bench.start(1, put_with("needs all", w(3)));
    let oldest = bench.sent();
    bench.start(2, put("a", None));
    let first = bench.sent();
    bench.start(3, put("b", None));
    let second = bench.sent();
    answer_all(&mut bench, &second[..2], &Response::Joined);
    bench.written().unwrap();
    answer_all(&mut bench, &first, &superseded(300));
    assert_eq!(bench.written().unwrap().acked, 3, "these have either");
    answer_all(&mut bench, &oldest, &superseded(300));
    bench.pass(10);
    assert!(bench.done().is_none(), "the third owner may answer yet");
    bench.answer(&second[2], superseded(300));
    bench.pass(10);
    assert_eq!(bench.written().unwrap_err().stored(), Stored::No);
}

#[test]
fn a_superseded_put_waits_for_more_owners_of_a_later_one_that_has_returned() {
    let above = Time::at(Millis(WALL.0 + 300));
    let named = Response::Superseded { named: true, above };
    for answer in [Response::Joined, named] {
        let mut bench = Bench::new();
        bench.start(1, put("a", None));
        let first = bench.sent();
        let thin = Plan {
            consistency: Consistency::One,
            ..w(1)
        };
        bench.start(2, put_with("b", thin));
        let second = bench.sent();
        bench.answer(&second[0], Response::Joined);
        bench.written().unwrap();
        answer_all(&mut bench, &first, &superseded(300));
        bench.pass(10);
        assert!(bench.done().is_none(), "one owner is not enough for it");
        bench.answer(&second[1], answer);
        bench.pass(10);
        assert!(bench.written().is_ok());
    }
}

#[test]
fn a_superseded_blind_put_does_not_wait_for_a_causal_one() {
    let mut bench = Bench::new();
    bench.start(1, put("a", None));
    let first = bench.sent();
    bench.start(2, put("b", Some(Context::default())));
    bench.sent();
    answer_all(&mut bench, &first, &superseded(300));
    assert_eq!(bench.written().unwrap_err().stored(), Stored::No);
    assert!(bench.sent().is_empty());
}

#[test]
fn superseded_blind_puts_do_not_wait_for_each_other() {
    let mut bench = Bench::new();
    bench.start(1, put("a", None));
    let first = bench.sent();
    bench.start(2, put("b", None));
    let second = bench.sent();
    bench.start(3, delete());
    let third = bench.sent();
    answer_all(&mut bench, &first, &superseded(300));
    answer_all(&mut bench, &second, &superseded(300));
    assert!(bench.done().is_none());

    // Nobody waits for the third, so it is not minted again.
    bench.abandon(3);
    answer_all(&mut bench, &third, &superseded(300));
    assert!(bench.coordinator.poll_answer().is_some(), "of the third");
    bench.pass(10);
    for _ in 0..2 {
        assert_eq!(bench.written().unwrap_err().stored(), Stored::No);
    }
    assert!(bench.sent().is_empty() && bench.coordinator.is_idle());
}

#[test]
fn a_superseded_blind_put_waits_for_the_retry_of_a_later_one() {
    let mut bench = Bench::new();
    bench.start(1, put("a", None));
    let first = bench.sent();
    bench.start(2, put("b", None));
    let second = bench.sent();
    bench.answer(&second[0], Response::Joined);
    answer_all(
        &mut bench,
        &second[1..],
        &Response::Refused(Refusal::Draining),
    );
    let error = bench.written().unwrap_err();
    bench.start(3, Call::Retry(error));
    let again = bench.sent();
    answer_all(&mut bench, &first, &superseded(300));
    bench.pass(10);
    assert!(bench.done().is_none());
    answer_all(&mut bench, &again, &Response::Joined);
    bench.written().unwrap();
    bench.pass(10);
    bench.written().unwrap();
}

#[test]
fn a_late_owner_may_still_acknowledge_a_superseded_put() {
    let mut bench = Bench::new();
    bench.start(1, put("a", None));
    let first = bench.sent();
    bench.start(2, put("b", None));
    let second = bench.sent();
    bench.answer(&first[0], Response::Joined);
    bench.answer(&first[1], superseded(300));
    answer_all(&mut bench, &second, &Response::Refused(Refusal::Draining));
    bench.written().unwrap_err();
    bench.pass(10);
    assert!(bench.done().is_none());
    bench.answer(&first[2], Response::Joined);
    bench.written().unwrap();
}

#[test]
fn a_retry_is_hashed_by_the_client_that_sends_it() {
    let mut bench = Bench::new();
    bench.start(1, put("a", None));
    bench.sent();
    bench.pass(5_100);
    let error = bench.written().unwrap_err();

    // It has drawn the same actor, and nothing else of the same.
    let mut other = Bench::new();
    other.random = 99;
    other.pass(1_000);
    other.start(1, put("b", None));
    for to in &other.sent() {
        other.answer(to, Response::Joined);
    }
    other.written().unwrap();
    other.start(2, Call::Retry(error));
    for to in &other.sent() {
        other.answer(to, superseded(300));
    }
    assert!(other.written().is_ok(), "the later one has overwritten it");
}
