//! What a node was acknowledged to keep for another one gets there.
//!
//! ```text
//!   client --Hint: dot, for n2--> n4 --Joined--> client          a promise of n4
//!   ... n2 is back, n4 keeps nothing any more                    n2 has seen the dot
//! ```
//!
//! Looked at after the world was healed and before every key is read from all its owners, which would repair what
//! did not get there. What reads repaired before may hide a loss; runs are many.
//!
//! Left out: nodes that acknowledge before they have synced, and may lose what they keep with the power.
//!
//! Source: `DeCandia` et al., *Dynamo* (2007), section 4.6.

use super::{Invariant, Violation};
use crate::history::{History, KeyId};

/// See the [module](self).
pub const INVARIANT: Invariant = Invariant {
    name: "hints-arrive",
    says: "a write that a node keeps for an owner is at that owner once no node keeps hints",
    source: "Dynamo 4.6",
    check,
};

fn check(history: &History) -> Result<(), Violation> {
    let Some(lost) = history.hints.iter().find(|hint| !hint.reached) else {
        return Ok(());
    };
    let place = history.keys.iter().position(|key| key.name == lost.key);
    let key = place.and_then(|place| u32::try_from(place).ok()).map(KeyId);
    let name = String::from_utf8_lossy(&lost.key);
    let what = format!(
        "key {name}: {} was kept for n{}, is kept no more, and never got there",
        lost.dot, lost.target.0,
    );
    Err(Violation {
        invariant: INVARIANT.name,
        key,
        ops: Vec::new(),
        what,
    })
}

#[cfg(test)]
mod tests {
    use quoit_ring::{Actor, Dot, NodeId, Time};

    use super::*;
    use crate::history::{Family, KeptHint, Recorder};

    #[test]
    fn a_hint_that_is_gone_and_not_where_it_was_meant_for_is_a_violation() {
        let history = |reached| {
            let mut recorder = Recorder::new();
            let key: bytes::Bytes = "k".into();
            recorder.key(&key, Family::Register);
            let dot = Dot {
                time: Time(7),
                actor: Actor(1),
            };
            let target = NodeId(3);
            let hint = |reached| KeptHint {
                key: key.clone(),
                target,
                dot,
                reached,
            };
            recorder.history_mut().hints = vec![hint(true), hint(reached)];
            recorder.finish()
        };
        assert_eq!(check(&history(true)), Ok(()));
        let violation = check(&history(false)).unwrap_err();
        assert_eq!(violation.key, Some(KeyId(0)));
        assert!(violation.what.contains("for n3"), "{violation}");
    }
}
