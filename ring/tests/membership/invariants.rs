//! What must hold at every moment, and what once all is well again.

use quoit_ring::Epoch;
use quoit_ring::change::Configuration;
use quoit_ring::consensus::Ballot;

use super::clients::Kind;
use super::defects::Defect;
use super::lists::{Count, Lists, Role};
use super::node::{Node, Writes};
use super::world::{Body, NODES, Reached, World};

/// Read quorums of so many of the last epochs are looked at.
const EPOCHS: usize = 6;
/// Rounds of everybody doing its part until a change must have ended, and until somebody reverts it.
const ROUNDS: usize = 120;
const REVERT_AFTER: usize = 40;

impl World {
    /// Something is decided.
    pub(crate) fn note(&mut self, decided: &Configuration) {
        let place = usize::try_from(decided.epoch.0).unwrap() - 1;
        match self.history.get(place) {
            Some((same, _)) if same == decided => return,
            Some(_) => return self.violate("one-chain", format!("two of epoch {}", place + 1)),
            None if place > self.history.len() => {
                return self.violate(
                    "one-chain",
                    format!("epoch {} comes from nowhere", place + 1),
                );
            }
            None => {}
        }
        let before = self.newest().0.clone();
        let target = decided.change.as_ref().map(|change| &change.target);
        let mut maps = core::iter::once(&decided.map).chain(target);
        let is_banned = |id| before.removed.binary_search(&id).is_ok();
        if maps.any(|map| map.members.iter().any(|member| is_banned(member.id))) {
            self.violate("banned-stays-out", format!("epoch {}", place + 1));
        }
        if let Err(error) = decided.check() {
            self.violate("one-chain", format!("epoch {}: {error}", place + 1));
        }

        let lists = Lists::of(decided);
        self.trace(|| {
            format!(
                "epoch {}: {lists:?}, removed {:?}",
                place + 1,
                decided.removed
            )
        });
        self.history.push((decided.clone(), lists));
        self.reach(Reached::Epoch);
        let is_turned =
            |it: &Configuration| it.change.as_ref().map(|change| change.hand.is_turned());
        match (is_turned(&before), is_turned(decided)) {
            (Some(false), None) if decided.map == before.map => self.reach(Reached::Reverted),
            (Some(false), Some(true)) => self.reach(Reached::Reverted),
            (Some(false), None) => self.reach(Reached::Ended),
            _ => {}
        }
        if decided.removed.len() > before.removed.len() {
            self.reach(Reached::Removed);
        }
    }

    pub(crate) fn check(&mut self) {
        let last = self.history.len();
        for epoch in last.saturating_sub(EPOCHS) + 1..=last {
            self.quorums_meet(Epoch(epoch as u64));
        }
        self.nothing_lost();
    }

    /// Whether all nodes that lack a write and may still answer in that epoch are no quorum of it.
    fn quorums_meet(&mut self, epoch: Epoch) {
        let lists = self.lists(epoch);
        let may_answer = |id| {
            let node = self.node(id);
            let learns = !self.is_removed(id) || node.epoch() >= epoch;
            !node.is_lost && node.fence <= epoch && learns
        };
        // A newcomer empties the range before it takes it.
        let has = |id| {
            let node = self.node(id);
            let takes = lists.role(id) == Role::Newcomer && node.taken != Some(epoch);
            if takes { 0 } else { node.has }
        };
        let answering = lists.owners.iter().filter(|&&id| may_answer(id));
        let mut lacking = answering.fold(0, |all, &id| all | (self.obliged & !has(id)));
        let count = if self.has_defect(Defect::ReadsInOneList) {
            Count::Old
        } else {
            Count::Both
        };
        while lacking != 0 {
            let write = 1 << lacking.trailing_zeros();
            lacking &= !write;
            if lists.majority(count, |id| may_answer(id) && has(id) & write == 0) {
                let what = format!(
                    "write {write:b} is in no answer of epoch {}: {lists:?}",
                    epoch.0
                );
                return self.violate("quorums-meet", what);
            }
        }
    }

    fn is_gone(&self, node: &Node) -> bool {
        node.is_lost || self.is_removed(node.id)
    }

    /// What was acknowledged and is not in `kept`, though one who acknowledged it is still there.
    fn missing(&self, kept: Writes) -> Option<Writes> {
        self.operations.iter().find_map(|operation| {
            let Kind::Write { write, .. } = operation.kind else {
                return None;
            };
            let mut acked = operation.acks.iter();
            let is_there = acked.any(|&(id, _)| !self.is_gone(self.node(id)));
            (operation.is_done && is_there && kept & write == 0).then_some(write)
        })
    }

    fn nothing_lost(&mut self) {
        let kept = self.nodes.iter().filter(|node| !self.is_gone(node));
        let kept = kept.fold(0, |all, node| all | node.has);
        if let Some(write) = self.missing(kept) {
            self.violate("nothing-lost", format!("write {write:b} is nowhere"));
        }
    }

    /// All is well again: nobody is down or cut off, messages come, everybody does its part.
    pub(crate) fn heal(&mut self) {
        for node in &mut self.nodes {
            (node.is_up, node.is_cut) = (!node.is_lost, false);
        }
        for round in 0..ROUNDS {
            self.round(round);
            self.check();
            if self.violation.is_some() || self.is_settled() {
                break;
            }
        }
        if self.violation.is_none() {
            self.settled();
        }
    }

    fn round(&mut self, round: usize) {
        for at in 0..NODES {
            while !self.nodes[at].queue.is_empty() {
                self.join_one(at);
            }
        }
        self.broadcast();
        self.deliver_all();

        let newest = self.newest().0.clone();
        let mut voters = newest.voters.iter().copied();
        let driver = if self.has_defect(Defect::OnlyTheFirstVoterDrives) {
            voters.next().filter(|&voter| self.node(voter).is_up)
        } else {
            voters.find(|&voter| self.node(voter).is_up)
        };
        if let Some(driver) = driver {
            let driver = usize::try_from(driver.0).unwrap();
            if round % REVERT_AFTER == REVERT_AFTER - 1 {
                self.revert(driver);
            } else if round % 5 == 4 {
                self.again(driver);
            } else {
                self.drive(driver);
            }
        }
        for at in 0..NODES {
            self.pull(at);
            self.clean(at);
        }
        self.deliver_all();
    }

    /// From who knows the newest epoch to everybody.
    fn broadcast(&mut self) {
        let up = (0..NODES).filter(|&at| self.nodes[at].is_up);
        let knows = up.max_by_key(|&at| self.nodes[at].epoch());
        if let Some(from) = knows {
            let known = self.nodes[from].chain.decided().clone();
            let behind = self.nodes.iter().filter(|node| node.epoch() < known.epoch);
            let behind: Vec<_> = behind.map(|node| node.id).collect();
            let about = (known.epoch, Ballot::ZERO);
            self.tell(from, &behind, about, &Body::Learn(Box::new(known)));
        }
    }

    fn deliver_all(&mut self) {
        for _ in 0..5_000 {
            if self.messages.is_empty() || self.violation.is_some() {
                return;
            }
            let at = self.rng.index(self.messages.len());
            let message = self.messages.swap_remove(at);
            self.deliver(message);
        }
    }

    fn present(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| !self.is_gone(node))
    }

    fn is_settled(&self) -> bool {
        let (newest, _) = self.newest();
        let is_clean = |node: &Node| node.epoch() == newest.epoch && !node.has_leftovers();
        newest.change.is_none() && self.present().all(is_clean)
    }

    fn settled(&mut self) {
        let (newest, lists) = self.newest().clone();
        if newest.change.is_some() {
            for node in &self.nodes {
                self.trace(|| node.describe());
            }
            self.trace(|| format!("voters {:?}", newest.voters));
            return self.violate("settles", format!("epoch {}: {lists:?}", newest.epoch.0));
        }
        let left: Vec<_> = self.present().filter(|node| node.has_leftovers()).collect();
        if let Some(node) = left.first() {
            let what = format!("{} still holds {:b}", node.id, node.has);
            return self.violate("nothing-left-behind", what);
        }
        let owners = self
            .present()
            .filter(|node| lists.owners.contains(&node.id));
        let held = owners.fold(0, |all, node| all | node.has);
        if let Some(write) = self.missing(held) {
            self.violate(
                "nothing-left-behind",
                format!("write {write:b} is at no owner"),
            );
        }
    }
}
