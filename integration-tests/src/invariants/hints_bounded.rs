//! A node keeps no more bytes for others than it is allowed, for one of them and for all together.
//!
//! ```text
//!   hints of n4   | for n2: 1,310 bytes | for n5: 400 bytes |      each <= max_hint_bytes_per_node
//!                 '------ together ------------------------'      <= max_hint_bytes
//! ```
//!
//! Looked at after every commit, on the disk itself: what the node believes to keep may be wrong.
//!
//! Left out: a node that could not read some of its hints when it counted them, and does not know what they take.

use super::{Invariant, Violation};
use crate::history::History;

/// See the [module](self).
pub const INVARIANT: Invariant = Invariant {
    name: "hints-bounded",
    says: "what a node keeps for others never passes its bounds",
    source: "Dynamo 4.6; bounded queues",
    check,
};

fn check(history: &History) -> Result<(), Violation> {
    let Some(excess) = history.hint_excess.first() else {
        return Ok(());
    };
    Err(Violation {
        invariant: INVARIANT.name,
        key: None,
        ops: Vec::new(),
        what: format!(
            "n{} kept {} bytes at {}, {} are allowed",
            excess.holder.0, excess.bytes, excess.at, excess.max
        ),
    })
}

#[cfg(test)]
mod tests {
    use quoit_ring::{Moment, NodeId};

    use super::*;
    use crate::history::HintExcess;

    #[test]
    fn a_byte_too_many_is_a_violation() {
        let mut history = History::default();
        assert_eq!(check(&history), Ok(()));
        history.hint_excess.push(HintExcess {
            holder: NodeId(4),
            at: Moment(1_500_000),
            bytes: 1_501,
            max: 1_500,
        });
        let violation = check(&history).unwrap_err();
        assert!(
            violation.what.starts_with("n4 kept 1501 bytes at 1.5"),
            "{violation}"
        );
    }
}
