//! `quoit get KEY`: reads a key.
//!
//! ```text
//! one value          its bytes on standard output and nothing else          exit 0
//! none               an error                                               exit 3
//! several            side by side on standard error, nothing on standard    exit 4
//!                    output; `--all` puts them there, `--merge` makes one   exit 0
//! ```
//!
//! A conflict that was merged is merged for this reader only. To settle it, put the merged value with
//! the context that `--show-context` or `--output json` shows.

use std::ffi::OsString;

use clap::ValueEnum;
use quoit_client::{Entry, Get, LastWriterWins, SetUnion, Value};
use serde_json::{Map, json};

use super::{argument, keyed, put_bytes};
use crate::args::{ClusterArgs, ReadArgs};
use crate::encoding::context_text;
use crate::escape::{self, one_line};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Output, side_by_side};
use crate::units::moment;

/// Most siblings beside each other; the next ones go below.
const COLUMNS: usize = 3;

/// Arguments of `get`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The key
    key: OsString,

    /// Make one value of siblings
    #[arg(long, value_enum, value_name = "HOW", conflicts_with = "all")]
    merge: Option<MergeBy>,

    /// Write all siblings to standard output, as a table or as JSON lines
    #[arg(long)]
    all: bool,

    /// Show the context that `put --context` takes, on standard error
    #[arg(long)]
    show_context: bool,

    #[command(flatten)]
    read: ReadArgs,

    #[command(flatten)]
    cluster: ClusterArgs,
}

/// How siblings become one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum MergeBy {
    /// The last writer's value; what the others wrote is left out
    Lww,
    /// The union of their lines, sorted
    Union,
}

pub(crate) async fn run(args: Args, out: Output) -> Result<Exit, Failure> {
    let key = argument(args.key);
    let entry = args
        .cluster
        .with_client(
            |builder| args.read.apply(builder),
            async |client| Ok(merged(client.get(key.clone()), args.merge).await?),
        )
        .await?;
    if args.show_context && !out.is_json() {
        out.note(format!("context: {}", context_text(entry.context())));
    }
    match args.all {
        true => all(out, &key, &entry),
        false if out.is_json() => one_json(out, &key, &entry),
        false => one(out, &key, &entry),
    }
}

fn merged(get: Get, by: Option<MergeBy>) -> Get {
    match by {
        None => get,
        Some(MergeBy::Lww) => get.merge(LastWriterWins),
        Some(MergeBy::Union) => get.merge(SetUnion::lines()),
    }
}

fn one(out: Output, key: &[u8], entry: &Entry) -> Result<Exit, Failure> {
    if let Some(value) = entry.value() {
        out.value(value)?;
        return Ok(Exit::Ok);
    }
    if !entry.is_conflict() {
        return Err(not_found(key));
    }
    out.note(siblings_table(entry.siblings()));
    let what = format!(
        "`{}` has {} siblings: none of them saw another",
        one_line(key),
        entry.siblings().len()
    );
    Err(Failure::new(Exit::Conflict, what).hint(
        "read one value with `--merge lww|union`, or all with `--all`; put with the context settles it",
    ))
}

fn not_found(key: &[u8]) -> Failure {
    Failure::new(Exit::NotFound, format!("`{}` has no value", one_line(key)))
}

fn all(out: Output, key: &[u8], entry: &Entry) -> Result<Exit, Failure> {
    if entry.is_absent() {
        return Err(not_found(key));
    }
    if !out.is_json() {
        out.line(siblings_table(entry.siblings()))?;
        return Ok(Exit::Ok);
    }
    for sibling in entry.siblings() {
        let mut object = keyed(key);
        object.extend(sibling_json(sibling));
        object.insert("context".into(), context_text(entry.context()).into());
        out.json(&object)?;
    }
    Ok(Exit::Ok)
}

fn one_json(out: Output, key: &[u8], entry: &Entry) -> Result<Exit, Failure> {
    let mut object = keyed(key);
    let exit = if let Some(value) = entry.value() {
        put_bytes(&mut object, "value", "encoding", value);
        Exit::Ok
    } else if entry.is_conflict() {
        Exit::Conflict
    } else {
        Exit::NotFound
    };
    object.insert("result".into(), exit.name().into());
    if entry.siblings().len() > 1 {
        let siblings: Vec<Map<_, _>> = entry.siblings().iter().map(sibling_json).collect();
        object.insert("siblings".into(), json!(siblings));
    }
    object.insert("context".into(), context_text(entry.context()).into());
    out.json(&object)?;
    Ok(exit)
}

pub(crate) fn sibling_json(sibling: &Value) -> Map<String, serde_json::Value> {
    let mut object = Map::new();
    put_bytes(&mut object, "value", "encoding", &sibling.bytes);
    object.insert("dot".into(), sibling.dot.to_string().into());
    object.insert("written_ms".into(), json!(sibling.dot.time.millis().0));
    object.insert(
        "expires_ms".into(),
        json!(sibling.expiry.map(|expiry| expiry.0)),
    );
    object
}

/// Siblings beside each other, as a person compares them.
pub(crate) fn siblings_table(siblings: &[Value]) -> String {
    let blocks = siblings.chunks(COLUMNS).zip((1..).step_by(COLUMNS));
    let tables: Vec<String> = blocks
        .map(|(block, first)| siblings_block(block, first))
        .collect();
    tables.join("\n")
}

fn siblings_block(block: &[Value], first: usize) -> String {
    let row = |name: &str, cell: &dyn Fn(&Value) -> String| {
        std::iter::once(name.to_owned())
            .chain(block.iter().map(cell))
            .collect::<Vec<_>>()
    };
    let numbers = (first..)
        .take(block.len())
        .map(|number| format!("sibling {number}"));
    let header = std::iter::once(String::new()).chain(numbers).collect();
    let mut rows = vec![
        row("value", &|sibling| escape::lines(&sibling.bytes)),
        row("written", &|sibling| moment(sibling.dot.time.millis().0)),
        row("by", &|sibling| format!("{:?}", sibling.dot.actor)),
    ];
    if block.iter().any(|sibling| sibling.expiry.is_some()) {
        let expiry = |sibling: &Value| {
            sibling
                .expiry
                .map_or_else(|| "never".into(), |expiry| moment(expiry.0))
        };
        rows.push(row("expires", &expiry));
    }
    side_by_side(header, rows)
}

#[cfg(test)]
mod tests {
    use quoit_ring::{Actor, Dot, Millis, Time};

    use super::*;

    fn sibling(bytes: &'static [u8], expiry: Option<Millis>) -> Value {
        let dot = Dot {
            time: Time::at(Millis(1000)),
            actor: Actor(0xabc),
        };
        Value {
            bytes: bytes.into(),
            dot,
            expiry,
        }
    }

    #[test]
    fn siblings_stand_beside_each_other_three_in_a_block() {
        let four = [b"milk", b"eggs", b"oats", b"soap"].map(|bytes| sibling(bytes, None));
        let text = siblings_table(&four);
        let line = |word: &str| text.lines().find(|line| line.contains(word)).unwrap();
        assert_eq!(line("milk"), line("oats"));
        assert_ne!(line("milk"), line("soap"));
        assert!(
            text.contains("sibling 4") && text.contains("1970-01-01T00:00:01.000Z"),
            "{text}"
        );
        assert!(!text.contains("expires"), "{text}");
    }

    #[test]
    fn an_expiry_is_shown_where_there_is_one() {
        let text = siblings_table(&[sibling(b"a", None), sibling(b"b", Some(Millis(60_000)))]);
        let expires = text.lines().find(|line| line.contains("expires")).unwrap();
        assert!(
            expires.contains("never") && expires.contains("1970-01-01T00:01:00.000Z"),
            "{text}"
        );
    }

    #[test]
    fn a_value_that_is_no_text_is_base64_in_json() {
        let object = sibling_json(&sibling(&[0xff], None));
        assert_eq!(
            (&object["value"], &object["encoding"]),
            (&json!("/w=="), &json!("base64"))
        );
        assert_eq!(
            (&object["written_ms"], &object["expires_ms"]),
            (&json!(1000), &json!(null))
        );
    }
}
