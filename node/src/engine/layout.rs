//! The layout of keys, byte by byte. Numbers are big-endian, so that byte order is numeric order.
//!
//! ```text
//!           0        2                4                8        10
//!   records | namespace | user key ...                               -> record
//!   ballots | namespace | user key ...                               -> promise and accepted value
//!   leaves  | leaf                     | namespace | user key ...    -> nothing
//!   graves  | leaf                     | namespace | user key ...    -> nothing
//!   expiry  | due, milliseconds                     | namespace | user key ...   -> nothing
//!   hints   | target node                           | namespace | user key ...   -> oldest time, record
//!   meta    | ASCII name, a META_ constant                           -> as documented there
//! ```
//!
//! The user key comes last and takes the rest, so no length is stored and it may hold any byte. The keys of one leaf,
//! of one target and of one interval of time are contiguous. Namespace 0 is the only one today; its two bytes
//! are there now because adding them later would rewrite every key on every disk.
//!
//! Invariant: parsing gives back what was built, and refuses everything shorter than its fixed part.

use std::ops::{Bound, RangeInclusive};

use bytes::{BufMut as _, Bytes, BytesMut};
use quoit_ring::{Leaf, NodeId};

use super::MAX_KEY;

/// The only namespace in use.
pub const NAMESPACE: u16 = 0;

/// The version of this layout; incremented with every change that an older node cannot read.
pub const FORMAT: u32 = 2;

/// In meta: [`FORMAT`] as four bytes, written when the engine is created.
pub const META_FORMAT: &[u8] = b"format";

/// In meta: the clock's high-water mark; no time above it was ever sent out.
pub const META_CLOCK: &[u8] = b"clock";

/// In meta: the first map that this node has accepted, encoded as on the wire.
pub const META_CLUSTER: &[u8] = b"cluster";

/// In meta: the newest configuration that this node has learned, encoded as on the wire; absent before it learns of any.
pub const META_CONFIGURATION: &[u8] = b"configuration";

/// In meta: this node's vote on what follows the newest epoch, with that epoch; absent before it votes.
pub const META_VOTE: &[u8] = b"vote";

/// In meta: the last epoch in which this node, empty there, has taken what it is to own, eight bytes.
pub const META_TAKEN: &[u8] = b"taken";

/// In meta: what this node has pulled in the newest epoch, by source; absent before it pulls.
pub const META_PULLED: &[u8] = b"pulled";

/// In meta: that this node has lost writes with its machine's power, and has not got them back yet, one byte.
pub const META_INCOMPLETE: &[u8] = b"incomplete";

/// In meta: up to when this node refuses clients' writes for ever, eight bytes; absent before it has promised that.
pub const META_PROMISED: &[u8] = b"promised";
/// Above the ballots of all conditional writes that the node has promised or accepted, as of the last time that it was moved: a time.
pub const META_BARRED: &[u8] = b"barred";

/// In meta: up to when no write is under way, of each leaf that it owns; absent before it knows of any.
pub const META_STABLE: &[u8] = b"stable";

/// In meta: the key of the Merkle sums, 16 bytes, from the first map.
pub const META_MERKLE: &[u8] = b"merkle";

/// In meta: the disk id of the data directory the store was made in, 16 bytes; never changes.
pub const META_DISK: &[u8] = b"disk";

/// Longest user key in bytes that fits all keyspaces: [`MAX_KEY`] less the longest fixed part.
pub const MAX_USER_KEY: usize = MAX_KEY - HINT_PREFIX;

/// Bytes in front of the user key in [`Keyspace::Hints`](super::Keyspace::Hints): the longest fixed part.
pub const HINT_PREFIX: usize = size_of::<u64>() + size_of::<u16>();

/// A stored key that is shorter than the fixed part of its keyspace: the data is damaged or foreign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a stored key has {length} bytes, its keyspace's keys begin with {fixed}")]
pub struct LayoutError {
    /// The key's length in bytes.
    pub length: usize,
    /// How many bytes the fixed part has.
    pub fixed: usize,
}

/// From one key to another, ready for [`Snapshot::range`](super::Snapshot::range).
pub type KeyRange = (Bound<Bytes>, Bound<Bytes>);

/// The key in [`Keyspace::Records`](super::Keyspace::Records), and in `Ballots`, of `key`.
///
/// ```
/// use quoit_node::engine::layout::{parse_record_key, record_key};
///
/// let stored = record_key(0, b"user:7");
/// assert_eq!(&stored[..], b"\0\0user:7");
/// assert_eq!(parse_record_key(&stored)?, (0, &b"user:7"[..]));
/// # Ok::<(), quoit_node::engine::layout::LayoutError>(())
/// ```
#[must_use]
pub fn record_key(namespace: u16, key: &[u8]) -> Bytes {
    build(&[], namespace, key)
}

/// The key in [`Keyspace::Leaves`](super::Keyspace::Leaves), and in `Graves`, that says `key` falls in `leaf`.
#[must_use]
pub fn leaf_key(leaf: Leaf, namespace: u16, key: &[u8]) -> Bytes {
    build(&leaf.0.to_be_bytes(), namespace, key)
}

/// The key in [`Keyspace::Expiry`](super::Keyspace::Expiry) that says `key` is due at `due` (milliseconds).
#[must_use]
pub fn expiry_key(due: u64, namespace: u16, key: &[u8]) -> Bytes {
    build(&due.to_be_bytes(), namespace, key)
}

/// The key in [`Keyspace::Hints`](super::Keyspace::Hints) of the record of `key` kept for `target`.
#[must_use]
pub fn hint_key(target: NodeId, namespace: u16, key: &[u8]) -> Bytes {
    build(&target.0.to_be_bytes(), namespace, key)
}

/// Takes a records (or ballots) key apart: namespace, user key.
///
/// # Errors
///
/// [`LayoutError`] if it is shorter than its fixed part.
pub fn parse_record_key(stored: &[u8]) -> Result<(u16, &[u8]), LayoutError> {
    let ([], namespace, key) = parse(stored)?;
    Ok((namespace, key))
}

/// Takes a leaves key apart: leaf, namespace, user key.
///
/// # Errors
///
/// [`LayoutError`] if it is shorter than its fixed part.
pub fn parse_leaf_key(stored: &[u8]) -> Result<(Leaf, u16, &[u8]), LayoutError> {
    let (leaf, namespace, key) = parse(stored)?;
    Ok((Leaf(u32::from_be_bytes(leaf)), namespace, key))
}

/// Takes an expiry key apart: due time in milliseconds, namespace, user key.
///
/// # Errors
///
/// [`LayoutError`] if it is shorter than its fixed part.
pub fn parse_expiry_key(stored: &[u8]) -> Result<(u64, u16, &[u8]), LayoutError> {
    let (due, namespace, key) = parse(stored)?;
    Ok((u64::from_be_bytes(due), namespace, key))
}

/// Takes a hints key apart: target, namespace, user key.
///
/// # Errors
///
/// [`LayoutError`] if it is shorter than its fixed part.
pub fn parse_hint_key(stored: &[u8]) -> Result<(NodeId, u16, &[u8]), LayoutError> {
    let (target, namespace, key) = parse(stored)?;
    Ok((NodeId(u64::from_be_bytes(target)), namespace, key))
}

/// All leaves (or graves) keys of the leaves from the first to the last given, both included.
///
/// ```
/// use quoit_node::engine::layout::leaf_range;
/// use quoit_ring::Leaf;
///
/// let one_leaf = leaf_range(Leaf(7)..=Leaf(7));
/// let a_quarter = leaf_range(Leaf(0)..=Leaf((1 << 18) - 1));
/// assert_ne!(one_leaf, a_quarter);
/// ```
#[must_use]
pub fn leaf_range(leaves: RangeInclusive<Leaf>) -> KeyRange {
    let end = leaves.end().0.checked_add(1).map(u32::to_be_bytes);
    range(&leaves.start().0.to_be_bytes(), end)
}

/// All expiry keys due at `now` (milliseconds) or before.
#[must_use]
pub fn due_range(now: u64) -> KeyRange {
    range(&[0; 8], now.checked_add(1).map(u64::to_be_bytes))
}

/// All hints keys of `target`.
#[must_use]
pub fn hint_range(target: NodeId) -> KeyRange {
    let end = target.0.checked_add(1).map(u64::to_be_bytes);
    range(&target.0.to_be_bytes(), end)
}

fn build(prefix: &[u8], namespace: u16, key: &[u8]) -> Bytes {
    let mut stored = BytesMut::with_capacity(prefix.len() + size_of::<u16>() + key.len());
    stored.put_slice(prefix);
    stored.put_u16(namespace);
    stored.put_slice(key);
    stored.freeze()
}

fn parse<const N: usize>(stored: &[u8]) -> Result<([u8; N], u16, &[u8]), LayoutError> {
    let too_short = LayoutError {
        length: stored.len(),
        fixed: N + size_of::<u16>(),
    };
    let (prefix, rest) = stored.split_first_chunk().ok_or(too_short)?;
    let (namespace, key) = rest.split_first_chunk().ok_or(too_short)?;
    Ok((*prefix, u16::from_be_bytes(*namespace), key))
}

/// From `start` up to, not including, `end`; without `end`, to the last key there is.
fn range<const N: usize>(start: &[u8; N], end: Option<[u8; N]>) -> KeyRange {
    let end = end.map_or(Bound::Unbounded, |end| {
        Bound::Excluded(Bytes::copy_from_slice(&end))
    });
    (Bound::Included(Bytes::copy_from_slice(start)), end)
}

#[cfg(test)]
mod tests {
    use std::ops::RangeBounds as _;

    use proptest::collection::vec;
    use proptest::prelude::{any, proptest};

    use super::*;

    #[test]
    fn keys_are_golden() {
        let node = NodeId(0x0102_0304_0506_0708);
        assert_eq!(record_key(0, b"k")[..], *b"\0\0k");
        assert_eq!(record_key(0x0a0b, b"")[..], [0x0a, 0x0b]);
        assert_eq!(
            leaf_key(Leaf(0x000f_ffff), 0, b"k")[..],
            *b"\0\x0f\xff\xff\0\0k"
        );
        assert_eq!(
            expiry_key(258, 1, b"k")[..],
            *b"\0\0\0\0\0\0\x01\x02\0\x01k"
        );
        assert_eq!(
            hint_key(node, 0, b"k")[..],
            *b"\x01\x02\x03\x04\x05\x06\x07\x08\0\0k"
        );
        assert_eq!(
            [
                META_FORMAT,
                META_CLOCK,
                META_CLUSTER,
                META_CONFIGURATION,
                META_VOTE,
                META_TAKEN,
                META_PULLED,
                META_INCOMPLETE,
                META_PROMISED,
                META_BARRED,
                META_STABLE,
                META_MERKLE,
                META_DISK
            ],
            [
                &b"format"[..],
                b"clock",
                b"cluster",
                b"configuration",
                b"vote",
                b"taken",
                b"pulled",
                b"incomplete",
                b"promised",
                b"barred",
                b"stable",
                b"merkle",
                b"disk"
            ]
        );
    }

    #[test]
    fn the_longest_user_key_fits_every_keyspace() {
        let longest = vec![1; MAX_USER_KEY];
        assert_eq!(hint_key(NodeId(1), 0, &longest).len(), MAX_KEY);
        assert!(expiry_key(1, 0, &longest).len() <= MAX_KEY);
    }

    #[test]
    fn a_key_shorter_than_its_fixed_part_is_refused() {
        let ten = [0; 10];
        let refused = |length, fixed| LayoutError { length, fixed };
        assert_eq!(parse_record_key(&ten[..1]), Err(refused(1, 2)));
        assert_eq!(parse_leaf_key(&ten[..5]), Err(refused(5, 6)));
        assert_eq!(parse_expiry_key(&ten[..9]), Err(refused(9, 10)));
        assert_eq!(parse_hint_key(&ten[..7]), Err(refused(7, 10)));
        assert_eq!(parse_hint_key(&ten), Ok((NodeId(0), 0, &[][..])));
    }

    #[test]
    fn the_last_leaf_target_and_instant_have_their_ranges_too() {
        assert!(
            leaf_range(Leaf(u32::MAX)..=Leaf(u32::MAX)).contains(&leaf_key(
                Leaf(u32::MAX),
                9,
                b"\xff"
            ))
        );
        assert!(hint_range(NodeId(u64::MAX)).contains(&hint_key(NodeId(u64::MAX), 9, b"\xff")));
        assert!(due_range(u64::MAX).contains(&expiry_key(u64::MAX, 9, b"\xff")));
    }

    proptest! {
        #[test]
        fn what_is_built_is_what_is_parsed(number: u64, leaf: u32, namespace: u16, key in vec(any::<u8>(), 0..20)) {
            let record = record_key(namespace, &key);
            assert_eq!(parse_record_key(&record), Ok((namespace, &key[..])));
            let stored = leaf_key(Leaf(leaf), namespace, &key);
            assert_eq!(parse_leaf_key(&stored), Ok((Leaf(leaf), namespace, &key[..])));
            let stored = expiry_key(number, namespace, &key);
            assert_eq!(parse_expiry_key(&stored), Ok((number, namespace, &key[..])));
            let stored = hint_key(NodeId(number), namespace, &key);
            assert_eq!(parse_hint_key(&stored), Ok((NodeId(number), namespace, &key[..])));
        }

        #[test]
        fn keys_sort_by_number_then_namespace_then_user_key(
            a: (u32, u16), b: (u32, u16), left in vec(any::<u8>(), 0..6), right in vec(any::<u8>(), 0..6),
        ) {
            let order = (a, &left).cmp(&(b, &right));
            assert_eq!(leaf_key(Leaf(a.0), a.1, &left).cmp(&leaf_key(Leaf(b.0), b.1, &right)), order);
            let (due_a, due_b) = (u64::from(a.0) << 20, u64::from(b.0) << 20);
            assert_eq!(expiry_key(due_a, a.1, &left).cmp(&expiry_key(due_b, b.1, &right)), order);
            let (node_a, node_b) = (NodeId(due_a), NodeId(due_b));
            assert_eq!(hint_key(node_a, a.1, &left).cmp(&hint_key(node_b, b.1, &right)), order);
        }

        #[test]
        fn a_range_of_leaves_holds_exactly_their_keys(
            first in 0..8_u32, last in 0..8_u32, leaf in 0..9_u32, namespace: u16, key in vec(any::<u8>(), 0..6),
        ) {
            let held = leaf_range(Leaf(first)..=Leaf(last)).contains(&leaf_key(Leaf(leaf), namespace, &key));
            assert_eq!(held, (first..=last).contains(&leaf));
            let held = due_range(u64::from(last)).contains(&expiry_key(leaf.into(), namespace, &key));
            assert_eq!(held, leaf <= last);
            let held = hint_range(NodeId(first.into())).contains(&hint_key(NodeId(leaf.into()), namespace, &key));
            assert_eq!(held, leaf == first);
        }
    }
}
