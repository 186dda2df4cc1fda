//! Lengths in front of lists and of bytes, in messages that are encoded by hand.
//!
//! Invariant: a length that the bytes behind it cannot hold is refused before anything is allocated for it.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

use crate::wire::codec::DecodeError;

const TOO_SHORT: DecodeError = DecodeError::Malformed("a length that its bytes do not hold");

/// Appends a length: a fixed u32.
pub(super) fn put_length(length: usize, out: &mut BytesMut) {
    out.put_u32_le(u32::try_from(length).unwrap_or(u32::MAX));
}

/// A count of things that have `least` bytes each, and are there.
pub(super) fn take_length(bytes: &mut Bytes, least: usize) -> Result<usize, DecodeError> {
    let length = bytes.try_get_u32_le().map_err(|_short| TOO_SHORT)? as usize;
    if length > bytes.len() / least {
        return Err(TOO_SHORT);
    }
    Ok(length)
}
