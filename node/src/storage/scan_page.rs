//! A page of a scan: rows of `records` in the order of keys, or against it.
//!
//! ```text
//!   records   a   b   c   d   e   f   g ...
//!             |   x   |   t   x   |   |           x: not this node's to send, t: a tombstone
//!   page      a       c   d       f  -> through f          both cost as much as a row that is sent
//! ```
//!
//! A page is bounded by the rows that were looked at, whatever they are, and by what is sent. So it takes about the same
//! time wherever it begins, and is read on the thread that serves clients, like a page of what moves.
//!
//! A row that cannot be decoded is sent as it is, or empty where it would be cut: the client reads such a key by itself,
//! from all of its owners. Left out: who sends which rows.

use std::ops::Bound;

use bytes::Bytes;
use quoit_ring::Time;
use quoit_ring::wire::{
    MAX_SCAN_BYTES, MAX_SCAN_ROWS, ScanPage, ScanRequest, ScanRow, decode_record, record_bytes,
};

use crate::engine::layout::{KeyRange, NAMESPACE, parse_record_key, record_key};
use crate::engine::{EngineError, Keyspace, Snapshot};

/// A record up to this many bytes is sent whole even where its version would do: to leave its value out would save little.
const SMALL: usize = 128;

/// A record over this many bytes is sent as its version: pages stay short, and the client reads the key.
const LARGE: usize = 64 << 10;

/// How a node sends a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// With its values.
    Whole,
    /// Without.
    Version,
}

/// The range of a scan in the keyspace of records.
fn range_of(request: &ScanRequest) -> KeyRange {
    let end = if request.end.is_empty() {
        record_key(NAMESPACE + 1, b"")
    } else {
        record_key(NAMESPACE, &request.end)
    };
    let start = record_key(NAMESPACE, &request.start);
    (Bound::Included(start), Bound::Excluded(end))
}

/// Reads one page. `part` says for a key whether this node sends it, how, and the floor of its leaf.
///
/// # Errors
/// The engine's, for what it could not read; or the refusal of `part`.
pub(crate) fn read_scan_page<S: Snapshot, E: From<EngineError>>(
    snapshot: &S,
    request: &ScanRequest,
    mut part: impl FnMut(&[u8]) -> Result<Option<(Part, Time)>, E>,
) -> Result<ScanPage, E> {
    let mut range = snapshot.range(Keyspace::Records, range_of(request));
    let mut page = ScanPage::default();
    let (mut looked, mut bytes) = (0, 0);
    let (most_rows, most_bytes) = (
        request.rows.min(MAX_SCAN_ROWS),
        request.bytes.min(MAX_SCAN_BYTES) as usize,
    );
    loop {
        let next = if request.reverse {
            range.next_back()
        } else {
            range.next()
        };
        let Some(stored) = next else {
            page.through = None;
            return Ok(page);
        };
        let (stored, record) = stored?;
        let key = match parse_record_key(&stored) {
            Ok((_, key)) if !key.is_empty() => stored.slice_ref(key),
            _ => return Err(E::from(damaged())),
        };

        looked += 1;
        if let Some((part, floor)) = part(&key)? {
            let record = sent(record, part);
            bytes += key.len() + record.len();
            let key = key.clone();
            page.rows.push(ScanRow { key, floor, record });
        }
        if looked >= most_rows || bytes >= most_bytes {
            page.through = Some(key);
            return Ok(page);
        }
    }
}

fn sent(record: Bytes, part: Part) -> Bytes {
    if record.len() <= SMALL || (part == Part::Whole && record.len() <= LARGE) {
        return record;
    }
    let digest = decode_record(&record).map(|record| record_bytes(&record.without_values()));
    digest.unwrap_or_default()
}

const fn damaged() -> EngineError {
    EngineError::Corrupt {
        doing: "reading the keys of a scan",
        source: None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;
    use quoit_ring::{Delta, Record};

    use super::*;
    use crate::engine::{Batch, Durability, Engine as _, MemoryEngine};
    use crate::testing::{Unreadable, WALL, blind, dot, encoded};

    fn request(rows: u32, reverse: bool) -> ScanRequest {
        ScanRequest {
            start: Bytes::new(),
            end: Bytes::new(),
            reverse,
            values: true,
            cover: 1,
            without: vec![],
            rows,
            bytes: MAX_SCAN_BYTES,
        }
    }

    fn filled(rows: impl IntoIterator<Item = (Vec<u8>, Bytes)>) -> MemoryEngine {
        let (engine, mut batch) = (MemoryEngine::new(), Batch::new());
        for (key, record) in rows {
            batch.insert(Keyspace::Records, record_key(NAMESPACE, &key), record);
        }
        engine.commit(batch, Durability::Fsync).unwrap();
        engine
    }

    fn value(bytes: usize) -> Bytes {
        encoded(blind(dot(1, WALL), &"v".repeat(bytes)).record())
    }

    /// All pages, each from behind the one before.
    fn pages(
        engine: &MemoryEngine,
        mut request: ScanRequest,
        part: impl Fn(&[u8]) -> Option<(Part, Time)>,
    ) -> Vec<ScanPage> {
        let mut pages = Vec::new();
        loop {
            let part = |key: &[u8]| Ok::<_, EngineError>(part(key));
            let page = read_scan_page(&engine.snapshot(), &request, part).unwrap();
            let through = page.through.clone();
            pages.push(page);
            match through {
                None => return pages,
                Some(key) if request.reverse => request.end = key,
                Some(key) => request.start = [&key[..], &[0]].concat().into(),
            }
        }
    }

    proptest! {
        #[test]
        fn pages_one_after_the_other_are_the_rows_of_the_range_that_are_to_be_sent(
            rows in btree_map(vec(0_u8..4, 1..4), any::<bool>(), 0..40),
            (start, end) in (vec(0_u8..4, 0..3), vec(0_u8..4, 0..3)), most in 1_u32..6, reverse: bool,
        ) {
            let engine = filled(rows.keys().map(|key| (key.clone(), value(3))));
            let asked = ScanRequest { start: start.clone().into(), end: end.clone().into(), ..request(most, reverse) };
            let is_sent = |key: &[u8]| rows[key].then_some((Part::Whole, Time(7)));
            let found = pages(&engine, asked, is_sent);
            let keys = found.iter().flat_map(|page| page.rows.iter().map(|row| row.key.to_vec()));
            let is_within = |key: &&Vec<u8>| **key >= start && (end.is_empty() || **key < end);
            let mut wanted: Vec<Vec<u8>> = rows.keys().filter(is_within).filter(|key| rows[*key]).cloned().collect();
            if reverse {
                wanted.reverse();
            }
            prop_assert_eq!(keys.collect::<Vec<_>>(), wanted);
            prop_assert!(found.iter().all(|page| page.rows.len() <= most as usize));
        }
    }

    #[test]
    fn rows_that_are_not_sent_and_tombstones_end_a_page_too() {
        let dead = encoded(Delta::blind(dot(1, WALL), None).record());
        let keys = (0_u16..1_000).map(|n| (n.to_be_bytes().to_vec(), dead.clone()));
        let engine = filled(keys);
        let nothing = pages(&engine, request(100, false), |_key| None);
        assert!(nothing.iter().all(|page| page.rows.is_empty()));
        assert_eq!(nothing.len(), 11, "the last one finds nothing more");
        let most = pages(&engine, request(u32::MAX, false), |_key| {
            Some((Part::Version, Time::ZERO))
        });
        assert_eq!(most[0].rows.len(), MAX_SCAN_ROWS as usize);
    }

    #[test]
    fn a_page_ends_behind_the_row_that_passes_its_bytes() {
        let engine = filled((0_u8..9).map(|n| (vec![n], value(1_000))));
        let asked = ScanRequest {
            bytes: 2_500,
            ..request(100, false)
        };
        let whole = pages(&engine, asked.clone(), |_key| {
            Some((Part::Whole, Time::ZERO))
        });
        assert!(whole[..3].iter().all(|page| page.rows.len() == 3));
        let versions = pages(&engine, asked, |_key| Some((Part::Version, Time::ZERO)));
        assert_eq!(versions[0].rows.len(), 9);
        let decoded = |row: &ScanRow| decode_record(&row.record).unwrap();
        let has_values = |record: Record| record.live().iter().all(|s| s.value.is_some());
        assert!(!has_values(decoded(&versions[0].rows[0])));
        assert!(has_values(decoded(&whole[0].rows[0])));
    }

    #[test]
    fn a_large_record_comes_as_its_version_and_one_that_is_none_as_nothing() {
        let rows = BTreeMap::from([
            (b"large".to_vec(), value(LARGE)),
            (b"none".to_vec(), Bytes::from(vec![9; SMALL + 1])),
        ]);
        let whole = pages(&filled(rows), request(9, false), |_key| {
            Some((Part::Whole, Time::ZERO))
        });
        let records: Vec<_> = whole[0].rows.iter().map(|row| &row.record).collect();
        assert_eq!(decode_record(records[0]).unwrap().live()[0].value, None);
        assert_eq!(
            records[1].len(),
            SMALL + 1,
            "it can be sent, and is found out"
        );
    }

    #[test]
    fn what_the_engine_cannot_read_is_an_error() {
        let engine = filled([(b"a".to_vec(), value(1)), (b"b".to_vec(), value(1))]);
        let snapshot = Unreadable {
            snapshot: engine.snapshot(),
            keyspace: Keyspace::Records,
            keys: [record_key(NAMESPACE, b"b")].into(),
        };
        let part = |_key: &[u8]| Ok(Some((Part::Whole, Time::ZERO)));
        let page = read_scan_page::<_, EngineError>(&snapshot, &request(9, false), part);
        assert!(page.is_err());
    }
}
