//! What `explain` reports of a read.

use std::time::Duration;

use quoit_ring::wire::{Refusal, Request, encode_record};
use quoit_ring::{Actor, Delta, Dot};

use super::*;
use crate::consistency::{Consistency, ReadRepair};
use crate::explain::Explained;
use crate::metrics::RequestKind;

fn record() -> Response {
    let dot = Dot {
        time: Time::at(Millis(1_600_000_000_000)),
        actor: Actor(3),
    };
    let mut bytes = BytesMut::new();
    let value = Some(("v".into(), None));
    encode_record(Delta::blind(dot, value).record(), &mut bytes);
    Response::Record(bytes.freeze())
}

/// What was asked for, what came of it, and when, in microseconds.
fn outcomes_of(read: &Explained) -> Vec<(RequestKind, Option<Outcome>, u128, Option<u128>)> {
    let request = |r: &crate::RequestReport| {
        let elapsed = r.elapsed.map(|elapsed| elapsed.as_micros());
        (r.kind, r.outcome.clone(), r.after.as_micros(), elapsed)
    };
    read.requests.iter().map(request).collect()
}

#[test]
fn a_read_tells_whom_it_asked_what_came_of_it_and_what_it_repaired() {
    let mut bench = Bench::new();
    let mut get = Waiting::on(bench.client.get("key").explain());
    bench.take_in();
    let asked = bench.sent();
    bench.log.borrow_mut().micros += 300;
    bench.answer(&asked[0], 1, record());
    bench.log.borrow_mut().micros += 100;
    bench.answer(&asked[1], 1, Response::Absent);
    bench.driver.pump();
    let repairs = bench.sent();
    assert_eq!(
        repairs.len(),
        2,
        "to who has nothing, and who was not asked"
    );
    bench.log.borrow_mut().micros += 2_000;
    bench.answer(&repairs[0], 1, Response::Joined);
    bench.driver.pump();

    let read = get.answer().unwrap();
    assert_eq!(read.result.as_ref().unwrap().value().unwrap(), "v");
    assert_eq!(read.answered_after, Some(Duration::from_micros(2_400)));
    let done = || Some(Outcome::Done);
    assert_eq!(
        outcomes_of(&read),
        [
            (RequestKind::Read, done(), 0, Some(300)),
            (RequestKind::Read, done(), 0, Some(400)),
            (RequestKind::Repair, done(), 400, Some(2_000)),
            (RequestKind::Repair, None, 400, None),
        ]
    );
    assert_eq!(read.requests[2].node, repairs[0].0);
    assert_eq!(read.requests[2].name, format!("n{}", repairs[0].0.0));
}

#[test]
fn a_read_that_fails_tells_why_for_each_request() {
    let mut bench = Bench::new();
    let mut get = Waiting::on(bench.client.get("key").explain());
    bench.driver.link(NodeId(1), Link::Down);
    bench.driver.link(NodeId(2), Link::Down);
    bench.take_in();
    for (to, frame) in bench.sent() {
        assert!(matches!(frame.request, Request::Get { .. }));
        bench.answer(&(to, frame), 1, Response::Refused(Refusal::Draining));
    }
    bench.driver.pump();
    let read = get.answer().unwrap();
    assert!(matches!(read.result, Err(ReadError::Unavailable { .. })));
    let outcomes: Vec<_> = outcomes_of(&read)
        .into_iter()
        .map(|(_, o, ..)| o.unwrap())
        .collect();
    let refused = Outcome::Refused(Refusal::Draining);
    assert_eq!(outcomes.len(), 3);
    assert!(outcomes.contains(&refused) && outcomes.contains(&Outcome::Unreachable));
}

#[test]
fn a_read_that_cannot_be_meant_has_made_no_request() {
    let mut bench = Bench::new();
    let mut get = Waiting::on(bench.client.get("key").r(9).explain());
    bench.take_in();
    let read = get.answer().unwrap();
    assert!(matches!(read.result, Err(ReadError::Invalid(_))));
    assert!(read.requests.is_empty() && read.answered_after.is_none());
}

#[test]
fn a_client_tells_what_its_operations_need() {
    let needs = Bench::new().client.quorum_sizes().unwrap();
    assert_eq!((needs.n, needs.r, needs.hold, needs.w), (3, 2, 2, 2));
    assert_eq!(needs.repair, ReadRepair::BeforeAnswer);
    let one = Client::builder().consistency(Consistency::One).w(3);
    let needs = Bench::with(one).client.quorum_sizes().unwrap();
    assert_eq!((needs.r, needs.hold, needs.w), (1, 0, 3));
    assert_eq!(needs.repair, ReadRepair::Background);
    assert!(
        Bench::with(Client::builder().r(1))
            .client
            .quorum_sizes()
            .is_err()
    );
}
