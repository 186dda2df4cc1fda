//! A write that failed as under-replicated is on the replicas that its error counts, and on no others.
//!
//! ```text
//!   put --> under-replicated: 1 of 2     n1 joined it and said so          1: as reported
//!                                        n2 joined it, its answer is lost   2: "unknown" would have been true
//! ```
//!
//! An error says *unknown* if a replica may have the write of which it does not know. *Under-replicated* says more: on so
//! many, at least one, and nothing is under way any more. It is held against what nodes answered, also where the answer
//! was lost or came too late, for each of the write's dots, since those of one replica do not add up with another's. Only
//! what came from the client counts: repair may spread the write afterwards, rightly.
//!
//! Source: `DeCandia` et al., *Dynamo* (2007), section 4.5, for writes that reach fewer than W.

use std::collections::{BTreeMap, BTreeSet};

use quoit_ring::{Dot, NodeId};

use super::{Invariant, Violation, describe};
use crate::history::{History, Joined, OpId};

/// See the [module](self).
pub const INVARIANT: Invariant = Invariant {
    name: "thin-is-thin",
    says: "an under-replicated write is on at least one replica, and on no more than its error says",
    source: "Dynamo 4.5",
    check,
};

fn check(history: &History) -> Result<(), Violation> {
    let mut nodes: BTreeMap<(OpId, Dot), BTreeSet<NodeId>> = BTreeMap::new();
    for &Joined { op, dot, node } in &history.joined {
        if history.under_replicated.contains_key(&op) {
            nodes.entry((op, dot)).or_default().insert(node);
        }
    }

    for (&op, &acked) in &history.under_replicated {
        if acked == 0 {
            return Err(violation(history, op, acked, "none"));
        }
    }
    for ((op, dot), nodes) in nodes {
        let acked = history.under_replicated[&op];
        if nodes.len() > acked {
            let what = format!("{} joined it as {dot}", nodes.len());
            return Err(violation(history, op, acked, &what));
        }
    }
    Ok(())
}

fn violation(history: &History, op: OpId, acked: usize, what: &str) -> Violation {
    let key = history.op(op).key;
    Violation {
        invariant: INVARIANT.name,
        key: Some(key),
        ops: vec![op],
        what: format!(
            "{}: {} was reported as being on {acked} replicas and no others, and {what}",
            describe::key(history, key),
            describe::op(history, op),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Basis, Family, Outcome};
    use crate::invariants::testing::{Hand, assert_fails, assert_holds};

    /// A put under one dot or two that nodes joined, by the number of the dot.
    fn reported(acked: usize, joined: &[(usize, u64)]) -> History {
        let mut hand = Hand::new(Family::Register);
        let op = hand.put(1, 5, Basis::Blind, "x");
        hand.mint_anew(op, 9);
        hand.end(op, Outcome::Unknown("under-replicated"));
        let mut history = hand.finish();
        let dots: Vec<Dot> = history.minted.iter().map(|minted| minted.dot).collect();
        for &(dot, node) in joined {
            let (dot, node) = (dots[dot], NodeId(node));
            history.joined.push(Joined { op, dot, node });
        }
        history.under_replicated.insert(op, acked);
        history
    }

    #[test]
    fn more_replicas_than_were_reported_or_none_are_a_violation() {
        let more = reported(1, &[(0, 1), (0, 2)]);
        assert_fails(&INVARIANT, &more, "2 joined it");
        assert_fails(&INVARIANT, &reported(0, &[]), "and none");
    }

    #[test]
    fn as_many_as_were_reported_under_each_dot_are_none() {
        assert_holds(&INVARIANT, &reported(2, &[(0, 1), (0, 2), (0, 2)]));
        assert_holds(&INVARIANT, &reported(1, &[(0, 1), (1, 2)]));
    }
}
