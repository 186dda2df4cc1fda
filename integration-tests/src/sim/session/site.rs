//! The site: what all tasks of a run share.
//!
//! ```text
//!   task, task, task ...   --saw, begin, end, fresh number-->   Site   <--time, phase, acknowledged writes--   world
//! ```
//!
//! Everything happens on one thread, so cells do. Borrows of them end within one call: nothing is held across
//! an await.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use bytes::Bytes;
use quoit_ring::wire::decode_record;
use quoit_ring::{Dot, Epoch, Moment, NodeId};

use super::Name;
use crate::history::{ClientId, HintEnd, KeptHint, KeyId, Op, OpId, Outcome, Recorder};
use crate::sim::coverage::{Coverage, CoverageEvent};
use crate::sim::plan::OPERATIONS;
use crate::sim::tasks::Timeline;

/// How long the operations of a run should take, in microseconds of virtual time: as long as faults happen.
const LOAD_LASTS: u64 = 3_000_000;

/// In which part of a run tasks are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Faults happen; operations may fail.
    FaultPhase,
    /// Faults have ended and connections come back; tasks of the fault phase end.
    Mending,
    /// The world is healed; operations must succeed.
    RecoveryPhase,
    /// Tasks end with what they are doing.
    Over,
}

/// A write that was just acknowledged.
#[derive(Debug)]
pub struct AckedWrite {
    /// Which.
    pub op: OpId,
    /// Its key.
    pub key: Bytes,
    /// Under which dot.
    pub dot: Dot,
}

/// Which client asked which node, under which id.
type FrameSent = (ClientId, NodeId, u64);
/// The same, to keep something.
type HintSent = FrameSent;
/// The owner, the key and the write of a hint, and the epoch in which it was sent.
type HintOf = (NodeId, Bytes, Dot, Epoch);

/// What all tasks of a world share.
#[derive(Debug)]
pub struct Site {
    timeline: Rc<Timeline>,
    recorder: RefCell<Recorder>,
    coverage: RefCell<Coverage>,
    phase: Cell<Phase>,
    succeeded: Cell<u64>,
    /// Writes that were just acknowledged.
    acked: RefCell<Vec<AckedWrite>>,
    values: Cell<u64>,
    /// Hints that were sent, by sender, receiver and request id.
    hints: RefCell<BTreeMap<HintSent, HintOf>>,
    /// How long a task waits between two operations, in microseconds, about.
    pause: u64,
}

impl Site {
    /// A world's site at time 0.
    #[must_use]
    pub fn new(pause: u64) -> Self {
        Self {
            timeline: Rc::default(),
            recorder: RefCell::default(),
            coverage: RefCell::default(),
            phase: Cell::new(Phase::FaultPhase),
            succeeded: Cell::new(0),
            acked: RefCell::default(),
            values: Cell::new(0),
            hints: RefCell::default(),
            pause,
        }
    }

    /// The time, and the sleeping tasks.
    #[must_use]
    pub const fn timeline(&self) -> &Rc<Timeline> {
        &self.timeline
    }

    /// The present.
    #[must_use]
    pub fn now(&self) -> Moment {
        self.timeline.now()
    }

    /// The part of the run.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// How long a task waits between two operations, in microseconds, about.
    pub(super) const fn pause(&self) -> u64 {
        self.pause
    }

    /// A number that was not drawn before in this run.
    pub(super) fn fresh_number(&self) -> u64 {
        let number = self.values.get() + 1;
        self.values.set(number);
        number
    }

    /// Begins another part of the run.
    pub fn set_phase(&self, phase: Phase) {
        self.phase.set(phase);
    }

    /// How many operations have returned what was asked for.
    #[must_use]
    pub const fn succeeded(&self) -> u64 {
        self.succeeded.get()
    }

    /// A write was just acknowledged.
    pub(super) fn was_acked(&self, write: AckedWrite) {
        self.acked.borrow_mut().push(write);
    }

    /// Takes the writes that were acknowledged since the last call.
    #[must_use]
    pub fn take_acked(&self) -> Vec<AckedWrite> {
        self.acked.take()
    }

    /// Whether operations are fewer by now than they must be for the load to last as long as the faults, and
    /// not much longer.
    pub(super) fn is_behind(&self) -> bool {
        let due = OPERATIONS.saturating_mul(self.now().0) / LOAD_LASTS;
        self.succeeded() < due
    }

    /// The history so far.
    #[must_use]
    pub const fn recorder(&self) -> &RefCell<Recorder> {
        &self.recorder
    }

    /// Something remarkable was seen.
    pub fn saw(&self, event: CoverageEvent) {
        self.coverage.borrow_mut().saw(event);
    }

    /// What was seen so far.
    #[must_use]
    pub const fn coverage(&self) -> &RefCell<Coverage> {
        &self.coverage
    }

    /// An operation is asked.
    pub(super) fn begin(&self, name: &Name, demanding: bool, op: impl FnOnce(KeyId) -> Op) -> OpId {
        let mut recorder = self.recorder.borrow_mut();
        let key = recorder.key(&name.bytes, name.family);
        let id = recorder.begin(op(key));
        if demanding {
            recorder.history_mut().demanding.insert(id);
        }
        id
    }

    /// An operation returns.
    pub(super) fn end(&self, op: OpId, outcome: Outcome) {
        if matches!(outcome, Outcome::Read { .. } | Outcome::Written { .. }) {
            self.succeeded.set(self.succeeded.get() + 1);
        }
        self.recorder.borrow_mut().end(op, self.now(), outcome);
    }

    /// Whether a delete of a client was asked that has sent nothing yet.
    pub(super) fn has_unsent_delete(&self, client: ClientId, key: &Bytes) -> bool {
        self.recorder.borrow().has_unsent_delete(client, key)
    }

    /// A write that failed is sent again.
    pub(super) fn again(&self, op: OpId, dot: Dot) {
        self.recorder.borrow_mut().again(op, dot);
    }

    /// A read called its merge function so often, with so many values each time.
    pub(super) fn merged(&self, op: OpId, given: Vec<usize>) {
        self.recorder.borrow_mut().merged(op, given);
    }

    /// A write failed, on so many replicas and surely no more.
    pub(super) fn under_replicated(&self, op: OpId, acked: usize) {
        self.recorder.borrow_mut().under_replicated(op, acked);
    }

    /// A frame with a put goes out to a node.
    pub(in crate::sim) fn put_sent(&self, sent: FrameSent, request: u64, dot: Dot) {
        self.recorder.borrow_mut().put_to(sent, request, dot);
    }

    /// A node answers a frame that it has joined its write.
    pub(in crate::sim) fn joined(&self, sent: FrameSent) {
        self.recorder.borrow_mut().joined(sent);
    }

    /// The caller of an operation went away.
    pub(super) fn left(&self, op: OpId) {
        let mut recorder = self.recorder.borrow_mut();
        recorder.history_mut().left.insert(op, self.now());
    }

    /// A frame with a hint goes out.
    pub(in crate::sim) fn hint_sent(&self, sent: HintSent, of: HintOf) {
        self.hints.borrow_mut().insert(sent, of);
    }

    /// A node says that it keeps what it was asked to under this id; whether that was a hint.
    pub(in crate::sim) fn hint_kept(&self, client: ClientId, holder: NodeId, id: u64) -> bool {
        let sent = self.hints.borrow_mut().remove(&(client, holder, id));
        let Some((target, key, dot, epoch)) = sent else {
            return false;
        };
        let kept = KeptHint {
            key,
            target,
            dot,
            holder,
            epoch,
            end: HintEnd::Kept,
        };
        self.recorder.borrow_mut().history_mut().hints.push(kept);
        true
    }

    /// A frame with a put goes out; whether its write has another dot than before.
    pub(in crate::sim) fn sent(
        &self,
        client: ClientId,
        request: u64,
        (key, record): (&Bytes, &Bytes),
        dot: Dot,
    ) -> bool {
        let mut expiry = None;
        let value = || {
            let record = decode_record(record).ok()?;
            let sibling = record.live().first()?;
            expiry = sibling.expiry;
            sibling.value.clone()
        };
        let sent = (dot, self.now());
        let mut recorder = self.recorder.borrow_mut();
        let is_reminted = recorder.sent(client, request, key, value, sent);
        if let Some(expiry) = expiry {
            recorder.history_mut().expiries.insert(dot, expiry);
        }
        is_reminted
    }
}
