//! Histories that lose an acknowledged write, and some that look like it.

use super::*;
use crate::history::{Basis, Family};
use crate::invariants::testing::{Hand, assert_fails, assert_holds, over};

fn hand() -> Hand {
    Hand::new(Family::Siblings)
}

#[test]
fn an_acknowledged_write_is_read_or_replaced() {
    let mut hand = hand();
    let early = hand.get(2);
    let a = hand.acked_put(1, 10, over(&[]), "a");
    hand.found(early, &[], &[]); // began before the acknowledgement
    hand.read(2, &[a], &[a]);
    let b = hand.acked_put(2, 20, over(&[a]), "b");
    hand.read(3, &[b], &[a, b]);
    hand.last_read(&[b], &[a, b]);
    assert_holds(&INVARIANT, &hand.finish());
}

#[test]
fn an_acknowledged_write_that_a_later_read_has_not_seen_is_lost() {
    let mut hand = hand();
    let a = hand.acked_put(1, 10, over(&[]), "a");
    let read = hand.read(2, &[], &[]);
    let what =
        "had not seen put #0 by c1.0 as 0000000000000001@0.10 (acknowledged at 0.000020, by 2";
    let violation = assert_fails(&INVARIANT, &hand.finish(), what);
    assert_eq!(violation.ops, [a, read]);
}

#[test]
fn an_acknowledged_delete_that_a_later_read_has_not_seen_is_lost() {
    let mut hand = hand();
    let a = hand.acked_put(1, 10, over(&[]), "a");
    hand.acked_delete(1, 20, Basis::Blind);
    hand.read(2, &[a], &[a]);
    assert_fails(&INVARIANT, &hand.finish(), "had not seen delete #1");
}

#[test]
fn a_value_that_was_seen_and_replaced_by_nothing_is_lost() {
    let mut hand = hand();
    let a = hand.acked_put(1, 10, over(&[]), "a");
    hand.read(2, &[], &[a]);
    let what = "returned neither the value of put #0";
    assert_fails(&INVARIANT, &hand.finish(), what);
}

#[test]
fn an_unknown_write_may_be_lost() {
    let mut hand = hand();
    let a = hand.put(1, 10, over(&[]), "a");
    hand.end(a, Outcome::Unknown("deadline"));
    hand.last_read(&[], &[]);
    assert_holds(&INVARIANT, &hand.finish());
}

#[test]
fn a_write_to_one_replica_is_owed_to_the_last_read_only() {
    let one = |last: fn(&mut Hand, OpId)| {
        let mut hand = hand();
        hand.mode = Mode::One;
        let a = hand.acked_put(1, 10, over(&[]), "a");
        hand.mode = Mode::Quorum;
        hand.read(2, &[], &[]);
        last(&mut hand, a);
        hand.finish()
    };
    let found = one(|hand, a| {
        hand.last_read(&[a], &[a]);
    });
    assert_holds(&INVARIANT, &found);
    let lost = one(|hand, _| {
        hand.last_read(&[], &[]);
    });
    assert_fails(
        &INVARIANT,
        &lost,
        "get #2 by c9.0 (0.000050 to 0.000060) had not seen put #0",
    );
}

#[test]
fn a_last_read_that_fails_leaves_what_was_acknowledged_unread() {
    let mut hand = hand();
    hand.acked_put(1, 10, over(&[]), "a");
    let last = hand.last_read(&[], &[]);
    let mut history = hand.finish();
    history.ops[last.0 as usize].returned = None;
    assert_fails(&INVARIANT, &history, "failed, though all is healed");
}

#[test]
fn an_acknowledgement_names_a_dot_that_was_sent_for_this_write() {
    let mut hand = hand();
    let a = hand.acked_put(1, 10, over(&[]), "a");
    let b = hand.put(1, 20, over(&[]), "b");
    let (dot, seen, acked) = (hand.sibling(a).dot, hand.seen(&[a]), 2);
    hand.end(b, Outcome::Written { dot, acked, seen });
    let what = "put #1 by c1.0 (0.000030 to 0.000040) was acknowledged as 0000000000000001@0.10";
    assert_fails(&INVARIANT, &hand.finish(), what);
}

#[test]
fn of_clones_only_the_dots_are_owed() {
    let mut hand = Hand::new(Family::Twins);
    let a = hand.acked_put(1, 10, over(&[]), "a");
    hand.read(2, &[], &[a]);
    assert_holds(&INVARIANT, &hand.recorder.history().clone());
    hand.read(2, &[], &[]);
    assert_fails(&INVARIANT, &hand.finish(), "had not seen put #0");
}
