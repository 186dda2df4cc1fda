//! The result of one write.

use quoit_ring::Time;
use quoit_ring::wire::{Refusal, Response};

/// The result of one write, before it is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Its record is joined once the batch is committed.
    Joined,
    /// Its dot was dead already; nothing was joined.
    Superseded {
        /// The stored record names this very dot.
        named: bool,
        /// A dot minted above this is not covered.
        above: Time,
    },
    /// It was refused; nothing was joined.
    Refused(Refusal),
}

impl From<Verdict> for Response {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Joined => Self::Joined,
            Verdict::Superseded { named, above } => Self::Superseded { named, above },
            Verdict::Refused(refusal) => Self::Refused(refusal),
        }
    }
}
