//! The load of every member at one number of copies, while a newcomer takes leaves and gives them back.
//!
//! ```text
//!   runs:      ---- a ----|-- c --|------ b ------|-- a --|      leaves with one victim each
//!   stretch:                    <===================x            c and b lose what of it is theirs,
//!                                                                the newcomer gains its length
//! ```
//!
//! Loads are whole leaves, so giving back undoes a taking exactly. A change costs a binary search and a
//! step per run touched. Left out: the choice of victims, and which stretches overlap.

use super::walk::{Index, Vnode};

/// Some leaves beside each other: `len` of them, the last one at `last`, wrapping around.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) last: u32,
    pub(super) len: u32,
}

/// What every member holds and should hold with a certain number of copies; the newcomer is last.
#[derive(Debug)]
pub(super) struct Loads {
    /// Leaves held.
    pub(super) held: Vec<u32>,
    /// One over the leaves that each should hold.
    pub(super) per_fair: Vec<f64>,
    /// What being off costs, relative to other numbers of copies.
    pub(super) weight: f64,
}

/// The loads, and the victim of each leaf.
#[derive(Debug)]
pub(super) struct Level {
    /// The circle cut into runs, clockwise; the first one reaches back over leaf 0.
    runs: Vec<Run>,
    /// For a vnode of the newcomer behind each vnode of the ring: how many leaves it covers before that.
    reach: Vec<u32>,
    loads: Loads,
    mask: u32,
}

/// Leaves that end at `last` and have one victim.
#[derive(Debug, Clone, Copy)]
struct Run {
    last: u32,
    victim: Index,
}

/// Which way a load changes.
#[derive(Debug, Clone, Copy)]
enum Change {
    More,
    Less,
}

impl Loads {
    /// What `node` holds over what it should hold.
    fn fullness(&self, node: usize) -> f64 {
        f64::from(self.held[node]) * self.per_fair[node]
    }

    fn cost(&self, node: usize) -> f64 {
        let off = self.fullness(node) - 1.0;
        self.weight * off * off
    }

    /// Changes what `node` holds; returns the change of the cost.
    fn change(&mut self, node: usize, leaves: u32, change: Change) -> f64 {
        let before = self.cost(node);
        match change {
            Change::More => self.held[node] += leaves,
            Change::Less => {
                debug_assert!(self.held[node] >= leaves, "only held leaves are taken");
                self.held[node] -= leaves;
            }
        }
        self.cost(node) - before
    }
}

impl Level {
    /// A newcomer without vnodes, on a ring whose ranges have these `victims` and `reach`.
    pub(super) fn new(
        circle: &[Vnode],
        victims: &[Index],
        reach: Vec<u32>,
        loads: Loads,
        mask: u32,
    ) -> Self {
        debug_assert_eq!(circle.len(), victims.len(), "one victim per range");
        debug_assert_eq!(circle.len(), reach.len(), "one reach per range");
        let mut runs: Vec<Run> = Vec::new();
        for (vnode, &victim) in circle.iter().zip(victims) {
            let last = vnode.leaf.0;
            match runs.last_mut().filter(|run| run.victim == victim) {
                Some(run) => run.last = last,
                None => runs.push(Run { last, victim }),
            }
        }
        Self {
            runs,
            reach,
            loads,
            mask,
        }
    }

    /// How many leaves a vnode covers that sits `into` leaves behind the predecessor of vnode `gap`.
    pub(super) fn covered(&self, gap: usize, into: u32) -> u32 {
        self.reach[gap] + into
    }

    /// How many runs the circle has.
    pub(super) const fn runs(&self) -> usize {
        self.runs.len()
    }

    /// The leaves of run number `run`.
    pub(super) fn run(&self, run: usize) -> Stretch {
        let last = self.runs[run].last;
        Stretch {
            last,
            len: self.len(self.runs[self.before(run)].last, last),
        }
    }

    /// What the victim of run number `run` holds over what it should hold.
    pub(super) fn victim_fullness(&self, run: usize) -> f64 {
        self.loads.fullness(usize::from(self.runs[run].victim))
    }

    /// Moves the copies of `stretch` from their victims to the newcomer; returns the change of the cost.
    pub(super) fn take(&mut self, stretch: Stretch) -> f64 {
        self.shift(stretch, Change::Less, Change::More)
    }

    /// Undoes [`take`](Self::take).
    pub(super) fn give_back(&mut self, stretch: Stretch) -> f64 {
        self.shift(stretch, Change::More, Change::Less)
    }

    /// Changes the holder of the leaves of `stretch`, run by run from its end.
    fn shift(&mut self, stretch: Stretch, victims: Change, newcomer: Change) -> f64 {
        let (mut last, mut left) = (stretch.last, stretch.len);
        let mut run = self.runs.partition_point(|run| run.last < last) % self.runs.len();
        let mut cost = 0.0;

        while left > 0 {
            let victim = usize::from(self.runs[run].victim);
            run = self.before(run);
            let before = self.runs[run].last;
            let len = self.len(before, last).min(left);
            cost += self.loads.change(victim, len, victims);
            left -= len;
            last = before;
        }

        let newcomer_at = self.loads.held.len() - 1;
        cost + self.loads.change(newcomer_at, stretch.len, newcomer)
    }

    const fn before(&self, run: usize) -> usize {
        if run == 0 {
            self.runs.len() - 1
        } else {
            run - 1
        }
    }

    /// The leaves behind `before` up to `last`; all of the circle if they are one.
    const fn len(&self, before: u32, last: u32) -> u32 {
        (last.wrapping_sub(before).wrapping_sub(1) & self.mask) + 1
    }

    /// The loads as they are.
    #[cfg(test)]
    pub(super) const fn loads(&self) -> &Loads {
        &self.loads
    }
}
