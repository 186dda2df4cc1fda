//! A write that failed as surely not stored never shows.
//!
//! ```text
//!   put "x" --> refused: surely not stored          no read returns "x"
//!     dots d1, d2 were sent out for it              no context names d1 or d2
//!                                                   no owner holds "x" in the end
//! ```
//!
//! A context *names* a dot if an interval of the dot's own actor holds it. That is evidence of storing: a writer
//! claims the times `(prev, time]` of its own, where `prev` is its dot before on this key whatever the outcome of
//! that, so a refused dot is in no interval of a later write. Being under the floor of a blind write is no
//! evidence, for a floor also contains what was never stored.
//!
//! Dots are judged only where they surely are the write's own: not of a clone, which knows nothing of the dots
//! that the other one minted, and not of writes that overlap with one of the same client on the same key, since
//! which of the two a frame belonged to shows in their order. Values always are.
//!
//! Left out: writes of unknown outcome, which may show or not.
//!
//! Source: Kingsbury, *Jepsen: Aerospike 3.99.0.3* (2018), where failed writes had taken effect; `DeCandia` et
//! al., *Dynamo* (2007), section 4.5, for writes that reach fewer than W.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;
use quoit_ring::wire::decode_record;
use quoit_ring::{Actor, Dot, Interval, Seen, Time};

use super::{Invariant, Violation, describe};
use crate::history::causal::Keyed;
use crate::history::{Call, ClientId, Final, History, KeyId, Minted, Op, OpId, Outcome};

/// See the [module](self).
pub const INVARIANT: Invariant = Invariant {
    name: "no-means-no",
    says: "a write that was refused is never seen, neither its value nor its dot",
    source: "Jepsen, Aerospike 3.99.0.3; Dynamo 4.5",
    check,
};

fn check(history: &History) -> Result<(), Violation> {
    let actors = owners(&history.minted, history);
    let finals = history.finals.iter().map(|end| (end.key, end));
    let finals: BTreeMap<KeyId, &Final> = finals.collect();

    for keyed in Keyed::all(history) {
        let refused = Refused::of(history, &keyed, &actors);
        if refused.ops.is_empty() {
            continue;
        }
        let mut ops = keyed.ops.iter();
        ops.try_for_each(|&id| refused.read(id))?;
        let mut last = finals.get(&keyed.key).into_iter();
        last.try_for_each(|end| refused.stored(end))?;
    }

    Ok(())
}

/// The one client that an actor is; `None` if clones share it.
type Owners = BTreeMap<Actor, Option<ClientId>>;

fn owners(minted: &[Minted], history: &History) -> Owners {
    let mut owners = Owners::new();
    for minted in minted {
        let client = history.op(minted.op).client;
        let owner = owners.entry(minted.dot.actor).or_insert(Some(client));
        if *owner != Some(client) {
            *owner = None;
        }
    }
    owners
}

/// The refused writes of a key, and what must not be seen of them.
struct Refused<'a> {
    history: &'a History,
    ops: Vec<OpId>,
    values: BTreeMap<&'a Bytes, OpId>,
    dots: BTreeMap<(Actor, Time), OpId>,
}

impl<'a> Refused<'a> {
    fn of(history: &'a History, keyed: &Keyed, actors: &Owners) -> Self {
        let is_refused = |id: &OpId| {
            let returned = &history.op(*id).returned;
            matches!(returned, Some((_, Outcome::Refused(_))))
        };
        let ops: Vec<_> = keyed.ops.iter().copied().filter(is_refused).collect();
        let value = |&id: &OpId| match &history.op(id).call {
            Call::Put { value, .. } => Some((value, id)),
            Call::Get | Call::Delete { .. } => None,
        };
        let values = ops.iter().filter_map(value).collect();
        let mut refused = Self {
            history,
            ops,
            values,
            dots: BTreeMap::new(),
        };
        if !refused.ops.is_empty() {
            refused.dots = refused.own_dots(keyed, actors);
        }

        refused
    }

    /// The dots that surely are a refused write's own.
    fn own_dots(&self, keyed: &Keyed, actors: &Owners) -> BTreeMap<(Actor, Time), OpId> {
        let mut writes: BTreeMap<ClientId, Vec<OpId>> = BTreeMap::new();
        for &id in &keyed.ops {
            let op = self.history.op(id);
            if op.is_write() {
                writes.entry(op.client).or_default().push(id);
            }
        }

        let own = |minted: &&Minted| {
            let op = self.history.op(minted.op);
            self.ops.binary_search(&minted.op).is_ok()
                && actors.get(&minted.dot.actor) == Some(&Some(op.client))
                && !overlaps(self.history, &writes[&op.client], minted.op)
        };
        let minted = keyed.minted.iter().filter(own);
        minted.map(|m| ((m.dot.actor, m.dot.time), m.op)).collect()
    }

    /// Holds a read against the refused writes.
    fn read(&self, id: OpId) -> Result<(), Violation> {
        let Some((_, Outcome::Read { siblings, seen })) = &self.history.op(id).returned else {
            return Ok(());
        };
        let mut values = siblings.iter().map(|found| &found.value);
        if let Some(&write) = values.find_map(|value| self.values.get(value)) {
            let what = format!("but {} found its value", describe::op(self.history, id));
            return Err(violation(self.history, write, Some(id), &what));
        }

        if let Some((dot, write)) = self.named(seen) {
            let reader = describe::op(self.history, id);
            let what = format!("but {reader} names its dot {dot}, so a replica joined it");
            return Err(violation(self.history, write, Some(id), &what));
        }

        Ok(())
    }

    /// A refused dot that a context names.
    fn named(&self, seen: &Seen) -> Option<(Dot, OpId)> {
        seen.intervals()
            .iter()
            .find_map(|&Interval { actor, lo, hi }| {
                let times = (Bound::Excluded((actor, lo)), Bound::Included((actor, hi)));
                let (&(actor, time), &op) = self.dots.range(times).next()?;
                Some((Dot { time, actor }, op))
            })
    }

    /// Holds what the owners have in the end against the refused writes.
    fn stored(&self, end: &Final) -> Result<(), Violation> {
        let mut last = None;
        for (node, bytes) in &end.replicas {
            let Some(bytes) = bytes.as_ref().filter(|&bytes| last != Some(bytes)) else {
                continue;
            };
            last = Some(bytes);
            let Ok(record) = decode_record(bytes) else {
                continue; // which convergence finds
            };
            let mut values = record.live().iter().filter_map(|s| s.value.as_ref());
            if let Some(&write) = values.find_map(|value| self.values.get(value)) {
                let what = format!("but node {} holds its value in the end", node.0);
                return Err(violation(self.history, write, None, &what));
            }
        }

        Ok(())
    }
}

/// Whether a client had another of its writes of the key under way at the same time.
fn overlaps(history: &History, writes: &[OpId], id: OpId) -> bool {
    let op = history.op(id);
    let before = |a: &Op, b: &Op| a.returned.as_ref().is_some_and(|(at, _)| *at < b.invoked);
    writes.iter().any(|&other| {
        let with = history.op(other);
        other != id && !before(op, with) && !before(with, op)
    })
}

fn violation(history: &History, write: OpId, seen_by: Option<OpId>, what: &str) -> Violation {
    let key: KeyId = history.op(write).key;
    let why = match &history.op(write).returned {
        Some((_, Outcome::Refused(why))) => why,
        _ => "",
    };
    let (name, refused) = (describe::key(history, key), describe::op(history, write));
    Violation {
        invariant: INVARIANT.name,
        key: Some(key),
        ops: [write].into_iter().chain(seen_by).collect(),
        what: format!("{name}: {refused} was reported as stored nowhere ({why}), {what}"),
    }
}

#[cfg(test)]
mod tests;
