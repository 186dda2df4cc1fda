//! A batch: writes that are stored together or not at all.
//!
//! ```text
//!   records  a = 1        what the engine stores:
//!   leaves   a = ""         leaves   a = ""
//!   records  a = 2          records  a gone
//!   records  a gone
//! ```
//!
//! Order matters only between writes of one key in one keyspace: the last one wins. Keys and values are
//! reference-counted: nothing is copied on the way to the engine, which keeps them in memory until they are
//! on disk. A slice of a large receive buffer would keep that whole buffer alive: pass bytes with their own
//! allocation.

use std::collections::HashSet;

use bytes::Bytes;

use super::{EngineError, Keyspace, MAX_VALUE, check_key};

/// One write: `value` of `None` removes the key.
#[derive(Debug, Clone)]
pub(super) struct Write {
    pub(super) keyspace: Keyspace,
    pub(super) key: Bytes,
    pub(super) value: Option<Bytes>,
}

/// Writes to be committed together, in order.
///
/// ```
/// use quoit_node::engine::{Batch, Keyspace};
///
/// let mut batch = Batch::with_capacity(2);
/// batch.insert(Keyspace::Records, vec![0, 0, b'k'], &b"value"[..]);
/// batch.remove(Keyspace::Hints, vec![1]);
/// assert_eq!(batch.len(), 2);
/// ```
#[derive(Debug, Clone, Default)]
pub struct Batch {
    writes: Vec<Write>,
}

impl Batch {
    /// A batch without writes.
    #[must_use]
    pub const fn new() -> Self {
        Self { writes: Vec::new() }
    }

    /// A batch with capacity for `writes` writes.
    #[must_use]
    pub fn with_capacity(writes: usize) -> Self {
        Self {
            writes: Vec::with_capacity(writes),
        }
    }

    /// Sets `key` to `value`. Lengths are checked at commit: 1 to [`MAX_KEY`](super::MAX_KEY) bytes of key,
    /// at most [`MAX_VALUE`] of value.
    pub fn insert(&mut self, keyspace: Keyspace, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        self.writes.push(Write {
            keyspace,
            key: key.into(),
            value: Some(value.into()),
        });
    }

    /// Removes `key`; no error if it is absent.
    pub fn remove(&mut self, keyspace: Keyspace, key: impl Into<Bytes>) {
        self.writes.push(Write {
            keyspace,
            key: key.into(),
            value: None,
        });
    }

    /// Bytes of its keys and values.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let of = |write: &Write| write.key.len() + write.value.as_ref().map_or(0, Bytes::len);
        self.writes.iter().map(of).sum()
    }

    /// How many writes it holds; several of one key count each.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.writes.len()
    }

    /// Whether it holds no write.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// How many writes it can hold before it allocates again.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.writes.capacity()
    }

    /// The keys written in one keyspace, each with its value or `None` if it is removed, in order.
    pub(super) fn writes_of(
        &self,
        keyspace: Keyspace,
    ) -> impl Iterator<Item = (&Bytes, Option<&Bytes>)> {
        (self.writes.iter())
            .filter(move |write| write.keyspace == keyspace)
            .map(|write| (&write.key, write.value.as_ref()))
    }

    /// Refuses the batch if any of its keys or values cannot be stored.
    pub(super) fn check(&self) -> Result<(), EngineError> {
        for write in &self.writes {
            check_key(write.keyspace, &write.key)?;
            let length = write.value.as_ref().map_or(0, Bytes::len);
            if u64::try_from(length).is_ok_and(|length| length > MAX_VALUE) {
                let keyspace = write.keyspace;
                return Err(EngineError::InvalidValue { keyspace, length });
            }
        }
        Ok(())
    }

    /// All writes in order.
    pub(super) fn into_writes(self) -> Vec<Write> {
        self.writes
    }

    /// The last write of each key, in order.
    pub(super) fn into_last_writes(mut self) -> Vec<Write> {
        let superseded = self.superseded();
        if superseded.iter().any(|&old| old) {
            let mut flags = superseded.into_iter();
            self.writes.retain(|_| flags.next() != Some(true));
        }
        self.writes
    }

    /// For each write, whether a later one has the same key.
    fn superseded(&self) -> Vec<bool> {
        if self.len() < 2 {
            return Vec::new();
        }
        let mut seen = HashSet::with_capacity(self.len());
        let mut flags: Vec<bool> = (self.writes.iter().rev())
            .map(|write| !seen.insert((write.keyspace, &*write.key)))
            .collect();
        flags.reverse();
        flags
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[u8] = b"k";

    #[test]
    fn the_last_write_of_a_key_is_the_one_kept() {
        let mut batch = Batch::new();
        batch.insert(Keyspace::Records, KEY, &b"1"[..]);
        batch.insert(Keyspace::Leaves, KEY, &b"2"[..]);
        batch.remove(Keyspace::Records, KEY);
        batch.insert(Keyspace::Records, &b"l"[..], &b"3"[..]);
        batch.insert(Keyspace::Leaves, KEY, &b"4"[..]);
        let kept: Vec<_> = (batch.into_last_writes().into_iter())
            .map(|write| (write.keyspace, write.key, write.value))
            .collect();
        assert_eq!(
            kept,
            [
                (Keyspace::Records, Bytes::from(KEY), None),
                (Keyspace::Records, Bytes::from("l"), Some("3".into())),
                (Keyspace::Leaves, Bytes::from(KEY), Some("4".into())),
            ]
        );
    }

    #[test]
    fn a_batch_with_one_bad_key_is_refused() {
        for bad in [Vec::new(), vec![0; 65_536]] {
            let mut batch = Batch::new();
            batch.insert(Keyspace::Records, vec![0; 65_535], &b""[..]);
            assert!(batch.check().is_ok());
            let length = bad.len();
            batch.remove(Keyspace::Ballots, bad);
            let refused = batch.check();
            let Err(EngineError::InvalidKey {
                keyspace: Keyspace::Ballots,
                length: found,
            }) = refused
            else {
                panic!("{refused:?}");
            };
            assert_eq!(found, length);
        }
    }
}
