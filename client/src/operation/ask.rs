//! One question to one node, and its answer as it came.
//!
//! ```text
//!   AskNode --Request--> the node --Response--> the caller, with how long it took
//!                                \-no connection, lost, silent--> why not
//! ```
//!
//! Left out: what the answer means, which is the caller's to say.

use std::time::Duration;

use quoit_ring::wire::{Request, Response, ResponseFrame};
use quoit_ring::{Epoch, NodeId};
use smallvec::smallvec;
use tokio::sync::OwnedSemaphorePermit;

use crate::coordinator::context::OpContext;
use crate::coordinator::request_id::Purpose;
use crate::coordinator::slab::Key;
use crate::error::{NodeError, Outcome};
use crate::metrics::{End, Kind, RequestKind};
use crate::operation::requests::{Caller, Requests};
use crate::operation::{Handler, Progress};
use crate::reply::Reply;

/// A node's answer, and how long it took.
pub(crate) type NodeAnswer = (Duration, Result<Response, NodeError>);

/// The question.
#[derive(Debug)]
pub(crate) struct Submitted {
    pub(crate) node: NodeId,
    pub(crate) request: Request,
    /// Of the frame; `None` is the one that this client knows.
    pub(crate) epoch: Option<Epoch>,
    pub(crate) deadline: Duration,
    pub(crate) caller: Caller<NodeAnswer>,
}

/// A question that waits for its answer.
#[derive(Debug)]
pub(crate) struct Ask {
    requests: Requests,
    reply: Option<(Kind, Reply<NodeAnswer>)>,
    _permit: OwnedSemaphorePermit,
}

impl Ask {
    fn answer(&mut self, result: Result<Response, NodeError>, cx: &mut OpContext) -> Progress {
        if let Some(reply) = self.reply.take() {
            let (end, elapsed) = (End::from(&result), self.requests.elapsed(cx));
            self.requests.answer(reply, end, (elapsed, result), cx);
        }
        Progress::Over
    }
}

impl Handler for Ask {
    type Submitted = Submitted;

    fn start(submitted: Submitted, key: Key, cx: &mut OpContext) -> Option<Self> {
        let Submitted {
            node,
            request,
            epoch,
            deadline,
            caller,
        } = submitted;
        let mut ask = Self {
            requests: Requests::new(key, smallvec![node], deadline, caller.trace, cx),
            reply: Some((caller.kind, caller.reply)),
            _permit: caller.permit,
        };
        let what = (Purpose::Ask, RequestKind::Ask);
        let epoch = epoch.unwrap_or_else(|| cx.topology.epoch());
        ask.requests.send_as_of(epoch, (0, what), request, cx);
        Some(ask)
    }

    fn requests(&mut self) -> &mut Requests {
        &mut self.requests
    }

    fn on_response(
        &mut self,
        _replica: usize,
        _purpose: Purpose,
        frame: ResponseFrame,
        cx: &mut OpContext,
    ) -> Progress {
        self.answer(Ok(frame.response), cx)
    }

    fn on_failure(
        &mut self,
        _replica: usize,
        _purpose: Option<Purpose>,
        outcome: Outcome,
        cx: &mut OpContext,
    ) -> Progress {
        self.answer(Err(NodeError::Failed(outcome)), cx)
    }

    fn on_time(&mut self, cx: &mut OpContext) -> Progress {
        if self.requests.is_expired(cx) {
            return self.answer(Err(NodeError::Failed(Outcome::TimedOut)), cx);
        }
        Progress::Pending
    }
}
