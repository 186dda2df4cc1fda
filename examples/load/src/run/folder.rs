//! A result on disk.
//!
//! ```text
//!   DIR/result.json            everything; `compare` and `report` read it
//!   DIR/get-intended.hlog      a histogram per verb and kind, for any HdrHistogram tool
//!   DIR/get-service.hlog
//!   DIR/report.html            one file, no network
//! ```
//!
//! An older result in the same folder is replaced.

use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, ensure};

use crate::hlog;
use crate::report;
use crate::result::{FORMAT, RunResult};

/// The file that holds everything.
pub(crate) const RESULT: &str = "result.json";

/// Writes `result` into `dir`, which is made if need be.
///
/// # Errors
/// With the file that could not be written; others may have been.
pub(crate) fn write(dir: &Path, result: &RunResult) -> anyhow::Result<()> {
    std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let json = serde_json::to_vec_pretty(result)?;
    put(&dir.join(RESULT), &json)?;
    for (verb, of) in &result.operations {
        histogram(dir, result, (verb, "intended"), &of.intended_hlog)?;
        histogram(dir, result, (verb, "service"), &of.service_hlog)?;
    }
    page(dir, result)
}

fn histogram(
    dir: &Path,
    result: &RunResult,
    (verb, kind): (&str, &str),
    text: &str,
) -> anyhow::Result<()> {
    let comment = format!(
        "{}: {verb}, {kind} latency of {}",
        result.target, result.workload
    );
    let began = SystemTime::UNIX_EPOCH + Duration::from_millis(result.started_unix_ms);
    let length = Duration::from_secs_f64(result.seconds);
    let log = hlog::log(&comment, began, length, verb, &hlog::decode(text)?)?;
    put(&dir.join(format!("{verb}-{kind}.hlog")), &log)
}

/// Writes the report of `result` into `dir`.
///
/// # Errors
/// If a histogram cannot be read, or the file cannot be written.
pub(crate) fn page(dir: &Path, result: &RunResult) -> anyhow::Result<()> {
    put(&dir.join("report.html"), report::html(result)?.as_bytes())
}

fn put(file: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    std::fs::write(file, bytes).with_context(|| format!("cannot write {}", file.display()))
}

/// Reads a result: the file, or the folder that holds it.
///
/// # Errors
/// If it cannot be read, or has another format.
pub(crate) fn read(path: &Path) -> anyhow::Result<RunResult> {
    let file = if path.is_dir() {
        path.join(RESULT)
    } else {
        path.to_owned()
    };
    let text = std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let result: RunResult = serde_json::from_slice(&text)
        .with_context(|| format!("{} is no result", file.display()))?;
    ensure!(
        result.format == FORMAT,
        "{} has format {}, not {FORMAT}",
        file.display(),
        result.format
    );
    Ok(result)
}
