//! Operations, events and values in words, for the messages of violations.
//!
//! ```text
//!   put #12 by c3.0 (1.000000 to 1.000400)       put #12 by c3.0 as 00000000000000a3@1000.7
//! ```
//!
//! Left out: outcomes and order; a report lists the operations beside the violation.

use bytes::Bytes;

use crate::history::causal::Event;
use crate::history::{Call, History, KeyId, OpId};

/// Most bytes of a value that are printed.
const MAX_VALUE: usize = 24;

/// A key's name.
pub(super) fn key(history: &History, id: KeyId) -> String {
    format!("key {}", history.key(id).name.escape_ascii())
}

/// What an operation was, whose and when.
pub(super) fn op(history: &History, id: OpId) -> String {
    let op = history.op(id);
    let end = match &op.returned {
        Some((at, _)) => at.to_string(),
        None => "never".to_owned(),
    };
    format!("{} ({} to {end})", name(history, id), op.invoked)
}

/// Which write an event is.
pub(super) fn event(history: &History, event: &Event) -> String {
    format!("{} as {}", name(history, event.op), event.dot)
}

/// A value, its end left out if it is long.
pub(super) fn value(value: &Bytes) -> String {
    if value.len() <= MAX_VALUE {
        return format!("\"{}\"", value.escape_ascii());
    }
    let first = value.slice(..MAX_VALUE);
    format!("\"{}...\" ({} bytes)", first.escape_ascii(), value.len())
}

fn name(history: &History, id: OpId) -> String {
    let op = history.op(id);
    let verb = match op.call {
        Call::Get => "get",
        Call::Put { .. } => "put",
        Call::Delete { .. } => "delete",
    };
    format!("{verb} #{} by {}", id.0, op.client)
}
