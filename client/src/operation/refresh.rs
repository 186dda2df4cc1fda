//! A newer ring: noticed by the epoch of a response, fetched from the node that sent it.
//!
//! One request at a time, with a deadline of one second. The map is taken if it is one of this cluster and newer than
//! the ring in force; operations under way go on with the one they began with.

use std::sync::Arc;
use std::time::Duration;

use quoit_ring::NodeId;
use quoit_ring::placement::Ring;
use quoit_ring::wire::map::decode_map;
use quoit_ring::wire::{Request, Response, ResponseFrame};
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

/// A map on its way.
#[derive(Debug)]
pub(crate) struct Refresh {
    requests: Requests,
}

/// It ends, whatever came: the next response of a newer epoch starts another.
const fn give_up(cx: &mut OpContext) -> Progress {
    debug_assert!(cx.is_refreshing, "set when it started");
    cx.is_refreshing = false;
    Progress::Over
}

impl Handler for Refresh {
    type Submitted = NodeId;

    fn start(from: NodeId, key: Key, cx: &mut OpContext) -> Option<Self> {
        debug_assert!(!cx.is_refreshing, "one at a time");
        cx.is_refreshing = true;
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
        let ring = decode_map(&bytes).ok().and_then(|map| Ring::new(&map).ok());
        let is_newer = |ring: &Ring| {
            ring.epoch() > cx.ring.epoch() && ring.map().cluster == cx.ring.map().cluster
        };
        if let Some(ring) = ring.filter(is_newer) {
            cx.ring = Arc::new(ring);
            cx.ring_is_new = true;
        }
        give_up(cx)
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
