//! `Seen` against a naive set of points, after every operation.
//!
//! Times and actors come from a small grid, so that intervals often meet, merge and are cut off.

use quoit_ring::{Actor, Seen, Time};

use crate::grid::Grid;
use crate::support::{arbitrary, property};

#[test]
fn seen_is_a_set_of_dots() {
    let reaches = [
        ("three or more intervals", 50),
        ("an interval that merges into another", 30),
        ("a floor that cuts an interval", 20),
        ("a union", 70),
    ];
    property("seen", reaches, |rng| {
        let (mut seen, mut grid) = (Seen::default(), Grid::default());
        let mut reached = [false; 4];
        for _ in 0..6 + rng.below(10) {
            let before = seen.clone();
            match rng.below(10) {
                0..6 => {
                    let (actor, lo) = (rng.below(arbitrary::ACTORS), rng.below(arbitrary::TIMES));
                    let hi = (lo + rng.below(5))
                        .saturating_sub(rng.below(3))
                        .min(arbitrary::TIMES);
                    seen.add(Actor(actor), Time(lo), Time(hi));
                    grid.add(actor, lo, hi);
                    reached[1] |=
                        seen != before && seen.intervals().len() <= before.intervals().len();
                }
                6 | 7 => {
                    let floor = rng.below(1 + arbitrary::TIMES / 2);
                    reached[2] |= seen
                        .intervals()
                        .iter()
                        .any(|i| i.lo.0 < floor && floor < i.hi.0);
                    seen.raise_floor(Time(floor));
                    grid.raise_floor(floor);
                }
                _ => {
                    let other = arbitrary::seen(rng);
                    seen.union(&other);
                    grid.union(&Grid::of(&other));
                    reached[3] = true;
                }
            }
            reached[0] |= seen.intervals().len() > 2;
            grid.check(&seen);
        }
        let parts = Seen::from_parts(seen.floor(), seen.intervals().into());
        assert_eq!(parts, Some(seen), "canonical");
        reached
    });
}

#[test]
fn seen_refuses_every_form_but_the_canonical_one() {
    let reaches = [("canonical parts", 20), ("others", 20)];
    property("seen, parts", reaches, |rng| {
        let mut parts = arbitrary::seen(rng).intervals().to_vec();
        let floor = Time(rng.below(6));
        if parts.len() > 1 && rng.percent(40) {
            let (i, j) = (rng.index(parts.len()), rng.index(parts.len()));
            parts.swap(i, j);
        }
        if !parts.is_empty() && rng.percent(40) {
            let i = rng.index(parts.len());
            parts[i].lo = Time(rng.below(arbitrary::TIMES));
        }
        let mut rebuilt = Seen::up_to(floor);
        for i in &parts {
            rebuilt.add(i.actor, i.lo, i.hi);
        }
        let canonical = rebuilt.intervals() == parts;
        let taken = Seen::from_parts(floor, parts.into());
        assert_eq!(taken, canonical.then_some(rebuilt));
        [canonical, !canonical]
    });
}
