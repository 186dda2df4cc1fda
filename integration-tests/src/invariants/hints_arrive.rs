//! What a node was acknowledged to keep for another one gets there.
//!
//! ```text
//!   client --Hint: dot, for n2--> n4 --Joined--> client          a promise of n4
//!   ... n2 is back, n4 commits and has the hint no more          n2 has seen the dot
//! ```
//!
//! Looked at whenever a node has committed: a read soon repairs what did not get there, and would hide the loss. Looked
//! at again when no node says any more that it keeps something.
//!
//! Left out: nodes that acknowledge before they have synced, and may lose what they keep with the power.
//!
//! Source: `DeCandia` et al., *Dynamo* (2007), section 4.6.

use super::{Invariant, Violation};
use crate::history::{HintEnd, History, KeyId};

/// See the [module](self).
pub const INVARIANT: Invariant = Invariant {
    name: "hints-arrive",
    says: "a write that a node keeps for an owner is at that owner before the node removes it",
    source: "Dynamo 4.6",
    check,
};

fn check(history: &History) -> Result<(), Violation> {
    let Some(lost) = history.hints.iter().find(|hint| hint.end == HintEnd::Lost) else {
        return Ok(());
    };
    let place = history.keys.iter().position(|key| key.name == lost.key);
    let key = place.and_then(|place| u32::try_from(place).ok()).map(KeyId);
    let name = String::from_utf8_lossy(&lost.key);
    let what = format!(
        "key {name}: {} was kept for n{} by n{}, is kept no more, and did not get there",
        lost.dot, lost.target.0, lost.holder.0,
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
    use quoit_ring::{Actor, Dot, Epoch, NodeId, Time};

    use super::*;
    use crate::history::{Family, KeptHint, Recorder};

    #[test]
    fn a_hint_that_is_gone_and_not_where_it_was_meant_for_is_a_violation() {
        let history = |end| {
            let mut recorder = Recorder::new();
            let key: bytes::Bytes = "k".into();
            recorder.key(&key, Family::Register);
            let dot = Dot {
                time: Time(7),
                actor: Actor(1),
            };
            let target = NodeId(3);
            let hint = |end| KeptHint {
                key: key.clone(),
                target,
                dot,
                holder: NodeId(4),
                epoch: Epoch(1),
                end,
            };
            recorder.history_mut().hints = vec![hint(HintEnd::Arrived), hint(end)];
            recorder.finish()
        };
        assert_eq!(check(&history(HintEnd::Kept)), Ok(()));
        assert_eq!(check(&history(HintEnd::Arrived)), Ok(()));
        let violation = check(&history(HintEnd::Lost)).unwrap_err();
        assert_eq!(violation.key, Some(KeyId(0)));
        assert!(violation.what.contains("for n3 by n4"), "{violation}");
    }
}
