//! Reads results, and says exactly what is wrong with one that cannot be compared.
//!
//! ```text
//!   FILE                    that result
//!   DIR with result.json    that one
//!   DIR                     DIR/*/result.json, by name: runs that repeat each other
//! ```
//!
//! Whatever a file holds it neither panics nor takes more memory than its size, which is bounded. Only finite
//! figures and histograms that can be read come past this module, so the statistics need no checks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::Deserialize;

use super::Differing;
use crate::hlog::{self, HlogError};
use crate::result::{FORMAT, OpResult, RunResult};

/// A result of an hour with six verbs has less than one MiB.
const MOST_BYTES: u64 = 64 << 20;
/// Repeats on one side.
const MOST_RUNS: usize = 1000;
const FILE: &str = "result.json";
/// Settings that may differ between repeats of the same run: they choose which random keys are drawn.
const FREE: [&str; 1] = ["seed"];

/// Why two results cannot be compared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum CompareError {
    /// The file is not there, or may not be read.
    #[error("{} cannot be read", path.display())]
    Io { path: PathBuf, source: io::Error },
    /// There is no result in a folder.
    #[error("{} holds no {FILE}, nor does any folder in it", .0.display())]
    Nothing(PathBuf),
    /// A file or folder is larger than any that a run writes.
    #[error("{} is too large: {what}", path.display())]
    TooLarge { path: PathBuf, what: &'static str },
    /// It is no JSON, is cut short, or lacks a part.
    #[error("{} is no result", path.display())]
    Json {
        path: PathBuf,
        source: serde_json::Error,
    },
    /// A later or earlier program wrote it.
    #[error("{} is of format {found}, this program reads format {FORMAT}", path.display())]
    Format { path: PathBuf, found: u32 },
    /// A figure that no run can find.
    #[error("{} is damaged: {what}", path.display())]
    Figure { path: PathBuf, what: String },
    /// A histogram that cannot be read.
    #[error("{} is damaged: the histogram of {verb}", path.display())]
    Histogram {
        path: PathBuf,
        verb: String,
        source: HlogError,
    },
    /// Runs in one folder that are not repeats of each other.
    #[error("the runs below {} are not of one kind:{}", path.display(), listed(differing))]
    Mixed {
        path: PathBuf,
        differing: Vec<Differing>,
    },
    /// A and B were measured differently.
    #[error("A and B were not measured alike:{}\n--force compares them all the same", listed(.0))]
    Settings(Vec<Differing>),
}

fn listed(differing: &[Differing]) -> String {
    let lines = differing.iter().map(|Differing { setting, a, b }| {
        let [setting, a, b] = [setting, a, b].map(|text| crate::report::plain(text));
        format!("\n  {setting}: {a} / {b}")
    });
    lines.collect()
}

#[derive(Deserialize)]
struct Versioned {
    format: u32,
}

/// The results at a path: at least one, and repeats of each other if there are several.
pub(super) fn runs(path: &Path) -> Result<Vec<RunResult>, CompareError> {
    let files = files(path)?;
    let runs = files
        .iter()
        .map(|file| read(file))
        .collect::<Result<Vec<_>, _>>()?;
    for other in runs.iter().skip(1) {
        let mut differing = super::differing(&runs, std::slice::from_ref(other));
        if let Some(first) = runs.first().filter(|first| first.target != other.target) {
            let (setting, a, b) = (
                "target".to_owned(),
                first.target.clone(),
                other.target.clone(),
            );
            differing.push(Differing { setting, a, b });
        }
        if !differing.is_empty() {
            return Err(CompareError::Mixed {
                path: path.to_owned(),
                differing,
            });
        }
    }
    Ok(runs)
}

/// What must be alike for figures to be comparable, by name.
pub(super) fn shape(run: &RunResult) -> BTreeMap<String, String> {
    let mut shape = run.settings.clone();
    shape.retain(|name, _| !FREE.contains(&name.as_str()));
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

fn files(path: &Path) -> Result<Vec<PathBuf>, CompareError> {
    let failed = |source| CompareError::Io {
        path: path.to_owned(),
        source,
    };
    if !fs::metadata(path).map_err(failed)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let own = path.join(FILE);
    if own.is_file() {
        return Ok(vec![own]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(failed)? {
        let file = entry.map_err(failed)?.path().join(FILE);
        if file.is_file() {
            files.push(file);
        }
        if files.len() > MOST_RUNS {
            return Err(CompareError::TooLarge {
                path: path.to_owned(),
                what: "more than 1000 runs",
            });
        }
    }
    files.sort();
    if files.is_empty() {
        Err(CompareError::Nothing(path.to_owned()))
    } else {
        Ok(files)
    }
}

/// One result, checked.
pub(super) fn read(file: &Path) -> Result<RunResult, CompareError> {
    let path = || file.to_owned();
    let failed = |source| CompareError::Io {
        path: path(),
        source,
    };
    if fs::metadata(file).map_err(failed)?.len() > MOST_BYTES {
        return Err(CompareError::TooLarge {
            path: path(),
            what: "more than 64 MiB",
        });
    }
    let bytes = fs::read(file).map_err(failed)?;
    let no_json = |source| CompareError::Json {
        path: path(),
        source,
    };
    // the format first: of another one nothing else can be expected
    let Versioned { format } = serde_json::from_slice(&bytes).map_err(no_json)?;
    if format != FORMAT {
        return Err(CompareError::Format {
            path: path(),
            found: format,
        });
    }
    let run: RunResult = serde_json::from_slice(&bytes).map_err(no_json)?;
    if let Some(what) = impossible(&run) {
        return Err(CompareError::Figure { path: path(), what });
    }
    for (verb, op) in &run.operations {
        for text in [&op.intended_hlog, &op.service_hlog] {
            let failed = |source| CompareError::Histogram {
                path: path(),
                verb: verb.clone(),
                source,
            };
            hlog::decode(text).map_err(failed)?;
        }
    }
    Ok(run)
}

/// The first figure that no run can find, in words.
fn impossible(run: &RunResult) -> Option<String> {
    let positive = |number: f64| number.is_finite() && number > 0.0;
    let possible = |number: f64| number.is_finite() && number >= 0.0;
    if !positive(run.seconds) {
        return Some(format!("measured for {} seconds", run.seconds));
    }
    if let Some(offered) = run.offered.filter(|offered| !positive(*offered)) {
        return Some(format!("{offered} operations a second offered"));
    }
    let times: Vec<_> = run.timeline.iter().map(|slice| slice.at).collect();
    if !times.iter().all(|at| possible(*at)) || !times.is_sorted() {
        return Some("its time line is out of order".to_owned());
    }
    let costs = run
        .cpu
        .iter()
        .flat_map(|cpu| [cpu.client_us_per_op, cpu.servers_us_per_op]);
    if let Some(cost) = costs.into_iter().find(|cost| !possible(*cost)) {
        return Some(format!("{cost} µs of processor time per operation"));
    }
    run.operations
        .iter()
        .find_map(|(verb, op)| impossible_op(verb, op))
}

fn impossible_op(verb: &str, op: &OpResult) -> Option<String> {
    if !(op.rate.is_finite() && op.rate >= 0.0) {
        return Some(format!("{verb}: {} operations a second", op.rate));
    }
    for (name, of) in [("intended", &op.intended), ("service", &op.service)] {
        if ![of.min, of.p50, of.p90, of.p95, of.p99, of.p999, of.max].is_sorted() {
            return Some(format!("{verb}: its {name} percentiles are out of order"));
        }
    }
    None
}

#[cfg(test)]
mod tests;
