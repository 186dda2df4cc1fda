//! Watch: which keys have changed at a node, by long polls.
//!
//! ```text
//!   Watch  key or prefix, after 7  ->  Begun             the node counts changes from here on
//!                                      Keys   a, b       changed up to 9; none, if nothing came for a second
//!                                      Overflow          everything may have changed up to 9
//! ```
//!
//! A poll names the number up to which its sender has heard of changes, so an answer that is lost is given again. A node keeps
//! a subscription in memory: one that it does not know, or whose incarnation differs, begins at 0, and the answer says `Begun`.
//!
//! ```text
//!   request  flags u8: 1 a prefix | id u64 | incarnation u64 | after u64 | key, or prefix
//!   answer   incarnation u64 | through u64 | 0 begun, 1 overflow, or 2 and keys: count u32; length u16, key
//! ```
//!
//! Invariant: every length is held against the bytes that are left before anything is allocated for it. Left out: values, which
//! a reader gets by a quorum read.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

use crate::wire::codec::{self, DecodeError};
use crate::wire::lengths::{put_length, take_length};
use crate::wire::request::MAX_KEY;

/// Most keys of one answer.
pub const MAX_WATCH_KEYS: usize = 1_024;

/// About the most bytes of the keys of one answer: it ends behind the key that passes them.
pub const MAX_WATCH_BYTES: usize = 24 << 10;

const PREFIX: u8 = 1;

/// A poll for the keys that have changed, in the epoch of the frame.
///
/// ```
/// # use quoit_ring::wire::WatchRequest;
/// let first = WatchRequest { id: 7, incarnation: 0, after: 0, is_prefix: true, key: "user:".into() };
/// assert_eq!(first.body_bytes(), 25 + 5);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchRequest {
    /// Names the subscription; random, so that no two have the same.
    pub id: u64,
    /// The incarnation of the subscription, as the node has said; 0 before it has.
    pub incarnation: u64,
    /// Up to which number the sender has heard of changes.
    pub after: u64,
    /// Whether it is about all keys that begin with [`key`](Self::key).
    pub is_prefix: bool,
    /// The key, of 1 to [`MAX_KEY`] bytes, or a prefix of at most so many.
    pub key: Bytes,
}

/// The answer to a poll.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchAnswer {
    /// Of the subscription: another one after it was lost.
    pub incarnation: u64,
    /// Up to which number of a change this goes.
    pub through: u64,
    /// What has changed.
    pub changes: WatchChanges,
}

/// What has changed at a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchChanges {
    /// The subscription begins: nothing is known of what came before.
    Begun,
    /// More keys than the node remembers: any of them may have changed.
    Overflow,
    /// These keys, at most [`MAX_WATCH_KEYS`]; none if nothing has changed for a while.
    Keys(Vec<Bytes>),
}

impl WatchRequest {
    /// Bytes of its body.
    #[must_use]
    pub const fn body_bytes(&self) -> usize {
        size_of::<u8>() + 3 * size_of::<u64>() + self.key.len()
    }

    pub(super) fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(self.body_bytes());
        out.put_u8(if self.is_prefix { PREFIX } else { 0 });
        for number in [self.id, self.incarnation, self.after] {
            out.put_u64_le(number);
        }
        out.put_slice(&self.key);
        out.freeze()
    }

    pub(super) fn decode(mut bytes: Bytes) -> Result<Self, DecodeError> {
        const CUT_OFF: DecodeError = DecodeError::Malformed("a watch that was cut off");
        let flags = bytes.try_get_u8().map_err(|_short| CUT_OFF)?;
        let mut number = || bytes.try_get_u64_le().map_err(|_short| CUT_OFF);
        let (id, incarnation, after) = (number()?, number()?, number()?);
        let is_prefix = flags == PREFIX;
        if flags & !PREFIX != 0 || bytes.len() > MAX_KEY || (bytes.is_empty() && !is_prefix) {
            return Err(DecodeError::Malformed("a watch of no key"));
        }
        Ok(Self {
            id,
            incarnation,
            after,
            is_prefix,
            key: bytes,
        })
    }
}

/// Bytes of a key of one byte, at least.
const LEAST_KEY: usize = size_of::<u16>() + 1;

impl WatchAnswer {
    pub(super) fn encode(&self) -> Bytes {
        let keys: &[Bytes] = match &self.changes {
            WatchChanges::Keys(keys) => keys,
            WatchChanges::Begun | WatchChanges::Overflow => &[],
        };
        let bytes: usize = keys.iter().map(|key| size_of::<u16>() + key.len()).sum();
        let mut out = BytesMut::with_capacity(21 + bytes);
        out.put_u64_le(self.incarnation);
        out.put_u64_le(self.through);
        match &self.changes {
            WatchChanges::Begun => out.put_u8(0),
            WatchChanges::Overflow => out.put_u8(1),
            WatchChanges::Keys(keys) => {
                out.put_u8(2);
                put_length(keys.len(), &mut out);
                for key in keys {
                    out.put_u16_le(u16::try_from(key.len()).unwrap_or(u16::MAX));
                    out.put_slice(key);
                }
            }
        }
        out.freeze()
    }

    pub(super) fn decode(mut bytes: Bytes) -> Result<Self, DecodeError> {
        const CUT_OFF: DecodeError =
            DecodeError::Malformed("an answer to a watch that was cut off");
        let mut number = || bytes.try_get_u64_le().map_err(|_short| CUT_OFF);
        let (incarnation, through) = (number()?, number()?);
        let changes = match bytes.try_get_u8() {
            Ok(0) => WatchChanges::Begun,
            Ok(1) => WatchChanges::Overflow,
            Ok(2) => WatchChanges::Keys(take_keys(&mut bytes)?),
            _ => return Err(CUT_OFF),
        };
        codec::end(&bytes)?;
        Ok(Self {
            incarnation,
            through,
            changes,
        })
    }
}

fn take_keys(bytes: &mut Bytes) -> Result<Vec<Bytes>, DecodeError> {
    let count = take_length(bytes, LEAST_KEY)?;
    if count > MAX_WATCH_KEYS {
        return Err(DecodeError::Malformed("more keys than an answer may have"));
    }
    (0..count).map(|_| take_key(bytes)).collect()
}

fn take_key(bytes: &mut Bytes) -> Result<Bytes, DecodeError> {
    const NO_KEY: DecodeError = DecodeError::Malformed("a key that is none");
    let length = usize::from(bytes.try_get_u16_le().map_err(|_short| NO_KEY)?);
    if length > bytes.len() || !(1..=MAX_KEY).contains(&length) {
        return Err(NO_KEY);
    }
    Ok(bytes.split_to(length))
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn keys(least: usize) -> impl Strategy<Value = Bytes> {
        vec(any::<u8>(), least..40).prop_map(Bytes::from)
    }

    fn requests() -> impl Strategy<Value = WatchRequest> {
        let numbers = (any::<u64>(), any::<u64>(), any::<u64>());
        (numbers, any::<bool>(), keys(1)).prop_map(|((id, incarnation, after), is_prefix, key)| {
            WatchRequest {
                id,
                incarnation,
                after,
                is_prefix,
                key,
            }
        })
    }

    fn answers() -> impl Strategy<Value = WatchAnswer> {
        let changes = prop_oneof![
            Just(WatchChanges::Begun),
            Just(WatchChanges::Overflow),
            vec(keys(1), 0..6).prop_map(WatchChanges::Keys),
        ];
        (any::<u64>(), any::<u64>(), changes).prop_map(|(incarnation, through, changes)| {
            WatchAnswer {
                incarnation,
                through,
                changes,
            }
        })
    }

    proptest! {
        #[test]
        fn messages_come_back_from_their_bytes(request in requests(), answer in answers()) {
            prop_assert_eq!(request.encode().len(), request.body_bytes());
            prop_assert_eq!(WatchRequest::decode(request.encode()), Ok(request));
            prop_assert_eq!(WatchAnswer::decode(answer.encode()), Ok(answer));
        }

        #[test]
        fn junk_is_an_error_or_a_message_and_never_a_panic(junk in vec(any::<u8>(), 0..80)) {
            let junk = Bytes::from(junk);
            if let Ok(request) = WatchRequest::decode(junk.clone()) {
                prop_assert_eq!(request.encode(), junk.clone());
            }
            if let Ok(answer) = WatchAnswer::decode(junk.clone()) {
                prop_assert_eq!(answer.encode(), junk);
            }
        }
    }

    #[test]
    fn an_empty_prefix_is_that_of_all_and_an_empty_key_is_none() {
        let mut request = WatchRequest {
            id: 1,
            incarnation: 2,
            after: 3,
            is_prefix: true,
            key: Bytes::new(),
        };
        assert_eq!(WatchRequest::decode(request.encode()), Ok(request.clone()));
        request.is_prefix = false;
        assert!(WatchRequest::decode(request.encode()).is_err());
        request.key = vec![b'k'; MAX_KEY + 1].into();
        assert!(WatchRequest::decode(request.encode()).is_err());
    }

    #[test]
    fn more_keys_than_a_node_sends_are_refused() {
        let answer = |keys| WatchAnswer {
            incarnation: 1,
            through: 2,
            changes: WatchChanges::Keys(vec![Bytes::from_static(b"k"); keys]),
        };
        let most = answer(MAX_WATCH_KEYS);
        assert_eq!(WatchAnswer::decode(most.encode()), Ok(most));
        assert!(WatchAnswer::decode(answer(MAX_WATCH_KEYS + 1).encode()).is_err());
    }
}
