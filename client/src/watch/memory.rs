//! What was yielded last, key by key, and when that expires. Bounded.
//!
//! ```text
//!   note(k, v1)   not known, or another version: to be yielded      k -> v1, pass, due
//!   full          the next key in order makes place                 forgot: who is not remembered cannot be missed
//! ```
//!
//! Versions are compared for equality, they have no order: a quorum read never goes back behind an earlier one, and no key is read twice at a
//! time. A key of a prefix that has no value is not kept, or deleted keys would fill the memory.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use bytes::Bytes;
use quoit_ring::Millis;

/// Most keys, and about the most bytes of them.
const KEYS: usize = 65_536;
const BYTES: usize = 16 << 20;
/// What a key costs beside its bytes.
const BESIDE: usize = 160;

/// What a read found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    /// A number of the values and their dots.
    pub(crate) version: u64,
    pub(crate) is_absent: bool,
    /// When the first of them expires.
    pub(crate) expiry: Option<Millis>,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    version: u64,
    is_absent: bool,
    /// In which pass it was seen last.
    pass: u64,
    due: Option<Millis>,
}

/// The memory of one watch.
#[derive(Debug)]
pub(super) struct Memory {
    /// Whether keys without a value are kept, and yielded if they are not known: of a single key its absence is news.
    keeps_absent: bool,
    known: BTreeMap<Bytes, Known>,
    due: BTreeSet<(Millis, Bytes)>,
    bytes: usize,
    forgot: bool,
    evicted: Bytes,
}

impl Memory {
    pub(super) const fn new(keeps_absent: bool) -> Self {
        Self {
            keeps_absent,
            known: BTreeMap::new(),
            due: BTreeSet::new(),
            bytes: 0,
            forgot: false,
            evicted: Bytes::new(),
        }
    }

    /// Whether something was yielded that is not known any more.
    pub(super) const fn has_forgotten(&self) -> bool {
        self.forgot
    }

    /// Something was yielded of which nothing is known.
    pub(super) const fn forget(&mut self) {
        self.forgot = true;
    }

    /// Forgets all: nothing was yielded.
    pub(super) fn reset(&mut self) {
        *self = Self::new(self.keeps_absent);
    }

    /// This version of a key was yielded earlier.
    pub(super) fn recall(&mut self, key: &Bytes, version: u64) {
        let found = Found {
            version,
            is_absent: false,
            expiry: None,
        };
        self.keep(key, &found, 0, None);
    }

    /// The version of a key that was yielded last.
    pub(super) fn version(&self, key: &[u8]) -> Option<u64> {
        self.known.get(key).map(|known| known.version)
    }

    /// A read found this; whether it is to be yielded. What expires is looked at again then, by `clock` later in any case.
    pub(super) fn note(
        &mut self,
        key: &Bytes,
        found: &Found,
        (pass, clock): (u64, Millis),
    ) -> bool {
        let due = found
            .expiry
            .map(|at| at.max(Millis(clock.0.saturating_add(AGAIN_MS))));
        match self.known.get(&key[..]) {
            None if found.is_absent && !self.keeps_absent => self.forgot,
            Some(_) if found.is_absent && !self.keeps_absent => {
                self.remove(key);
                true
            }
            known => {
                let is_news = known.is_none_or(|known| known.version != found.version);
                self.keep(key, found, pass, due);
                is_news
            }
        }
    }

    /// A key with a value that was not seen in this pass, behind `key`.
    pub(super) fn missing(&self, behind: Option<&Bytes>, pass: u64) -> Option<Bytes> {
        let from = behind.map_or(Bound::Unbounded, Bound::Excluded);
        let mut later = (self.known).range::<Bytes, _>((from, Bound::Unbounded));
        let missed = later.find(|(_, known)| known.pass != pass && !known.is_absent);
        missed.map(|(key, _)| key.clone())
    }

    /// The next key whose value has expired by `clock`, once.
    pub(super) fn take_due(&mut self, clock: Millis) -> Option<Bytes> {
        let (at, _) = self.due.first()?;
        if *at > clock {
            return None;
        }
        let (_, key) = self.due.pop_first()?;
        if let Some(known) = self.known.get_mut(&key) {
            known.due = None;
        }
        Some(key)
    }

    /// When the next one expires.
    pub(super) fn due(&self) -> Option<Millis> {
        self.due.first().map(|(at, _)| *at)
    }

    fn keep(&mut self, key: &Bytes, found: &Found, pass: u64, due: Option<Millis>) {
        self.remove(key);
        while self.known.len() >= KEYS || (self.bytes > BYTES && !self.known.is_empty()) {
            self.evict();
        }
        let known = Known {
            version: found.version,
            is_absent: found.is_absent,
            pass,
            due,
        };
        let key = Bytes::copy_from_slice(key); // it may be a slice of a page
        if let Some(at) = due {
            self.due.insert((at, key.clone()));
        }
        self.bytes += key.len() + BESIDE;
        self.known.insert(key, known);
    }

    /// Makes place: round and round, so that none is always the one.
    fn evict(&mut self) {
        let behind = (Bound::Excluded(&self.evicted), Bound::Unbounded);
        let next = self.known.range::<Bytes, _>(behind).next();
        let Some((key, _)) = next.or_else(|| self.known.first_key_value()) else {
            return;
        };
        self.evicted = key.clone();
        self.remove(&self.evicted.clone());
        self.forgot = true;
    }

    fn remove(&mut self, key: &Bytes) {
        if let Some(known) = self.known.remove(&key[..]) {
            self.bytes -= key.len() + BESIDE;
            if let Some(at) = known.due {
                self.due.remove(&(at, key.clone()));
            }
        }
    }
}

/// A value that has not expired yet, though its time is over by the clock that is known here, is looked at again after so long.
const AGAIN_MS: u64 = 50;

#[cfg(test)]
mod tests {
    use super::*;

    fn found(version: u64, expiry: Option<u64>) -> Found {
        Found {
            version,
            is_absent: version == 0,
            expiry: expiry.map(Millis),
        }
    }

    const NOW: (u64, Millis) = (1, Millis(100));

    #[test]
    fn a_version_is_news_once_and_an_absence_only_of_what_was_there() {
        let mut memory = Memory::new(false);
        let key = Bytes::from_static(b"k");
        assert!(!memory.note(&key, &found(0, None), NOW));
        assert!(memory.note(&key, &found(7, None), NOW));
        assert!(!memory.note(&key, &found(7, None), NOW));
        assert!(memory.note(&key, &found(8, None), NOW));
        assert!(memory.note(&key, &found(0, None), NOW));
        assert!(!memory.note(&key, &found(0, None), NOW));
        assert_eq!((memory.bytes, memory.known.len()), (0, 0));

        let mut single = Memory::new(true);
        assert!(single.note(&key, &found(0, None), NOW));
        assert!(!single.note(&key, &found(0, None), NOW));
        single.recall(&key, 7);
        assert!(!single.note(&key, &found(7, None), NOW));
    }

    #[test]
    fn what_expires_is_due_once_and_no_sooner_than_in_a_while() {
        let mut memory = Memory::new(false);
        let key = Bytes::from_static(b"k");
        memory.note(&key, &found(7, Some(500)), NOW);
        assert_eq!(
            (memory.due(), memory.take_due(Millis(499))),
            (Some(Millis(500)), None)
        );
        assert_eq!(memory.take_due(Millis(500)), Some(key.clone()));
        assert_eq!(memory.take_due(Millis(500)), None);
        memory.note(&key, &found(7, Some(500)), (1, Millis(500)));
        assert_eq!(
            memory.due(),
            Some(Millis(550)),
            "its owners' clocks are behind"
        );
        memory.note(&key, &found(8, None), NOW);
        assert_eq!(memory.due(), None);
    }

    #[test]
    fn a_full_memory_forgets_and_says_so_and_then_every_absence_is_news() {
        let mut memory = Memory::new(false);
        let key = |number: usize| Bytes::from(number.to_be_bytes().to_vec());
        for number in 0..KEYS {
            assert!(memory.note(&key(number), &found(7, None), NOW));
        }
        assert!(!memory.has_forgotten());
        memory.note(&key(KEYS), &found(7, None), NOW);
        assert!(memory.has_forgotten() && memory.known.len() == KEYS);
        assert!(
            memory.note(&key(0), &found(0, None), NOW),
            "it may have been yielded"
        );
        let long = |number: u8| Bytes::from(vec![number; 32 << 10]);
        for number in 0..=u8::MAX {
            memory.note(&long(number), &found(7, None), NOW);
            memory.note(
                &[&long(number)[..], b"x"].concat().into(),
                &found(7, None),
                NOW,
            );
            memory.note(
                &[&long(number)[..], b"y"].concat().into(),
                &found(7, None),
                NOW,
            );
        }
        assert!(memory.bytes <= BYTES + (33 << 10), "{}", memory.bytes);
        memory.reset();
        assert!(!memory.has_forgotten() && memory.bytes == 0);
    }

    #[test]
    fn what_a_pass_has_not_seen_is_missing() {
        let mut memory = Memory::new(false);
        let [a, b, c] = [b"a", b"b", b"c"].map(|key| Bytes::from_static(key));
        for key in [&a, &b, &c] {
            memory.note(key, &found(7, None), (1, Millis(0)));
        }
        memory.note(&b, &found(7, None), (2, Millis(0)));
        assert_eq!(memory.missing(None, 2), Some(a.clone()));
        assert_eq!(memory.missing(Some(&a), 2), Some(c.clone()));
        assert_eq!(memory.missing(Some(&c), 2), None);
    }
}
