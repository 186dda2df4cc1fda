//! A moment that is waited for: no request, and no node.
//!
//! What lives on a caller's task has no clock of its own. This gives it the driver's, which in a simulation is the
//! simulated one.

use std::time::Duration;

use quoit_ring::Moment;
use quoit_ring::wire::ResponseFrame;
use smallvec::smallvec;
use tokio::sync::OwnedSemaphorePermit;

use crate::coordinator::context::OpContext;
use crate::coordinator::request_id::Purpose;
use crate::coordinator::slab::Key;
use crate::error::Outcome;
use crate::operation::requests::{Caller, Requests};
use crate::operation::{Handler, Progress};
use crate::reply::Reply;

/// The moment, when it has come, and random bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Woken {
    pub(crate) at: Moment,
    pub(crate) random: u64,
}

/// Until when.
#[derive(Debug)]
pub(crate) struct Submitted {
    pub(crate) until: Moment,
    pub(crate) caller: Caller<Woken>,
}

/// A moment that is waited for.
#[derive(Debug)]
pub(crate) struct Pause {
    requests: Requests,
    reply: Option<Reply<Woken>>,
    _permit: OwnedSemaphorePermit,
}

impl Pause {
    fn answer(&mut self, cx: &mut OpContext) -> Progress {
        if let Some(reply) = self.reply.take() {
            let woken = Woken {
                at: cx.now.at,
                random: cx.now.random,
            };
            cx.answers.push_back(reply.set(woken));
        }
        Progress::Over
    }
}

impl Handler for Pause {
    type Submitted = Submitted;

    fn start(Submitted { until, caller }: Submitted, key: Key, cx: &mut OpContext) -> Option<Self> {
        let left = Duration::from_micros(until.since(cx.now.at));
        let mut pause = Self {
            requests: Requests::new(key, smallvec![], left, caller.trace, cx),
            reply: Some(caller.reply),
            _permit: caller.permit,
        };
        match pause.on_time(cx) {
            Progress::Pending => Some(pause),
            Progress::Over => None,
        }
    }

    fn requests(&mut self) -> &mut Requests {
        &mut self.requests
    }

    fn on_response(
        &mut self,
        _replica: usize,
        _purpose: Purpose,
        _frame: ResponseFrame,
        _cx: &mut OpContext,
    ) -> Progress {
        Progress::Pending
    }

    fn on_failure(
        &mut self,
        _replica: usize,
        _purpose: Option<Purpose>,
        _outcome: Outcome,
        _cx: &mut OpContext,
    ) -> Progress {
        Progress::Pending
    }

    fn on_time(&mut self, cx: &mut OpContext) -> Progress {
        if !self.reply.as_ref().is_some_and(Reply::is_awaited) {
            return Progress::Over;
        }
        if self.requests.is_expired(cx) {
            return self.answer(cx);
        }
        Progress::Pending
    }
}
