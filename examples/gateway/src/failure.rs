//! What can go wrong, in one table for both ports.
//!
//! ```text
//!   ReadError, WriteError, SwapError --> Failure { kind, detail, applied, advice }
//!                               |--HTTP--> status, problem+json with `applied`
//!                               '--RESP--> -MAYBE outcome unknown: ... (applied: maybe; ...)
//! ```
//!
//! The rule that a program can rely on: after 4xx, 429 and 503 a write surely does not exist; after 504 it may. `applied`
//! says which: `no`, `maybe` or `thin`, on fewer replicas than asked for.
//!
//! Left out: how an error looks on the wire (`http::problem`, `resp::reply`).

use std::borrow::Cow;
use std::time::Duration;

use quoit_client::{
    Attempt, InvalidRequest, InvalidScan, Outcome, ReadError, ScanError, Stored, SwapError,
    WriteError,
};
use quoit_ring::wire::Refusal;

/// A row of the table: a kind of failure, and how either port shows it.
macro_rules! kinds {
    ($($kind:ident, $slug:literal, $status:literal, $prefix:literal, $title:literal;)+) => {
        /// A kind of failure.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Kind {
            $(#[doc = $title] $kind,)+
        }

        impl Kind {
            /// All of them, for the documents.
            pub(crate) const ALL: &[Self] = &[$(Self::$kind),+];

            /// The last part of a problem's `type`.
            pub(crate) const fn slug(self) -> &'static str {
                match self { $(Self::$kind => $slug,)+ }
            }

            /// The status of an HTTP answer.
            pub(crate) const fn status(self) -> u16 {
                match self { $(Self::$kind => $status,)+ }
            }

            /// The first word of a RESP error.
            pub(crate) const fn prefix(self) -> &'static str {
                match self { $(Self::$kind => $prefix,)+ }
            }

            /// What it means, the same for every failure of the kind.
            pub(crate) const fn title(self) -> &'static str {
                match self { $(Self::$kind => $title,)+ }
            }
        }
    };
}

kinds! {
    BadKey, "bad-key", 400, "ERR", "The key is empty, or no percent-encoding";
    BadOption, "bad-option", 400, "ERR", "An option is unknown, out of range, or given twice";
    BadBody, "bad-body", 400, "ERR", "The body is not what its content type says";
    BadContext, "bad-context", 400, "ERR", "The context is not one that a read gave out";
    BadToken, "bad-token", 400, "ERR", "The token is not one that this list gave out";
    NoCondition, "condition-not-supported", 400, "ERR", "This condition is not served here";
    Unauthorized, "unauthorized", 401, "NOAUTH", "A token is needed";
    NoRoute, "no-route", 404, "ERR", "There is no such route";
    NoValue, "no-value", 404, "ERR", "The key has no value";
    Method, "method-not-allowed", 405, "ERR", "The route has no such method";
    SlowBody, "slow-body", 408, "ERR", "The body took too long";
    Conflict, "record-full", 409, "ERR", "The key holds as much as it may";
    ValueTooLarge, "value-too-large", 413, "ERR", "The value is too large";
    ConditionFailed, "condition-failed", 412, "ERR", "The condition does not hold";
    KeyTooLong, "key-too-long", 414, "ERR", "The key is too long";
    Encoded, "content-encoding", 415, "ERR", "Encoded bodies are not decoded";
    Misdirected, "misdirected", 421, "ERR", "The request is for another host";
    RateLimit, "rate-limit", 429, "BUSY", "Too many requests from this address";
    Refused, "refused", 502, "ERR", "The cluster refuses this gateway, or has what it cannot take";
    Overloaded, "overloaded", 503, "BUSY", "Too much is under way";
    Contended, "contended", 503, "BUSY", "Others were always first";
    Unavailable, "unavailable", 503, "NOREPLICAS", "Too few replicas answered";
    Clock, "clock", 503, "ERR", "Clocks differ too much";
    Closed, "closed", 503, "ERR", "The gateway is being stopped";
    Thin, "written-thinly", 504, "THIN", "The write is on too few replicas";
    Unknown, "outcome-unknown", 504, "MAYBE", "The write may exist";
}

/// Whether a failed write may exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Applied {
    /// On no replica.
    No,
    /// On none, some or enough replicas.
    Maybe,
    /// On fewer replicas than asked for.
    Thin,
}

impl Applied {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Maybe => "maybe",
            Self::Thin => "thin",
        }
    }
}

impl From<Stored> for Applied {
    fn from(stored: Stored) -> Self {
        match stored {
            Stored::No => Self::No,
            Stored::Maybe => Self::Maybe,
            Stored::UnderReplicated => Self::Thin,
        }
    }
}

/// What happened, whether the write could exist, what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    /// What happened this time.
    pub(crate) detail: Cow<'static, str>,
    /// Of a write only.
    pub(crate) applied: Option<Applied>,
    pub(crate) advice: Option<&'static str>,
    /// The name of a conditional write that may exist, to ask what became of it.
    pub(crate) operation: Option<String>,
    /// When to try again.
    pub(crate) retry_after: Option<Duration>,
}

/// When a cluster that is short of something may have it again.
const SOON: Duration = Duration::from_secs(1);
/// When a person may have set a clock.
const LATER: Duration = Duration::from_secs(30);

const READ_IT: &str =
    "read the key to find out: a second write is another one, and replaces what came in between";
const SETTLE: &str = "POST the operation's name to /v1/outcomes: that says whether it happened, and bars it if it has not";
const AGAIN: &str = "nothing was stored: try again";

impl Failure {
    pub(crate) fn new(kind: Kind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            applied: None,
            advice: None,
            operation: None,
            retry_after: None,
        }
    }

    pub(crate) const fn advice(mut self, advice: &'static str) -> Self {
        self.advice = Some(advice);
        self
    }

    pub(crate) const fn retry_after(mut self, time: Duration) -> Self {
        self.retry_after = Some(time);
        self
    }

    /// The same as the end of a write of which nothing was sent.
    pub(crate) const fn of_unsent_write(mut self) -> Self {
        self.applied = Some(Applied::No);
        self
    }

    /// The same as the end of a change that others were always ahead of.
    pub(crate) const fn of_contention(self) -> Self {
        let failure = self.advice("nothing was written: try again, or write the key less often");
        failure.retry_after(SOON).of_unsent_write()
    }

    /// Too many operations are under way, or too many bytes are held.
    pub(crate) fn overloaded(what: &'static str) -> Self {
        Self::new(Kind::Overloaded, what)
            .advice("try again a little later, or at another gateway")
            .retry_after(SOON)
    }

    /// An address made more requests than it may.
    pub(crate) fn rate_limit(wait: Duration) -> Self {
        Self::new(
            Kind::RateLimit,
            "this address made more requests than it may",
        )
        .advice("send fewer requests a second")
        .retry_after(wait)
    }
}

impl From<InvalidRequest> for Failure {
    fn from(error: InvalidRequest) -> Self {
        let kind = match error {
            InvalidRequest::EmptyKey => Kind::BadKey,
            InvalidRequest::LongKey { .. } => Kind::KeyTooLong,
            InvalidRequest::LargeValue { .. } => Kind::ValueTooLarge,
            InvalidRequest::Context(_) | InvalidRequest::FutureContext { .. } => Kind::BadContext,
            _ => Kind::BadOption,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        let detail = error.to_string();
        match error {
            ReadError::Invalid(invalid) => invalid.into(),
            ReadError::Unavailable { attempts, .. } | ReadError::Unstable { attempts, .. } => {
                of_attempts(&attempts, detail).advice("try again; no value was changed")
            }
            _ => Self::new(Kind::Closed, detail).retry_after(SOON),
        }
    }
}

impl From<WriteError> for Failure {
    fn from(error: WriteError) -> Self {
        let (detail, stored) = (error.to_string(), error.stored());
        let failure = match error {
            WriteError::Invalid(invalid) => invalid.into(),
            WriteError::ClockSkew(_) => Self::new(Kind::Clock, detail)
                .advice("set the clock of the gateway's machine; another gateway may take it")
                .retry_after(LATER),
            WriteError::NotStored { attempts, .. } => of_attempts(&attempts, detail).advice(AGAIN),
            WriteError::UnderReplicated { .. } => Self::new(Kind::Thin, detail).advice(
                "reads may see it, and repair spreads it; a second write is another one, and replaces what came in between",
            ),
            WriteError::Unknown { .. } | WriteError::Replaced { .. } | WriteError::Abandoned => {
                Self::new(Kind::Unknown, detail).advice(READ_IT)
            }
            WriteError::Undecided { operation, .. } => Self {
                operation: Some(operation.to_string()),
                ..Self::new(Kind::Unknown, detail).advice(SETTLE)
            },
            _ => Self::new(Kind::Closed, detail).advice(AGAIN).retry_after(SOON),
        };
        Self {
            applied: Some(stored.into()),
            ..failure
        }
    }
}

impl From<SwapError> for Failure {
    fn from(error: SwapError) -> Self {
        let (detail, stored) = (error.to_string(), error.stored());
        let failure = match error {
            SwapError::Invalid(invalid) => invalid.into(),
            SwapError::NotApplied { attempts, .. } => of_attempts(&attempts, detail).advice(AGAIN),
            SwapError::Unknown { operation, .. } => Self {
                operation: Some(operation.to_string()),
                ..Self::new(Kind::Unknown, detail).advice(SETTLE)
            },
            SwapError::Replaced { .. } | SwapError::Abandoned => {
                Self::new(Kind::Unknown, detail).advice(READ_IT)
            }
            SwapError::Contended => Self::new(Kind::Contended, detail).of_contention(),
            _ => Self::new(Kind::Closed, detail)
                .advice(AGAIN)
                .retry_after(SOON),
        };
        Self {
            applied: Some(stored.into()),
            ..failure
        }
    }
}

impl From<ScanError> for Failure {
    fn from(error: ScanError) -> Self {
        let detail = error.to_string();
        match error {
            ScanError::Invalid(InvalidScan::Request(invalid)) => invalid.into(),
            ScanError::Invalid(_) => Self::new(Kind::BadOption, detail),
            ScanError::Token(_) => Self::new(Kind::BadToken, detail)
                .advice("go on with the same prefix and start, or begin again without a token"),
            ScanError::Unavailable { attempts, .. } => {
                of_attempts(&attempts, detail).advice("try again: the token is as good as before")
            }
            ScanError::Read { source, .. } => Self {
                detail: detail.into(),
                ..source.into()
            },
            _ => Self::new(Kind::Closed, detail).retry_after(SOON),
        }
    }
}

/// Why too few replicas did what was asked: for what was asked if any of them says so, else for the state they are in.
fn of_attempts(attempts: &[Attempt], detail: String) -> Failure {
    let verdict = attempts
        .iter()
        .find_map(|attempt| verdict(&attempt.outcome));
    if let Some(kind) = verdict {
        return Failure::new(kind, detail);
    }
    let busy = attempts.iter().any(|attempt| {
        matches!(
            attempt.outcome,
            Outcome::Refused(Refusal::Overloaded { .. }) | Outcome::QueueFull
        )
    });
    let kind = if busy {
        Kind::Overloaded
    } else {
        Kind::Unavailable
    };
    Failure::new(kind, detail).retry_after(SOON)
}

const fn verdict(outcome: &Outcome) -> Option<Kind> {
    match outcome {
        Outcome::Refused(
            Refusal::TooManySiblings { .. }
            | Refusal::RecordTooLarge { .. }
            | Refusal::SeenTooLarge { .. },
        ) => Some(Kind::Conflict),
        Outcome::Refused(Refusal::ValueTooLarge { .. }) => Some(Kind::ValueTooLarge),
        Outcome::Refused(Refusal::BadKey { .. }) => Some(Kind::BadKey),
        Outcome::Refused(Refusal::ClockAhead { .. } | Refusal::TooOld { .. })
        | Outcome::ClockBehind { .. } => Some(Kind::Clock),
        Outcome::Refused(Refusal::Forbidden | Refusal::OtherRecovery)
        | Outcome::AnswerTooLong { .. } => Some(Kind::Refused),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use quoit_client::{ClockSkew, ConditionalOp, SentWrite};
    use quoit_ring::NodeId;

    use super::*;

    fn attempts(outcome: Outcome) -> Vec<Attempt> {
        vec![Attempt {
            node: NodeId(1),
            name: "node-1".into(),
            outcome,
        }]
    }

    fn not_stored(outcome: Outcome) -> Failure {
        WriteError::NotStored {
            needed: 2,
            n: 3,
            attempts: attempts(outcome),
        }
        .into()
    }

    #[test]
    fn a_write_that_may_exist_is_504_and_one_that_surely_does_not_never_is() {
        let thin = WriteError::UnderReplicated {
            acked: 1,
            needed: 2,
            attempts: Vec::new(),
            write: SentWrite::default(),
        };
        let unknown = WriteError::Unknown {
            acked: 1,
            needed: 2,
            attempts: Vec::new(),
            write: SentWrite::default(),
        };
        let operation: ConditionalOp = "6b.00000000000000070000000000000009".parse().unwrap();
        let undecided = WriteError::Undecided {
            needed: 2,
            attempts: Vec::new(),
            operation: operation.clone(),
        };
        let swap = SwapError::Unknown {
            needed: 2,
            attempts: Vec::new(),
            operation: operation.clone(),
        };
        let replaced = SwapError::Replaced { operation };
        let skew = ClockSkew::Behind {
            behind_ms: 9,
            max_ms: 5,
        };
        let overloaded = Outcome::Refused(Refusal::Overloaded { queue_ms: 7 });
        let table: [(Failure, u16, Applied); 15] = [
            (thin.into(), 504, Applied::Thin),
            (unknown.into(), 504, Applied::Maybe),
            (undecided.into(), 504, Applied::Maybe),
            (swap.into(), 504, Applied::Maybe),
            (replaced.into(), 504, Applied::Maybe),
            (SwapError::Abandoned.into(), 504, Applied::Maybe),
            (SwapError::Contended.into(), 503, Applied::No),
            (SwapError::Closed.into(), 503, Applied::No),
            (WriteError::Abandoned.into(), 504, Applied::Maybe),
            (WriteError::Closed.into(), 503, Applied::No),
            (WriteError::ClockSkew(skew).into(), 503, Applied::No),
            (not_stored(Outcome::Unreachable), 503, Applied::No),
            (not_stored(overloaded), 503, Applied::No),
            (
                not_stored(Outcome::Refused(Refusal::TooManySiblings { max: 64 })),
                409,
                Applied::No,
            ),
            (
                WriteError::from(InvalidRequest::EmptyKey).into(),
                400,
                Applied::No,
            ),
        ];
        for (failure, status, applied) in table {
            assert_eq!(
                (failure.kind.status(), failure.applied),
                (status, Some(applied)),
                "{failure:?}"
            );
            assert_eq!(status == 503, failure.retry_after.is_some(), "{failure:?}");
        }
    }

    #[test]
    fn a_full_queue_is_overload_and_a_dead_node_is_not() {
        assert_eq!(not_stored(Outcome::QueueFull).kind, Kind::Overloaded);
        assert_eq!(not_stored(Outcome::TimedOut).kind, Kind::Unavailable);
    }

    #[test]
    fn a_read_error_says_nothing_of_a_write() {
        let failure: Failure = ReadError::Unavailable {
            answered: 1,
            needed: 2,
            attempts: attempts(Outcome::TimedOut),
        }
        .into();
        assert_eq!((failure.kind, failure.applied), (Kind::Unavailable, None));
        assert!(failure.detail.contains("node-1: no answer in time"));
    }

    #[test]
    fn only_what_may_exist_has_the_status_that_says_so() {
        for kind in Kind::ALL {
            let may_exist = matches!(kind, Kind::Thin | Kind::Unknown);
            assert_eq!(kind.status() == 504, may_exist, "{kind:?}");
        }
    }
}
