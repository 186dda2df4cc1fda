//! Scan: keys of a node in their order, page by page.
//!
//! ```text
//!   Scan   range, direction, cover, without  -> Scan   rows | through a key, or the end
//!
//!   cover 2, without n1:   the first 2 owners of each leaf, n1 passed over, send its rows
//!                          the first of them with values, the others their versions alone
//! ```
//!
//! Records lie in key order at every node, so a client merges the pages of all. A page says up to which key everything
//! was examined: rows of others and tombstones cost the same, so none of them stalls it.
//!
//! ```text
//!   request  flags u8 | cover u8 | rows u32 | bytes u32 | without: count u32, u64 each | start, end: length u16, bytes
//!   page     floor u64 | 0, or 1 and a key | rows: count u32; floor u64, key: length u16, record: length u32
//! ```
//!
//! Invariant: every length is held against the bytes that are left before anything is allocated for it. Left out: in which
//! leaves a key falls, and who owns them.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

use crate::clock::Time;
use crate::cluster::NodeId;
use crate::wire::codec::{self, DecodeError};
use crate::wire::lengths::{put_length, take_length};
use crate::wire::request::MAX_KEY;

/// Most rows that one page examines.
pub const MAX_SCAN_ROWS: u32 = 512;

/// About the most bytes of one page: it ends behind the row that passes them.
pub const MAX_SCAN_BYTES: u32 = 128 << 10;

/// Most nodes that a scan does without.
pub const MAX_SCAN_WITHOUT: usize = 1_024;

/// Longest bound: what follows the longest key.
pub const MAX_SCAN_BOUND: usize = MAX_KEY + 1;

const REVERSE: u8 = 1;
const VALUES: u8 = 2;

/// The keys of a range that a node is to send, in the epoch of the frame.
///
/// ```
/// # use quoit_ring::NodeId;
/// # use quoit_ring::wire::ScanRequest;
/// let users = ScanRequest {
///     start: "user:".into(), end: "user;".into(), reverse: false, values: true,
///     cover: 2, without: vec![NodeId(7)], rows: 512, bytes: 64 << 10,
/// };
/// assert_eq!(users.body_bytes(), 18 + 8 + 2 * 5);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanRequest {
    /// The first key; empty is the first of all. At most [`MAX_SCAN_BOUND`] bytes.
    pub start: Bytes,
    /// Behind the last key; empty is behind the last of all. At most [`MAX_SCAN_BOUND`] bytes.
    pub end: Bytes,
    /// From the end to the start.
    pub reverse: bool,
    /// Whether the first owner of each leaf sends values.
    pub values: bool,
    /// How many owners of each leaf send its rows, at least 1; while it moves, so many of either list.
    pub cover: u8,
    /// Owners that are passed over: ascending, each once, at most [`MAX_SCAN_WITHOUT`].
    pub without: Vec<NodeId>,
    /// Rows to examine, at least 1; a node examines [`MAX_SCAN_ROWS`] at most.
    pub rows: u32,
    /// Bytes after which the page ends; a node sends about [`MAX_SCAN_BYTES`] at most.
    pub bytes: u32,
}

/// A page of rows, in the direction of the scan.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ScanPage {
    /// The least floor of the leaves that the node owns: it stands for each key of its leaves that has no row here.
    pub floor: Time,
    /// At most [`MAX_SCAN_ROWS`].
    pub rows: Vec<ScanRow>,
    /// The last key that was examined, whether it has a row here or not; `None` if that was the whole range.
    pub through: Option<Bytes>,
}

/// One key and what the node holds of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanRow {
    /// The key.
    pub key: Bytes,
    /// The floor of its leaf.
    pub floor: Time,
    /// The encoded record, or its version: the record without values.
    pub record: Bytes,
}

impl ScanRequest {
    /// Bytes of its body.
    #[must_use]
    pub const fn body_bytes(&self) -> usize {
        const FIXED: usize = 2 * size_of::<u8>() + 3 * size_of::<u32>() + 2 * size_of::<u16>();
        FIXED + self.without.len() * size_of::<u64>() + self.start.len() + self.end.len()
    }

    pub(super) fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(self.body_bytes());
        let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
        out.put_u8(flag(self.reverse, REVERSE) | flag(self.values, VALUES));
        out.put_u8(self.cover);
        out.put_u32_le(self.rows);
        out.put_u32_le(self.bytes);
        put_length(self.without.len(), &mut out);
        for node in &self.without {
            out.put_u64_le(node.0);
        }
        put_key(&self.start, &mut out);
        put_key(&self.end, &mut out);
        out.freeze()
    }

    pub(super) fn decode(mut bytes: Bytes) -> Result<Self, DecodeError> {
        const CUT_OFF: DecodeError = DecodeError::Malformed("a scan that was cut off");
        let flags = bytes.try_get_u8().map_err(|_short| CUT_OFF)?;
        let cover = bytes.try_get_u8().map_err(|_short| CUT_OFF)?;
        let rows = bytes.try_get_u32_le().map_err(|_short| CUT_OFF)?;
        let most = bytes.try_get_u32_le().map_err(|_short| CUT_OFF)?;
        if flags & !(REVERSE | VALUES) != 0 || cover == 0 || rows == 0 {
            return Err(DecodeError::Malformed(
                "a scan of nothing, or unknown flags",
            ));
        }
        let count = take_length(&mut bytes, size_of::<u64>())?;
        if count > MAX_SCAN_WITHOUT {
            return Err(DecodeError::Malformed("a scan without too many nodes"));
        }
        let without: Vec<NodeId> = (0..count).map(|_| NodeId(bytes.get_u64_le())).collect();
        if !without.is_sorted_by(|a, b| a < b) {
            return Err(DecodeError::Malformed("nodes out of order"));
        }
        let start = take_bytes(&mut bytes, MAX_SCAN_BOUND)?;
        let end = take_bytes(&mut bytes, MAX_SCAN_BOUND)?;
        codec::end(&bytes)?;
        Ok(Self {
            start,
            end,
            reverse: flags & REVERSE != 0,
            values: flags & VALUES != 0,
            cover,
            without,
            rows,
            bytes: most,
        })
    }
}

/// Bytes of a row around its key and record.
const ROW: usize = size_of::<u64>() + size_of::<u16>() + size_of::<u32>();

impl ScanPage {
    pub(super) fn encode(&self) -> Bytes {
        let row_bytes = |row: &ScanRow| ROW + row.key.len() + row.record.len();
        let bytes: usize = self.rows.iter().map(row_bytes).sum();
        let through = self.through.as_ref().map_or(0, |key| 2 + key.len());
        let mut out = BytesMut::with_capacity(13 + through + bytes);
        out.put_u64_le(self.floor.0);
        out.put_u8(self.through.is_some().into());
        if let Some(key) = &self.through {
            put_key(key, &mut out);
        }
        put_length(self.rows.len(), &mut out);
        for row in &self.rows {
            out.put_u64_le(row.floor.0);
            put_key(&row.key, &mut out);
            put_length(row.record.len(), &mut out);
            out.put_slice(&row.record);
        }
        out.freeze()
    }

    pub(super) fn decode(mut bytes: Bytes) -> Result<Self, DecodeError> {
        const CUT_OFF: DecodeError = DecodeError::Malformed("a page of a scan that was cut off");
        let floor = Time(bytes.try_get_u64_le().map_err(|_short| CUT_OFF)?);
        let through = match bytes.try_get_u8() {
            Ok(0) => None,
            Ok(1) => Some(take_key(&mut bytes)?),
            _ => return Err(CUT_OFF),
        };
        let count = take_length(&mut bytes, ROW)?;
        if u32::try_from(count).is_ok_and(|count| count > MAX_SCAN_ROWS) {
            return Err(DecodeError::Malformed(
                "a page of more rows than it may have",
            ));
        }
        let mut rows = Vec::with_capacity(count);
        for _ in 0..count {
            let floor = Time(bytes.try_get_u64_le().map_err(|_short| CUT_OFF)?);
            let key = take_key(&mut bytes)?;
            let length = take_length(&mut bytes, 1)?;
            let record = bytes.split_to(length);
            rows.push(ScanRow { key, floor, record });
        }
        codec::end(&bytes)?;
        Ok(Self {
            floor,
            rows,
            through,
        })
    }
}

fn put_key(key: &[u8], out: &mut BytesMut) {
    out.put_u16_le(u16::try_from(key.len()).unwrap_or(u16::MAX));
    out.put_slice(key);
}

fn take_key(bytes: &mut Bytes) -> Result<Bytes, DecodeError> {
    let key = take_bytes(bytes, MAX_KEY)?;
    if key.is_empty() {
        return Err(DecodeError::Malformed("a key that is none"));
    }
    Ok(key)
}

fn take_bytes(bytes: &mut Bytes, most: usize) -> Result<Bytes, DecodeError> {
    const CUT_OFF: DecodeError = DecodeError::Malformed("a key that was cut off");
    let length = usize::from(bytes.try_get_u16_le().map_err(|_short| CUT_OFF)?);
    if length > bytes.len() {
        return Err(CUT_OFF);
    }
    if length > most {
        return Err(DecodeError::Malformed("a key that is none"));
    }
    Ok(bytes.split_to(length))
}

#[cfg(test)]
mod tests {
    use proptest::collection::{btree_set, vec};
    use proptest::option;
    use proptest::prelude::*;

    use super::*;

    fn bytes(least: usize) -> impl Strategy<Value = Bytes> {
        vec(any::<u8>(), least..40).prop_map(Bytes::from)
    }

    fn requests() -> impl Strategy<Value = ScanRequest> {
        let flags = (any::<bool>(), any::<bool>(), 1_u8..9);
        let most = (1_u32.., any::<u32>());
        let without = btree_set(any::<u64>(), 0..5);
        (bytes(0), bytes(0), flags, most, without).prop_map(
            |(start, end, (reverse, values, cover), (rows, bytes), without)| ScanRequest {
                start,
                end,
                reverse,
                values,
                cover,
                without: without.into_iter().map(NodeId).collect(),
                rows,
                bytes,
            },
        )
    }

    fn pages() -> impl Strategy<Value = ScanPage> {
        let row = (bytes(1), any::<u64>(), bytes(0));
        let row = row.prop_map(|(key, floor, record)| ScanRow {
            key,
            floor: Time(floor),
            record,
        });
        (any::<u64>(), vec(row, 0..6), option::of(bytes(1))).prop_map(|(floor, rows, through)| {
            ScanPage {
                floor: Time(floor),
                rows,
                through,
            }
        })
    }

    proptest! {
        #[test]
        fn messages_come_back_from_their_bytes(request in requests(), page in pages()) {
            prop_assert_eq!(request.encode().len(), request.body_bytes());
            prop_assert_eq!(ScanRequest::decode(request.encode()), Ok(request));
            prop_assert_eq!(ScanPage::decode(page.encode()), Ok(page));
        }

        #[test]
        fn what_was_cut_off_is_an_error_and_never_a_panic(
            request in requests(), page in pages(), at in any::<prop::sample::Index>(), junk in vec(any::<u8>(), 0..60),
        ) {
            let (request, page) = (request.encode(), page.encode());
            prop_assert!(ScanRequest::decode(request.slice(..at.index(request.len()))).is_err());
            prop_assert!(ScanPage::decode(page.slice(..at.index(page.len()))).is_err());
            let _taken_or_not = (ScanRequest::decode(junk.clone().into()), ScanPage::decode(junk.into()));
        }
    }

    #[test]
    fn requests_and_pages_beyond_their_bounds_are_refused() {
        let request = |start: usize, cover, rows, without: Vec<u64>| ScanRequest {
            start: vec![7; start].into(),
            end: Bytes::new(),
            reverse: false,
            values: true,
            cover,
            without: without.into_iter().map(NodeId).collect(),
            rows,
            bytes: 0,
        };
        let is_taken = |request: ScanRequest| ScanRequest::decode(request.encode()).is_ok();
        assert!(is_taken(request(
            MAX_SCAN_BOUND,
            1,
            1,
            (0..1_024).collect()
        )));
        assert!(!is_taken(request(MAX_SCAN_BOUND + 1, 1, 1, vec![])));
        assert!(!is_taken(request(0, 0, 1, vec![])), "nobody covers");
        assert!(!is_taken(request(0, 1, 0, vec![])), "it would stall");
        assert!(!is_taken(request(0, 1, 1, (0..1_025).collect())));
        assert!(!is_taken(request(0, 1, 1, vec![2, 1])));

        let page = |rows: u32, key: usize| {
            let row = ScanRow {
                key: vec![7; key].into(),
                floor: Time::ZERO,
                record: Bytes::new(),
            };
            let page = ScanPage {
                rows: (0..rows).map(|_| row.clone()).collect(),
                ..ScanPage::default()
            };
            ScanPage::decode(page.encode()).is_ok()
        };
        assert!(page(MAX_SCAN_ROWS, 1) && page(1, MAX_KEY));
        assert!(!page(MAX_SCAN_ROWS + 1, 1) && !page(1, MAX_KEY + 1) && !page(1, 0));
    }
}
