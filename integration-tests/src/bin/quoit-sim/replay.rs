//! A violation, with what is needed to find its cause.
//!
//! ```text
//!   violation acked-never-lost, seed 123
//!     what is wrong
//!     the operations that show it
//!     replay   cargo sim --seed 123 --trace
//!     shrunk   cargo sim --seed 123 --faults 3,7 --trace     2 of 9 faults, 31 runs
//! ```

use quoit_integration_tests::sim::FaultFilter;
use quoit_integration_tests::sim::campaign::{Finding, Judged, SAME_TRACE};
use quoit_integration_tests::sim::shrink::{Shrunk, shrink};
use serde::Serialize;

use crate::output::{Output, Tone};
use crate::progress::Progress;
use crate::units::plural;

/// Runs that shrinking may take.
const LIMIT: usize = 300;

/// A run that failed, with the fewest faults found with which it still does.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) run: Judged,
    /// `None` if faults have nothing to do with it, or it was not tried.
    shrunk: Option<Shrunk>,
}

impl Failure {
    /// Not shrunk.
    pub(crate) const fn new(run: Judged) -> Self {
        Self { run, shrunk: None }
    }

    /// Leaves out faults while the first of its violations stays.
    pub(crate) fn shrink(&mut self, out: Output) {
        let Some(first) = self.run.found.first().map(|found| found.invariant) else {
            return;
        };
        if first == SAME_TRACE || self.run.faults.is_empty() {
            return;
        }

        let seed = self.run.seed;
        let all: Vec<usize> = (0..self.run.faults.len()).collect();
        let mut progress = Progress::new(&format!("shrink {seed}"), LIMIT as u64, out);
        let mut least = all.len();
        let shrunk = shrink(&all, LIMIT, |kept| {
            let fails = Judged::of(seed, FaultFilter::Only(kept.to_vec())).violates(first);
            least = if fails { kept.len() } else { least };
            progress.step(|| format!("{least} of {}", plural(all.len() as u64, "fault", "faults")));
            fails
        });
        progress.end();
        self.shrunk = Some(shrunk);
    }

    /// For people.
    pub(crate) fn show(&self, out: Output) -> String {
        let mut lines = Vec::new();
        for (index, found) in self.run.found.iter().enumerate() {
            let label = out.paint(Tone::Bad, "violation");
            let name = out.paint(Tone::Strong, found.invariant);
            lines.push(format!("{label} {name}, seed {}", self.run.seed));
            lines.push(format!("  {}", found.what));
            if index == 0 {
                lines.extend(found.timeline.lines().map(|line| format!("    {line}")));
            }
        }

        lines.push(format!(
            "  replay   {}",
            out.paint(Tone::Strong, &self.replay())
        ));
        if let Some(shrunk) = &self.shrunk {
            let command = out.paint(Tone::Strong, &self.shrunk_replay(shrunk));
            lines.push(format!("  shrunk   {command}"));
            lines.push(format!("           {}", self.how_far(shrunk)));
            for &number in &shrunk.kept {
                lines.push(format!(
                    "           {number:>3}  {}",
                    self.run.faults[number].0
                ));
            }
        }

        lines.join("\n")
    }

    /// For programs.
    pub(crate) fn json(&self) -> FailureJson<'_> {
        FailureJson {
            seed: self.run.seed,
            found: self.run.found.iter().map(FindingJson::of).collect(),
            replay: self.replay(),
            shrunk: self.shrunk.as_ref().map(|shrunk| ShrunkJson {
                faults: &shrunk.kept,
                minimal: shrunk.minimal,
                replay_shrunk: self.shrunk_replay(shrunk),
            }),
        }
    }

    fn replay(&self) -> String {
        let seed = self.run.seed;
        match self.run.violates(SAME_TRACE) {
            true => format!("cargo sim --seed {seed} --twice"),
            false => format!("cargo sim --seed {seed} --trace"),
        }
    }

    fn shrunk_replay(&self, shrunk: &Shrunk) -> String {
        let numbers: Vec<String> = shrunk.kept.iter().map(usize::to_string).collect();
        let faults = match numbers.is_empty() {
            true => "none".to_owned(),
            false => numbers.join(","),
        };
        format!(
            "cargo sim --seed {} --faults {faults} --trace",
            self.run.seed
        )
    }

    fn how_far(&self, shrunk: &Shrunk) -> String {
        let all = plural(self.run.faults.len() as u64, "fault", "faults");
        let runs = plural(shrunk.runs as u64, "run", "runs");
        let minimal = match (shrunk.kept.is_empty(), shrunk.minimal) {
            (true, _) => "it fails without any",
            (false, true) => "each of them is needed",
            (false, false) => "more might be left out",
        };
        format!("{} of {all}, after {runs}: {minimal}", shrunk.kept.len())
    }
}

/// A failure as a program reads it.
#[derive(Debug, Serialize)]
pub(crate) struct FailureJson<'a> {
    seed: u64,
    found: Vec<FindingJson<'a>>,
    replay: String,
    #[serde(flatten)]
    shrunk: Option<ShrunkJson<'a>>,
}

#[derive(Debug, Serialize)]
struct FindingJson<'a> {
    invariant: &'static str,
    what: &'a str,
    timeline: Vec<&'a str>,
}

#[derive(Debug, Serialize)]
struct ShrunkJson<'a> {
    faults: &'a [usize],
    minimal: bool,
    replay_shrunk: String,
}

impl<'a> FindingJson<'a> {
    fn of(found: &'a Finding) -> Self {
        Self {
            invariant: found.invariant,
            what: &found.what,
            timeline: found.timeline.lines().collect(),
        }
    }
}
