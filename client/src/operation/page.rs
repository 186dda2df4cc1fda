//! One page of a scan, from one node.
//!
//! ```text
//!   Request::Scan --> the node --> a page, with the node's clock
//!                        |-- it has not learned of the epoch: asked again in a while
//!                        |-- it has gone on: waits for the newer ring, and says so
//!                        '-- refused, lost, silent: why not
//! ```
//!
//! A page counts in the epoch that it was asked in, and in no other: who sends which rows depends on that. Left out: what
//! pages say together (`scan`).

use std::time::Duration;

use quoit_ring::wire::{Request, Response, ResponseFrame, ScanPage, ScanRequest};
use quoit_ring::{Epoch, Millis, NodeId};
use smallvec::smallvec;
use tokio::sync::OwnedSemaphorePermit;

use crate::coordinator::context::OpContext;
use crate::coordinator::request_id::Purpose;
use crate::coordinator::slab::Key;
use crate::error::{OTHER_QUESTION, Outcome};
use crate::metrics::{End, Kind, RequestKind};
use crate::operation::requests::{Caller, Requests};
use crate::operation::{Handler, Progress};
use crate::reply::Reply;

/// What came of it.
#[derive(Debug)]
pub(crate) enum PageAnswer {
    /// The page, and the node's clock when it was read.
    Page(ScanPage, Millis),
    /// The client knows of a newer epoch.
    Moved,
    /// Why there is none.
    Failed(Outcome),
}

/// Which page.
#[derive(Debug)]
pub(crate) struct Submitted {
    pub(crate) node: NodeId,
    pub(crate) epoch: Epoch,
    pub(crate) request: ScanRequest,
    pub(crate) deadline: Duration,
    pub(crate) caller: Caller<PageAnswer>,
}

/// A page that is waited for.
#[derive(Debug)]
pub(crate) struct Page {
    requests: Requests,
    reply: Option<(Kind, Reply<PageAnswer>)>,
    _permit: OwnedSemaphorePermit,
    /// Kept for a node that is behind.
    request: ScanRequest,
}

impl Page {
    fn answer(&mut self, answer: PageAnswer, cx: &mut OpContext) -> Progress {
        if let Some(reply) = self.reply.take() {
            let end = match answer {
                PageAnswer::Page(..) | PageAnswer::Moved => End::Ok,
                PageAnswer::Failed(_) => End::Failed,
            };
            self.requests.answer(reply, end, answer, cx);
        }
        Progress::Over
    }

    fn ask(&mut self, cx: &mut OpContext) {
        let request = Request::Scan(self.request.clone());
        let what = (Purpose::Ask, RequestKind::Ask);
        self.requests.send(0, what, request, cx);
    }
}

impl Handler for Page {
    type Submitted = Submitted;

    fn start(submitted: Submitted, key: Key, cx: &mut OpContext) -> Option<Self> {
        let Submitted {
            node,
            epoch,
            request,
            deadline,
            caller,
        } = submitted;
        if cx.topology.epoch() != epoch {
            caller.answer_at_once(End::Ok, PageAnswer::Moved, cx);
            return None;
        }
        let mut page = Self {
            requests: Requests::new(key, smallvec![node], deadline, caller.trace, cx),
            reply: Some((caller.kind, caller.reply)),
            _permit: caller.permit,
            request,
        };
        page.ask(cx);
        Some(page)
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
            Response::Scan(page) => PageAnswer::Page(page, clock),
            Response::Refused(refusal) => PageAnswer::Failed(Outcome::of_question(refusal)),
            _ => PageAnswer::Failed(Outcome::Damaged(OTHER_QUESTION)),
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
        self.answer(PageAnswer::Failed(outcome), cx)
    }

    fn on_time(&mut self, cx: &mut OpContext) -> Progress {
        if self.requests.is_expired(cx) {
            let refusal = self.requests.take_refusals().next();
            let outcome = refusal.map_or(Outcome::TimedOut, |(_, outcome)| outcome);
            return self.answer(PageAnswer::Failed(outcome), cx);
        }
        if !self.requests.take_behind(cx).is_empty() {
            self.ask(cx);
        }
        Progress::Pending
    }

    fn on_epoch(&mut self, cx: &mut OpContext) -> Progress {
        self.answer(PageAnswer::Moved, cx)
    }
}
