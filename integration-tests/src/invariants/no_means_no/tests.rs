//! Refused writes that stay unseen, and every way in which they may show.

use bytes::BytesMut;
use quoit_ring::wire::encode_record;
use quoit_ring::{Delta, NodeId};

use super::*;
use crate::history::{Basis, Family};
use crate::invariants::testing::{Hand, assert_fails, assert_holds, over};

const FULL: Outcome = Outcome::Refused("no space");

/// One acknowledged put and a refused one after it, of different clients.
fn refused() -> (Hand, OpId, OpId) {
    let mut hand = Hand::new(Family::Siblings);
    let kept = hand.acked_put(1, 10, over(&[]), "kept");
    let no = hand.put(2, 20, over(&[]), "no");
    hand.end(no, FULL);
    (hand, kept, no)
}

#[test]
fn a_refused_write_that_is_never_seen_passes() {
    let (mut hand, kept, _) = refused();
    hand.read(3, &[kept], &[kept]);
    assert_holds(&INVARIANT, &hand.finish());
}

#[test]
fn a_refused_value_in_a_read_is_found_whatever_the_dot() {
    let (mut hand, kept, no) = refused();
    let read = hand.read(3, &[kept, no], &[kept, no]);
    let mut history = hand.finish();
    let violation = assert_fails(&INVARIANT, &history, "found its value");
    assert_eq!(violation.ops, [no, read]);
    assert!(violation.to_string().contains("(no space)"), "{violation}");
    history.minted.retain(|m| m.op != no);
    assert_fails(&INVARIANT, &history, "found its value");
}

#[test]
fn a_refused_delete_that_a_context_names_is_found() {
    let mut hand = Hand::new(Family::Deleted);
    let put = hand.acked_put(1, 10, Basis::Blind, "v");
    let no = hand.delete(2, 20, over(&[put]));
    hand.end(no, FULL);
    let read = hand.read(3, &[], &[put, no]);
    let violation = assert_fails(&INVARIANT, &hand.finish(), "names its dot");
    assert_eq!(violation.ops, [no, read]);
}

#[test]
fn every_dot_of_a_write_that_was_minted_anew_counts() {
    let mut hand = Hand::new(Family::Siblings);
    let no = hand.put(1, 10, over(&[]), "no");
    let first = hand.seen(&[no]);
    hand.mint_anew(no, 20);
    hand.end(no, FULL);
    let read = hand.get(2);
    hand.found_in(read, &[], first);
    assert_fails(&INVARIANT, &hand.finish(), "names its dot");
}

#[test]
fn a_floor_is_no_evidence_of_a_refused_write() {
    let (mut hand, ..) = refused();
    let read = hand.get(3);
    hand.found_in(read, &[], Seen::up_to(Time(100)));
    assert_holds(&INVARIANT, &hand.finish());
}

#[test]
fn a_write_of_unknown_outcome_may_show() {
    let mut hand = Hand::new(Family::Siblings);
    let maybe = hand.put(1, 10, over(&[]), "maybe");
    hand.end(maybe, Outcome::Unknown("no answer"));
    hand.read(2, &[maybe], &[maybe]);
    assert_holds(&INVARIANT, &hand.finish());
}

#[test]
fn a_clone_may_claim_what_the_other_was_refused() {
    let (mut hand, kept, no) = refused();
    let other = hand.put(5, 40, over(&[]), "clone");
    let dot = hand.recorder.history().minted[1].dot;
    let later = Dot {
        time: Time(30),
        ..dot
    };
    hand.recorder.mint(other, later, quoit_ring::Moment(60)); // the same actor elsewhere
    hand.read(3, &[kept], &[kept, no]);
    let mut history = hand.finish();
    assert_holds(&INVARIANT, &history);
    history.minted.retain(|m| m.dot != later);
    assert_fails(&INVARIANT, &history, "names its dot");
}

#[test]
fn of_two_writes_at_once_the_value_tells_which_was_refused() {
    let mut hand = Hand::new(Family::Siblings);
    let no = hand.put(1, 10, over(&[]), "no");
    let yes = hand.put(1, 20, over(&[]), "yes");
    hand.end(no, FULL);
    hand.ack(yes);
    let read = hand.get(2);
    let both = hand.seen(&[no, yes]);
    hand.found_in(read, &[yes], both);
    let mut history = hand.finish();
    assert_holds(&INVARIANT, &history);
    let Some((_, Outcome::Read { siblings, .. })) = &mut history.ops[2].returned else {
        panic!("it is the read");
    };
    siblings[0].value = "no".into();
    assert_fails(&INVARIANT, &history, "found its value");
}

#[test]
fn a_refused_value_on_a_disk_in_the_end_is_found() {
    let (hand, _, no) = refused();
    let mut history = hand.finish();
    let bytes = |value: &'static str| {
        let mut out = BytesMut::new();
        let dot = history.minted[1].dot;
        let delta = Delta::blind(dot, Some((value.into(), None)));
        encode_record(delta.record(), &mut out);
        Some(out.freeze())
    };
    let end = |third| Final {
        key: KeyId(0),
        replicas: vec![
            (NodeId(1), bytes("kept")),
            (NodeId(2), None),
            (NodeId(3), third),
        ],
        floor: Time::ZERO,
        read: no,
    };
    let (good, bad) = (end(bytes("kept")), end(bytes("no")));
    history.finals = vec![good];
    assert_holds(&INVARIANT, &history);
    history.finals = vec![bad];
    assert_fails(&INVARIANT, &history, "node 3 holds its value in the end");
}
