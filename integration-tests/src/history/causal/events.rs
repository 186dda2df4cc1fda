//! The events of one key: every dot that was sent out for it, in the order of dots.
//!
//! ```text
//!   History::minted  --by key-->  Keyed  --sorted by dot-->  Events      a region's events: a prefix up to its
//!   History::ops     --by key-->                                         floor, and the dots it names above
//! ```
//!
//! A dot that two clones minted is two events, and an operation that has seen one has seen the other. Left out: what an
//! event had seen.

use quoit_ring::{Actor, Dot, Interval, Moment, Seen, Time};

use super::Set;
use crate::history::{History, KeyId, Minted, OpId};

/// What happened to one key, in the order it happened.
#[derive(Debug, Clone)]
pub struct Keyed {
    /// Which key.
    pub key: KeyId,
    /// The operations on it, in the order they were asked.
    pub ops: Vec<OpId>,
    /// The dots sent out for it, in the order they were minted.
    pub minted: Vec<Minted>,
}

impl Keyed {
    /// A history taken apart by key, in the order of their ids.
    #[must_use]
    pub fn all(history: &History) -> Vec<Self> {
        let empty = |(_, id)| Self {
            key: KeyId(id),
            ops: Vec::new(),
            minted: Vec::new(),
        };
        let mut keys: Vec<_> = history.keys.iter().zip(0..).map(empty).collect();
        for (id, op) in history.iter() {
            keys[op.key.0 as usize].ops.push(id);
        }

        for &minted in &history.minted {
            let key = history.op(minted.op).key;
            keys[key.0 as usize].minted.push(minted);
        }

        keys
    }
}

/// A dot that was sent out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// The dot.
    pub dot: Dot,
    /// For which write.
    pub op: OpId,
    /// When its first frame was sent.
    pub at: Moment,
}

/// One key's events, numbered in the order of their dots.
#[derive(Debug)]
pub struct Events {
    list: Vec<Event>,
    by_minting: Vec<usize>,
    /// Their dots by actor and time, with their numbers.
    by_actor: Vec<(Actor, Time, usize)>,
}

impl Events {
    /// The events of a key from its dots in the order they were minted.
    #[must_use]
    pub fn of(minted: &[Minted]) -> Self {
        let mut order: Vec<usize> = (0..minted.len()).collect();
        order.sort_by_key(|&i| (minted[i].dot, minted[i].op));
        let event = |&i: &usize| {
            let Minted { op, dot, at } = minted[i];
            Event { dot, op, at }
        };
        let list: Vec<Event> = order.iter().map(event).collect();
        let mut by_minting = vec![0; order.len()];

        for (number, &i) in order.iter().enumerate() {
            by_minting[i] = number;
        }

        let numbered = list.iter().enumerate();
        let place = |(number, event): (usize, &Event)| (event.dot.actor, event.dot.time, number);
        let mut by_actor: Vec<_> = numbered.map(place).collect();
        by_actor.sort_unstable();
        Self {
            list,
            by_minting,
            by_actor,
        }
    }

    /// The events, by number.
    #[must_use]
    pub fn list(&self) -> &[Event] {
        &self.list
    }

    /// The events' numbers in the order they were minted.
    pub(super) fn by_minting(&self) -> impl Iterator<Item = usize> + use<> {
        self.by_minting.clone().into_iter()
    }

    /// No event.
    #[must_use]
    pub fn none(&self) -> Set {
        Set::none(self.list.len())
    }

    /// The events before a time, whenever they were sent.
    #[must_use]
    pub fn older_than(&self, time: Time) -> Set {
        let end = self.list.partition_point(|event| event.dot.time < time);
        Set::below(end, self.list.len())
    }

    /// The events in a region.
    #[must_use]
    pub fn seen(&self, seen: &Seen) -> Set {
        let floor = seen.floor();
        let end = self.list.partition_point(|event| event.dot.time <= floor);
        let mut set = Set::below(end, self.list.len());

        for interval in seen.intervals() {
            let Interval { actor, lo, hi } = *interval;
            let first = self.by_actor.partition_point(|e| (e.0, e.1) <= (actor, lo));
            let inside = |e: &&(Actor, Time, usize)| (e.0, e.1) <= (actor, hi);
            for &(_, _, number) in self.by_actor[first..].iter().take_while(inside) {
                set.insert(number);
            }
        }

        set
    }

    /// The numbers of the events with this dot: one, or several if clones minted it.
    pub fn with_dot(&self, dot: Dot) -> impl Iterator<Item = usize> + use<> {
        let first = self.list.partition_point(|event| event.dot < dot);
        let count = self.list[first..].iter().take_while(|e| e.dot == dot);
        first..first + count.count()
    }

    /// Two events of different writes with one dot, the first there are.
    #[must_use]
    pub fn twins(&self) -> Option<(&Event, &Event)> {
        let mut pairs = self.list.windows(2);
        let pair = pairs.find(|w| w[0].dot == w[1].dot)?;
        Some((&pair[0], &pair[1]))
    }
}
