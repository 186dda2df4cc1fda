//! A newer ring: noticed by the epoch of a response, fetched from the node that sent it.
//!
//! ```text
//!   response of a newer epoch --> Request::Map --> a newer ring of this cluster: taken
//!                                              '-> none: the next such response asks after a pause, 0.1 to 10 s
//! ```
//!
//! One request at a time, and another one beside it after 100 ms; each has a deadline of one second. The map is taken if it is one of this cluster and newer than
//! the ring in force; then operations under way begin again in its epoch. A node whose map cannot be used says so
//! with each response, so further requests wait ever longer.
//!
//! An operation that all its nodes have refused waits for the ring, and gets no further response. So who has shown a newer
//! epoch is remembered, and asked as time passes while anything is under way: the node that was asked first may have died.

use std::collections::BTreeMap;
use std::time::Duration;

use quoit_ring::change::NextError;
use quoit_ring::wire::configuration::decode_answer;
use quoit_ring::wire::{Request, Response, ResponseFrame};
use quoit_ring::{Epoch, Moment, NodeId};
use smallvec::{SmallVec, smallvec};

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

/// How long a node that is asked keeps others from being asked, in microseconds: one that is silent must not for long.
const ALONE: u64 = 100_000;

/// When a newer map may be asked for, node by node: one whose map cannot be used says nothing of the others'.
#[derive(Debug, Default)]
pub(crate) struct RefreshPauses {
    /// Who is asked, and since when.
    under_way: SmallVec<[(NodeId, Moment); 2]>,
    /// Not before, and the last pause in microseconds; of those whose last answer brought nothing.
    pauses: BTreeMap<NodeId, (Moment, u64)>,
    /// The newest epoch that each node has shown, of those that were newer than the present one.
    shown: BTreeMap<NodeId, Epoch>,
    /// Whether all is to be sent: what leads on from the present epoch cannot be used.
    wants_whole: bool,
}

impl RefreshPauses {
    /// Whether a node may be asked.
    pub(crate) fn is_over(&self, node: NodeId, now: Moment) -> bool {
        let until = self
            .pauses
            .get(&node)
            .map_or(Moment(0), |(until, _)| *until);
        let is_free =
            |(asked, since): &(NodeId, Moment)| *asked != node && since.after(ALONE) <= now;
        until <= now && self.under_way.iter().all(is_free)
    }

    /// A node has shown an epoch that is newer than the present one.
    pub(crate) fn show(&mut self, node: NodeId, epoch: Epoch, present: Epoch) {
        self.shown.retain(|_, shown| *shown > present);
        let shown = self.shown.entry(node).or_insert(epoch);
        *shown = epoch.max(*shown);
    }

    /// Who may be asked for a newer map than the present one: first those who have not failed to give it.
    pub(crate) fn due(&self, present: Epoch, now: Moment) -> Option<NodeId> {
        let newer = self.shown.iter().filter(|(_, shown)| **shown > present);
        let nodes = newer.map(|(node, _)| *node);
        let may_be_asked = nodes.filter(|&node| self.is_over(node, now));
        may_be_asked.min_by_key(|node| self.pauses.get(node).map(|(until, _)| *until))
    }

    /// Whether a request is for all that is agreed on, and not for what has changed.
    pub(crate) const fn wants_whole(&self) -> bool {
        self.wants_whole
    }

    /// A request has ended; whether it brought a ring.
    fn ended(&mut self, node: NodeId, has_brought: bool, now: Moment) {
        self.under_way.retain(|(asked, _)| *asked != node);
        if has_brought {
            self.pauses.clear();
            self.wants_whole = false;
            return;
        }
        let [first, longest] = PAUSES;
        let last = self.pauses.get(&node).map_or(0, |(_, pause)| *pause);
        let pause = (2 * last).clamp(first, longest);
        self.pauses.insert(node, (now.after(pause), pause));
    }
}

impl Refresh {
    fn end(&self, has_brought: bool, cx: &mut OpContext) -> Progress {
        for &node in self.requests.targets() {
            cx.refresh.ended(node, has_brought, cx.now.at);
        }
        Progress::Over
    }
}

impl Handler for Refresh {
    type Submitted = NodeId;

    fn start(from: NodeId, key: Key, cx: &mut OpContext) -> Option<Self> {
        debug_assert!(cx.refresh.is_over(from, cx.now.at), "asked for before");
        cx.refresh.under_way.push((from, cx.now.at));
        let mut requests = Requests::new(key, smallvec![from], DEADLINE, None, cx);
        let epoch = if cx.refresh.wants_whole() {
            Epoch(0)
        } else {
            cx.topology.epoch()
        };
        let what = (Purpose::Ask, RequestKind::Ask);
        requests.send_as_of(epoch, (0, what), Request::Map, cx);
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
            return self.end(false, cx);
        };
        let answer = decode_answer(&bytes).ok();
        match answer.map(|answer| cx.known.next(answer)) {
            Some(Ok(known)) => {
                cx.move_to(known);
                self.end(true, cx)
            }
            Some(Err(NextError::Update(_))) => {
                cx.refresh.wants_whole = true;
                self.end(false, cx)
            }
            Some(Err(_)) | None => self.end(false, cx),
        }
    }

    fn on_failure(
        &mut self,
        _replica: usize,
        _purpose: Option<Purpose>,
        _outcome: Outcome,
        cx: &mut OpContext,
    ) -> Progress {
        self.end(false, cx)
    }

    fn on_time(&mut self, cx: &mut OpContext) -> Progress {
        if self.requests.is_expired(cx) {
            return self.end(false, cx);
        }
        Progress::Pending
    }
}
