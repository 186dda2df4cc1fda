//! A disk that is lost for ever, and the operator who writes it off.
//!
//! ```text
//!   lost --a while--> written off --> left out, with a spare in its place or without --> settled
//! ```
//!
//! The operator asks for what `quoit cluster write-off` asks for, and then for what `quoit cluster plan` makes of it: it
//! looks again and again what some node knows, and does what is next. Whatever other operators do meanwhile, also reverts, it
//! goes on until the lost node is no member.
//!
//! One disk is lost in a run, while all other nodes have what they acknowledged: two copies of a write survive that, one
//! does not. Nothing reads the disk any more but the checks, which must know what was on it.

use quoit_ring::NodeId;
use quoit_ring::change::{Configuration, Known};
use rand::Rng as _;

use super::World;
use super::event::Event;
use crate::sim::chance::happens;
use crate::sim::coverage::CoverageEvent;

/// The number of the operator who sees to a loss, among operators.
const OPERATOR: usize = 1 << 12;
/// How soon it looks again.
const AGAIN: core::ops::Range<u64> = 100_000..400_000;

impl World {
    pub(super) fn lose_disk(&mut self, fault: usize, node: usize) {
        if !self.may_lose_disk(node) {
            return;
        }
        self.felt[fault] += 1;
        if self.machines[node].is_committing() {
            self.site.saw(CoverageEvent::CommitCut);
        }
        let mut rng = self.crash_rng(fault, node);
        self.machines[node].lose_disk(&mut rng);
        self.lose_connections(node);
        let mut recorder = self.site.recorder().borrow_mut();
        recorder.history_mut().lost_disks += 1;
    }

    /// Whether it is a member that is up, and the only one that lacks or will lack something.
    fn may_lose_disk(&self, node: usize) -> bool {
        let machine = &self.machines[node];
        let is_member = |known: Known| {
            let now = known.configuration();
            now.is_member(machine.id()) && !now.is_written_off(machine.id())
        };
        machine.is_up_on_its_disk()
            && self.newest().is_some_and(is_member)
            && self.others_are_complete(node)
            && !self.machines.iter().any(|machine| machine.is_lost())
    }

    /// Whether no member's disk is lost, and if one was, its copies are made again.
    #[must_use]
    pub fn is_loss_seen_to(&self) -> bool {
        let mut machines = self.machines.iter();
        let Some(lost) = machines.find(|machine| machine.is_lost()) else {
            return true;
        };
        let is_member = |known: Known| known.configuration().is_member(lost.id());
        !self.newest().is_none_or(is_member) && self.is_settled()
    }

    /// An operator looks what is to be done next for a lost disk, and asks for it.
    pub(super) fn see_to_loss(&mut self, node: usize) {
        if !self.machines[node].is_lost() {
            return;
        }
        if self.is_loss_seen_to() {
            return self.site.saw(CoverageEvent::LossSeenTo);
        }
        let at = self.now().after(self.rng.random_range(AGAIN));
        self.schedule.at(at, Event::SeesToLoss { node });
        let asked = self.rng.random_range(0..self.machines.len());
        let Some(known) = self.machines[asked].newest() else {
            return;
        };
        if self.is_at_work(OPERATOR) {
            return;
        }
        let lost = self.machines[node].id();
        if let Some(next) = self.next_for(lost, &known) {
            let name = NodeId(self.rng.random());
            let wanted = format!("n{} out, whose disk is lost", lost.0);
            self.propose((OPERATOR, name), known.configuration(), next, &wanted);
        }
    }

    /// What comes next for a lost member; none if it is no member, or must wait.
    fn next_for(&mut self, lost: NodeId, known: &Known) -> Option<Configuration> {
        let now = known.configuration();
        if !now.is_member(lost) {
            return None;
        }
        if !now.is_written_off(lost) {
            let loss = known.loss(&[lost]);
            // The command line refuses without `--accept-loss`.
            let is_accepted = loss.no_majority <= 0.0;
            return is_accepted.then(|| now.without_copies_of(&[lost]).ok())?;
        }
        self.site.saw(CoverageEvent::WrittenOff);
        let has_enough = now.map.members.len() > usize::from(now.map.replication);
        let is_replaced = happens(&mut self.rng, 500) || !has_enough;
        let spares = is_replaced.then_some(self.plan.spares());
        let target = (self.plan.cluster).without(&now.map, lost, spares, &mut self.rng)?;
        now.begin(target, self.plan.arcs).ok()
    }
}
