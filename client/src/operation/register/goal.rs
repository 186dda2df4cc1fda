//! What is wanted of a register, and what follows from what is there. Pure, but for the answer.
//!
//! ```text
//!                 joined state    own write in it       condition does not hold    it holds
//!   Read          returned        -                     -                          -
//!   Swap          -               applied               mismatch                   written
//!   Settle        -               applied               not applied                -
//! ```

use std::time::Duration;

use bytes::Bytes;
use quoit_ring::register::Joined;
use quoit_ring::{Dot, Millis, Record};

use crate::conditional::{Applied, Compared, ConditionalOp, Settled, SwapError};
use crate::coordinator::context::OpContext;
use crate::entry::{Context, Entry};
use crate::error::{Attempt, InvalidRequest, ReadError};
use crate::metrics::{End, Kind};
use crate::operation::plan;
use crate::operation::read::ReadResult;
use crate::operation::requests::Requests;
use crate::reply::Reply;

/// What a conditional write returns.
pub(crate) type SwapResult = Result<Compared, SwapError>;
/// What settling one returns.
pub(crate) type SettleResult = Result<Settled, ReadError>;

/// What must be there for a write to be made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Condition {
    /// Whatever is there.
    #[default]
    Any,
    /// No value.
    Absent,
    /// This value and no other.
    Value(Bytes),
    /// The very versions that were read.
    Unchanged(Context),
}

impl Condition {
    /// What was read, if that is to be there still.
    pub(crate) const fn context(&self) -> Option<&Context> {
        match self {
            Self::Unchanged(context) => Some(context),
            Self::Any | Self::Absent | Self::Value(_) => None,
        }
    }

    /// Whether it holds of a record in which nothing has expired.
    pub(crate) fn holds(&self, record: &Record) -> bool {
        match self {
            Self::Any => true,
            Self::Absent => record.live().is_empty(),
            Self::Value(value) => match record.live() {
                [only] => only.value.as_ref() == Some(value),
                _ => false,
            },
            Self::Unchanged(context) => context.is_of(record),
        }
    }
}

/// A write under a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Swap {
    pub(crate) condition: Condition,
    /// None deletes.
    pub(crate) value: Option<Bytes>,
    pub(crate) ttl: Option<Duration>,
}

/// What is wanted, and who waits for it.
#[derive(Debug)]
pub(crate) enum Goal {
    /// To read it.
    Read(Reply<ReadResult>),
    /// To write it, if a condition holds.
    Swap(Swap, Reply<SwapResult>),
    /// To find out what became of these writes, and bar them if they have not happened.
    Settle(Vec<Dot>, Reply<SettleResult>),
}

/// What follows from what a majority holds.
#[derive(Debug)]
pub(super) enum Decision {
    /// That is all.
    Answer(Finding),
    /// This, once a majority has accepted what is there.
    Keep(Finding),
    /// Write this on top.
    Write {
        value: Option<Bytes>,
        ttl: Option<Duration>,
    },
}

/// How it ends.
#[derive(Debug, Clone)]
pub(super) enum Finding {
    /// This is there.
    Found(Record),
    /// The write has happened, and this is there, or was at some time since.
    Applied(Dot, Record),
    /// The writes have not happened, and will not.
    Barred,
    /// Something that has seen everything of before has replaced what was there: nobody knows any more.
    Forgotten,
    /// The request is invalid.
    Invalid(InvalidRequest),
    /// The deadline has passed.
    GaveUp {
        answered: usize,
        needed: usize,
        attempts: Vec<Attempt>,
    },
}

impl Goal {
    /// Checks what is asked for, before anybody is asked.
    pub(super) fn check(&self) -> Result<(), InvalidRequest> {
        match self {
            Self::Swap(swap, _) => plan::expiry(swap.ttl, Millis(0)).map(drop),
            Self::Read(_) | Self::Settle(..) => Ok(()),
        }
    }

    /// What follows from what a majority holds, in which `own` was proposed before.
    pub(super) fn decide(&self, joined: &Joined, own: &[Dot]) -> Decision {
        let record = &joined.record;
        let is_named = |dot: &&Dot| record.seen().names(**dot);
        // Whatever a majority agrees on is chosen: it needs not be proposed again. Not so where something of one's own may be
        // pending elsewhere: a round of its own bars that.
        let answer = |finding: Finding| match joined.agreed {
            true => Decision::Answer(finding),
            false => Decision::Keep(finding),
        };
        match self {
            Self::Read(_) => answer(Finding::Found(record.clone())),
            Self::Swap(swap, _) => {
                if let Some(&dot) = own.iter().rev().find(is_named) {
                    answer(Finding::Applied(dot, record.clone()))
                } else if own.iter().any(|dot| record.seen().contains(*dot)) {
                    // It may have happened and been replaced since by what has seen everything: a put without a context.
                    Decision::Keep(Finding::Forgotten)
                } else if swap.condition.holds(record) {
                    Decision::Write {
                        value: swap.value.clone(),
                        ttl: swap.ttl,
                    }
                } else if own.is_empty() {
                    answer(Finding::Found(record.clone()))
                } else {
                    Decision::Keep(Finding::Found(record.clone()))
                }
            }
            Self::Settle(dots, _) => {
                if let Some(&dot) = dots.iter().rev().find(is_named) {
                    answer(Finding::Applied(dot, record.clone()))
                } else if dots.iter().any(|dot| record.seen().contains(*dot)) {
                    // Below the floor of a put without a context, or of the leaf: it may have happened before.
                    Decision::Keep(Finding::Forgotten)
                } else {
                    Decision::Keep(Finding::Barred)
                }
            }
        }
    }

    /// Answers who waits.
    pub(super) fn answer(
        self,
        (finding, acked): (Finding, usize),
        (key, own): (&Bytes, &[Dot]),
        (requests, kind): (&mut Requests, Kind),
        cx: &mut OpContext,
    ) {
        match self {
            Self::Read(reply) => {
                let result: ReadResult = match finding {
                    Finding::Found(record) | Finding::Applied(_, record) => Ok(record),
                    Finding::Invalid(invalid) => Err(invalid.into()),
                    other => Err(unavailable(other)),
                };
                requests.answer((kind, reply), End::from(&result), result, cx);
            }
            Self::Swap(_, reply) => {
                let result: SwapResult = match finding {
                    Finding::Applied(dot, record) => Ok(Compared::Applied(Applied {
                        dot,
                        acked,
                        context: Context::of(&record),
                    })),
                    Finding::Found(record) => Ok(Compared::Mismatch(Entry::of(&record))),
                    Finding::Invalid(invalid) => Err(invalid.into()),
                    Finding::GaveUp {
                        needed, attempts, ..
                    } => Err(if own.is_empty() {
                        SwapError::NotApplied { needed, attempts }
                    } else {
                        let operation = ConditionalOp::new(key.clone(), own.to_vec());
                        SwapError::Unknown {
                            needed,
                            attempts,
                            operation,
                        }
                    }),
                    Finding::Forgotten | Finding::Barred => Err(SwapError::Replaced {
                        operation: ConditionalOp::new(key.clone(), own.to_vec()),
                    }),
                };
                requests.answer((kind, reply), End::from(&result), result, cx);
            }
            Self::Settle(_, reply) => {
                let result: SettleResult = match finding {
                    Finding::Applied(dot, record) => Ok(Settled::Applied(Applied {
                        dot,
                        acked,
                        context: Context::of(&record),
                    })),
                    Finding::Barred => Ok(Settled::NotApplied),
                    Finding::Forgotten | Finding::Found(_) => Ok(Settled::Forgotten),
                    Finding::Invalid(invalid) => Err(invalid.into()),
                    other @ Finding::GaveUp { .. } => Err(unavailable(other)),
                };
                requests.answer((kind, reply), End::from(&result), result, cx);
            }
        }
    }
}

fn unavailable(finding: Finding) -> ReadError {
    match finding {
        Finding::GaveUp {
            answered,
            needed,
            attempts,
            ..
        } => ReadError::Unavailable {
            answered,
            needed,
            attempts,
        },
        _ => ReadError::Closed,
    }
}
