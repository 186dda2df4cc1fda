//! When the coordinator wants to be called: at a steady tick, and when a read is to hedge.
//!
//! ```text
//!   tick     every 10 ms while anything is under way: deadlines, the `hedge_all_after`, overdue answers
//!   hedges   one moment per read that may hedge, the earliest first
//! ```
//!
//! A deadline may be late by a tick, as it is seconds away; a hedge is worth little if it is late by ten
//! times the usual answer, so it has a moment of its own. A read that has ended leaves its moment behind until
//! it is the earliest, and then it is dropped: a moment lies here no longer than the `hedge_all_after` (100 ms), or the
//! time that a turn on a register is waited for (200 ms), which bounds how many there are.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use quoit_ring::Moment;

use crate::coordinator::slab::Key;

/// Deadlines and `hedge_all_after` are looked at this often while anything is under way.
const TICK_MICROS: u64 = 10_000;

/// A tick that is later than this says more about this machine than about the nodes.
const OVERSLEPT_MICROS: u64 = 50_000;

/// What is due when.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    tick: Option<Moment>,
    hedges: BinaryHeap<Reverse<(Moment, Key)>>,
    /// The earliest of all.
    next: Option<Moment>,
}

/// How a tick came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tick {
    /// About when it was due.
    InTime,
    /// So late that answers may have come in the meantime that nobody has looked at yet.
    Late,
}

impl Timers {
    /// The earliest of all.
    pub(crate) const fn next(&self) -> Option<Moment> {
        self.next
    }

    /// Sets the tick, unless it is set.
    pub(crate) fn wind(&mut self, now: Moment) {
        if self.tick.is_none() {
            self.tick = Some(now.after(TICK_MICROS));
            self.settle();
        }
    }

    /// Takes the tick, if it is due.
    pub(crate) fn take_tick(&mut self, now: Moment) -> Option<Tick> {
        let due = self.tick.take_if(|tick| *tick <= now)?;
        self.settle();
        Some(if now.since(due) > OVERSLEPT_MICROS {
            Tick::Late
        } else {
            Tick::InTime
        })
    }

    /// Has a read hedge then.
    pub(crate) fn hedge_at(&mut self, due: Moment, key: Key) {
        self.hedges.push(Reverse((due, key)));
        self.settle();
    }

    /// Takes a read whose moment to hedge has come.
    pub(crate) fn take_hedge(&mut self, now: Moment) -> Option<Key> {
        let Reverse((due, key)) = *self.hedges.peek()?;
        if due > now {
            return None;
        }
        self.hedges.pop();
        self.settle();
        Some(key)
    }

    /// Drops the earliest moments of reads that have ended.
    pub(crate) fn drop_ended(&mut self, lives: impl Fn(Key) -> bool) {
        while let Some(Reverse((_, key))) = self.hedges.peek()
            && !lives(*key)
        {
            self.hedges.pop();
            self.settle();
        }
    }

    fn settle(&mut self) {
        let hedge = self.hedges.peek().map(|Reverse((due, _))| *due);
        self.next = hedge.into_iter().chain(self.tick).min();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn key(slot: u32) -> Key {
        Key {
            slot,
            generation: 0,
        }
    }

    #[test]
    fn the_earliest_is_next_and_what_has_ended_is_not_waited_for() {
        let mut timers = Timers::default();
        assert_eq!(timers.next(), None);
        timers.wind(Moment(0));
        timers.hedge_at(Moment(3_000), key(1));
        timers.hedge_at(Moment(2_000), key(2));
        assert_eq!(timers.next(), Some(Moment(2_000)));
        timers.drop_ended(|key| key.slot != 2);
        assert_eq!(timers.next(), Some(Moment(3_000)));
        assert_eq!(timers.take_hedge(Moment(2_999)), None);
        assert_eq!(timers.take_hedge(Moment(3_000)), Some(key(1)));
        assert_eq!(timers.next(), Some(Moment(10_000)));
    }

    #[test]
    fn a_tick_is_taken_once_and_says_whether_it_was_late() {
        let mut timers = Timers::default();
        timers.wind(Moment(0));
        timers.wind(Moment(5_000));
        assert_eq!(timers.take_tick(Moment(9_999)), None);
        assert_eq!(timers.take_tick(Moment(10_000)), Some(Tick::InTime));
        assert_eq!(timers.take_tick(Moment(10_000)), None);
        timers.wind(Moment(10_000));
        assert_eq!(timers.take_tick(Moment(71_000)), Some(Tick::Late));
    }
}
