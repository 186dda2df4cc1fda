//! Operations done one after the other, stretched so that they seem to overlap, have an order: their own.
//!
//! ```text
//!   call |-------*------------| return      the instant is ten after the one before, call and return
//!             |--*---|                      up to a hundred overlap it
//!          |-------*-------- ..             unheard: it happened; lost: it did not
//! ```

use proptest::collection::vec;
use proptest::prelude::*;
use stateright::semantics::SequentialSpec as _;

use quoit_integration_tests::history::OpId;
use quoit_integration_tests::invariants::linearizable::{End, Operation, RegisterOp, Verdict};

use crate::world::Cell;
use crate::{History, Op, judge, replay};

/// An operation that takes effect in its turn: how long before it is called, how long after it returns,
/// and whether its client hears of it, or it never happens.
type Turn = (Op, u64, u64, Fate);

#[derive(Clone, Copy, Debug)]
enum Fate {
    Returns,
    Unheard,
    Lost,
}

fn turn() -> impl Strategy<Value = Turn> {
    let value = || proptest::option::of(0..3_u16);
    let op = prop_oneof![
        Just(RegisterOp::Read),
        (0..3_u16).prop_map(RegisterOp::Write),
        Just(RegisterOp::Delete),
        (value(), value()).prop_map(|(expect, set)| RegisterOp::CompareAndSet { expect, set }),
    ];
    let fate =
        prop_oneof![8 => Just(Fate::Returns), 1 => Just(Fate::Unheard), 1 => Just(Fate::Lost)];
    (op, 0..100_u64, 0..100_u64, fate)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn what_happened_one_after_the_other_is_linearizable(turns in vec(turn(), 1..80)) {
        let mut register = Cell::default();
        let mut history = History::new();
        for ((op, before, after, fate), number) in turns.into_iter().zip(0_u32..) {
            let now = 100 + 10 * u64::from(number);
            let end = match fate {
                Fate::Lost => End::Unknown,
                Fate::Unheard => {
                    register.invoke(&op);
                    End::Unknown
                }
                Fate::Returns => End::Returned { at: now + after, ret: register.invoke(&op) },
            };
            let called = now - before;
            history.push(Operation { id: OpId(number), client: 0, called, op, end });
        }
        match judge(&history) {
            Verdict::Linearizable { order, .. } => replay(&history, &order),
            verdict => prop_assert!(false, "{verdict}"),
        }
    }
}
