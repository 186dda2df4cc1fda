//! `quoit watch KEY`, `quoit watch --prefix P`: what is there, and then each change, until it is stopped.
//!
//! ```text
//! key <tab> value                        a value that is there, or is new; escaped for people
//! key                                    one that is gone
//! {"event":"changed","key":..,"value":..}    with `--output json`; also "gone", "current", "lagged" and "reset"
//! ```
//!
//! What is no change goes to standard error, unless the output is JSON: there a program wants all of it in order. It stops once
//! nobody reads any more, as `head` does.

use std::ffi::OsString;

use quoit_client::{Client, Watch, WatchEntry, WatchEvent, WatchStream};
use serde_json::{Map, json};

use super::get::sibling_json;
use super::{argument, keyed, put_bytes};
use crate::args::ClusterArgs;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::signals::stop_requested;

/// Arguments of `watch`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The key
    #[arg(required_unless_present = "prefix")]
    key: Option<OsString>,

    /// All keys that begin with this, in place of one key
    #[arg(long, value_name = "PREFIX", conflicts_with = "key")]
    prefix: Option<OsString>,

    #[command(flatten)]
    cluster: ClusterArgs,
}

pub(crate) async fn run(args: Args, out: Output) -> Result<Exit, Failure> {
    let cluster = args.cluster.clone();
    let work = async |client: &Client| {
        let events = watch(&args, client).stream()?;
        tokio::select! {
            biased;
            stopped = stop_requested() => stopped.map_err(|error| Failure::caused(&error)),
            shown = show(events, out) => shown,
        }
    };
    cluster.with_client(|builder| builder, work).await?;
    Ok(Exit::Ok)
}

fn watch(args: &Args, client: &Client) -> Watch {
    match (&args.prefix, &args.key) {
        (Some(prefix), _) => client.watch_prefix(argument(prefix.clone())),
        (None, key) => client.watch(argument(key.clone().unwrap_or_default())),
    }
}

async fn show(mut events: WatchStream, out: Output) -> Result<(), Failure> {
    while let Some(event) = events.next().await {
        let event = event?;
        let is_read = if out.is_json() {
            out.row_json(&event_json(&event))?
        } else {
            show_event(&event, out)?
        };
        if !is_read {
            break;
        }
    }
    Ok(())
}

fn show_event(event: &WatchEvent, out: Output) -> Result<bool, Failure> {
    match event {
        WatchEvent::Changed(entry) => return show_entry(entry, out),
        WatchEvent::Lagged(why) => out.warning(&format!("lagged: {why}")),
        WatchEvent::Reset => out.warning("all keys come again; those that do not are gone"),
        _ => {} // that nothing is missing is what people expect
    }
    Ok(true)
}

fn show_entry(entry: &WatchEntry, out: Output) -> Result<bool, Failure> {
    let key = entry.key();
    if entry.entry().is_absent() {
        return out.row(&[key]);
    }
    match entry.value() {
        Some(value) => out.row(&[key, value]),
        None => {
            let siblings = format!("({} siblings)", entry.entry().siblings().len());
            out.row(&[key, siblings.as_bytes()])
        }
    }
}

fn event_json(event: &WatchEvent) -> Map<String, serde_json::Value> {
    let named = |name: &str| Map::from_iter([("event".to_owned(), json!(name))]);
    match event {
        WatchEvent::Changed(entry) => {
            let is_absent = entry.entry().is_absent();
            let mut object = named(if is_absent { "gone" } else { "changed" });
            object.extend(keyed(entry.key()));
            if let Some(value) = entry.value() {
                put_bytes(&mut object, "value", "encoding", value);
            } else if !is_absent {
                let siblings = entry.entry().siblings();
                let siblings: Vec<_> = siblings.iter().map(sibling_json).collect();
                object.insert("siblings".into(), json!(siblings));
            }
            object
        }
        WatchEvent::Current => named("current"),
        WatchEvent::Reset => named("reset"),
        WatchEvent::Lagged(why) => {
            let mut object = named("lagged");
            object.insert("why".into(), json!(why.to_string()));
            object
        }
        _ => named("other"),
    }
}
