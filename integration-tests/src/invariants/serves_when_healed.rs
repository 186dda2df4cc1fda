//! Once the world is healed, every operation succeeds.
//!
//! ```text
//!   faults ... | mended: nodes up, links back, clocks right | recovery_phase: put, get, delete --> all succeed
//! ```
//!
//! Safety alone is kept by a store that answers nothing. What is asked after healing has all replicas, a quiet
//! network and clocks that agree, so there is no excuse left: an error, or no answer at all, is what remains of
//! the fault phase.
//!
//! One thing may remain: siblings up to the nodes' limit, which only a put that merges them may follow.
//! Workloads of the recovery phase read and merge first, so this is no exception here.
//!
//! Source: `DeCandia` et al., *Dynamo* (2007), sections 2.3 and 4.6, for "always writeable"; the shape, safe
//! while broken and serving once healed, is that of openraft's and `TigerBeetle`'s simulations.

use super::{Invariant, Violation};
use crate::history::{History, Op, OpId, Outcome};

/// See the [module](self).
pub const INVARIANT: Invariant = Invariant {
    name: "serves-when-healed",
    says: "every operation asked after healing succeeds",
    source: "Dynamo 2.3, 4.6",
    check,
};

fn check(history: &History) -> Result<(), Violation> {
    let failed = |(_, op): &(OpId, &Op)| op.healed && op.succeeded().is_none();
    match history.iter().find(failed) {
        None => Ok(()),
        Some((id, op)) => Err(violation(history, id, op)),
    }
}

fn violation(history: &History, id: OpId, op: &Op) -> Violation {
    let key = String::from_utf8_lossy(&history.key(op.key).name);
    let came = match &op.returned {
        None => "never returned",
        Some((_, Outcome::ReadFailed(why) | Outcome::Refused(why) | Outcome::Unknown(why))) => why,
        Some((_, Outcome::Read { .. } | Outcome::Written { .. })) => "succeeded",
    };
    let what = format!(
        "key {key}: #{} by {} at {} was asked after everything was healed and did not succeed: {came}",
        id.0, op.client, op.invoked
    );
    Violation {
        invariant: INVARIANT.name,
        key: Some(op.key),
        ops: vec![id],
        what,
    }
}

#[cfg(test)]
mod tests {
    use quoit_ring::{Moment, Seen};

    use super::*;
    use crate::history::{Call, ClientId, Family, Mode, Recorder};

    fn history(healed: bool, outcome: Option<Outcome>) -> History {
        let mut recorder = Recorder::new();
        let key = recorder.key(&"k".into(), Family::Register);
        let op = recorder.begin(Op {
            client: ClientId { slot: 0, life: 0 },
            key,
            call: Call::Get,
            mode: Mode::Quorum,
            count: None,
            healed,
            invoked: Moment(1),
            returned: None,
        });
        if let Some(outcome) = outcome {
            recorder.end(op, Moment(2), outcome);
        }

        recorder.finish()
    }

    #[test]
    fn what_fails_or_hangs_after_healing_is_a_violation_and_before_it_is_none() {
        let found = Outcome::Read {
            siblings: Vec::new(),
            seen: Seen::default(),
        };
        assert_eq!(check(&history(true, Some(found))), Ok(()));
        for outcome in [None, Some(Outcome::ReadFailed("unavailable"))] {
            assert_eq!(check(&history(false, outcome.clone())), Ok(()));
            let violation = check(&history(true, outcome)).unwrap_err();
            assert_eq!(violation.ops, [OpId(0)]);
        }
    }
}
