//! Each way in which a read can be wrong, made by hand; random ones are in [`mutations`].

mod mutations;

use quoit_ring::{Seen, Time};

use super::*;
use crate::history::{Basis, Family};
use crate::invariants::testing::{Hand, assert_fails, assert_holds, over};

fn siblings() -> Hand {
    Hand::new(Family::Siblings)
}

fn fails(hand: Hand, what: &str) -> Vec<u32> {
    let violation = assert_fails(&INVARIANT, &hand.finish(), what);
    violation.ops.iter().map(|op| op.0).collect()
}

#[test]
fn values_that_did_not_see_each_other_are_siblings_until_one_write_saw_both() {
    let mut hand = siblings();
    let a = hand.acked_put(1, 10, over(&[]), "a");
    let b = hand.acked_put(2, 10, over(&[]), "b");
    hand.read(3, &[a], &[a]);
    let both = hand.read(3, &[a, b], &[a, b]);
    let c = hand.acked_put(3, 20, over(&[both]), "c");
    hand.read(4, &[c], &[a, b, c]);
    let gone = hand.acked_delete(4, 30, over(&[c]));
    hand.read(4, &[], &[a, b, c, gone]);
    assert_holds(&INVARIANT, &hand.finish());
}

#[test]
fn a_blind_write_replaces_what_is_older_even_if_it_is_sent_later() {
    let mut hand = siblings();
    let blind = hand.acked_put(1, 20, Basis::Blind, "blind");
    let slow_clock = hand.acked_put(2, 15, over(&[]), "late");
    let tie = hand.acked_put(3, 20, over(&[]), "tie");
    let up_to = |time| Seen::up_to(Time(time));
    let read = hand.get(4);
    hand.found_in(read, &[blind, tie], up_to(20));
    let beyond = hand.acked_put(2, 30, over(&[slow_clock]), "beyond");
    let read = hand.get(4);
    hand.found_in(read, &[blind, tie, beyond], up_to(30));
    assert_holds(&INVARIANT, &hand.finish());
}

#[test]
fn an_unknown_write_may_be_seen_or_not_and_from_a_stale_context_too() {
    let mut hand = siblings();
    let a = hand.acked_put(1, 10, over(&[]), "a");
    let before = hand.read(2, &[a], &[a]);
    let b = hand.put(2, 20, over(&[before]), "b");
    hand.end(b, Outcome::Unknown("deadline"));
    hand.read(3, &[a], &[a]);
    hand.read(3, &[b], &[a, b]);
    let stale = hand.acked_put(3, 30, over(&[before]), "stale");
    hand.read(4, &[b, stale], &[a, b, stale]);
    hand.read(4, &[stale], &[a, stale]);
    assert_holds(&INVARIANT, &hand.finish());
}

#[test]
fn a_write_minted_anew_replaces_its_first_attempt_and_not_what_its_actor_wrote_in_between() {
    let mut hand = siblings();
    let a = hand.put(1, 10, over(&[]), "a");
    hand.read(2, &[a], &[a]);
    let between = hand.acked_put(1, 11, over(&[]), "between");
    hand.mint_anew(a, 20);
    hand.ack(a);
    hand.read(2, &[between, a], &[a, between]);
    assert_holds(&INVARIANT, &hand.finish());
}

#[test]
fn a_sibling_that_was_dropped_is_missed() {
    let mut hand = siblings();
    let a = hand.acked_put(1, 10, over(&[]), "a");
    let b = hand.acked_put(2, 10, over(&[]), "b");
    let read = hand.read(3, &[b], &[a, b]);
    assert_eq!(
        fails(hand, "had seen put #0 by c1.0 as 0000000000000001@0.10"),
        [a.0, read.0]
    );
}

#[test]
fn a_replaced_value_among_the_siblings_is_false() {
    let mut hand = siblings();
    let a = hand.acked_put(1, 10, over(&[]), "a");
    let b = hand.acked_put(2, 20, over(&[a]), "b");
    let read = hand.read(3, &[a, b], &[a, b]);
    assert_eq!(
        fails(hand, "though it had seen put #1 by c2.0"),
        [a.0, b.0, read.0]
    );
}

#[test]
fn a_deleted_value_must_not_come_back() {
    let mut hand = Hand::new(Family::Deleted);
    let a = hand.acked_put(1, 10, over(&[]), "a");
    let gone = hand.acked_delete(2, 20, over(&[a]));
    hand.read(3, &[], &[a, gone]);
    let read = hand.read(3, &[a], &[a, gone]);
    assert_eq!(
        fails(hand, "though it had seen delete #1"),
        [a.0, gone.0, read.0]
    );
}

#[test]
fn a_value_that_no_client_wrote_is_invented() {
    let mut hand = siblings();
    let a = hand.acked_put(1, 10, over(&[]), "a");
    let read = hand.read(2, &[a], &[a]);
    let mut history = hand.finish();
    let Some((_, Outcome::Read { siblings, .. })) = &mut history.ops[read.0 as usize].returned
    else {
        panic!("it is a read");
    };
    siblings[0].value = "b".into();
    assert_fails(&INVARIANT, &history, "but put #0 by c1.0");
    let mut unknown = history;
    unknown.minted.clear();
    assert_fails(
        &INVARIANT,
        &unknown,
        "\"b\" as 0000000000000001@0.10, which no client wrote",
    );
}

#[test]
fn a_value_of_another_key_is_invented_even_where_clones_write() {
    let mut hand = siblings();
    let a = hand.acked_put(1, 10, over(&[]), "a");
    hand.other_key("other", Family::Twins);
    let read = hand.read(2, &[a], &[a]);
    assert_eq!(fails(hand, "was to key k"), [a.0, read.0]);
}

#[test]
fn a_value_returned_before_it_was_sent_is_invented() {
    let mut hand = siblings();
    let a = hand.acked_put(1, 10, over(&[]), "a");
    let read = hand.read(2, &[a], &[a]);
    let mut history = hand.finish();
    history.minted[0].at = history.op(read).invoked.after(1_000);
    assert_fails(&INVARIANT, &history, "which was sent only at");
}

#[test]
fn a_retry_under_a_dot_that_does_not_build_on_the_first_is_seen_twice() {
    let mut hand = siblings();
    let a = hand.put(1, 10, over(&[]), "a");
    let read = hand.read(2, &[a], &[a]);
    hand.mint_anew(a, 20);
    hand.ack(a);
    hand.read(2, &[a], &[a]);
    let mut history = hand.finish();
    assert_holds(&INVARIANT, &history);
    let first = match &history.op(read).returned {
        Some((_, Outcome::Read { siblings, .. })) => siblings[0].clone(),
        _ => panic!("it is a read"),
    };
    let Some((_, Outcome::Read { siblings, .. })) = &mut history.ops[2].returned else {
        panic!("it is a read");
    };
    siblings.insert(0, first);
    assert_fails(&INVARIANT, &history, "though it had seen put #0");
}

#[test]
fn a_read_whose_context_covers_too_much_drops_what_others_write() {
    let mut hand = siblings();
    let a = hand.acked_put(1, 10, over(&[]), "a");
    let read = hand.get(2);
    hand.found_in(read, &[a], Seen::up_to(Time(12)));
    let gone = hand.acked_delete(3, 11, over(&[]));
    let what = "contains delete #2 by c3.0 as 0000000000000003@0.11, which was sent only at";
    assert_eq!(fails(hand, what), [gone.0, read.0]);
}

#[test]
fn a_write_whose_context_contains_too_much_is_reported_at_once() {
    let mut hand = siblings();
    let a = hand.acked_put(1, 10, over(&[]), "a");
    let b = hand.put(2, 20, over(&[]), "b");
    let (dot, seen) = (hand.sibling(b).dot, Seen::up_to(Time(20)));
    let acked = 2;
    hand.end(b, Outcome::Written { dot, acked, seen });
    let what = "contains what the reader was not given: put #0 by c1.0";
    assert_eq!(fails(hand, what), [a.0, b.0]);
}

#[test]
fn a_context_must_hold_all_that_its_events_had_seen() {
    let mut hand = siblings();
    let a = hand.acked_put(1, 10, over(&[]), "a");
    let b = hand.acked_put(2, 20, over(&[a]), "b");
    let read = hand.read(3, &[b], &[b]);
    let what = "which replaced put #0 by c1.0";
    assert_eq!(fails(hand, what), [a.0, b.0, read.0]);

    let mut hand = siblings();
    let a = hand.acked_put(1, 10, over(&[]), "a");
    let b = hand.put(2, 20, over(&[a]), "b");
    let (dot, seen) = (hand.sibling(b).dot, hand.seen(&[b]));
    let acked = 2;
    hand.end(b, Outcome::Written { dot, acked, seen });
    fails(hand, "does not cover what it built on: put #0");
}

#[test]
fn a_sibling_outside_the_context_is_false() {
    let mut hand = siblings();
    let a = hand.acked_put(1, 10, over(&[]), "a");
    let read = hand.read(2, &[a], &[]);
    assert_eq!(
        fails(hand, "with a context that does not hold it"),
        [a.0, read.0]
    );
}

#[test]
fn a_sibling_is_returned_once() {
    let mut hand = siblings();
    let a = hand.acked_put(1, 10, over(&[]), "a");
    hand.read(2, &[a, a], &[a]);
    fails(hand, "a sibling twice");
}

#[test]
fn two_writes_of_one_dot_are_reported_where_no_client_was_cloned() {
    let dot_twice = |family| {
        let mut hand = Hand::new(family);
        hand.acked_put(1, 10, over(&[]), "a");
        hand.acked_put(1, 10, over(&[]), "b");
        hand
    };
    fails(dot_twice(Family::Siblings), "has the dot of put #0");
    assert_holds(&INVARIANT, &dot_twice(Family::Twins).finish());
}
