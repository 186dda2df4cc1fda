//! A history, checked and laid out for the search.
//!
//! ```text
//!   entries   call 0 | call 1 | return 0 | call 2 | return 2 | return 1      known operations, by time
//!   unknown              ^ opens at 2: may be placed once nothing before that entry is a return still due
//! ```
//!
//! Known operations are numbered in the order of their calls. Unknown ones never return, so they are no
//! entries: the search looks at them only where the known ones alone lead nowhere.

use std::collections::HashSet;

use super::history::{End, HistoryError, MAX_OPERATIONS, Operation};
use super::model::Model;
use super::needed::Needed;
use crate::history::OpId;

/// All that the search reads.
pub(super) struct CallPlan<'h, M: Model> {
    /// Operations that returned, in the order of their calls.
    pub(super) known: Vec<KnownOp<'h, M>>,
    /// Operations with an unknown outcome, in the order of their calls.
    pub(super) unknown: Vec<Unknown<'h, M>>,
    /// Calls and returns of the known ones in the order of time, calls first where times are equal.
    pub(super) entries: Vec<Entry>,
    /// The states that matter.
    pub(super) needed: Needed<M::State>,
}

pub(super) struct KnownOp<'h, M: Model> {
    pub(super) id: OpId,
    pub(super) op: &'h M::Op,
    pub(super) ret: &'h M::Ret,
    /// The entry of its call.
    pub(super) called: usize,
    /// The entry of its return.
    pub(super) returned: usize,
    /// It changes no state.
    pub(super) is_read: bool,
    /// What was there before is of no interest to it.
    pub(super) is_blind: bool,
    /// Nor is what it leaves of interest to anybody.
    pub(super) is_idle: bool,
}

pub(super) struct Unknown<'h, M: Model> {
    pub(super) id: OpId,
    pub(super) op: &'h M::Op,
    /// How many entries come before its call.
    pub(super) opens: usize,
    /// What was there before is of no interest to it.
    pub(super) is_blind: bool,
    /// The latest of those before it that ask for the same. Two such can change places in any order, so the
    /// later one need not be tried while the earlier one is left.
    pub(super) twin: Option<usize>,
}

/// One event of a known operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// It was called.
    Call(usize),
    /// It returned.
    Return(usize),
}

impl<'h, M: Model> CallPlan<'h, M> {
    /// Lays `history` out, or says why it cannot be judged.
    pub(super) fn of(
        model: &M,
        history: &'h [Operation<M::Op, M::Ret>],
    ) -> Result<Self, HistoryError> {
        validate(history)?;
        let mut plan = Self {
            needed: Needed::of(model, history),
            known: Vec::new(),
            unknown: Vec::new(),
            entries: Vec::new(),
        };
        let mut numbers = vec![0; history.len()]; // of the known operations
        for (_, is_return, index) in events(history) {
            if is_return {
                plan.close(numbers[index]);
            } else {
                numbers[index] = plan.known.len();
                plan.open(model, &history[index]);
            }
        }

        Ok(plan)
    }

    fn open(&mut self, model: &M, operation: &'h Operation<M::Op, M::Ret>) {
        let Operation { id, op, .. } = operation;
        if let End::Returned { ret, .. } = &operation.end {
            let effect = model.effect(op, Some(ret));
            self.known.push(KnownOp {
                id: *id,
                op,
                ret,
                called: self.entries.len(),
                returned: usize::MAX, // set by its return, which comes
                is_read: effect.is_read(),
                is_blind: effect.is_blind(),
                is_idle: effect.is_blind() && !self.needed.can_use(&effect),
            });
            self.entries.push(Entry::Call(self.known.len() - 1));
            return;
        }

        let effect = model.effect(op, None);
        if self.needed.can_use(&effect) {
            self.unknown.push(Unknown {
                id: *id,
                op,
                opens: self.entries.len(),
                is_blind: effect.is_blind(),
                twin: self.unknown.iter().rposition(|earlier| earlier.op == op),
            });
        }
    }

    fn close(&mut self, number: usize) {
        self.known[number].returned = self.entries.len();
        self.entries.push(Entry::Return(number));
    }
}

/// Time, whether it is a return, and the operation's place in the history: in the order of time.
fn events<O, R>(history: &[Operation<O, R>]) -> Vec<(u64, bool, usize)> {
    let mut events = Vec::with_capacity(2 * history.len());
    for (index, operation) in history.iter().enumerate() {
        events.push((operation.called, false, index));
        events.extend(operation.returned().map(|at| (at, true, index)));
    }
    events.sort_unstable();
    events
}

fn validate<O, R>(history: &[Operation<O, R>]) -> Result<(), HistoryError> {
    let count = history.len();
    match count {
        0 => return Err(HistoryError::Empty),
        1..=MAX_OPERATIONS => {}
        _ => return Err(HistoryError::TooLong { count }),
    }

    let mut ids = HashSet::with_capacity(count);
    for operation in history {
        let Operation { id, called, .. } = *operation;
        if !ids.insert(id) {
            return Err(HistoryError::Duplicate { id });
        }
        if let Some(returned) = operation.returned().filter(|at| *at < called) {
            return Err(HistoryError::ReturnBeforeCall {
                id,
                called,
                returned,
            });
        }
    }

    Ok(())
}
