//! What a micro-benchmark is: an operation, prepared, repeated, and counted in part.
//!
//! ```text
//!   prepare --> run, run (warm-up)        tables and buffers have grown to their size
//!           --> run with a real meter     only what is inside `Meter::count` is counted
//! ```
//!
//! The same cases are counted twice: their allocations by an allocator, in the tests, and their instructions
//! by a simulated processor, in the benchmarks. Neither is a time, so neither knows how busy the machine is.
//!
//! Invariant: what a case does depends on nothing but itself. Left out: who counts, and what is allowed.

/// Runs before the one that counts. Buffers that are used in turns have all grown by then.
const WARM_UP: usize = 4;

/// An operation whose cost is known.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    /// Its name in tables; unique.
    pub(crate) name: &'static str,
    /// How many operations one run does: costs are reported for each.
    pub(crate) operations: u64,
    /// Makes all that a run needs.
    pub(crate) prepare: fn() -> Run,
}

/// Does a case's operations once, counting what is to be counted.
pub(crate) type Run = Box<dyn FnMut(&mut Meter<'_>)>;

/// Does what it is given, and counts it.
pub(crate) type Count<'a> = dyn FnMut(&mut dyn FnMut()) + 'a;

/// Whoever counts, if somebody does.
pub(crate) struct Meter<'a> {
    counts: Option<&'a mut Count<'a>>,
}

impl Meter<'_> {
    /// Nobody counts.
    pub(crate) const fn nobody() -> Self {
        Self { counts: None }
    }

    /// Does `part`, which counts.
    pub(crate) fn count(&mut self, mut part: impl FnMut()) {
        match &mut self.counts {
            Some(counts) => counts(&mut part),
            None => part(),
        }
    }
}

impl Case {
    /// Warms up, and does one run whose counted parts are handed to `count`.
    pub(crate) fn measure(&self, count: &mut Count<'_>) {
        let mut run = (self.prepare)();
        for _ in 0..WARM_UP {
            run(&mut Meter::nobody());
        }
        run(&mut Meter {
            counts: Some(count),
        });
    }
}
