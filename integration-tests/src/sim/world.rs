//! The world: machines, callers, the network between them, and the one loop that moves time.
//!
//! ```text
//!   loop   poll every task that is awake --> what callers submitted --> frames out
//!          nothing awake?  take the next event: its moment is the present
//!            frame arrives | commit ends | tick | connection made or broken | fault begins or ends | sleeper
//! ```
//!
//! Everything happens on one thread in one order. What would differ from run to run is not in here: no hash
//! maps, no threads, no clocks, and randomness from named streams of the seed.

mod inflict;
mod wires;

use std::fmt;
use std::rc::Rc;

use bytes::Bytes;
use quoit_client::Client;
use quoit_node::StartError;
use quoit_node::engine::layout::{NAMESPACE, record_key};
use quoit_node::engine::{Keyspace, Snapshot as _};
use quoit_ring::NodeId;
use quoit_ring::wire::decode_record;
use rand::rngs::SmallRng;

use super::caller::Caller;
use super::chance::delay;
use super::faults::Planned;
use super::machine::{Answered, Machine, Peer};
use super::network::Network;
use super::plan::Plan;
use super::schedule::Schedule;
use super::session::{Acked, Crew, Phase, Site};
use super::sights::Sight;
use super::tasks::Tasks;
use super::trace::{Lines, Trace, digest};
use crate::history::{ClientId, ClockOff, Held, Micros, Side};
use crate::workloads::{TwinPut, Workload};

/// How often an idle committer is called, in microseconds.
const IDLE: u64 = 1_000_000;
/// How long a step of the rebuild of the sums takes.
const REBUILD: u64 = 2_000;
/// How long somebody who cannot start waits before the next try.
const RETRY: u64 = 300_000;

/// Something that is to happen.
#[derive(Debug)]
enum Event {
    ToNode {
        peer: Peer,
        node: usize,
        frame: Bytes,
    },
    ToClient {
        peer: Peer,
        node: usize,
        frame: Bytes,
    },
    Dial {
        client: ClientId,
        node: usize,
    },
    Connected {
        peer: Peer,
        node: usize,
        life: u32,
    },
    Broken {
        peer: Peer,
        node: usize,
    },
    Tick {
        client: ClientId,
    },
    Committed {
        node: usize,
        life: u32,
    },
    Idle {
        node: usize,
        life: u32,
    },
    Rebuild {
        node: usize,
        life: u32,
    },
    StartNode {
        node: usize,
    },
    StopNode {
        node: usize,
        life: u32,
    },
    StartClient {
        slot: usize,
    },
    Twins {
        number: usize,
    },
    Begins {
        fault: usize,
    },
    Ends {
        fault: usize,
    },
}

/// One simulated world.
pub struct World {
    plan: Plan,
    site: Rc<Site>,
    schedule: Schedule<Event>,
    tasks: Tasks<ClientId>,
    machines: Vec<Machine>,
    callers: Vec<Option<Caller>>,
    /// How many lives each client has had.
    lives: Vec<u16>,
    network: Network,
    /// Faults in force, by their number in the plan.
    active: Vec<usize>,
    /// How often faults that are not the network's were felt.
    felt: Vec<u64>,
    workloads: Vec<Rc<dyn Workload>>,
    rng: SmallRng,
    trace: Trace,
    answers: Vec<Answered>,
    /// How often the disk had hit its node when a fault of it began.
    disk_fired: Vec<u64>,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World")
            .field("seed", &self.plan.seed)
            .field("now", &self.site.now())
            .finish_non_exhaustive()
    }
}

impl World {
    /// A world at time 0. Only faults whose number is in `kept` will happen; `None` keeps all.
    #[must_use]
    pub fn new(plan: Plan, kept: impl Fn(usize) -> bool, lines: Option<Lines>) -> Self {
        let seed = plan.seed;
        let mut workloads_rng = seed.stream("workloads", 0);
        let replication = plan.cluster.first.map.replication;
        let machine = |member: &quoit_ring::Member| {
            let first = std::sync::Arc::clone(&plan.cluster.first);
            Machine::new(member.id, first, plan.settings.clone())
        };
        let mut world = Self {
            site: Rc::new(Site::new(plan.pause)),
            schedule: Schedule::default(),
            tasks: Tasks::default(),
            machines: plan.cluster.ring.members().iter().map(machine).collect(),
            callers: Vec::new(),
            lives: Vec::new(),
            network: Network::new(seed.stream("network", 0), plan.travel, plan.faults.len()),
            active: Vec::new(),
            felt: vec![0; plan.faults.len()],
            workloads: crate::workloads::mix(&mut workloads_rng, replication),
            rng: seed.stream("world", 0),
            trace: Trace::new(lines),
            answers: Vec::new(),
            disk_fired: vec![0; plan.faults.len()],
            plan,
        };
        world.note_clocks();
        for node in 0..world.machines.len() {
            world.schedule.at(Micros(0), Event::StartNode { node });
        }
        for slot in 0..world.plan.clients {
            world
                .schedule
                .at(Micros(1_000), Event::StartClient { slot });
        }
        for (number, &at) in world.plan.twins.iter().enumerate() {
            world.schedule.at(at, Event::Twins { number });
        }
        for (fault, planned) in world.plan.faults.iter().enumerate() {
            if kept(fault) {
                world.schedule.at(planned.at, Event::Begins { fault });
            }
        }
        world
    }

    /// Tells the history whose clock is off from the beginning.
    fn note_clocks(&self) {
        let until = Micros(u64::MAX);
        let nodes = self
            .plan
            .node_clocks
            .iter()
            .map(|&by_ms| (Side::Node, by_ms));
        let clients = self
            .plan
            .client_clocks
            .iter()
            .map(|&by_ms| (Side::Client, by_ms));
        let off = nodes.chain(clients).map(|(side, by_ms)| ClockOff {
            side,
            from: Micros(0),
            until,
            by_ms,
        });
        self.site.recorder().borrow_mut().history_mut().clocks_off = off.collect();
    }

    /// What all tasks share: history, sights, phase.
    #[must_use]
    pub const fn site(&self) -> &Rc<Site> {
        &self.site
    }

    /// The plan.
    #[must_use]
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The machines.
    #[must_use]
    pub fn machines(&self) -> &[Machine] {
        &self.machines
    }

    /// The trace so far.
    #[must_use]
    pub const fn trace(&self) -> &Trace {
        &self.trace
    }

    /// Each fault of the plan with how often it was felt.
    #[must_use]
    pub fn faults(&self) -> Vec<(Planned, u64)> {
        let felt = |fault: usize| self.network.felt(fault) + self.felt[fault];
        let numbered = self.plan.faults.iter().cloned().enumerate();
        numbered
            .map(|(fault, planned)| (planned, felt(fault)))
            .collect()
    }

    /// Tasks that have not ended.
    #[must_use]
    pub const fn tasks_alive(&self) -> usize {
        self.tasks.alive()
    }

    /// Whether no client has anything under way.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.callers.iter().flatten().all(Caller::is_idle)
    }

    /// Lets the world go on until `done` says so, or until `limit`; whether `done` did.
    pub fn run_until(&mut self, limit: Micros, done: impl Fn(&Self) -> bool) -> bool {
        loop {
            self.settle();
            if done(self) {
                return true;
            }
            if !self.step(limit) {
                return false;
            }
        }
    }

    /// Polls all that is awake and sends what comes of it, until nothing is awake.
    fn settle(&mut self) {
        while let Some(owner) = self.tasks.poll_next() {
            let slot = usize::from(owner.slot);
            let submitted = |caller: &Caller| caller.id() == owner && caller.has_submissions();
            if self.caller_at(slot).is_some_and(submitted) && self.paused_client(slot).is_none() {
                self.drive(slot, |driver| driver.take_in());
            }
            for acked in self.site.take_acked() {
                self.note_holders(&acked);
            }
        }
    }

    /// Looks who really has what a caller was just told is stored.
    fn note_holders(&self, acked: &Acked) {
        let ring = &self.plan.cluster.ring;
        let list = ring.preference_list(ring.token_of(&acked.key));
        let key = record_key(NAMESPACE, &acked.key);
        let holds = |owner: &NodeId| {
            let machine = self
                .machines
                .iter()
                .find(|machine| machine.id() == *owner)?;
            let store = machine.own_disk().contents();
            let record = decode_record(&store.get(Keyspace::Records, &key).ok()??).ok()?;
            record.seen().contains(acked.dot).then_some(())
        };
        let owners = list.owners().filter(|owner| holds(owner).is_some()).count();
        let held = Held {
            op: acked.op,
            owners,
        };
        self.site
            .recorder()
            .borrow_mut()
            .history_mut()
            .held
            .push(held);
    }

    /// Takes the next event or sleeper; false if there is none before `limit`.
    fn step(&mut self, limit: Micros) -> bool {
        let timeline = Rc::clone(self.site.timeline());
        let (event, sleeper) = (self.schedule.next_at(), timeline.next_at());
        let next = match (event, sleeper) {
            (Some(event), Some(sleeper)) => event.min(sleeper),
            (Some(at), None) | (None, Some(at)) => at,
            (None, None) => return false,
        };
        if next > limit {
            timeline.advance(limit);
            return false;
        }
        timeline.advance(next);
        if event == Some(next)
            && let Some((_, event)) = self.schedule.pop()
        {
            self.happen(event);
        }
        true
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::ToNode { peer, node, frame } => self.arrive_at_node(peer, node, frame),
            Event::ToClient { peer, node, frame } => self.arrive_at_client(peer, node, frame),
            Event::Dial { client, node } => self.dial(client, node),
            Event::Connected { peer, node, life } => self.connected(peer, node, life),
            Event::Broken { peer, node } => self.broken(peer, node),
            Event::Tick { client } => self.tick(client),
            Event::Committed { node, life } => self.committed(node, life),
            Event::Idle { node, life } => self.idle(node, life),
            Event::Rebuild { node, life } => self.rebuild(node, life),
            Event::StartNode { node } => self.start_node(node),
            Event::StopNode { node, life } => self.stop_node(node, life),
            Event::StartClient { slot } => self.start_client(slot),
            Event::Twins { number } => self.start_twins(number),
            Event::Begins { fault } => self.begin_fault(fault),
            Event::Ends { fault } => self.end_fault(fault),
        }
    }

    fn now(&self) -> Micros {
        self.site.now()
    }

    fn caller_at(&self, slot: usize) -> Option<&Caller> {
        self.callers.get(slot).and_then(Option::as_ref)
    }

    /// Gives a client's driver an input, lets it send, and plans its next call.
    fn drive(
        &mut self,
        slot: usize,
        input: impl FnOnce(&mut quoit_client::Driver<super::caller::CallerEnv>),
    ) {
        let (now, offset) = (self.now(), self.client_offset(slot));
        let Some(Some(caller)) = self.callers.get_mut(slot) else {
            return;
        };
        let driver = caller.driver(now, offset);
        input(driver);
        driver.pump();
        let mut frames = Vec::new();
        caller.take_frames(&mut frames);
        let (client, tick) = (caller.id(), caller.new_tick());
        if let Some(tick) = tick {
            self.schedule.at(Micros(tick.0), Event::Tick { client });
        }
        for sent in frames {
            self.send_to_node(client, sent);
        }
    }

    fn tick(&mut self, client: ClientId) {
        let slot = usize::from(client.slot);
        if let Some(resumes) = self.paused_client(slot) {
            return self.schedule.at(resumes, Event::Tick { client });
        }
        match self.callers.get_mut(slot) {
            Some(Some(caller)) if caller.id() == client => caller.ticks = None,
            _ => return,
        }
        self.drive(slot, |driver| driver.tick());
    }

    fn committed(&mut self, node: usize, life: u32) {
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
        self.deliver_answers(node);
        match done {
            Ok(()) => self.begin_commit(node),
            Err(_) => self.storage_failed(node),
        }
    }

    /// Starts the next commit of a node, if something waits and none is under way.
    fn begin_commit(&mut self, node: usize) {
        let now = self.now();
        if self.machines[node].begin_commit(now) {
            let takes = delay(&mut self.rng, self.plan.commit) + self.disk_delay(node);
            let life = self.machines[node].life();
            let at = now.after(takes);
            self.schedule.at(at, Event::Committed { node, life });
        }
    }

    fn idle(&mut self, node: usize, life: u32) {
        if self.machines[node].life() != life || !self.machines[node].is_up() {
            return;
        }
        let now = self.now();
        let at = self.paused_node(node).unwrap_or_else(|| now.after(IDLE));
        self.schedule.at(at, Event::Idle { node, life });
        if self.paused_node(node).is_none() && self.machines[node].idle(now).is_err() {
            self.storage_failed(node);
        }
    }

    fn rebuild(&mut self, node: usize, life: u32) {
        if self.machines[node].life() == life && self.machines[node].rebuild() {
            let at = self.now().after(REBUILD);
            self.schedule.at(at, Event::Rebuild { node, life });
        }
    }

    fn start_node(&mut self, node: usize) {
        let now = self.now();
        if self.machines[node].is_up() {
            return;
        }
        let offset = self.node_offset(node);
        self.machines[node].set_clock(offset);
        let started = self.machines[node].start(now);
        let numbers = [2 << 8 | node as u64, u64::from(started.is_ok()), 0];
        self.trace.note(now, numbers, || match &started {
            Ok(()) => format!("n{} starts", node + 1),
            Err(error) => format!("n{} does not start: {error}", node + 1),
        });
        let life = self.machines[node].life();
        match started {
            Ok(()) => {
                self.site
                    .recorder()
                    .borrow_mut()
                    .history_mut()
                    .starts
                    .push(now);
                self.schedule
                    .at(now.after(IDLE), Event::Idle { node, life });
                self.schedule
                    .at(now.after(REBUILD), Event::Rebuild { node, life });
            }
            Err(error) => {
                match error {
                    StartError::ClockBehind { .. } => self.site.saw(Sight::ClockBehind),
                    StartError::StoreGone { .. } => self.site.saw(Sight::StoreGone),
                    _ => {}
                }
                self.schedule
                    .at(now.after(RETRY), Event::StartNode { node });
            }
        }
    }

    fn stop_node(&mut self, node: usize, life: u32) {
        if self.machines[node].life() != life || !self.machines[node].is_up() {
            return;
        }
        let now = self.now();
        let stopped = self.machines[node].stop(now);
        let numbers = [3 << 8 | node as u64, u64::from(stopped.is_ok()), 0];
        self.trace
            .note(now, numbers, || format!("n{} stopped", node + 1));
        self.deliver_answers(node);
        self.lose_connections(node);
    }

    /// A node whose storage failed refuses everything; somebody restarts it after a while.
    fn storage_failed(&mut self, node: usize) {
        self.site.saw(Sight::CommitFailed);
        let life = self.machines[node].life();
        let at = self.now().after(RETRY);
        self.schedule.at(at, Event::StopNode { node, life });
        self.schedule.at(at.after(RETRY), Event::StartNode { node });
    }

    fn start_client(&mut self, slot: usize) {
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
    fn start_twins(&mut self, number: usize) {
        let mut rng = self.plan.seed.stream("twins", number as u64);
        let put = Rc::new(TwinPut {
            key: number as u64,
            large: super::chance::happens(&mut rng, 500),
            blind: super::chance::happens(&mut rng, 500),
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
        let builder = Client::builder().deadline(self.plan.deadline);
        let (now, offset) = (self.now(), self.client_offset(slot));
        let clock = (self.plan.settings.base, now, offset);
        let ring = &self.plan.cluster.ring;
        let caller = Caller::start(id, builder, ring, &self.site, rng, clock)?;
        self.callers[slot] = Some(caller);
        self.trace
            .note(now, [4 << 8, slot as u64, 0], || format!("{id} starts"));
        for node in 0..self.machines.len() {
            self.schedule.at(now, Event::Dial { client: id, node });
        }
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
            Phase::Storm => "tasks",
            Phase::Mending | Phase::Calm | Phase::Over => "calm tasks",
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
            });
        }
    }

    /// Gives the first client one more task.
    pub fn spawn(&mut self, fill: impl FnOnce(&mut Crew)) {
        self.crew(0, fill);
    }

    fn note_frame(&mut self, kind: u64, (peer, node): (Peer, usize), frame: &Bytes) {
        let who = u64::from(peer.slot) << 48 | u64::from(peer.connection) << 8 | node as u64;
        let now = self.site.now();
        self.trace.note(now, [kind, who, digest(frame)], || {
            wires::describe(kind, peer, node, frame)
        });
    }
}
