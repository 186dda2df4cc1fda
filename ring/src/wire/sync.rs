//! Messages by which two nodes find what differs between them, and by which operators watch that. What differs is read and
//! joined by the requests that do so for anybody.
//!
//! ```text
//!   Total                           -> Total   the sum of all that both own
//!   Below   nodes of one level      -> Below   the sums of their children, short
//!   Keys    leaves, behind which    -> Keys    a page of keys with short sums
//!   Promise a time at most          -> Promised  no older write will be joined from a client; the oldest hints
//!   Restore a lost record           -> Joined    by the response of that name
//!   Status                          -> Status  how the node stands with each other owner of its leaves
//!   Order   now, pause, resume      -> Status
//! ```
//!
//! `Promise` and `Restore` belong to stability: up to when no write is under way any more ([`Held`](crate::Held)).
//!
//! A message of the first three is about the leaves that sender and receiver both own in the epoch of its frame
//! ([`SharedLeaves`]). Sums on the way down are cut to 64 bits: two that are equal by chance hide a difference from this
//! session alone, and the total, which ends one, has all 128.
//!
//! ```text
//!   request   variant u8 | level u8 | nodes: count u32, u32 each
//!                        | leaves: count u32, u32 each | behind which key
//!                        | -
//!                        | order u8
//!                        | time u64
//!                        | length u16, key | record
//!   answer    variant u8 | u128
//!                        | u64 each
//!                        | rows: count u32; sum u64, length u16, key | 0, or 1 and the last key of the page
//!                        | paused, peer or none, stability: bincode | of each peer: length u16, bincode
//!                        | time u64, time u64 | of each target: node u64, time u64
//! ```
//!
//! Invariant: a list is held against the bytes that are left before anything is allocated for it. Left out: whether the
//! nodes asked for are shared ([`SyncRequest::check`]), and who may ask.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

use crate::clock::Time;
use crate::cluster::NodeId;
use crate::merkle::{SharedLeaves, Sum};
use crate::role::Privilege;
use crate::wire::codec::{self, DecodeError};
use crate::wire::lengths::{put_length, take_length};
use crate::wire::request::MAX_KEY;
use crate::wire::sync_status::SyncStatus;

/// Most nodes of the tree, or leaves, in one request: their children's sums fit a frame of the lane.
pub const MAX_SYNC_NODES: usize = 256;

/// Most keys in a page.
pub const MAX_SYNC_ROWS: usize = 128;

/// One message of a node that compares itself with another.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SyncRequest {
    /// The sum of all that both own.
    Total,
    /// The sums of the children of these nodes of the tree.
    Below {
        /// The level of the nodes; 0 is the root.
        level: u8,
        /// Ascending, each with a shared leaf below it; at most [`MAX_SYNC_NODES`].
        nodes: Vec<u32>,
    },
    /// The keys in these leaves that have a live value, each with its sum.
    Keys {
        /// Ascending shared leaves; at most [`MAX_SYNC_NODES`].
        leaves: Vec<u32>,
        /// Behind which key, in the order of leaves and then of keys; empty for the first page.
        after: Bytes,
    },
    /// How the node stands with each other owner of its leaves.
    Status,
    /// An operator's order about the syncs that this node begins.
    Order(SyncOrder),
    /// Refuse from now on, restarts included, any client's write that is too old by a clock that shows this time, or by the node's
    /// own if that is earlier. And how old are the writes that it keeps for others?
    Promise {
        /// The sender's own clock: so one clock that is far ahead binds nobody.
        at_most: Time,
    },
    /// Join a record that the receiver has lost: what lives in it lies at or below the `stable` of both.
    Restore {
        /// Its key, of a leaf that both own.
        key: Bytes,
        /// The encoded record, whole.
        record: Bytes,
    },
}

/// What an operator may want of a node's syncs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum SyncOrder {
    /// Sync with all others as soon as may be.
    Now = 0,
    /// Begin none, until resumed or restarted. Others still sync with this node.
    Pause = 1,
    /// Begin some again.
    Resume = 2,
}

/// What a node answers to such a message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SyncAnswer {
    /// The whole sum.
    Total(Sum),
    /// The [short](Sum::short) sums of the children that have shared leaves, node after node.
    Below(Vec<u64>),
    /// A page of keys.
    Keys(KeyPage),
    /// How the node stands with the others.
    Status(SyncStatus),
    /// What was asked for by [`SyncRequest::Promise`].
    Promised(Promised),
}

/// A node's part in finding up to when no write is under way: which it will not join any more, and which it still keeps for
/// others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promised {
    /// Writes of clients up to this time it refuses from now on, restarts included.
    pub refused: Time,
    /// For which nodes it keeps hints of keys that these own, each with a time before which none was minted. Ascending, each node
    /// once.
    pub hints: Vec<(NodeId, Time)>,
    /// The same for hints that may be of any key; [`Time::MAX`] if there are none.
    pub other_hints: Time,
}

/// A page of keys, in the order of leaves and then of keys.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyPage {
    /// Keys that have a live value, at most [`MAX_SYNC_ROWS`], with the [short](Sum::short) sums of their records.
    pub rows: Vec<(Bytes, u64)>,
    /// Behind which key the next page begins; `None` if this is the last one.
    pub next: Option<Bytes>,
}

/// A request for leaves that cannot be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nodes of the tree that are none, too many, out of order, or not shared")]
pub struct BadNodes;

impl SyncRequest {
    /// Whether it asks for what is there: nodes in ascending order, not too many, each with leaves that both own.
    ///
    /// ```
    /// # use quoit_ring::merkle::SharedLeaves;
    /// # use quoit_ring::wire::SyncRequest;
    /// # use quoit_ring::{Leaf, LeafBits};
    /// let shared = SharedLeaves::new(LeafBits::new(8).unwrap(), vec![Leaf(16)..=Leaf(40)]);
    /// let below = |nodes: &[u32]| SyncRequest::Below { level: 1, nodes: nodes.to_vec() }.check(&shared);
    /// assert!(below(&[1, 2]).is_ok());
    /// assert!(below(&[]).is_err() && below(&[2, 1]).is_err() && below(&[1, 1]).is_err());
    /// assert!(below(&[0]).is_err(), "leaves 0 to 15 are not shared");
    /// ```
    ///
    /// # Errors
    /// [`BadNodes`]; nothing was looked up.
    pub fn check(&self, shared: &SharedLeaves) -> Result<(), BadNodes> {
        let (level, nodes) = match self {
            Self::Total | Self::Status | Self::Order(_) | Self::Promise { .. } => return Ok(()),
            Self::Restore { key, .. } if (1..=MAX_KEY).contains(&key.len()) => return Ok(()),
            Self::Restore { .. } => return Err(BadNodes),
            Self::Below { level, nodes } if *level < shared.leaf_level() => (*level, nodes),
            Self::Below { .. } => return Err(BadNodes),
            Self::Keys { leaves, after } if after.len() <= MAX_KEY => (shared.leaf_level(), leaves),
            Self::Keys { .. } => return Err(BadNodes),
        };
        let is_within = (1..=MAX_SYNC_NODES).contains(&nodes.len());
        let ascends = nodes.windows(2).all(|two| two[0] < two[1]);
        let are_shared = || nodes.iter().all(|&node| shared.has(level, node));
        if is_within && ascends && are_shared() {
            Ok(())
        } else {
            Err(BadNodes)
        }
    }

    /// The privilege that its sender needs.
    #[must_use]
    pub const fn privilege(&self) -> Privilege {
        match self {
            Self::Total
            | Self::Below { .. }
            | Self::Keys { .. }
            | Self::Promise { .. }
            | Self::Restore { .. } => Privilege::Peer,
            Self::Status => Privilege::Client,
            Self::Order(_) => Privilege::Admin,
        }
    }

    /// Bytes of its body: the part of its frame without a fixed bound.
    #[must_use]
    pub const fn body_bytes(&self) -> usize {
        match self {
            Self::Total | Self::Status | Self::Order(_) | Self::Promise { .. } => 0,
            Self::Restore { key, record } => key.len() + record.len(),
            Self::Below { nodes, .. } => nodes.len() * size_of::<u32>(),
            Self::Keys { leaves, after } => leaves.len() * size_of::<u32>() + after.len(),
        }
    }

    pub(super) fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(self.body_bytes() + 9);
        match self {
            Self::Total => out.put_u8(0),
            Self::Below { level, nodes } => {
                out.put_u8(1);
                out.put_u8(*level);
                put_nodes(nodes, &mut out);
            }
            Self::Keys { leaves, after } => {
                out.put_u8(2);
                put_nodes(leaves, &mut out);
                out.put_slice(after);
            }
            Self::Status => out.put_u8(3),
            Self::Order(order) => out.put_slice(&[4, *order as u8]),
            Self::Promise { at_most } => {
                out.put_u8(5);
                out.put_u64_le(at_most.0);
            }
            Self::Restore { key, record } => {
                out.put_u8(6);
                put_key(key, &mut out);
                out.put_slice(record);
            }
        }
        out.freeze()
    }

    pub(super) fn decode(mut bytes: Bytes) -> Result<Self, DecodeError> {
        match take_u8(&mut bytes)? {
            0 => {
                codec::end(&bytes)?;
                Ok(Self::Total)
            }
            1 => {
                let level = take_u8(&mut bytes)?;
                let nodes = take_nodes(&mut bytes)?;
                codec::end(&bytes)?;
                Ok(Self::Below { level, nodes })
            }
            2 => Ok(Self::Keys {
                leaves: take_nodes(&mut bytes)?,
                after: bytes,
            }),
            3 => {
                codec::end(&bytes)?;
                Ok(Self::Status)
            }
            4 => {
                let order = take_u8(&mut bytes)?;
                codec::end(&bytes)?;
                SyncOrder::of(order).map(Self::Order)
            }
            5 => {
                let at_most = take_time(&mut bytes)?;
                codec::end(&bytes)?;
                Ok(Self::Promise { at_most })
            }
            6 => Ok(Self::Restore {
                key: take_key(&mut bytes)?,
                record: bytes,
            }),
            _ => Err(DecodeError::Malformed("an unknown message of a sync")),
        }
    }
}

impl SyncOrder {
    const fn of(number: u8) -> Result<Self, DecodeError> {
        match number {
            0 => Ok(Self::Now),
            1 => Ok(Self::Pause),
            2 => Ok(Self::Resume),
            _ => Err(DecodeError::Malformed("an unknown order about syncs")),
        }
    }
}

impl SyncAnswer {
    pub(super) fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        match self {
            Self::Total(sum) => {
                out.put_u8(0);
                out.put_u128_le(sum.0);
            }
            Self::Below(sums) => {
                out.put_u8(1);
                for &sum in sums {
                    out.put_u64_le(sum);
                }
            }
            Self::Keys(page) => {
                out.put_u8(2);
                page.put(&mut out);
            }
            Self::Status(status) => {
                out.put_u8(3);
                status.put(&mut out);
            }
            Self::Promised(promised) => {
                out.put_u8(4);
                promised.put(&mut out);
            }
        }
        out.freeze()
    }

    pub(super) fn decode(mut bytes: Bytes) -> Result<Self, DecodeError> {
        match take_u8(&mut bytes)? {
            0 => {
                let short = |_short| DecodeError::Malformed("a total that was cut off");
                let sum = Sum(bytes.try_get_u128_le().map_err(short)?);
                codec::end(&bytes)?;
                Ok(Self::Total(sum))
            }
            1 => {
                let (sums, []) = bytes.as_chunks() else {
                    return Err(DecodeError::Malformed("sums that end inside one"));
                };
                Ok(Self::Below(
                    sums.iter().copied().map(u64::from_le_bytes).collect(),
                ))
            }
            2 => KeyPage::take(bytes).map(Self::Keys),
            3 => SyncStatus::take(&bytes).map(Self::Status),
            4 => Promised::take(bytes).map(Self::Promised),
            _ => Err(DecodeError::Malformed("an unknown answer of a sync")),
        }
    }
}

impl Promised {
    fn put(&self, out: &mut BytesMut) {
        debug_assert!(self.hints.is_sorted_by(|a, b| a.0 < b.0), "each node once");
        out.put_u64_le(self.refused.0);
        out.put_u64_le(self.other_hints.0);
        for (target, time) in &self.hints {
            out.put_u64_le(target.0);
            out.put_u64_le(time.0);
        }
    }

    fn take(mut bytes: Bytes) -> Result<Self, DecodeError> {
        let (refused, other_hints) = (take_time(&mut bytes)?, take_time(&mut bytes)?);
        let (entries, []) = bytes.as_chunks::<16>() else {
            return Err(DecodeError::Malformed("hints that end inside one"));
        };
        let numbers = |entry: &[u8; 16]| {
            let entry = u128::from_le_bytes(*entry);
            let [low, high] = [entry, entry >> 64].map(|half| Sum(half).short());
            (NodeId(low), Time(high))
        };
        let hints: Vec<_> = entries.iter().map(numbers).collect();
        if !hints.is_sorted_by(|a, b| a.0 < b.0) {
            return Err(DecodeError::Malformed("hints out of order"));
        }
        Ok(Self {
            refused,
            hints,
            other_hints,
        })
    }
}

impl KeyPage {
    fn put(&self, out: &mut BytesMut) {
        put_length(self.rows.len(), out);
        for (key, sum) in &self.rows {
            out.put_u64_le(*sum);
            put_key(key, out);
        }
        out.put_u8(self.next.is_some().into());
        out.put_slice(self.next.as_deref().unwrap_or_default());
    }

    fn take(mut bytes: Bytes) -> Result<Self, DecodeError> {
        const CUT_OFF: DecodeError = DecodeError::Malformed("a page of keys that was cut off");
        let count = take_length(&mut bytes, size_of::<u64>() + size_of::<u16>())?;
        if count > MAX_SYNC_ROWS {
            return Err(DecodeError::Malformed(
                "a page of more keys than it may have",
            ));
        }
        let mut rows = Vec::with_capacity(count);
        for _ in 0..count {
            let sum = bytes.try_get_u64_le().map_err(|_short| CUT_OFF)?;
            rows.push((take_key(&mut bytes)?, sum));
        }
        let next = match bytes.try_get_u8() {
            Ok(0) => {
                codec::end(&bytes)?;
                None
            }
            Ok(1) => Some(checked(bytes)?),
            _ => return Err(CUT_OFF),
        };
        Ok(Self { rows, next })
    }
}

fn put_key(key: &[u8], out: &mut BytesMut) {
    debug_assert!(key.len() <= MAX_KEY, "a key's length was checked");
    out.put_u16_le(u16::try_from(key.len()).unwrap_or(u16::MAX));
    out.put_slice(key);
}

fn take_key(bytes: &mut Bytes) -> Result<Bytes, DecodeError> {
    const CUT_OFF: DecodeError = DecodeError::Malformed("a key that was cut off");
    let length = usize::from(bytes.try_get_u16_le().map_err(|_short| CUT_OFF)?);
    if length > bytes.len() {
        return Err(CUT_OFF);
    }
    checked(bytes.split_to(length))
}

fn take_time(bytes: &mut Bytes) -> Result<Time, DecodeError> {
    let short = |_short| DecodeError::Malformed("a time that was cut off");
    bytes.try_get_u64_le().map(Time).map_err(short)
}

/// A key that some node may have: whoever joins it here need not look at its length again.
fn checked(key: Bytes) -> Result<Bytes, DecodeError> {
    if (1..=MAX_KEY).contains(&key.len()) {
        Ok(key)
    } else {
        Err(DecodeError::Malformed("a key that is none"))
    }
}

fn put_nodes(nodes: &[u32], out: &mut BytesMut) {
    put_length(nodes.len(), out);
    for &node in nodes {
        out.put_u32_le(node);
    }
}

fn take_nodes(bytes: &mut Bytes) -> Result<Vec<u32>, DecodeError> {
    let count = take_length(bytes, size_of::<u32>())?;
    Ok((0..count).map(|_| bytes.get_u32_le()).collect())
}

fn take_u8(bytes: &mut Bytes) -> Result<u8, DecodeError> {
    let empty = |_short| DecodeError::Malformed("an empty message of a sync");
    bytes.try_get_u8().map_err(empty)
}

#[cfg(test)]
mod tests {
    use proptest::collection::{btree_map, vec};
    use proptest::option;
    use proptest::prelude::*;

    use super::*;
    use crate::{Leaf, LeafBits};

    fn bytes() -> impl Strategy<Value = Bytes> {
        vec(any::<u8>(), 0..40).prop_map(Bytes::from)
    }

    fn requests() -> impl Strategy<Value = SyncRequest> {
        let nodes = || vec(any::<u32>(), 0..9);
        prop_oneof![
            Just(SyncRequest::Total),
            (any::<u8>(), nodes()).prop_map(|(level, nodes)| SyncRequest::Below { level, nodes }),
            (nodes(), bytes()).prop_map(|(leaves, after)| SyncRequest::Keys { leaves, after }),
            Just(SyncRequest::Status),
            Just(SyncRequest::Order(SyncOrder::Now)),
            Just(SyncRequest::Order(SyncOrder::Pause)),
            Just(SyncRequest::Order(SyncOrder::Resume)),
            any::<u64>().prop_map(|at_most| SyncRequest::Promise {
                at_most: Time(at_most)
            }),
            (vec(any::<u8>(), 1..40), bytes()).prop_map(|(key, record)| SyncRequest::Restore {
                key: key.into(),
                record
            }),
        ]
    }

    fn answers() -> impl Strategy<Value = SyncAnswer> {
        let key = || vec(any::<u8>(), 1..40).prop_map(Bytes::from);
        let rows = vec((key(), any::<u64>()), 0..6);
        prop_oneof![
            any::<u128>().prop_map(|sum| SyncAnswer::Total(Sum(sum))),
            vec(any::<u64>(), 0..40).prop_map(SyncAnswer::Below),
            (rows, option::of(key()))
                .prop_map(|(rows, next)| SyncAnswer::Keys(KeyPage { rows, next })),
            (any::<u64>(), btree_map(any::<u64>(), any::<u64>(), 0..6)).prop_map(promised),
        ]
    }

    fn promised((refused, hints): (u64, std::collections::BTreeMap<u64, u64>)) -> SyncAnswer {
        let hints = hints.into_iter();
        SyncAnswer::Promised(Promised {
            refused: Time(refused),
            other_hints: Time(!refused),
            hints: hints
                .map(|(node, time)| (NodeId(node), Time(time)))
                .collect(),
        })
    }

    proptest! {
        #[test]
        fn messages_come_back_from_their_bytes(request in requests(), answer in answers()) {
            prop_assert_eq!(SyncRequest::decode(request.encode()), Ok(request));
            prop_assert_eq!(SyncAnswer::decode(answer.encode()), Ok(answer));
        }

        #[test]
        fn what_was_cut_off_is_an_error_or_another_message_and_never_a_panic(
            request in requests(), answer in answers(), at in any::<prop::sample::Index>(), junk in vec(any::<u8>(), 0..60),
        ) {
            for whole in [request.encode(), answer.encode(), junk.into()] {
                let cut = whole.slice(..at.index(whole.len() + 1));
                if let Ok(request) = SyncRequest::decode(cut.clone()) {
                    prop_assert!(request.body_bytes() <= cut.len());
                }
                if let Ok(SyncAnswer::Keys(page)) = SyncAnswer::decode(cut.clone()) {
                    prop_assert!(page.rows.len() <= cut.len() / 10);
                }
            }
        }
    }

    #[test]
    fn nodes_that_cannot_be_compared_are_refused() {
        let bits = LeafBits::new(12).unwrap();
        let shared = SharedLeaves::new(bits, vec![Leaf(0)..=Leaf(999), Leaf(2000)..=Leaf(4095)]);
        let below = |level, nodes: &[u32]| {
            let nodes = nodes.to_vec();
            SyncRequest::Below { level, nodes }.check(&shared)
        };
        assert_eq!(below(0, &[0]), Ok(()));
        assert_eq!(below(2, &[0, 1, 255]), Ok(()));
        assert_eq!(below(3, &[0]), Err(BadNodes), "a leaf has no children");
        assert_eq!(below(0, &[1]), Err(BadNodes), "one root");
        assert_eq!(below(2, &[]), Err(BadNodes));
        assert_eq!(below(2, &[1, 0]), Err(BadNodes));
        assert_eq!(below(2, &[63]), Err(BadNodes), "not shared");
        let keys = |leaves: Vec<u32>, after: usize| {
            let after = vec![0; after].into();
            SyncRequest::Keys { leaves, after }.check(&shared)
        };
        assert_eq!(keys((0..256).collect(), 9), Ok(()));
        assert_eq!(keys((0..257).collect(), 9), Err(BadNodes), "too many");
        assert_eq!(keys(vec![1000], 0), Err(BadNodes), "not shared");
        assert_eq!(keys(vec![4096], 0), Err(BadNodes), "no leaf");
        assert_eq!(keys(vec![0], MAX_KEY + 1), Err(BadNodes), "no key");
        assert_eq!(SyncRequest::Total.check(&shared), Ok(()));
    }

    #[test]
    fn keys_that_no_node_may_have_and_pages_that_are_too_long_are_refused() {
        let page = |keys: &[usize], next: Option<usize>| {
            let key = |len: &usize| Bytes::from(vec![7; *len]);
            let rows = keys.iter().map(|len| (key(len), 1)).collect();
            let page = KeyPage {
                rows,
                next: next.as_ref().map(key),
            };
            SyncAnswer::decode(SyncAnswer::Keys(page).encode()).is_ok()
        };
        assert!(page(&[1, MAX_KEY], Some(MAX_KEY)));
        assert!(!page(&[0], None) && !page(&[1], Some(0)) && !page(&[], Some(MAX_KEY + 1)));
        assert!(page(&[1; MAX_SYNC_ROWS], None) && !page(&[1; MAX_SYNC_ROWS + 1], None));
        let mut long = BytesMut::from(&[2, 1, 0, 0, 0][..]);
        long.put_u64_le(1);
        long.put_u16_le(u16::MAX);
        long.put_bytes(7, usize::from(u16::MAX));
        long.put_u8(0);
        assert!(
            SyncAnswer::decode(long.freeze()).is_err(),
            "it would not fit the engine"
        );
    }

    #[test]
    fn a_count_that_its_bytes_do_not_hold_is_refused_before_anything_is_allocated() {
        for variant in [1, 2] {
            let mut bytes = BytesMut::from(&[variant, 0][..]);
            bytes.put_u32_le(u32::MAX);
            let bytes = bytes.freeze();
            assert!(SyncRequest::decode(bytes.clone()).is_err());
            assert!(variant == 1 || SyncAnswer::decode(bytes).is_err());
        }
    }
}
