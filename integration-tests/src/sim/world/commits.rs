//! When a node's disk works: commits, the calls of an idle committer, and the rebuild of the sums.
//!
//! ```text
//!   request arrives --> a batch begins --(commit time, slow disk)--> committed --> answers out
//!                            ^                                            '--> the next batch, if some wait
//!                            '-- while one is under way, what arrives gathers
//! ```
//!
//! A paused node commits when it resumes. One whose commit fails serves nothing until it is started
//! again.

use quoit_node::walks::NextStep;

use super::World;
use super::event::Event;
use crate::history::HintExcess;
use crate::sim::chance::delay;
use crate::sim::machine::hints_on_disk;

/// How long a step of the rebuild of the sums takes, in microseconds.
const REBUILD: u64 = 2_000;
/// How often an idle committer is called, in microseconds.
const IDLE: u64 = 1_000_000;

impl World {
    pub(super) fn committed(&mut self, node: usize, life: u32) {
        if self.machines[node].life() != life || !self.machines[node].is_up() {
            return;
        }
        if let Some(resumes) = self.paused_node(node) {
            return self.schedule.at(resumes, Event::Committed { node, life });
        }

        let done = self.machines[node].end_commit();
        let failed = u64::from(done.is_err());
        let numbers = [1 << 8 | node as u64, failed, 0];
        self.trace.note(self.site.now(), numbers, || match &done {
            Ok(()) => format!("n{} committed", node + 1),
            Err(error) => format!("n{} commit failed: {error}", node + 1),
        });
        if done.is_ok() {
            self.note_exposure(node);
            self.note_hints(node);
            self.note_hint_excess(node);
        }

        self.deliver_answers(node);
        match done {
            Ok(()) => self.begin_commit(node),
            Err(_) => self.storage_failed(node),
        }
    }

    /// Looks whether a node that syncs before it answers is about to answer before it has synced.
    fn note_exposure(&self, node: usize) {
        let machine = &self.machines[node];
        if machine.is_up() && machine.has_answers() && machine.exposed() > 0 {
            let early = (machine.id(), self.now());
            let mut recorder = self.site.recorder().borrow_mut();
            recorder.history_mut().acked_early.push(early);
        }
    }

    /// Looks whether a node keeps more for others than it may.
    fn note_hint_excess(&mut self, node: usize) {
        let machine = &self.machines[node];
        if machine.missed_a_hint() {
            self.uncounted.insert(node); // it does not know what it keeps
            return;
        }
        let limits = &self.plan.settings.limits;
        let kept = hints_on_disk(machine);
        let of_one = (kept.values().map(|&(_, bytes)| bytes).max()).unwrap_or_default();
        let of_all = kept.values().map(|&(_, bytes)| bytes).sum();
        let bounds = [
            (of_one, limits.max_hint_bytes_per_node),
            (of_all, limits.max_hint_bytes),
        ];
        let mut found = bounds
            .into_iter()
            .filter(|(bytes, max)| bytes > max)
            .peekable();
        if found.peek().is_none() {
            self.uncounted.remove(&node);
        } else if self.uncounted.contains(&node) {
            return; // an earlier life did not, and took too much
        }
        let (holder, at) = (self.machines[node].id(), self.now());
        let found = found.map(|(bytes, max)| HintExcess {
            holder,
            at,
            bytes,
            max,
        });
        let mut recorder = self.site.recorder().borrow_mut();
        recorder.history_mut().hint_excess.extend(found);
    }

    /// Starts the next commit of a node, if something waits and none is under way.
    pub(super) fn begin_commit(&mut self, node: usize) {
        let now = self.now();
        match self.machines[node].begin_commit(now) {
            Ok(false) => {}
            Ok(true) => {
                let takes = delay(&mut self.rng, self.plan.commit) + self.disk_delay(node);
                let life = self.machines[node].life();
                let at = now.after(takes);
                self.schedule.at(at, Event::Committed { node, life });
            }
            Err(_failed) => self.storage_failed(node),
        }
        self.note_epoch(node);
        self.deliver_answers(node); // of orders
        if self.machines[node].finish_orders(now) {
            self.carry_change_out(node);
        }
    }

    pub(super) fn idle(&mut self, node: usize, life: u32) {
        if self.machines[node].life() != life || !self.machines[node].is_up() {
            return;
        }
        let now = self.now();
        let rest = self.machines[node].idle_rest();
        let at = self.paused_node(node).unwrap_or_else(|| now.after(rest));
        self.schedule.at(at, Event::Idle { node, life });
        if self.paused_node(node).is_none() && self.machines[node].idle(now).is_err() {
            self.storage_failed(node);
        }
    }

    pub(super) fn rebuild(&mut self, node: usize, life: u32) {
        let now = self.now();
        if self.machines[node].life() != life {
            return;
        }
        let pause = match self.machines[node].rebuild(now) {
            NextStep::Soon => REBUILD,
            NextStep::At(_) => IDLE,
            NextStep::Never => return,
        };
        let at = now.after(pause);
        self.schedule.at(at, Event::Rebuild { node, life });
    }

    /// A process has just started: its idle calls and the rebuild of its sums begin.
    pub(super) fn begin_chores(&mut self, node: usize) {
        let (now, life) = (self.now(), self.machines[node].life());
        self.schedule
            .at(now.after(IDLE), Event::Idle { node, life });
        self.schedule
            .at(now.after(REBUILD), Event::Rebuild { node, life });
        self.schedule
            .at(now.after(REBUILD), Event::Hints { node, life });
        self.schedule
            .at(now.after(REBUILD), Event::Change { node, life });
        if self.plan.gossips {
            self.schedule
                .at(now.after(REBUILD), Event::Gossip { node, life });
        }
        if self.plan.syncs {
            self.schedule
                .at(now.after(REBUILD), Event::Sync { node, life });
        }
        if self.plan.sweeps {
            self.schedule
                .at(now.after(REBUILD), Event::Expiry { node, life });
        }
    }
}
