//! Which states matter: those that some operation observes.
//!
//! ```text
//!   known     read: 4           so 4 matters
//!   unknown   cas 3 -> 4        leaves 4, which matters, and so does 3
//!             write 3           leaves 3, which matters
//!             write 5           no operation saw 5: whatever its outcome, it explains nothing
//! ```
//!
//! From a state that is never observed, only what is blind can follow and overwrite it. So an unknown operation
//! that leaves one is left out: the history is as well explained without. All such states are as good as
//! one. And a known operation that leaves one is placed without delay where there is one already.
//! Where values are unique most states do not matter, and the search has little left to try.
//!
//! If the model does not say what some operation looks at, every state matters.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use super::history::{End, Operation};
use super::model::{Effect, Model};

/// The states that a known operation looks at, or an unknown one on the way to such; `None` when it may be any.
#[derive(Debug)]
pub(super) struct Needed<S>(Option<HashSet<S>>);

impl<S: Clone + Eq + Hash> Needed<S> {
    pub(super) fn of<M: Model<State = S>>(model: &M, history: &[Operation<M::Op, M::Ret>]) -> Self {
        let mut needed = HashSet::new();
        let mut sources = HashMap::<S, Vec<S>>::new(); // from where unknown operations reach a state
        for operation in history {
            let (ret, is_known) = match &operation.end {
                End::Returned { ret, .. } => (Some(ret), true),
                End::Unknown => (None, false),
            };
            match model.effect(&operation.op, ret) {
                Effect::Unsaid => return Self(None),
                Effect::Nothing | Effect::Sets(_) => {}
                Effect::Turns(from, to) if !is_known => sources.entry(to).or_default().push(from),
                Effect::Sees(state) | Effect::Turns(state, _) => {
                    needed.insert(state);
                }
            }
        }

        let mut open: Vec<S> = needed.iter().cloned().collect();
        while let Some(to) = open.pop() {
            for from in sources.remove(&to).unwrap_or_default() {
                if needed.insert(from.clone()) {
                    open.push(from);
                }
            }
        }

        Self(Some(needed))
    }

    /// Whether anybody looks at this state.
    pub(super) fn contains(&self, state: &S) -> bool {
        self.0.as_ref().is_none_or(|needed| needed.contains(state))
    }

    /// Whether an operation with this effect leaves a state that matters.
    pub(super) fn can_use(&self, effect: &Effect<S>) -> bool {
        match effect {
            Effect::Nothing | Effect::Sees(_) => false,
            Effect::Unsaid => true,
            Effect::Sets(to) | Effect::Turns(_, to) => self.contains(to),
        }
    }
}
