//! Long histories with much overlap, right and wrong: decided, and counted in steps, which no machine changes.
//!
//! A release build takes some four million steps in a second.

use rand::SeedableRng as _;
use rand::rngs::SmallRng;

use quoit_integration_tests::history::OpId;
use quoit_integration_tests::invariants::linearizable::{
    End, Operation, RegisterOp, RegisterRet, Verdict,
};

use crate::world::{Shape, World};
use crate::{History, judge};

#[test]
fn long_histories_with_much_overlap_take_few_steps() {
    let unique = Shape {
        clients: 18,
        operations: 2_000,
        values: None,
        unknown: 0.0,
    };
    for (shape, most) in [
        (unique, 200_000),
        (
            Shape {
                unknown: 0.1,
                ..unique
            },
            300_000,
        ),
        (
            Shape {
                values: Some(3),
                ..unique
            },
            300_000,
        ),
    ] {
        for seed in 0..8 {
            let history = World::new(SmallRng::seed_from_u64(seed), shape).run();
            let verdict = judge(&history);
            assert!(
                verdict.is_linearizable(),
                "seed {seed}, {shape:?}: {verdict}"
            );
            assert!(
                verdict.steps() <= most,
                "seed {seed}, {shape:?}: {}",
                verdict.steps()
            );
        }
    }
}

#[test]
fn one_stale_read_in_a_long_history_is_found() {
    for unknown in [0.0, 0.05] {
        for seed in 0..8 {
            let shape = Shape {
                clients: 16,
                operations: 2_000,
                values: None,
                unknown,
            };
            let mut history = World::new(SmallRng::seed_from_u64(seed), shape).run();
            make_stale(&mut history);
            let verdict = judge(&history);
            let found = matches!(verdict, Verdict::NotLinearizable(_));
            assert!(found, "seed {seed}, {unknown} unknown: {verdict}");
            assert!(verdict.steps() <= 1_000_000, "{verdict}");
        }
    }
}

/// Twenty writes at once, then a read of the first: a search that tries orders one by one has 20! of them, one that
/// remembers 2^19 sets, a hundred times over.
#[test]
fn overlapping_writes_seen_in_the_opposite_order_take_few_steps() {
    const WRITERS: u16 = 20;
    let mut history = Vec::new();
    for round in 0..100_u16 {
        let start = u64::from(round) * 1_000;
        let first = round * (WRITERS + 1);
        let operation = |number, called, op, end| Operation {
            id: OpId(u32::from(first + number)),
            client: u64::from(number),
            called,
            op,
            end,
        };
        for number in 0..WRITERS {
            let end = End::Returned {
                at: start + 100,
                ret: RegisterRet::Done,
            };
            let called = start + u64::from(number);
            history.push(operation(
                number,
                called,
                RegisterOp::Write(first + number),
                end,
            ));
        }
        let end = End::Returned {
            at: start + 102,
            ret: RegisterRet::Value(Some(first)),
        };
        history.push(operation(WRITERS, start + 101, RegisterOp::Read, end));
    }
    let verdict = judge(&history);
    assert!(verdict.is_linearizable(), "{verdict}");
    assert!(verdict.steps() <= 50_000, "{} steps", verdict.steps());
}

/// A value that was read once, with the answer of a read long after.
fn make_stale(history: &mut History) {
    let mut reads = Vec::new();
    for (index, operation) in history.iter().enumerate() {
        if let End::Returned {
            ret: RegisterRet::Value(Some(value)),
            ..
        } = operation.end
        {
            reads.push((index, value));
        }
    }
    let (early, late) = (reads[reads.len() / 2], reads[reads.len() * 3 / 4]);
    let stale = RegisterRet::Value(Some(early.1));
    if let End::Returned { ret, .. } = &mut history[late.0].end {
        *ret = stale;
    }
}
