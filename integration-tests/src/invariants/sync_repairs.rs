//! Once the world is healed, nodes that sync repair all that differs, without a read.
//!
//! ```text
//!   faults ... | mended: nodes up, links back | nothing is read | all owners of each key hold the same live values
//! ```
//!
//! It is looked at before the last reads, which would repair what a sync has missed. Two records that differ in what they
//! have seen alone are equal here, as they are to Merkle sums and to readers.
//!
//! Left out: runs in which nodes do not sync.
//!
//! Source: `DeCandia` et al., *Dynamo* (2007), section 4.7.

use super::{Invariant, Violation, describe};
use crate::history::History;

/// See the [module](self).
pub const INVARIANT: Invariant = Invariant {
    name: "sync-repairs",
    says: "owners that sync hold the same live values in the end, without a read",
    source: "Dynamo 4.7",
    check,
};

fn check(history: &History) -> Result<(), Violation> {
    let Some((key, held)) = &history.unrepaired else {
        return Ok(());
    };
    let name = describe::key(history, *key);
    Err(Violation {
        invariant: INVARIANT.name,
        key: Some(*key),
        ops: Vec::new(),
        what: format!("{name}: its owners still differed two minutes after all was well: {held}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Family, Recorder};

    #[test]
    fn a_key_whose_owners_still_differ_is_a_violation() {
        let mut recorder = Recorder::new();
        let key = recorder.key(&"k".into(), Family::Register);
        let mut history = recorder.finish();
        assert_eq!(check(&history), Ok(()));
        history.unrepaired = Some((key, "n1 holds nothing".to_owned()));
        assert_eq!(check(&history).unwrap_err().key, Some(key));
    }
}
