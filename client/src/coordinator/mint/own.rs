//! What one actor did on one key: times of its dots, and which of its blind writes are acknowledged.
//!
//! ```text
//!   acknowledged    time  owners  nodes
//!   put a, W = 3      17       3      3    overwrites whatever this actor wrote before 17
//!   put b, W = 2      23       2      2    and what it wrote before 23, if two owners are enough for that
//! ```
//!
//! Only writes that no later one equals in copies are kept, so it is one where all need the same number. They are
//! three at most, as many as three replicas can make; beyond that the oldest is dropped, and a write that it would have
//! overwritten fails as superseded.
//!
//! Left out: writes under way beyond the first, of which the [mint](super) has a list.

use quoit_ring::Time;

use crate::coordinator::mint::Standing;
use crate::quorum::Acked;

/// Most acknowledged writes that are kept.
const MAX_ACKED: usize = 3;

const _: () = assert!(
    size_of::<(u64, Own)>() == 64,
    "what the mint's header says of a key"
);

/// How many copies a write needs: of a later one that is to count in its place, too.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Needed {
    pub(crate) w: usize,
    /// Whether a hint is a copy.
    pub(crate) sloppy: bool,
}

/// Who has acknowledged a write.
#[derive(Debug, Clone, Copy, Default)]
struct Copies {
    owners: u8,
    /// Owners, and holders of a hint.
    nodes: u8,
}

impl Copies {
    fn of(acked: Acked) -> Self {
        let count = |copies: usize| u8::try_from(copies).unwrap_or(u8::MAX);
        Self {
            owners: count(acked.nodes - acked.hints),
            nodes: count(acked.nodes),
        }
    }

    fn are_enough(self, needed: Needed) -> bool {
        let counted = if needed.sloppy {
            self.nodes
        } else {
            self.owners
        };
        usize::from(counted) >= needed.w
    }

    const fn at_least(self, other: Self) -> bool {
        self.owners >= other.owners && self.nodes >= other.nodes
    }
}

/// An actor's writes of one key; a time is zero if there is none.
#[derive(Debug, Default)]
pub(super) struct Own {
    /// Of any dot.
    pub(super) last: Time,
    /// Of the write that was started last.
    newest: Time,
    /// Of a blind write that more owners may acknowledge yet.
    pub(super) under_way: Time,
    /// How many blind writes wait for a later one. Beyond the most that fit, the last ones may find it forgotten.
    pub(super) waiting: u16,
    acked_at: [Time; MAX_ACKED],
    acked_by: [Copies; MAX_ACKED],
}

impl Own {
    /// Of a key on which all that was done is forgotten, up to `time`.
    pub(super) fn after(time: Time) -> Self {
        Self {
            last: time,
            ..Self::default()
        }
    }

    /// Whether no write depends on what is known here, but for the next one's `prev`.
    pub(super) fn is_idle(&self) -> bool {
        self.under_way == Time::ZERO && self.waiting == 0
    }

    /// A write is started; gives back the time of the previous dot.
    pub(super) const fn started(&mut self, time: Time) -> Time {
        self.newest = time;
        core::mem::replace(&mut self.last, time)
    }

    pub(super) const fn is_newest(&self, time: Time) -> bool {
        self.newest.0 == time.0
    }

    /// A blind write has so many copies.
    pub(super) fn acknowledged(&mut self, time: Time, acked: Acked) {
        let copies = Copies::of(acked);
        let mut oldest = 0;
        for slot in 0..MAX_ACKED {
            let (at, by) = (self.acked_at[slot], self.acked_by[slot]);
            if at >= time && by.at_least(copies) {
                return;
            }
            if at <= time && copies.at_least(by) {
                self.acked_at[slot] = Time::ZERO;
            }
            if self.acked_at[slot] < self.acked_at[oldest] {
                oldest = slot;
            }
        }
        if self.acked_at[oldest] < time {
            (self.acked_at[oldest], self.acked_by[oldest]) = (time, copies);
        }
    }

    /// How the write of that dot stands, if none is under way.
    pub(super) fn standing(&self, time: Time, needed: Needed) -> Standing {
        let mut acked = self.acked_at.iter().zip(&self.acked_by);
        if self.is_newest(time) {
            Standing::Newest
        } else if acked.any(|(at, by)| *at > time && by.are_enough(needed)) {
            Standing::Overwritten
        } else {
            Standing::Lost
        }
    }
}
