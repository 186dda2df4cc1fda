//! What the disk still has space for: hints stop first, then values; what removes something goes on to the end.
//!
//! ```text
//!   free beyond what the engine needs        2 x reserve         reserve             0
//!   ------------------------------------------|-------------------|------------------|
//!   Ample: all writes                         | Low: no hints     | Reserve: removals| Full: none
//!
//!   up again only once GAP more is free, so that a level does not flap
//! ```
//!
//! A hint is only a copy of what its owners have, and repair finds what it would have delivered, so it goes first. A
//! delete needs little space and gives back more once it is merged; so does the removal of a delivered hint, and
//! without those a node that ran full could never be cleared up. [`decide`] is pure. A look at the disk is a system call
//! or two, too much for every batch, so one counts for a second, or for 4 MiB of writes or a sixteenth of the reserve,
//! whichever ends first.
//!
//! Invariant: a level takes a batch only if twice its bytes (once in the journal, once in a table) fit above its mark, by
//! what was received for it; and none is committed that writes much more, unless that fits, too.

use std::time::Duration;

use quoit_ring::Moment;
use quoit_ring::wire::DiskLevel;

use crate::engine::{Engine, FreeSpace};
use crate::write::{Change, Growth, Write};

/// How long a look counts.
const LOOK: Duration = Duration::from_secs(1);
/// How many bytes it counts for, at most.
const BYTES: u64 = 4 << 20;
/// How much more must be free to leave a level than to enter it, at most: what may be written between two looks.
const GAP: u64 = 2 * BYTES;

/// How many bytes a look counts for: a byte written is one in the journal, one in a table and one more for a merge, so what
/// comes between two looks takes a fifth of the reserve at most, unless that is tiny.
fn bytes_between_looks(reserve: u64) -> u64 {
    BYTES.min((reserve / 16).max(BYTES / 16))
}

/// Whether a write that adds such data is taken at a level.
#[must_use]
pub(crate) const fn takes(level: DiskLevel, growth: Growth) -> bool {
    match growth {
        Growth::Hint => matches!(level, DiskLevel::Ample),
        Growth::Value => matches!(level, DiskLevel::Ample | DiskLevel::Low),
        Growth::Removal => !matches!(level, DiskLevel::Full),
    }
}

/// How much must stay free at a level beyond what the engine needs.
const fn mark(level: DiskLevel, reserve: u64) -> u64 {
    match level {
        DiskLevel::Full | DiskLevel::Reserve => 0,
        DiskLevel::Low => reserve,
        DiskLevel::Ample => reserve.saturating_mul(2),
    }
}

/// Bytes of writes, by what they add.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Demand {
    hints: u64,
    values: u64,
    removals: u64,
}

impl Demand {
    pub(crate) fn of<R>(writes: &[Write<R>]) -> Self {
        let mut demand = Self::default();
        for write in writes {
            let bytes = match write.growth() {
                Growth::Hint => &mut demand.hints,
                Growth::Value => &mut demand.values,
                Growth::Removal => &mut demand.removals,
            };
            *bytes = bytes.saturating_add(u64::try_from(stored(write)).unwrap_or(u64::MAX));
        }
        demand
    }

    /// All of it.
    pub(crate) const fn bytes(&self) -> u64 {
        self.hints
            .saturating_add(self.values)
            .saturating_add(self.removals)
    }

    /// What of it is taken at a level.
    fn taken_at(&self, level: DiskLevel) -> u64 {
        let of = |growth, bytes| if takes(level, growth) { bytes } else { 0 };
        of(Growth::Hint, self.hints)
            .saturating_add(of(Growth::Value, self.values))
            .saturating_add(of(Growth::Removal, self.removals))
    }
}

/// How many bytes of a write are stored, at most. A hint that is removed leaves the marker of its row, however long it was:
/// counted in full, a window of long ones would never fit on a disk that they could help to clear.
fn stored<R>(write: &Write<R>) -> usize {
    match &write.change {
        Change::Delivered(_) => write.key.len(),
        Change::Put(_) | Change::Repair(_) | Change::Restored(_) | Change::Register(_) => {
            write.bytes
        }
    }
}

/// The highest level at which there is space for `demand`; one above `before` only with the gap.
fn decide(space: FreeSpace, reserve: u64, demand: &Demand, before: DiskLevel) -> DiskLevel {
    use DiskLevel::{Ample, Full, Low, Reserve};
    let fits = |&level: &DiskLevel| {
        // Never as much as the reserve itself, which could not be left upwards else.
        let gap = if level > before {
            GAP.min(reserve / 2)
        } else {
            0
        };
        let batch = demand.taken_at(level).saturating_mul(2);
        let above = mark(level, reserve)
            .saturating_add(batch)
            .saturating_add(gap);
        space.free >= space.needed.saturating_add(above)
    };
    [Ample, Low, Reserve].into_iter().find(fits).unwrap_or(Full)
}

/// The last look at the disk.
#[derive(Debug)]
pub(crate) struct DiskSpace {
    reserve: u64,
    looked: Option<Moment>,
    /// Bytes taken since then.
    since: u64,
    level: DiskLevel,
    free: u64,
}

impl DiskSpace {
    pub(crate) const fn new(reserve: u64) -> Self {
        Self {
            reserve,
            looked: None,
            since: 0,
            level: DiskLevel::Ample,
            free: 0,
        }
    }

    /// What the last look has found: for which writes there is space, and how many bytes are free.
    pub(crate) const fn found(&self) -> (DiskLevel, u64) {
        (self.level, self.free)
    }

    /// What operators should know of the last look; nothing if there is space for all.
    pub(crate) fn warning(&self) -> Option<String> {
        let refused = match self.level {
            DiskLevel::Ample => return None,
            DiskLevel::Low => "hints are refused",
            DiskLevel::Reserve => "values are refused, deletes are accepted",
            DiskLevel::Full => "all writes are refused",
        };
        let free = self.free >> 20;
        Some(format!(
            "the disk is nearly full, {free} MiB are free: {refused}; free space"
        ))
    }

    /// Which of a batch's writes may be committed.
    pub(crate) fn look<G: Engine>(&mut self, engine: &G, demand: Demand, now: Moment) -> DiskLevel {
        self.since = self.since.saturating_add(demand.taken_at(self.level));
        let fresh = self.looked.is_some_and(|last| now < last + LOOK);
        if fresh && self.since < bytes_between_looks(self.reserve) {
            return self.level;
        }

        let space = engine.free_space();
        let decided = |demand: &Demand| {
            space.map_or(DiskLevel::Ample, |space| {
                decide(space, self.reserve, demand, self.level)
            })
        };
        // What one batch needs says nothing of the next one, so it does not set the level.
        let (level, of_batch) = (decided(&Demand::default()), decided(&demand));
        self.free = space.map_or(0, |space| space.free);
        if level != self.level {
            report(level, self.free);
        }
        (self.looked, self.since, self.level) = (Some(now), 0, level);
        level.min(of_batch)
    }

    /// Whether a batch may be committed that writes more than was received for it: a small write may bring a large
    /// record along. Nothing is taken from what the engine needs.
    pub(crate) fn takes<G: Engine>(&mut self, engine: &G, received: u64, written: u64) -> bool {
        let more = written.saturating_sub(received);
        self.since = self.since.saturating_add(more);
        if more < bytes_between_looks(self.reserve) {
            return true;
        }
        engine.free_space().is_none_or(|space| {
            let batch = written.saturating_mul(2);
            space.free >= space.needed.saturating_add(batch)
        })
    }
}

fn report(level: DiskLevel, free: u64) {
    match level {
        DiskLevel::Ample => tracing::info!(free, "the disk has space again: writes are accepted"),
        DiskLevel::Low => tracing::warn!(
            free,
            "the disk is nearly full: no hints are kept for other nodes until there is more space; other writes are \
             accepted"
        ),
        DiskLevel::Reserve => tracing::error!(
            free,
            "no space is left on the disk beyond what is needed to keep it in order: values are refused until there is \
             more; deletes are accepted as long as `disk_reserve` lasts"
        ),
        DiskLevel::Full => tracing::error!(
            free,
            "no space is left on the disk, and the reserve is used up: deletes are refused, too, until there is more"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::DiskLevel::{Ample, Full, Low, Reserve};
    use quoit_ring::NodeId;

    use super::*;
    use crate::testing::{Disk, Sink, WALL, at, blind, dot, write};
    use crate::write::Destination;

    const MIB: u64 = 1 << 20;
    const NOTHING: Demand = Demand {
        hints: 0,
        values: 0,
        removals: 0,
    };

    #[test]
    fn a_hint_that_is_removed_counts_for_the_marker_of_its_row_however_long_it_was() {
        let record = blind(dot(1, WALL), "v").into_record();
        let of = |change| {
            let mut made = write(1, &Sink::default(), "key", change, at(WALL));
            made.bytes = 1 << 20;
            made.destination = Destination::Hint(NodeId(2));
            Demand::of(&[made])
        };
        assert_eq!(of(Change::Delivered(record.clone())).bytes(), 3);
        assert_eq!(of(Change::Repair(record)).bytes(), 1 << 20);
    }

    fn level(free_mib: u64, demand: &Demand, before: DiskLevel) -> DiskLevel {
        let space = FreeSpace {
            free: free_mib * MIB,
            needed: 100 * MIB,
        };
        decide(space, 20 * MIB, demand, before)
    }

    #[test]
    fn hints_stop_first_then_values_and_removals_at_the_end_of_the_reserve() {
        let table = [
            (u64::MAX / MIB, Ample),
            (140, Ample),
            (139, Low),
            (120, Low),
            (119, Reserve),
            (100, Reserve),
            (99, Full),
            (0, Full),
        ];
        for (free, expected) in table {
            assert_eq!(level(free, &NOTHING, Ample), expected, "{free}");
        }
        let takes = |level: DiskLevel| {
            [Growth::Hint, Growth::Value, Growth::Removal].map(|growth| takes(level, growth))
        };
        assert_eq!(takes(Ample), [true, true, true]);
        assert_eq!(takes(Low), [false, true, true]);
        assert_eq!(takes(Reserve), [false, false, true]);
        assert_eq!(takes(Full), [false, false, false]);
    }

    #[test]
    fn a_level_is_left_only_with_some_space_more_than_it_was_entered_with() {
        for (free, before, after) in [
            (107, Full, Full),
            (108, Full, Reserve),
            (127, Reserve, Reserve),
            (128, Reserve, Low),
            (147, Low, Low),
            (148, Low, Ample),
            (148, Full, Ample),
        ] {
            assert_eq!(level(free, &NOTHING, before), after, "{free} {before:?}");
        }
    }

    #[test]
    fn free_space_that_swings_by_less_than_the_gap_changes_the_level_once() {
        let (mut at, mut changes) = (Ample, 0);
        for step in 0..200 {
            let next = level(120 + step % 8 - 4, &NOTHING, at);
            changes += u32::from(next != at);
            at = next;
        }
        // First down to `Low` at once, then to `Reserve`, and never back.
        assert!(changes <= 2, "{changes}");
        assert_eq!(at, Reserve);
    }

    #[test]
    fn what_a_level_refuses_needs_no_space() {
        let demand = Demand {
            hints: 500 * MIB,
            values: 50 * MIB,
            removals: MIB,
        };
        assert_eq!(level(2_000, &demand, Ample), Ample);
        assert_eq!(level(300, &demand, Ample), Low, "without the hints");
        assert_eq!(level(130, &demand, Ample), Reserve, "without the values");
        assert_eq!(level(101, &demand, Ample), Full);
    }

    #[test]
    fn a_reserve_of_nothing_refuses_all_at_once() {
        let space = |free| FreeSpace { free, needed: 10 };
        assert_eq!(decide(space(10), 0, &NOTHING, Ample), Ample);
        assert_eq!(decide(space(9), 0, &NOTHING, Ample), Full);
        let most = FreeSpace {
            free: u64::MAX,
            needed: u64::MAX,
        };
        assert_eq!(decide(most, u64::MAX, &NOTHING, Ample), Ample);
    }

    #[test]
    fn what_one_batch_needs_says_nothing_of_the_next_one() {
        let engine = Disk::default();
        engine.set_free(150 * MIB);
        let (mut disk, now) = (DiskSpace::new(64 * MIB), Moment(0));
        let large = Demand {
            values: 12 * MIB,
            ..NOTHING
        };
        assert_eq!(disk.look(&engine, large, now), Low, "no hints beside it");
        assert_eq!(disk.warning(), None, "the disk is as it was");
        assert_eq!(disk.look(&engine, NOTHING, now + 2 * LOOK), Ample);
    }

    #[test]
    fn a_batch_that_writes_far_more_than_was_received_needs_the_space_for_it() {
        let engine = Disk::default();
        engine.set_free(100 * MIB);
        let mut disk = DiskSpace::new(64 * MIB);
        assert!(disk.takes(&engine, 1_000, 2_000));
        assert!(disk.takes(&engine, 1_000, 49 * MIB));
        assert!(!disk.takes(&engine, 1_000, 51 * MIB));
    }
}
