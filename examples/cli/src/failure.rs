//! What went wrong, as a person reads it and as a script reads it.
//!
//! ```text
//! error: outcome unknown: 1 of the 2 replicas needed confirmed it (node-3: no answer in time)
//!   stored: maybe
//!   hint: the write may be stored: read the key to find out; repeating it is another write, which replaces later ones
//! ```
//!
//! Every error of the libraries becomes one of these at one place, here: its message, the exit code,
//! for a write whether it could exist, and what to do next.

use std::error::Error;

use quoit_client::{
    Attempt, ConnectError, InvalidRequest, InvalidScan, Outcome, ReadError, ScanError, Stored,
    SwapError, WatchError, WriteError,
};
use quoit_local::ClusterError;
use quoit_node::StartError;
use quoit_ring::wire::Refusal;

use crate::exit::Exit;
use crate::verbs::node::start_exit;

/// An error that ends a verb.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// How the program ends.
    pub(crate) exit: Exit,
    /// What happened.
    pub(crate) what: String,
    /// For a write: whether it could exist.
    pub(crate) stored: Option<Stored>,
    /// What to do.
    pub(crate) hint: Option<String>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self {
            exit,
            what: what.into(),
            stored: None,
            hint: None,
        }
    }

    /// An error with all its causes.
    pub(crate) fn caused(error: &(dyn Error + 'static)) -> Self {
        Self::new(Exit::Error, chain(error))
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    const fn stored(mut self, stored: Stored) -> Self {
        self.stored = Some(stored);
        self
    }
}

/// The word for `stored`.
pub(crate) const fn stored_word(stored: Stored) -> &'static str {
    match stored {
        Stored::No => "no",
        Stored::Maybe => "maybe",
        Stored::UnderReplicated => "too thinly",
    }
}

/// An error and its causes in one line. A cause that a message already repeats is left out.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}

impl From<InvalidRequest> for Failure {
    fn from(error: InvalidRequest) -> Self {
        let clock = matches!(error, InvalidRequest::FutureContext { .. });
        Self::new(
            if clock { Exit::Error } else { Exit::Usage },
            error.to_string(),
        )
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        let what = error.to_string();
        let unavailable = || Self::new(Exit::Unavailable, what.clone());
        match error {
            ReadError::Invalid(invalid) => invalid.into(),
            ReadError::Unavailable { attempts, .. } => match verdict(&attempts) {
                Some(exit) => Self::new(exit, what),
                None => unavailable().hint(
                    "try again, look at `quoit status`, or read from fewer replicas with `--consistency one`",
                ),
            },
            ReadError::Unstable { attempts, .. } => match verdict(&attempts) {
                Some(exit @ Exit::Conflict) => Self::new(exit, what).hint(
                    "its replicas hold more than one of them may: read it with `--consistency one` and put the key again, or delete it",
                ),
                _ => unavailable().hint("try again; nothing was changed"),
            },
            _ => Self::new(Exit::Error, what),
        }
    }
}

impl From<WatchError> for Failure {
    fn from(error: WatchError) -> Self {
        let what = error.to_string();
        match error {
            WatchError::Invalid(invalid) => invalid.into(),
            WatchError::Token(_) => Self::new(Exit::Usage, what),
            _ => Self::new(Exit::Error, what),
        }
    }
}

impl From<ScanError> for Failure {
    fn from(error: ScanError) -> Self {
        let what = error.to_string();
        match error {
            ScanError::Invalid(InvalidScan::Request(invalid)) => invalid.into(),
            ScanError::Invalid(_) | ScanError::Token(_) => Self::new(Exit::Usage, what),
            ScanError::Unavailable { .. } => Self::new(Exit::Unavailable, what).hint(
                "what was printed is true and is not all: try again, look at `quoit status`, or ask one owner of each key with `--consistency one`",
            ),
            ScanError::Read { source, .. } => Self {
                what,
                ..source.into()
            },
            _ => Self::new(Exit::Error, what),
        }
    }
}

/// What is left to do where nobody can say what became of a write.
const READ_IT: &str = "read the key with `--consistency linearizable`, and go by what is there";

impl From<WriteError> for Failure {
    fn from(error: WriteError) -> Self {
        let (stored, what) = (error.stored(), error.to_string());
        let ends = |exit| Self::new(exit, what.clone());
        let failure = match error {
            WriteError::Invalid(invalid) => invalid.into(),
            WriteError::NotStored { attempts, .. } => match verdict(&attempts) {
                Some(exit) => ends(exit),
                None => {
                    ends(Exit::Unavailable).hint("nothing was stored, so it is safe to try again; look at `quoit status`")
                }
            },
            WriteError::UnderReplicated { .. } => {
                ends(Exit::Unknown).hint("it is on too few replicas, and repair spreads it; repeating it is another write, which replaces later ones")
            }
            WriteError::Undecided { operation, .. } => ends(Exit::Unknown)
                .hint(format!("it may have happened: `quoit outcome {operation}` finds out, and bars it if it has not")),
            WriteError::Replaced { .. } => ends(Exit::Unknown).hint(READ_IT),
            WriteError::Unknown { .. } | WriteError::Abandoned => ends(Exit::Unknown).hint(
                "the write may be stored: read the key to find out; repeating it is another write, which replaces later ones",
            ),
            _ => ends(Exit::Error),
        };
        failure.stored(stored)
    }
}

impl From<SwapError> for Failure {
    fn from(error: SwapError) -> Self {
        let (stored, what) = (error.stored(), error.to_string());
        let ends = |exit| Self::new(exit, what.clone());
        let failure = match error {
            SwapError::Invalid(invalid) => invalid.into(),
            SwapError::NotApplied { attempts, .. } => match verdict(&attempts) {
                Some(exit) => ends(exit),
                None => {
                    ends(Exit::Unavailable).hint("nothing was written, so it is safe to try again; look at `quoit status`")
                }
            },
            SwapError::Unknown { operation, .. } => ends(Exit::Unknown)
                .hint(format!("it may have happened: `quoit outcome {operation}` finds out, and bars it if it has not")),
            SwapError::Replaced { .. } | SwapError::Abandoned => ends(Exit::Unknown).hint(READ_IT),
            _ => ends(Exit::Error),
        };
        failure.stored(stored)
    }
}

/// How a request ends that was refused for what it is, not for the state the nodes are in.
fn verdict(attempts: &[Attempt]) -> Option<Exit> {
    attempts.iter().find_map(|attempt| match attempt.outcome {
        Outcome::Refused(
            Refusal::TooManySiblings { .. }
            | Refusal::RecordTooLarge { .. }
            | Refusal::SeenTooLarge { .. },
        ) => Some(Exit::Conflict),
        Outcome::Refused(Refusal::ValueTooLarge { .. } | Refusal::BadKey { .. }) => {
            Some(Exit::Usage)
        }
        Outcome::Refused(Refusal::Forbidden | Refusal::ClockAhead { .. })
        | Outcome::ClockBehind { .. }
        | Outcome::AnswerTooLong { .. } => Some(Exit::Error),
        _ => None,
    })
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        let exit = match error {
            ConnectError::NoSeedAnswered { .. } => Exit::Unavailable,
            ConnectError::Setting { .. } => Exit::Usage,
            _ => Exit::Error,
        };
        Self {
            exit,
            ..Self::caused(&error)
        }
    }
}

/// Lines of a dead node's log that are shown.
const LOG_LINES: usize = 5;

impl From<ClusterError> for Failure {
    fn from(error: ClusterError) -> Self {
        match error {
            ClusterError::Layout(error) => (*error).into(),
            ClusterError::Ended {
                name, status, log, ..
            } => Self::new(Exit::Error, format!("{name} ended with {status}"))
                .hint(format!("its log ends with: {}", log.in_one_line(LOG_LINES))),
            ClusterError::Start { ref source, .. } => {
                let failure = Self {
                    exit: start_exit(source),
                    ..Self::caused(&error)
                };
                if in_use(source) {
                    failure.hint("is this cluster running already, or is its port taken?")
                } else {
                    failure
                }
            }
            ClusterError::Stop { source, .. } => Self::caused(&*source),
            ClusterError::Config { source, .. } => (*source).into(),
            other => Self::caused(&other),
        }
    }
}

/// Whether another process has what the node needs. Only some of what [may pass](StartError::may_pass) is that: a clock
/// that is behind is not.
fn in_use(error: &StartError) -> bool {
    error.may_pass()
        && !matches!(
            error,
            StartError::ClockBehind { .. } | StartError::Thread(_)
        )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use quoit_client::SentWrite;
    use quoit_node::identity::IdentityError;
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
    fn a_write_says_whether_it_could_exist_and_the_code_agrees() {
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
        let table: [(Failure, Exit, Stored); 5] = [
            (
                not_stored(Outcome::Unreachable),
                Exit::Unavailable,
                Stored::No,
            ),
            (thin.into(), Exit::Unknown, Stored::UnderReplicated),
            (unknown.into(), Exit::Unknown, Stored::Maybe),
            (WriteError::Abandoned.into(), Exit::Unknown, Stored::Maybe),
            (WriteError::Closed.into(), Exit::Error, Stored::No),
        ];
        for (failure, exit, stored) in table {
            assert_eq!(
                (failure.exit, failure.stored),
                (exit, Some(stored)),
                "{}",
                failure.what
            );
        }
    }

    #[test]
    fn a_request_that_cannot_be_meant_is_a_usage_error() {
        let empty: Failure = WriteError::from(InvalidRequest::EmptyKey).into();
        assert_eq!((empty.exit, empty.stored), (Exit::Usage, Some(Stored::No)));
        let far: Failure = InvalidRequest::OutOfRange {
            what: "r",
            asked: 9,
            n: 3,
        }
        .into();
        assert_eq!(far.exit, Exit::Usage);
        let clock: Failure = InvalidRequest::FutureContext {
            ahead_ms: 9,
            max_ms: 5,
        }
        .into();
        assert_eq!(
            clock.exit,
            Exit::Error,
            "the request is fine, the clock is not"
        );
    }

    #[test]
    fn what_the_nodes_refuse_for_good_is_not_unavailability() {
        let many = not_stored(Outcome::Refused(Refusal::TooManySiblings { max: 64 }));
        assert_eq!(many.exit, Exit::Conflict);
        let large = not_stored(Outcome::Refused(Refusal::ValueTooLarge {
            bytes: 2,
            max: 1,
        }));
        assert_eq!(large.exit, Exit::Usage);
        let busy = not_stored(Outcome::Refused(Refusal::Overloaded { queue_ms: 9 }));
        assert_eq!(busy.exit, Exit::Unavailable);
    }

    #[test]
    fn a_read_that_found_too_few_nodes_is_unavailable() {
        let attempts = attempts(Outcome::TimedOut);
        let failure: Failure = ReadError::Unavailable {
            answered: 1,
            needed: 2,
            attempts,
        }
        .into();
        assert_eq!((failure.exit, failure.stored), (Exit::Unavailable, None));
        assert!(
            failure.what.contains("node-1: no answer in time"),
            "{}",
            failure.what
        );
    }

    #[test]
    fn a_start_is_said_to_be_in_somebodys_way_only_if_it_is() {
        let failure = |source: StartError| {
            Failure::from(ClusterError::Start {
                name: "node-1".into(),
                source: Box::new(source),
            })
        };
        let taken = StartError::PortInUse {
            address: ([127, 0, 0, 1], 1).into(),
        };
        let used = StartError::Identity(IdentityError::InUse { path: "d".into() });
        for error in [taken, used] {
            let failure = failure(error);
            assert_eq!(failure.exit, Exit::TryLater);
            let hint = failure.hint.unwrap();
            assert!(hint.contains("running already"), "{hint}");
        }
        let behind = StartError::ClockBehind {
            behind: Duration::from_secs(9),
            allowed: Duration::from_secs(1),
        };
        for (error, exit) in [(behind, Exit::TryLater), (StartError::NoMap, Exit::Usage)] {
            let failure = failure(error);
            assert_eq!(
                (failure.exit, failure.hint),
                (exit, None),
                "{}",
                failure.what
            );
        }
    }

    #[test]
    fn causes_are_shown_once() {
        let inner = std::io::Error::other("the disk is on fire");
        let outer = ConnectError::System(inner);
        let text = Failure::from(outer).what;
        assert_eq!(text.matches("the disk is on fire").count(), 1, "{text}");
    }
}
