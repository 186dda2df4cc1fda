//! Two results, or two sets of repeated ones, side by side.
//!
//! ```text
//!   A/result.json ---.    same settings?         several runs: the spread between them      \
//!   B/result.json ---'--  else refused,     -->  one run:      the spread between its parts  } Welch's t
//!                         unless forced          '--> "B is faster: +12 % (9..15)"          /
//! ```
//!
//! Every difference is a ratio B / A, in percent, with a 95 % confidence interval where one is known. An interval
//! of a single run knows only what varied *within* it; repeats on one machine differ by more, so three runs or
//! more on each side are worth their time. Left out: correction for comparing many figures at once. Of twenty
//! figures that do not differ, one will seem to.

mod difference;
mod estimate;
mod print;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use serde::Serialize;

use self::difference::Difference;
use crate::result::RunResult;
use crate::run::folder::{self, RESULT};

pub(crate) use self::print::text;

/// The format of a comparison's JSON.
const FORMAT: u32 = 1;
/// The setting that may differ between comparable runs: it chooses which random keys are drawn.
const SEED: &str = "seed";

/// What a comparison found.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Comparison {
    /// 1.
    pub(crate) format: u32,
    /// The baseline.
    pub(crate) a: Side,
    /// What is compared with it.
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

/// Compares the results at `a` and `b`: each a `result.json`, a folder with one, or a folder of such folders.
///
/// The target may differ, as that is what is compared; workload, offered rate and settings may not unless
/// `force` is set, and then the comparison lists them.
///
/// # Errors
/// If a result cannot be read; if the runs of one side are not repeats of each other; if the sides differ in
/// their settings.
pub(crate) fn run(a: &Path, b: &Path, force: bool) -> anyhow::Result<Comparison> {
    let (runs_a, runs_b) = (runs(a)?, runs(b)?);
    let differing = differing(&runs_a[0], &runs_b[0]);
    ensure!(
        differing.is_empty() || force,
        "A and B were not measured alike:{}\n--force compares them all the same",
        listed(&differing)
    );

    let both = [runs_a.as_slice(), &runs_b];
    let verbs: BTreeSet<&String> = both
        .into_iter()
        .flatten()
        .flat_map(|run| run.operations.keys())
        .collect();
    let operations = verbs
        .into_iter()
        .map(|verb| (verb.clone(), difference::of_verb(verb, both)))
        .filter(|(_, differences)| !differences.is_empty());

    Ok(Comparison {
        format: FORMAT,
        operations: operations.collect(),
        cpu: difference::of_cpu(both),
        notes: notes(both),
        a: side(a, &runs_a),
        b: side(b, &runs_b),
        differing,
    })
}

/// The results at a path: at least one, and repeats of each other if there are several.
fn runs(path: &Path) -> anyhow::Result<Vec<RunResult>> {
    let files = if path.is_dir() && !path.join(RESULT).is_file() {
        repeats(path)?
    } else {
        vec![path.to_owned()]
    };
    let runs = files
        .iter()
        .map(|file| folder::read(file))
        .collect::<anyhow::Result<Vec<_>>>()?;

    for other in runs.iter().skip(1) {
        let mut differing = differing(&runs[0], other);
        if runs[0].target != other.target {
            differing.push(Differing {
                setting: "target".to_owned(),
                a: runs[0].target.clone(),
                b: other.target.clone(),
            });
        }
        ensure!(
            differing.is_empty(),
            "the runs below {} are not of one kind:{}",
            path.display(),
            listed(&differing)
        );
    }
    Ok(runs)
}

/// The folders in `path` that contain a result, by name.
fn repeats(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(path).with_context(|| format!("cannot read {}", path.display()))?;
    let folders = entries.flatten().map(|entry| entry.path());
    let mut folders: Vec<_> = folders
        .filter(|folder| folder.join(RESULT).is_file())
        .collect();
    folders.sort();
    if folders.is_empty() {
        bail!(
            "{} contains no {RESULT}, nor does any folder in it",
            path.display()
        );
    }
    Ok(folders)
}

fn listed(differing: &[Differing]) -> String {
    let lines = differing
        .iter()
        .map(|Differing { setting, a, b }| format!("\n  {setting}: {a} / {b}"));
    lines.collect()
}

fn side(from: &Path, runs: &[RunResult]) -> Side {
    Side {
        from: from.display().to_string(),
        target: runs[0].target.clone(),
        workload: runs[0].workload.clone(),
        runs: runs.len(),
        seconds: runs.iter().map(|run| run.seconds).sum(),
    }
}

/// What must be alike for figures to be comparable, by name.
fn shape(run: &RunResult) -> BTreeMap<String, String> {
    let mut shape = run.settings.clone();
    shape.remove(SEED);
    let offered = run
        .offered
        .map_or_else(|| "closed loop".to_owned(), |rate| format!("{rate} ops/s"));
    shape.insert("offered".to_owned(), offered);
    shape.insert("workload".to_owned(), run.workload.clone());
    if !run.faults.is_empty() {
        let faults: Vec<_> = run.faults.iter().map(|fault| fault.what.as_str()).collect();
        shape.insert("faults".to_owned(), faults.join(", "));
    }
    shape
}

/// The settings that differ between two runs.
fn differing(a: &RunResult, b: &RunResult) -> Vec<Differing> {
    let [a, b] = [a, b].map(shape);
    let names: BTreeSet<_> = a.keys().chain(b.keys()).collect();
    let of = |of: &BTreeMap<String, String>, name: &String| {
        of.get(name).map_or("not set", String::as_str).to_owned()
    };
    let all = names.into_iter().map(|name| Differing {
        a: of(&a, name),
        b: of(&b, name),
        setting: name.clone(),
    });
    all.filter(|one| one.a != one.b).collect()
}

/// What must be known beside the figures.
fn notes(runs: [&[RunResult]; 2]) -> Vec<String> {
    let mut notes = Vec::new();
    if runs.iter().any(|runs| runs.len() < 2) {
        notes.push(
            "A side of one run: its intervals show only what varied within it, and runs often differ by more. \
             Compare folders with three runs or more."
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
    let failed: u64 = ops().map(|op| op.failed()).sum();
    let done: u64 = ops().map(|op| op.count).sum();
    let percent = 100.0 * failed as f64 / (failed + done) as f64;
    (failed > 0).then(|| {
        format!("{name}: {failed} operations failed ({percent:.2} %); they are in no latency.")
    })
}

fn broken_promises(name: &str, runs: &[RunResult]) -> Option<String> {
    let notes = runs.iter().filter_map(|run| run.verify);
    let bad: u64 = notes
        .map(|note| note.lost + note.resurrected + note.wrong)
        .sum();
    (bad > 0).then(|| {
        format!("{name}: {bad} keys were lost, resurrected or wrong: its speed is worth nothing.")
    })
}

#[cfg(test)]
mod tests;
