//! Conditional writes and linearizable reads of a key happen one after the other, each between its call and its return.
//!
//! ```text
//!   swap a -> b |-----|            |-- swap a -> c: applied ---|       no order explains it: both found a
//!                  |-- read: a --|                                     and this one neither
//! ```
//!
//! Quorum reads of these keys are held to the same: they see every conditional write that was answered before they began, and
//! never go back. Operations of unknown outcome may have happened or not; those that were answered as not done must not have, since
//! their values would show.
//!
//! Source: Herlihy and Wing, *Linearizability* (1990).

use super::linearizable::{Limits, Register, Verdict, check as judge};
use super::{Invariant, Violation};
use crate::history::History;

/// See the [module](self).
pub const INVARIANT: Invariant = Invariant {
    name: "linearizable",
    says: "conditional writes and reads of a key happen one after the other",
    source: "Herlihy and Wing 1990; CASPaxos 2018",
    check,
};

/// Steps of a search: far beyond what a history of these runs takes.
const STEPS: u64 = 20_000_000;

fn check(history: &History) -> Result<(), Violation> {
    let violation = |what| Violation {
        invariant: INVARIANT.name,
        key: None,
        ops: Vec::new(),
        what,
    };
    if let Some(key) = &history.unserved {
        let key = key.escape_ascii();
        let what = format!(
            "key {key}: an operation that was asked after everything was healed did not succeed"
        );
        return Err(violation(what));
    }
    for (key, calls) in &history.registers {
        if calls.is_empty() {
            continue; // none of them did anything
        }
        let operations: Vec<_> = calls.values().cloned().collect();
        let limits = Limits { steps: STEPS };
        let key = key.escape_ascii();
        match judge(&Register::default(), &operations, limits) {
            Ok(Verdict::Linearizable { .. }) => {}
            Ok(Verdict::NotLinearizable(found)) => {
                return Err(violation(format!("key {key}: {found}")));
            }
            Ok(Verdict::Undecided { steps }) => {
                return Err(violation(format!(
                    "key {key}: undecided after {steps} steps"
                )));
            }
            Err(error) => return Err(violation(format!("key {key}: {error}"))),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use quoit_ring::Moment;

    use super::*;
    use crate::history::{ClientId, Recorder};
    use crate::invariants::linearizable::{End, RegisterOp, RegisterRet};

    fn history(reads: Option<u64>) -> History {
        let mut recorder = Recorder::new();
        let client = ClientId { slot: 1, life: 0 };
        let steps = [
            (RegisterOp::Write(7), RegisterRet::Done),
            (RegisterOp::Read, RegisterRet::Value(reads)),
        ];
        for (at, (op, ret)) in (0..).step_by(10).zip(steps) {
            let key = "k".into();
            let call = recorder.register_called(&key, (client, false), op, Moment(at));
            let end = End::Returned { at: at + 5, ret };
            recorder.register_ended(&key, call, Some(end));
        }
        recorder.finish()
    }

    #[test]
    fn a_read_that_misses_what_was_answered_before_is_a_violation() {
        assert_eq!(check(&history(Some(7))), Ok(()));
        let violation = check(&history(None)).unwrap_err();
        assert_eq!(violation.invariant, "linearizable");
    }

    #[test]
    fn an_operation_that_fails_once_all_is_healed_is_a_violation() {
        let mut history = history(Some(7));
        history.unserved = Some("k".into());
        assert!(check(&history).is_err());
    }
}
