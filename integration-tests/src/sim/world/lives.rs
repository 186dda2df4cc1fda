//! The lives of nodes and clients: how they start, and how those that end in order do.
//!
//! ```text
//!   node     start --refused by what it finds--> again, later          stop: all that waits is committed
//!            its storage failed --> stop --> start
//!   client   start --> driver, dials --> crew: the tasks of its workloads, and in the recovery phase those that must succeed
//!   twins    two clients that draw the same random numbers: they take the same actor, and mint the same dots
//! ```
//!
//! Those that end otherwise, by a fault, do so in `inflict`.

use std::rc::Rc;
use std::sync::Arc;

use quoit_client::Client;
use quoit_node::StartError;
use quoit_node::identity::IdentityError;
use quoit_ring::NodeId;
use rand::Rng as _;
use rand::rngs::SmallRng;

use super::event::Event;
use super::{RETRY, World};
use crate::history::ClientId;
use crate::sim::caller::Caller;
use crate::sim::chance::happens;
use crate::sim::coverage::CoverageEvent;
use crate::sim::session::{Crew, Phase};
use crate::workloads::{TwinPut, Workload as _};

impl World {
    pub(super) fn start_node(&mut self, node: usize) {
        let now = self.now();
        if self.machines[node].is_up() || self.machines[node].is_lost() {
            return;
        }

        let offset = self.node_offset(node);
        self.machines[node].set_clock(offset);
        let started = self.machines[node].start(now);
        let numbers = [2 << 8 | node as u64, u64::from(started.is_ok()), 0];
        self.trace.note(now, numbers, || match &started {
            Ok(_wait) => format!("n{} starts", node + 1),
            Err(error) => format!("n{} does not start: {error}", node + 1),
        });
        match started {
            Ok(wait) => {
                let life = self.machines[node].life();
                let waited = now.after(u64::try_from(wait.as_micros()).unwrap_or(u64::MAX));
                self.schedule.at(waited, Event::Serves { node, life });
                self.begin_chores(node);
            }
            Err(error) => {
                match error {
                    StartError::ClockBehind { .. } => self.site.saw(CoverageEvent::ClockBehind),
                    StartError::Identity(IdentityError::NotInitialised { .. }) => {
                        self.site.saw(CoverageEvent::DiskGone);
                    }
                    StartError::Identity(IdentityError::StoreGone { .. }) => {
                        self.site.saw(CoverageEvent::StoreGone);
                    }
                    _ => {}
                }
                self.schedule
                    .at(now.after(RETRY), Event::StartNode { node });
            }
        }
    }

    /// A node serves: a client whose connection was to an earlier process of it learns so from the next
    /// packet that it sends, since the node has kept its reset key.
    pub(super) fn serves(&mut self, node: usize, life: u32) {
        if self.machines[node].life() != life || !self.machines[node].is_up() {
            return;
        }
        self.machines[node].serve();
        for slot in 0..self.callers.len() {
            let soon = self.rng.random_range(1..=4 * self.plan.travel);
            self.break_in(slot, node, soon);
        }
    }

    pub(super) fn stop_node(&mut self, node: usize, life: u32) {
        if self.machines[node].life() != life || !self.machines[node].is_up() {
            return;
        }

        let now = self.now();
        let mut answers = std::mem::take(&mut self.answers);
        let stopped = self.machines[node].stop(now, &mut answers);
        self.answers = answers;
        let numbers = [3 << 8 | node as u64, u64::from(stopped.is_ok()), 0];
        self.trace
            .note(now, numbers, || format!("n{} stopped", node + 1));
        self.deliver_answers(node);
        self.lose_connections(node);
    }

    /// A node whose storage failed refuses everything, and is restarted after a while.
    pub(super) fn storage_failed(&mut self, node: usize) {
        self.site.saw(CoverageEvent::CommitFailed);
        let life = self.machines[node].life();
        let at = self.now().after(RETRY);
        self.schedule.at(at, Event::StopNode { node, life });
        self.schedule.at(at.after(RETRY), Event::StartNode { node });
    }

    pub(super) fn start_client(&mut self, slot: usize) {
        let seed = self.plan.seed;
        let life = self.lives.get(slot).copied().unwrap_or_default();
        let index = (slot as u64) << 16 | u64::from(life);
        if self
            .begin_life(slot, seed.stream("client", index))
            .is_none()
        {
            return;
        }
        let workloads = self.workloads.clone();
        self.crew(slot, |crew| {
            for workload in workloads {
                workload.start(crew);
            }
        });
    }

    /// Two clients that are one and the same: what a virtual machine's snapshot makes of one.
    pub(super) fn start_twins(&mut self, number: usize) {
        let mut rng = self.plan.seed.stream("twins", number as u64);
        let put = Rc::new(TwinPut {
            key: number as u64,
            large: happens(&mut rng, 500),
            blind: happens(&mut rng, 500),
        });
        for twin in 0..2 {
            let slot = self.plan.clients + 2 * number + twin;
            if self.begin_life(slot, rng.clone()).is_some() {
                let put = Rc::clone(&put);
                self.crew(slot, |crew| put.start(crew));
            }
        }
    }

    fn begin_life(&mut self, slot: usize, rng: SmallRng) -> Option<()> {
        while self.callers.len() <= slot {
            self.callers.push(None);
            self.lives.push(0);
        }

        if self.callers[slot].is_some() {
            return None;
        }

        let id = ClientId {
            slot: u16::try_from(slot).ok()?,
            life: self.lives[slot],
        };
        self.lives[slot] += 1;
        let mut builder = Client::builder().deadline(self.plan.deadline);
        if let Some(bytes) = self.plan.max_background_bytes {
            builder = builder.max_background_bytes(bytes);
        }
        if let Some(bytes) = self.plan.repair_bytes_per_second
            && slot < self.plan.clients
        {
            builder = builder.repair_bytes_per_second(bytes);
        }
        if let Some(keys) = self.plan.max_minted_keys {
            builder = builder.max_minted_keys(keys);
        }
        let (now, offset) = (self.now(), self.client_offset(slot));
        let clock = (self.plan.settings.base, now, offset);
        let ring = &Arc::clone(&self.plan.cluster.ring);
        let nodes = self.machines.len();
        let caller = Caller::start(id, builder, (ring, nodes), &self.site, rng, clock)?;
        caller.watch_minted(self.plan.max_minted_keys);
        self.callers[slot] = Some(caller);
        self.trace
            .note(now, [4 << 8, slot as u64, 0], || format!("{id} starts"));
        let members: Vec<NodeId> = ring.members().iter().map(|member| member.id).collect();
        self.link_members(slot, &members);

        Some(())
    }

    /// Gives a client tasks.
    fn crew(&mut self, slot: usize, fill: impl FnOnce(&mut Crew)) {
        let Some(caller) = self.caller_at(slot) else {
            return;
        };
        let id = caller.id();
        let index = (slot as u64) << 16 | u64::from(id.life);
        let part = match self.site.phase() {
            Phase::FaultPhase => "tasks",
            Phase::Mending | Phase::RecoveryPhase | Phase::Over => "recovery_phase tasks",
        };
        let rng = self.plan.seed.stream(part, index);
        let mut crew = Crew::new(Rc::clone(&self.site), caller.client().clone(), id, rng);
        fill(&mut crew);
        for task in crew.into_tasks() {
            self.tasks.spawn(id, task);
        }
    }

    /// Gives every client that is left tasks that must succeed.
    pub fn serve(&mut self) {
        let workloads = self.workloads.clone();
        for slot in 0..self.plan.clients {
            let workloads = workloads.clone();
            self.crew(slot, |crew| {
                for workload in workloads {
                    workload.serve(crew);
                }
                crew.spawn(|session| async move { session.look_at_health().await });
            });
        }
    }

    /// Starts one more client for one more task. It may repair all that it finds, whatever the others may.
    pub fn spawn(&mut self, fill: impl FnOnce(&mut Crew)) {
        let slot = self.callers.len();
        let index = (slot as u64) << 16;
        let rng = self.plan.seed.stream("client", index);
        if self.begin_life(slot, rng).is_some() {
            self.crew(slot, fill);
        }
    }
}
