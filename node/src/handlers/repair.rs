//! Repair: what other replicas hold already.
//!
//! Its dots are as old as they are, and the bounds on puts do not hold for it: what a quorum holds must be able to
//! reach every replica. What all replicas may hold together bounds the join. It must be whole, though. A record without its values would be stored without them,
//! and one whose bytes were damaged on the way would spread the damage.

use bytes::Bytes;
use quoit_ring::wire::{Refusal, decode_record};
use quoit_ring::{Sibling, content_hash};

use crate::write::Change;

/// Reads a record that another replica holds.
///
/// # Errors
/// [`Refusal::BadRecord`] if it is junk, lacks a value, or holds one that does not fit its hash.
pub(crate) fn read(record: &Bytes) -> Result<Change, Refusal> {
    let record = decode_record(record).map_err(|_junk| Refusal::BadRecord)?;
    if record.live().iter().all(is_sound) {
        Ok(Change::Repair(record))
    } else {
        Err(Refusal::BadRecord)
    }
}

/// Reads a record that this node has lost.
///
/// # Errors
/// As [`read`].
pub(super) fn restored(record: &Bytes) -> Result<Change, Refusal> {
    Ok(match read(record)? {
        Change::Repair(record) => Change::Restored(record),
        other => other,
    })
}

fn is_sound(sibling: &Sibling) -> bool {
    sibling
        .value
        .as_ref()
        .is_some_and(|value| content_hash(value, sibling.expiry) == sibling.hash)
}
