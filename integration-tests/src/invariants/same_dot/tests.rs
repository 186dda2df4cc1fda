//! Twins that are both kept, and every way in which one may get lost.

use quoit_ring::NodeId;

use super::*;
use crate::history::{Basis, NodeFinal};
use crate::invariants::testing::{Hand, assert_fails, assert_holds, over};

/// Client 1 and its clone put under one dot.
fn twins() -> (Hand, [OpId; 2]) {
    let mut hand = Hand::new(Family::Twins);
    let one = hand.put(1, 10, Basis::Blind, "one");
    let dot = hand.recorder.history().minted[0].dot;
    let two = hand.put(2, 10, Basis::Blind, "two");
    hand.recorder.history_mut().minted[1].dot = dot;
    (hand, [one, two])
}

fn acked_twins() -> (Hand, [OpId; 2]) {
    let (mut hand, ops) = twins();
    for op in ops {
        hand.ack(op);
    }
    (hand, ops)
}

fn finish(hand: Hand, collisions: [u64; 2]) -> History {
    let mut history = hand.finish();
    let node = |(id, collisions)| NodeFinal {
        node: NodeId(id),
        differences: Vec::new(),
        collisions,
    };
    history.nodes = (1..).zip(collisions).map(node).collect();
    history
}

#[test]
fn twins_that_are_both_read_and_counted_are_as_they_should_be() {
    let (mut hand, ops) = acked_twins();
    hand.read(3, &ops, &ops);
    hand.last_read(&ops, &ops);
    assert_holds(&INVARIANT, &finish(hand, [0, 1]));
}

#[test]
fn a_quorum_read_without_one_of_two_acknowledged_variants_is_found() {
    let (mut hand, ops) = acked_twins();
    let read = hand.read(3, &ops[..1], &ops);
    let violation = assert_fails(&INVARIANT, &finish(hand, [1, 0]), "found [\"one\"]");
    assert_eq!(violation.ops, [ops[1], read]);
}

#[test]
fn a_read_at_the_end_without_either_is_found() {
    let (mut hand, ops) = acked_twins();
    hand.mode = Mode::One;
    hand.last_read(&[], &ops);
    assert_fails(&INVARIANT, &finish(hand, [1, 0]), "found []");
}

#[test]
fn a_variant_of_unknown_outcome_or_that_is_not_yet_acknowledged_may_lack() {
    let (mut hand, [one, two]) = twins();
    hand.ack(one);
    hand.read(3, &[one], &[one]);
    hand.end(two, Outcome::Unknown("no answer"));
    hand.last_read(&[one], &[one]);
    assert_holds(&INVARIANT, &finish(hand, [0, 0]));
}

#[test]
fn what_one_replica_acknowledged_is_due_at_the_end_only() {
    let (mut hand, [one, two]) = acked_twins();
    hand.recorder.history_mut().ops[1].mode = Mode::One;
    hand.read(3, &[one], &[one]);
    hand.last_read(&[one, two], &[one, two]);
    assert_holds(&INVARIANT, &finish(hand, [0, 0]));
    let (mut hand, [one, _]) = acked_twins();
    hand.recorder.history_mut().ops[1].mode = Mode::One;
    hand.last_read(&[one], &[one]);
    assert_fails(&INVARIANT, &finish(hand, [1, 0]), "but not \"two\"");
}

#[test]
fn a_read_of_one_replica_promises_nothing() {
    let (mut hand, ops) = acked_twins();
    hand.mode = Mode::One;
    hand.read(3, &[], &[]);
    hand.last_read(&ops, &ops);
    assert_holds(&INVARIANT, &finish(hand, [1, 0]));
}

#[test]
fn twins_are_judged_until_they_may_have_been_overwritten() {
    let (mut hand, ops) = acked_twins();
    let over = hand.put(4, 20, Basis::Blind, "over");
    hand.read(3, &[over], &[over]);
    hand.ack(over);
    hand.last_read(&[over], &[over]);
    assert_holds(&INVARIANT, &finish(hand, [0, 1]));

    let (mut hand, ops_again) = acked_twins();
    assert_eq!(ops, ops_again);
    hand.read(3, &[], &ops);
    hand.acked_put(4, 20, Basis::Blind, "over");
    assert_fails(&INVARIANT, &finish(hand, [0, 1]), "found []");
}

#[test]
fn twins_beside_which_others_were_put_are_judged_to_the_end() {
    let (mut hand, ops) = acked_twins();
    let beside = hand.acked_put(4, 20, over(&[]), "beside");
    let seen = [ops[0], ops[1], beside];
    hand.last_read(&[ops[0], beside], &seen);
    assert_fails(&INVARIANT, &finish(hand, [0, 1]), "but not \"two\"");
}

#[test]
fn a_delete_under_the_same_dot_kills_its_twin() {
    let (mut hand, ops) = acked_twins();
    let delete = hand.delete(3, 10, over(&[]));
    let dot = hand.recorder.history().minted[0].dot;
    hand.recorder.history_mut().minted[2].dot = dot;
    hand.ack(delete);
    hand.last_read(&[], &ops);
    assert_holds(&INVARIANT, &finish(hand, [0, 0]));
}

#[test]
fn an_older_write_takes_nothing_from_the_rule() {
    let mut hand = Hand::new(Family::Twins);
    hand.acked_put(7, 5, Basis::Blind, "older");
    let (one, two) = (
        hand.put(1, 10, Basis::Blind, "one"),
        hand.put(2, 10, Basis::Blind, "two"),
    );
    let minted = &mut hand.recorder.history_mut().minted;
    minted[2].dot = minted[1].dot;
    hand.ack(one);
    hand.ack(two);
    hand.last_read(&[one], &[one, two]);
    assert_fails(&INVARIANT, &finish(hand, [1, 0]), "but not \"two\"");
}

#[test]
fn a_dot_of_which_no_node_noticed_the_second_variant_is_found() {
    let (mut hand, ops) = acked_twins();
    hand.last_read(&ops, &ops);
    let violation = assert_fails(
        &INVARIANT,
        &finish(hand, [0, 0]),
        "all nodes together counted 0",
    );
    assert_eq!(violation.ops, ops);
}

/// Twins that were sent a minute after another client read, and that no node counted.
fn read_long_before(mode: Mode) -> History {
    let (mut hand, ops) = twins();
    hand.mode = mode;
    let read = hand.read(3, &[], &[]);
    hand.mode = Mode::Quorum;
    for op in ops {
        hand.ack(op);
    }

    hand.last_read(&ops, &ops);
    let mut history = finish(hand, [0, 0]);
    let minute = |at: &mut Moment| *at = at.after(60_000_000);
    history.minted.iter_mut().for_each(|m| minute(&mut m.at));
    let later = (0_u32..).zip(&mut history.ops);
    for (_, op) in later.filter(|(id, _)| *id != read.0) {
        minute(&mut op.invoked);
        op.returned.as_mut().map(|(at, _)| minute(at)).unwrap();
    }

    history
}

#[test]
fn a_read_that_had_not_met_a_variant_cannot_have_been_quicker() {
    for mode in [Mode::One, Mode::Quorum] {
        let mut history = read_long_before(mode);
        assert_fails(&INVARIANT, &history, "counted 0 collisions");
        let end = history.ops[0].invoked;
        let read = &mut history.ops[2].returned;
        read.as_mut().unwrap().0 = end;
        match mode {
            Mode::One => assert_holds(&INVARIANT, &history),
            Mode::Quorum => {
                assert_fails(&INVARIANT, &history, "counted 0 collisions");
            }
        }
        history.ops[2].returned = Some((end, Outcome::ReadFailed("not read")));
        assert_holds(&INVARIANT, &history);
        history.ops[2].returned = None;
        assert_holds(&INVARIANT, &history);
    }
}

#[test]
fn a_read_in_between_may_have_been_quicker_than_the_second_put() {
    let (mut hand, [one, two]) = twins();
    hand.ack(one);
    hand.read(3, &[one], &[one]);
    hand.ack(two);
    hand.last_read(&[one, two], &[one, two]);
    assert_holds(&INVARIANT, &finish(hand, [0, 0]));
}
