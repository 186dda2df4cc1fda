//! `quoit scan PREFIX`: the keys that begin with something, in order, with their values.
//!
//! ```text
//! key <tab> value          a row a line, escaped for people
//! {"key":..,"value":..}    with `--output json`
//! ```
//!
//! It stops once nobody reads any more, as `head` does. What several siblings are is shown where they stand; they are no
//! error here, since one key of many is.

use std::ffi::OsString;

use quoit_client::{Client, Scan, ScanEntry, ScanStream};
use serde_json::{Map, json};

use super::get::sibling_json;
use super::{argument, keyed, put_bytes};
use crate::args::{ClusterArgs, ReadArgs};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;

/// Arguments of `scan`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What the keys begin with; without it all keys
    prefix: Option<OsString>,

    /// Keys alone, without their values
    #[arg(long)]
    keys: bool,

    /// At most so many rows
    #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,

    /// From the last key to the first
    #[arg(long)]
    reverse: bool,

    /// Only what comes behind this key
    #[arg(long, value_name = "KEY")]
    start_after: Option<OsString>,

    /// How many there are, and nothing else
    #[arg(long, conflicts_with = "keys")]
    count: bool,

    #[command(flatten)]
    read: ReadArgs,

    #[command(flatten)]
    cluster: ClusterArgs,
}

pub(crate) async fn run(args: Args, out: Output) -> Result<Exit, Failure> {
    let cluster = args.cluster.clone();
    let work = async |client: &Client| {
        let rows = scan(&args, client).stream()?;
        if args.count {
            count(rows, out).await
        } else {
            show(rows, out).await
        }
    };
    cluster
        .with_client(|builder| args.read.apply(builder), work)
        .await?;
    Ok(Exit::Ok)
}

fn scan(args: &Args, client: &Client) -> Scan {
    let prefix = argument(args.prefix.clone().unwrap_or_default());
    let mut scan = client.scan().prefix(prefix);
    if args.keys || args.count {
        scan = scan.keys_only();
    }
    if args.reverse {
        scan = scan.reverse();
    }
    if let Some(limit) = args.limit {
        scan = scan.limit(limit);
    }
    match &args.start_after {
        Some(key) => scan.start_after(argument(key.clone())),
        None => scan,
    }
}

async fn count(mut rows: ScanStream, out: Output) -> Result<(), Failure> {
    let mut count = 0_u64;
    while let Some(row) = rows.next().await {
        row?;
        count += 1;
    }
    if out.is_json() {
        return out.json(&json!({ "count": count }));
    }
    out.line(count.to_string())
}

async fn show(mut rows: ScanStream, out: Output) -> Result<(), Failure> {
    while let Some(row) = rows.next().await {
        let row = row?;
        let is_read = if out.is_json() {
            out.row_json(&row_json(&row))?
        } else {
            show_row(&row, out)?
        };
        if !is_read {
            break;
        }
    }
    Ok(())
}

fn show_row(row: &ScanEntry, out: Output) -> Result<bool, Failure> {
    let key = row.key();
    match row.entry() {
        None => out.row(&[key]),
        Some(entry) => match entry.value() {
            Some(value) => out.row(&[key, value]),
            None => {
                let siblings = format!("({} siblings)", entry.siblings().len());
                out.row(&[key, siblings.as_bytes()])
            }
        },
    }
}

fn row_json(row: &ScanEntry) -> Map<String, serde_json::Value> {
    let mut object = keyed(row.key());
    let Some(entry) = row.entry() else {
        return object;
    };
    if let Some(value) = entry.value() {
        put_bytes(&mut object, "value", "encoding", value);
    } else {
        let siblings: Vec<_> = entry.siblings().iter().map(sibling_json).collect();
        object.insert("siblings".into(), json!(siblings));
    }
    object
}
