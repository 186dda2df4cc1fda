//! Changes of the ring: operators who ask for them, and the nodes that carry them out.
//!
//! ```text
//!   operator --Prepare, Accept--> voters --> decided --Learn--> all        a change begins, or is reverted
//!   node     look, a hundred times a second --> ChangeDriver --> frames to other nodes
//!                                                    |----> orders to its committer
//!                                                    '----> rows read that it does not own
//! ```
//!
//! An operator is a proposer as the command line has one: it knows what some node knows, and gives up after a while. Two
//! may be at work at a time.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use quoit_node::change::Act;
use quoit_ring::change::{Configuration, Decision, DecisionStep, Known};
use quoit_ring::consensus::Ballot;
use quoit_ring::role::Role;
use quoit_ring::wire::configuration::encode_answer;
use quoit_ring::wire::{
    MembershipAnswer, MembershipRequest, Request, RequestFrame, Response, ResponseFrame,
};
use quoit_ring::{Epoch, NodeId};
use rand::Rng as _;

use super::World;
use super::event::Event;
use crate::sim::chance::happens;
use crate::sim::coverage::CoverageEvent;
use crate::sim::faults::Way;
use crate::sim::machine::Peer;
use crate::sim::plan::Target;

/// The number of the first operator among clients.
const OPERATORS: usize = 1 << 13;
/// How often a node's driver is called, in microseconds.
const LOOK: u64 = 10_000;
/// How often while no change is under way.
const IDLE: u64 = 200_000;
/// How long reading a page of rows takes.
const READ: core::ops::Range<u64> = 300..20_000;
/// How soon an operator asks again.
const AGAIN: core::ops::Range<u64> = 100_000..400_000;
/// How often it does before it gives up.
const TRIES: u32 = 8;

/// Somebody who changes the ring.
#[derive(Debug)]
pub(super) struct Operator {
    decision: Decision,
    tries: u32,
    last_id: u64,
    /// What was asked by which request: the ballot of its attempt.
    asked: Vec<(u64, Ballot)>,
}

impl World {
    /// An operator asks for a change, or for its revert.
    pub(super) fn operate(&mut self, number: usize) {
        let node = self.rng.random_range(0..self.machines.len());
        let is_revert = happens(&mut self.rng, 500);
        let name = NodeId(self.rng.random());
        let Some(known) = self.machines[node].newest() else {
            return;
        };
        let base = known.configuration();
        let wanted = self.plan.changes[number].1;
        let next = match (&base.change, is_revert) {
            (None, _) => self.target(base, wanted),
            (Some(_), true) => base.revert(),
            (Some(_), false) => None,
        };
        let Some(next) = next else {
            return;
        };
        self.propose((number, name), base, next, &format!("{wanted:?}"));
    }

    /// An operator asks the voters for what is to follow, by a name that no other proposer has.
    pub(super) fn propose(
        &mut self,
        (number, name): (usize, NodeId),
        base: &Configuration,
        next: Configuration,
        wanted: &str,
    ) {
        self.trace.note(self.now(), [9 << 8, next.epoch.0, 0], || {
            format!("operator {number} wants {wanted}: epoch {}", next.epoch.0)
        });
        let decision = Decision::new(Arc::new(base.clone()), next, name);
        let first = decision.first();
        let operator = Operator {
            decision,
            tries: 0,
            last_id: 0,
            asked: Vec::new(),
        };
        self.operators.insert(number, operator);
        self.ask_voters(number, &first);
        let at = self.now().after(self.rng.random_range(AGAIN));
        self.schedule.at(at, Event::Insists { number });
    }

    /// Whether an operator has not got what it wants yet, and has not given up.
    pub(super) fn is_at_work(&self, number: usize) -> bool {
        self.operators.contains_key(&number)
    }

    /// The configuration in which the ring begins to change as wanted; none if it cannot.
    fn target(&mut self, base: &Configuration, wanted: Target) -> Option<Configuration> {
        let target = (self.plan.cluster).target(&base.map, &base.removed, wanted, &mut self.rng)?;
        base.begin(target, self.plan.arcs).ok()
    }

    /// An operator has not got what it wants yet.
    pub(super) fn insist(&mut self, number: usize) {
        let Some(operator) = self.operators.get_mut(&number) else {
            return;
        };
        operator.tries += 1;
        if operator.tries > TRIES {
            self.operators.remove(&number);
            return;
        }
        let again = operator.decision.again();
        self.ask_voters(number, &again);
        let at = self.now().after(self.rng.random_range(AGAIN));
        self.schedule.at(at, Event::Insists { number });
    }

    fn ask_voters(&mut self, number: usize, request: &MembershipRequest) {
        let Some(operator) = self.operators.get(&number) else {
            return;
        };
        for voter in operator.decision.voters().to_vec() {
            self.ask_as_operator(number, voter, request.clone());
        }
    }

    fn ask_as_operator(&mut self, number: usize, to: NodeId, request: MembershipRequest) {
        let Some(operator) = self.operators.get_mut(&number) else {
            return;
        };
        operator.last_id += 1;
        let (id, ballot) = (operator.last_id, operator.decision.ballot());
        operator.asked.push((id, ballot));
        let frame = RequestFrame {
            id,
            epoch: operator.decision.after(),
            budget_ms: 2_000,
            request: Request::Membership(request),
        };
        let mut machines = self.machines.iter();
        let Some(node) = machines.position(|machine| machine.id() == to) else {
            return;
        };
        if !self.machines[node].is_serving() {
            return;
        }
        let peer = Peer {
            slot: u16::try_from(OPERATORS + number).unwrap_or(u16::MAX),
            life: 0,
            connection: 0,
        };
        // A new connection takes the place of one to an earlier process.
        self.machines[node].connect(peer, Role::Admin);
        let mut bytes = BytesMut::new();
        frame.encode(&mut bytes);
        let frame = bytes.split_off(4).freeze();
        self.dispatch(peer, node, Way::ToNode, &frame);
    }

    /// Which operator this is, if it is one.
    pub(super) fn operator_at(slot: usize) -> Option<usize> {
        let is_operator = (OPERATORS..2 * OPERATORS).contains(&slot);
        is_operator.then(|| slot - OPERATORS)
    }

    /// A voter has answered an operator.
    pub(super) fn arrive_at_operator(&mut self, number: usize, node: usize, frame: &Bytes) {
        let (from, Ok(frame)) = (
            self.machines[node].id(),
            ResponseFrame::decode(frame.clone()),
        ) else {
            return;
        };
        let Some(operator) = self.operators.get_mut(&number) else {
            return;
        };
        let asked = operator.asked.iter().find(|(id, _)| *id == frame.id);
        let (Some(&(_, ballot)), Response::Membership(answer)) = (asked, frame.response) else {
            return;
        };
        let learned = matches!(*answer, MembershipAnswer::Learned(_));
        let step = operator.decision.answered(from, ballot, *answer);
        match step {
            Ok(Some(DecisionStep::Ask(request))) => self.ask_voters(number, &request),
            Ok(Some(DecisionStep::Teach(request))) => self.ask_as_operator(number, from, request),
            Ok(Some(DecisionStep::Decided(next))) => {
                self.site.saw(CoverageEvent::RingChanged);
                let decided: Bytes = encode_answer(None, &next).into();
                for node in 0..self.machines.len() {
                    let (to, decided) = (self.machines[node].id(), decided.clone());
                    self.ask_as_operator(number, to, MembershipRequest::Learn { decided });
                }
                self.operators.remove(&number);
            }
            Ok(Some(DecisionStep::Overtaken(_))) => {
                self.operators.remove(&number);
            }
            Ok(None) if learned => {
                if let Some(operator) = self.operators.get(&number) {
                    let asking = operator.decision.asking().clone();
                    self.ask_as_operator(number, from, asking);
                }
            }
            Ok(Some(DecisionStep::Beaten) | None) | Err(_) => {}
        }
    }

    /// A node's driver looks what is due.
    pub(super) fn look_after_change(&mut self, node: usize, life: u32) {
        if self.machines[node].life() != life || !self.machines[node].is_up() {
            return;
        }
        let now = self.now();
        if let Some(resumes) = self.paused_node(node) {
            return self.schedule.at(resumes, Event::Change { node, life });
        }
        if self.machines[node].is_serving() {
            self.machines[node].handle_change_time(now);
        }
        let pause = if self.machines[node].is_changing() {
            LOOK
        } else {
            IDLE
        };
        self.schedule
            .at(now.after(pause), Event::Change { node, life });
        self.carry_change_out(node);
    }

    /// A node has read a page of rows that it does not own.
    pub(super) fn read_leftovers(
        &mut self,
        (node, life): (usize, u32),
        epoch: Epoch,
        after: Option<&Bytes>,
    ) {
        if self.machines[node].life() == life {
            let now = self.now();
            self.machines[node].read_leftovers(epoch, after, now);
            self.carry_change_out(node);
        }
    }

    /// Does all that a node's driver wants done.
    pub(super) fn carry_change_out(&mut self, node: usize) {
        let (now, life) = (self.now(), self.machines[node].life());
        let mut has_ordered = false;
        while let Some(act) = self.machines[node].poll_change() {
            match act {
                Act::Send { to, frame } => {
                    self.note_membership(&frame.request);
                    self.send_to_peer(node, to, &frame);
                }
                Act::Order { ticket, task } => {
                    has_ordered = true;
                    self.machines[node].order(ticket, task, now);
                }
                Act::Look { epoch, after } => {
                    let at = now.after(self.rng.random_range(READ));
                    let event = Event::Leftovers {
                        node,
                        life,
                        epoch,
                        after,
                    };
                    self.schedule.at(at, event);
                }
            }
        }
        if has_ordered {
            self.begin_commit(node);
        }
    }

    fn note_membership(&self, request: &Request) {
        let event = match request {
            Request::Membership(MembershipRequest::Pull { .. }) => CoverageEvent::Pulled,
            Request::Repair { .. } => CoverageEvent::Pushed,
            _ => return,
        };
        self.site.saw(event);
    }

    /// Records who owns what by the newest epoch that a node has learned.
    pub(super) fn note_epoch(&mut self, node: usize) {
        if let Some(known) = self.machines[node].newest() {
            (self.epochs.entry(known.epoch())).or_insert_with(|| known.topology().clone());
        }
    }

    /// The newest epoch that any node knows.
    #[must_use]
    pub fn newest(&self) -> Option<Known> {
        let known = self.machines.iter().filter_map(|machine| machine.newest());
        known.max_by_key(Known::epoch)
    }

    /// What is not settled, for people.
    #[must_use]
    pub fn unsettled(&self) -> String {
        let now = self.now();
        let machines = self.machines.iter();
        let states = machines
            .map(|machine| format!("n{}: {}", machine.id().0, machine.describe_change(now)));
        states.collect::<Vec<_>>().join("; ")
    }

    /// Whether every member has all that it acknowledged. One that was removed does not start any more.
    #[must_use]
    pub fn all_are_complete(&self) -> bool {
        let newest = self.newest();
        let is_removed = |id: NodeId| {
            let mut newest = newest.iter();
            newest.any(|newest| newest.configuration().removed.binary_search(&id).is_ok())
        };
        let mut left = self.machines.iter().filter(|it| !is_removed(it.id()));
        left.all(|machine| !machine.lacks_something())
    }

    /// Whether every member knows the newest epoch, no change is under way, and nobody has left anything behind.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let Some(newest) = self.newest() else {
            return false;
        };
        let members = newest.topology().members().map(|member| member.id);
        newest.configuration().change.is_none()
            && members.into_iter().all(|member| {
                let mut machines = self.machines.iter();
                let machine = machines.find(|machine| machine.id() == member);
                machine.is_some_and(|it| it.is_settled_in(newest.epoch()))
            })
    }
}
