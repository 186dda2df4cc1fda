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
//! Left out: operations that ask for more replicas than a majority; puts on keys that are made to have as many siblings
//! as nodes allow; and blind writes with a later one of the same client beside them that is causal, was given up, or asked
//! for less: for one replica, or for nodes that keep it for others. A superseded blind write is minted again above no
//! later one of its client, so if that cannot overwrite it, it fails.
//!
//! Source: `DeCandia` et al., *Dynamo* (2007), sections 2.3 and 4.6.

use super::{Invariant, Violation, describe};
use crate::history::{Basis, Call, Family, History, Mode, Op, OpId, Outcome};

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
    crowded || history.demanding.contains(&id) || is_overtaken(history, id, op)
}

/// Whether it is blind, and a later write of its client that cannot have overwritten it began before it returned.
fn is_overtaken(history: &History, id: OpId, op: &Op) -> bool {
    let end = op.returned.as_ref().map(|(at, _)| *at);
    let later = |(other, it): &(OpId, &Op)| {
        let is_later = *other > id && end.is_none_or(|end| it.invoked <= end);
        let is_thin = matches!(&it.returned, Some((_, Outcome::Written { acked: 1, .. })));
        let cannot_overwrite = basis(it).is_some_and(|basis| *basis != Basis::Blind)
            || it.is_write() && history.left.contains_key(other)
            || it.is_write() && it.mode == Mode::One && (is_thin || op.mode == Mode::Quorum);
        (it.client, it.key) == (op.client, op.key) && is_later && cannot_overwrite
    };
    basis(op) == Some(&Basis::Blind) && history.iter().any(|it| later(&it))
}

const fn basis(op: &Op) -> Option<&Basis> {
    match &op.call {
        Call::Put { basis, .. } | Call::Delete { basis } => Some(basis),
        Call::Get => None,
    }
}

#[cfg(test)]
mod tests {
    use quoit_ring::{Moment, NodeId};

    use super::*;
    use crate::history::{ClientId, Recorder};

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

    /// A blind put that fails, and another write by that client that begins before its end.
    fn overtaken(basis: Basis, left: bool, client: u16) -> History {
        let mut recorder = Recorder::new();
        let key = recorder.key(&"k".into(), Family::Register);
        let put = |slot, basis, at| Op {
            client: ClientId { slot, life: 0 },
            key,
            call: Call::Put {
                value: "v".into(),
                basis,
                ttl_ms: None,
            },
            mode: Mode::Quorum,
            healed: false,
            invoked: Moment(at),
            returned: None,
        };
        let first = recorder.begin(put(0, Basis::Blind, 1));
        let second = recorder.begin(put(client, basis, 2));
        recorder.end(first, Moment(3), Outcome::Refused("not stored"));
        let mut history = recorder.finish();
        history.victim = Some(NodeId(3));
        history.left.extend(left.then_some((second, Moment(2))));
        history
    }

    #[test]
    fn a_blind_put_may_fail_only_beside_a_later_one_that_cannot_overwrite_it() {
        assert_eq!(check(&overtaken(Basis::Seen(vec![]), false, 0)), Ok(()));
        assert_eq!(check(&overtaken(Basis::Blind, true, 0)), Ok(()));
        check(&overtaken(Basis::Blind, false, 0)).unwrap_err();
        check(&overtaken(Basis::Seen(vec![]), false, 1)).unwrap_err();
    }
}
