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
    bench.pass(5_100);
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
