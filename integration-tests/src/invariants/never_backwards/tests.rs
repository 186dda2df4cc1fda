//! Histories in which a read goes backwards, and some that look like it.

use super::*;
use crate::history::Family;
use crate::invariants::testing::{Hand, assert_fails, assert_holds, over};

fn written() -> (Hand, OpId) {
    let mut hand = Hand::new(Family::Siblings);
    let a = hand.put(1, 10, over(&[]), "a");
    (hand, a)
}

#[test]
fn reads_that_see_more_and_more_go_forwards() {
    let (mut hand, a) = written();
    hand.read(2, &[], &[]);
    let early = hand.get(2);
    hand.read(3, &[a], &[a]);
    hand.found(early, &[], &[]); // began before the other returned
    hand.read(2, &[a], &[a]);
    assert_holds(&INVARIANT, &hand.finish());
}

#[test]
fn a_later_read_that_lacks_what_another_client_saw_goes_backwards() {
    let (mut hand, a) = written();
    let first = hand.read(2, &[a], &[a]);
    let second = hand.read(3, &[], &[]);
    let what = "had seen put #0 by c1.0 as 0000000000000001@0.10, but the later get #2 by c3.0";
    let violation = assert_fails(&INVARIANT, &hand.finish(), what);
    assert_eq!(violation.ops, [a, first, second]);
}

#[test]
fn a_read_in_the_instant_of_the_others_return_comes_after_it() {
    let (mut hand, a) = written();
    let first = hand.read(2, &[a], &[a]);
    let second = hand.read(2, &[], &[]);
    let mut history = hand.finish();
    let returned = history.op(first).succeeded().unwrap();
    history.ops[second.0 as usize].invoked = returned;
    assert_fails(&INVARIANT, &history, "key k: get #1");
}

#[test]
fn a_delete_that_was_seen_stays_seen() {
    let mut hand = Hand::new(Family::Deleted);
    let a = hand.acked_put(1, 10, over(&[]), "a");
    let gone = hand.delete(1, 20, over(&[a]));
    hand.read(2, &[], &[a, gone]);
    hand.read(3, &[a], &[a]);
    assert_fails(&INVARIANT, &hand.finish(), "had seen delete #1");
}

#[test]
fn reads_of_one_replica_and_reads_that_failed_promise_nothing() {
    let (mut hand, a) = written();
    hand.read(2, &[a], &[a]);
    hand.mode = Mode::One;
    hand.read(2, &[], &[]);
    hand.mode = Mode::Quorum;
    let failed = hand.get(3);
    hand.end(failed, Outcome::ReadFailed("unavailable"));
    assert_holds(&INVARIANT, &hand.finish());
}
