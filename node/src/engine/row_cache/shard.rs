//! A shard of the row cache: admission of rows, and the counters that keep stale rows out.
//!
//! ```text
//!   row --resident?--> replaced
//!          | no
//!          '--> space left, or seen lately? --yes--> admitted, others evicted
//!                       | no
//!                       '--> leaves a mark; admitted the next time
//! ```
//!
//! Admitting a row and evicting others costs about as much as a hit saves. If the working set is far larger than the
//! cache, every read would pay that and nearly none would gain. So once the cache is nearly full, a row is admitted
//! only if it left a mark before. Marks are 16 bits of a hash, in a table with about one place for each row; a new mark
//! replaces the old one in its place.
//!
//! Left out: eviction, which is `quick_cache`'s: a clock over recent and frequent rows.
//!
//! Source: the doorkeeper of Einziger, Friedman and Manes, *`TinyLFU`* (2017), section 3.4.2.

use std::hash::{BuildHasher, Hasher as _};

use bytes::Bytes;
use quick_cache::Weighter;
use quick_cache::unsync::{Cache, DefaultLifecycle};
use siphasher::sip::SipHasher13;

/// Bytes of a row beside key and value: two allocations, a reference count, and its entry.
const BESIDES: usize = 144;

/// Bytes in memory of a row with a value of about 100 B.
const TYPICAL: u64 = 320;

/// A part of the rows.
#[derive(Debug)]
pub(super) struct Shard {
    rows: Cache<Box<[u8]>, Bytes, Weight, Keyed>,
    marks: Box<[u16]>,
    /// Commits under way that change rows of this shard; rows read meanwhile are not cached.
    committing: u32,
    /// Counts commits, so that a reader notices one that began and ended meanwhile.
    commits: u64,
}

/// The count of commits at the start of a read; `None` if one was under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Since(Option<u64>);

impl Shard {
    pub(super) fn new(bytes: u64, keyed: Keyed) -> Self {
        let typical = usize::try_from(bytes / TYPICAL).unwrap_or(usize::MAX);
        Self {
            rows: Cache::with(typical, bytes, Weight, keyed, DefaultLifecycle::default()),
            marks: vec![0; typical.max(1).next_power_of_two()].into(),
            committing: 0,
            commits: 0,
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.rows.weight()
    }

    /// The row of `key`, or the start of a read from the engine.
    pub(super) fn get(&self, key: &[u8]) -> Result<Bytes, Since> {
        let since = Since((self.committing == 0).then_some(self.commits));
        self.rows.get(key).cloned().ok_or(since)
    }

    /// Caches a row read from the engine, unless a commit has begun since or the row is not admitted.
    pub(super) fn read(&mut self, key: &[u8], hash: u64, row: &Bytes, since: Since) {
        let undisturbed = since == Since(Some(self.commits)) && self.committing == 0;
        if undisturbed && self.admits(hash) {
            self.rows.insert(key.into(), Bytes::copy_from_slice(row));
        }
    }

    /// A commit is about to change a row.
    pub(super) fn begin(&mut self) {
        self.committing += 1;
        self.commits += 1;
    }

    /// The commit has ended: `row` is what the engine now holds under `key`, or `None` to drop it from the cache.
    pub(super) fn end(&mut self, key: &[u8], hash: u64, row: Option<&Bytes>) {
        debug_assert!(self.committing > 0, "a commit ends once, after it began");
        self.committing -= 1;

        let Some(row) = row else {
            self.rows.remove(key);
            return;
        };
        if let Some(mut resident) = self.rows.get_mut(key) {
            *resident = Bytes::copy_from_slice(row);
            return;
        }
        if self.admits(hash) {
            self.rows.insert(key.into(), Bytes::copy_from_slice(row));
        }
    }

    /// Whether to admit a row that is not resident; leaves its mark.
    fn admits(&mut self, hash: u64) -> bool {
        if self.rows.weight() < self.rows.capacity() / 8 * 7 {
            return true;
        }

        let [_, _, _, _, _, _, high, low] = hash.to_be_bytes();
        let mark = u16::from_be_bytes([high, low]);
        let place = usize::try_from(hash >> 16).unwrap_or(0) & (self.marks.len() - 1);
        (self.marks.get_mut(place)).is_some_and(|place| std::mem::replace(place, mark) == mark)
    }
}

/// The memory of a row, in bytes.
#[derive(Debug, Clone, Copy)]
struct Weight;

impl Weighter<Box<[u8]>, Bytes> for Weight {
    fn weight(&self, key: &Box<[u8]>, row: &Bytes) -> u64 {
        u64::try_from(key.len() + row.len() + BESIDES).unwrap_or(u64::MAX)
    }
}

/// SipHash-1-3 with a secret key: clients choose the row keys, and must not be able to make them collide.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keyed(SipHasher13);

impl Keyed {
    pub(super) fn new(key: [u8; 16]) -> Self {
        Self(SipHasher13::new_with_key(&key))
    }

    pub(super) fn hash(self, key: &[u8]) -> u64 {
        let mut hasher = self.0;
        hasher.write(key);
        hasher.finish()
    }
}

impl BuildHasher for Keyed {
    type Hasher = SipHasher13;

    fn build_hasher(&self) -> SipHasher13 {
        self.0
    }
}
