//! On keys that plain and conditional writes share, whoever looks has seen every write that was answered before.
//!
//! ```text
//!   put --acknowledged--|     |-- swap: applied, or not --|     has seen the put
//!         swap --applied--|        |-- quorum read --|          has seen the swap
//! ```
//!
//! And of two conditional writes that were applied, one has seen the other: so they happened one after the other. A plain put looks at
//! nothing, so nothing is asked of it.
//!
//! Source: Rystsov, *CASPaxos* (2018); what is joined and proposed includes what any majority holds.

use quoit_ring::Dot;

use super::{Invariant, Violation};
use crate::history::{History, SharedOp, Source};

/// See the [module](self).
pub const INVARIANT: Invariant = Invariant {
    name: "plain-seen",
    says: "conditional writes and reads have seen every write of the key that was answered before, plain ones too",
    source: "CASPaxos 2018",
    check,
};

fn check(history: &History) -> Result<(), Violation> {
    for (key, ops) in &history.shared {
        let violation = |what: String| Violation {
            invariant: INVARIANT.name,
            key: None,
            ops: Vec::new(),
            what: format!("key {}: {what}", key.escape_ascii()),
        };
        let writes = || ops.iter().filter_map(|op| Some((op, op.dot?)));
        for op in ops.iter().filter(|op| op.source != Source::Plain) {
            let before = |(write, _): &(&SharedOp, Dot)| write.ended <= op.began;
            let unseen = writes()
                .filter(before)
                .find(|(_, dot)| !op.seen.contains(*dot));
            if let Some((write, dot)) = unseen {
                let (what, by) = (op.source.name(), write.source.name());
                let (began, ended) = (op.began, write.ended);
                return Err(violation(format!(
                    "a {what} that began at {began} has not seen {dot} of a {by} that was answered at {ended}"
                )));
            }
        }

        let applied: Vec<_> = writes()
            .filter(|(op, _)| op.source == Source::Conditional)
            .collect();
        for (place, (one, a)) in applied.iter().enumerate() {
            let apart =
                |(other, b): &&(&SharedOp, Dot)| !one.seen.contains(*b) && !other.seen.contains(*a);
            if let Some((_, b)) = applied[..place].iter().find(apart) {
                return Err(violation(format!(
                    "the conditional writes {a} and {b} were both applied, and neither has seen the other"
                )));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use quoit_ring::{Actor, Delta, Moment, Seen, Time};

    use super::*;

    fn dot(time: u64) -> Dot {
        Dot {
            time: Time(time),
            actor: Actor(1),
        }
    }

    fn seen(times: &[u64]) -> Seen {
        let mut seen = Seen::default();
        for &time in times {
            let delta = Delta::causal(dot(time), Time(time - 1), &seen, None);
            seen = delta.record().seen().clone();
        }
        seen
    }

    fn op(source: Source, (began, ended): (u64, u64), wrote: Option<u64>, saw: &[u64]) -> SharedOp {
        SharedOp {
            source,
            began: Moment(began),
            ended: Moment(ended),
            dot: wrote.map(dot),
            seen: seen(saw),
        }
    }

    fn history(ops: Vec<SharedOp>) -> History {
        let mut history = History::default();
        history.shared.insert("k".into(), ops);
        history
    }

    #[test]
    fn a_conditional_write_or_a_read_that_misses_what_was_answered_before_is_a_violation() {
        let put = || op(Source::Plain, (0, 10), Some(5), &[5]);
        for source in [Source::Conditional, Source::Read] {
            let fine = op(source, (10, 20), None, &[5]);
            assert_eq!(check(&history(vec![put(), fine])), Ok(()));
            let meanwhile = op(source, (9, 20), None, &[]);
            assert_eq!(check(&history(vec![put(), meanwhile])), Ok(()));
            let blind = op(source, (10, 20), None, &[3]);
            check(&history(vec![put(), blind])).unwrap_err();
        }
        let another = op(Source::Plain, (10, 20), Some(8), &[8]);
        assert_eq!(check(&history(vec![put(), another])), Ok(()));
    }

    #[test]
    fn two_conditional_writes_of_which_neither_has_seen_the_other_are_a_violation() {
        let one = || op(Source::Conditional, (0, 20), Some(5), &[5]);
        let other = |saw| op(Source::Conditional, (0, 20), Some(8), saw);
        assert_eq!(check(&history(vec![one(), other(&[5, 8])])), Ok(()));
        check(&history(vec![one(), other(&[8])])).unwrap_err();
    }
}
