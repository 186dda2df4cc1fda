//! The load that a newcomer's vnode takes, and from which owner.
//!
//! ```text
//!   ring without the newcomer, N = 2:   --- a --- b --- a --- c --- b ---
//!   owners of the leaves before each:       ab    ba    ac    cb    b.
//!   who would lose them (victim):            b     a     c     b    .
//!   a newcomer's vnode at x:                         <=====x          covers back to where it would
//!                                                                    be third on the walk
//! ```
//!
//! Everything about a join follows from one observation. For each leaf, a newcomer that the walk meets
//! early enough replaces one certain owner, the *victim*, and where its vnode sits before that end
//! point makes no difference; beyond it, the newcomer changes nothing. So each vnode *covers* one
//! stretch of leaves that ends at the vnode, the newcomer holds the union of its stretches, and each
//! leaf of the union moves one copy from the leaf's victim to the newcomer. With zones the victim is:
//!
//! | zones on the ring | newcomer's zone | victim | must be met before |
//! | --- | --- | --- | --- |
//! | at least the copies | among the owners' | the owner in that zone | that owner |
//! | at least the copies | not among them | the last owner | that owner |
//! | fewer | known | the later of its zone's first node and the last skipped owner | that node |
//! | fewer | new | the last skipped owner | (anywhere: it gets a copy of every key) |
//!
//! A stretch's start never moves back when its vnode moves on, which is why a union is easy to keep.
//! A [`Level`] is this picture for one number of copies; the search looks at several at once, because who
//! is last on a list is who a later newcomer can relieve.

use super::fair::shares;
use super::level::{Level, Loads};
use super::walk::{Index, Vnode, Walk, index};
use crate::cluster::{ClusterMap, Member};

/// How many numbers of copies the search looks at; more cost time and change little.
const MOST_LEVELS: usize = 3;
/// What fewer than N copies count, if N copies count 1. Less makes today's load a little more even, and
/// tomorrow's less: at 0.02 a new zone among three left a member 8 % too full, at 0.3 it was 4 %.
const MINOR: f64 = 0.3;

/// A level while the sweep fills it in.
struct Draft {
    copies: usize,
    victim: Vec<Index>,
    /// The number of the vnode before which the newcomer must be met.
    before: Vec<usize>,
    held: Vec<u32>,
}

/// Up to [`MOST_LEVELS`] levels for the join of `newcomer` to `map`, whose vnodes are `circle`: most
/// copies first, and only those to which the newcomer's place matters.
pub(super) fn levels(map: &ClusterMap, circle: &[Vnode], newcomer: &Member) -> Vec<Level> {
    let ring = &map.members[..];
    let mut walk = Walk::new(ring);
    let same = ring.iter().position(|member| member.zone == newcomer.zone);
    let zone = same.map(|member| walk.zone(index(member)));

    let mut drafts: Vec<Draft> = (1..=usize::from(map.replication).min(ring.len()))
        .rev()
        .filter(|&copies| zone.is_some() || walk.zone_count() >= copies)
        .take(MOST_LEVELS)
        .map(|copies| Draft::new(copies, ring.len() + 1, circle.len()))
        .collect();

    let mask = map.leaf_bits.count() - 1;
    walk.sweep(circle, |walk, at| {
        let len = gap(circle, at, mask);
        for draft in &mut drafts {
            for owner in walk.owners().take(draft.copies) {
                draft.held[usize::from(owner)] += len;
            }
            let victim = victim(walk, draft.copies, zone);
            draft.victim[at] = victim;
            draft.before[at] = walk.met_at(victim);
        }
    });

    let members = ring.iter().chain([newcomer]);
    let finish = |(weight, draft): (f64, Draft)| {
        let fair = shares(members.clone(), draft.copies);
        draft.finish(weight, &fair, circle, mask)
    };
    core::iter::once(1.0)
        .chain(core::iter::repeat(MINOR))
        .zip(drafts)
        .map(finish)
        .collect()
}

/// The owner that loses the leaves at the walk's start to a newcomer in `zone`; `None` is a new zone.
fn victim(walk: &Walk, copies: usize, zone: Option<Index>) -> Index {
    if walk.zone_count() >= copies {
        let mut victim = 0;
        for head in walk.heads().take(copies) {
            victim = head;
            if Some(walk.zone(head)) == zone {
                break;
            }
        }
        return victim;
    }

    let skipped = walk.skipped().take(copies - walk.zone_count()).last();
    let head = zone.map(|zone| walk.head(zone));
    head.into_iter()
        .chain(skipped)
        .max_by_key(|&node| walk.met_at(node))
        .unwrap_or(0)
}

/// The leaves that vnode number `at` owns.
fn gap(circle: &[Vnode], at: usize, mask: u32) -> u32 {
    let before = circle[if at == 0 { circle.len() - 1 } else { at - 1 }]
        .leaf
        .0;
    (circle[at].leaf.0.wrapping_sub(before).wrapping_sub(1) & mask) + 1
}

impl Draft {
    fn new(copies: usize, members: usize, vnodes: usize) -> Self {
        let (victim, before, held) = (vec![0; vnodes], vec![0; vnodes], vec![0; members]);
        Self {
            copies,
            victim,
            before,
            held,
        }
    }

    fn finish(self, weight: f64, fair: &[f64], circle: &[Vnode], mask: u32) -> Level {
        let reach = self.reach(circle, mask);
        let leaves = f64::from(mask) + 1.0;
        let per_fair = fair.iter().map(|share| 1.0 / (share * leaves)).collect();
        let loads = Loads {
            held: self.held,
            per_fair,
            weight,
        };
        Level::new(circle, &self.victim, reach, loads, mask)
    }

    /// For each vnode, how many leaves a newcomer just behind its predecessor covers.
    ///
    /// A stretch starts with the first vnode whose walk may still meet the newcomer here. That start
    /// only moves on, so one pointer runs round the circle behind the other.
    fn reach(&self, circle: &[Vnode], mask: u32) -> Vec<u32> {
        let count = circle.len();
        let before = |i: usize| {
            if i < count {
                self.before[i]
            } else {
                self.before[i - count] + count
            }
        };
        let leaf = |i: usize| circle[i % count].leaf.0;

        let mut start = 1;
        let mut reach = Vec::with_capacity(count);
        for at in count..2 * count {
            start = start.max(at + 1 - count);
            while before(start) < at {
                start += 1;
            }
            reach.push(leaf(at - 1).wrapping_sub(leaf(start - 1)) & mask);
        }
        reach
    }
}
