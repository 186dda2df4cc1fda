//! The verbs, one a module: its arguments, and what it does with them.

pub(crate) mod cas;
pub(crate) mod certs;
pub(crate) mod cluster;
pub(crate) mod delete;
pub(crate) mod dev;
pub(crate) mod explain;
pub(crate) mod export;
pub(crate) mod get;
pub(crate) mod hints;
pub(crate) mod import;
pub(crate) mod locate;
pub(crate) mod members;
pub(crate) mod node;
pub(crate) mod outcome;
pub(crate) mod put;
pub(crate) mod ring;
pub(crate) mod scan;
pub(crate) mod status;
pub(crate) mod sync;
pub(crate) mod verify;
pub(crate) mod watch;

use std::ffi::OsString;

use bytes::Bytes;
use quoit_client::Written;
use serde_json::{Map, Value, json};

use crate::encoding::{Encoding, context_text, to_text};
use crate::output::Output;

/// The bytes of an argument; on Unix they need not be UTF-8.
fn argument(text: OsString) -> Bytes {
    text.into_encoded_bytes().into()
}

/// Adds bytes to a JSON object, with their encoding if they are no text.
fn put_bytes(object: &mut Map<String, Value>, name: &str, encoding_name: &str, bytes: &[u8]) {
    let (text, encoding) = to_text(bytes);
    object.insert(name.to_owned(), text.into());
    if encoding != Encoding::Text {
        object.insert(encoding_name.to_owned(), "base64".into());
    }
}

/// A JSON object that begins with the key.
fn keyed(key: &[u8]) -> Map<String, Value> {
    let mut object = Map::new();
    put_bytes(&mut object, "key", "key_encoding", key);
    object
}

/// Tells that a put or delete is done.
fn written(out: Output, key: &[u8], receipt: &Written, show_context: bool) {
    let context = context_text(&receipt.context);
    if out.is_json() {
        let mut object = keyed(key);
        object.insert("acked".into(), json!(receipt.acked));
        object.insert("hints".into(), json!(receipt.hints));
        object.insert("dot".into(), json!(receipt.dot.to_string()));
        object.insert("context".into(), context.into());
        return out.outcome_json(&object.into());
    }
    let replicas = if receipt.acked == 1 {
        "replica"
    } else {
        "replicas"
    };
    let hints = match receipt.hints {
        0 => String::new(),
        some => format!(", {some} of them in place of a node that is away"),
    };
    out.note(format!(
        "ok: {} {replicas} confirmed it{hints}",
        receipt.acked
    ));
    if show_context {
        out.note(format!("context: {context}"));
    }
}
