//! A newer ring: noticed by the epoch of a response, fetched from the node that sent it.
//!
//! ```text
//!   response of a newer epoch --> Request::Map --> a newer ring of this cluster: taken
//!                                              '-> none: the next such response asks after a pause, 0.1 to 10 s
//! ```
//!
//! One request at a time, with a deadline of one second. The map is taken if it is one of this cluster and newer than
//! the ring in force; then operations under way begin again in its epoch. A node whose map cannot be used says so
//! with each response, so further requests wait ever longer.

use std::time::Duration;

use quoit_ring::wire::configuration::decode_answer;
use quoit_ring::wire::{Request, Response, ResponseFrame};
use quoit_ring::{Moment, NodeId};
use smallvec::smallvec;

use crate::coordinator::context::OpContext;
use crate::coordinator::request_id::Purpose;
use crate::coordinator::slab::Key;
use crate::error::Outcome;
use crate::metrics::RequestKind;
use crate::operation::requests::Requests;
use crate::operation::{Handler, Progress};

/// How long the node has.
const DEADLINE: Duration = Duration::from_secs(1);

/// The pause behind the first request that brought nothing, in microseconds, and the longest.
const PAUSES: [u64; 2] = [100_000, 10_000_000];

/// A map on its way.
#[derive(Debug)]
pub(crate) struct Refresh {
    requests: Requests,
}

/// When a newer map may be asked for.
#[derive(Debug, Default)]
pub(crate) struct RefreshPause {
    is_under_way: bool,
    /// Not before.
    until: Moment,
    /// The last pause, in microseconds; 0 if the last request brought a ring.
    pause: u64,
}

impl RefreshPause {
    /// Whether one may begin.
    pub(crate) fn is_over(&self, now: Moment) -> bool {
        !self.is_under_way && self.until <= now
    }

    /// It has ended; whether it brought a ring.
    fn ended(&mut self, has_brought: bool, now: Moment) {
        debug_assert!(self.is_under_way, "set when it started");
        let [first, longest] = PAUSES;
        self.pause = if has_brought {
            0
        } else {
            (2 * self.pause).clamp(first, longest)
        };
        (self.is_under_way, self.until) = (false, now.after(self.pause));
    }
}

/// It brought no ring.
fn give_up(cx: &mut OpContext) -> Progress {
    cx.refresh.ended(false, cx.now.at);
    Progress::Over
}

impl Handler for Refresh {
    type Submitted = NodeId;

    fn start(from: NodeId, key: Key, cx: &mut OpContext) -> Option<Self> {
        debug_assert!(!cx.refresh.is_under_way, "one at a time");
        cx.refresh.is_under_way = true;
        let mut requests = Requests::new(key, smallvec![from], DEADLINE, None, cx);
        requests.send(0, (Purpose::Ask, RequestKind::Ask), Request::Map, cx);
        Some(Self { requests })
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
        let Response::Map(bytes) = frame.response else {
            return give_up(cx);
        };
        let answer = decode_answer(&bytes).ok();
        let Some(known) = answer.and_then(|answer| cx.known.next(answer).ok()) else {
            return give_up(cx);
        };
        cx.topology = known.topology().clone();
        cx.known = known;
        (cx.is_new_epoch, cx.has_moved_on) = (true, true);
        cx.refresh.ended(true, cx.now.at);
        Progress::Over
    }

    fn on_failure(
        &mut self,
        _replica: usize,
        _purpose: Option<Purpose>,
        _outcome: Outcome,
        cx: &mut OpContext,
    ) -> Progress {
        give_up(cx)
    }

    fn on_time(&mut self, cx: &mut OpContext) -> Progress {
        if self.requests.is_expired(cx) {
            return give_up(cx);
        }
        Progress::Pending
    }
}
