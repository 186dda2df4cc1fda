//! Many operations at once: results in order, a bound on what is under way, one wake-up.

use std::time::Duration;

use super::*;
use crate::builders::Put;
use crate::error::InvalidRequest;
use crate::many::WriteOne;

impl Bench {
    /// Lets all nodes that were asked join what they were sent; how many frames there were.
    fn join_all(&mut self) -> usize {
        self.take_in();
        let sent = self.sent();
        for request in &sent {
            self.answer(request, 1, Response::Joined);
        }
        self.driver.pump();
        sent.len()
    }
}

fn keys_of(sent: &[(NodeId, RequestFrame)], node: u64) -> Vec<Bytes> {
    let of = sent.iter().filter(|(to, _)| to.0 == node);
    of.map(|(_, frame)| match &frame.request {
        Request::Put { key, .. } | Request::Get { key, .. } => key.clone(),
        other => panic!("{other:?}"),
    })
    .collect()
}

fn puts(client: &Client, keys: &[&'static str]) -> Vec<Put> {
    keys.iter().map(|key| client.put(*key, "value")).collect()
}

#[test]
fn many_writes_leave_in_their_order_and_have_a_result_each_in_it() {
    let mut bench = Bench::new();
    let mut many = Waiting::on(bench.client.put_many([("a", "1"), ("b", "2"), ("a", "3")]));
    bench.take_in();
    let sent = bench.sent();
    assert_eq!(keys_of(&sent, 1), ["a", "b", "a"]);

    // The second one is joined by nobody.
    for request in &sent {
        let is_b = matches!(&request.1.request, Request::Put { key, .. } if key == "b");
        let refused = Response::Refused(quoit_ring::wire::Refusal::Forbidden);
        let response = if is_b { refused } else { Response::Joined };
        bench.answer(request, 1, response);
    }
    bench.driver.pump();
    let results = many.answer().unwrap();
    let [first, second, third] = &results[..] else {
        panic!("{results:?}");
    };
    assert!(first.as_ref().unwrap().dot < third.as_ref().unwrap().dot);
    assert!(matches!(second, Err(WriteError::NotStored { .. })));
}

#[test]
fn one_bad_key_of_many_fails_alone_and_nothing_is_sent_for_it() {
    let mut bench = Bench::new();
    let pairs = [("a", "1"), ("", "2"), ("c", "3")];
    let mut many = Waiting::on(bench.client.put_many(pairs));
    assert_eq!(bench.join_all(), 6);
    let results = many.answer().unwrap();
    assert!(results[0].is_ok() && results[2].is_ok());
    let empty = WriteError::Invalid(InvalidRequest::EmptyKey);
    assert_eq!(results[1], Err(empty));

    let large = vec![0; 2 << 20];
    let mut many = Waiting::on(
        bench
            .client
            .put_many([("a", large), ("b", vec![1])])
            .w(4)
            .deadline(Duration::from_secs(1)),
    );
    bench.take_in();
    assert!(bench.sent().is_empty(), "W is out of range for both");
    let results = many.answer().unwrap();
    let invalid = |result: &Result<_, WriteError>| match result {
        Err(WriteError::Invalid(invalid)) => invalid.clone(),
        other => panic!("{other:?}"),
    };
    assert!(matches!(
        invalid(&results[0]),
        InvalidRequest::LargeValue { .. }
    ));
    assert!(matches!(
        invalid(&results[1]),
        InvalidRequest::OutOfRange { .. }
    ));
}

#[test]
fn half_of_the_permits_are_left_to_others_and_the_rest_follows() {
    let mut bench = Bench::with(Client::builder().max_in_flight(8));
    let keys: Vec<_> = (0..20).map(|n| format!("key {n}")).collect();
    let mut many = Waiting::on(bench.client.delete_many(keys));
    bench.take_in();
    assert_eq!(bench.sent().len(), 3 * 4);
    let mut single = Waiting::on(bench.client.put("single", "value"));
    assert_eq!(bench.join_all(), 3, "a single write does not wait for them");
    assert!(single.answer().unwrap().is_ok());

    // Nothing more is sent before the first four have ended: at their deadline, since nobody answers them.
    assert!(many.answer().is_none());
    while let Some(tick) = bench.driver.next_tick() {
        bench.log.borrow_mut().micros = tick.0;
        bench.driver.tick();
    }
    bench.driver.pump();
    let mut rounds = 0;
    let results = loop {
        if let Some(results) = many.answer() {
            break results;
        }
        assert!((1..=12).contains(&bench.join_all()));
        rounds += 1;
        assert!(rounds <= 16, "it goes on");
    };
    assert_eq!(results.len(), 20);
    assert!(results[..4].iter().all(Result::is_err) && results[4..].iter().all(Result::is_ok));
}

#[test]
fn many_reads_wake_their_caller_once_for_a_batch_of_answers() {
    let (mut bench, count) = (Bench::new(), Arc::new(Count::default()));
    let waker = Waker::from(Arc::clone(&count));
    let mut cx = Context::from_waker(&waker);
    let keys: Vec<_> = (0..40).map(|n| format!("key {n}")).collect();
    let mut many = bench.client.get_many(keys.clone()).r(2).into_future();
    assert!(many.as_mut().poll(&mut cx).is_pending());
    bench.take_in();
    for request in bench.sent() {
        bench.answer(&request, 1, Response::Absent);
    }
    bench.driver.pump();
    assert_eq!(count.0.load(Ordering::Relaxed), 1);
    let Poll::Ready(entries) = many.as_mut().poll(&mut cx) else {
        panic!("all have answered");
    };
    assert_eq!(entries.len(), keys.len());
    assert!(entries.iter().all(|it| it.as_ref().unwrap().is_absent()));
}

#[test]
fn what_was_not_sent_before_the_client_closed_is_closed_and_the_rest_abandoned() {
    let mut bench = Bench::with(Client::builder().max_in_flight(8));
    let keys = ["a", "b", "c", "d", "e", "f"];
    let mut many = Waiting::on(bench.client.write_many(puts(&bench.client, &keys)));
    bench.take_in();
    drop(bench.driver);
    let results = many.answer().unwrap();
    let errors: Vec<_> = results.into_iter().map(Result::unwrap_err).collect();
    assert_eq!(errors[..4], vec![WriteError::Abandoned; 4]);
    assert_eq!(errors[4..], vec![WriteError::Closed; 2]);

    let late = Waiting::on_closed(bench.client.get_many(keys));
    assert_eq!(late, vec![Err(ReadError::Closed); 6]);
}

#[test]
fn nothing_of_nothing_is_nothing_at_once() {
    let bench = Bench::new();
    let none: [&str; 0] = [];
    assert!(Waiting::on_closed(bench.client.get_many(none)).is_empty());
    let none: [WriteOne; 0] = [];
    assert!(Waiting::on_closed(bench.client.write_many(none)).is_empty());
    assert!(!bench.driver.has_submissions());
}

#[test]
fn writes_with_settings_of_their_own_go_together() {
    let mut bench = Bench::new();
    let client = bench.client.clone();
    let context = crate::entry::Context::default();
    let linearizable = crate::consistency::Consistency::Linearizable;
    let mut many = Waiting::on(
        client.write_many([
            WriteOne::from(client.put("a", "1").w(3)),
            client.delete("b").into(),
            client.put("c", "2").consistency(linearizable).into(),
            (client
                .put("d", "3")
                .context(&context)
                .consistency(linearizable))
            .into(),
        ]),
    );
    bench.take_in();
    let sent = bench.sent();
    let is_register = |it: &&(NodeId, RequestFrame)| matches!(it.1.request, Request::Register(_));
    assert_eq!(sent.iter().filter(is_register).count(), 3, "a prepare");
    for request in sent.iter().filter(|it| it.0.0 < 3) {
        bench.answer(request, 1, Response::Joined);
    }
    bench.driver.pump();
    assert!(
        many.answer().is_none(),
        "the first one awaits its third node"
    );
    for request in sent.iter().filter(|it| it.0.0 == 3) {
        bench.answer(request, 1, Response::Joined);
    }
    while let Some(tick) = bench.driver.next_tick() {
        bench.log.borrow_mut().micros = tick.0;
        bench.driver.tick();
    }
    bench.driver.pump();
    let results = many.answer().unwrap();
    assert_eq!(results[0].as_ref().unwrap().acked, 3);
    assert!(results[1].is_ok());
    assert!(matches!(results[2], Err(WriteError::NotStored { .. })));
    let invalid = WriteError::Invalid(InvalidRequest::ContextOfLinearizable);
    assert_eq!(results[3], Err(invalid));
}

#[test]
fn a_linearizable_write_waits_for_an_earlier_one_of_its_key_and_no_other() {
    let mut bench = Bench::new();
    let linearizable = crate::consistency::Consistency::Linearizable;
    let pairs = [("a", "1"), ("b", "2"), ("a", "3"), ("c", "4")];
    let mut many = Waiting::on(bench.client.put_many(pairs).consistency(linearizable));
    bench.take_in();
    let prepared = |bench: &Bench| {
        let sent = bench.sent();
        let of_one = sent.iter().filter(|(to, _)| to.0 == 1);
        let key = |(_, frame): &(NodeId, RequestFrame)| match &frame.request {
            Request::Register(request) => request.key.clone(),
            other => panic!("{other:?}"),
        };
        of_one.map(key).collect::<Vec<_>>()
    };
    assert_eq!(
        prepared(&bench),
        ["a", "b"],
        "the second of `a` waits, and what follows it"
    );
    while let Some(tick) = bench.driver.next_tick() {
        bench.log.borrow_mut().micros = tick.0;
        bench.driver.tick();
    }
    bench.driver.pump();
    drop(bench.sent());
    assert!(many.answer().is_none());
    bench.take_in();
    assert_eq!(prepared(&bench), ["a", "c"]);
}
