//! A client's results, as outcomes of a history.
//!
//! ```text
//!   Entry        --> Read: siblings, region seen          Written      --> acknowledged: dot, acks, region
//!   ReadError    --> why, and what is remarkable          WriteError   --> surely not stored, or unknown
//! ```
//!
//! A context is opaque to an application; here its region is read out of its bytes, which are those of a
//! record without values.

use quoit_client::{Context, Entry, ReadError, Stored, Value, WriteError, Written};
use quoit_ring::Seen;
use quoit_ring::wire::decode_record;

use crate::history::{Family, Found, Outcome};
use crate::sim::coverage::CoverageEvent;

/// What a read returned.
pub(super) fn read(entry: &Entry) -> Outcome {
    let found = |value: &Value| Found {
        dot: value.dot,
        value: value.bytes.clone(),
        expiry: value.expiry,
    };
    Outcome::Read {
        siblings: entry.siblings().iter().map(found).collect(),
        seen: seen_of(entry.context()),
    }
}

/// What is remarkable about a read of a key of this family.
pub(super) fn read_coverage(family: Family, entry: &Entry) -> impl Iterator<Item = CoverageEvent> {
    let siblings = entry.siblings().len() > 1;
    let gone = entry.is_tombstone();
    let absent = match family {
        Family::Expiring => CoverageEvent::ExpiredValue, // no workload deletes there
        _ => CoverageEvent::Tombstone,
    };
    let seen = [
        siblings.then_some(CoverageEvent::Siblings),
        gone.then_some(absent),
    ];
    seen.into_iter().flatten()
}

/// Why a read failed.
pub(super) const fn read_error(error: &ReadError) -> (Outcome, Option<CoverageEvent>) {
    let (why, event) = match error {
        ReadError::Unavailable { .. } => ("unavailable", Some(CoverageEvent::Unavailable)),
        ReadError::Unstable { .. } => ("unstable", Some(CoverageEvent::Unstable)),
        ReadError::Invalid(_) => ("invalid", None),
        _ => ("closed", None),
    };
    (Outcome::ReadFailed(why), event)
}

/// That a write was acknowledged.
pub(super) fn written(written: &Written) -> Outcome {
    Outcome::Written {
        dot: written.dot,
        acked: written.acked,
        seen: seen_of(&written.context),
    }
}

/// Why a write failed, and whether it could exist.
pub(super) fn write_error(error: &WriteError) -> (Outcome, Option<CoverageEvent>) {
    let (why, event) = match error {
        WriteError::Invalid(_) => ("invalid", None),
        WriteError::ClockSkew(_) => ("clock skew", Some(CoverageEvent::ClockSkew)),
        WriteError::NotStored { .. } => ("not stored", Some(CoverageEvent::NotStored)),
        WriteError::UnderReplicated { .. } => {
            ("under-replicated", Some(CoverageEvent::UnderReplicated))
        }
        WriteError::Unknown { .. } => ("unknown", Some(CoverageEvent::Unknown)),
        WriteError::Closed => ("closed", None),
        _ => ("abandoned", None),
    };
    let outcome = match error.stored() {
        Stored::No => Outcome::Refused(why),
        Stored::Maybe | Stored::UnderReplicated => Outcome::Unknown(why),
    };
    (outcome, event)
}

/// The region of a context.
pub(super) fn seen_of(context: &Context) -> Seen {
    let record = decode_record(&context.to_bytes().into());
    record.map_or_else(|_| Seen::default(), |record| record.seen().clone())
}
