//! One poll of a subscription, at one node.
//!
//! ```text
//!   Request::Watch --> the node --> keys that have changed, once some have, or none after a second or two
//!                         |-- it has not learned of the epoch: asked again in a while
//!                         |-- it has gone on: waits for the newer ring, and says so
//!                         '-- refused, lost, silent: why not
//! ```
//!
//! It ends early once nobody waits for it. It is no operation of a caller's, and not counted among those: how long it takes says
//! how seldom a key changes. Left out: what the answers of many nodes say together (`watch`).

use std::time::Duration;

use quoit_ring::wire::{Request, Response, ResponseFrame, WatchAnswer, WatchRequest};
use quoit_ring::{Epoch, Millis, Moment, NodeId};
use smallvec::smallvec;
use tokio::sync::OwnedSemaphorePermit;

use crate::coordinator::context::OpContext;
use crate::coordinator::request_id::Purpose;
use crate::coordinator::slab::Key;
use crate::error::{OTHER_QUESTION, Outcome};
use crate::metrics::RequestKind;
use crate::operation::requests::{Caller, Requests};
use crate::operation::{Handler, Progress};
use crate::reply::Reply;

/// A node answers after two seconds at most, however busy its disk is not; one that takes longer has failed.
const DEADLINE: Duration = Duration::from_secs(5);

/// What came of it, and when.
pub(crate) type Polled = (Moment, PollAnswer);

/// What came of it.
#[derive(Debug)]
pub(crate) enum PollAnswer {
    /// What has changed, and the node's clock.
    Heard(WatchAnswer, Millis),
    /// The client knows of a newer epoch.
    Moved,
    /// Why there is nothing.
    Failed(Outcome),
}

/// Which poll.
#[derive(Debug)]
pub(crate) struct Submitted {
    pub(crate) node: NodeId,
    pub(crate) epoch: Epoch,
    pub(crate) request: WatchRequest,
    pub(crate) caller: Caller<Polled>,
}

/// A poll that is waited for.
#[derive(Debug)]
pub(crate) struct Poll {
    requests: Requests,
    reply: Option<Reply<Polled>>,
    _permit: OwnedSemaphorePermit,
    /// Kept for a node that is behind.
    request: WatchRequest,
}

impl Poll {
    fn answer(&mut self, answer: PollAnswer, cx: &mut OpContext) -> Progress {
        if let Some(reply) = self.reply.take() {
            cx.answers.push_back(reply.set((cx.now.at, answer)));
        }
        Progress::Over
    }

    fn ask(&mut self, cx: &mut OpContext) {
        let request = Request::Watch(self.request.clone());
        let what = (Purpose::Ask, RequestKind::Ask);
        self.requests.send(0, what, request, cx);
    }
}

impl Handler for Poll {
    type Submitted = Submitted;

    fn start(submitted: Submitted, key: Key, cx: &mut OpContext) -> Option<Self> {
        let Submitted {
            node,
            epoch,
            request,
            caller,
        } = submitted;
        let mut poll = Self {
            requests: Requests::new(key, smallvec![node], DEADLINE, caller.trace, cx),
            reply: Some(caller.reply),
            _permit: caller.permit,
            request,
        };
        if cx.topology.epoch() != epoch {
            let _over = poll.answer(PollAnswer::Moved, cx);
            return None;
        }
        poll.ask(cx);
        Some(poll)
    }

    fn requests(&mut self) -> &mut Requests {
        &mut self.requests
    }

    fn on_response(
        &mut self,
        replica: usize,
        _purpose: Purpose,
        frame: ResponseFrame,
        cx: &mut OpContext,
    ) -> Progress {
        if self.requests.refuses_epoch(replica, &frame.response, cx) {
            return Progress::Pending;
        }
        let clock = frame.clock.millis();
        let answer = match frame.response {
            Response::Watch(answer) => PollAnswer::Heard(answer, clock),
            Response::Refused(refusal) => PollAnswer::Failed(Outcome::of_question(refusal)),
            _ => PollAnswer::Failed(Outcome::Damaged(OTHER_QUESTION)),
        };
        self.answer(answer, cx)
    }

    fn on_failure(
        &mut self,
        _replica: usize,
        _purpose: Option<Purpose>,
        outcome: Outcome,
        cx: &mut OpContext,
    ) -> Progress {
        self.answer(PollAnswer::Failed(outcome), cx)
    }

    fn on_time(&mut self, cx: &mut OpContext) -> Progress {
        if !self.reply.as_ref().is_some_and(Reply::is_awaited) {
            return Progress::Over;
        }
        if self.requests.is_expired(cx) {
            let refusal = self.requests.take_refusals().next();
            let outcome = refusal.map_or(Outcome::TimedOut, |(_, outcome)| outcome);
            return self.answer(PollAnswer::Failed(outcome), cx);
        }
        if !self.requests.take_behind(cx).is_empty() {
            self.ask(cx);
        }
        Progress::Pending
    }

    fn on_epoch(&mut self, cx: &mut OpContext) -> Progress {
        self.answer(PollAnswer::Moved, cx)
    }
}
