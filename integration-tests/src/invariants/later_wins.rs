//! A write that began after another was acknowledged is not lost to it, whatever their clocks said.
//!
//! ```text
//!   put x, stamp 900   |-----ack|
//!   put y, stamp 400                 |--superseded, re-mint: 901--ack|      y stands, and x does not
//! ```
//!
//! Last-writer-wins by timestamps loses `y`: its writer learns that it is stored, and no reader ever sees it. Here
//! the replica that has `x` says so, and `y` is minted above it before it is acknowledged. So no write that was
//! acknowledged before another began may have seen the dot under which that other was acknowledged.
//!
//! A blind write may be acknowledged as overwritten by a later one of its client. Then that one counts: it is above `x`,
//! and `y` happened just before it. It counts if a quorum joined it, too: its caller may have left, or asked for more.
//!
//! Both in quorum mode: the W replicas that joined `y` as a new write then include one that had joined `x`.
//! Left out: writes whose outcome is unknown. They may arrive later, and rightly replace what is older. And writes that
//! failed on too few replicas and were sent again: one of these may have taken a write without having `x`, and where the
//! two meet later `x` wins. Sent again the write is found there by its name, though dead; it may have been read before,
//! so it must not be minted above.
//!
//! Source: `DeCandia` et al., *Dynamo* (2007), section 4.4, for reconciliation by timestamps; Kingsbury, *Jepsen:
//! Cassandra* (2013), for what it loses.

use std::collections::BTreeSet;

use quoit_ring::{Dot, Moment, NodeId, Time};

use super::{Invariant, Violation, describe};
use crate::history::{Basis, History, KeyId, Mode, Op, OpId};

/// See the [module](self).
pub const INVARIANT: Invariant = Invariant {
    name: "later-wins",
    says: "an acknowledged write is not superseded by one that was acknowledged before it began",
    source: "Dynamo 4.4",
    check,
};

/// The fewest nodes of a quorum.
const QUORUM: usize = 2;

/// An acknowledged write.
#[derive(Clone, Copy)]
struct Acked {
    key: KeyId,
    id: OpId,
    invoked: Moment,
    returned: Moment,
    dot: Dot,
    /// Everything up to this it has seen.
    floor: Time,
}

fn check(history: &History) -> Result<(), Violation> {
    let mut begins: Vec<Acked> = history.iter().filter_map(acked).collect();
    let mut ends = begins.clone();
    begins.sort_by_key(|write| (write.key, write.invoked, write.id));
    ends.sort_by_key(|write| (write.key, write.returned, write.id));
    let mut ends = ends.into_iter().peekable();
    // Of the writes of this key that were acknowledged before, the one that has seen most.
    let mut most: Option<Acked> = None;
    for write in begins {
        if most.is_some_and(|most| most.key != write.key) {
            most = None;
        }
        while let Some(&ended) = ends.peek()
            && (ended.key, ended.returned) < (write.key, write.invoked)
        {
            ends.next();
            let further = most.is_none_or(|most| most.floor < ended.floor);
            if ended.key == write.key && further {
                most = Some(ended);
            }
        }
        let lost = |earlier: &Acked| write.dot.time <= earlier.floor;
        if let Some(earlier) = most.filter(lost)
            && !history.retried.contains(&write.id)
            && !is_overwritten(history, write, earlier.floor)
        {
            return Err(violation(history, earlier, write));
        }
    }

    Ok(())
}

/// Whether another blind write of the same client, under way at the same time and with a dot above `floor`, was
/// acknowledged by the time this one was.
fn is_overwritten(history: &History, write: Acked, floor: Time) -> bool {
    let client = history.op(write.id).client;
    let by = |(id, op): (OpId, &Op)| {
        let is_own = id != write.id && op.key == write.key && op.client == client;
        let is_blind = op.call.basis() == Some(&Basis::Blind);
        // It may have been asked for first, and minted later: one with a lifetime asks for the time of clocks before.
        let is_over = op
            .returned
            .as_ref()
            .is_some_and(|(at, _)| *at < write.invoked);
        let is_beside = !is_over && op.invoked <= write.returned;
        is_own && is_blind && is_beside && has_copies(history, id, op, (floor, write.returned))
    };
    let is_blind = history.op(write.id).call.basis() == Some(&Basis::Blind);
    is_blind && history.iter().any(by)
}

/// Whether a write has a quorum under a dot above `floor`, or had been acknowledged by then.
fn has_copies(history: &History, id: OpId, op: &Op, (floor, by): (Time, Moment)) -> bool {
    if op.succeeded().is_some_and(|at| at <= by) {
        return op.dot().is_some_and(|dot| dot.time > floor);
    }
    let joined = history.joined.iter();
    let joined = joined.filter(|it| it.op == id && it.dot.time > floor);
    let nodes: BTreeSet<NodeId> = joined.map(|it| it.node).collect();
    nodes.len() >= QUORUM
}

fn acked((id, op): (OpId, &Op)) -> Option<Acked> {
    if op.mode != Mode::Quorum || !op.is_write() {
        return None;
    }
    Some(Acked {
        key: op.key,
        id,
        invoked: op.invoked,
        returned: op.succeeded()?,
        dot: op.dot()?,
        floor: op.seen()?.floor(),
    })
}

fn violation(history: &History, earlier: Acked, write: Acked) -> Violation {
    let op = |id| describe::op(history, id);
    let what = format!(
        "key {}: {} was acknowledged as {:?}, which {} has replaced, although that was acknowledged at {}, before it began",
        describe::key(history, write.key),
        op(write.id),
        write.dot,
        op(earlier.id),
        earlier.returned,
    );
    Violation {
        invariant: INVARIANT.name,
        key: Some(write.key),
        ops: vec![earlier.id, write.id],
        what,
    }
}

#[cfg(test)]
mod tests {
    use quoit_ring::{Actor, Seen};

    use super::*;
    use crate::history::{Call, ClientId, Family, Outcome, Recorder};

    /// Two blind puts by their stamps, one after the other, on one key or two.
    fn history<const N: usize>(stamps: [u64; N], mode: Mode, keys: [&'static str; N]) -> History {
        let mut recorder = Recorder::new();
        for (index, (stamp, key)) in (0..).zip(stamps.into_iter().zip(keys)) {
            let key = recorder.key(&key.into(), Family::Register);
            let dot = Dot {
                time: Time(stamp),
                actor: Actor(u64::from(index)),
            };
            let at = Moment(u64::from(index) * 100);
            let op = recorder.begin(Op {
                client: ClientId {
                    slot: index,
                    life: 0,
                },
                key,
                call: Call::Put {
                    value: index.to_string().into(),
                    basis: Basis::Blind,
                    ttl_ms: None,
                },
                mode,
                count: None,
                healed: false,
                invoked: at,
                returned: None,
            });
            recorder.mint(op, dot, at);
            let mut seen = Seen::up_to(dot.time.before());
            seen.add(dot.actor, dot.time.before(), dot.time);
            recorder.end(
                op,
                at.after(50),
                Outcome::Written {
                    dot,
                    acked: 2,
                    seen,
                },
            );
        }

        recorder.finish()
    }

    #[test]
    fn a_later_write_under_an_earlier_stamp_is_lost_and_that_is_a_violation() {
        let lost = check(&history([900, 400], Mode::Quorum, ["k", "k"])).unwrap_err();
        assert_eq!(lost.ops, [OpId(0), OpId(1)]);
        assert!(lost.what.contains("key k"), "{}", lost.what);
    }

    #[test]
    fn what_is_minted_above_or_is_of_another_key_or_of_one_replica_is_none() {
        for (stamps, mode, keys) in [
            ([400, 900], Mode::Quorum, ["k", "k"]),
            ([900, 400], Mode::Quorum, ["k", "l"]),
            ([900, 400], Mode::Quorum, ["l", "k"]),
            ([900, 400], Mode::One, ["k", "k"]),
        ] {
            assert_eq!(check(&history(stamps, mode, keys)), Ok(()));
        }
    }

    #[test]
    fn a_later_put_that_did_not_return_overwrites_once_a_quorum_has_it() {
        for joined in 0..=2 {
            let mut history = history([900, 400, 950], Mode::Quorum, ["k"; 3]);
            history.ops[2].client = history.ops[1].client;
            history.ops[2].invoked = history.ops[1].invoked;
            history.ops[2].returned = None;
            let dot = history.minted[2].dot;
            let copies = (0..joined).map(|node| crate::history::Joined {
                op: OpId(2),
                dot,
                node: NodeId(node),
            });
            history.joined.extend(copies);
            assert_eq!(check(&history).is_ok(), joined == 2, "{joined} have it");
        }
    }
}
