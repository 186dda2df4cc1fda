//! Whatever goes wrong with one node, operations that need a majority succeed.
//!
//! ```text
//!   owners of a key    n1 ok    n2 killed, cut off, slow, full ...    n3 ok      R = W = 2: no caller notices
//! ```
//!
//! Some runs have a victim: all their faults happen to one node and the links to it, and everything else is in
//! order. There an operation has no excuse. Elsewhere several nodes may be away together, and any operation may
//! fail.
//!
//! Left out: operations that ask for more replicas than a majority; puts on keys that are made to have as many siblings
//! as nodes allow; and blind writes with a later one of the same client beside them that is causal, or was not
//! acknowledged by a majority: its caller left it, or it asked for less. A superseded blind write is minted again above no
//! later one of its client, so if that has not overwritten it, it fails.
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

/// Whether it is blind, and a later write of its client that has not surely overwritten it began before it returned. One
/// with a lifetime may be the later one though it was asked for first: its client may have had to ask for clocks.
fn is_overtaken(history: &History, id: OpId, op: &Op) -> bool {
    let replicas = history.finals.first().map_or(3, |end| end.replicas.len());
    let end = op.returned.as_ref().map(|(at, _)| *at);
    let later = |(other, it): &(OpId, &Op)| {
        let was_there = it.returned.as_ref().is_some_and(|(at, _)| *at < op.invoked);
        let began_later = *other > id || (*other < id && expires(it) && !was_there);
        let is_later = began_later && end.is_none_or(|end| it.invoked <= end);
        let is_beside = (it.client, it.key) == (op.client, op.key) && is_later && it.is_write();
        is_beside && !overwrites(it, replicas / 2 + 1)
    };
    basis(op) == Some(&Basis::Blind) && history.iter().any(|it| later(&it))
}

/// Whether a write overwrote what its client had written before: it is blind, and so many owners acknowledged it.
fn overwrites(op: &Op, majority: usize) -> bool {
    let written = match &op.returned {
        Some((_, Outcome::Written { acked, .. })) => *acked >= majority,
        _ => false,
    };
    written && op.mode == Mode::Quorum && basis(op) == Some(&Basis::Blind)
}

const fn expires(op: &Op) -> bool {
    matches!(
        &op.call,
        Call::Put {
            ttl_ms: Some(_),
            ..
        }
    )
}

const fn basis(op: &Op) -> Option<&Basis> {
    match &op.call {
        Call::Put { basis, .. } | Call::Delete { basis } => Some(basis),
        Call::Get => None,
    }
}

#[cfg(test)]
mod tests {
    use quoit_ring::{Actor, Dot, Moment, NodeId, Seen, Time};

    use super::*;
    use crate::history::{ClientId, Recorder};

    const DOT: Dot = Dot {
        time: Time(1),
        actor: Actor(1),
    };

    fn failing(victim: Option<u64>, demanding: bool) -> History {
        let mut recorder = Recorder::new();
        let key = recorder.key(&"k".into(), Family::Register);
        let op = recorder.begin(Op {
            client: ClientId { slot: 0, life: 0 },
            key,
            call: Call::Get,
            mode: Mode::Quorum,
            count: None,
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
    fn overtaken(basis: Basis, acked: Option<usize>, client: u16) -> History {
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
            count: None,
            healed: false,
            invoked: Moment(at),
            returned: None,
        };
        let first = recorder.begin(put(0, Basis::Blind, 1));
        let second = recorder.begin(put(client, basis, 2));
        recorder.end(first, Moment(3), Outcome::Refused("not stored"));
        if let Some(acked) = acked {
            let (dot, seen) = (DOT, Seen::default());
            recorder.end(second, Moment(3), Outcome::Written { dot, acked, seen });
        }
        let mut history = recorder.finish();
        history.victim = Some(NodeId(3));
        history
    }

    /// A put that was asked for first and has one copy, beside a blind one that fails.
    fn beside_an_earlier_one(ttl_ms: Option<u64>, returned: u64) -> History {
        let mut recorder = Recorder::new();
        let key = recorder.key(&"k".into(), Family::Register);
        let put = |ttl_ms, at| Op {
            client: ClientId { slot: 0, life: 0 },
            key,
            call: Call::Put {
                value: "v".into(),
                basis: Basis::Blind,
                ttl_ms,
            },
            mode: Mode::Quorum,
            count: None,
            healed: false,
            invoked: Moment(at),
            returned: None,
        };
        let earlier = recorder.begin(put(ttl_ms, 1));
        let failed = recorder.begin(put(None, 3));
        let written = Outcome::Written {
            dot: DOT,
            acked: 1,
            seen: Seen::default(),
        };
        recorder.end(earlier, Moment(returned), written);
        recorder.end(failed, Moment(5), Outcome::Refused("not stored"));
        let mut history = recorder.finish();
        history.victim = Some(NodeId(3));
        history
    }

    #[test]
    fn a_put_that_had_to_ask_for_clocks_may_be_the_later_one_though_it_was_asked_for_first() {
        assert_eq!(check(&beside_an_earlier_one(Some(9), 4)), Ok(()));
        check(&beside_an_earlier_one(None, 4)).unwrap_err();
        check(&beside_an_earlier_one(Some(9), 2)).unwrap_err();
    }

    #[test]
    fn a_blind_put_may_fail_only_beside_a_later_one_that_cannot_overwrite_it() {
        let seen = || Basis::Seen(vec![]);
        assert_eq!(check(&overtaken(seen(), Some(2), 0)), Ok(()));
        assert_eq!(check(&overtaken(Basis::Blind, None, 0)), Ok(()));
        assert_eq!(check(&overtaken(Basis::Blind, Some(1), 0)), Ok(()));
        check(&overtaken(Basis::Blind, Some(2), 0)).unwrap_err();
        check(&overtaken(seen(), Some(2), 1)).unwrap_err();
    }
}
