//! Once the world is healed, nodes that sweep remove what has expired, without a read.
//!
//! ```text
//!   value, ttl ------| faults ... | mended: nodes up, clocks right | nothing is read | no owner of the key holds it
//! ```
//!
//! What a node could not read, or did not own, or heard of late is no exception: a hint that comes after the sweep has passed
//! its time is joined as its death. That none is removed before its time is [`expiry`](super::expiry).
//!
//! Left out: runs in which nodes do not sweep, and values whose time has not come.
//!
//! Source: Apache Cassandra, where an expired cell is a tombstone; Dynamo has no expiry.

use super::{Invariant, Violation, describe};
use crate::history::History;

/// See the [module](self).
pub const INVARIANT: Invariant = Invariant {
    name: "sweeps-agree",
    says: "no owner that sweeps holds an expired value in the end, without a read",
    source: "Dynamo 4.4",
    check,
};

fn check(history: &History) -> Result<(), Violation> {
    let Some((key, held)) = &history.unswept else {
        return Ok(());
    };
    let name = describe::key(history, *key);
    Err(Violation {
        invariant: INVARIANT.name,
        key: Some(*key),
        ops: Vec::new(),
        what: format!("{name}: two minutes after all was well {held}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Family, Recorder};

    #[test]
    fn an_expired_value_that_an_owner_still_holds_is_a_violation() {
        let mut recorder = Recorder::new();
        let key = recorder.key(&"k".into(), Family::Expiring);
        let mut history = recorder.finish();
        assert_eq!(check(&history), Ok(()));
        history.unswept = Some((key, "n1 holds it".to_owned()));
        assert_eq!(check(&history).unwrap_err().key, Some(key));
    }
}
