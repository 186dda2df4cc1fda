//! An acknowledged write is read: its value, or something that replaced it.
//!
//! ```text
//!   put --invoked---returned (W acks)--
//!                                get --invoked---returned (R answers)--   has seen it; has its value,
//!                                                                         unless what it saw replaced that
//!   R = W = 1: nothing is promised until the end, when all replicas are read together
//! ```
//!
//! Nodes with `durability = "fsync"` may all crash or lose power together, and nothing is lost. Of those with `"buffered"`
//! all may crash, and one at a time lose power: then a write to one replica may be gone, and none to a quorum. The same holds
//! where a disk is lost for ever.
//! The promise is R + W > N for quorums, and for writes to one replica that nothing stored is forgotten. A
//! read that is invoked in the instant in which a write returns comes after it.
//!
//! Left out: writes of unknown outcome, and the values of keys with clones or expiry, of which only the dots
//! must have been seen.
//!
//! Source: `DeCandia` et al., *Dynamo* (2007), sections 4.5 and 6.1.

use std::collections::BTreeMap;

use quoit_ring::Moment;

use super::{Invariant, Violation, describe};
use crate::history::causal::{Causal, Keyed, Set, is_exact};
use crate::history::{Found, History, KeyId, Mode, Op, OpId, Outcome};

/// See the [module](self).
pub const INVARIANT: Invariant = Invariant {
    name: "acked-never-lost",
    says: "a read has seen every write that was acknowledged before, and returns it unless it was replaced",
    source: "Dynamo 4.5, 6.1",
    check,
};

/// A write that was acknowledged.
struct Acked {
    op: OpId,
    event: usize,
    at: Moment,
    mode: Mode,
}

fn check(history: &History) -> Result<(), Violation> {
    let finals = history.finals.iter().map(|end| (end.key, end.read));
    let finals: BTreeMap<KeyId, OpId> = finals.collect();
    for keyed in Keyed::all(history) {
        let judge = Judge {
            history,
            key: keyed.key,
            causal: &Causal::of(history, &keyed),
        };
        let acked = judge.acked(&keyed)?;
        judge.reads(&keyed, &acked)?;
        if let Some(&last) = finals.get(&keyed.key) {
            judge.last(last, &acked)?;
        }
    }

    Ok(())
}

struct Judge<'a> {
    history: &'a History,
    key: KeyId,
    causal: &'a Causal<'a>,
}

impl Judge<'_> {
    /// The acknowledged writes in the order of their acknowledgements.
    fn acked(&self, keyed: &Keyed) -> Result<Vec<Acked>, Violation> {
        let mut acked = Vec::new();
        for &id in &keyed.ops {
            let op = self.history.op(id);
            let (Some(dot), Some(at)) = (op.dot(), op.succeeded()) else {
                continue;
            };
            let own = |&event: &usize| self.causal.events().list()[event].op == id;
            let Some(event) = self.causal.events().with_dot(dot).find(own) else {
                let what = format!("was acknowledged as {dot}, under which it was never sent");
                return Err(self.violation(id, vec![id], &what));
            };
            let mode = op.mode;
            acked.push(Acked {
                op: id,
                event,
                at,
                mode,
            });
        }

        acked.sort_by_key(|acked| acked.at);
        Ok(acked)
    }

    /// Holds every quorum read against what quorums acknowledged before it.
    fn reads(&self, keyed: &Keyed, acked: &[Acked]) -> Result<(), Violation> {
        let by_quorum = |write: &&Acked| write.mode == Mode::Quorum;
        let mut pending = acked.iter().filter(by_quorum).peekable();
        let mut must = self.causal.events().none();
        let mut reads = keyed.ops.clone();
        reads.sort_by_key(|&id| self.history.op(id).invoked);
        for id in reads {
            let op = self.history.op(id);
            if op.mode != Mode::Quorum || op.is_write() {
                continue;
            }
            while let Some(write) = pending.next_if(|write| write.at <= op.invoked) {
                must.insert(write.event);
            }
            self.read(id, op, &must)?;
        }

        Ok(())
    }

    /// Holds the read of all replicas at the end against all that was acknowledged.
    fn last(&self, id: OpId, acked: &[Acked]) -> Result<(), Violation> {
        let op = self.history.op(id);
        let losses = self.history.buffered_losses + self.history.lost_disks;
        let is_kept = |write: &&Acked| write.mode == Mode::Quorum || losses == 0;
        let before = acked.iter().filter(|write| write.at <= op.invoked);
        let before = before.filter(is_kept);
        let mut must = self.causal.events().none();
        before.for_each(|write| must.insert(write.event));
        match (op.succeeded(), acked.first()) {
            (None, Some(write)) => {
                let what = "failed, though all is healed, and writes were acknowledged";
                Err(self.violation(id, vec![write.op, id], what))
            }
            _ => self.read(id, op, &must),
        }
    }

    fn read(&self, id: OpId, op: &Op, must: &Set) -> Result<(), Violation> {
        let Some((_, Outcome::Read { siblings, seen })) = &op.returned else {
            return Ok(());
        };
        let seen = self.causal.events().seen(seen);
        if let Some(event) = must.beyond(&seen) {
            let what = format!("had not seen {}", self.describe(event));
            return Err(self.lost(id, event, &what));
        }

        let Some(event) = self.dropped(siblings, &seen, must) else {
            return Ok(());
        };
        let write = self.describe(event);
        let what = format!("returned neither the value of {write} nor anything that replaced it");
        Err(self.lost(id, event, &what))
    }

    /// A value of `must` that nothing in `seen` replaced, and that is not among the siblings.
    fn dropped(&self, siblings: &[Found], seen: &Set, must: &Set) -> Option<usize> {
        if !is_exact(self.history.key(self.key).family) {
            return None;
        }
        let alive = self.causal.alive(must, &self.causal.replaced(seen));
        alive.beyond(&self.causal.returned(siblings))
    }

    fn lost(&self, id: OpId, event: usize, what: &str) -> Violation {
        let write = self.causal.events().list()[event].op;
        self.violation(id, vec![write, id], what)
    }

    fn describe(&self, event: usize) -> String {
        let event = &self.causal.events().list()[event];
        let text = describe::event(self.history, event);
        match self.history.op(event.op).returned {
            Some((at, Outcome::Written { acked, .. })) => {
                format!("{text} (acknowledged at {at}, by {acked} replicas)")
            }
            _ => text,
        }
    }

    fn violation(&self, id: OpId, ops: Vec<OpId>, what: &str) -> Violation {
        let key = describe::key(self.history, self.key);
        Violation {
            invariant: INVARIANT.name,
            key: Some(self.key),
            ops,
            what: format!("{key}: {} {what}", describe::op(self.history, id)),
        }
    }
}

#[cfg(test)]
mod tests;
