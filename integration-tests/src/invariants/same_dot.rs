//! Two writes that bear one dot, since a client was cloned, are both kept.
//!
//! ```text
//!   client  --cloned-->  put "a" as d     put "b" as d        one dot, two contents: variants
//!                             \             /
//!                              siblings a, b                  and the node that saw both counts a collision
//! ```
//!
//! A dot is judged until the first write is asked for that may replace it, and only if every write that bears
//! it is a put. Until then every acknowledged variant is among the siblings of each quorum read that began
//! after its acknowledgement (of a put by quorum), and of the read of all replicas at the end.
//!
//! Two quorums of acknowledgements share a node, and to that one both variants came as puts. It counts a
//! collision at the second, unless a repair was quicker; so at the end there is one at least for each dot of
//! which two variants were acknowledged by quorums, and none was read, before anything may have replaced it.
//! Each node's count is that of all its lives.
//!
//! Left out: what becomes of clones' other writes, which one actor's `(prev, time]` lets overwrite one another.
//!
//! Source: `DeCandia` et al., *Dynamo* (2007), section 4.4; Preguiça et al., *Dotted Version Vectors* (2012), for
//! dots, which rest on there being one actor of a name.

use quoit_ring::{Dot, Moment};

use super::replacing::replaced_from;
use super::{Invariant, Violation, describe};
use crate::history::causal::Keyed;
use crate::history::{Call, Family, Found, History, KeyId, Minted, Mode, Op, OpId, Outcome};

/// See the [module](self).
pub const INVARIANT: Invariant = Invariant {
    name: "same-dot",
    says: "two writes under one dot are both kept as siblings, and counted",
    source: "Dynamo 4.4; Dotted Version Vectors 2012",
    check,
};

fn check(history: &History) -> Result<(), Violation> {
    let mut due = Vec::new();
    for keyed in Keyed::all(history) {
        if history.key(keyed.key).family != Family::Twins {
            continue;
        }
        for twins in twins(history, &keyed) {
            twins.kept(&keyed)?;
            due.extend(twins.must_be_counted(&keyed).then_some(twins));
        }
    }
    counted(history, &due)
}

/// The writes of one dot.
struct Twins<'a> {
    history: &'a History,
    key: KeyId,
    dot: Dot,
    ops: Vec<OpId>,
    /// When the first of them was sent.
    sent: Moment,
    /// Before this nothing may have replaced them.
    intact: Moment,
}

/// How long a read of one replica may take in answers for repair behind its own, in microseconds: a second by
/// the client's clock, and as long as the client stands still. A quorum read takes in none.
const BEHIND_MICROS: u64 = 10_000_000;

/// The dots of a key that were minted for several puts, and for puts only.
fn twins<'a>(history: &'a History, keyed: &Keyed) -> Vec<Twins<'a>> {
    let mut minted = keyed.minted.clone();
    minted.sort_by_key(|m| (m.dot, m.op));
    let same = |a: &Minted, b: &Minted| a.dot == b.dot;
    let mut all = Vec::new();
    for group in minted.chunk_by(same) {
        let mut ops: Vec<_> = group.iter().map(|m| m.op).collect();
        ops.dedup();
        let put = |&op: &OpId| matches!(history.op(op).call, Call::Put { .. });
        let dot = group[0].dot;
        if ops.len() > 1 && ops.iter().all(put) {
            let replaced = replaced_from(history, &keyed.minted, dot, true);
            all.push(Twins {
                history,
                key: keyed.key,
                dot,
                ops,
                sent: group.iter().map(|m| m.at).min().unwrap_or_default(),
                intact: replaced.unwrap_or(Moment(u64::MAX)),
            });
        }
    }

    all
}

impl Twins<'_> {
    /// Every acknowledged variant is in every read that must have it.
    fn kept(&self, keyed: &Keyed) -> Result<(), Violation> {
        let mut finals = self.history.finals.iter();
        let last = finals.find(|end| end.key == self.key).map(|end| end.read);
        for (variant, at, mode) in self.acked() {
            for &id in &keyed.ops {
                let op = self.history.op(id);
                let quorum = mode == Mode::Quorum && op.mode == Mode::Quorum;
                if at > op.invoked || !(quorum || Some(id) == last) {
                    continue;
                }
                match &op.returned {
                    Some((end, Outcome::Read { siblings, .. })) if *end < self.intact => {
                        self.among(variant, at, id, siblings)?;
                    }
                    _ => {}
                }
            }
        }

        Ok(())
    }

    fn among(
        &self,
        variant: OpId,
        acked: Moment,
        read: OpId,
        siblings: &[Found],
    ) -> Result<(), Violation> {
        let Call::Put { value, .. } = &self.history.op(variant).call else {
            return Ok(());
        };
        let here = |found: &&Found| found.dot == self.dot;
        if siblings.iter().filter(here).any(|f| f.value == *value) {
            return Ok(());
        }

        let found: Vec<_> = siblings.iter().filter(here).collect();
        let found: Vec<_> = found.iter().map(|f| describe::value(&f.value)).collect();
        let what = format!(
            "{} found [{}] under the dot {}, which {} writes bear, but not {} of {}, acknowledged at {acked}",
            describe::op(self.history, read),
            found.join(", "),
            self.dot,
            self.ops.len(),
            describe::value(value),
            describe::op(self.history, variant)
        );
        Err(self.violation([variant, read], &what))
    }

    /// The variants that were acknowledged under this dot: which, when, and by how many.
    fn acked(&self) -> impl Iterator<Item = (OpId, Moment, Mode)> {
        self.ops.iter().filter_map(|&id| {
            let op = self.history.op(id);
            (op.dot() == Some(self.dot)).then_some((id, op.succeeded()?, op.mode))
        })
    }

    /// Whether some node took two variants as puts before any could come to it as a repair.
    fn must_be_counted(&self, keyed: &Keyed) -> bool {
        let acked = self.acked().filter(|&(.., mode)| mode == Mode::Quorum);
        let mut acked: Vec<_> = acked.map(|(_, at, _)| at).collect();
        acked.sort_unstable();
        let [_, second, ..] = acked[..] else {
            return false;
        };
        let reads = keyed.ops.iter().map(|&id| self.history.op(id));
        let mut reads = reads.filter(|op| !op.is_write() && op.invoked < second);
        second < self.intact && !reads.any(|op| self.may_carry(op))
    }

    /// Whether a read may have met a variant, and so have brought it to a node as a repair.
    fn may_carry(&self, read: &Op) -> bool {
        match (read.mode, &read.returned) {
            (Mode::Quorum, Some((_, Outcome::Read { seen, .. }))) => seen.contains(self.dot),
            (Mode::Quorum, Some((end, _))) => self.sent <= *end,
            (Mode::One, Some((end, _))) => self.sent <= end.after(BEHIND_MICROS),
            (_, None) => true,
        }
    }

    fn violation(&self, ops: [OpId; 2], what: &str) -> Violation {
        let key = describe::key(self.history, self.key);
        Violation {
            invariant: INVARIANT.name,
            key: Some(self.key),
            ops: ops.to_vec(),
            what: format!("{key}: {what}"),
        }
    }
}

/// The nodes have counted a collision for every dot that must be.
fn counted(history: &History, due: &[Twins<'_>]) -> Result<(), Violation> {
    let Some(first) = due.first() else {
        return Ok(());
    };
    let counted = history.nodes.iter().map(|node| node.collisions);
    let counted = counted.fold(0, u64::saturating_add);
    if u64::try_from(due.len()).is_ok_and(|due| due <= counted) {
        return Ok(());
    }

    let what = format!(
        "{} dots had two variants acknowledged by quorums, but all nodes together counted {counted} collisions; the first is {}",
        due.len(),
        first.dot
    );
    Err(first.violation([first.ops[0], first.ops[1]], &what))
}

#[cfg(test)]
mod tests;
