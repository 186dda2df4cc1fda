//! A write: between the [`WriteQuorum`] and the frames.
//!
//! ```text
//!   Response::Joined, Superseded, Refused --> acked, superseded, failed
//!   WriteStep::Send   --> Request::Put, one record encoded once for all replicas
//!   WriteStep::Hint   --> Request::Hint to the next fallback, or to an owner that has the write (`handoff`)
//!   WriteStep::Remint --> a new dot above what superseded the old one, then Send again; or not (below)
//! ```
//!
//! **A write is minted again only while its caller waits, and a blind one never above a later write of its client on
//! that key**: else an abandoned upload comes back over the delete that followed it. So a superseded blind write that a
//! later one of its client follows has been overtaken by it:
//!
//! ```text
//!   a later blind one is acknowledged   it happened before that one, which has overwritten it: written
//!   one is under way                    wait for that, until the deadline
//!   neither                             fail: the later ones have failed, are causal, or are on too few replicas;
//!                                       unless W may acknowledge it as it is, since an owner is late
//! ```
//!
//! It counts as overwritten only by a write on as many replicas as it needs itself: on W owners, or if it is sloppy on W
//! nodes, whether that is enough for the later one or not. One that has returned with fewer goes on to the other owners,
//! so it is waited for, too. A causal write is minted again also then: it replaces what its context has seen, and stands beside the later one.
//! Another client, in this process or not, has a mint of its own, and its writes are others' writes.
//!
//! A write that failed may be **sent again** as what it is, under its dot. It is never minted again: whoever has
//! superseded it may have seen it first, and it would come back. Nor does it forget that it may be stored.
//!
//! **A lifetime is checked when owners have joined the write**: their clocks come with their answers, and those that
//! were remembered may be wrong, with all clocks of this machine, after a virtual machine stood still. If by a majority
//! the value would end too early, the write is minted again with the lifetime that it was put with, while its caller
//! waits. In mode `One` a write may return before a majority has been heard, and is not checked then.
//!
//! Invariant: a dot lies above everything its context has seen, and a write minted again has seen its first
//! attempt. Left out: when to do what, which is the machine's.

use quoit_ring::wire::{Request, Response, ResponseFrame};
use quoit_ring::{Millis, Time};
use smallvec::SmallVec;
use tokio::sync::OwnedSemaphorePermit;

use crate::coordinator::context::{BACKGROUND_MICROS, OpContext, Restart};
use crate::coordinator::mint::{Needed, Standing};
use crate::coordinator::request_id::Purpose;
use crate::coordinator::slab::Key;
use crate::entry::Written;
use crate::error::{OTHER_QUESTION, Outcome, WriteError};
use crate::metrics::{End, Kind, RequestKind};
use crate::operation::plan::{self, Plan};
use crate::operation::requests::{Caller, Requests, Targets};
use crate::operation::version::{KeyUpdate, Version};
use crate::operation::{Handler, Progress};
use crate::quorum::{Acked, Evidence, WriteFailure, WriteQuorum, WriteStep};
use crate::reply::Reply;
use crate::sent::{Sent, SentWrite};

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
}

/// What to write, and how.
#[derive(Debug)]
pub(crate) struct Submitted {
    pub(crate) content: Content,
    pub(crate) plan: Plan,
    pub(crate) caller: Caller<WriteResult>,
}

/// A blind write, seen by the others of its client on the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// More owners may acknowledge it: the mint counts it, and earlier ones may wait for it.
    Counted,
    /// Superseded by what lies here, it waits for a later one. It is not counted, or two such would wait for each other.
    Overtaken(Time),
    /// None has to look at it: it is causal, or nothing more will come of it as itself.
    Out,
}

/// One write under way.
#[derive(Debug)]
pub(crate) struct Write {
    pub(super) requests: Requests,
    /// Taken when the caller is answered, and the permit with it.
    reply: Option<(Kind, Reply<WriteResult>)>,
    permit: Option<OwnedSemaphorePermit>,
    pub(super) version: Version,
    /// How many nodes own the key: the first targets. Behind them are the holders of hints.
    pub(super) owners: usize,
    w: usize,
    plan: Plan,
    /// Whether it was sent before and failed.
    is_retry: bool,
    pub(super) quorum: WriteQuorum,
    /// Whether the last second has begun, in which holders are found for owners that missed it.
    is_closing: bool,
    place: Place,
    /// Whether another write of its client was under way on the key when it was sent: that may ask for its copies.
    has_others: bool,
    /// How far what superseded it lies ahead of this machine's clock, if that is too far to be followed.
    behind_ms: u64,
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
        match frame.response {
            Response::Joined => {
                cx.health.counters.hints += u64::from(is_hint);
                if !(self.version.expires() && self.renew(replica, cx)) {
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
        self.quorum.failed(replica, outcome);
        self.step(cx)
    }

    fn on_time(&mut self, cx: &mut OpContext) -> Progress {
        if self.requests.is_expired(cx) {
            return self.expire(cx);
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
        let Submitted {
            content,
            plan,
            caller,
        } = submitted;
        let key_bytes = &content.update().key;
        let list = cx.ring.preference_list(cx.ring.token_of(key_bytes));
        let targets: Targets = list.owners().collect();
        let owners = targets.len();
        let counted = plan::write_count(&plan, owners);

        let remembered = |&w: &usize| match &content {
            Content::New(update) => cx.present(&targets, w, update.ttl.is_some()),
            // Its lifetime has begun already.
            Content::Sent(_) => Some(cx.now.wall),
        };
        let present = checked.or_else(|| counted.as_ref().map_or(Some(cx.now.wall), remembered));
        let Some(present) = present else {
            let submitted = Submitted {
                content,
                plan,
                caller,
            };
            cx.restarts.push_back(Restart::ClockCheck(submitted));
            return None;
        };

        let is_retry = matches!(content, Content::Sent(_));
        let prepared = counted.and_then(|w| {
            let quorum = WriteQuorum::new(owners, w, plan.sloppy);
            Ok(match content {
                Content::New(update) => (w, Version::mint(update, present, cx)?, quorum),
                Content::Sent(sent) => {
                    // What this client writes from now on lies above it, wherever it was minted.
                    sent.believe(cx)?;
                    let place = |holder| targets.iter().position(|owner| owner == holder);
                    let holders = sent.holders.iter().filter_map(place);
                    let quorum = quorum.again(sent.evidence, holders);
                    let mut version = sent.version;
                    version.sent_again(cx);
                    (w, version, quorum)
                }
            })
        });
        let (w, version, quorum) = match prepared {
            Ok(prepared) => prepared,
            Err(invalid) => {
                caller.answer_at_once(End::Invalid, Err(invalid.into()), cx);
                return None;
            }
        };

        let place = if version.is_blind() {
            Place::Counted
        } else {
            Place::Out
        };
        let has_others = place == Place::Counted && version.has_others(cx);
        let mut write = Self {
            requests: Requests::new(key, targets, plan.deadline, caller.trace, cx),
            reply: Some((caller.kind, caller.reply)),
            permit: Some(caller.permit),
            version,
            owners,
            w,
            plan,
            is_retry,
            quorum,
            is_closing: false,
            place,
            has_others,
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
    fn expire(&mut self, cx: &mut OpContext) -> Progress {
        if self.quorum.has_returned() && !self.is_closing {
            self.is_closing = true;
            self.requests.deadline = cx.now.at.after(BACKGROUND_MICROS);
            let late: SmallVec<[usize; 3]> = self.quorum.awaited().collect();
            for owner in late {
                self.quorum.overdue(owner);
            }
        } else {
            self.quorum.expired();
        }
        self.step(cx)
    }

    /// Does everything that the quorum asks for now.
    fn step(&mut self, cx: &mut OpContext) -> Progress {
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
    }

    /// Mints the write again above what superseded it, if it may. The new dot builds on the first attempt, so it replaces
    /// that wherever it was joined, and on nothing that this client wrote in between.
    fn remint(&mut self, above: Time, cx: &mut OpContext) {
        let is_awaited = (self.reply.as_ref()).is_some_and(|(_, reply)| reply.is_awaited());
        if !is_awaited {
            return self.quorum.cannot_remint();
        }
        if self.is_retry || self.version.is_blind() {
            self.withdraw(cx);
            match self.version.standing(self.needed(), cx) {
                Standing::Newest if !self.is_retry => {}
                Standing::Overwritten => return self.quorum.overwritten(),
                Standing::Behind if !self.is_retry => return self.wait(above, cx),
                // An owner that is late may acknowledge it as it is.
                Standing::Lost if !self.is_retry && self.quorum.may_reach_w() => {
                    return self.wait(above, cx);
                }
                Standing::Newest | Standing::Behind | Standing::Lost | Standing::Forgotten => {
                    return self.quorum.cannot_remint();
                }
            }
        }
        if !cx.mint.observe(above, cx.now.wall) {
            self.behind_ms = above.millis().0.saturating_sub(cx.now.wall.0);
            return self.quorum.cannot_remint();
        }
        cx.budget.charge();
        cx.counters.remints += 1;
        let first = core::mem::take(&mut self.version.context);
        self.version.mint_over(&first, above, cx);
        if self.version.is_blind() {
            self.place = Place::Counted;
        }
        self.requests.begin_attempt(self.owners);
        self.quorum.reminted();
    }

    /// A replica has joined it. Mints it again if by the clocks of a majority of its owners it ends too early, and its
    /// caller waits; not if a later blind write of this client is to replace it anyway.
    fn renew(&mut self, replica: usize, cx: &mut OpContext) -> bool {
        let is_awaited = (self.reply.as_ref()).is_some_and(|(_, reply)| reply.is_awaited());
        if self.is_retry || !is_awaited || !self.quorum.may_renew(replica) {
            return false;
        }
        let owners = (self.requests.targets()).get(..self.owners);
        let majority = plan::majority(self.owners);
        let reached = owners.and_then(|owners| cx.clocks.reached(owners, majority, cx.now.at));
        let early_by = |reached| (self.version).ends_early_by(reached, self.requests.elapsed(cx));
        let Some(present) = reached.filter(|&it| early_by(it) > 2 * cx.mint.max_drift_ms()) else {
            return false;
        };

        if self.version.is_blind() {
            if self.place != Place::Counted {
                return false;
            }
            self.version.withdrawn(cx);
            if !matches!(self.version.standing(self.needed(), cx), Standing::Newest) {
                self.version.counted(cx);
                return false;
            }
        }
        cx.budget.charge();
        cx.counters.remints += 1;
        // Its dot counts again, if it did.
        self.version.mint_to_live_from(present, cx);
        self.requests.begin_attempt(self.owners);
        self.quorum.renewed(replica);
        true
    }

    /// How many copies there must be of a later write that is to count in place of this one.
    const fn needed(&self) -> Needed {
        Needed {
            w: self.w,
            sloppy: self.quorum.is_sloppy(),
        }
    }

    /// Superseded by what lies at `above`, it waits for a later write.
    const fn wait(&mut self, above: Time, cx: &mut OpContext) {
        cx.overtaken += 1;
        self.place = Place::Overtaken(above);
    }

    /// Nothing more will come of it as it is: nobody is to wait for it, nor does it wait.
    pub(super) fn withdraw(&mut self, cx: &mut OpContext) {
        match core::mem::replace(&mut self.place, Place::Out) {
            Place::Counted => self.version.withdrawn(cx),
            Place::Overtaken(_) => cx.overtaken -= 1,
            Place::Out => {}
        }
    }

    /// It has returned well: what waits for it has been overwritten.
    fn acknowledged(&mut self, acked: Acked, cx: &mut OpContext) {
        match self.place {
            Place::Counted => {}
            // An owner was late, so it is no longer to be minted again.
            Place::Overtaken(_) => {
                self.withdraw(cx);
                self.version.counted(cx);
                self.place = Place::Counted;
            }
            // If it was overwritten, those were the copies of another.
            Place::Out => return,
        }
        self.version.acknowledged(acked, cx);
    }

    /// A replica has answered: if it took the write, that may be enough for one that waits for it, though not for this one.
    /// Mostly there is none, and this is the way of every put.
    fn copied(&self, cx: &mut OpContext) {
        if self.place == Place::Counted && (self.has_others || cx.overtaken > 0) {
            self.version.acknowledged(self.quorum.acks(), cx);
        }
    }

    fn answer(&mut self, verdict: Result<Acked, WriteFailure>, cx: &mut OpContext) {
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
                Err(self.explained(failure, cx))
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
