//! A write that waits for the time: asks the clocks of its owners, then begins or is refused.
//!
//! ```text
//!   Write --time unknown, or this machine's clock seems off--> ClockCheck --one question each--> owners
//!     ^                                                            |
//!     '------ the time is this -------- clocks agree <-------------+--> ClockSkew: the caller
//! ```
//!
//! Two kinds of write come here: one with a time to live whose owners' clocks are not known yet, such as the first of
//! a client, and one for which this machine's clock seems to differ too much by what is remembered. Neither is decided
//! by an old answer, so a write is refused only by clocks that were asked for it, and nothing was sent then. Any answer
//! will do, a refusal too: each carries its node's clock.
//!
//! ```text
//!   clocks heard                                   begin, if they are in order      refuse, if they are not
//!   a majority, and W                              at once                          once nobody is awaited, or at
//!   a majority; in mode `One` a single one         after `hedge_all_after`          the deadline
//!   fewer, and all others have failed              at once                          never: too few were heard
//! ```
//!
//! So a clock that is off neither refuses a write nor sets its lifetime while right ones may still answer.
//!
//! Left out: what is in order, which [`Reached`] says.

use quoit_ring::wire::{Request, ResponseFrame};
use quoit_ring::{Millis, Moment, NodeId};
use smallvec::SmallVec;

use crate::consistency::Consistency;
use crate::coordinator::clocks::Reached;
use crate::coordinator::context::{OpContext, Restart, micros};
use crate::coordinator::request_id::Purpose;
use crate::coordinator::slab::Key;
use crate::error::{ClockSkew, Outcome, WriteError};
use crate::metrics::{End, RequestKind};
use crate::operation::plan;
use crate::operation::requests::{Requests, Targets};
use crate::operation::{Handler, Progress, write};

/// A write whose time is asked for.
#[derive(Debug)]
pub(crate) struct ClockCheck {
    requests: Requests,
    /// Taken when it begins, or its caller is answered.
    write: Option<Box<write::Submitted>>,
    started: Moment,
    /// From when on whoever has answered is enough.
    hedge_all_at: Moment,
    /// When the last clock came.
    heard_at: Moment,
    owners: usize,
    w: usize,
    /// As many clocks as may refuse it, or begin it late.
    least: usize,
    /// What each node asked did; none yet is [`Outcome::TimedOut`].
    outcomes: SmallVec<[Outcome; 3]>,
    awaited: usize,
}

impl Handler for ClockCheck {
    type Submitted = write::Submitted;

    fn start(submitted: write::Submitted, key: Key, cx: &mut OpContext) -> Option<Self> {
        let (update, plan) = (submitted.content.update(), submitted.plan);
        let (name, ttl) = (update.key.clone(), update.ttl);
        let lists = cx.topology.lists(cx.topology.token_of(&name));
        let mut targets: Targets = lists.owners().collect();
        let owners = targets.len();
        let lifetime = plan::expiry(ttl, cx.now.wall);
        let w = match lifetime.and_then(|_ends| plan::write_needs(&plan, lists.quorums(&targets))) {
            Ok(needs) => needs.of_any(),
            Err(invalid) => {
                let caller = submitted.caller;
                caller.answer_at_once(End::Invalid, Err(invalid.into()), cx);
                return None;
            }
        };

        if plan.sloppy {
            targets.extend(lists.fallbacks());
        }
        let asked = targets.len();
        let mut check = Self {
            requests: Requests::new(key, targets, plan.deadline, None, cx),
            write: Some(Box::new(submitted)),
            started: cx.now.at,
            hedge_all_at: cx.now.at.after(micros(cx.settings.hedge_all_after)),
            heard_at: cx.now.at,
            owners,
            w,
            least: match plan.consistency {
                Consistency::Quorum | Consistency::Linearizable => plan::majority(owners),
                Consistency::One => 1,
            },
            outcomes: SmallVec::from_elem(Outcome::TimedOut, asked),
            awaited: asked,
        };
        for replica in 0..asked {
            let request = Request::Get {
                key: name.clone(),
                digest: true,
            };
            let what = (Purpose::Ask, RequestKind::Probe);
            check.requests.send(replica, what, request, cx);
        }
        Some(check)
    }

    fn requests(&mut self) -> &mut Requests {
        &mut self.requests
    }

    fn on_response(
        &mut self,
        replica: usize,
        _purpose: Purpose,
        _frame: ResponseFrame,
        cx: &mut OpContext,
    ) -> Progress {
        self.heard_at = cx.now.at;
        self.resolved(replica, Outcome::Done, cx)
    }

    fn on_failure(
        &mut self,
        replica: usize,
        _purpose: Option<Purpose>,
        outcome: Outcome,
        cx: &mut OpContext,
    ) -> Progress {
        self.resolved(replica, outcome, cx)
    }

    fn on_time(&mut self, cx: &mut OpContext) -> Progress {
        self.evaluate(cx)
    }
}

impl ClockCheck {
    fn resolved(&mut self, replica: usize, outcome: Outcome, cx: &mut OpContext) -> Progress {
        if let Some(before) = self.outcomes.get_mut(replica)
            && *before == Outcome::TimedOut
        {
            *before = outcome;
            self.awaited -= 1;
        }
        self.evaluate(cx)
    }

    /// Begins the write as soon as enough clocks are in order, and ends it once no further one is waited for.
    fn evaluate(&mut self, cx: &mut OpContext) -> Progress {
        let heard: Targets = (self.requests.targets().iter().zip(&self.outcomes))
            .filter(|(_, outcome)| **outcome == Outcome::Done)
            .map(|(&node, _)| node)
            .collect();
        let enough = if self.awaited == 0 {
            1
        } else if self.hedge_all_at <= cx.now.at {
            self.least
        } else {
            plan::majority(self.owners).max(self.w)
        };
        let may_begin = heard.len() >= enough;
        let is_over = self.awaited == 0 || self.requests.is_expired(cx);
        if !may_begin && !is_over {
            return Progress::Pending;
        }
        if heard.is_empty() {
            return self.fail(cx);
        }

        match self.present(&heard, cx) {
            Ok(time) if may_begin => self.begin(time, cx),
            Err(skew) if is_over && heard.len() >= self.least => self.refuse(skew, cx),
            _too_few if is_over => self.fail(cx),
            _maybe_of_few => Progress::Pending,
        }
    }

    fn present(&self, heard: &[NodeId], cx: &OpContext) -> Result<Millis, ClockSkew> {
        let known = cx.clocks.of(heard, cx.now.at);
        let majority = plan::majority(self.owners);
        let majority = if heard.len() < majority {
            plan::majority(heard.len())
        } else {
            majority
        };
        // The answers may have been under way for as long: nobody is refused for that.
        let elapsed = self.heard_at.since(self.started).div_ceil(1_000);
        let w = known.reached(self.w.min(heard.len()));
        let reached = Reached {
            majority: known.reached(majority),
            w: w.map(|w| Millis(w.0.saturating_add(elapsed))),
        };
        reached.present(cx.now.wall, cx.mint.max_drift_ms())
    }

    fn begin(&mut self, time: Millis, cx: &mut OpContext) -> Progress {
        if let Some(mut write) = self.write.take() {
            if !write.caller.reply.is_awaited() {
                // Its dot would lie above whatever its caller has written since it left.
                return Progress::Over;
            }
            let spent = self.requests.elapsed(cx);
            let left = write.plan.deadline.saturating_sub(spent);
            write.plan.deadline = left.max(*crate::consistency::DEADLINES.start());
            cx.restarts.push_back(Restart::Write(*write, time));
        }
        Progress::Over
    }

    fn refuse(&mut self, skew: ClockSkew, cx: &mut OpContext) -> Progress {
        self.answer(WriteError::ClockSkew(skew), cx)
    }

    /// No clock was reported, or too few to judge by. Nothing was sent to be stored.
    fn fail(&mut self, cx: &mut OpContext) -> Progress {
        let attempts = cx.attempts(self.requests.targets(), self.outcomes.to_vec());
        let (needed, n) = (self.w, self.owners);
        let error = WriteError::NotStored {
            needed,
            n,
            attempts,
        };
        self.answer(error, cx)
    }

    fn answer(&mut self, error: WriteError, cx: &mut OpContext) -> Progress {
        if let Some(write) = self.write.take() {
            let caller = write.caller;
            caller.answer_at_once(End::NotStored, Err(error), cx);
        }
        Progress::Over
    }
}
