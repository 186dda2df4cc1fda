//! The operations: one type each, in a file of its own.
//!
//! ```text
//!   a builder (Client::get, ..)                      the coordinator
//!        | permit, then                                   |
//!        v                                                v
//!   Submission::Read(read::Submitted) --start--> Operation::Read(Read) --Over--> dropped
//!                                                  ^
//!                   on_response, on_failure, on_time, on_epoch, on_hedge
//! ```
//!
//! An operation owns all that is its own: its caller's reply, its permit, deadline, targets, attempt, trace and
//! quorum machine. What it shares with others it is lent with each event, as a [`OpContext`]. It is written once, as an
//! implementation of [`Handler`], and registered once, in the list at the end of this file; both enums and their
//! dispatch follow from that, without a box for each operation.
//!
//! | module | what it does |
//! | --- | --- |
//! | `read` | a quorum read with hedges and repair |
//! | `write`, `version`, `handoff` | a quorum write; what it sends; which node keeps it for an owner that missed it |
//! | `epoch` | a write that is sent again in another epoch |
//! | `clock_check` | a write that waits for the time of its owners' clocks |
//! | `register` | a conditional write, or a linearizable read |
//! | `ask` | one question to one node |
//! | `page` | one page of a scan, from one node |
//! | `poll`, `pause` | one poll of a watch, at one node; a moment that is waited for |
//! | `refresh` | fetches a newer ring |
//! | `propose` | has the voters decide on the next epoch |
//! | `health` | what this client knows of the nodes; asks nobody |
//! | `plan` | what a caller wants, as the quorum machines need it |
//! | `requests` | what all of them have: caller, targets, deadline, attempt, trace |

pub(crate) mod ask;
pub(crate) mod clock_check;
mod epoch;
mod handoff;
pub(crate) mod health;
pub(crate) mod page;
pub(crate) mod pause;
pub(crate) mod plan;
pub(crate) mod poll;
pub(crate) mod propose;
pub(crate) mod read;
pub(crate) mod refresh;
pub(crate) mod register;
mod remint;
pub(crate) mod requests;
pub(crate) mod version;
pub(crate) mod write;

use quoit_ring::NodeId;
use quoit_ring::wire::ResponseFrame;

use crate::coordinator::context::{Failure, OpContext};
use crate::coordinator::request_id::{Purpose, RequestId};
use crate::coordinator::slab::Key;
use crate::error::Outcome;

use requests::Requests;

/// Whether an operation goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(crate) enum Progress {
    /// It waits for events.
    Pending,
    /// Nothing more will come of it: drop it.
    Over,
}

/// One kind of operation.
pub(crate) trait Handler: Sized {
    /// What a caller hands over.
    type Submitted;

    /// Starts it under `key`; `None` if it is over already.
    fn start(submitted: Self::Submitted, key: Key, cx: &mut OpContext) -> Option<Self>;

    /// Its requests, by which events find it.
    fn requests(&mut self) -> &mut Requests;

    /// A target responded to the present attempt.
    fn on_response(
        &mut self,
        replica: usize,
        purpose: Purpose,
        frame: ResponseFrame,
        cx: &mut OpContext,
    ) -> Progress;

    /// A target will not answer a request, or with no `purpose` none that it was sent.
    fn on_failure(
        &mut self,
        replica: usize,
        purpose: Option<Purpose>,
        outcome: Outcome,
        cx: &mut OpContext,
    ) -> Progress;

    /// Time has passed: looks at its deadline. Called at each tick.
    fn on_time(&mut self, cx: &mut OpContext) -> Progress;

    /// The cluster has gone on to another epoch: what was answered in earlier ones counts no more. By default nothing,
    /// right for what asks single nodes.
    fn on_epoch(&mut self, _cx: &mut OpContext) -> Progress {
        Progress::Pending
    }

    /// The moment has come that it set with [`Timers::hedge_at`](crate::coordinator::timers::Timers::hedge_at).
    fn on_hedge(&mut self, _cx: &mut OpContext) -> Progress {
        Progress::Pending
    }

    /// Its turn has come, for which it waits in [`Turns`](register::turns::Turns).
    fn on_turn(&mut self, _cx: &mut OpContext) -> Progress {
        Progress::Pending
    }

    /// Passes a response on that is to the present attempt.
    fn receive(
        &mut self,
        (from, id): (NodeId, RequestId),
        frame: ResponseFrame,
        cx: &mut OpContext,
    ) -> Progress {
        if self.requests().accept((from, id), &frame, cx) {
            self.on_response(id.replica, id.purpose, frame, cx)
        } else {
            Progress::Pending
        }
    }

    /// Passes a failure on that is of the present attempt. One that was queued before the write was minted again says
    /// nothing of the new attempt's requests, which may go to other nodes under the same numbers.
    fn fail(&mut self, failure: Failure, cx: &mut OpContext) -> Progress {
        let requests = self.requests();
        requests.trace_failure(&failure, cx);
        if requests.attempt() == failure.attempt {
            self.on_failure(failure.replica, failure.purpose, failure.outcome, cx)
        } else {
            Progress::Pending
        }
    }
}

/// Registers the operations: what callers hand over, what is under way, and which code handles it.
macro_rules! operations {
    ($($name:ident($handler:ty)),+ $(,)?) => {
        /// What a caller hands to the driver: an operation that has not started.
        #[derive(Debug)]
        pub(crate) enum Submission {
            $($name(<$handler as Handler>::Submitted)),+
        }

        /// An operation under way.
        #[derive(Debug)]
        #[expect(
            clippy::large_enum_variant,
            reason = "a slab's slots are used again; a box would be made for each"
        )]
        pub(crate) enum Operation {
            $($name($handler)),+
        }

        impl Operation {
            pub(crate) fn start(submission: Submission, key: Key, cx: &mut OpContext) -> Option<Self> {
                match submission {
                    $(Submission::$name(it) => <$handler>::start(it, key, cx).map(Self::$name)),+
                }
            }

            pub(crate) fn requests(&mut self) -> &mut Requests {
                match self { $(Self::$name(it) => it.requests()),+ }
            }

            pub(crate) fn receive(
                &mut self,
                of: (NodeId, RequestId),
                frame: ResponseFrame,
                cx: &mut OpContext,
            ) -> Progress {
                match self { $(Self::$name(it) => it.receive(of, frame, cx)),+ }
            }

            pub(crate) fn fail(&mut self, failure: Failure, cx: &mut OpContext) -> Progress {
                match self { $(Self::$name(it) => it.fail(failure, cx)),+ }
            }

            pub(crate) fn on_time(&mut self, cx: &mut OpContext) -> Progress {
                match self { $(Self::$name(it) => it.on_time(cx)),+ }
            }

            pub(crate) fn on_epoch(&mut self, cx: &mut OpContext) -> Progress {
                match self { $(Self::$name(it) => it.on_epoch(cx)),+ }
            }

            pub(crate) fn on_hedge(&mut self, cx: &mut OpContext) -> Progress {
                match self { $(Self::$name(it) => it.on_hedge(cx)),+ }
            }

            pub(crate) fn on_turn(&mut self, cx: &mut OpContext) -> Progress {
                match self { $(Self::$name(it) => it.on_turn(cx)),+ }
            }
        }
    };
}

operations! {
    Read(read::Read),
    Write(write::Write),
    ClockCheck(clock_check::ClockCheck),
    Ask(ask::Ask),
    Propose(propose::Propose),
    Register(register::Register),
    Health(health::Health),
    Refresh(refresh::Refresh),
    Page(page::Page),
    Poll(poll::Poll),
    Pause(pause::Pause),
}

impl Submission {
    /// The coordinator's own question for a newer ring.
    pub(crate) const fn refresh(from: NodeId) -> Self {
        Self::Refresh(from)
    }
}
