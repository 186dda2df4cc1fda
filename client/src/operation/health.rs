//! What this client knows of the nodes' health: answered where it starts, and asks nobody.

use quoit_ring::wire::ResponseFrame;

use crate::coordinator::context::OpContext;
use crate::coordinator::request_id::Purpose;
use crate::coordinator::slab::Key;
use crate::error::Outcome;
use crate::health::HealthReport;
use crate::metrics::End;
use crate::operation::requests::{Caller, Requests};
use crate::operation::{Handler, Progress};

/// Never under way: it is over once it has started.
#[derive(Debug)]
pub(crate) enum Health {}

impl Handler for Health {
    type Submitted = Caller<HealthReport>;

    fn start(caller: Self::Submitted, _key: Key, cx: &mut OpContext) -> Option<Self> {
        let report = cx.health_report();
        caller.answer_at_once(End::Ok, report, cx);
        None
    }

    fn requests(&mut self) -> &mut Requests {
        match *self {}
    }

    fn on_response(
        &mut self,
        _replica: usize,
        _purpose: Purpose,
        _frame: ResponseFrame,
        _cx: &mut OpContext,
    ) -> Progress {
        match *self {}
    }

    fn on_failure(
        &mut self,
        _replica: usize,
        _purpose: Option<Purpose>,
        _outcome: Outcome,
        _cx: &mut OpContext,
    ) -> Progress {
        match *self {}
    }

    fn on_time(&mut self, _cx: &mut OpContext) -> Progress {
        match *self {}
    }
}
