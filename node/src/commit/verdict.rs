//! The result of one write.

use quoit_ring::Time;
use quoit_ring::register::Ballot;
use quoit_ring::wire::{Refusal, RegisterAnswer, RegisterState, Response};

/// The result of one write, before it is committed.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// Of a step on a register: what is held.
    State(Box<RegisterState>),
    /// Of a step on a register: its value is pending once the batch is committed, synced.
    Accepted,
    /// Of a step on a register: this ballot has the promise. Nothing has changed.
    Outbid(Ballot),
    /// Of a step on a register: its value has not seen what is held. Nothing has changed.
    Unseen,
    /// Of a step on a register: the turn of its proposer has come, or is over.
    Turn {
        /// It has waited for another one's.
        contended: bool,
    },
    /// It was refused; nothing was joined.
    Refused(Refusal),
}

impl From<Verdict> for Response {
    fn from(verdict: Verdict) -> Self {
        let register = |answer| Self::Register(Box::new(answer));
        match verdict {
            Verdict::Joined => Self::Joined,
            Verdict::Superseded { named, above } => Self::Superseded { named, above },
            Verdict::State(state) => register(RegisterAnswer::State(*state)),
            Verdict::Accepted => register(RegisterAnswer::Accepted),
            Verdict::Outbid(promised) => register(RegisterAnswer::Outbid { promised }),
            Verdict::Unseen => register(RegisterAnswer::Unseen),
            Verdict::Turn { contended } => register(RegisterAnswer::Turn { contended }),
            Verdict::Refused(refusal) => Self::Refused(refusal),
        }
    }
}
