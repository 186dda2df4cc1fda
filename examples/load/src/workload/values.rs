//! What is in a key and in a value.
//!
//! ```text
//!   key      user000000004711                                    16 bytes
//!   value    | key u64 | version u64 | length u32 | run u32 | noise ...      little endian
//! ```
//!
//! A value names the write it comes from, and its noise follows from that, so that a reader can see
//! whether it is whole, and whose it is, without having kept it. Noise does not compress, as most values
//! that are worth storing. A value too short for its header has as much of it as fits.
//!
//! Left out: which version ought to be there, which is `verify`'s.

use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::{RngCore as _, SeedableRng as _};

/// Bytes of a key.
const KEY_BYTES: usize = 16;
/// Bytes of a value that name its write.
pub(crate) const HEADER_BYTES: usize = 24;
/// How many places in the noise a value may begin at.
const PLACES: usize = 1 << 14;

/// The bytes of a key.
pub(crate) fn key_name(key: u64) -> [u8; KEY_BYTES] {
    let mut name = *b"user000000000000";
    let mut rest = key;
    for digit in name[4..].iter_mut().rev() {
        // A remainder of ten is a digit.
        *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
    }
    name
}

/// Makes values and reads them.
#[derive(Debug)]
pub(crate) struct Values {
    run: u32,
    noise: Vec<u8>,
}

impl Values {
    /// Values of at most `most` bytes; `run` is what distinguishes one run from another.
    pub(crate) fn new(run: u32, most: usize) -> Self {
        let mut noise = vec![0; most + PLACES];
        SmallRng::seed_from_u64(u64::from(run)).fill_bytes(&mut noise);
        Self { run, noise }
    }

    /// The value of `bytes` bytes that write number `version` puts at `key`.
    pub(crate) fn make(&self, key: u64, version: u64, bytes: usize) -> Bytes {
        let header = self.header(key, version, bytes);
        let mut value = Vec::with_capacity(bytes);
        value.extend_from_slice(&header[..bytes.min(HEADER_BYTES)]);
        value.extend_from_slice(self.noise(key, version, bytes));
        Bytes::from(value)
    }

    /// Which version a value is, or `None` if no write of this run made it for `key`.
    pub(crate) fn version(&self, key: u64, value: &[u8]) -> Option<u64> {
        let header = value.first_chunk::<HEADER_BYTES>()?;
        let version = u64::from_le_bytes(*header[8..].first_chunk()?);
        let whole = *header == self.header(key, version, value.len())
            && value[HEADER_BYTES..] == *self.noise(key, version, value.len());
        whole.then_some(version)
    }

    fn header(&self, key: u64, version: u64, bytes: usize) -> [u8; HEADER_BYTES] {
        let mut header = [0; HEADER_BYTES];
        header[..8].copy_from_slice(&key.to_le_bytes());
        header[8..16].copy_from_slice(&version.to_le_bytes());
        header[16..20].copy_from_slice(&u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes());
        header[20..].copy_from_slice(&self.run.to_le_bytes());
        header
    }

    /// What stands behind the header of a value.
    fn noise(&self, key: u64, version: u64, bytes: usize) -> &[u8] {
        let mixed = (key ^ version.rotate_left(32)).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 50;
        let from = usize::try_from(mixed).unwrap_or(0) % PLACES;
        let length = bytes.saturating_sub(HEADER_BYTES);
        self.noise.get(from..from + length).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_one_length_and_keep_their_order() {
        assert_eq!(&key_name(4711), b"user000000004711");
        assert_eq!(&key_name(999_999_999_999), b"user999999999999");
        assert!(key_name(99) < key_name(100));
    }

    #[test]
    fn a_value_has_a_version_for_readers_that_know_its_key() {
        let values = Values::new(7, 1 << 20);
        for bytes in [24, 25, 100, 1 << 20] {
            let value = values.make(5, 9, bytes);
            assert_eq!(value.len(), bytes);
            assert_eq!(values.version(5, &value), Some(9), "{bytes}");
            assert_eq!(values.version(6, &value), None, "another key's");
            assert_eq!(
                Values::new(8, 1 << 20).version(5, &value),
                None,
                "another run's"
            );
        }
    }

    #[test]
    fn a_damaged_value_is_nobodys() {
        let values = Values::new(7, 100);
        let value = values.make(5, 9, 100);
        for at in 0..value.len() {
            let mut damaged = value.to_vec();
            damaged[at] ^= 1;
            assert_ne!(values.version(5, &damaged), Some(9), "byte {at}");
        }
        assert_eq!(values.version(5, &value[..99]), None);
        assert_eq!(values.version(5, b""), None);
    }

    #[test]
    fn values_shorter_than_their_header_are_made_all_the_same() {
        let values = Values::new(7, 10);
        assert_eq!(values.make(5, 9, 10).len(), 10);
        assert_eq!(values.make(5, 9, 1).len(), 1);
    }
}
