//! `quoit export PREFIX`: JSON lines that `import` reads back, on standard output.
//!
//! ```text
//! {"key":"a","value":"1"}
//! {"key":"b","value":"/wD+","encoding":"base64"}
//! ```
//!
//! A key with siblings has no value that could stand in a file: it is left out and counted, unless `--merge` makes one of
//! them. Contexts and times to live are not exported: an import writes values that live for ever.

use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::time::Instant;

use indicatif::ProgressBar;
use quoit_client::{Client, LastWriterWins, Scan, ScanStream, SetUnion};

use super::get::MergeBy;
use super::import::show_progress;
use super::{argument, keyed, put_bytes};
use crate::args::{ClusterArgs, ReadArgs};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::units;

/// Arguments of `export`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What the keys begin with; without it all keys
    prefix: Option<OsString>,

    /// Make one value of siblings; without it a key that has several is left out
    #[arg(long, value_enum, value_name = "HOW")]
    merge: Option<MergeBy>,

    #[command(flatten)]
    read: ReadArgs,

    #[command(flatten)]
    cluster: ClusterArgs,
}

/// What was exported.
#[derive(Debug, Default)]
struct Exported {
    rows: u64,
    conflicts: u64,
}

pub(crate) async fn run(args: Args, out: Output) -> Result<Exit, Failure> {
    let bar = if std::io::stdout().is_terminal() {
        ProgressBar::hidden()
    } else {
        out.progress(0, "export")
    };
    Output::unbounded(&bar);
    let prefix = argument(args.prefix.unwrap_or_default());
    let work = async |client: &Client| {
        let rows = merged(client.scan().prefix(prefix.clone()), args.merge);
        write(rows.stream()?, out, &bar).await
    };
    let exported = (args.cluster)
        .with_client(|builder| args.read.apply(builder), work)
        .await;
    bar.finish_and_clear();
    let Exported { rows, conflicts } = exported?;
    if conflicts == 0 {
        return Ok(Exit::Ok);
    }
    let what = format!(
        "{} keys have siblings and were left out; {} were exported",
        units::count(conflicts),
        units::count(rows)
    );
    Err(Failure::new(Exit::Conflict, what)
        .hint("make one value of siblings with `--merge lww|union`"))
}

fn merged(scan: Scan, by: Option<MergeBy>) -> Scan {
    match by {
        None => scan,
        Some(MergeBy::Lww) => scan.merge(LastWriterWins),
        Some(MergeBy::Union) => scan.merge(SetUnion::lines()),
    }
}

async fn write(mut rows: ScanStream, out: Output, bar: &ProgressBar) -> Result<Exported, Failure> {
    let (started, mut exported) = (Instant::now(), Exported::default());
    while let Some(row) = rows.next().await {
        let row = row?;
        let Some(value) = row.value() else {
            let is_conflict = row.entry().is_some_and(quoit_client::Entry::is_conflict);
            exported.conflicts += u64::from(is_conflict);
            continue;
        };
        let mut object = keyed(row.key());
        put_bytes(&mut object, "value", "encoding", value);
        if !out.row_json(&object)? {
            break;
        }
        exported.rows += 1;
        show_progress(bar, exported.rows, started);
    }
    Ok(exported)
}
