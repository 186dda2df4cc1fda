//! A write: between the [`WriteQuorum`] and the frames.
//!
//! ```text
//!   Response::Joined, Superseded, Refused --> acked, superseded, failed
//!   WriteStep::Send   --> Request::Put, one record encoded once for all replicas
//!   WriteStep::Hint   --> Request::Hint to the next fallback, or to an owner that has the write (`handoff`)
//!   WriteStep::Remint --> a new dot above what superseded the old one, then Send again; or not (`remint`)
//! ```
//!
//! A write that failed may be **sent again** as what it is, under its dot: it does not forget that it may be stored.
//!
//! Invariant: a dot lies above everything its context has seen, and a write minted again has seen its first
//! attempt. Left out: when to do what, which is the machine's.

use quoit_ring::change::{OwnerSet, Threshold};
use quoit_ring::wire::{Refusal, Request, Response, ResponseFrame};
use quoit_ring::{Epoch, Millis, NodeId};
use smallvec::SmallVec;
use tokio::sync::OwnedSemaphorePermit;

use crate::coordinator::context::{BACKGROUND_MICROS, OpContext, Restart};
use crate::coordinator::request_id::Purpose;
use crate::coordinator::slab::Key;
use crate::entry::Written;
use crate::error::{InvalidRequest, OTHER_QUESTION, Outcome, WriteError};
use crate::metrics::{End, Kind, RequestKind};
use crate::operation::plan::{self, Plan};
use crate::operation::remint::Place;
use crate::operation::requests::{Caller, Requests, Targets};
use crate::operation::version::{KeyUpdate, Version};
use crate::operation::{Handler, Progress};
use crate::quorum::{Acked, Evidence, WriteFailure, WriteQuorum, WriteStep};
use crate::reply::Reply;
use crate::sent::{Sent, SentWrite};

/// A node has gone on to a newer epoch.
const OLD_EPOCH: Response = Response::Refused(Refusal::OldEpoch);

/// What a write returns.
pub(crate) type WriteResult = Result<Written, WriteError>;

/// What to write: something new, or what was sent before.
#[derive(Debug)]
pub(crate) enum Content {
    New(KeyUpdate),
    Sent(Box<Sent>),
}

impl Content {
    pub(crate) const fn update(&self) -> &KeyUpdate {
        match self {
            Self::New(update) => update,
            Self::Sent(sent) => sent.version.update(),
        }
    }

    /// From when its lifetime counts; None if clocks must be asked first.
    fn present(&self, targets: &[NodeId], w: usize, cx: &OpContext) -> Option<Millis> {
        match self {
            Self::New(update) => cx.present(targets, w, update.ttl.is_some()),
            // Its lifetime has begun already.
            Self::Sent(_) => Some(cx.now.wall),
        }
    }

    /// What is sent, and the machine for it, which has not sent anything yet.
    fn prepare(
        self,
        present: Millis,
        quorum: WriteQuorum,
        targets: &[NodeId],
        cx: &mut OpContext,
    ) -> Result<(Version, WriteQuorum), InvalidRequest> {
        match self {
            Self::New(update) => Ok((Version::mint(update, present, cx)?, quorum)),
            Self::Sent(sent) => {
                // What this client writes from now on lies above it, wherever it was minted.
                sent.believe(cx)?;
                let place = |holder| targets.iter().position(|owner| owner == holder);
                let holders: OwnerSet = sent.holders.iter().filter_map(place).collect();
                let is_same = sent.epoch == cx.topology.epoch();
                let quorum = quorum.again(sent.evidence, holders, is_same);
                let mut version = sent.version;
                version.sent_again(cx);
                Ok((version, quorum))
            }
        }
    }
}

/// What to write, and how.
#[derive(Debug)]
pub(crate) struct Submitted {
    pub(crate) content: Content,
    pub(crate) plan: Plan,
    pub(crate) caller: Caller<WriteResult>,
}

/// One write under way.
#[derive(Debug)]
pub(crate) struct Write {
    pub(super) requests: Requests,
    /// Taken when the caller is answered, and the permit with it.
    pub(super) reply: Option<(Kind, Reply<WriteResult>)>,
    permit: Option<OwnedSemaphorePermit>,
    pub(super) version: Version,
    /// How many nodes own the key: the first targets. Behind them are the holders of hints.
    pub(super) owners: usize,
    /// The epoch in which they own it.
    pub(super) epoch: Epoch,
    /// How many owners are enough, whichever they are.
    pub(super) w: usize,
    pub(super) plan: Plan,
    /// Whether it was sent before and failed.
    pub(super) is_retry: bool,
    pub(super) quorum: WriteQuorum,
    /// Whether the last second has begun, in which holders are found for owners that missed it.
    pub(super) is_closing: bool,
    pub(super) place: Place,
    /// Whether another write of its client was under way on the key when it was sent: that may ask for its copies.
    pub(super) has_others: bool,
    /// Owners that have not answered since it returned: what waits for them is charged to each.
    pub(super) late: SmallVec<[NodeId; 2]>,
    /// How far what superseded it lies ahead of this machine's clock, if that is too far to be followed.
    pub(super) behind_ms: u64,
}

impl Handler for Write {
    type Submitted = Submitted;

    fn start(submitted: Submitted, key: Key, cx: &mut OpContext) -> Option<Self> {
        Self::begin(submitted, None, key, cx)
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
        let is_hint = replica >= self.owners;
        if !is_hint && self.requests.refuses_epoch(replica, &frame.response, cx) {
            return Progress::Pending;
        }
        if is_hint && self.quorum.has_returned() && frame.response == OLD_EPOCH {
            return Progress::Pending; // the newer epoch is on its way: a holder is found in that
        }
        self.heard_of(replica, cx);
        match frame.response {
            Response::Joined => {
                cx.health.counters.hints += u64::from(is_hint);
                let ends_early = self.version.expires() && self.renew(replica, cx);
                if !ends_early {
                    self.quorum.acked(replica);
                    self.copied(cx);
                }
            }
            Response::Superseded { named, above } => {
                self.quorum.superseded(replica, named, above);
                self.copied(cx);
            }
            Response::Refused(refusal) => self.quorum.failed(replica, Outcome::Refused(refusal)),
            _other => (self.quorum).failed(replica, Outcome::Damaged(OTHER_QUESTION)),
        }
        self.step(cx)
    }

    fn on_failure(
        &mut self,
        replica: usize,
        _purpose: Option<Purpose>,
        outcome: Outcome,
        cx: &mut OpContext,
    ) -> Progress {
        self.heard_of(replica, cx);
        self.quorum.failed(replica, outcome);
        self.step(cx)
    }

    fn on_epoch(&mut self, cx: &mut OpContext) -> Progress {
        self.begin_epoch(cx)
    }

    fn on_time(&mut self, cx: &mut OpContext) -> Progress {
        if self.requests.is_expired(cx) {
            return self.expire(cx);
        }
        for owner in self.requests.take_behind(cx).iter() {
            if self.quorum.awaits(owner) {
                self.send(owner, cx);
            }
        }
        if let Place::Overtaken(above) = self.place {
            self.remint(above, cx);
            return self.step(cx);
        }
        if cx.ejected.is_empty() || !self.give_up_on(&cx.ejected) {
            return Progress::Pending;
        }
        self.step(cx)
    }
}

impl Write {
    /// Starts a write for which clocks were asked: its lifetime counts from `present`.
    pub(crate) fn start_at(
        submitted: Submitted,
        present: Millis,
        key: Key,
        cx: &mut OpContext,
    ) -> Option<Self> {
        Self::begin(submitted, Some(present), key, cx)
    }

    fn begin(
        submitted: Submitted,
        checked: Option<Millis>,
        key: Key,
        cx: &mut OpContext,
    ) -> Option<Self> {
        let content = &submitted.content;
        let lists = (cx.topology).lists(cx.topology.token_of(&content.update().key));
        let targets: Targets = lists.owners().collect();
        let owners = targets.len();
        let needs = plan::write_needs(&submitted.plan, lists.quorums(&targets));

        let remembered = |needs: &Threshold| content.present(&targets, needs.of_any(), cx);
        let present = checked.or_else(|| needs.as_ref().map_or(Some(cx.now.wall), remembered));
        let Some(present) = present else {
            cx.restarts.push_back(Restart::ClockCheck(submitted));
            return None;
        };

        let Submitted {
            content,
            plan,
            caller,
        } = submitted;
        let is_retry = matches!(content, Content::Sent(_));
        let prepared = needs.and_then(|needs| {
            let quorum = WriteQuorum::new(needs, plan.sloppy);
            let (version, quorum) = content.prepare(present, quorum, &targets, cx)?;
            Ok((needs.of_any(), version, quorum))
        });
        let (w, version, quorum) = match prepared {
            Ok(prepared) => prepared,
            Err(invalid) => {
                caller.answer_at_once(End::Invalid, Err(invalid.into()), cx);
                return None;
            }
        };

        let place = Place::of(&version);
        let has_others = place == Place::Counted && version.has_others(cx);
        let mut write = Self {
            requests: Requests::new(key, targets, plan.deadline, caller.trace, cx),
            reply: Some((caller.kind, caller.reply)),
            permit: Some(caller.permit),
            version,
            owners,
            epoch: cx.topology.epoch(),
            w,
            plan,
            is_retry,
            quorum,
            is_closing: false,
            place,
            has_others,
            late: SmallVec::new(),
            behind_ms: 0,
        };
        // A write that is sent again may be over: by a newer map W owners may have it already.
        match write.step(cx) {
            Progress::Pending => Some(write),
            Progress::Over => None,
        }
    }

    /// The deadline has passed: of the write, or of its time in the background. In the second case owners that have
    /// not answered count as having missed it, and those that are to keep it for them get a second of their own.
    pub(super) fn expire(&mut self, cx: &mut OpContext) -> Progress {
        if !self.quorum.has_returned() {
            self.fail_refused();
        }
        if self.quorum.has_returned() && !self.is_closing {
            self.is_closing = true;
            self.requests.deadline = cx.now.at.after(BACKGROUND_MICROS);
            self.give_up_waiting();
        } else {
            self.quorum.expired();
        }
        self.step(cx)
    }

    /// Does everything that the quorum asks for now.
    pub(super) fn step(&mut self, cx: &mut OpContext) -> Progress {
        while let Some(step) = self.quorum.poll_step() {
            match step {
                WriteStep::Send(replica) => self.send(replica, cx),
                WriteStep::Hint(owner) => self.hint(owner, cx),
                WriteStep::Remint(above) => self.remint(above, cx),
                WriteStep::Return(verdict) => {
                    self.answer(verdict, cx);
                    if !self.begin_handoff(cx) {
                        return self.forget(cx);
                    }
                }
                WriteStep::Finish => return self.forget(cx),
            }
        }
        Progress::Pending
    }

    fn send(&mut self, replica: usize, cx: &mut OpContext) {
        let request = Request::Put {
            key: self.version.update.key.clone(),
            dot: self.version.dot,
            record: self.version.record.clone(),
        };
        let what = (Purpose::Ask, RequestKind::Write);
        self.requests.send(replica, what, request, cx);
        if self.requests.attempt() > 0 && !self.quorum.has_returned() {
            // The permit is for one attempt, and the earlier one's request may still wait.
            cx.background.abandon(self.background_bytes());
        }
    }

    fn answer(&mut self, verdict: Result<Acked, Box<WriteFailure>>, cx: &mut OpContext) {
        let Some(reply) = self.reply.take() else {
            debug_assert!(false, "one verdict");
            return;
        };
        let result = match verdict {
            Ok(acked) => {
                cx.budget.earn();
                self.acknowledged(acked, cx);
                Ok(Written {
                    dot: self.version.dot,
                    acked: acked.nodes,
                    hints: acked.hints,
                    // Only minting again would need it, and a write that has returned is not.
                    context: core::mem::take(&mut self.version.context),
                })
            }
            Err(failure) => {
                self.withdraw(cx);
                Err(self.explained(*failure, cx))
            }
        };
        // What goes on from here has a bound of its own.
        self.permit = None;
        let end = End::from(&result);
        self.requests.answer(reply, end, result, cx);
    }

    fn explained(&self, failure: WriteFailure, cx: &OpContext) -> WriteError {
        let Evidence {
            acked,
            may_be_stored,
        } = failure.evidence;
        let (needed, n) = (self.w, self.owners);
        let outcomes = self.with_skew(failure.outcomes, cx);
        let attempts = cx.attempts(self.requests.targets(), outcomes);
        let write = || {
            let owners = self.requests.targets();
            let holders = self.quorum.holders();
            SentWrite::new(Sent {
                version: self.version.clone(),
                plan: self.plan,
                epoch: self.epoch,
                evidence: failure.evidence,
                owners: self.owners,
                holders: holders.filter_map(|it| owners.get(it).copied()).collect(),
            })
        };
        match (acked, may_be_stored) {
            (_, true) => WriteError::Unknown {
                acked,
                needed,
                attempts,
                write: write(),
            },
            (0, false) => WriteError::NotStored {
                needed,
                n,
                attempts,
            },
            (_, false) => WriteError::UnderReplicated {
                acked,
                needed,
                attempts,
                write: write(),
            },
        }
    }

    /// Says of what was superseded that this machine's clock is to blame, if it is.
    fn with_skew(&self, mut outcomes: Vec<Outcome>, cx: &OpContext) -> Vec<Outcome> {
        let (behind_ms, max_ms) = (self.behind_ms, cx.mint.max_drift_ms());
        if behind_ms > 0 {
            for outcome in &mut outcomes {
                if *outcome == Outcome::Superseded {
                    *outcome = Outcome::ClockBehind { behind_ms, max_ms };
                }
            }
        }
        outcomes
    }
}
