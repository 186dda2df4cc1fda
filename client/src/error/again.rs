//! Whether it helps to try again, and when.
//!
//! ```text
//!   each replica    may it pass?            no connection, overloaded, .. : yes      too large, forbidden, .. : no
//!   the operation   is_retryable            as many as are needed may pass
//!                   is_timeout              one did not answer in time
//!                   retry_after             the longest queue that a node reports
//! ```
//!
//! Left out: how often to try, and how long in between where no node says: the caller's budget.

use std::time::Duration;

use quoit_ring::wire::Refusal;

use super::{Attempt, Outcome, ReadError, WriteError};
use crate::conditional::SwapError;

impl Outcome {
    /// Whether the same request to this replica may end otherwise later, with nothing changed by anybody. Not where the
    /// request itself is refused, or a clock has to be set.
    ///
    /// ```
    /// # use quoit_client::Outcome;
    /// assert!(Outcome::Unreachable.may_pass());
    /// assert!(!Outcome::AnswerTooLong { bytes: 2, max: 1 }.may_pass());
    /// ```
    #[must_use]
    pub const fn may_pass(&self) -> bool {
        match self {
            Self::Refused(refusal) => !matches!(
                refusal,
                Refusal::Forbidden
                    | Refusal::BadKey { .. }
                    | Refusal::ValueTooLarge { .. }
                    | Refusal::TooManySiblings { .. }
                    | Refusal::RecordTooLarge { .. }
                    | Refusal::SeenTooLarge { .. }
                    | Refusal::ClockAhead { .. }
                    | Refusal::BadRecord
                    | Refusal::BadNodes
                    | Refusal::OtherRecovery
                    | Refusal::BallotReused
            ),
            Self::EndsEarly { .. }
            | Self::ClockBehind { .. }
            | Self::ClockAhead { .. }
            | Self::AnswerTooLong { .. } => false,
            Self::Done
            | Self::Superseded
            | Self::Unreachable
            | Self::QueueFull
            | Self::Lost
            | Self::TimedOut
            | Self::Damaged(_)
            | Self::Outbid
            | Self::NotAsked => true,
        }
    }
}

fn enough_may_pass(attempts: &[Attempt], needed: usize) -> bool {
    let may_pass = |attempt: &&Attempt| attempt.outcome.may_pass();
    attempts.iter().filter(may_pass).count() >= needed
}

fn one_timed_out(attempts: &[Attempt]) -> bool {
    let is_late = |outcome: &Outcome| {
        matches!(
            outcome,
            Outcome::TimedOut | Outcome::Refused(Refusal::Expired)
        )
    };
    attempts.iter().any(|attempt| is_late(&attempt.outcome))
}

fn longest_queue(attempts: &[Attempt]) -> Option<Duration> {
    let queue = |attempt: &Attempt| match attempt.outcome {
        Outcome::Refused(Refusal::Overloaded { queue_ms }) => {
            Some(Duration::from_millis(queue_ms.into()))
        }
        _ => None,
    };
    attempts.iter().filter_map(queue).max()
}

impl ReadError {
    /// Whether the same read may succeed later, with nothing changed: not if it is invalid, or refused for what it is.
    ///
    /// ```
    /// use quoit_client::{InvalidRequest, ReadError};
    ///
    /// assert!(!ReadError::Invalid(InvalidRequest::EmptyKey).is_retryable());
    /// ```
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unavailable {
                needed, attempts, ..
            }
            | Self::Unstable {
                needed, attempts, ..
            } => enough_may_pass(attempts, *needed),
            Self::Invalid(_) | Self::Closed => false,
        }
    }

    /// Whether a replica did not answer in time.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        one_timed_out(self.attempts())
    }

    /// How long to wait before another try, if nodes have refused it as overloaded: as long as the longest of their queues.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        longest_queue(self.attempts())
    }

    fn attempts(&self) -> &[Attempt] {
        match self {
            Self::Unavailable { attempts, .. } | Self::Unstable { attempts, .. } => attempts,
            Self::Invalid(_) | Self::Closed => &[],
        }
    }
}

impl WriteError {
    /// Whether trying again may help: by the same put where [nothing was stored](WriteError::stored), by
    /// [`Client::retry`](crate::Client::retry) where something may be. Not for an invalid request or a wrong clock, and not where only a
    /// read can tell what became of it.
    ///
    /// ```
    /// use quoit_client::{Attempt, Outcome, WriteError};
    /// use quoit_ring::{NodeId, wire::Refusal};
    ///
    /// let failed = |outcome: Outcome| {
    ///     let attempt = Attempt { node: NodeId(1), name: "n1".into(), outcome };
    ///     WriteError::NotStored { needed: 1, n: 1, attempts: vec![attempt] }
    /// };
    /// let busy = failed(Outcome::Refused(Refusal::Overloaded { queue_ms: 300 }));
    /// assert!(busy.is_retryable() && busy.retry_after().unwrap().as_millis() == 300);
    /// let large = failed(Outcome::Refused(Refusal::ValueTooLarge { bytes: 2, max: 1 }));
    /// assert!(!large.is_retryable());
    /// ```
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::NotStored {
                needed, attempts, ..
            } => enough_may_pass(attempts, *needed),
            Self::UnderReplicated { .. } | Self::Unknown { .. } => self.can_retry(),
            Self::Invalid(_)
            | Self::ClockSkew(_)
            | Self::Undecided { .. }
            | Self::Replaced { .. }
            | Self::Closed
            | Self::Abandoned => false,
        }
    }

    /// Whether a replica did not answer in time.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        one_timed_out(self.attempts())
    }

    /// How long to wait before another try, if nodes have refused it as overloaded: as long as the longest of their queues.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        longest_queue(self.attempts())
    }

    fn attempts(&self) -> &[Attempt] {
        match self {
            Self::NotStored { attempts, .. }
            | Self::UnderReplicated { attempts, .. }
            | Self::Unknown { attempts, .. }
            | Self::Undecided { attempts, .. } => attempts,
            Self::Invalid(_)
            | Self::ClockSkew(_)
            | Self::Replaced { .. }
            | Self::Closed
            | Self::Abandoned => &[],
        }
    }
}

impl SwapError {
    /// Whether the same conditional write may be made again: nothing was written, and enough owners may take part later. Where
    /// the outcome is unknown, [`Client::outcome`](crate::Client::outcome) comes first.
    ///
    /// ```
    /// use quoit_client::SwapError;
    ///
    /// assert!(SwapError::Contended.is_retryable());
    /// assert!(!SwapError::Abandoned.is_retryable());
    /// ```
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::NotApplied { needed, attempts } => enough_may_pass(attempts, *needed),
            Self::Contended => true,
            Self::Invalid(_)
            | Self::Unknown { .. }
            | Self::Replaced { .. }
            | Self::Closed
            | Self::Abandoned => false,
        }
    }

    /// Whether an owner did not answer in time.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        one_timed_out(self.attempts())
    }

    /// How long to wait before another try, if owners have refused it as overloaded: as long as the longest of their queues.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        longest_queue(self.attempts())
    }

    fn attempts(&self) -> &[Attempt] {
        match self {
            Self::NotApplied { attempts, .. } | Self::Unknown { attempts, .. } => attempts,
            Self::Invalid(_)
            | Self::Replaced { .. }
            | Self::Contended
            | Self::Closed
            | Self::Abandoned => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use quoit_ring::NodeId;

    use super::*;

    fn attempts(outcomes: &[Outcome]) -> Vec<Attempt> {
        let attempt = |outcome: &Outcome| Attempt {
            node: NodeId(1),
            name: "n".to_owned(),
            outcome: outcome.clone(),
        };
        outcomes.iter().map(attempt).collect()
    }

    fn unread(outcomes: &[Outcome]) -> ReadError {
        ReadError::Unavailable {
            answered: 0,
            needed: 2,
            attempts: attempts(outcomes),
        }
    }

    #[test]
    fn a_read_is_worth_another_try_while_enough_replicas_may_pass() {
        let (away, forbidden) = (Outcome::Unreachable, Outcome::Refused(Refusal::Forbidden));
        let of = |outcomes: [&Outcome; 3]| unread(&outcomes.map(Clone::clone));
        assert!(of([&away, &away, &forbidden]).is_retryable());
        assert!(!of([&away, &forbidden, &forbidden]).is_retryable());
        assert!(!of([&away; 3]).is_timeout());
        assert!(of([&away, &away, &Outcome::TimedOut]).is_timeout());
        let expired = Outcome::Refused(Refusal::Expired);
        assert!(of([&away, &away, &expired]).is_timeout());
    }

    #[test]
    fn the_longest_queue_says_when_to_come_back() {
        let queue = |queue_ms| Outcome::Refused(Refusal::Overloaded { queue_ms });
        let busy = unread(&[queue(20), Outcome::Lost, queue(300)]);
        assert_eq!(busy.retry_after(), Some(Duration::from_millis(300)));
        assert_eq!(unread(&[Outcome::Lost]).retry_after(), None);
    }

    #[test]
    fn what_may_be_stored_or_happen_is_not_simply_made_again() {
        let operation = "6b.00000000000000070000000000000009".parse();
        let operation: crate::ConditionalOp = operation.unwrap();
        let unknown = SwapError::Unknown {
            needed: 2,
            attempts: attempts(&[Outcome::TimedOut]),
            operation: operation.clone(),
        };
        assert!(!unknown.is_retryable() && unknown.is_timeout());
        let undecided = WriteError::Undecided {
            needed: 2,
            attempts: attempts(&[Outcome::TimedOut]),
            operation,
        };
        assert!(!undecided.is_retryable() && undecided.is_timeout());
        assert!(!WriteError::Abandoned.is_retryable());
    }
}
