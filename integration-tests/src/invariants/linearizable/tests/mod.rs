//! Classic histories, each with its known verdict, and the report.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `classics` | every outcome is known |
//! | `unknown` | some are not |
//! | `edges` | limits, refusals, keys, and how a violation prints |

mod classics;
mod edges;
mod unknown;

use super::{End, Limits, Operation, Register, RegisterOp, RegisterRet, Verdict, Violation, check};
use crate::history::OpId;

type Op = Operation<RegisterOp<u8>, RegisterRet<u8>>;

const READ: RegisterOp<u8> = RegisterOp::Read;
const DONE: RegisterRet<u8> = RegisterRet::Done;

fn write(value: u8) -> RegisterOp<u8> {
    RegisterOp::Write(value)
}

fn cas(expect: u8, set: u8) -> RegisterOp<u8> {
    RegisterOp::CompareAndSet {
        expect: Some(expect),
        set: Some(set),
    }
}

fn value(value: u8) -> RegisterRet<u8> {
    RegisterRet::Value(Some(value))
}

/// An operation from `times.0` to `times.1`; its id and client come with [`history`].
fn returned(times: (u64, u64), op: RegisterOp<u8>, ret: RegisterRet<u8>) -> Op {
    let (called, at) = times;
    Operation {
        id: OpId(0),
        client: 0,
        called,
        op,
        end: End::Returned { at, ret },
    }
}

fn unknown(called: u64, op: RegisterOp<u8>) -> Op {
    Operation {
        id: OpId(0),
        client: 0,
        called,
        op,
        end: End::Unknown,
    }
}

/// Numbers the operations from 1, each with a client of its own.
fn history<const N: usize>(operations: [Op; N]) -> Vec<Op> {
    let mut operations = Vec::from(operations);
    for (operation, number) in operations.iter_mut().zip(1..) {
        operation.id = OpId(number);
        operation.client = number.into();
    }
    operations
}

fn judge(history: &[Op]) -> Verdict {
    check(&Register::default(), history, Limits::default()).unwrap()
}

/// The order found, by number.
fn order<const N: usize>(operations: [Op; N]) -> Vec<u32> {
    match judge(&history(operations)) {
        Verdict::Linearizable { order, .. } => order.into_iter().map(|id| id.0).collect(),
        verdict => panic!("{verdict}"),
    }
}

fn violation<const N: usize>(operations: [Op; N]) -> Violation {
    match judge(&history(operations)) {
        Verdict::NotLinearizable(violation) => *violation,
        verdict => panic!("{verdict}"),
    }
}
