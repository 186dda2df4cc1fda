//! A page of hints: what is read at a time.
//!
//! ```text
//!   hints   target 7 | a    target 7 | b    target 7 | c    target 9 | a
//!                           '-- after "a", most bytes: b, c, and that was the end of 7's
//! ```
//!
//! A hint that cannot be read is passed over, and holds up no other. It stays, and is reported by the log.

use std::ops::Bound;

use bytes::Bytes;
use quoit_ring::NodeId;

use super::row::split_row;
use crate::engine::layout::{NAMESPACE, hint_key, hint_range, parse_hint_key};
use crate::engine::{EngineError, Keyspace, Snapshot, skip_unreadable};

/// How much a page holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageSize {
    /// Most hints.
    pub hints: usize,
    /// Bytes of records after which it is full: one record may go beyond it.
    pub bytes: usize,
}

impl PageSize {
    /// What a node reads at a time.
    pub const NODE: Self = Self {
        hints: 256,
        bytes: 256 << 10,
    };
}

/// What is kept of one key for a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    /// The user key.
    pub key: Bytes,
    /// The encoded record.
    pub record: Bytes,
}

/// Some of the hints for a node, in the order of their keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The node for which they are kept.
    pub target: NodeId,
    /// At least one, unless it is the last page.
    pub hints: Vec<Hint>,
    /// Whether there are none behind them.
    pub is_last: bool,
    /// Places between them that could not be read.
    pub unreadable: u64,
}

/// Reads the hints for `target` that come behind the key `after`, as many as a page holds. What cannot be read is passed
/// over.
///
/// # Errors
/// The engine's, if none of them can be read.
pub fn load<S: Snapshot>(
    snapshot: &S,
    target: NodeId,
    after: Option<&[u8]>,
    size: PageSize,
) -> Result<Page, EngineError> {
    let (first, end) = hint_range(target);
    let mut last = hint_key(target, NAMESPACE, after.unwrap_or_default());
    let start = after.map_or(first, |_key| Bound::Excluded(last.clone()));
    let mut walk = snapshot.range(Keyspace::Hints, (start, end.clone()));

    let mut page = Page {
        target,
        hints: Vec::new(),
        is_last: false,
        unreadable: 0,
    };
    let mut bytes = 0;
    while page.hints.len() < size.hints && bytes < size.bytes {
        let Some(entry) = walk.next() else {
            page.is_last = true;
            break;
        };
        match entry {
            Ok((stored_key, row)) => {
                let (_minted, record) = split_row(&row);
                bytes += record.len();
                last = stored_key.clone();
                // A key shorter than its prefix cannot lie between two that have it.
                if let Ok((_, _, key)) = parse_hint_key(&stored_key) {
                    let key = stored_key.slice_ref(key);
                    page.hints.push(Hint { key, record });
                }
            }
            Err(error) => {
                let next = skip_unreadable(snapshot, Keyspace::Hints, &last, &end, &error);
                let Some(next) = next else {
                    if page.hints.is_empty() {
                        return Err(error);
                    }
                    // What was read goes out; of the rest nothing can be.
                    page.unreadable += 1;
                    page.is_last = true;
                    break;
                };
                let error: &dyn std::error::Error = &error;
                tracing::debug!(target_node = %target, error, "a hint cannot be read");
                page.unreadable += 1;
                walk = snapshot.range(
                    Keyspace::Hints,
                    (Bound::Included(next.clone()), end.clone()),
                );
                last = next;
            }
        }
    }
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Batch, Durability, Engine as _, MemoryEngine};
    use crate::testing::Unreadable;

    fn engine(rows: impl IntoIterator<Item = (u64, String, usize)>) -> MemoryEngine {
        let engine = MemoryEngine::new();
        let mut batch = Batch::new();
        for (target, key, bytes) in rows {
            let key = hint_key(NodeId(target), NAMESPACE, key.as_bytes());
            batch.insert(Keyspace::Hints, key, vec![b'r'; bytes]);
        }
        engine.commit(batch, Durability::Fsync).unwrap();
        engine
    }

    #[test]
    fn pages_hold_every_hint_of_their_target_once() {
        let rows = (0..600).flat_map(|n| [(7, format!("{n:03}"), 10), (9, format!("{n:03}"), 10)]);
        let snapshot = engine(rows).snapshot();
        let (mut keys, mut pages, mut after) = (Vec::new(), 0, None);
        loop {
            let page = load(&snapshot, NodeId(7), after.as_deref(), PageSize::NODE).unwrap();
            keys.extend(page.hints.iter().map(|hint| hint.key.clone()));
            pages += 1;
            if page.is_last {
                break;
            }
            after = page.hints.last().map(|hint| hint.key.clone());
        }
        assert_eq!((keys.len(), pages), (600, 3));
        assert!(keys.is_sorted());
    }

    #[test]
    fn long_records_make_short_pages() {
        let rows = (0..9).map(|n| (7, n.to_string(), 100 << 10));
        let page = load(&engine(rows).snapshot(), NodeId(7), None, PageSize::NODE).unwrap();
        assert_eq!((page.hints.len(), page.is_last), (3, false));
    }

    #[test]
    fn a_hint_that_cannot_be_read_is_passed_over() {
        let rows = (0..9).map(|n| (7, n.to_string(), 10));
        let snapshot = Unreadable {
            snapshot: engine(rows).snapshot(),
            keyspace: Keyspace::Hints,
            keys: ["0", "4", "5", "8"]
                .map(|key| hint_key(NodeId(7), NAMESPACE, key.as_bytes()))
                .into(),
        };
        let page = load(&snapshot, NodeId(7), None, PageSize::NODE).unwrap();
        let keys: Vec<_> = page.hints.iter().map(|hint| &hint.key[..]).collect();
        assert_eq!(keys, [b"1", b"2", b"3", b"6", b"7"]);
        assert!(page.is_last);
        assert_eq!(page.unreadable, 3);
    }

    #[test]
    fn who_is_kept_nothing_for_has_an_empty_last_page() {
        let page = load(
            &engine([]).snapshot(),
            NodeId(7),
            Some(b"k"),
            PageSize::NODE,
        )
        .unwrap();
        assert_eq!((page.hints.len(), page.is_last), (0, true));
    }
}
