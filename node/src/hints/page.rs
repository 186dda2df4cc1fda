//! A page of hints: what is read at a time.
//!
//! ```text
//!   hints   target 7 | a    target 7 | b    target 7 | c    target 9 | a
//!                           '-- after "a", most bytes: b, c, and that was the end of 7's
//! ```

use std::ops::Bound;

use bytes::Bytes;
use quoit_ring::NodeId;

use crate::engine::layout::{NAMESPACE, hint_key, hint_range, parse_hint_key};
use crate::engine::{EngineError, Keyspace, Snapshot};

/// Most hints of one page.
const MOST: usize = 256;
/// Bytes of records after which a page is full: one more may go beyond it.
const MOST_BYTES: usize = 256 << 10;

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
}

/// Reads the hints for `target` that come behind the key `after`, at most 256 of them and about 256 KiB.
///
/// # Errors
/// The engine's.
pub fn load<S: Snapshot>(
    snapshot: &S,
    target: NodeId,
    after: Option<&[u8]>,
) -> Result<Page, EngineError> {
    let (first, end) = hint_range(target);
    let start = after.map_or(first, |key| {
        Bound::Excluded(hint_key(target, NAMESPACE, key))
    });
    let mut walk = snapshot.range(Keyspace::Hints, (start, end));
    let (mut hints, mut bytes) = (Vec::new(), 0);
    while hints.len() < MOST && bytes < MOST_BYTES {
        let Some(entry) = walk.next() else {
            let is_last = true;
            return Ok(Page {
                target,
                hints,
                is_last,
            });
        };
        let (stored_key, record) = entry?;
        bytes += record.len();
        // A key shorter than its prefix cannot lie between two that have it.
        if let Ok((_, _, key)) = parse_hint_key(&stored_key) {
            let key = stored_key.slice_ref(key);
            hints.push(Hint { key, record });
        }
    }
    Ok(Page {
        target,
        hints,
        is_last: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Batch, Durability, Engine as _, MemoryEngine};

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
            let page = load(&snapshot, NodeId(7), after.as_deref()).unwrap();
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
        let page = load(&engine(rows).snapshot(), NodeId(7), None).unwrap();
        assert_eq!((page.hints.len(), page.is_last), (3, false));
    }

    #[test]
    fn who_is_kept_nothing_for_has_an_empty_last_page() {
        let page = load(&engine([]).snapshot(), NodeId(7), Some(b"k")).unwrap();
        assert_eq!((page.hints.len(), page.is_last), (0, true));
    }
}
