//! Put: one write by a client.
//!
//! Decoding, the shape of the write and its content hash are checked as it arrives, so that junk never
//! waits for the disk. Age, drift and the bounds of the whole record are checked where it is joined: there
//! the clock and the record are those that count.

use bytes::Bytes;
use quoit_ring::wire::{Refusal, decode_record};
use quoit_ring::{Delta, Dot};

use crate::config::Limits;
use crate::write::Change;

/// Reads the write named `dot`.
///
/// # Errors
/// [`Refusal::BadRecord`], [`Refusal::ValueTooLarge`].
pub(super) fn read(dot: Dot, record: &Bytes, limits: &Limits) -> Result<Change, Refusal> {
    let record = decode_record(record).map_err(|_junk| Refusal::BadRecord)?;
    let (bytes, max) = (record.value_bytes(), limits.max_value_bytes);
    if bytes > max {
        let [bytes, max] = [bytes, max].map(|n| u64::try_from(n).unwrap_or(u64::MAX));
        return Err(Refusal::ValueTooLarge { bytes, max });
    }
    Ok(Change::Put(Delta::check(dot, record)?))
}
