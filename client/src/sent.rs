//! A write that failed after it was sent, kept so that the very same write can be sent again.
//!
//! ```text
//!   put --> WriteError::Unknown { write, .. } --Client::retry--> the same dot, the same record
//!                 '-- a new put with that value: another write, with a dot of its own
//! ```
//!
//! A second put of the same value is no repetition: with a context it leaves the value twice, as siblings, if the first
//! one was stored after all; without one it replaces what others wrote in between. What is kept here is the record that
//! was sent and what is known of its whereabouts. Sending it again is a join of what may be there already, so it changes
//! nothing where it was stored, and it never gets a newer dot: what came after it stays.
//!
//! Left out: how it is sent (`operation::write`).

use core::fmt;

use bytes::Bytes;
use quoit_ring::{Dot, Epoch};

use crate::coordinator::context::OpContext;
use crate::entry::Context;
use crate::error::InvalidRequest;
use crate::operation::plan::Plan;
use crate::operation::requests::Targets;
use crate::operation::version::Version;
use crate::quorum::Evidence;

/// What is kept of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) version: Version,
    pub(crate) plan: Plan,
    pub(crate) evidence: Evidence,
    /// How many nodes own its key: the first of its error's attempts.
    pub(crate) owners: usize,
    /// The epoch in which they were asked.
    pub(crate) epoch: Epoch,
    /// The owners that have acknowledged this dot: in the same epoch they need not be asked again.
    pub(crate) holders: Targets,
}

impl Sent {
    /// Moves the clock of this client's mint up to the write, which another client may have minted.
    ///
    /// # Errors
    /// If it lies too far ahead to be believed: what this client writes afterwards would be overwritten by it.
    pub(crate) fn believe(&self, cx: &OpContext) -> Result<(), InvalidRequest> {
        let (time, wall) = (self.version.dot().time, cx.now.wall);
        if cx.mint.observe(time, wall) {
            return Ok(());
        }
        Err(InvalidRequest::FutureContext {
            ahead_ms: time.millis().0.saturating_sub(wall.0),
            max_ms: cx.mint.max_drift_ms(),
        })
    }
}

/// The write that an error is about, as it was sent: [`Client::retry`](crate::Client::retry) sends it again.
///
/// It keeps key, value and context: the value once as it was put and once in the record that was sent, so up to twice
/// [`max_value_bytes`](crate::ClientBuilder::max_value_bytes) (1 MiB by default), and a few hundred bytes. Nothing bounds
/// how many of them a caller collects, and their operations no longer count as under way. So handle one error after the
/// other, or keep of many only what is needed: its [`key`](SentWrite::key) and its [`dot`](SentWrite::dot), perhaps.
///
/// The default is no write at all, for a test that makes an error; a retry of that gives the error back.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct SentWrite(Option<Box<Sent>>);

impl SentWrite {
    pub(crate) fn new(sent: Sent) -> Self {
        Self(Some(Box::new(sent)))
    }

    pub(crate) fn sent(&self) -> Option<&Sent> {
        self.0.as_deref()
    }

    pub(crate) fn into_sent(self) -> Option<Box<Sent>> {
        self.0
    }

    /// It was sent again, and what came of that will not be known.
    pub(crate) fn left_open(mut self) -> Self {
        if let Some(sent) = &mut self.0 {
            sent.evidence.may_be_stored = true;
        }
        self
    }

    /// The write's name, by which a later read finds it among the values that it returns.
    #[must_use]
    pub fn dot(&self) -> Option<Dot> {
        self.sent().map(|sent| sent.version.dot())
    }

    /// Its key.
    #[must_use]
    pub fn key(&self) -> Option<&Bytes> {
        self.sent().map(|sent| sent.version.key())
    }

    /// What its writer had seen, and the write itself: a put with this context replaces it, wherever it is stored.
    #[must_use]
    pub fn context(&self) -> Option<&Context> {
        self.sent().map(|sent| sent.version.context())
    }
}

impl fmt::Debug for SentWrite {
    /// Leaves the value out, which may have megabytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("SentWrite");
        if let (Some(key), Some(dot)) = (self.key(), self.dot()) {
            debug.field("key", key).field("dot", &dot);
        }
        debug.finish_non_exhaustive()
    }
}
