//! Linearizable: every operation took effect at one instant between its call and its return.
//!
//! ```text
//!   client 1   |--- write 1 ---|        |-- cas 2 -> 3: swapped --|
//!   client 2        |------ write 2 ------|             |-- read: 3 --|
//!   client 3             |-- read: 1 --|                      |- write 4 .. no answer, ever
//!   instants          *1    *read 1   *2     *3               *read 3      (4: later, or never)
//! ```
//!
//! A history is linearizable when such instants exist and the operations, done one after the other in that
//! order, return on the [`Model`] what they returned to the clients. [`check`] searches for the order: it
//! places one operation after the other, only such as overlap everything still to be placed, and backs up at
//! the first return that has none. What it has been through is remembered, see the search.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `history` | [`Operation`] and what a history must be to be judged |
//! | `model`, `register` | [`Model`]: the object without concurrency; [`Register`]: one key |
//! | `plan`, `needed` | a history laid out, and what of it matters |
//! | `search`, `frame`, `list`, `seen`, `bits` | the search and what it remembers |
//! | `verdict`, `report` | [`Verdict`], and a failure in words |
//!
//! - An operation with an unknown outcome may take effect at any time after its call, or never; it has no
//!   return to meet. One that surely failed is not part of the history: the recorder leaves it out.
//! - Linearizability is local: a history is linearizable if each key's part is, so [`check_by_key`] judges
//!   keys one by one. Operations over several keys have no place here.
//! - The problem is NP-complete. A search that runs out of steps is [`Verdict::Undecided`]: never a pass.
//!
//! Sources: Herlihy and Wing, *Linearizability: a correctness condition for concurrent objects* (1990);
//! Wing and Gong, *Testing and verifying concurrent objects* (1993); Lowe, *Testing for linearizability*
//! (2017), whose remembered configurations the `porcupine` checker took up.

mod bits;
mod frame;
mod history;
mod list;
mod model;
mod needed;
mod plan;
mod register;
mod report;
mod search;
mod seen;
#[cfg(test)]
mod tests;
mod verdict;

use std::collections::BTreeMap;

pub use self::history::{End, HistoryError, KeyError, MAX_OPERATIONS, Operation};
pub use self::model::{Effect, Model};
pub use self::register::{Register, RegisterOp, RegisterRet};
pub use self::verdict::{Limits, Verdict, Violation};

use self::plan::CallPlan;
use self::search::{Search, SearchResult};

/// Judges the history of one object.
///
/// The order of the slice means nothing, the times do. Takes no longer than `limits` allow; a history of
/// 2,000 operations with 16 clients is decided in some hundred thousand steps if its values are unique. Few
/// values and many unknown outcomes together explain almost anything, in too many ways to rule out: such a
/// violation late in a long history may well stay undecided.
///
/// ```
/// use quoit_integration_tests::history::OpId;
/// use quoit_integration_tests::invariants::linearizable::{
///     End, Limits, Operation, Register, RegisterOp, RegisterRet, check,
/// };
///
/// let operation = |id, called, op, at, ret| Operation {
///     id: OpId(id),
///     client: id.into(),
///     called,
///     op,
///     end: End::Returned { at, ret },
/// };
/// let history = [
///     operation(1, 0, RegisterOp::Write('a'), 10, RegisterRet::Done),
///     operation(2, 11, RegisterOp::Read, 20, RegisterRet::Value(None)), // stale
/// ];
/// let verdict = check(&Register::default(), &history, Limits::default())?;
/// assert!(!verdict.is_linearizable());
/// # Ok::<(), quoit_integration_tests::invariants::linearizable::HistoryError>(())
/// ```
///
/// # Errors
///
/// [`HistoryError`] for a history that no recorder should have made, or none at all; nothing was judged.
pub fn check<M: Model>(
    model: &M,
    history: &[Operation<M::Op, M::Ret>],
    limits: Limits,
) -> Result<Verdict, HistoryError> {
    let plan = CallPlan::of(model, history)?;
    let mut search = Search::new(model, &plan, limits);
    let found = search.run();
    let steps = search.steps();
    Ok(match found {
        SearchResult::Order(order) => Verdict::Linearizable { order, steps },
        SearchResult::OutOfSteps => Verdict::Undecided { steps },
        SearchResult::DeadEnd(end) => {
            Verdict::NotLinearizable(Box::new(report::violation(history, &end, steps)))
        }
    })
}

/// Judges a history of many objects, each on its own, all starting in the model's first state.
///
/// `limits` hold for each key. Ids have to be unique within a key only.
///
/// # Errors
///
/// The first key, in order, with a history that cannot be judged; see [`check`].
pub fn check_by_key<M, K>(
    model: &M,
    history: impl IntoIterator<Item = (K, Operation<M::Op, M::Ret>)>,
    limits: Limits,
) -> Result<BTreeMap<K, Verdict>, KeyError<K>>
where
    M: Model,
    K: Ord,
{
    let mut keys = BTreeMap::<K, Vec<_>>::new();
    for (key, operation) in history {
        keys.entry(key).or_default().push(operation);
    }
    keys.into_iter()
        .map(|(key, history)| match check(model, &history, limits) {
            Ok(verdict) => Ok((key, verdict)),
            Err(source) => Err(KeyError { key, source }),
        })
        .collect()
}
