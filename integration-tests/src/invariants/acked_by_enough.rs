//! A write that is acknowledged as being on so many replicas is on as many disks, at that moment.
//!
//! ```text
//!   n1 |--joined-->|          |
//!   n2 |--joined-->| ack, 2   |  the dot is on n1 and n2: live there, or replaced by what has seen it
//!   n3 |           |          |
//! ```
//!
//! Nor is it acknowledged by fewer than its caller asked for.
//!
//! Where the ring changes, a former owner may have acknowledged the write, and handed it over before all others had: it need
//! not have it any more, and those that are left are still as many as were asked for.
//!
//! A node that acknowledges before it syncs may have lost the write with its power since, and get it back: then it counts as
//! one that has it. One node at a time does so.
//!
//! A node that keeps a hint counts, as it does for a sloppy write; a strict one makes no hints before it is
//! acknowledged.
//!
//! What reads find later depends on which replicas they ask and what was repaired in between, so a write that was
//! acknowledged a replica short is seldom missed. Looking at the disks misses none.
//!
//! Source: `DeCandia` et al., *Dynamo* (2007), section 4.5: W is the least number of nodes that must take part
//! in a successful write.

use super::{Invariant, Violation, describe};
use crate::history::{Held, History, Outcome};

/// See the [module](self).
pub const INVARIANT: Invariant = Invariant {
    name: "acked-by-enough",
    says: "an acknowledged write is on as many disks as its acknowledgement says",
    source: "Dynamo 4.5",
    check,
};

fn check(history: &History) -> Result<(), Violation> {
    history
        .held
        .iter()
        .try_for_each(|held| enough(history, *held))
}

fn enough(history: &History, held: Held) -> Result<(), Violation> {
    let op = history.op(held.op);
    let acked = match &op.returned {
        Some((_, Outcome::Written { acked, .. })) => *acked,
        _ => 0,
    };
    let asked = op.count.map_or(1, usize::from);
    let had = held.owners + held.others + held.lossy;
    if had + held.former >= acked && acked >= asked && had >= asked {
        return Ok(());
    }

    let what = format!(
        "key {}: {} asked for {asked}, was acknowledged by {acked} replicas, and {had} had it",
        describe::key(history, op.key),
        describe::op(history, held.op),
    );
    Err(Violation {
        invariant: INVARIANT.name,
        key: Some(op.key),
        ops: vec![held.op],
        what,
    })
}

#[cfg(test)]
mod tests {
    use quoit_ring::{Actor, Dot, Moment, Seen, Time};

    use super::*;
    use crate::history::{Basis, Call, ClientId, Family, Mode, Op, Recorder};

    fn acked_by(count: Option<u8>, acked: usize, owners: usize) -> History {
        handed_over(count, acked, (owners, 0))
    }

    fn handed_over(count: Option<u8>, acked: usize, (owners, former): (usize, usize)) -> History {
        let mut recorder = Recorder::new();
        let key = recorder.key(&"k".into(), Family::Register);
        let op = recorder.begin(Op {
            client: ClientId { slot: 0, life: 0 },
            key,
            call: Call::Delete {
                basis: Basis::Blind,
            },
            mode: Mode::Quorum,
            count,
            healed: false,
            invoked: Moment(1),
            returned: None,
        });
        let dot = Dot {
            time: Time(7),
            actor: Actor(1),
        };
        let written = Outcome::Written {
            dot,
            acked,
            seen: Seen::up_to(dot.time),
        };
        recorder.end(op, Moment(2), written);
        recorder.history_mut().held.push(Held {
            op,
            owners,
            others: 0,
            former,
            lossy: 0,
        });
        recorder.finish()
    }

    #[test]
    fn a_write_on_fewer_disks_than_were_acknowledged_is_a_violation() {
        let violation = check(&acked_by(None, 2, 1)).unwrap_err();
        assert!(
            violation.what.contains("2 replicas, and 1 had it"),
            "{violation}"
        );
        assert_eq!(check(&acked_by(Some(2), 2, 2)), Ok(()));
        assert_eq!(
            check(&acked_by(None, 2, 3)),
            Ok(()),
            "more may have it by now"
        );
        let few = check(&acked_by(Some(3), 2, 3)).unwrap_err();
        assert!(few.what.contains("asked for 3"), "{few}");
    }

    #[test]
    fn a_former_owner_may_have_handed_the_write_over_but_as_many_as_were_asked_for_have_it() {
        assert_eq!(check(&handed_over(Some(3), 4, (3, 1))), Ok(()));
        let few = check(&handed_over(Some(3), 4, (2, 2))).unwrap_err();
        assert!(few.what.contains("and 2 had it"), "{few}");
        assert!(check(&handed_over(Some(2), 4, (2, 1))).is_err());
    }
}
