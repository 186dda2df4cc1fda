//! Reads under way: between the [`ReadQuorum`] and the frames.
//!
//! ```text
//!   Response::Record, Absent, Refused --> answered, failed    ReadStep::Ask    --> Request::Get
//!   Response::Joined                  --> repaired            ReadStep::Repair --> Request::Repair
//! ```
//!
//! The quicker replicas are asked first. When one of them takes longer than 19 of 20 of its answers did, one
//! more replica is asked, if the budget has a token: a *hedge*, and after as long again another. Once the
//! `hedge_all_after` (100 ms) is over, all others are asked without a token: the budget bounds what speed may cost, and
//! never keeps a read from its quorum. A read that passes by a node of which nothing was heard for long sends it
//! a *probe*: a request beside the quorum, for which nobody waits. A read lives on after its caller has the
//! answer, until its repairs are sent or its deadline has passed.
//!
//! Left out: what an answer decides, which is the machine's, and who is quick, which is `health`'s.
//!
//! Source: Dean and Barroso, *The Tail at Scale* (2013), for hedged requests.

use bytes::{Bytes, BytesMut};
use quoit_ring::wire::{Request, Response, ResponseFrame, decode_record, encode_record};
use quoit_ring::{Millis, Moment, NodeId, Record, Time};
use smallvec::SmallVec;

use crate::coordinator::slab::Key;
use crate::coordinator::{
    BACKGROUND_MICROS, Coordinator, Done, OTHER_QUESTION, Purpose, RequestId, Work, micros, plan,
};
use crate::env::Now;
use crate::error::{Outcome, ReadError};
use crate::health::Route;
use crate::metrics::RequestKind;
use crate::quorum::{ReadFailure, ReadQuorum, ReadStep};
use crate::submission::Plan;

/// How long a node may take for a probe, in milliseconds: what is later has been taken for lost.
const PROBE_MS: u64 = 1_000;

/// One read.
#[derive(Debug)]
pub(crate) struct Read {
    key: Bytes,
    quorum: ReadQuorum,
    /// When to ask all further replicas; taken once that was done.
    hedge_all_after: Option<Moment>,
    /// How long it waits for each hedge, in microseconds; nothing if it does not hedge.
    hedge_after: Option<u64>,
    /// The first replica that was asked as a hedge.
    hedged: Option<usize>,
    /// The newest state, encoded once for all write-backs.
    repair: Option<Bytes>,
}

impl Read {
    /// What a request to a replica is for. Whoever is asked after the first hedge is one, too.
    pub(super) fn attempt_kind(&self, replica: usize, purpose: Purpose) -> RequestKind {
        match purpose {
            Purpose::Repair => RequestKind::Repair,
            Purpose::Ask if self.hedged.is_some_and(|first| replica >= first) => RequestKind::Hedge,
            Purpose::Ask => RequestKind::Read,
        }
    }
}

impl<T, G> Coordinator<T, G> {
    pub(super) fn start_read(&mut self, key: Bytes, plan: Plan, ticket: (T, G), now: Now) {
        let list = self.ring.preference_list(self.ring.token_of(&key));
        let mut targets: SmallVec<[NodeId; 3]> = list.owners().collect();
        let rules = match plan::read_rules(&plan, targets.len()) {
            Ok(rules) => rules,
            Err(invalid) => {
                return self
                    .done
                    .push_back((ticket.0, Done::Read(Err(invalid.into()))));
            }
        };
        let first = if rules.ask_all {
            targets.len()
        } else {
            rules.r
        };
        let Route { hedge_after, probe } = self.health.route(&mut targets, first, now.at);
        let probe = probe.map(|node| (node, key.clone()));
        let read = Read {
            key,
            quorum: ReadQuorum::new(targets.len(), rules),
            hedge_all_after: Some(now.at.after(micros(self.settings.hedge_all_after))),
            hedge_after,
            hedged: None,
            repair: None,
        };
        let running = self.running_for(Some(ticket), targets, plan.deadline, Work::Read(read), now);
        let read = self.running.insert(running);
        self.step_read(read, now);
        if let Some(wait) = hedge_after {
            self.timers.hedge_at(now.at.after(wait), read);
        }
        if let Some((node, key)) = probe {
            self.probe(node, key, now);
        }
    }

    /// Asks a node beside the quorum, for what its answer says about itself.
    fn probe(&mut self, node: NodeId, key: Bytes, now: Now) {
        self.health.counters.probes += 1;
        self.counters.attempt(RequestKind::Probe);
        let id = RequestId::probe(self.health.counters.probes);
        let request = Request::Get { key, digest: true };
        self.queue(node, id, PROBE_MS, request, now);
    }

    pub(super) fn read_answered(
        &mut self,
        key: Key,
        replica: usize,
        purpose: Purpose,
        frame: ResponseFrame,
        now: Now,
    ) {
        let clock = self.believed(frame.clock, now);
        let Some(read) = self.read(key) else { return };
        match purpose {
            Purpose::Ask => match record_of(frame.response) {
                Ok(record) => read.quorum.answered(replica, record, clock),
                Err(outcome) => read.quorum.failed(replica, outcome),
            },
            Purpose::Repair => read.quorum.repaired(replica, joined(&frame.response)),
        }
        self.step_read(key, now);
    }

    /// A node's clock, as far as it is believed: expiry is judged by it, and one node with a clock far ahead
    /// must not end everybody's values.
    fn believed(&self, clock: Time, now: Now) -> Millis {
        let latest = now.wall.0.saturating_add(self.mint.max_drift_ms());
        Millis(clock.millis().0.min(latest))
    }

    pub(super) fn read_failed(
        &mut self,
        key: Key,
        replica: usize,
        purpose: Option<Purpose>,
        outcome: &Outcome,
        now: Now,
    ) {
        let Some(read) = self.read(key) else { return };
        if purpose != Some(Purpose::Repair) {
            read.quorum.failed(replica, outcome.clone());
        }
        if purpose != Some(Purpose::Ask) {
            read.quorum.repaired(replica, Err(outcome.clone()));
        }
        self.step_read(key, now);
    }

    /// Looks at a read's deadline and `hedge_all_after`.
    pub(super) fn read_time(&mut self, key: Key, expired: bool, now: Now) {
        let Some(read) = self.read(key) else { return };
        if expired {
            read.quorum.expired();
        } else if read
            .hedge_all_after
            .is_some_and(|hedge_all_after| hedge_all_after <= now.at)
        {
            read.hedge_all_after = None;
            while read.quorum.hedge() {}
        }
        self.step_read(key, now);
    }

    /// A read has waited long enough to ask one more replica, if that is likely to help and may be paid for.
    pub(super) fn hedge(&mut self, key: Key, now: Now) {
        let Some(running) = self.running.get_mut(key) else {
            return;
        };
        let Work::Read(read) = &mut running.work else {
            return;
        };
        let Some(next) = read.quorum.next_to_hedge() else {
            return;
        };
        let node = running.targets.get(next);
        if !node.is_some_and(|&node| self.health.can_help(node, now.at)) {
            return;
        }
        if !self.budget.take() {
            self.health.counters.hedges_refused += 1;
            return;
        }
        self.health.counters.hedges += 1;
        read.hedged.get_or_insert(next);
        read.quorum.hedge();
        if let Some(wait) = read.hedge_after {
            self.timers.hedge_at(now.at.after(wait), key);
        }
        self.step_read(key, now);
    }

    fn read(&mut self, key: Key) -> Option<&mut Read> {
        match &mut self.running.get_mut(key)?.work {
            Work::Read(read) => Some(read),
            Work::Write(_) | Work::Ask | Work::Refresh => None,
        }
    }

    /// Does everything the quorum asks for now.
    fn step_read(&mut self, key: Key, now: Now) {
        while let Some(read) = self.read(key) {
            let Some(step) = read.quorum.poll_step() else {
                return;
            };
            match step {
                ReadStep::Ask { replica, digest } => {
                    let request = Request::Get {
                        key: read.key.clone(),
                        digest,
                    };
                    self.send(key, replica, Purpose::Ask, request, now);
                }
                ReadStep::Repair(replica) => self.repair(key, replica, now),
                ReadStep::Return(verdict) => {
                    let newest = read.quorum.newest().clone();
                    self.return_read(key, verdict.map(|()| newest), now);
                }
                ReadStep::Finish => {
                    self.running.remove(key);
                }
            }
        }
    }

    /// Sends a replica the newest state, unless nobody waits for that and the budget of bytes is used up.
    fn repair(&mut self, key: Key, replica: usize, now: Now) {
        let Some(running) = self.running.get_mut(key) else {
            return;
        };
        let Work::Read(read) = &mut running.work else {
            return;
        };
        let record = read
            .repair
            .get_or_insert_with(|| encoded(read.quorum.newest()));
        let bytes = read.key.len() + record.len();
        if running.ticket.is_some() {
            self.repair_budget.charge(bytes, now.at);
        } else if !self.repair_budget.take(bytes, now.at) {
            self.counters.repairs_refused += 1;
            return;
        }
        let request = Request::Repair {
            key: read.key.clone(),
            record: record.clone(),
        };
        self.send(key, replica, Purpose::Repair, request, now);
    }

    fn return_read(&mut self, key: Key, verdict: Result<Record, ReadFailure>, now: Now) {
        let Some(running) = self.running.get_mut(key) else {
            return;
        };
        let Some(ticket) = running.ticket.take() else {
            return;
        };
        running.deadline = running.deadline.min(now.at.after(BACKGROUND_MICROS));
        if let Some(trace) = &mut running.trace {
            trace.returned(now.at);
        }
        if verdict.is_ok() {
            self.budget.earn();
        }
        if let Work::Read(read) = &running.work {
            let won = |hedged| verdict.is_ok() && read.quorum.is_silent_before(hedged);
            self.health.counters.hedges_won += u64::from(read.hedged.is_some_and(won));
        }
        let result = match verdict {
            Ok(newest) => Ok(newest),
            Err(failure) => {
                let targets = running.targets.clone();
                Err(self.explain_read(&targets, failure))
            }
        };
        self.done.push_back((ticket, Done::Read(result)));
    }

    fn explain_read(&self, targets: &[NodeId], failure: ReadFailure) -> ReadError {
        match failure {
            ReadFailure::Unavailable {
                answered,
                needed,
                outcomes,
            } => ReadError::Unavailable {
                answered,
                needed,
                attempts: self.attempts(targets, outcomes),
            },
            ReadFailure::Unstable {
                held,
                needed,
                outcomes,
            } => ReadError::Unstable {
                held,
                needed,
                attempts: self.attempts(targets, outcomes),
            },
        }
    }
}

/// What a replica holds, by its answer.
fn record_of(response: Response) -> Result<Record, Outcome> {
    match response {
        Response::Record(bytes) => decode_record(&bytes).map_err(Outcome::Damaged),
        Response::Absent => Ok(Record::default()),
        Response::Refused(refusal) => Err(Outcome::Refused(refusal)),
        _other => Err(Outcome::Damaged(OTHER_QUESTION)),
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

fn encoded(record: &Record) -> Bytes {
    let mut out = BytesMut::new();
    encode_record(record, &mut out);
    out.freeze()
}
