//! Histories whose outcomes are all known.

use super::{DONE, READ, cas, history, judge, order, returned, value, violation, write};
use crate::history::OpId;
use crate::invariants::linearizable::{End, RegisterOp, RegisterRet};

#[test]
fn operations_one_after_the_other_have_their_own_order() {
    let absent = RegisterRet::Value(None);
    let found = order([
        returned((0, 1), READ, absent.clone()),
        returned((2, 3), write(1), DONE),
        returned((4, 5), cas(1, 2), RegisterRet::Swapped),
        returned((6, 7), cas(1, 3), RegisterRet::Kept(Some(2))),
        returned((8, 9), READ, value(2)),
        returned((10, 11), RegisterOp::Delete, DONE),
        returned((12, 13), READ, absent),
    ]);
    assert_eq!(found, [1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn a_stale_read_after_a_write_is_a_violation() {
    let found = violation([
        returned((0, 1), write(1), DONE),
        returned((2, 3), write(2), DONE),
        returned((4, 5), READ, value(1)),
    ]);
    assert_eq!(found.placed, [OpId(1), OpId(2)]);
    assert_eq!((found.stuck, &*found.state), (OpId(3), "Some(2)"));
}

#[test]
fn a_value_never_written_cannot_be_read() {
    let found = violation([
        returned((0, 10), write(1), DONE),
        returned((5, 15), READ, value(7)),
    ]);
    assert_eq!(found.stuck, OpId(2));
}

#[test]
fn a_swap_that_is_lost_is_a_violation() {
    violation([
        returned((0, 1), write(1), DONE),
        returned((2, 3), cas(1, 2), RegisterRet::Swapped),
        returned((4, 5), READ, value(1)),
    ]);
}

#[test]
fn of_two_swaps_from_one_value_only_one_can_succeed() {
    let first = returned((0, 1), write(1), DONE);
    violation([
        first.clone(),
        returned((2, 5), cas(1, 2), RegisterRet::Swapped),
        returned((3, 6), cas(1, 3), RegisterRet::Swapped),
    ]);
    let found = order([
        first,
        returned((2, 5), cas(1, 2), RegisterRet::Kept(Some(3))),
        returned((3, 6), cas(1, 3), RegisterRet::Swapped),
    ]);
    assert_eq!(found, [1, 3, 2]);
}

#[test]
fn a_swap_cannot_be_kept_from_the_value_it_expects() {
    violation([
        returned((0, 1), write(1), DONE),
        returned((2, 3), cas(1, 2), RegisterRet::Kept(Some(1))),
    ]);
}

#[test]
fn creating_and_deleting_are_swaps_with_nothing() {
    let create = |set| RegisterOp::CompareAndSet {
        expect: None,
        set: Some(set),
    };
    let remove = |expect| RegisterOp::CompareAndSet {
        expect: Some(expect),
        set: None,
    };
    let found = order([
        returned((0, 1), create(1), RegisterRet::Swapped),
        returned((2, 3), create(2), RegisterRet::Kept(Some(1))),
        returned((4, 9), create(3), RegisterRet::Swapped),
        returned((5, 8), remove(1), RegisterRet::Swapped),
    ]);
    assert_eq!(found, [1, 2, 4, 3]);
}

#[test]
fn a_return_of_the_wrong_kind_fits_nowhere() {
    violation([returned((0, 1), READ, DONE)]);
    violation([returned((0, 1), write(1), RegisterRet::Swapped)]);
}

#[test]
fn operations_that_overlap_may_have_any_order() {
    for first in [1, 2, 3] {
        for second in [1, 2, 3] {
            let verdict = judge(&history([
                returned((0, 10), write(1), DONE),
                returned((1, 11), write(2), DONE),
                returned((2, 12), write(3), DONE),
                returned((13, 14), READ, value(first)),
                returned((15, 16), READ, value(second)),
            ]));
            assert_eq!(verdict.is_linearizable(), first == second);
        }
    }
}

#[test]
fn operations_that_do_not_overlap_keep_their_order() {
    violation([
        returned((0, 5), write(1), DONE),
        returned((6, 9), write(2), DONE),
        returned((1, 20), cas(2, 3), RegisterRet::Kept(Some(1))),
        returned((10, 12), cas(1, 4), RegisterRet::Swapped),
    ]);
}

#[test]
fn two_readers_must_agree_on_the_order_of_two_writes() {
    violation([
        returned((0, 100), write(1), DONE),
        returned((0, 100), write(2), DONE),
        returned((10, 11), READ, value(1)),
        returned((12, 13), READ, value(2)),
        returned((14, 15), READ, value(1)),
    ]);
}

#[test]
fn events_at_the_same_time_overlap() {
    let found = order([
        returned((5, 5), write(1), DONE),
        returned((5, 5), write(2), DONE),
        returned((5, 5), READ, value(1)),
    ]);
    assert_eq!(found, [2, 1, 3]);
}

#[test]
fn the_times_tell_the_order_and_not_the_slice() {
    let mut shuffled = history([
        returned((4, 5), READ, value(2)),
        returned((2, 3), write(2), DONE),
        returned((0, 1), write(1), DONE),
    ]);
    assert!(judge(&shuffled).is_linearizable());
    shuffled[0].end = End::Returned {
        at: 5,
        ret: value(1),
    };
    assert!(!judge(&shuffled).is_linearizable());
}
