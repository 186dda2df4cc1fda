//! Register: a step of a conditional write or of a linearizable read, by a client or by an owner that ends one.
//!
//! All steps go through the commit queue, those that only look, too: so an answer lies behind every accept before it.

use bytes::Bytes;
use quoit_ring::Record;
use quoit_ring::wire::{Refusal, RegisterAsk};

use super::read_repair;
use crate::config::Limits;
use crate::write::{Change, Step};

/// Reads what is asked.
///
/// # Errors
/// [`Refusal::BadRecord`], [`Refusal::ValueTooLarge`].
pub(crate) fn read(ask: &RegisterAsk, limits: &Limits) -> Result<Change, Refusal> {
    let step = match ask {
        RegisterAsk::Look => Step::Look,
        RegisterAsk::Prepare { ballot } => Step::Prepare(*ballot),
        RegisterAsk::Accept { ballot, value } => Step::Accept(*ballot, value_of(value, limits)?),
        RegisterAsk::Extend { ballot, value } => Step::Extend(*ballot, value_of(value, limits)?),
        RegisterAsk::Commit { ballot, value } if value.is_empty() => Step::Commit(*ballot, None),
        RegisterAsk::Commit { ballot, value } => {
            Step::Commit(*ballot, Some(value_of(value, limits)?))
        }
        RegisterAsk::AwaitTurn => Step::AwaitTurn { contended: false },
        RegisterAsk::EndTurn => Step::EndTurn,
        // A request of a newer build, which this one does not know.
        _ => return Err(Refusal::NotReady),
    };
    Ok(Change::Register(Box::new(step)))
}

/// The bytes of the record that is asked to be taken.
pub(super) const fn record_bytes(ask: &RegisterAsk) -> usize {
    match ask {
        RegisterAsk::Accept { value, .. }
        | RegisterAsk::Extend { value, .. }
        | RegisterAsk::Commit { value, .. } => value.len(),
        _ => 0,
    }
}

fn value_of(bytes: &Bytes, limits: &Limits) -> Result<Record, Refusal> {
    let Change::Repair(record) = read_repair(bytes)? else {
        return Err(Refusal::BadRecord);
    };
    let sizes = (record.live().iter()).filter_map(|it| it.value.as_ref().map(Bytes::len));
    let (bytes, max) = (sizes.max().unwrap_or(0), limits.max_value_bytes);
    if bytes > max {
        let [bytes, max] = [bytes, max].map(|n| u64::try_from(n).unwrap_or(u64::MAX));
        return Err(Refusal::ValueTooLarge { bytes, max });
    }
    Ok(record)
}
