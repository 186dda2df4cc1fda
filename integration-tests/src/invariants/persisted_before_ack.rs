//! A node with `durability = "fsync"` acknowledges nothing that a loss of power could take back.
//!
//! ```text
//!   commit --> on the disk, unsynced --fsync--> acknowledgements    nothing is unsynced by then
//! ```
//!
//! Holds for puts and repairs alike: a read returns because of a repair that was acknowledged. Reads seldom
//! notice what a loss of power takes, since the next put syncs what came before; looking at the disk misses nothing.
//!
//! Source: Gray and Reuter, *Transaction Processing* (1993): force the log before you answer.

use super::{Invariant, Violation};
use crate::history::History;

/// See the [module](self).
pub const INVARIANT: Invariant = Invariant {
    name: "persisted-before-ack",
    says: "a node with `durability = \"fsync\"` has nothing unsynced when it acknowledges",
    source: "write-ahead logging",
    check,
};

fn check(history: &History) -> Result<(), Violation> {
    match history.acked_early.first() {
        None => Ok(()),
        Some((node, at)) => Err(Violation {
            invariant: INVARIANT.name,
            key: None,
            ops: Vec::new(),
            what: format!(
                "n{} answered at {at} with a batch on its disk that was not synced",
                node.0
            ),
        }),
    }
}

#[cfg(test)]
mod tests {
    use quoit_ring::{Moment, NodeId};

    use super::*;

    #[test]
    fn an_acknowledgement_before_the_sync_is_a_violation() {
        let mut history = History::default();
        assert_eq!(check(&history), Ok(()));
        history.acked_early.push((NodeId(2), Moment(1_500_000)));
        let violation = check(&history).unwrap_err();
        assert!(violation.what.contains("n2 answered at 1.5"), "{violation}");
    }
}
