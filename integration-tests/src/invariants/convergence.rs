//! In the end all owners of a key hold the same bytes, and every node's tree says so.
//!
//! ```text
//!   n1  [bytes]--.
//!   n2  [bytes]--+-- equal? --decode--> siblings, seen  == what the read of all replicas returned
//!   n3  [bytes]--'
//!   each node    sums, leaves and expiries == those recomputed from all that it stores
//! ```
//!
//! Bytes are compared, not sums: that trees compare equal is checked separately. A record has one encoding, so equal
//! records have equal bytes; an owner without a record is equal only to others without one.
//!
//! A value whose expiry has passed is dead whether a replica has dropped it or not, so owners may differ in
//! that alone: such values are left out, once the expiry is before any time that a reader may have
//! assumed. What a key has seen is compared all the same.
//!
//! Left out: how long it takes to get there.
//!
//! Source: `DeCandia` et al., *Dynamo* (2007), section 4.7, with 4.5 for the repair.

use bytes::Bytes;
use quoit_ring::wire::decode_record;
use quoit_ring::{Millis, NodeId, Record};

use super::clocks::latest_taken;
use super::{Invariant, Violation, describe};
use crate::history::{Final, Found, History, Outcome};

/// See the [module](self).
pub const INVARIANT: Invariant = Invariant {
    name: "convergence",
    says: "in the end all owners of a key hold the same bytes, a read returns them, and the trees agree",
    source: "Dynamo 4.7, 4.5",
    check,
};

fn check(history: &History) -> Result<(), Violation> {
    for end in &history.finals {
        let judge = Judge { history, end };
        judge.check().map_err(|what| judge.violation(&what))?;
    }
    trees(history)
}

fn trees(history: &History) -> Result<(), Violation> {
    for node in &history.nodes {
        if let Some(first) = node.differences.first() {
            let what = format!(
                "node {}: its tree is not that of its records, {} differences, the first: {first}",
                node.node.0,
                node.differences.len()
            );
            return Err(Violation {
                invariant: INVARIANT.name,
                key: None,
                ops: Vec::new(),
                what,
            });
        }
    }

    Ok(())
}

struct Judge<'a> {
    history: &'a History,
    end: &'a Final,
}

impl Judge<'_> {
    fn check(&self) -> Result<(), String> {
        let Some((first, others)) = self.end.replicas.split_first() else {
            return Err("its owners were not examined".to_owned());
        };
        let record = record_of(first)?;
        for other in others.iter().filter(|other| other.1 != first.1) {
            self.same(first.0, &record, other)?;
        }
        self.read(&record)
    }

    /// Two owners with different bytes may differ in expired values alone.
    fn same(&self, first: NodeId, ours: &Record, other: &Replica) -> Result<(), String> {
        let theirs = record_of(other)?;
        let over = self.over_by();
        let expired = |record: &Record| expired(record, over);
        if same_versions(ours, &theirs, over) && (expired(ours) || expired(&theirs)) {
            return Ok(());
        }

        Err(format!(
            "nodes {} and {} have not converged: {} and {}",
            first.0,
            other.0.0,
            record_text(ours),
            record_text(&theirs)
        ))
    }

    /// The read of all replicas returned what is stored.
    fn read(&self, stored: &Record) -> Result<(), String> {
        let id = self.end.read;
        let reader = describe::op(self.history, id);
        let Some((_, Outcome::Read { siblings, seen })) = &self.history.op(id).returned else {
            return Err(format!("all is healed, but {reader} did not succeed"));
        };
        // Floors may have risen since it read.
        if !stored.seen().same_above(seen, self.end.floor) {
            return Err(format!(
                "the owners have seen {}, but {reader} has seen {}",
                seen_text(stored.seen()),
                seen_text(seen)
            ));
        }

        let over = self.over_by();
        let alive = stored.live().iter().filter(|s| !is_over(s.expiry, over));
        let found = siblings.iter().filter(|s| !is_over(s.expiry, over));
        let alive = alive.map(|s| (s.dot, s.expiry, s.value.as_ref()));
        if alive.eq(found.map(|s| (s.dot, s.expiry, Some(&s.value)))) {
            return Ok(());
        }

        Err(format!(
            "the owners hold {}, but {reader} found {}",
            record_text(stored),
            found_text(siblings)
        ))
    }

    /// What expires by then may have been treated as dead, by the reader or by a sweep behind it.
    fn over_by(&self) -> Millis {
        let op = self.history.op(self.end.read);
        let at = op.succeeded().unwrap_or(op.invoked);
        latest_taken(self.history, at.max(self.history.ended))
    }

    fn violation(&self, what: &str) -> Violation {
        let key = describe::key(self.history, self.end.key);
        Violation {
            invariant: INVARIANT.name,
            key: Some(self.end.key),
            ops: vec![self.end.read],
            what: format!("{key}: {what}"),
        }
    }
}

/// An owner, and the bytes of its record if it has one.
type Replica = (NodeId, Option<Bytes>);

fn record_of((node, bytes): &Replica) -> Result<Record, String> {
    let Some(bytes) = bytes else {
        return Ok(Record::default());
    };
    decode_record(bytes)
        .map_err(|error| format!("node {} holds a record that is none: {error}", node.0))
}

fn same_versions(a: &Record, b: &Record, over: Millis) -> bool {
    let [left, right] = [a, b].map(|r| r.live().iter().filter(|s| !is_over(s.expiry, over)));
    a.seen() == b.seen() && left.eq(right)
}

fn expired(record: &Record, over: Millis) -> bool {
    record.live().iter().any(|s| is_over(s.expiry, over))
}

fn is_over(expiry: Option<Millis>, over: Millis) -> bool {
    expiry.is_some_and(|expiry| expiry <= over)
}

fn record_text(record: &Record) -> String {
    if record.is_absent() {
        return "no record".to_owned();
    }
    let live = record.live().iter();
    let live: Vec<_> = live.map(|s| (s.dot, s.value.as_ref())).collect();
    let seen = seen_text(record.seen());
    format!("[{}] having seen {seen}", values_text(&live))
}

fn found_text(found: &[Found]) -> String {
    let found: Vec<_> = found.iter().map(|f| (f.dot, Some(&f.value))).collect();
    format!("[{}]", values_text(&found))
}

fn values_text(values: &[(quoit_ring::Dot, Option<&Bytes>)]) -> String {
    let one = |(dot, value): &(_, Option<&Bytes>)| {
        let value = value.map_or_else(|| "a value left out".to_owned(), describe::value);
        format!("{value} as {dot}")
    };
    let values: Vec<_> = values.iter().map(one).collect();
    values.join(", ")
}

fn seen_text(seen: &quoit_ring::Seen) -> String {
    let mut text = format!("all to {:?}", seen.floor());
    for interval in seen.intervals() {
        let quoit_ring::Interval { actor, lo, hi } = interval;
        text += &format!(", {actor:?}@({lo:?}, {hi:?}]");
    }
    text
}

#[cfg(test)]
mod tests;
