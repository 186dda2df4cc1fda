//! One run, judged: what a set of runs needs to know of it, in words where its history would be needed.
//!
//! ```text
//!   seed --run--> Report (with its history) --> Judged: numbers, faults, coverage, violations in words
//!            '--panic---------------------------^
//! ```

use quoit_ring::Moment;

use super::panics::caught;
use crate::sim::coverage::Coverage;
use crate::sim::faults::Planned;
use crate::sim::plan::Plan;
use crate::sim::report::Report;
use crate::sim::run::{FaultFilter, Options, run};

/// The name under which a panic is reported.
pub const NO_PANIC: &str = "no-panic";
/// The name under which two different runs of one seed are reported.
pub const SAME_TRACE: &str = "same-trace";

/// A violation in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The invariant's name.
    pub invariant: &'static str,
    /// What is wrong, in a sentence.
    pub what: String,
    /// The operations that show it, a line each; may be empty.
    pub timeline: String,
}

/// What a run came to.
#[derive(Debug, Clone)]
pub struct Judged {
    /// Its seed.
    pub seed: u64,
    /// A number for all that happened.
    pub trace: u64,
    /// How many events.
    pub events: u64,
    /// Operations that succeeded.
    pub operations: u64,
    /// Clients.
    pub clients: usize,
    /// Nodes.
    pub nodes: usize,
    /// How long it took in the simulated world.
    pub simulated: Moment,
    /// The planned faults, each with how often it was felt.
    pub faults: Vec<(Planned, u64)>,
    /// What was seen.
    pub coverage: Coverage,
    /// Whether the run did enough to count, or why not. Means something only with all faults kept.
    pub counts: Result<(), String>,
    /// Its violations.
    pub found: Vec<Finding>,
}

impl Judged {
    /// Runs `seed` with these of its faults.
    #[must_use]
    pub fn of(seed: u64, faults: FaultFilter) -> Self {
        Self::with(
            seed,
            Options {
                faults,
                ..Options::default()
            },
        )
    }

    /// Runs `seed`; a panic is a finding.
    #[must_use]
    pub fn with(seed: u64, options: Options) -> Self {
        match caught(|| run(seed, options)) {
            Ok(report) => Self::from(&report),
            Err(panic) => Self::panicked(seed, panic),
        }
    }

    /// Whether this invariant was violated.
    #[must_use]
    pub fn violates(&self, invariant: &str) -> bool {
        self.found.iter().any(|found| found.invariant == invariant)
    }

    /// How many faults were felt.
    #[must_use]
    pub fn fired(&self) -> usize {
        self.faults.iter().filter(|(_, felt)| *felt > 0).count()
    }

    fn panicked(seed: u64, what: String) -> Self {
        let found = Finding {
            invariant: NO_PANIC,
            what,
            timeline: String::new(),
        };
        // The plan is made from the seed alone, so that even this can be tried with fewer faults.
        let planned = caught(|| Plan::of(seed).faults).unwrap_or_default();
        Self {
            faults: planned.into_iter().map(|planned| (planned, 0)).collect(),
            found: vec![found],
            ..Self::empty(seed)
        }
    }

    /// A run in which nothing happened.
    pub(crate) fn empty(seed: u64) -> Self {
        Self {
            seed,
            trace: 0,
            events: 0,
            operations: 0,
            clients: 0,
            nodes: 0,
            simulated: Moment(0),
            faults: Vec::new(),
            coverage: Coverage::default(),
            counts: Ok(()),
            found: Vec::new(),
        }
    }
}

impl From<&Report> for Judged {
    fn from(report: &Report) -> Self {
        let found = report.violations.iter().map(|violation| Finding {
            invariant: violation.invariant,
            what: violation.what.clone(),
            timeline: report.timeline(violation),
        });
        Self {
            seed: report.seed,
            trace: report.trace,
            events: report.events,
            operations: report.operations,
            clients: report.clients,
            nodes: report.nodes,
            simulated: report.simulated,
            faults: report.faults.clone(),
            coverage: report.coverage.clone(),
            counts: report.counts(),
            found: found.collect(),
        }
    }
}
