//! A region as a plain set of points: what `Seen` must agree with.
//!
//! ```text
//!   actor 0   . x x . . x        one word per actor, a bit per time
//!   actor 1   . . . . x x
//!   others    . . . . . .        an actor that never writes: what only a floor covers
//! ```

use quoit_ring::{Actor, Dot, Seen, Time};

use crate::support::arbitrary::{ACTORS, TIMES};

/// Every dot of the grid, and of one actor that no generator uses.
pub(crate) fn dots() -> impl Iterator<Item = Dot> {
    (0..=ACTORS).flat_map(|actor| {
        (0..=TIMES).map(move |time| Dot {
            time: Time(time),
            actor: Actor(actor),
        })
    })
}

/// The points of `seen`, asked one by one.
pub(crate) fn region(seen: &Seen) -> Vec<bool> {
    dots().map(|dot| seen.contains(dot)).collect()
}

/// A naive region: a floor, and the points that intervals named above it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Grid {
    floor: u64,
    /// Bit `t` of an actor's word: (actor, t) is named.
    named: [u64; 4],
}

impl Grid {
    /// The points of `seen`, by its parts.
    pub(crate) fn of(seen: &Seen) -> Self {
        let mut grid = Self::default();
        for i in seen.intervals() {
            grid.add(i.actor.0, i.lo.0, i.hi.0);
        }
        grid.raise_floor(seen.floor().0);
        grid
    }

    pub(crate) fn add(&mut self, actor: u64, lo: u64, hi: u64) {
        for time in lo.max(self.floor) + 1..=hi {
            self.named[index(actor)] |= 1 << time;
        }
    }

    pub(crate) fn raise_floor(&mut self, floor: u64) {
        self.floor = self.floor.max(floor);
        for named in &mut self.named {
            *named = *named >> (self.floor + 1) << (self.floor + 1);
        }
    }

    pub(crate) fn union(&mut self, other: &Self) {
        for (ours, theirs) in self.named.iter_mut().zip(other.named) {
            *ours |= theirs;
        }
        self.raise_floor(other.floor);
    }

    /// Holds every question that `Seen` answers against the set.
    pub(crate) fn check(&self, seen: &Seen) {
        assert_eq!(seen.floor(), Time(self.floor));
        assert_eq!(
            seen.is_empty(),
            self.floor == 0 && self.named.iter().all(|&n| n == 0)
        );
        let mut max = self.floor;
        for dot in dots() {
            let named = self
                .named
                .get(index(dot.actor.0))
                .is_some_and(|n| n >> dot.time.0 & 1 == 1);
            assert_eq!(seen.names(dot), named, "{dot} in {seen:?}");
            assert_eq!(
                seen.contains(dot),
                named || dot.time.0 <= self.floor,
                "{dot} in {seen:?}"
            );
            max = if named { max.max(dot.time.0) } else { max };
        }
        assert_eq!(seen.max_time(), Time(max));
    }
}

fn index(actor: u64) -> usize {
    usize::try_from(actor).unwrap()
}
