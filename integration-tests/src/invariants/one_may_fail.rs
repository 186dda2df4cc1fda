//! Whatever goes wrong with one node, operations that need a majority succeed.
//!
//! ```text
//!   owners of a key    n1 ok    n2 killed, cut off, slow, full ...    n3 ok      R = W = 2: no caller is told
//! ```
//!
//! Some runs have a victim: all their faults happen to one node and the links to it, and everything else is in
//! order. There an operation has no excuse. Elsewhere several nodes may be away together, and any operation may
//! fail.
//!
//! Left out: operations that ask for more replicas than a majority, and puts on keys that are made to have as
//! many siblings as nodes allow.
//!
//! Source: `DeCandia` et al., *Dynamo* (2007), sections 2.3 and 4.6.

use super::{Invariant, Violation, describe};
use crate::history::{Family, History, Op, OpId, Outcome};

/// See the [module](self).
pub const INVARIANT: Invariant = Invariant {
    name: "one-may-fail",
    says: "while everything goes wrong with one node, operations that need a majority succeed",
    source: "Dynamo 2.3, 4.6",
    check,
};

fn check(history: &History) -> Result<(), Violation> {
    let Some(victim) = history.victim else {
        return Ok(());
    };
    // A write that was sent again had failed before.
    let failed = |(id, op): &(OpId, &Op)| {
        (failed(op) || history.retried.contains(id)) && !excused(history, *id, op)
    };
    match history.iter().find(failed) {
        None => Ok(()),
        Some((id, op)) => Err(Violation {
            invariant: INVARIANT.name,
            key: Some(op.key),
            ops: vec![id],
            what: format!(
                "key {}: {} failed, although nothing was wrong but with n{}",
                describe::key(history, op.key),
                describe::op(history, id),
                victim.0,
            ),
        }),
    }
}

fn failed(op: &Op) -> bool {
    match &op.returned {
        None => false, // its client was not there for the end
        Some((_, outcome)) => !matches!(outcome, Outcome::Read { .. } | Outcome::Written { .. }),
    }
}

fn excused(history: &History, id: OpId, op: &Op) -> bool {
    let crowded = op.is_write() && history.key(op.key).family == Family::Siblings;
    crowded || history.demanding.contains(&id)
}

#[cfg(test)]
mod tests {
    use quoit_ring::{Moment, NodeId};

    use super::*;
    use crate::history::{Call, ClientId, Mode, Recorder};

    fn failing(victim: Option<u64>, demanding: bool) -> History {
        let mut recorder = Recorder::new();
        let key = recorder.key(&"k".into(), Family::Register);
        let op = recorder.begin(Op {
            client: ClientId { slot: 0, life: 0 },
            key,
            call: Call::Get,
            mode: Mode::Quorum,
            healed: false,
            invoked: Moment(1),
            returned: None,
        });
        recorder.end(op, Moment(2), Outcome::ReadFailed("unavailable"));
        let mut history = recorder.finish();
        history.victim = victim.map(NodeId);
        history.demanding.extend(demanding.then_some(op));
        history
    }

    #[test]
    fn a_failure_is_a_violation_only_where_one_node_is_to_blame_for_everything() {
        let violation = check(&failing(Some(3), false)).unwrap_err();
        assert!(violation.what.contains("but with n3"), "{violation}");
        assert_eq!(check(&failing(None, false)), Ok(()));
        assert_eq!(
            check(&failing(Some(3), true)),
            Ok(()),
            "it needs all of them"
        );
    }
}
