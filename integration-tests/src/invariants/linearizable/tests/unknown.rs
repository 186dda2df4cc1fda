//! Histories with operations that may or may not have taken effect.

use super::{
    DONE, Op, READ, cas, history, judge, order, returned, unknown, value, violation, write,
};
use crate::history::OpId;
use crate::invariants::linearizable::{End, Limits, Model, Operation, check};

#[test]
fn an_unknown_write_may_be_seen_later() {
    let found = order([
        returned((0, 1), write(1), DONE),
        unknown(2, write(2)),
        returned((3, 4), READ, value(1)),
        returned((100, 101), READ, value(2)),
    ]);
    assert_eq!(found, [1, 3, 2, 4]);
}

#[test]
fn an_unknown_write_may_never_be_seen() {
    let found = order([
        returned((0, 1), write(1), DONE),
        unknown(2, write(2)),
        returned((3, 4), READ, value(1)),
    ]);
    assert_eq!(found, [1, 3]);
}

#[test]
fn an_unknown_write_cannot_be_seen_and_then_unseen() {
    let found = violation([
        returned((0, 1), write(1), DONE),
        unknown(2, write(2)),
        returned((3, 4), READ, value(2)),
        returned((5, 6), READ, value(1)),
    ]);
    assert_eq!(found.placed, [OpId(1), OpId(2), OpId(3)]);
    assert_eq!(found.stuck, OpId(4));
}

#[test]
fn an_unknown_write_takes_effect_once() {
    let seen_twice = |writes: [Op; 2]| {
        let [first, second] = writes;
        history([
            first,
            second,
            returned((3, 4), READ, value(2)),
            returned((5, 6), write(1), DONE),
            returned((7, 8), READ, value(2)),
        ])
    };
    let other = returned((0, 1), write(1), DONE);
    assert!(!judge(&seen_twice([other, unknown(2, write(2))])).is_linearizable());
    let two = [unknown(1, write(2)), unknown(2, write(2))];
    assert!(judge(&seen_twice(two)).is_linearizable());
}

#[test]
fn an_unknown_write_cannot_be_seen_before_its_call() {
    violation([
        returned((0, 1), READ, value(2)),
        unknown(2, write(2)),
        returned((3, 4), READ, value(2)),
    ]);
}

#[test]
fn unknown_swaps_can_build_on_each_other() {
    let chain = [
        unknown(0, cas(3, 4)),
        unknown(1, cas(1, 2)),
        unknown(2, cas(2, 3)),
        returned((3, 4), write(1), DONE),
        returned((5, 6), READ, value(4)),
    ];
    assert_eq!(order(chain), [4, 2, 3, 1, 5]);
}

#[test]
fn an_unknown_operation_that_cannot_step_did_not_take_effect() {
    struct Stack;
    impl Model for Stack {
        type State = Vec<u8>;
        type Op = Option<u8>; // push it, or pop
        type Ret = Option<u8>;

        fn init(&self) -> Vec<u8> {
            Vec::new()
        }

        fn step(
            &self,
            state: &Vec<u8>,
            op: &Option<u8>,
            ret: Option<&Option<u8>>,
        ) -> Option<Vec<u8>> {
            let mut state = state.clone();
            let top = match op {
                Some(pushed) => {
                    state.push(*pushed);
                    None
                }
                None => Some(state.pop()?),
            };
            ret.is_none_or(|ret| *ret == top).then_some(state)
        }
    }
    let operation = |id, called, op, end| Operation {
        id: OpId(id),
        client: 0,
        called,
        op,
        end,
    };
    let pop = operation(1, 0, None, End::Unknown);
    let push = operation(2, 1, Some(5), End::Returned { at: 2, ret: None });
    let popped = End::Returned {
        at: 4,
        ret: Some(5),
    };
    let history = [pop, push, operation(3, 3, None, popped)];
    let verdict = check(&Stack, &history, Limits::default()).unwrap();
    assert!(verdict.is_linearizable(), "{verdict}");
}

#[test]
fn nothing_but_unknown_outcomes_is_linearizable() {
    assert_eq!(
        order([unknown(0, write(1)), unknown(1, cas(5, 6))]),
        [0_u32; 0]
    );
}
