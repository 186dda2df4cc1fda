//! The keys that a scan is about, and their order.
//!
//! ```text
//!   prefix user:          user:  <= key <  user;
//!   start_after k         k\0    <= key            in reverse:  key < k
//!   behind k              the same
//! ```
//!
//! A bound is a string of bytes: the start belongs to the range, the end does not, and an empty one bounds nothing.
//!
//! Invariant: a range has room for a key.

use core::hash::Hasher as _;

use bytes::Bytes;
use quoit_ring::token::tag_of;
use quoit_ring::wire::{MAX_KEY, MAX_SCAN_BOUND};
use siphasher::sip::SipHasher13;

use super::error::InvalidScan;

/// What a caller says of the range.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    pub(crate) prefix: Bytes,
    pub(crate) start: Bytes,
    pub(crate) end: Bytes,
    pub(crate) after: Option<Bytes>,
    pub(crate) reverse: bool,
}

/// Keys from a start up to an end, in either direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ScanRange {
    pub(crate) start: Bytes,
    pub(crate) end: Bytes,
    pub(crate) reverse: bool,
    /// A key that falls where all of the range do, if they share a tag.
    pub(crate) tagged: Option<Bytes>,
}

impl ScanRange {
    /// The range that is wanted.
    pub(crate) fn new(wanted: &Wanted) -> Result<Self, InvalidScan> {
        let Wanted {
            prefix,
            start,
            end,
            after,
            reverse,
        } = wanted;
        let keys = [prefix, after.as_ref().unwrap_or(prefix)].map(|key| (key, MAX_KEY));
        for (bound, most) in keys
            .into_iter()
            .chain([start, end].map(|it| (it, MAX_SCAN_BOUND)))
        {
            if bound.len() > most {
                let bytes = bound.len();
                return Err(InvalidScan::LongBound { bytes });
            }
        }
        if !end.is_empty() && start > end {
            return Err(InvalidScan::Backwards);
        }

        let mut range = Self {
            start: start.max(prefix).clone(),
            end: earlier(end.clone(), behind_prefix(prefix)),
            reverse: *reverse,
            tagged: has_tag(prefix).then(|| prefix.clone()),
        };
        if let Some(after) = after {
            range = range.behind(after);
        }
        if range.is_empty() {
            return Err(InvalidScan::Empty);
        }
        Ok(range)
    }

    /// What lies behind `key` in its direction; all of it, if that lies before the range.
    pub(crate) fn behind(&self, key: &Bytes) -> Self {
        let mut rest = self.clone();
        if self.reverse {
            rest.end = earlier(rest.end, key.clone());
        } else {
            rest.start = rest.start.max(following(key));
        }
        rest
    }

    /// Whether no key can be in it.
    pub(crate) fn is_empty(&self) -> bool {
        !self.end.is_empty() && self.start >= self.end
    }

    /// Whether `key` is in it.
    pub(crate) fn contains(&self, key: &[u8]) -> bool {
        *key >= *self.start && (self.end.is_empty() || *key < *self.end)
    }

    /// Whether `one` comes before `other`.
    pub(crate) fn is_before(&self, one: &[u8], other: &[u8]) -> bool {
        if self.reverse {
            one > other
        } else {
            one < other
        }
    }

    /// A number for this very range and direction: tokens carry it.
    pub(crate) fn fingerprint(&self) -> u64 {
        let mut hasher = SipHasher13::new();
        for bound in [&self.start, &self.end] {
            hasher.write_u64(u64::try_from(bound.len()).unwrap_or(u64::MAX));
            hasher.write(bound);
        }
        hasher.write_u8(self.reverse.into());
        hasher.finish()
    }
}

/// The first key behind `key`.
fn following(key: &[u8]) -> Bytes {
    [key, &[0]].concat().into()
}

/// Behind the last key that begins with `prefix`; empty if nothing is.
fn behind_prefix(prefix: &[u8]) -> Bytes {
    let kept = prefix.iter().rposition(|&byte| byte < u8::MAX);
    let Some(last) = kept else {
        return Bytes::new();
    };
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    end.into()
}

/// The earlier of two ends.
fn earlier(one: Bytes, other: Bytes) -> Bytes {
    match (one.is_empty(), other.is_empty()) {
        (true, _) => other,
        (_, true) => one,
        _ => one.min(other),
    }
}

/// Whether all keys that begin with `prefix` are placed by the same tag.
pub(crate) fn has_tag(prefix: &[u8]) -> bool {
    tag_of(prefix).len() < prefix.len()
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn wanted(prefix: &'static str) -> Wanted {
        Wanted {
            prefix: prefix.into(),
            ..Wanted::default()
        }
    }

    #[test]
    fn a_prefix_is_the_range_of_the_keys_that_begin_with_it() {
        let range = ScanRange::new(&wanted("user:")).unwrap();
        assert_eq!(
            (&range.start[..], &range.end[..]),
            (&b"user:"[..], &b"user;"[..])
        );
        assert_eq!(behind_prefix(b"a\xff\xff")[..], *b"b");
        assert!(behind_prefix(b"\xff").is_empty() && behind_prefix(b"").is_empty());
    }

    #[test]
    fn a_whole_tag_in_a_prefix_places_all_its_keys() {
        let tagged = |prefix| ScanRange::new(&wanted(prefix)).unwrap().tagged.is_some();
        assert!(tagged("cart:{42}") && tagged("cart:{42}:items"));
        assert!(!tagged("cart:{42") && !tagged("cart:{}") && !tagged("cart:") && !tagged(""));
    }

    #[test]
    fn ranges_that_hold_no_key_are_refused() {
        let new = |start: &'static str, end: &'static str, after: Option<&'static str>, reverse| {
            let range = ScanRange::new(&Wanted {
                start: start.into(),
                end: end.into(),
                after: after.map(Bytes::from),
                reverse,
                prefix: Bytes::new(),
            });
            range.err()
        };
        assert_eq!(new("a", "b", None, false), None);
        assert_eq!(new("b", "a", None, false), Some(InvalidScan::Backwards));
        assert_eq!(new("a", "a", None, false), Some(InvalidScan::Empty));
        assert_eq!(new("a", "b", Some("b"), false), Some(InvalidScan::Empty));
        assert_eq!(new("a", "b", Some("a"), true), Some(InvalidScan::Empty));
        assert_eq!(new("a", "b", Some("0"), false), None, "it lies before");
        let long = Wanted {
            prefix: vec![b'k'; MAX_KEY + 1].into(),
            ..Wanted::default()
        };
        let bytes = MAX_KEY + 1;
        assert_eq!(ScanRange::new(&long), Err(InvalidScan::LongBound { bytes }));
    }

    proptest! {
        #[test]
        fn behind_a_key_are_those_that_it_comes_before(
            prefix in vec(0xfd_u8.., 0..3), keys in vec(vec(0xfd_u8.., 1..4), 0..20), after in vec(0xfd_u8.., 1..4), reverse: bool,
        ) {
            let wanted = Wanted { prefix: prefix.clone().into(), reverse, ..Wanted::default() };
            let range = ScanRange::new(&wanted).unwrap();
            let rest = range.behind(&after.clone().into());
            for key in keys {
                prop_assert_eq!(range.contains(&key), key.starts_with(&prefix));
                let is_behind = range.is_before(&after, &key);
                prop_assert_eq!(rest.contains(&key), range.contains(&key) && is_behind);
            }
        }
    }
}
