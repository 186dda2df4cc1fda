//! The sequential specification of an object: all that the checker knows of it.
//!
//! ```text
//!   state --step(op, ret)--> next state     the operation may return `ret` here
//!                       '--> none           it may not: no order can have it at this place
//! ```
//!
//! An unknown operation that cannot step from a state is one that did not take effect there.
//!
//! [`Model::effect`] is for speed: it says of an operation, without a state, what the checker would otherwise
//! learn by trying. It must never say more than `step` does, or verdicts are wrong; saying nothing is right.
//!
//! Source: the sequential specification of Herlihy and Wing 1990, 2.2.

use std::fmt::Debug;
use std::hash::Hash;

/// A sequential object.
pub trait Model {
    /// What the object holds. Small: the search keeps one for every configuration it visits.
    type State: Clone + Debug + Eq + Hash;
    /// What can be asked of it. Equal operations must do the same.
    type Op: Debug + PartialEq;
    /// What it answers.
    type Ret: Debug;

    /// What the object holds before the first operation.
    fn init(&self) -> Self::State;

    /// The state after `op` when it returns `ret`, or `None` when it cannot return that from `state`.
    ///
    /// Without `ret` the outcome is unknown and `op` takes effect here; all returns are possible, and they
    /// must all lead to the same state.
    fn step(
        &self,
        state: &Self::State,
        op: &Self::Op,
        ret: Option<&Self::Ret>,
    ) -> Option<Self::State>;

    /// What can be said of `op` with this return whatever the state; nothing by default.
    fn effect(&self, _op: &Self::Op, _ret: Option<&Self::Ret>) -> Effect<Self::State> {
        Effect::Unsaid
    }
}

/// What an operation does, as far as that is known without the state that it meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect<S> {
    /// Nothing is known.
    Unsaid,
    /// It changes no state.
    Nothing,
    /// It is possible in this state only, and does not change it.
    Sees(S),
    /// It is possible in every state and always leaves this one.
    Sets(S),
    /// In the first state it leaves the second. In others it is not possible, or changes nothing if its
    /// outcome is unknown.
    Turns(S, S),
}

impl<S> Effect<S> {
    /// Whether no state is changed: placed as soon as it fits, such an operation is never in the way.
    pub(super) const fn is_read(&self) -> bool {
        matches!(self, Self::Nothing | Self::Sees(_))
    }

    /// Whether what was there before is of no interest.
    pub(super) const fn is_blind(&self) -> bool {
        matches!(self, Self::Sets(_))
    }
}
