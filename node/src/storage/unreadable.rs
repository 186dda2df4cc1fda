//! Rows that are there and cannot be read: what callers see of them, and what the log says.
//!
//! ```text
//! get, put --> Unreadable --fault--> the caller, each time
//!                   '-----say------> the log, seldom
//! ```
//!
//! One damaged record may be asked for thousands of times a second, so the log takes one line in ten seconds for all
//! of them together. Callers get the fault every time: damage is never taken for absence.

use std::error::Error;

use quoit_ring::Moment;
use quoit_ring::wire::{DecodeError, Fault};

use super::fault_of;
use crate::engine::EngineError;
use crate::seldom::Seldom;

/// Why a row cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// The engine does not give it.
    #[error("reading a record failed")]
    Engine(#[source] EngineError),
    /// What the engine gave is no record.
    #[error("a stored record cannot be read")]
    Record(#[source] DecodeError),
}

impl Unreadable {
    /// What a caller sees of it.
    #[must_use]
    pub(crate) fn fault(&self) -> Fault {
        match self {
            Self::Engine(error) => fault_of(error),
            Self::Record(_) => Fault::Corrupt,
        }
    }
}

/// What a node's log says of rows that requests could not read.
#[derive(Debug, Default)]
pub(crate) struct DamageLog(Seldom);

impl DamageLog {
    /// Logs `error`, or counts it.
    pub(crate) fn say(&self, error: &Unreadable, now: Moment) {
        if let Some(left_out) = self.0.may_say(now) {
            tracing::error!(
                error = error as &dyn Error,
                left_out,
                "a request met damage"
            );
        }
    }
}
