//! The counters: plain numbers that begin at 0 and only grow.
//!
//! ```text
//!   Counters     the coordinator's requests and their outcomes
//!   Operations   the outcomes and latencies of callers' operations
//! ```
//!
//! Counting is one addition where the event is. Left out: when and how the sums are published (`publish`).

use crate::conditional::SwapError;
use crate::error::{NodeError, ReadError, WriteError};
use crate::health::Answer;
use crate::membership::MembershipError;
use crate::metrics::latency::Latencies;

/// What a request to a node is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RequestKind {
    /// A read.
    Read,
    /// A read of one more replica, since the first ones are slow.
    Hedge,
    /// A write.
    Write,
    /// A read's write-back.
    Repair,
    /// A write for a fallback to keep for its owner.
    Hint,
    /// A read sent only to learn whether a node has recovered.
    Probe,
    /// A question to a node about itself.
    Ask,
    /// A step of a conditional write or of a linearizable read.
    Register,
}

impl RequestKind {
    /// Its name in metrics and spans: `read`, `hedge`, and so on.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Hedge => "hedge",
            Self::Write => "write",
            Self::Repair => "repair",
            Self::Hint => "hint",
            Self::Probe => "probe",
            Self::Ask => "ask",
            Self::Register => "register",
        }
    }
}

/// The coordinator's requests and their outcomes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    /// Requests queued, by [`RequestKind`].
    pub(crate) attempts: [u64; 8],
    /// Writes re-minted.
    pub(crate) remints: u64,
    /// Background repairs that the byte budget refused.
    pub(crate) repairs_refused: u64,
    /// Requests not made, since there was no connection.
    pub(crate) unreachable: u64,
    /// Requests refused by a full outbox.
    pub(crate) unsent: u64,
    /// Requests taken back from an outbox.
    pub(crate) taken_back: u64,
    /// Connections that broke.
    pub(crate) connections_lost: u64,
    /// Refusals: overloaded, expired, unfit, other.
    pub(crate) refusals: [u64; 4],
}

impl Counters {
    /// A request was queued.
    pub(crate) const fn attempt(&mut self, kind: RequestKind) {
        self.attempts[kind as usize] += 1;
    }

    /// An answer came.
    pub(crate) const fn answer(&mut self, answer: Answer) {
        let reason = match answer {
            Answer::Served => return,
            Answer::Overloaded { .. } => 0,
            Answer::Expired => 1,
            Answer::Unfit => 2,
            Answer::Refused => 3,
        };
        self.refusals[reason] += 1;
    }
}

/// The kind of a caller's operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Get,
    Put,
    Delete,
    /// A question to one node, or about all.
    Ask,
    CompareAndSet,
}

impl Kind {
    /// How many there are.
    pub(crate) const COUNT: usize = 5;

    /// Its name in metrics and spans.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Put => "put",
            Self::Delete => "delete",
            Self::Ask => "ask",
            Self::CompareAndSet => "compare_and_set",
        }
    }
}

/// How an operation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Ok,
    Invalid,
    Unavailable,
    Unstable,
    NotStored,
    UnderReplicated,
    Unknown,
    Failed,
}

impl End {
    /// How many there are.
    pub(crate) const COUNT: usize = 8;

    /// Its name in metrics and spans.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Invalid => "invalid",
            Self::Unavailable => "unavailable",
            Self::Unstable => "unstable",
            Self::NotStored => "not_stored",
            Self::UnderReplicated => "too_thin",
            Self::Unknown => "unknown",
            Self::Failed => "failed",
        }
    }
}

impl<T> From<&Result<T, ReadError>> for End {
    fn from(result: &Result<T, ReadError>) -> Self {
        match result {
            Ok(_) => Self::Ok,
            Err(ReadError::Invalid(_)) => Self::Invalid,
            Err(ReadError::Unavailable { .. }) => Self::Unavailable,
            Err(ReadError::Unstable { .. }) => Self::Unstable,
            Err(ReadError::Closed) => Self::Failed,
        }
    }
}

impl<T> From<&Result<T, WriteError>> for End {
    fn from(result: &Result<T, WriteError>) -> Self {
        match result {
            Ok(_) => Self::Ok,
            Err(WriteError::Invalid(_)) => Self::Invalid,
            Err(WriteError::ClockSkew(_) | WriteError::NotStored { .. }) => Self::NotStored,
            Err(WriteError::UnderReplicated { .. }) => Self::UnderReplicated,
            Err(
                WriteError::Unknown { .. }
                | WriteError::Undecided { .. }
                | WriteError::Replaced { .. },
            ) => Self::Unknown,
            Err(WriteError::Closed | WriteError::Abandoned) => Self::Failed,
        }
    }
}

impl<T> From<&Result<T, SwapError>> for End {
    fn from(result: &Result<T, SwapError>) -> Self {
        match result {
            Ok(_) => Self::Ok,
            Err(SwapError::Invalid(_)) => Self::Invalid,
            Err(SwapError::NotApplied { .. } | SwapError::Contended) => Self::NotStored,
            Err(SwapError::Unknown { .. } | SwapError::Replaced { .. }) => Self::Unknown,
            Err(SwapError::Closed | SwapError::Abandoned) => Self::Failed,
        }
    }
}

impl<T> From<&Result<T, MembershipError>> for End {
    fn from(result: &Result<T, MembershipError>) -> Self {
        match result {
            Ok(_) => Self::Ok,
            Err(MembershipError::NoMajority {
                may_be_decided: true,
                ..
            }) => Self::Unknown,
            Err(MembershipError::NoMajority { .. }) => Self::Unavailable,
            Err(_) => Self::Failed,
        }
    }
}

impl<T> From<&Result<T, NodeError>> for End {
    fn from(result: &Result<T, NodeError>) -> Self {
        match result {
            Ok(_) => Self::Ok,
            Err(_) => Self::Failed,
        }
    }
}

/// How operations end and how long they take.
#[derive(Debug)]
pub(crate) struct Operations {
    /// By [`Kind`], then by [`End`].
    pub(crate) ended: [[u64; End::COUNT]; Kind::COUNT],
    /// By [`Kind`]; what was not handed over yet.
    pub(crate) latencies: [Latencies; Kind::COUNT],
}

impl Operations {
    /// Nothing has ended yet.
    pub(crate) fn new() -> Self {
        Self {
            ended: [[0; End::COUNT]; Kind::COUNT],
            latencies: core::array::from_fn(|_| Latencies::new()),
        }
    }

    /// An operation ended, after so many microseconds.
    pub(crate) fn ended(&mut self, kind: Kind, end: End, micros: u64) {
        self.ended[kind as usize][end as usize] += 1;
        self.latencies[kind as usize].record(micros);
    }
}
