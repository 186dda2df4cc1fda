//! Two results, or two sets of repeated ones, side by side: what differs, and what only seems to.
//!
//! ```text
//!   A/result.json ---.                    rate   interval from each run's seconds   \    one run each
//!   B/result.json ---'-- same settings? - p99    interval from ranks and seconds    /
//!        or else refused, unless forced   all    interval from the runs' spread     -    several runs
//!                                                  '--> "B is faster: +12 % (9..15)"
//! ```
//!
//! Every difference is a ratio B / A, in percent, with a 95 % confidence interval; where the interval holds
//! zero no difference can be told. Intervals of single runs know only what varied *within* them, and say so:
//! repeats on one machine differ by more, so three runs or more on each side are worth their time. The same
//! files always give the same answer: the bootstrap's random numbers have a fixed seed.
//!
//! Left out: correction for looking at many figures at once. Of twenty figures that do not differ, one will
//! seem to.

mod difference;
mod estimate;
mod load;
mod measure;
mod print;
mod resample;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Serialize;

use crate::result::RunResult;
pub(crate) use difference::Difference;
pub(crate) use load::CompareError;
pub(crate) use print::text;

/// The format of a comparison's JSON.
const FORMAT: u32 = 1;

/// What a comparison found.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Comparison {
    /// 1.
    pub(crate) format: u32,
    /// What is compared with.
    pub(crate) a: Side,
    /// What is compared.
    pub(crate) b: Side,
    /// What differs between the settings; empty unless the comparison was forced.
    pub(crate) differing: Vec<Differing>,
    /// By verb: rate, p50, p99, p99.9.
    pub(crate) operations: BTreeMap<String, Vec<Difference>>,
    /// Processor time per operation of all verbs.
    pub(crate) cpu: Vec<Difference>,
    /// What the figures must not be read without.
    pub(crate) notes: Vec<String>,
}

/// One of the two.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Side {
    /// Where its results were read from.
    pub(crate) from: String,
    pub(crate) target: String,
    pub(crate) workload: String,
    pub(crate) runs: usize,
    /// How long its runs measured, all together.
    pub(crate) seconds: f64,
}

/// A setting that is not the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Differing {
    pub(crate) setting: String,
    pub(crate) a: String,
    pub(crate) b: String,
}

/// Compares what `a` and `b` hold: `result.json` files, or folders with one, or with folders that have one.
///
/// The target may differ, for that is what is compared; workload, offered rate and settings may not unless
/// `force` is set, and then the comparison lists them.
///
/// # Errors
/// A file that cannot be read or is no result of this format; runs of one side that are not repeats of each
/// other; runs that differ in their settings. Nothing is written in any case.
pub(crate) fn run(a: &Path, b: &Path, force: bool) -> Result<Comparison, CompareError> {
    let (runs_a, runs_b) = (load::runs(a)?, load::runs(b)?);
    let differing = differing(&runs_a, &runs_b);
    if !differing.is_empty() && !force {
        return Err(CompareError::Settings(differing));
    }
    let sides = [side(a, &runs_a), side(b, &runs_b)];
    Ok(compared(sides, [&runs_a, &runs_b], differing))
}

/// The comparison as JSON.
///
/// # Errors
/// None that is known: numbers that JSON cannot write are left out before.
pub(crate) fn json(comparison: &Comparison) -> serde_json::Result<String> {
    serde_json::to_string_pretty(comparison)
}

fn compared([a, b]: [Side; 2], runs: [&[RunResult]; 2], differing: Vec<Differing>) -> Comparison {
    let measured = runs.map(|runs| runs.iter().map(measure::Measured::of).collect::<Vec<_>>());
    let verbs: BTreeSet<_> = runs
        .iter()
        .copied()
        .flatten()
        .flat_map(|run| run.operations.keys())
        .collect();
    let operations = verbs.into_iter().filter_map(|verb| {
        let differences = difference::of_verb(verb, [&measured[0], &measured[1]]);
        (!differences.is_empty()).then(|| (verb.clone(), differences))
    });
    Comparison {
        format: FORMAT,
        operations: operations.collect(),
        cpu: difference::of_cpu([&measured[0], &measured[1]]),
        notes: notes(runs),
        a,
        b,
        differing,
    }
}

fn side(from: &Path, runs: &[RunResult]) -> Side {
    let of = |text: fn(&RunResult) -> &String| runs.first().map(text).cloned().unwrap_or_default();
    Side {
        from: from.display().to_string(),
        target: of(|run| &run.target),
        workload: of(|run| &run.workload),
        runs: runs.len(),
        seconds: runs.iter().map(|run| run.seconds).sum(),
    }
}

/// Settings that differ between the first runs; those of one side are the same, which `load` saw to.
fn differing(a: &[RunResult], b: &[RunResult]) -> Vec<Differing> {
    let [a, b] = [a, b].map(|runs| runs.first().map(load::shape).unwrap_or_default());
    let names: BTreeSet<_> = a.keys().chain(b.keys()).cloned().collect();
    let of = |of: &BTreeMap<String, String>, name: &str| {
        of.get(name)
            .cloned()
            .unwrap_or_else(|| "not set".to_owned())
    };
    let all = names.into_iter().map(|name| Differing {
        a: of(&a, &name),
        b: of(&b, &name),
        setting: name,
    });
    all.filter(|one| one.a != one.b).collect()
}

/// What must be known beside the figures.
fn notes(runs: [&[RunResult]; 2]) -> Vec<String> {
    let mut notes = Vec::new();
    if runs.iter().any(|runs| runs.len() < 2) {
        notes.push(
            "A side of one run: what varies between runs is not or hardly known, and is often more than the \
             intervals show. Folders with three runs or more tell it."
                .to_owned(),
        );
    }
    for (name, runs) in ["A", "B"].into_iter().zip(runs) {
        notes.extend(failures(name, runs));
        notes.extend(broken_promises(name, runs));
        for verdict in runs.iter().flat_map(|run| &run.verdicts) {
            notes.push(format!("{name}: {verdict}"));
        }
    }
    let mut seen = BTreeSet::new();
    notes.retain(|note| seen.insert(note.clone()));
    notes
}

fn failures(name: &str, runs: &[RunResult]) -> Option<String> {
    let ops = || runs.iter().flat_map(|run| run.operations.values());
    let failed: f64 = ops()
        .flat_map(|op| op.errors.values())
        .map(|errors| *errors as f64)
        .sum();
    let done: f64 = ops().map(|op| op.count as f64).sum();
    let percent = 100.0 * failed / (failed + done);
    (failed > 0.0).then(|| {
        format!("{name}: {failed} operations failed ({percent:.2} %); they are in no latency.")
    })
}

fn broken_promises(name: &str, runs: &[RunResult]) -> Option<String> {
    let notes = runs.iter().filter_map(|run| run.verify);
    let bad = notes.fold(0_u64, |sum, note| {
        [note.lost, note.resurrected, note.wrong]
            .into_iter()
            .fold(sum, u64::saturating_add)
    });
    (bad > 0).then(|| {
        format!("{name}: {bad} keys were lost, resurrected or wrong: its speed is worth nothing.")
    })
}

#[cfg(test)]
mod tests;
