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

mod changes;
mod commits;
mod conditions;
mod event;
mod expiry;
mod gossip;
mod handoff;
mod inflict;
mod lives;
mod loss;
mod sync;
mod wires;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use quoit_client::Driver;
use quoit_ring::change::Topology;
use quoit_ring::{Epoch, Moment, NodeId};
use rand::rngs::SmallRng;

use self::changes::Operator;
use self::event::Event;
use self::wires::Reported;
use super::caller::{Caller, CallerEnv};
use super::coverage::CoverageEvent;
use super::faults::Planned;
use super::machine::{Answered, Machine, Peer};
use super::network::Network;
use super::plan::Plan;
use super::schedule::Schedule;
use super::session::{AckedWrite, Site};
use super::tasks::Tasks;
use super::trace::{Lines, Trace, digest};
use crate::history::{ClientId, ClockOff, Held, Side};
use crate::workloads::{Workload, mix};

/// How long a node or client that cannot start waits before the next try, in microseconds.
const RETRY: u64 = 300_000;

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
    /// Connections from node to node: which, if there is one.
    peers: BTreeMap<(usize, usize), Peer>,
    rng: SmallRng,
    trace: Trace,
    answers: Vec<Answered>,
    /// What each node reported as its clock.
    reported: Vec<Reported>,
    /// Nodes that did not count all of their hints, and may keep too many until they have fewer again.
    uncounted: BTreeSet<usize>,
    /// Connections off which frames were read that are not submitted yet.
    reading: BTreeSet<(Peer, usize)>,
    /// How often the disk had hit its node when a fault of it began.
    disk_fired: Vec<u64>,
    /// Who owned what, by epoch: all that any node has learned of.
    epochs: BTreeMap<Epoch, Topology>,
    /// Operators that have not got what they want, by number.
    operators: BTreeMap<usize, Operator>,
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
        let machine = |(node, id): (usize, NodeId)| {
            let first = Arc::clone(&plan.cluster.first);
            let mut settings = plan.settings.clone();
            if let Some((_, bytes)) = plan.short_frames.filter(|&(short, _)| short == node) {
                settings.small.max_frame = bytes;
            }
            Machine::new(id, first, settings)
        };
        let mut world = Self {
            site: Rc::new(Site::new(plan.pause)),
            schedule: Schedule::default(),
            tasks: Tasks::default(),
            machines: (plan.cluster.nodes(plan.spares()).into_iter().enumerate())
                .map(machine)
                .collect(),
            callers: Vec::new(),
            lives: Vec::new(),
            network: Network::new(seed.stream("network", 0), plan.travel, plan.faults.len()),
            active: Vec::new(),
            felt: vec![0; plan.faults.len()],
            workloads: mix(&mut workloads_rng, replication),
            peers: BTreeMap::new(),
            rng: seed.stream("world", 0),
            trace: Trace::new(lines),
            answers: Vec::new(),
            reported: vec![Reported::default(); plan.node_clocks.len()],
            uncounted: BTreeSet::new(),
            reading: BTreeSet::new(),
            disk_fired: vec![0; plan.faults.len()],
            epochs: BTreeMap::new(),
            operators: BTreeMap::new(),
            plan,
        };
        world.note_clocks();
        for node in 0..world.machines.len() {
            world.schedule.at(Moment(0), Event::StartNode { node });
        }

        for slot in 0..world.plan.clients {
            world
                .schedule
                .at(Moment(1_000), Event::StartClient { slot });
        }

        for (number, &at) in world.plan.twins.iter().enumerate() {
            world.schedule.at(at, Event::Twins { number });
        }

        for (number, &(at, _)) in world.plan.changes.iter().enumerate() {
            world.schedule.at(at, Event::Operates { number });
        }

        for (fault, planned) in world.plan.faults.iter().enumerate() {
            if kept(fault) {
                world.schedule.at(planned.at, Event::Begins { fault });
            }
        }

        world
    }

    /// Records in the history which clocks are wrong from the beginning.
    fn note_clocks(&self) {
        let until = Moment(u64::MAX);
        let nodes = (self.plan.node_clocks.iter().enumerate())
            .map(|(number, &by_ms)| (Side::Node, number, by_ms));
        let clients = (self.plan.client_clocks.iter().enumerate())
            .map(|(number, &by_ms)| (Side::Client, number, by_ms));
        let off = nodes.chain(clients).map(|(side, number, by_ms)| ClockOff {
            side,
            number,
            from: Moment(0),
            until,
            by_ms,
        });
        self.site.recorder().borrow_mut().history_mut().clocks_off = off.collect();
    }

    /// What all tasks share: history, coverage, phase.
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
    pub fn run_until(&mut self, limit: Moment, done: impl Fn(&Self) -> bool) -> bool {
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

    /// Polls all that is awake and sends what they submit, until nothing is awake.
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

    /// Records which nodes store the writes that were just acknowledged.
    fn note_holders(&self, acked: &AckedWrite) {
        let owns = |topology: &Topology, node: NodeId| {
            let lists = topology.lists(topology.token_of(&acked.key));
            lists.is_owner(node)
        };
        let newest = self.epochs.values().next_back();
        let is_owner = |node| newest.is_some_and(|newest| owns(newest, node));
        // Where the ring changes, whoever holds it has owned it when it joined it.
        let was_owner = |node| self.epochs.values().any(|epoch| owns(epoch, node));
        let has = |machine: &Machine| machine.held(&acked.key).record().seen().contains(acked.dot);
        let keeps = |machine: &Machine| {
            let mut targets = self.machines.iter().map(Machine::id);
            targets.any(|target| machine.keeps(target, &acked.key, acked.dot))
        };
        let (mut owners, mut others, mut former, mut lossy) = (0, 0, 0, 0);

        for machine in &self.machines {
            let node = machine.id();
            if was_owner(node) && has(machine) {
                owners += 1;
            } else if keeps(machine) {
                others += 1; // an owner by one epoch may keep it in another
            } else if is_owner(node) {
                lossy += usize::from(machine.lacks_something());
            } else {
                former += usize::from(was_owner(node));
            }
        }

        let held = Held {
            op: acked.op,
            owners,
            others,
            former,
            lossy,
        };
        let mut recorder = self.site.recorder().borrow_mut();
        recorder.history_mut().held.push(held);
    }

    /// Takes the next event or sleeper; false if there is none before `limit`.
    fn step(&mut self, limit: Moment) -> bool {
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
            Event::Submit { peer, node } => self.submit(peer, node),
            Event::ToClient { peer, node, frame } => self.arrive_at_client(peer, node, frame),
            Event::Dial { client, node } => self.dial(client, node),
            Event::Connected { peer, node, life } => self.connected(peer, node, life),
            Event::Broken { peer, node } => self.broken(peer, node),
            Event::Tick { client } => self.tick(client),
            Event::Hints { node, life } => self.look_after_hints(node, life),
            Event::Page {
                node,
                life,
                target,
                after,
            } => {
                if after.is_some() {
                    self.site.saw(CoverageEvent::HintPage);
                }
                self.read_hints((node, life), target, after.as_deref());
            }
            Event::LostPeer { node, life, to } => self.lost_peer(node, life, to),
            Event::Committed { node, life } => self.committed(node, life),
            Event::Idle { node, life } => self.idle(node, life),
            Event::Rebuild { node, life } => self.rebuild(node, life),
            Event::Operates { number } => self.operate(number),
            Event::Insists { number } => self.insist(number),
            Event::SeesToLoss { node } => self.see_to_loss(node),
            Event::Change { node, life } => self.look_after_change(node, life),
            Event::Gossip { node, life } => self.look_after_gossip(node, life),
            Event::GossipCame { node, life } => self.take_gossip(node, life),
            Event::Sync { node, life } => self.look_after_sync(node, life),
            Event::SyncLooked { node, life, wanted } => self.look_for_sync((node, life), &wanted),
            Event::Expiry { node, life } => self.look_after_expiry(node, life),
            Event::ExpiryLooked { node, life, wanted } => {
                self.look_for_expired((node, life), &wanted);
            }
            Event::Leftovers {
                node,
                life,
                epoch,
                after,
            } => self.read_leftovers((node, life), epoch, after.as_ref()),
            Event::StartNode { node } => self.start_node(node),
            Event::Serves { node, life } => self.serves(node, life),
            Event::StopNode { node, life } => self.stop_node(node, life),
            Event::StartClient { slot } => self.start_client(slot),
            Event::Twins { number } => self.start_twins(number),
            Event::Begins { fault } => self.begin_fault(fault),
            Event::Ends { fault } => self.end_fault(fault),
        }
    }

    fn now(&self) -> Moment {
        self.site.now()
    }

    fn caller_at(&self, slot: usize) -> Option<&Caller> {
        self.callers.get(slot).and_then(Option::as_ref)
    }

    /// Gives a client's driver an input, lets it send, and plans its next call.
    fn drive(&mut self, slot: usize, input: impl FnOnce(&mut Driver<CallerEnv>)) {
        let (now, offset) = (self.now(), self.client_offset(slot));
        let Some(Some(caller)) = self.callers.get_mut(slot) else {
            return;
        };
        let driver = caller.driver(now, offset);
        input(driver);
        driver.pump();
        let mut frames = Vec::new();
        caller.take_frames(&mut frames);
        let members = caller.new_members();
        let (client, tick) = (caller.id(), caller.new_tick());
        if let Some(tick) = tick {
            self.schedule.at(Moment(tick.0), Event::Tick { client });
        }

        if let Some(members) = members {
            self.link_members(slot, &members);
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

    fn note_frame(&mut self, kind: u64, (peer, node): (Peer, usize), frame: &Bytes) {
        let who = u64::from(peer.slot) << 48 | u64::from(peer.connection) << 8 | node as u64;
        let now = self.site.now();
        self.trace.note(now, [kind, who, digest(frame)], || {
            wires::describe(kind, peer, node, frame)
        });
    }
}
