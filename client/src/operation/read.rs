//! A read: between the [`ReadQuorum`] and the frames.
//!
//! ```text
//!   Response::Record, Absent, Above, Refused --> answered, failed    ReadStep::Ask    --> Request::Get
//!   Response::Joined                  --> repaired            ReadStep::Repair --> Request::Repair
//!   Response::Unsettled               --> goes on as a linearizable read (`register`)
//! ```
//!
//! The quicker replicas are asked first. When one of them takes longer than 19 of 20 of its answers did, one more
//! replica is asked, if the budget has a token: a *hedge*, and after as long again another. After `hedge_all_after`
//! (100 ms) all others are asked without a token: the budget bounds what speed may cost, and never keeps a read from
//! its quorum. Where all were asked at first, a hedge asks for a large value again of which only digests have come. A read
//! that passes over a node not heard of for long sends it a *probe*: a request beside the quorum,
//! whose answer nobody awaits. A read goes on after its caller has the answer, until its repairs are sent or its
//! deadline has passed.
//!
//! Left out: what an answer decides, which is the machine's, and who is quick, which is `health`'s.
//!
//! Source: Dean and Barroso, *The Tail at Scale* (2013), for hedged requests.

use std::time::Duration;

use bytes::Bytes;
use quoit_ring::wire::{Request, Response, ResponseFrame, record_bytes};
use quoit_ring::{Held, Moment, NodeId, Record};
use tokio::sync::OwnedSemaphorePermit;

use crate::consistency::Consistency;
use crate::coordinator::context::{BACKGROUND_MICROS, OpContext, Restart, micros};
use crate::coordinator::request_id::{Purpose, RequestId};
use crate::coordinator::slab::Key;
use crate::error::{OTHER_QUESTION, Outcome, ReadError};
use crate::health::Route;
use crate::metrics::{End, Kind, RequestKind};
use crate::operation::plan::{self, Plan};
use crate::operation::requests::{Caller, Requests, Targets};
use crate::operation::{Handler, Progress, register};
use crate::quorum::{ReadFailure, ReadQuorum, ReadStep};
use crate::reply::Reply;

/// How long a node may take for a probe, in milliseconds: health counts what is later as lost.
const PROBE_MS: u64 = 1_000;

/// What a read returns.
pub(crate) type ReadResult = Result<Record, ReadError>;

/// What to read, and how.
#[derive(Debug)]
pub(crate) struct Submitted {
    pub(crate) key: Bytes,
    pub(crate) plan: Plan,
    pub(crate) caller: Caller<ReadResult>,
}

/// One read under way.
#[derive(Debug)]
pub(crate) struct Read {
    requests: Requests,
    /// Taken when the caller is answered.
    reply: Option<(Kind, Reply<ReadResult>)>,
    /// Kept to the end: repair after the answer occupies the client, too.
    permit: Option<OwnedSemaphorePermit>,
    key: Bytes,
    plan: Plan,
    quorum: ReadQuorum,
    /// Whether an answer had a sibling that expires: only then clocks matter.
    expires: bool,
    /// When to ask all further replicas; taken once that was done.
    hedge_all_after: Option<Moment>,
    /// How long it waits for each hedge, in microseconds; nothing if it does not hedge.
    hedge_after: Option<u64>,
    /// When the next hedge is due: a timer of an earlier epoch rings too early.
    hedge_due: Moment,
    /// The first replica that was asked as a hedge.
    hedged: Option<usize>,
    /// The newest state, encoded once for all write-backs.
    repair: Option<Bytes>,
}

impl Handler for Read {
    type Submitted = Submitted;

    fn start(submitted: Submitted, key: Key, cx: &mut OpContext) -> Option<Self> {
        let Submitted {
            key: name,
            plan,
            caller,
        } = submitted;
        let lists = cx.topology.lists(cx.topology.token_of(&name));
        let mut targets: Targets = lists.owners().collect();
        let rules = match plan::read_rules(&plan, lists.quorums(&targets)) {
            Ok(rules) => rules,
            Err(invalid) => {
                caller.answer_at_once(End::Invalid, Err(invalid.into()), cx);
                return None;
            }
        };

        let first = rules.r.of_any();
        let Route { hedge_after, probe } = cx.health.route(&mut targets, first, cx.now.at);
        // Where all are asked in any case, a hedge is for the full record, and nobody is left to probe.
        let probe = probe.filter(|_| !rules.ask_all);
        let rules = rules.over(lists.quorums(&targets)); // in their new order
        let probe = probe.map(|node| (node, name.clone()));
        let hedge_all_after = micros(cx.settings.hedge_all_after);
        let mut read = Self {
            requests: Requests::new(key, targets, plan.deadline, caller.trace, cx),
            reply: Some((caller.kind, caller.reply)),
            permit: Some(caller.permit),
            key: name,
            plan,
            quorum: ReadQuorum::new(rules),
            expires: false,
            hedge_all_after: Some(cx.now.at.after(hedge_all_after)),
            hedge_after,
            hedge_due: Moment(0),
            hedged: None,
            repair: None,
        };

        let progress = read.step(cx);
        debug_assert!(progress == Progress::Pending, "nobody has answered yet");
        read.hedge_later(cx);
        if let Some((node, name)) = probe {
            send_probe(node, name, cx);
        }
        Some(read)
    }

    fn requests(&mut self) -> &mut Requests {
        &mut self.requests
    }

    fn on_response(
        &mut self,
        replica: usize,
        purpose: Purpose,
        frame: ResponseFrame,
        cx: &mut OpContext,
    ) -> Progress {
        if self.requests.refuses_epoch(replica, &frame.response, cx) {
            return Progress::Pending;
        }
        let is_unsettled = matches!(frame.response, Response::Unsettled { .. });
        if is_unsettled && self.plan.consistency != Consistency::One {
            return self.settle(replica, cx);
        }
        match purpose {
            Purpose::Ask => match held_of(&frame.response) {
                Ok(held) => {
                    self.expires |= held.record().live().iter().any(|s| s.expiry.is_some());
                    if self.expires {
                        let bound = cx.time_bound(self.requests.targets());
                        self.quorum.believe(bound);
                    }
                    self.quorum.answered(replica, held, frame.clock.millis());
                }
                Err(outcome) => self.quorum.failed(replica, outcome),
            },
            Purpose::Repair => self.quorum.repaired(replica, joined(&frame.response)),
        }
        self.step(cx)
    }

    fn on_failure(
        &mut self,
        replica: usize,
        purpose: Option<Purpose>,
        outcome: Outcome,
        cx: &mut OpContext,
    ) -> Progress {
        // Without a purpose the node is gone: its answer and its write-back will both not come.
        if purpose != Some(Purpose::Repair) {
            self.quorum.failed(replica, outcome.clone());
        }
        if purpose != Some(Purpose::Ask) {
            self.quorum.repaired(replica, Err(outcome));
        }
        self.step(cx)
    }

    fn on_time(&mut self, cx: &mut OpContext) -> Progress {
        let is_due = |moment: &mut Moment| *moment <= cx.now.at;
        if self.requests.is_expired(cx) {
            for (replica, why) in self.requests.take_refusals() {
                self.quorum.failed(replica, why.clone());
                self.quorum.repaired(replica, Err(why));
            }
            self.quorum.expired();
        } else if self.hedge_all_after.take_if(is_due).is_some() {
            while self.quorum.hedge() {}
        }
        for replica in self.requests.take_behind(cx).iter() {
            if let Some(in_full) = self.quorum.asked_in_full(replica) {
                self.ask(replica, !in_full, cx);
            } else if self.quorum.awaits_repair(replica) {
                self.repair(replica, cx);
            }
        }
        self.step(cx)
    }

    /// Begins again in the new epoch, unless its caller has the answer: then what it was still to repair is left to others.
    fn on_epoch(&mut self, cx: &mut OpContext) -> Progress {
        if self.reply.is_none() {
            return Progress::Over;
        }
        let lists = cx.topology.lists(cx.topology.token_of(&self.key));
        let mut targets: Targets = lists.owners().collect();
        let Ok(rules) = plan::read_rules(&self.plan, lists.quorums(&targets)) else {
            return self.give_up(cx); // R is out of range now
        };
        let first = rules.r.of_any();
        self.hedge_after = cx.health.route(&mut targets, first, cx.now.at).hedge_after;
        let rules = rules.over(lists.quorums(&targets)); // in their new order
        if !self.requests.begin_epoch(targets) {
            return self.give_up(cx);
        }

        self.quorum = ReadQuorum::new(rules);
        (self.hedged, self.repair) = (None, None);
        self.hedge_all_after = Some(cx.now.at.after(micros(cx.settings.hedge_all_after)));
        let progress = self.step(cx);
        self.hedge_later(cx);
        progress
    }

    /// Asks one more replica, if that is likely to help and there is a token for it.
    fn on_hedge(&mut self, cx: &mut OpContext) -> Progress {
        if cx.now.at < self.hedge_due {
            return Progress::Pending;
        }
        let Some(next) = self.quorum.next_to_hedge() else {
            // The digest that names a large value may come later still.
            if self.quorum.is_asking() && self.hedge_all_after.is_some() {
                self.hedge_later(cx);
            }
            return Progress::Pending;
        };
        let node = self.requests.targets().get(next);
        if !node.is_some_and(|&node| cx.health.can_help(node, cx.now.at)) {
            return Progress::Pending;
        }
        if !cx.budget.take() {
            cx.health.counters.hedges_refused += 1;
            return Progress::Pending;
        }

        cx.health.counters.hedges += 1;
        self.hedged.get_or_insert(next);
        self.quorum.hedge();
        self.hedge_later(cx);
        self.step(cx)
    }
}

impl Read {
    /// Ends as at its deadline.
    fn give_up(&mut self, cx: &mut OpContext) -> Progress {
        self.quorum.expired();
        self.step(cx)
    }

    /// A conditional write is pending at a replica. It may have happened, so a quorum read sees it or bars it: that is what a
    /// linearizable read does, which goes on from here.
    fn settle(&mut self, replica: usize, cx: &mut OpContext) -> Progress {
        let (Some((kind, reply)), Some(permit)) = (self.reply.take(), self.permit.take()) else {
            // It is answered already.
            self.quorum.failed(replica, Outcome::NotAsked);
            return self.step(cx);
        };
        let left = Duration::from_micros(self.requests.deadline.since(cx.now.at));
        let plan = Plan {
            deadline: left.max(Duration::from_millis(1)),
            ..self.plan
        };
        cx.restarts
            .push_back(Restart::Settle(Box::new(register::Submitted {
                key: self.key.clone(),
                plan,
                goal: register::Goal::Read(reply),
                kind,
                permit,
                trace: self.requests.take_trace(),
            })));
        Progress::Over
    }

    fn hedge_later(&mut self, cx: &mut OpContext) {
        if let Some(wait) = self.hedge_after {
            self.hedge_due = cx.now.at.after(wait);
            cx.timers.hedge_at(self.hedge_due, self.requests.key());
        }
    }

    /// Does everything that the quorum asks for now.
    fn step(&mut self, cx: &mut OpContext) -> Progress {
        while let Some(step) = self.quorum.poll_step() {
            match step {
                ReadStep::Ask { replica, digest } => self.ask(replica, digest, cx),
                ReadStep::Repair(replica) => self.repair(replica, cx),
                ReadStep::Return(verdict) => self.answer(verdict, cx),
                ReadStep::Finish => {
                    debug_assert!(self.reply.is_none(), "the verdict comes first");
                    return Progress::Over;
                }
            }
        }
        Progress::Pending
    }

    fn ask(&mut self, replica: usize, digest: bool, cx: &mut OpContext) {
        // Whoever is asked after the first hedge is one, too.
        let is_hedge = self.hedged.is_some_and(|first| replica >= first);
        let kind = if is_hedge {
            RequestKind::Hedge
        } else {
            RequestKind::Read
        };
        let request = Request::Get {
            key: self.key.clone(),
            digest,
        };
        (self.requests).send(replica, (Purpose::Ask, kind), request, cx);
    }

    /// Sends a replica the newest state, unless nobody waits for that and the budget of bytes is used up.
    fn repair(&mut self, replica: usize, cx: &mut OpContext) {
        let newest = self.quorum.newest();
        let record = self.repair.get_or_insert_with(|| record_bytes(newest));
        let bytes = self.key.len() + record.len();
        if self.reply.is_some() {
            // The answer waits for it, so it may go into debt.
            cx.repair_budget.charge(bytes, cx.now.at);
        } else if !cx.repair_budget.take(bytes, cx.now.at) {
            cx.counters.repairs_refused += 1;
            return;
        }

        let request = Request::Repair {
            key: self.key.clone(),
            record: record.clone(),
        };
        let what = (Purpose::Repair, RequestKind::Repair);
        self.requests.send(replica, what, request, cx);
    }

    fn answer(&mut self, verdict: Result<(), ReadFailure>, cx: &mut OpContext) {
        let Some(reply) = self.reply.take() else {
            debug_assert!(false, "one verdict");
            return;
        };
        let background = cx.now.at.after(BACKGROUND_MICROS);
        self.requests.deadline = self.requests.deadline.min(background);

        let result = match verdict {
            Ok(()) => {
                cx.budget.earn();
                let won = |first| self.quorum.is_silent_before(first);
                cx.health.counters.hedges_won += u64::from(self.hedged.is_some_and(won));
                Ok(self.quorum.newest().clone())
            }
            Err(failure) => Err(explained(self.requests.targets(), failure, cx)),
        };
        let end = End::from(&result);
        self.requests.answer(reply, end, result, cx);
    }
}

/// Asks a node beside the quorum, for what its answer says about itself.
fn send_probe(node: NodeId, key: Bytes, cx: &mut OpContext) {
    cx.health.counters.probes += 1;
    cx.counters.attempt(RequestKind::Probe);
    let id = RequestId::probe(cx.health.counters.probes);
    let request = Request::Get { key, digest: true };
    cx.send(node, (id, cx.topology.epoch()), PROBE_MS, request);
}

fn explained(targets: &[NodeId], failure: ReadFailure, cx: &OpContext) -> ReadError {
    match failure {
        ReadFailure::Unavailable {
            answered,
            needed,
            outcomes,
        } => ReadError::Unavailable {
            answered,
            needed,
            attempts: cx.attempts(targets, outcomes),
        },
        ReadFailure::Unstable {
            held,
            needed,
            outcomes,
        } => ReadError::Unstable {
            held,
            needed,
            attempts: cx.attempts(targets, outcomes),
        },
    }
}

/// What a replica holds, by its response.
fn held_of(response: &Response) -> Result<Held, Outcome> {
    match (response.held(), response) {
        (Some(held), _) => held.map_err(Outcome::Damaged),
        (None, Response::Refused(refusal)) => Err(Outcome::of_question(*refusal)),
        (None, _other) => Err(Outcome::Damaged(OTHER_QUESTION)),
    }
}

/// Whether a replica took a write-back.
fn joined(response: &Response) -> Result<(), Outcome> {
    match response {
        Response::Joined => Ok(()),
        Response::Refused(refusal) => Err(Outcome::Refused(*refusal)),
        _other => Err(Outcome::Damaged(OTHER_QUESTION)),
    }
}
