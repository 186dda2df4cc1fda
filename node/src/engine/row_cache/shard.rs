//! A part of the row cache: which rows stay, and which may come.
//!
//! ```text
//!   row --resident?--> replaced
//!          | no
//!          '--> room? asked for lately? --yes--> in, and others out
//!                       | no
//!                       '--> its mark is left; next time it gets in
//! ```
//!
//! Copying a row in and others out costs about as much as a hit saves. If far more rows are asked for than
//! fit, each once in a while, that would be paid at every read and nearly never regained; so once the cache is
//! nearly full a row must have left its mark before. Marks are 16 bits of a hash in a table of about as many
//! places as there are rows, where a later one replaces an earlier: a row gets in if it is asked for again
//! before about so many others were.
//!
//! Source of the idea: the doorkeeper of Einziger, Friedman and Manes, *`TinyLFU`* (2017), section 3.4.2. Which
//! rows have to go is for `quick_cache` to say: a clock over recent and frequent ones.

use std::hash::{BuildHasher, Hasher as _};

use bytes::Bytes;
use quick_cache::Weighter;
use quick_cache::unsync::{Cache, DefaultLifecycle};
use siphasher::sip::SipHasher13;

/// What a row takes beside its bytes: two allocations, the count of the value's holders, and its place.
const BESIDES: usize = 144;

/// Bytes that a row of about 100 B takes.
const TYPICAL: u64 = 320;

/// Some of the rows, and what is needed to keep them right.
#[derive(Debug)]
pub(super) struct Shard {
    rows: Cache<Box<[u8]>, Bytes, Weight, Keyed>,
    marks: Box<[u16]>,
    /// Commits that may be changing rows of this shard: what is read meanwhile is not kept.
    committing: u32,
    /// Grows with each of them, so that a reader notices one that came and went.
    commits: u64,
}

/// When a read began, as far as a shard is concerned. `None` while a commit is under way.
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

    /// The row under `key`, or since when it may be read from the engine.
    pub(super) fn get(&self, key: &[u8]) -> Result<Bytes, Since> {
        let since = Since((self.committing == 0).then_some(self.commits));
        self.rows.get(key).cloned().ok_or(since)
    }

    /// Keeps a row that was read, unless a commit has begun since or it is not in demand.
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

    /// It has: `row` is what the engine now holds under `key`, or `None` if it need not be kept.
    pub(super) fn end(&mut self, key: &[u8], hash: u64, row: Option<&Bytes>) {
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

    /// Whether a row that is not resident may come in; leaves its mark.
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

/// What a row takes of the cache's memory.
#[derive(Debug, Clone, Copy)]
struct Weight;

impl Weighter<Box<[u8]>, Bytes> for Weight {
    fn weight(&self, key: &Box<[u8]>, row: &Bytes) -> u64 {
        u64::try_from(key.len() + row.len() + BESIDES).unwrap_or(u64::MAX)
    }
}

/// SipHash-1-3 with a key of one's own.
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
