//! Get: the stored record, as it lies on the disk.
//!
//! The bytes are not decoded on their way: the client holds them against the content hashes that the writer
//! made, so wrong bytes are found wherever they went wrong. Expired siblings are in them; when they count as
//! dead is for the reader of a whole quorum to say.
//!
//! A digest leaves the values out, and only if that saves something.

use quoit_ring::Time;
use quoit_ring::wire::{Response, decode_record, record_bytes};

use crate::engine::layout::{NAMESPACE, record_key};
use crate::engine::{Engine, Keyspace};
use crate::storage::Unreadable;

/// A record up to this many bytes is answered whole even where a digest would do: it fits one packet anyway.
const SMALL: usize = 1024;

/// Answers with the record under `key`, and the floor of its leaf. That is to be read before this is called: what is read later
/// may have been forgotten by a later floor.
///
/// # Errors
/// If it cannot be read; that is never taken for its absence.
pub(super) fn answer<G: Engine>(
    engine: &G,
    (key, floor): (&[u8], Time),
    digest: bool,
) -> Result<Response, Unreadable> {
    let stored = engine.get(Keyspace::Records, &record_key(NAMESPACE, key));
    let Some(bytes) = stored.map_err(Unreadable::Engine)? else {
        return Ok(Response::to_get(None, floor));
    };
    if !digest || bytes.len() <= SMALL {
        return Ok(Response::to_get(Some(bytes), floor));
    }
    let record = decode_record(&bytes).map_err(Unreadable::Record)?;
    let digest = record_bytes(&record.without_values());
    Ok(Response::to_get(Some(digest), floor))
}
