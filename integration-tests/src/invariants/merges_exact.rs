//! Counters that are merged count exactly: no increment is lost, none counts twice, a refused one never.
//!
//! ```text
//!   get, merged: {w: 4}  --> put {w: 5} with that context        one step of writer w, from 4 to 5
//!
//!   acknowledged steps of w     <=  w's slot in a read after them
//!   steps of w in the context   <=  w's slot in that read        and the slot is a step that was put
//!   w's slot in a read          <=  steps of w asked for before it returned, less the refused ones
//!   a merged read               one call of its merge function, with the siblings that it returned; none for one value
//! ```
//!
//! A *step* is a put whose counter is the merge of what it builds on, with one count raised by one: the writer
//! follows from the values, and every write of a counter has to be one. A slot is the length of the longest
//! chain of its writer's steps each of which had seen the one before. So it is exact by dots: it equals the
//! greatest step of that writer in the read's past. As a number of increments it is exact but for unknown
//! ones: a writer that goes on without having seen such a put makes the same step once more, and both count
//! once. At the end the slot is therefore between the acknowledged and those that were not refused.
//!
//! The lower bound counts steps that were read and put by quorums, one after the other, and holds for reads by
//! quorums and for the read of all replicas at the end. The other bounds hold for every read.
//!
//! Left out: whether a context names the right dots (exact siblings), and sums over keys.
//!
//! Source: `DeCandia` et al., *Dynamo* (2007), sections 4.4 and 6.1 (business logic specific reconciliation);
//! Shapiro et al., *Convergent and Commutative Replicated Data Types* (2011), for the counter.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use quoit_ring::{Dot, Moment, Seen};

use super::{Invariant, Violation, describe};
use crate::history::causal::Keyed;
use crate::history::{
    Basis, Call, Doubts, Family, Found, GCounter, History, Mode, Op, OpId, Outcome,
};

/// See the [module](self).
pub const INVARIANT: Invariant = Invariant {
    name: "merges-exact",
    says: "a merged counter has every acknowledged increment once, and no refused one",
    source: "Dynamo 4.4, 6.1",
    check,
};

fn check(history: &History) -> Result<(), Violation> {
    let doubts = Doubts::of(history);
    for keyed in Keyed::all(history) {
        if history.key(keyed.key).family != Family::Counter {
            continue;
        }
        let mut judge = Judge::new(history, &doubts, &keyed);
        for &id in &keyed.ops {
            judge.add_step(id)?;
        }
        let last = history.finals.iter().find(|end| end.key == keyed.key);
        for &id in &keyed.ops {
            judge.read(id, last.is_some_and(|end| end.read == id))?;
        }
    }

    Ok(())
}

/// One increment.
struct Step {
    op: OpId,
    counter: GCounter,
    dots: Vec<Dot>,
    invoked: Moment,
    refused: bool,
}

/// What a step made of its writer's count.
struct Made {
    /// Its place among all steps.
    place: usize,
    invoked: Moment,
    count: u64,
    /// The greatest count of this writer until then.
    most: u64,
}

/// One writer's steps.
#[derive(Default)]
struct Writer {
    /// Its steps, in the order they were asked.
    steps: Vec<Made>,
    /// When those that were not refused were asked, ascending.
    attempted: Vec<Moment>,
    /// The acknowledged, each invoked after the one before had returned: when, and which.
    acked: Vec<(Moment, OpId)>,
}

struct Judge<'a> {
    history: &'a History,
    doubts: &'a Doubts<'a>,
    keyed: &'a Keyed,
    dots: BTreeMap<OpId, Vec<Dot>>,
    steps: Vec<Step>,
    by_value: BTreeMap<&'a Bytes, usize>,
    writers: BTreeMap<u64, Writer>,
}

impl<'a> Judge<'a> {
    fn new(history: &'a History, doubts: &'a Doubts<'a>, keyed: &'a Keyed) -> Self {
        let mut dots: BTreeMap<OpId, Vec<Dot>> = BTreeMap::new();
        for minted in &keyed.minted {
            dots.entry(minted.op).or_default().push(minted.dot);
        }

        Self {
            history,
            doubts,
            keyed,
            dots,
            steps: Vec::new(),
            by_value: BTreeMap::new(),
            writers: BTreeMap::new(),
        }
    }

    /// Takes a write in as a step of its writer.
    fn add_step(&mut self, id: OpId) -> Result<(), Violation> {
        let op = self.history.op(id);
        let (value, builds_on) = match &op.call {
            Call::Get => return Ok(()),
            Call::Put {
                value,
                basis: Basis::Seen(ops),
                ..
            } => (value, ops),
            Call::Put { .. } | Call::Delete { .. } => {
                let what = "is no increment: every write of a counter is a put with a context";
                return Err(self.violation(&[id], what));
            }
        };
        let base = self.base(id, builds_on)?;
        let counter = GCounter::parse(value).unwrap_or_default();
        let Some(writer) = counter.step_from(&base) else {
            let what = format!(
                "put {}, which is not one step from the merge of what it builds on, {}",
                describe::value(value),
                counter_text(&base)
            );
            return Err(self.violation(&[&builds_on[..], &[id]].concat(), &what));
        };
        self.count(id, (writer, counter.count(writer)), builds_on);
        self.by_value.insert(value, self.steps.len());
        self.steps.push(Step {
            op: id,
            counter,
            dots: self.dots_of(id, op),
            invoked: op.invoked,
            refused: is_refused(op),
        });
        Ok(())
    }

    /// The merge of all that a put builds on.
    fn base(&self, id: OpId, builds_on: &[OpId]) -> Result<GCounter, Violation> {
        let mut base = GCounter::default();
        for &before in builds_on {
            let op = self.history.op(before);
            match (&op.call, &op.returned) {
                (_, Some((_, Outcome::Read { siblings, .. }))) => {
                    base.merge(self.merged(before, siblings)?.as_ref());
                }
                (Call::Put { value, .. }, Some((_, Outcome::Written { .. }))) => {
                    let step = self.by_value.get(value).map(|&place| &self.steps[place]);
                    step.into_iter().for_each(|step| base.merge(&step.counter));
                }
                _ => {
                    let what = "builds on an operation that gave out no context";
                    return Err(self.violation(&[before, id], what));
                }
            }
        }

        Ok(base)
    }

    /// Adds the step that will be the next one to its writer's.
    fn count(&mut self, id: OpId, (writer, count): (u64, u64), builds_on: &[OpId]) {
        let op = self.history.op(id);
        let writer = self.writers.entry(writer).or_default();
        let most = writer
            .steps
            .last()
            .map_or(count, |last| last.most.max(count));
        let place = self.steps.len();
        writer.steps.push(Made {
            place,
            invoked: op.invoked,
            count,
            most,
        });
        if is_refused(op) {
            return;
        }

        writer.attempted.push(op.invoked);
        let done = writer.acked.last().map_or(Moment(0), |last| last.0);
        let read_after = |&before: &OpId| {
            let before = self.history.op(before);
            before.mode == Mode::Quorum && done <= before.invoked
        };
        if op.mode == Mode::Quorum && (writer.acked.is_empty() || builds_on.iter().any(read_after))
        {
            writer.acked.extend(op.succeeded().map(|at| (at, id)));
        }
    }

    /// The dots that surely are the write's own: an acknowledged one returned it.
    fn dots_of(&self, id: OpId, op: &Op) -> Vec<Dot> {
        match op.dot() {
            Some(dot) => vec![dot],
            None => self.dots.get(&id).cloned().unwrap_or_default(),
        }
    }

    /// What a read's siblings are together, each a step that was put before it returned.
    fn merged(&self, id: OpId, siblings: &[Found]) -> Result<Cow<'_, GCounter>, Violation> {
        let [first, others @ ..] = siblings else {
            return Ok(Cow::default());
        };
        let mut merged = Cow::Borrowed(self.step_of(id, first)?);
        for found in others {
            merged.to_mut().merge(self.step_of(id, found)?);
        }
        Ok(merged)
    }

    /// The counter that a read found, if it was put and not refused.
    fn step_of(&self, id: OpId, found: &Found) -> Result<&GCounter, Violation> {
        let by = self.history.op(id).succeeded().unwrap_or_default();
        let step = self.by_value.get(&found.value).map(|&p| &self.steps[p]);
        let Some(step) = step.filter(|step| step.invoked < by) else {
            let value = describe::value(&found.value);
            let what = format!(
                "found {value} as {}, which no client had put yet",
                found.dot
            );
            return Err(self.violation(&[id], &what));
        };
        if !step.refused {
            return Ok(&step.counter);
        }

        let what = format!(
            "found {}, which {} reported as stored nowhere",
            describe::value(&found.value),
            describe::op(self.history, step.op)
        );
        Err(self.violation(&[step.op, id], &what))
    }

    /// Holds a read against the steps. `last` if it is the read of all replicas at the end.
    fn read(&self, id: OpId, last: bool) -> Result<(), Violation> {
        let op = self.history.op(id);
        let Some((returned, Outcome::Read { siblings, seen })) = &op.returned else {
            return Ok(());
        };
        let merged = self.merged(id, siblings)?;
        self.merged_once(id, siblings.len())?;

        for (&name, writer) in &self.writers {
            let slot = (name, merged.count(name));
            if last || op.mode == Mode::Quorum {
                self.nothing_acked_lost(id, op.invoked, slot, writer)?;
            }
            self.nothing_seen_lost((id, *returned), seen, slot, writer)?;
            self.nothing_twice(id, *returned, slot, writer)?;
        }

        Ok(())
    }

    /// A merge of what was merged before changes no count, so it is looked for where it is done.
    fn merged_once(&self, id: OpId, siblings: usize) -> Result<(), Violation> {
        let Some(given) = self.history.merged.get(&id) else {
            return Ok(());
        };
        let expected = if siblings > 1 { &[siblings][..] } else { &[] };
        if given == expected {
            return Ok(());
        }
        let what =
            format!("called its merge function with {given:?} values, but returned {siblings}");
        Err(self.violation(&[id], &what))
    }

    fn nothing_acked_lost(
        &self,
        id: OpId,
        invoked: Moment,
        (name, count): (u64, u64),
        writer: &Writer,
    ) -> Result<(), Violation> {
        let acked = writer.acked.partition_point(|&(at, _)| at <= invoked);
        let Some(&(_, last)) = writer.acked[..acked].last() else {
            return Ok(());
        };
        if number(acked) <= count {
            return Ok(());
        }

        let what = format!(
            "counts {count} increments of writer {name}, but {acked} were acknowledged before it was asked, the last by {}",
            describe::op(self.history, last)
        );
        let before = writer.acked[..acked].iter().map(|&(_, op)| op);
        Err(self.violation(&before.chain([id]).collect::<Vec<_>>(), &what))
    }

    fn nothing_seen_lost(
        &self,
        (id, returned): (OpId, Moment),
        seen: &Seen,
        (name, count): (u64, u64),
        writer: &Writer,
    ) -> Result<(), Violation> {
        let end = writer.steps.partition_point(|made| made.invoked < returned);
        let latest_first = writer.steps[..end].iter().rev();
        let above = latest_first.take_while(|made| made.most > count);
        let above = above.filter(|made| made.count > count);
        let mut steps = above.map(|made| &self.steps[made.place]);
        let holds =
            |step: &Step, dot: Dot| seen.contains(dot) && !self.doubts.has((step.op, dot), seen);
        let seen_by = |step: &&Step| !step.refused && step.dots.iter().any(|&d| holds(step, d));
        let Some(step) = steps.find(seen_by) else {
            return Ok(());
        };
        let what = format!(
            "counts {count} increments of writer {name}, but its context holds {:?}, by which {} made it {}",
            step.dots,
            describe::op(self.history, step.op),
            step.counter.count(name)
        );
        Err(self.violation(&[step.op, id], &what))
    }

    fn nothing_twice(
        &self,
        id: OpId,
        returned: Moment,
        (name, count): (u64, u64),
        writer: &Writer,
    ) -> Result<(), Violation> {
        let attempted = writer.attempted.partition_point(|&at| at < returned);
        if count > number(attempted) {
            let what = format!(
                "counts {count} increments of writer {name}, but only {attempted} were asked for before it returned, not counting refused ones"
            );
            let steps = writer.steps.iter().map(|made| &self.steps[made.place]);
            let made = steps.filter(|s| s.invoked < returned).map(|s| s.op);
            return Err(self.violation(&made.chain([id]).collect::<Vec<_>>(), &what));
        }
        Ok(())
    }

    fn violation(&self, ops: &[OpId], what: &str) -> Violation {
        let (history, key) = (self.history, self.keyed.key);
        let writer = ops.last().map(|&id| describe::op(history, id));
        Violation {
            invariant: INVARIANT.name,
            key: Some(key),
            ops: ops.to_vec(),
            what: format!(
                "{}: {} {what}",
                describe::key(history, key),
                writer.unwrap_or_default()
            ),
        }
    }
}

const fn is_refused(op: &Op) -> bool {
    matches!(op.returned, Some((_, Outcome::Refused(_))))
}

fn number(of: usize) -> u64 {
    u64::try_from(of).unwrap_or(u64::MAX)
}

fn counter_text(counter: &GCounter) -> String {
    let slots = counter
        .iter()
        .map(|(writer, count)| format!("{writer}: {count}"));
    format!("{{{}}}", slots.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests;
