//! One key: a value or none, read, written, deleted, and set on a condition.
//!
//! ```text
//!   read                  -> the value            write v, delete   -> done
//!   compare and set e, v  -> swapped              the value was e, now it is v
//!                         -> kept f               the value was f, not e, and still is
//! ```
//!
//! `None` is the absent value on all sides: a compare-and-set that expects none creates, one that sets none
//! deletes. A return of the wrong kind, such as a read that was "swapped", fits no state.

use std::fmt::Debug;
use std::hash::Hash;

use super::{Effect, Model};

/// The model of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Register<V> {
    /// What is there before the first operation; nothing by default.
    pub initial: Option<V>,
}

impl<V> Default for Register<V> {
    fn default() -> Self {
        Self { initial: None }
    }
}

/// What can be asked of a [`Register`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RegisterOp<V> {
    /// Reads the value.
    Read,
    /// Sets the value, whatever it was.
    Write(V),
    /// Removes the value, if there is one.
    Delete,
    /// Sets the value if it is the one expected; `None` stands for no value.
    CompareAndSet {
        /// The value it has to be.
        expect: Option<V>,
        /// The value it becomes.
        set: Option<V>,
    },
}

/// What a [`Register`] answers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RegisterRet<V> {
    /// To a read: the value.
    Value(Option<V>),
    /// To a write or a delete.
    Done,
    /// To a compare-and-set: the value was the one expected and has been set.
    Swapped,
    /// To a compare-and-set: another value was found, and left.
    Kept(Option<V>),
}

impl<V: Clone + Debug + Eq + Hash> Model for Register<V> {
    type State = Option<V>;
    type Op = RegisterOp<V>;
    type Ret = RegisterRet<V>;

    fn init(&self) -> Option<V> {
        self.initial.clone()
    }

    fn step(
        &self,
        state: &Option<V>,
        op: &RegisterOp<V>,
        ret: Option<&RegisterRet<V>>,
    ) -> Option<Option<V>> {
        let (next, answer) = apply(state, op);
        ret.is_none_or(|ret| *ret == answer).then_some(next)
    }

    fn effect(&self, op: &RegisterOp<V>, ret: Option<&RegisterRet<V>>) -> Effect<Option<V>> {
        match (op, ret) {
            (RegisterOp::Read, None) => Effect::Nothing,
            (RegisterOp::Read, Some(RegisterRet::Value(found)))
            | (RegisterOp::CompareAndSet { .. }, Some(RegisterRet::Kept(found))) => {
                Effect::Sees(found.clone())
            }
            (RegisterOp::Write(value), None | Some(RegisterRet::Done)) => {
                Effect::Sets(Some(value.clone()))
            }
            (RegisterOp::Delete, None | Some(RegisterRet::Done)) => Effect::Sets(None),
            (RegisterOp::CompareAndSet { expect, set }, None | Some(RegisterRet::Swapped)) => {
                Effect::Turns(expect.clone(), set.clone())
            }
            _ => Effect::Unsaid, // not a return of this operation
        }
    }
}

/// The state after `op` and what it answers: a register always knows.
fn apply<V: Clone + PartialEq>(
    state: &Option<V>,
    op: &RegisterOp<V>,
) -> (Option<V>, RegisterRet<V>) {
    match op {
        RegisterOp::Read => (state.clone(), RegisterRet::Value(state.clone())),
        RegisterOp::Write(value) => (Some(value.clone()), RegisterRet::Done),
        RegisterOp::Delete => (None, RegisterRet::Done),
        RegisterOp::CompareAndSet { expect, set } if expect == state => {
            (set.clone(), RegisterRet::Swapped)
        }
        RegisterOp::CompareAndSet { .. } => (state.clone(), RegisterRet::Kept(state.clone())),
    }
}
