//! `quoit delete --prefix P`: deletes every key that begins with something.
//!
//! ```text
//! asked first, on a terminal; elsewhere `--yes` says so --> scan of keys --> deletes, so many at once --> how many
//! ```
//!
//! A key is deleted whatever its value is by then; one that is written behind the scan stays. The first failure ends it,
//! after what is under way has finished; run again it goes on with what is left.

use std::io::{self, BufRead as _, IsTerminal as _};
use std::time::Instant;

use bytes::Bytes;
use indicatif::ProgressBar;
use quoit_client::{Client, ScanStream, WriteError};
use serde_json::json;

use crate::escape::one_line;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::in_flight::InFlight;
use crate::output::Output;
use crate::units;
use crate::verbs::import::show_progress;

/// Deletes under way at once.
const IN_FLIGHT: usize = 256;

/// Asks whether the keys are to be deleted, unless that was said already.
pub(super) fn confirm(prefix: &[u8], said: bool, out: Output) -> Result<(), Failure> {
    if said {
        return Ok(());
    }
    let keys = if prefix.is_empty() {
        "all keys".to_owned()
    } else {
        format!("all keys that begin with `{}`", one_line(prefix))
    };
    if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        let what = format!("{keys} would be deleted, and there is no terminal to ask on");
        return Err(Failure::new(Exit::Usage, what).hint("say so with `--yes`"));
    }
    out.note(format!("delete {keys}? [y/N]"));
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    read.map_err(|error| Failure::caused(&error))?;
    if matches!(answer.trim(), "y" | "Y" | "yes") {
        Ok(())
    } else {
        Err(Failure::new(Exit::Error, "nothing was deleted"))
    }
}

/// Deletes them.
pub(super) async fn delete(client: &Client, prefix: Bytes, out: Output) -> Result<(), Failure> {
    // Or every key would say that W is out of range.
    client.quorum_sizes()?;
    let keys = client.scan().prefix(prefix).keys_only().stream()?;
    let bar = out.progress(0, "delete");
    Output::unbounded(&bar);
    let (deleted, problem) = delete_all(client, keys, &bar).await;
    bar.finish_and_clear();
    let count = units::count(deleted);
    if let Some(failure) = problem {
        let what = format!("{}; {count} keys were deleted before", failure.what);
        return Err(Failure { what, ..failure });
    }
    if out.is_json() {
        out.outcome_json(&json!({ "deleted": deleted }));
    } else {
        out.outcome(format!("deleted {count} keys"));
    }
    Ok(())
}

/// How many were deleted, and what ended it.
async fn delete_all(
    client: &Client,
    mut keys: ScanStream,
    bar: &ProgressBar,
) -> (u64, Option<Failure>) {
    let (started, mut deleted, mut problem) = (Instant::now(), 0, None);
    let mut flight = InFlight::new(IN_FLIGHT);
    let mut count =
        |ended: Option<Result<(), WriteError>>, problem: &mut Option<Failure>| match ended {
            Some(Ok(())) => {
                deleted += 1;
                show_progress(bar, deleted, started);
            }
            Some(Err(error)) => drop(problem.get_or_insert_with(|| error.into())),
            None => {}
        };
    while problem.is_none() {
        let key = match keys.next().await {
            None => break,
            Some(Ok(row)) => row.into_parts().0,
            Some(Err(error)) => {
                problem = Some(error.into());
                break;
            }
        };
        let client = client.clone();
        let ended = flight
            .push(async move { client.delete(key).await.map(drop) })
            .await;
        count(ended, &mut problem);
    }
    while let Some(ended) = flight.next().await {
        count(Some(ended), &mut problem);
    }
    (deleted, problem)
}
