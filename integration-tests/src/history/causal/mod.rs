//! The oracle of causality: what each write had seen, as the exact set of the writes that it replaces.
//!
//! ```text
//!   dot d of a blind write     every event older than d, also one that is sent later by a slow clock
//!   dot d of a causal write    what the operations it builds on had seen when they returned, nothing else
//!   a later dot of one write   what its earlier dot had seen, and that dot
//!
//!   a read had seen            the siblings it returned and the deletes it names, and all they had seen
//!   a write had seen           its acknowledged dot, and all that had seen
//! ```
//!
//! An *event* is a dot that was sent out: a re-minted write makes several, one of unknown outcome
//! makes some too, and a delete makes events without a value. Histories are sets of events, made from what
//! the sessions did and never from a `Seen`; only which events a region names is asked of the region itself.
//! That relation is transitive, and an event is in the histories of later dots only.
//!
//! A causal write also claims the times `(prev, time]` of its own actor, where `prev` is the actor's dot
//! before it on the key: that one is *out* of the interval, so it contains nothing but the write itself, and
//! a write is concurrent with its own writer's earlier ones unless it builds on them. A re-minted write
//! builds on its first attempt (not on what its actor wrote in between), a blind one on whatever is older.
//!
//! Left out: keys whose dots are minted twice by clones, and values that expire ([`is_exact`]).
//!
//! Source: Almeida et al., *Scalable and Accurate Causality Tracking for Eventually Consistent Stores* (2014),
//! whose causal histories these are; the floor of blind writes is our own.

mod events;
mod set;

use std::collections::BTreeMap;

pub use self::events::{Event, Events, Keyed};
pub use self::set::Set;
use super::{Basis, Call, Family, Found, History, Op, OpId, Outcome};

/// Whether what a key's reads return follows from the dots alone: no dot is minted twice, and no value expires.
#[must_use]
pub const fn is_exact(family: Family) -> bool {
    !matches!(family, Family::Twins | Family::Expiring)
}

/// One key's events, each with its history.
#[derive(Debug)]
pub struct Causal<'a> {
    history: &'a History,
    events: Events,
    /// Of each event, what it had seen, itself left out.
    before: Vec<Set>,
    /// The events that are values.
    valued: Set,
}

impl<'a> Causal<'a> {
    /// Works out the histories of a key's events, in the order in which they were minted.
    #[must_use]
    pub fn of(history: &'a History, keyed: &Keyed) -> Self {
        let events = Events::of(&keyed.minted);
        let mut valued = events.none();
        for (number, event) in events.list().iter().enumerate() {
            if matches!(history.op(event.op).call, Call::Put { .. }) {
                valued.insert(number);
            }
        }

        let before = vec![events.none(); events.list().len()];
        let mut causal = Self {
            history,
            events,
            before,
            valued,
        };
        causal.work_out();
        causal
    }

    /// The key's events.
    #[must_use]
    pub const fn events(&self) -> &Events {
        &self.events
    }

    /// What an event had seen, itself left out.
    #[must_use]
    pub fn before(&self, event: usize) -> &Set {
        &self.before[event]
    }

    /// Whether an event is a value; else it is a delete.
    #[must_use]
    pub fn is_value(&self, event: usize) -> bool {
        self.valued.has(event)
    }

    /// All that the events in `seen` had seen: the values among it are replaced.
    #[must_use]
    pub fn replaced(&self, seen: &Set) -> Set {
        let mut replaced = self.events.none();
        // An event that was met already adds nothing: its history is part of the later one's.
        seen.for_each_down(&mut replaced, |event, replaced| {
            replaced.unite(&self.before[event]);
        });
        replaced
    }

    /// The siblings that a read must return if it has seen `seen`, of which `replaced` is replaced.
    #[must_use]
    pub fn alive(&self, seen: &Set, replaced: &Set) -> Set {
        seen.and(&self.valued).without(replaced)
    }

    /// The event that a sibling is: the write under its dot that put these bytes.
    #[must_use]
    pub fn sibling(&self, found: &Found) -> Option<usize> {
        let made = |&event: &usize| match &self.history.op(self.events.list()[event].op).call {
            Call::Put { value, .. } => *value == found.value,
            Call::Get | Call::Delete { .. } => false,
        };
        self.events.with_dot(found.dot).find(made)
    }

    /// The events that these siblings are; those without an event are left out.
    #[must_use]
    pub fn returned(&self, siblings: &[Found]) -> Set {
        let mut returned = self.events.none();
        for event in siblings.iter().filter_map(|found| self.sibling(found)) {
            returned.insert(event);
        }
        returned
    }

    /// What an operation had seen when it returned; nothing if it did not return well.
    #[must_use]
    pub fn known(&self, op: &Op) -> Set {
        let mut known = self.events.none();
        match &op.returned {
            Some((at, Outcome::Read { siblings, seen })) => {
                let deletes = self.events.seen(seen).without(&self.valued);
                let made = |event: &usize| self.events.list()[*event].at <= *at;
                for event in deletes.iter().filter(made) {
                    self.add(event, &mut known);
                }
                let dots = siblings.iter().filter_map(|found| self.sibling(found));
                for event in dots.filter(made) {
                    self.add(event, &mut known);
                }
            }
            Some((_, Outcome::Written { dot, .. })) => {
                for event in self.events.with_dot(*dot) {
                    self.add(event, &mut known);
                }
            }
            _ => {}
        }

        known
    }

    fn add(&self, event: usize, known: &mut Set) {
        if !known.has(event) {
            known.unite(&self.before[event]);
            known.insert(event);
        }
    }

    fn work_out(&mut self) {
        let mut known = BTreeMap::new();
        let mut latest: BTreeMap<OpId, usize> = BTreeMap::new();
        for event in self.events.by_minting() {
            let Event { op, dot, .. } = self.events.list()[event];
            let mut before = match self.history.op(op).call.basis() {
                Some(Basis::Blind) => self.events.older_than(dot.time),
                Some(Basis::Seen(ops)) => self.joined(ops, &mut known),
                None => self.events.none(),
            };
            if let Some(earlier) = latest.insert(op, event) {
                before.insert(earlier);
                before.unite(&self.before[earlier]);
            }
            self.before[event] = before;
        }
    }

    fn joined(&self, ops: &[OpId], known: &mut BTreeMap<OpId, Set>) -> Set {
        let mut all = self.events.none();
        for &op in ops {
            let known = known.entry(op);
            all.unite(known.or_insert_with(|| self.known(self.history.op(op))));
        }
        all
    }
}

#[cfg(test)]
mod tests;
