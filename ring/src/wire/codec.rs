//! The one module that calls bincode.
//!
//! bincode 2 serves small heads only: fixed fields, short strings, bounded lists. Rules kept here:
//! always a limit, trailing bytes refused, no maps, no zero-sized elements, and no list that is longer
//! than the bytes behind its count: what decoding allocates stays within 4 times its input, and 64 KiB.
//! Values never pass through it, and encoded bytes are never hashed. Should bincode have to go, this file
//! is what changes.

use bincode::config::{Configuration, Limit};
use bincode::enc::write::Writer;
use bincode::error::{DecodeError as Junk, EncodeError};
use bincode::{Decode, Encode};
use bytes::{BufMut as _, BytesMut};

use crate::wire::VERSION;

/// Most bytes that decoding one head may read or allocate. The largest head, a status with all the warnings it may
/// have, has less; that of any other message is a third of a KiB.
pub(crate) const HEAD_LIMIT: usize = 4 << 10;
/// Most bytes that decoding one number may read.
const NUMBER: usize = 8;

/// Bytes that are not what they should be. Nothing was changed by them, and nothing is left of what was
/// read before the flaw was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes end too early, go on too long, or hold an impossible field.
    #[error("malformed bytes: {0}")]
    Malformed(&'static str),
    /// The bytes are of a format this build does not know.
    #[error("format version {found}, this build knows {known}: use a newer build")]
    Version {
        /// The version in the bytes.
        found: u8,
        /// The newest version this build reads.
        known: u8,
    },
    /// A length is over its limit; nothing of that length was allocated.
    #[error("{what} of {bytes} bytes is over the limit of {max}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// How large it claims to be.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// The checksum does not fit: the bytes were damaged.
    #[error("the checksum does not fit: the bytes are damaged")]
    Checksum,
}

/// Appends to a buffer that grows.
struct Append<'a>(&'a mut BytesMut);

impl Writer for Append<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.0.put_slice(bytes);
        Ok(())
    }
}

/// Little-endian, variable-length integers, at most `LIMIT` bytes.
const fn config<const LIMIT: usize>()
-> Configuration<bincode::config::LittleEndian, bincode::config::Varint, Limit<LIMIT>> {
    bincode::config::standard().with_limit::<LIMIT>()
}

/// Appends `value` to `out`.
pub(crate) fn put<T: Encode>(value: &T, out: &mut BytesMut) {
    let written = bincode::encode_into_writer(value, Append(out), bincode::config::standard());
    debug_assert!(
        written.is_ok(),
        "appending to memory cannot fail for the types of this crate"
    );
}

/// Takes a `T` off the front of `bytes`.
///
/// # Errors
/// [`DecodeError::Malformed`] if the bytes are not a `T` within `LIMIT`.
pub(crate) fn take<T: Decode<()>, const LIMIT: usize>(bytes: &mut &[u8]) -> Result<T, DecodeError> {
    let (value, used) =
        bincode::decode_from_slice(bytes, config::<LIMIT>()).map_err(|junk| explain(&junk))?;
    *bytes = bytes.get(used..).unwrap_or_default();
    Ok(value)
}

/// Reads `bytes` as exactly one `T`.
///
/// # Errors
/// [`DecodeError::Malformed`] if they are less, more or other than that.
pub(crate) fn whole<T: Decode<()>, const LIMIT: usize>(mut bytes: &[u8]) -> Result<T, DecodeError> {
    let value = take::<T, LIMIT>(&mut bytes)?;
    end(bytes)?;
    Ok(value)
}

/// What stands behind the version; `empty` says what there are no bytes of.
///
/// # Errors
/// [`DecodeError::Version`] for any other than this build's.
pub(crate) fn versioned<'a>(bytes: &'a [u8], empty: &'static str) -> Result<&'a [u8], DecodeError> {
    match bytes.split_first() {
        Some((&VERSION, rest)) => Ok(rest),
        Some((&found, _)) => Err(DecodeError::Version {
            found,
            known: VERSION,
        }),
        None => Err(DecodeError::Malformed(empty)),
    }
}

/// # Errors
/// [`DecodeError::Malformed`] if anything is left.
pub(crate) const fn end(rest: &[u8]) -> Result<(), DecodeError> {
    if rest.is_empty() {
        Ok(())
    } else {
        Err(DecodeError::Malformed("trailing bytes"))
    }
}

/// Takes the count of a list off the front of `bytes`. Each element has at least `min` bytes, so a count
/// that the bytes left cannot hold is refused before anything is allocated for it.
///
/// # Errors
/// [`DecodeError::Malformed`] for such a count, or none.
pub(crate) fn count(bytes: &mut &[u8], min: usize) -> Result<usize, DecodeError> {
    let count = take::<usize, NUMBER>(bytes)?;
    if count > bytes.len() / min {
        return Err(DecodeError::Malformed("a list longer than its bytes"));
    }
    Ok(count)
}

/// Bytes of an encoded number.
pub(crate) const fn number_len(number: u64) -> usize {
    match number {
        0..=250 => 1,
        251..=0xffff => 3,
        0x1_0000..=0xffff_ffff => 5,
        _ => 9,
    }
}

const fn explain(junk: &Junk) -> DecodeError {
    DecodeError::Malformed(match junk {
        Junk::UnexpectedEnd { .. } => "they end too early",
        Junk::LimitExceeded => "a length over the limit",
        Junk::UnexpectedVariant { .. } => "an unknown variant",
        Junk::Utf8 { .. } => "text that is not UTF-8",
        _ => "an impossible field",
    })
}
