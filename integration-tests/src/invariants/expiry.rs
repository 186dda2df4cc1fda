//! An expired value is dead, and stays dead; one that has not expired is not dead yet.
//!
//! ```text
//!   put, ttl ------------------ expiry --------------------------------> time
//!             found             |  clocks disagree  |  never found
//!                               |  once dead by the clock of enough nodes, dead for every later read
//! ```
//!
//! The expiry is an instant, counted from the clocks of the nodes. A quorum read takes the latest clock among its
//! answers for the time, none further ahead of a majority's than the allowed drift, and before it returns that a
//! value is dead so many nodes have reached that time, or dropped the value, that every later read meets one. Its own
//! clock may be an hour off. So a read
//!
//! - invoked after the expiry does not return the value: all but one of the nodes are past it, and it takes the latest
//!   clock of two or more;
//! - invoked after another quorum read had seen the value dead does not either. One thing may hide that from it, and
//!   is let pass: a node follows its own clock when that is set back by more than it holds back for;
//! - returned before the expiry finds what a quorum acknowledged, if nothing can have replaced it.
//!
//! Each is judged by the clocks of the run: with as much grace as they were off (see `clocks`), and no more.
//!
//! A value that was put to expire is never found without an expiry, nor with a later one than its writer can have
//! counted: an acknowledged one lives as long as it was put to, within the drift.
//!
//! Left out: reads of one replica, which promise nothing about expiry; when dead bytes leave the disk.
//!
//! Source: `DeCandia` et al., *Dynamo* (2007), has no expiry; an expired version is a deleted one (section 4.4),
//! judged by the read of a quorum (4.5).

use std::collections::BTreeMap;

use bytes::Bytes;
use quoit_ring::{Dot, Millis, Moment, Seen};

use super::clocks::{self, Window};
use super::replacing::replaced_from;
use super::{Invariant, Violation, describe};
use crate::history::causal::Keyed;
use crate::history::{Call, Family, Found, History, KeyId, Mode, Op, OpId, Outcome};

/// See the [module](self).
pub const INVARIANT: Invariant = Invariant {
    name: "expiry",
    says: "a quorum read finds no value after its expiry, nor after it was found dead, and finds it before",
    source: "Dynamo 4.4, 4.5",
    check,
};

fn check(history: &History) -> Result<(), Violation> {
    for keyed in Keyed::all(history) {
        if history.key(keyed.key).family == Family::Expiring {
            Judge::of(history, &keyed).check()?;
        }
    }
    Ok(())
}

/// A quorum read that succeeded.
#[derive(Clone, Copy)]
struct Read<'a> {
    id: OpId,
    invoked: Moment,
    returned: Moment,
    siblings: &'a [Found],
    seen: &'a Seen,
}

impl Read<'_> {
    const fn window(&self) -> Window {
        (self.invoked, self.returned)
    }

    fn found(&self, dot: Dot) -> bool {
        self.siblings.iter().any(|found| found.dot == dot)
    }
}

struct Judge<'a> {
    history: &'a History,
    keyed: &'a Keyed,
    puts: BTreeMap<&'a Bytes, OpId>,
    /// When what was put expires.
    expiries: BTreeMap<OpId, Millis>,
    reads: Vec<Read<'a>>,
}

impl<'a> Judge<'a> {
    fn of(history: &'a History, keyed: &'a Keyed) -> Self {
        let ops = || keyed.ops.iter().map(|&id| (id, history.op(id)));
        let put = |(id, op): (OpId, &'a Op)| match &op.call {
            Call::Put { value, .. } => Some((value, id)),
            Call::Get | Call::Delete { .. } => None,
        };
        let read = |(id, op): (OpId, &'a Op)| match &op.returned {
            Some((returned, Outcome::Read { siblings, seen })) if op.mode == Mode::Quorum => {
                Some(Read {
                    id,
                    invoked: op.invoked,
                    returned: *returned,
                    siblings,
                    seen,
                })
            }
            _ => None,
        };
        let expiries = (history.minted.iter())
            .filter_map(|minted| Some((minted.op, *history.expiries.get(&minted.dot)?)));
        Self {
            history,
            keyed,
            puts: ops().filter_map(put).collect(),
            expiries: expiries.collect(),
            reads: ops().filter_map(read).collect(),
        }
    }

    fn check(&self) -> Result<(), Violation> {
        for (place, read) in self.reads.iter().enumerate() {
            for found in read.siblings {
                self.as_put(read, found)?;
                if let Some(expiry) = found.expiry {
                    self.in_time(read, found, expiry)?;
                    self.not_again(read, found, expiry, &self.reads[..place])?;
                }
            }
        }
        for &id in &self.keyed.ops {
            self.long_enough(id)?;
            self.not_early(id)?;
        }
        Ok(())
    }

    /// The value has the expiry that it was put with.
    fn as_put(&self, read: &Read<'_>, found: &Found) -> Result<(), Violation> {
        let Some(&put) = self.puts.get(&found.value) else {
            return Ok(()); // a value that no client put is not about expiry
        };
        let op = self.history.op(put);
        let Call::Put { ttl_ms, .. } = op.call else {
            return Ok(());
        };
        let by = op.returned.as_ref().map_or(read.returned, |(at, _)| *at);
        let counted = clocks::latest_counted(self.history, by);
        let latest = ttl_ms.map(|ttl| counted.0.saturating_add(ttl));
        let right = match (found.expiry, latest) {
            (None, None) => true,
            (Some(expiry), Some(latest)) => expiry.0 <= latest,
            _ => false,
        };
        if right {
            return Ok(());
        }

        let what = format!(
            "found {} with the expiry {}, but it was put to live {} by {}",
            describe::value(&found.value),
            expiry_text(found.expiry),
            ttl_ms.map_or_else(|| "for ever".to_owned(), |ttl| format!("{ttl} ms")),
            describe::op(self.history, put)
        );
        Err(self.violation(&[put, read.id], &what))
    }

    /// The value is not found once it has expired by every clock but that of one node.
    fn in_time(&self, read: &Read<'_>, found: &Found, expiry: Millis) -> Result<(), Violation> {
        let taken = clocks::earliest_taken(self.history, read.window());
        if taken < expiry {
            return Ok(());
        }

        let late = self.history.wall(read.invoked).0.saturating_sub(expiry.0);
        let what = format!(
            "found {} as {}, {late} ms after its expiry at {}, though it can have taken no less than {} ms for the time",
            describe::value(&found.value),
            found.dot,
            expiry_text(Some(expiry)),
            taken.0
        );
        Err(self.violation(&[read.id], &what))
    }

    /// The value is not found after an earlier read had seen it dead.
    fn not_again(
        &self,
        read: &Read<'_>,
        found: &Found,
        expiry: Millis,
        earlier: &[Read<'_>],
    ) -> Result<(), Violation> {
        let dead = earlier.iter().find(|earlier| {
            earlier.returned <= read.invoked
                && !earlier.found(found.dot)
                && earlier.seen.contains(found.dot)
                && !clocks::may_have_gone_back(self.history, (earlier.invoked, read.returned))
        });
        let Some(dead) = dead else {
            return Ok(());
        };
        let what = format!(
            "found {} as {}, expiry {}, which {} had seen dead",
            describe::value(&found.value),
            found.dot,
            expiry_text(Some(expiry)),
            describe::op(self.history, dead.id)
        );
        Err(self.violation(&[dead.id, read.id], &what))
    }

    /// A value that was acknowledged was put to live as long as its writer asked.
    fn long_enough(&self, id: OpId) -> Result<(), Violation> {
        let op = self.history.op(id);
        let (Some(&expiry), Some(acked)) = (self.expiries.get(&id), op.succeeded()) else {
            return Ok(());
        };
        let Call::Put { ttl_ms, .. } = op.call else {
            return Ok(());
        };
        let counted = clocks::earliest_counted(self.history, (op.invoked, acked));
        let least = counted.0.saturating_add(ttl_ms.unwrap_or_default());
        if expiry.0 >= least {
            return Ok(());
        }

        let what = format!(
            "was acknowledged, to expire at {} ms, at least {} ms too early",
            expiry.0,
            least - expiry.0
        );
        Err(self.violation(&[id], &what))
    }

    /// A value that a quorum acknowledged is found until it may have expired by some clock.
    fn not_early(&self, id: OpId) -> Result<(), Violation> {
        let op = self.history.op(id);
        let (Some(dot), Some(acked), Mode::Quorum) = (op.dot(), op.succeeded(), op.mode) else {
            return Ok(());
        };
        let Call::Put { value, ttl_ms, .. } = &op.call else {
            return Ok(());
        };
        let expiry = match (ttl_ms, self.history.expiries.get(&dot)) {
            (None, _) => u64::MAX,
            (Some(_), Some(&recorded)) => recorded.0,
            (Some(_), None) => return Ok(()), // it was never sent
        };
        let replaced = replaced_from(self.history, &self.keyed.minted, dot, false);
        let replaced = replaced.unwrap_or(Moment(u64::MAX));
        let lost = self.reads.iter().find(|read| {
            acked <= read.invoked
                && read.returned < replaced
                && clocks::latest_taken(self.history, read.returned).0 < expiry
                && !read.found(dot)
        });
        let Some(lost) = lost else {
            return Ok(());
        };
        let what = format!(
            "did not find {} as {dot}, acknowledged at {acked}, put to expire at {}, and replaced by nothing",
            describe::value(value),
            expiry_text(Some(Millis(expiry)))
        );
        Err(self.violation(&[id, lost.id], &what))
    }

    fn violation(&self, ops: &[OpId], what: &str) -> Violation {
        let key: KeyId = self.keyed.key;
        let name = describe::key(self.history, key);
        let reader = ops.last().map(|&id| describe::op(self.history, id));
        Violation {
            invariant: INVARIANT.name,
            key: Some(key),
            ops: ops.to_vec(),
            what: format!("{name}: {} {what}", reader.unwrap_or_default()),
        }
    }
}

fn expiry_text(expiry: Option<Millis>) -> String {
    expiry.map_or_else(|| "never".to_owned(), |at| format!("{} ms", at.0))
}

#[cfg(test)]
mod tests;
