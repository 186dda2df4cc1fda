//! A node that was restarted reports no earlier time than before, unless its wall clock was set.
//!
//! ```text
//!   wall clock   ---------------------------------->
//!   reported     ===== led ahead by writes ===|  down  |== not before it has caught up ===
//! ```
//!
//! Values that were read as expired count on it: nothing but the clocks of the nodes keeps them dead until they are
//! overwritten. Reads seldom notice, since a second node has usually reached the expiry too; looking at every answer
//! misses nothing. Within one life of a node an answer may overtake another, so only lives are compared.
//!
//! Source: Kulkarni et al., *Logical Physical Clocks* (2014), section 3: a hybrid clock never goes back.

use super::{Invariant, Violation};
use crate::history::History;

/// See the [module](self).
pub const INVARIANT: Invariant = Invariant {
    name: "clock-goes-on",
    says: "a restarted node reports no earlier time than in its earlier lives, unless its clock was set",
    source: "hybrid logical clocks",
    check,
};

fn check(history: &History) -> Result<(), Violation> {
    match history.clocks_back.first() {
        None => Ok(()),
        Some((node, at, back_ms)) => Err(Violation {
            invariant: INVARIANT.name,
            key: None,
            ops: Vec::new(),
            what: format!(
                "n{} reported at {at} a time {back_ms} ms before one that it had reported before its restart",
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
    fn an_earlier_time_after_a_restart_is_a_violation() {
        let mut history = History::default();
        assert_eq!(check(&history), Ok(()));
        let back = (NodeId(2), Moment(1_500_000), 120);
        history.clocks_back.push(back);
        let violation = check(&history).unwrap_err();
        assert!(violation.what.contains("n2 reported at 1.5"), "{violation}");
        assert!(violation.what.contains("120 ms before"), "{violation}");
    }
}
