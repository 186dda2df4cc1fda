//! `quoit cas KEY --if-absent|--if-value V|--if-context C VALUE|--delete`: writes a key if a condition holds.
//!
//! ```text
//!   applied     its fencing token, on standard error                exit 0
//!   mismatch    what is there instead, on standard error            exit 4
//!   unknown     the text that `quoit outcome` takes                 exit 5
//! ```
//!
//! Conditional writes of a key happen one after the other, and so do reads with `--consistency linearizable`.

use std::ffi::OsString;
use std::time::Duration;

use quoit_client::{Applied, Client, Compared, ConditionalWrite, Context, Entry};
use serde_json::{Map, Value, json};

use super::{argument, keyed, put_bytes};
use crate::args::ClusterArgs;
use crate::encoding::{context_text, parse_context};
use crate::escape::one_line;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::units::parse_duration;

/// Arguments of `cas`.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("condition").required(true)))]
#[command(group(clap::ArgGroup::new("change").required(true)))]
#[command(
    override_usage = "quoit cas [OPTIONS] <--if-absent|--if-value <VALUE>|--if-context <BASE64>> <KEY> <VALUE|--delete>"
)]
pub(crate) struct Args {
    /// The key
    key: OsString,

    /// The value to write; after `--` it may begin with a dash
    #[arg(group = "change")]
    value: Option<OsString>,

    /// Delete the key instead
    #[arg(long, group = "change", conflicts_with = "ttl")]
    delete: bool,

    /// If the key has no value
    #[arg(long, group = "condition")]
    if_absent: bool,

    /// If the key has this value, and no sibling of it
    #[arg(long, group = "condition", value_name = "VALUE")]
    if_value: Option<OsString>,

    /// If nothing was written since the read that showed this context
    #[arg(long, group = "condition", value_name = "BASE64", value_parser = parse_context)]
    if_context: Option<Context>,

    /// How long the value lives, 1ms to 100 years, such as 10m or 7d
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    ttl: Option<Duration>,

    #[command(flatten)]
    cluster: ClusterArgs,
}

pub(crate) async fn run(args: Args, out: Output) -> Result<Exit, Failure> {
    let cluster = args.cluster.clone();
    let key = argument(args.key.clone());
    let compared = cluster
        .with_client(
            |builder| builder,
            async |client| Ok(write(client, args).await?),
        )
        .await?;
    match compared {
        Compared::Applied(applied) => {
            show_applied(out, &key, &applied);
            Ok(Exit::Ok)
        }
        Compared::Mismatch(entry) => mismatch(out, &key, &entry),
    }
}

fn write(client: &Client, args: Args) -> ConditionalWrite {
    let write = client.compare_and_set(argument(args.key));
    let write = match (args.if_value, &args.if_context) {
        (Some(value), _) => write.if_value(argument(value)),
        (None, Some(context)) => write.if_context(context),
        (None, None) => write.if_absent(),
    };
    let write = match args.value {
        Some(value) => write.set(argument(value)),
        None => write.delete(),
    };
    match args.ttl {
        Some(ttl) => write.ttl(ttl),
        None => write,
    }
}

/// Says that a conditional write has happened.
pub(super) fn show_applied(out: Output, key: &[u8], applied: &Applied) {
    if !out.is_json() {
        let fence = applied.fence();
        return out.note(format!("applied, with fencing token {fence}"));
    }
    let mut object = keyed(key);
    object.insert("applied".into(), true.into());
    object.insert("fence".into(), json!(applied.fence()));
    object.insert("dot".into(), json!(applied.dot.to_string()));
    object.insert("context".into(), context_text(&applied.context).into());
    out.outcome_json(&object.into());
}

fn mismatch(out: Output, key: &[u8], entry: &Entry) -> Result<Exit, Failure> {
    if out.is_json() {
        let values = entry.siblings().iter().map(|value| {
            let mut object = Map::new();
            put_bytes(&mut object, "value", "encoding", &value.bytes);
            Value::from(object)
        });
        let mut object = keyed(key);
        object.insert("applied".into(), false.into());
        object.insert("values".into(), values.collect());
        object.insert("context".into(), context_text(entry.context()).into());
        out.outcome_json(&object.into());
        return Ok(Exit::Conflict);
    }
    let there = match entry.siblings() {
        [] => "it has no value".to_owned(),
        [only] => format!("it has `{}`", one_line(&only.bytes)),
        several => format!("it has {} siblings", several.len()),
    };
    let what = format!(
        "the condition does not hold of `{}`: {there}",
        one_line(key)
    );
    Err(Failure::new(Exit::Conflict, what).hint("nothing was written"))
}
