//! Reads: whom they ask, what they repair, when their room is free.

use super::*;

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
    assert!(bench.coordinator.poll_done().is_none());
    let repairs = bench.sent();
    assert_eq!(record_in(&repairs[0].1), decode_record(&record).unwrap());
    bench.answer(&repairs[0], Response::Joined);
    assert_eq!(bench.read().unwrap().live().len(), 1);
}

#[test]
fn room_is_free_once_nothing_is_left_of_an_operation() {
    let mut bench = Bench::new();
    let plan = Plan {
        consistency: Consistency::One,
        ..plan()
    };
    bench.start(
        1,
        Operation::Read {
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
fn a_node_with_a_clock_far_ahead_ends_nobodys_values() {
    let mut bench = Bench::new();
    let ttl = Some(Duration::from_secs(60));
    let change = Change {
        key: "k".into(),
        value: Some("v".into()),
        ttl,
        context: None,
    };
    bench.start(
        1,
        Operation::Write {
            change,
            plan: plan(),
        },
    );
    let record = record_bytes(&bench.sent()[0].1);
    bench.start(2, get());
    for (node, asked) in bench.sent() {
        let response = Response::Record(record.clone());
        let clock = Time::at(Millis(WALL.0 + 3_600_000));
        let frame = ResponseFrame {
            id: asked.id,
            epoch: Epoch(1),
            clock,
            response,
        };
        let now = bench.now();
        bench.coordinator.handle_response(node, frame, now);
    }
    assert_eq!(bench.read().unwrap().live().len(), 1);
}

#[test]
fn a_repair_that_finds_no_room_fails_alone() {
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
