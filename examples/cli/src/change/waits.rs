//! Which silent nodes a change would wait for. Pure.
//!
//! ```text
//!   each arc's ranges    old owners  n1 n2 n3      two must answer, all if fewer are left
//!                        new owners     n2 n3 n4   who is new must answer
//! ```

use std::collections::BTreeSet;

use quoit_ring::NodeId;
use quoit_ring::change::{Configuration, Known, NextError};

/// What a change would wait for.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Waits {
    /// The nodes, ascending.
    pub(crate) nodes: BTreeSet<NodeId>,
    /// The part of all keys that would not move without them, 0 to 1.
    pub(crate) share: f64,
}

impl Waits {
    /// Of the change that begins with `begun`, while these do not answer.
    pub(crate) fn of(begun: &Configuration, silent: &[NodeId]) -> Result<Self, NextError> {
        let mut waits = Self::default();
        let mut known = Known::new(begun.clone())?;
        let (mut leaves, all) = (0_u64, known.topology().leaf_bits().count());
        while let Some(next) = known.configuration().step() {
            for range in known.moving() {
                let change = range.change();
                if range.old == range.new || change.can_be_complete(|node| silent.contains(&node)) {
                    continue;
                }
                let owners = range.old.iter().copied().chain(change.receivers());
                waits
                    .nodes
                    .extend(owners.filter(|node| silent.contains(node)));
                leaves += u64::from(range.leaves.end().0 - range.leaves.start().0) + 1;
            }
            known = known.later(next)?;
        }

        #[expect(clippy::cast_precision_loss, reason = "there are 2^20 leaves at most")]
        let share = leaves as f64 / f64::from(all);
        Ok(Self { share, ..waits })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::edits::Edits;
    use crate::change::edits::tests::{first, newcomer};

    fn waits(now: &Configuration, edits: &Edits, silent: &[u64]) -> Vec<u64> {
        let silent: Vec<NodeId> = silent.iter().copied().map(NodeId).collect();
        let waits = Waits::of(&edits.apply(now).unwrap(), &silent).unwrap();
        assert_eq!(waits.share > 0.0, !waits.nodes.is_empty());
        waits.nodes.iter().map(|node| node.0).collect()
    }

    #[test]
    fn a_change_waits_for_who_takes_keys_over_and_for_majorities_of_who_has_them() {
        let now = first(6);
        let replaces = Edits {
            adds: vec![newcomer(7)],
            leaves: vec!["n6".into()],
            ..Edits::default()
        };
        assert_eq!(waits(&now, &replaces, &[]), [0; 0]);
        assert_eq!(waits(&now, &replaces, &[6]), [0; 0], "the others have all");
        assert_eq!(waits(&now, &replaces, &[7]), [7], "it has to pull");
        assert_eq!(waits(&now, &replaces, &[5, 6]), [5, 6]);

        let lost = now.without_copies_of(&[NodeId(5), NodeId(6)]).unwrap();
        assert_eq!(waits(&lost, &replaces, &[5, 6]), [0; 0], "written off");
        assert_eq!(
            waits(&lost, &replaces, &[4]),
            [4],
            "and it has the last copies"
        );
        let leaves = Edits {
            leaves: vec!["n1".into()],
            ..Edits::default()
        };
        assert_eq!(waits(&now, &leaves, &[2]), [2], "it takes keys over");
    }
}
