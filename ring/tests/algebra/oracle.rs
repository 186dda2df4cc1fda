//! The oracle: it knows the exact history of every write, and from that what must live and be seen.
//!
//! ```text
//!   real      Record, Seen                    the code under test
//!   oracle    History = a set of writes, by number, and "all up to a time" (what blind writes overwrite)
//!
//!   a value lives at a replica  <=>  it was received, and nothing received has it in its history
//!   Seen contains a dot         <=>  its write was received, or lies in the history of one received
//! ```
//!
//! Writes that share a dot are twins: clones minted it twice. Overwriting one overwrites all.

use quoit_ring::{Dot, Record, Time};

/// Most writes: sets of them fit a word.
pub(crate) const MAX_WRITES: usize = 64;

/// Exactly these writes, and every write up to `floor`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct History {
    pub(crate) ids: u64,
    pub(crate) floor: Time,
}

impl History {
    /// All that a blind write at `time` overwrites.
    pub(crate) const fn older_than(time: Time) -> Self {
        Self {
            ids: 0,
            floor: time.before(),
        }
    }

    pub(crate) const fn of(ids: u64) -> Self {
        Self {
            ids,
            floor: Time::ZERO,
        }
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            ids: self.ids | other.ids,
            floor: self.floor.max(other.floor),
        }
    }
}

/// What a replica holds, or a message carries: the real record, and what the oracle knows of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct State {
    pub(crate) record: Record,
    /// The writes received.
    got: u64,
    /// The histories of the writes received, themselves left out.
    past: History,
}

impl State {
    /// The delta of write `id`, which overwrites `past`.
    pub(crate) const fn of_write(id: usize, record: Record, past: History) -> Self {
        Self {
            record,
            got: 1 << id,
            past,
        }
    }

    pub(crate) fn join(&mut self, other: &Self) {
        self.record.join(&other.record);
        self.got |= other.got;
        self.past = self.past.and(other.past);
    }

    /// The writes received, as a word of bits.
    pub(crate) const fn got(&self) -> u64 {
        self.got
    }

    /// Everything that a reader of this has seen.
    pub(crate) fn known(&self) -> History {
        self.past.and(History::of(self.got))
    }
}

#[derive(Debug)]
struct Write {
    dot: Dot,
    /// All writes with this dot, itself included.
    twins: u64,
}

/// Every write so far.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    writes: Vec<Write>,
    deleting: u64,
}

impl Oracle {
    /// The number of the next write.
    pub(crate) const fn next(&self) -> usize {
        self.writes.len()
    }

    pub(crate) fn dots(&self) -> impl Iterator<Item = Dot> {
        self.writes.iter().map(|w| w.dot)
    }

    pub(crate) fn dot(&self, id: usize) -> Dot {
        self.writes[id].dot
    }

    pub(crate) fn add(&mut self, dot: Dot, deletes: bool) {
        let id = self.writes.len();
        let mut twins = 1 << id;
        for (other, write) in self.writes.iter_mut().enumerate() {
            if write.dot == dot {
                write.twins |= 1 << id;
                twins |= 1 << other;
            }
        }
        self.writes.push(Write { dot, twins });
        self.deleting |= u64::from(deletes) << id;
    }

    /// Holds a record against the oracle: its live values, and for every write whether it was seen.
    /// Returns the live writes.
    pub(crate) fn check(&self, state: &State) -> u64 {
        let mut live = 0;
        for sibling in state.record.live() {
            let id = usize::from(sibling.value.as_ref().expect("values are kept")[0]);
            assert_eq!(self.writes[id].dot, sibling.dot, "write {id}");
            live |= 1 << id;
        }
        let expected = self.live(state);
        assert_eq!(
            live, expected,
            "live {live:#b}, expected {expected:#b} of {state:?}"
        );
        let known = state.known();
        for (id, write) in self.writes.iter().enumerate() {
            let seen = state.record.seen().contains(write.dot);
            let expected = write.dot.time <= known.floor || write.twins & known.ids != 0;
            assert_eq!(seen, expected, "write {id} seen by {state:?}");
        }
        live
    }

    /// The writes that must be live.
    pub(crate) fn live(&self, state: &State) -> u64 {
        let dead = state.past.ids | (state.got & self.deleting);
        let lives = |write: &Write| write.dot.time > state.past.floor && write.twins & dead == 0;
        let all = self.writes.iter().enumerate();
        all.filter(|(id, write)| state.got >> id & 1 == 1 && lives(write))
            .fold(0, |ids, (id, _)| ids | 1 << id)
    }

    /// Whether some dot has two of its contents among the writes `live`.
    pub(crate) fn has_twins(&self, live: u64) -> bool {
        self.writes
            .iter()
            .any(|w| (w.twins & live).count_ones() > 1)
    }
}
