//! Reads: which nodes they ask, what they repair, when their permit is free.

use super::*;
use crate::consistency::ReadRepair;

/// A read that repairs in its own way.
fn get_with(consistency: Consistency, repair: ReadRepair) -> Call {
    Call::Read {
        key: "k".into(),
        plan: Plan {
            consistency,
            repair: Some(repair),
            ..plan()
        },
    }
}

/// A record of so many bytes and some.
fn large(bytes: usize) -> Bytes {
    let dot = quoit_ring::Dot {
        time: Time::at(WALL),
        actor: quoit_ring::Actor(3),
    };
    let mut encoded = bytes::BytesMut::new();
    let record = Delta::blind(dot, Some((vec![7; bytes].into(), None))).into_record();
    quoit_ring::wire::encode_record(&record, &mut encoded);
    encoded.freeze()
}

impl Bench {
    /// A read of which the first to be asked holds `record` and the others nothing; gives back what is sent then.
    fn read_stale(&mut self, operation: Call, record: &Bytes) -> Vec<(NodeId, RequestFrame)> {
        self.start(9, operation);
        for (index, asked) in self.sent().iter().enumerate() {
            let record = Response::Record(record.clone());
            let answer = if index == 0 { record } else { Response::Absent };
            self.answer(asked, answer);
        }
        self.sent()
    }
}

#[test]
fn a_get_asks_r_nodes_and_the_next_one_only_when_they_are_slow() {
    let mut bench = Bench::new();
    bench.start(1, get());
    assert_eq!(bench.sent().len(), 2);
    bench.pass(50);
    assert!(bench.sent().is_empty());
    bench.pass(60);
    assert_eq!(bench.sent().len(), 1);
}

#[test]
fn a_stale_replica_is_repaired_before_the_get_returns() {
    let mut bench = Bench::new();
    bench.start(1, put("v", None));
    let record = record_bytes(&bench.sent()[0].1);
    bench.start(2, get());
    let asked = bench.sent();
    bench.answer(&asked[0], Response::Record(record.clone()));
    bench.answer(&asked[1], Response::Absent);
    assert!(bench.done().is_none());
    let repairs = bench.sent();
    assert_eq!(record_in(&repairs[0].1), decode_record(&record).unwrap());
    bench.answer(&repairs[0], Response::Joined);
    assert_eq!(bench.read().unwrap().live().len(), 1);
}

#[test]
fn a_permit_is_free_once_nothing_is_left_of_an_operation() {
    let mut bench = Bench::new();
    let plan = Plan {
        consistency: Consistency::One,
        ..plan()
    };
    bench.start(
        1,
        Call::Read {
            key: "k".into(),
            plan,
        },
    );
    let asked = bench.sent();
    bench.answer(&asked[0], Response::Absent);
    assert!(bench.read().is_ok(), "one answer is enough");
    assert_eq!(bench.occupied(), 1, "two replicas are still to be compared");
    bench.pass(900);
    assert_eq!(bench.occupied(), 1);
    bench.pass(200);
    assert_eq!(bench.occupied(), 0, "repair in the background has a second");
    assert!(bench.coordinator.is_idle());
}

#[test]
fn a_repair_that_was_not_queued_fails_alone() {
    let mut bench = Bench::new();
    bench.start(1, put("v", None));
    let record = record_bytes(&bench.sent()[0].1);
    bench.start(2, get());
    let asked = bench.sent();
    bench.answer(&asked[0], Response::Record(record));
    bench.answer(&asked[1], Response::Absent);
    for (node, repair) in bench.sent() {
        let now = bench.now();
        bench.coordinator.handle_unsent(node, repair.id, now);
    }
    let error = bench.read().unwrap_err();
    assert!(
        matches!(
            error,
            ReadError::Unstable {
                held: 1,
                needed: 2,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(bench.occupied(), 1, "the put goes on");
}

#[test]
fn a_quorum_read_told_to_answers_before_it_repairs() {
    let mut bench = Bench::new();
    let get = get_with(Consistency::Quorum, ReadRepair::Background);
    let repairs = bench.read_stale(get, &large(10));
    assert_eq!(bench.read().unwrap().live().len(), 1, "nothing was awaited");
    assert_eq!(repairs.len(), 1, "to the one that was asked and is stale");
    assert_eq!(record_in(&repairs[0].1).live().len(), 1);
    assert!(bench.coordinator.is_idle());
}

#[test]
fn a_read_told_to_repair_nothing_asks_r_replicas_and_sends_no_record() {
    for (consistency, asked) in [(Consistency::One, 1), (Consistency::Quorum, 2)] {
        let mut bench = Bench::new();
        bench.start(1, get_with(consistency, ReadRepair::Off));
        assert_eq!(bench.sent().len(), asked);
        let repairs = bench.read_stale(get_with(consistency, ReadRepair::Off), &large(10));
        assert!(repairs.is_empty() && bench.read().is_ok());
    }
}

#[test]
fn repair_in_the_background_has_a_budget_of_bytes_and_tells_what_it_refused() {
    let mut bench = Bench::with(Settings {
        repair_bytes_per_second: 1 << 10,
        ..Settings::default()
    });
    let get = || get_with(Consistency::Quorum, ReadRepair::Background);
    let record = large(1 << 10);
    assert_eq!(bench.read_stale(get(), &record).len(), 1);
    assert_eq!(bench.read_stale(get(), &record).len(), 0);
    let report = bench.coordinator.context.health_report();
    assert_eq!((report.repairs, report.repairs_refused), (1, 1));
    bench.pass(2_000);
    assert_eq!(bench.read_stale(get(), &record).len(), 1);
    assert!((0..3).all(|_| bench.read().is_ok()), "each was answered");
    assert!(
        bench.coordinator.is_idle(),
        "nothing waits for a refused repair"
    );
}

#[test]
fn a_write_back_that_an_answer_waits_for_is_charged_and_never_refused() {
    let mut bench = Bench::with(Settings {
        repair_bytes_per_second: 1 << 10,
        ..Settings::default()
    });
    let record = large(1 << 10);
    let before_answer = || get_with(Consistency::Quorum, ReadRepair::BeforeAnswer);
    for _ in 0..5 {
        let repairs = bench.read_stale(before_answer(), &record);
        assert_eq!(repairs.len(), 2);
        bench.answer(&repairs[0], Response::Joined);
        assert!(bench.read().is_ok());
    }
    let background = get_with(Consistency::Quorum, ReadRepair::Background);
    assert_eq!(bench.read_stale(background, &record).len(), 0);
    assert_eq!(bench.coordinator.context.health_report().repairs_refused, 1);
}

#[test]
fn a_read_takes_another_owner_for_one_that_has_lost_writes_and_says_why_if_there_is_none() {
    let mut bench = Bench::new();
    bench.start(1, get());
    let asked = bench.sent();
    assert_eq!(asked.len(), 2);
    bench.answer(&asked[0], Response::Refused(Refusal::Incomplete));
    let next = bench.sent();
    assert_eq!(next.len(), 1, "at once");
    bench.answer(&asked[1], Response::Absent);
    assert!(bench.done().is_none(), "what it does not hold says nothing");
    bench.answer(&next[0], Response::Absent);
    assert!(bench.read().unwrap().live().is_empty());

    bench.start(2, get());
    let mut asked = bench.sent();
    bench.answer(&asked.remove(0), Response::Refused(Refusal::Incomplete));
    asked.extend(bench.sent());
    bench.answer(&asked.remove(0), Response::Refused(Refusal::Incomplete));
    for to in &asked {
        bench.answer(to, Response::Absent);
    }
    let error = bench.read().unwrap_err().to_string();
    assert!(error.contains("incomplete"), "{error}");
    // It is no reason to ask it last: it takes writes.
    let health = bench.coordinator.context.health_report();
    assert!(health.nodes.iter().all(|node| !node.ejected));
}
