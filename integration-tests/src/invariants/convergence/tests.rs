//! Owners that agree, and every way in which they may not.

use bytes::BytesMut;
use quoit_ring::wire::encode_record;
use quoit_ring::{Actor, Delta, Dot, Time};

use super::*;
use crate::history::{Basis, ClockOff, Family, NodeFinal, OpId, Side};
use crate::invariants::testing::{Hand, assert_fails, assert_holds};

const DOT: Dot = Dot {
    time: Time(10),
    actor: Actor(1),
};

fn record(time: u64, value: &'static str, expiry: Option<Millis>) -> Record {
    let dot = Dot {
        time: Time(time),
        ..DOT
    };
    let value = Some((Bytes::from_static(value.as_bytes()), expiry));
    Delta::blind(dot, value).into_record()
}

fn bytes(record: &Record) -> Option<Bytes> {
    let mut out = BytesMut::new();
    encode_record(record, &mut out);
    Some(out.freeze())
}

/// A read at the end that returned `read`, of owners that hold these.
fn end(read: &Record, owners: Vec<Option<Bytes>>) -> History {
    let mut hand = Hand::new(Family::Register);
    hand.put(1, 10, Basis::Blind, "a");
    let id = hand.get(2);
    let found = |s: &quoit_ring::Sibling| Found {
        dot: s.dot,
        value: s.value.clone().unwrap(),
        expiry: s.expiry,
    };
    let siblings = read.live().iter().map(found).collect();
    let seen = read.seen().clone();
    hand.end(id, Outcome::Read { siblings, seen });
    with_owners(hand.finish(), id, owners)
}

fn with_owners(mut history: History, read: OpId, owners: Vec<Option<Bytes>>) -> History {
    let replicas = (1..).map(NodeId).zip(owners).collect();
    let key = history.op(read).key;
    history.finals.push(Final {
        key,
        replicas,
        floor: Time::ZERO,
        read,
    });
    history
}

#[test]
fn owners_with_the_same_bytes_that_the_read_returned_have_converged() {
    let a = record(10, "a", None);
    assert_holds(&INVARIANT, &end(&a, vec![bytes(&a); 3]));
    assert_holds(&INVARIANT, &end(&Record::default(), vec![None; 3]));
    let deleted = Delta::blind(DOT, None).into_record();
    assert_holds(&INVARIANT, &end(&deleted, vec![bytes(&deleted); 5]));
}

#[test]
fn an_owner_with_another_record_has_not() {
    let (a, b) = (record(10, "a", None), record(10, "b", None));
    let history = end(&a, vec![bytes(&a), bytes(&a), bytes(&b)]);
    let violation = assert_fails(&INVARIANT, &history, "nodes 1 and 3 have not converged");
    assert_eq!(violation.ops, [OpId(1)]);
    let text = violation.to_string();
    assert!(
        text.contains("\"a\" as") && text.contains("\"b\" as"),
        "{text}"
    );
}

#[test]
fn an_owner_without_a_record_differs_from_a_tombstone() {
    let deleted = Delta::blind(DOT, None).into_record();
    let history = end(&deleted, vec![bytes(&deleted), None, bytes(&deleted)]);
    assert_fails(&INVARIANT, &history, "and no record");
}

#[test]
fn bytes_that_are_no_record_are_found() {
    let a = record(10, "a", None);
    let junk = || Some(Bytes::from_static(b"junk"));
    let history = end(&a, vec![bytes(&a), bytes(&a), junk()]);
    assert_fails(&INVARIANT, &history, "node 3 holds a record that is none");
    let history = end(&a, vec![junk(); 3]);
    assert_fails(&INVARIANT, &history, "node 1 holds a record that is none");
}

#[test]
fn a_read_that_is_not_what_is_stored_is_found() {
    let (a, b) = (record(10, "a", None), record(10, "b", None));
    let history = end(&b, vec![bytes(&a); 3]);
    assert_fails(&INVARIANT, &history, "the owners hold [\"a\"");
    let history = end(&Record::default(), vec![bytes(&a); 3]);
    assert_fails(&INVARIANT, &history, "the owners have seen");
    let history = end(&a, vec![None; 3]);
    assert_fails(&INVARIANT, &history, "the owners have seen");
}

#[test]
fn a_read_that_fails_after_healing_is_found() {
    let mut hand = Hand::new(Family::Register);
    let read = hand.get(1);
    hand.end(read, Outcome::ReadFailed("not read"));
    let history = with_owners(hand.finish(), read, vec![None; 3]);
    assert_fails(&INVARIANT, &history, "did not succeed");
}

#[test]
fn a_key_whose_owners_were_not_examined_does_not_pass() {
    let history = end(&Record::default(), vec![]);
    assert_fails(&INVARIANT, &history, "its owners were not examined");
}

#[test]
fn owners_may_differ_in_values_that_have_expired() {
    let expired = record(10, "a", Some(Millis(5_000)));
    let dropped = expired.at(Millis(5_000));
    let owners = || vec![bytes(&expired), bytes(&dropped), bytes(&expired)];
    let mut history = end(&dropped, owners());
    assert_fails(&INVARIANT, &history, "have not converged");
    history.base = Millis(5_000);
    assert_holds(&INVARIANT, &history);
    history.finals[0].replicas.rotate_left(1);
    assert_holds(&INVARIANT, &history);
}

#[test]
fn owners_may_not_differ_in_what_they_have_seen_of_expired_values() {
    let expired = record(10, "a", Some(Millis(5_000)));
    let mut other = expired.clone();
    other.join(
        &Delta::causal(
            Dot {
                actor: Actor(7),
                ..DOT
            },
            Time::ZERO,
            &quoit_ring::Seen::default(),
            None,
        )
        .into_record(),
    );
    let mut history = end(&expired, vec![bytes(&expired), bytes(&other)]);
    history.base = Millis(9_000);
    assert_fails(&INVARIANT, &history, "have not converged");
}

#[test]
fn clocks_that_are_ahead_widen_the_time_in_which_a_value_may_be_dropped() {
    let expired = record(10, "a", Some(Millis(5_000)));
    let dropped = expired.at(Millis(5_000));
    let mut history = end(&dropped, vec![bytes(&expired), bytes(&dropped)]);
    history.base = Millis(4_500);
    assert_fails(&INVARIANT, &history, "have not converged");
    history.clocks_off.push(ClockOff {
        side: Side::Node,
        number: 0,
        from: quoit_ring::Moment(0),
        until: quoit_ring::Moment(1),
        by_ms: 3_600_000,
    });
    // The others follow it by the drift at most, and a reader goes ahead of them by as much again.
    history.base = Millis(4_000);
    assert_holds(&INVARIANT, &history);
    history.base = Millis(3_999);
    assert_fails(&INVARIANT, &history, "have not converged");
}

#[test]
fn a_tree_that_is_not_that_of_its_records_is_found() {
    let mut history = History::default();
    let node = |id, differences: &[&str]| NodeFinal {
        node: NodeId(id),
        differences: differences.iter().map(|&d| d.to_owned()).collect(),
        collisions: 0,
    };
    history.nodes = vec![node(1, &[]), node(2, &[])];
    assert_holds(&INVARIANT, &history);
    history
        .nodes
        .push(node(3, &["leaf 7 sums to 1, not 2", "more"]));
    assert_fails(
        &INVARIANT,
        &history,
        "node 3: its tree is not that of its records, 2 differences, the first: leaf 7",
    );
}
