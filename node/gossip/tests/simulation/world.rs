//! Nodes with their machines, the network between them, and what is done to both.
//!
//! ```text
//!   Wake -> handle_time --+                       .-- lost, or cut off, or its receiver is dead
//!                         +--> Send -> bytes -----+
//!   Deliver <- decode ----+        0.2 to 2 ms    '-> Deliver, later if its receiver is paused
//!   Behind  -> Fetched: the member set of that epoch
//! ```
//!
//! Every message travels as bytes. Losing one message of twenty is far worse than what the transport does, which sends
//! lost datagrams again: here it stands for connections that break. One seed, one run.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use quoit_gossip::{BadOptions, Body, Build, Facts, Gossip, Incarnation, Message, Options, Step};
use quoit_ring::wire::MemberState;
use quoit_ring::{Epoch, Moment, NodeId};

use crate::rng::Rng;

/// Shortest and longest way of a message, in microseconds.
const DELAY: (u64, u64) = (200, 2_000);

/// One node sees another in a new state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) at: Moment,
    pub(crate) seer: usize,
    pub(crate) member: usize,
    pub(crate) to: MemberState,
}

enum Event {
    Wake {
        node: usize,
        life: u64,
    },
    Deliver {
        from: usize,
        to: usize,
        bytes: Vec<u8>,
    },
    Fetched {
        node: usize,
        life: u64,
        epoch: Epoch,
    },
}

pub(crate) struct Node {
    /// Unless it is dead.
    pub(crate) gossip: Option<Gossip>,
    pub(crate) epoch: Epoch,
    pub(crate) is_isolated: bool,
    life: u64,
    paused_until: Moment,
    /// Nodes of different sides cannot reach each other.
    side: u8,
    /// What is added to the way of each message from or to it.
    slow: u64,
}

/// All there is.
pub(crate) struct World {
    pub(crate) now: Moment,
    pub(crate) nodes: Vec<Node>,
    pub(crate) changes: Vec<Change>,
    pub(crate) bytes: u64,
    pub(crate) longest: usize,
    pub(crate) messages: u64,
    pub(crate) twins: usize,
    pub(crate) pings: u64,
    /// How often a node found that it hears no majority.
    pub(crate) isolations: u64,
    /// Messages lost, of 10,000.
    pub(crate) loss: u64,
    /// Pairs between which nothing gets through.
    pub(crate) broken: BTreeSet<(usize, usize)>,
    /// Everything that happened, in one number.
    pub(crate) trace: u64,
    options: Options,
    /// Members by epoch, the first of which is 1.
    decided: Vec<Vec<NodeId>>,
    events: BTreeMap<(Moment, u64), Event>,
    rng: Rng,
    /// Events made so far.
    made: u64,
}

const fn id_of(node: usize) -> NodeId {
    NodeId(node as u64 + 1)
}

fn node_of(id: NodeId) -> usize {
    usize::try_from(id.0).unwrap_or_default().saturating_sub(1)
}

fn facts_in(epoch: Epoch) -> Facts {
    Facts {
        build: Build::new("0.1.0"),
        epoch,
        free_bytes: 400_000_000_000,
        ..Facts::default()
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

impl World {
    /// `count` nodes that start within a second, all of them members in epoch 1.
    pub(crate) fn new(count: usize, seed: u64, options: Options) -> Result<Self, BadOptions> {
        let mut world = Self {
            now: Moment(0),
            nodes: Vec::new(),
            changes: Vec::new(),
            bytes: 0,
            longest: 0,
            messages: 0,
            twins: 0,
            pings: 0,
            isolations: 0,
            loss: 0,
            broken: BTreeSet::new(),
            trace: seed,
            options,
            decided: vec![(0..count).map(id_of).collect()],
            events: BTreeMap::new(),
            rng: Rng(seed),
            made: 0,
        };
        for _ in 0..count {
            world.add()?;
        }
        Ok(world)
    }

    /// Starts one more node, with the newest epoch.
    pub(crate) fn add(&mut self) -> Result<usize, BadOptions> {
        let node = self.nodes.len();
        self.nodes.push(Node {
            gossip: None,
            epoch: self.newest(),
            is_isolated: true,
            life: 0,
            paused_until: Moment(0),
            side: 0,
            slow: 0,
        });
        self.restart(node)?;
        Ok(node)
    }

    /// Starts a node again: it knows its epoch, and nothing else.
    pub(crate) fn restart(&mut self, node: usize) -> Result<(), BadOptions> {
        let start = self.now.after(self.rng.below(1_000_000));
        let of = &mut self.nodes[node];
        of.life += 1;
        let (facts, options) = (facts_in(of.epoch), self.options.clone());
        let mut gossip = Gossip::new(id_of(node), Incarnation(of.life), facts, options, self.now)?;
        gossip.handle_members(self.decided[place(of.epoch)].iter().copied(), self.now);
        (of.gossip, of.is_isolated) = (Some(gossip), true);
        let life = of.life;
        self.schedule(start, Event::Wake { node, life });
        Ok(())
    }

    pub(crate) fn kill(&mut self, node: usize) {
        self.nodes[node].gossip = None;
    }

    pub(crate) fn pause(&mut self, node: usize, length: Duration) {
        self.nodes[node].paused_until = self.now + length;
    }

    pub(crate) fn slow_down(&mut self, node: usize, delay: Duration) {
        self.nodes[node].slow = micros(delay);
    }

    /// Moves nodes to a side of the network.
    pub(crate) fn cut_off(&mut self, nodes: impl IntoIterator<Item = usize>, side: u8) {
        for node in nodes {
            self.nodes[node].side = side;
        }
    }

    pub(crate) fn heal(&mut self) {
        self.nodes.iter_mut().for_each(|node| node.side = 0);
    }

    /// Decides the next epoch; only `node` learns it, by other ways than gossip.
    pub(crate) fn decide(&mut self, members: impl IntoIterator<Item = usize>, node: usize) {
        self.decided.push(members.into_iter().map(id_of).collect());
        self.fetched(node, self.newest());
    }

    /// The same members once more.
    pub(crate) fn decide_again(&mut self, node: usize) {
        self.decided
            .push(self.decided[place(self.newest())].clone());
        self.fetched(node, self.newest());
    }

    pub(crate) const fn newest(&self) -> Epoch {
        Epoch(self.decided.len() as u64)
    }

    /// How many nodes that run hold this epoch.
    pub(crate) fn know(&self, epoch: Epoch) -> usize {
        let knows = |node: &&Node| node.gossip.is_some() && node.epoch >= epoch;
        self.nodes.iter().filter(knows).count()
    }

    /// How one node sees another; `None` if it does not run, or does not know that id.
    pub(crate) fn state(&self, seer: usize, member: usize) -> Option<MemberState> {
        let gossip = self.nodes[seer].gossip.as_ref()?;
        Some(gossip.member(id_of(member))?.state)
    }

    pub(crate) fn run(&mut self, length: Duration) {
        self.run_while(length, |_| true);
    }

    /// Runs for `length` at most, and stops after the event with which `goes_on` has ended.
    pub(crate) fn run_while(&mut self, length: Duration, goes_on: impl Fn(&Self) -> bool) {
        let end = self.now + length;
        while let Some(first) = self.events.first_entry()
            && first.key().0 <= end
        {
            let ((at, _), event) = first.remove_entry();
            self.now = self.now.max(at);
            self.happen(event);
            if !goes_on(self) {
                return;
            }
        }
        self.now = end;
    }

    fn happen(&mut self, event: Event) {
        let node = match &event {
            Event::Wake { node, .. } | Event::Fetched { node, .. } => *node,
            Event::Deliver { to, .. } => *to,
        };
        let paused_until = self.nodes[node].paused_until;
        if paused_until > self.now {
            self.schedule(paused_until, event);
            return;
        }
        match event {
            Event::Wake { node, life } => self.wake(node, life),
            Event::Deliver { from, to, bytes } => {
                let Some(gossip) = &mut self.nodes[to].gossip else {
                    return;
                };
                if let Ok(message) = Message::decode(&bytes) {
                    gossip.handle_message(id_of(from), message, self.now);
                }
                self.take_steps(to);
            }
            Event::Fetched { node, life, epoch } => {
                if self.nodes[node].life == life {
                    self.fetched(node, epoch);
                }
            }
        }
    }

    fn wake(&mut self, node: usize, life: u64) {
        let random = self.rng.next();
        let of = &mut self.nodes[node];
        let Some(gossip) = of.gossip.as_mut().filter(|_| of.life == life) else {
            return;
        };
        gossip.handle_facts(facts_in(of.epoch), self.now);
        gossip.handle_time(self.now, random);
        let next = gossip.next_wake();
        self.take_steps(node);
        self.schedule(next, Event::Wake { node, life });
    }

    fn fetched(&mut self, node: usize, epoch: Epoch) {
        let of = &mut self.nodes[node];
        if epoch <= of.epoch {
            return;
        }
        of.epoch = epoch;
        if let Some(gossip) = &mut of.gossip {
            gossip.handle_members(self.decided[place(epoch)].iter().copied(), self.now);
            gossip.handle_facts(facts_in(epoch), self.now);
        }
        self.take_steps(node);
    }

    fn take_steps(&mut self, node: usize) {
        while let Some(step) = (self.nodes[node].gossip.as_mut()).and_then(Gossip::poll_step) {
            match step {
                Step::Send { to, message } => self.send(node, node_of(to), &message),
                Step::Changed { member, to, .. } => {
                    let member = node_of(member);
                    self.note(member as u64 ^ to as u64);
                    self.changes.push(Change {
                        at: self.now,
                        seer: node,
                        member,
                        to,
                    });
                }
                Step::Isolation(is_isolated) => {
                    self.isolations += u64::from(is_isolated);
                    self.nodes[node].is_isolated = is_isolated;
                }
                Step::Behind { epoch, from } => {
                    if self.is_open(node, node_of(from)) {
                        let at = self.now.after(2 * self.delay(node, node_of(from)));
                        let life = self.nodes[node].life;
                        self.schedule(at, Event::Fetched { node, life, epoch });
                    }
                }
                Step::Resolve => {
                    // The first three nodes are the seeds.
                    for seed in 0..3 {
                        let is_open = seed != node && self.is_open(node, seed);
                        let gossip = self.nodes[node].gossip.as_mut().filter(|_| is_open);
                        if let Some(gossip) = gossip {
                            gossip.handle_seed(id_of(seed), self.now);
                        }
                    }
                }
                Step::Twin(_) => self.twins += 1,
            }
        }
    }

    fn send(&mut self, from: usize, to: usize, message: &Message) {
        let bytes = message.encode();
        self.bytes += bytes.len() as u64;
        self.longest = self.longest.max(bytes.len());
        self.messages += 1;
        self.pings += u64::from(matches!(message.body, Body::Ping { .. }));
        self.note((from as u64) << 40 ^ (to as u64) << 20 ^ bytes.len() as u64);
        if !self.is_open(from, to) || self.rng.chance(self.loss) {
            return;
        }
        let at = self.now.after(self.delay(from, to));
        self.schedule(at, Event::Deliver { from, to, bytes });
    }

    fn is_open(&self, from: usize, to: usize) -> bool {
        let (here, Some(there)) = (&self.nodes[from], self.nodes.get(to)) else {
            return false;
        };
        let is_broken = self.broken.contains(&(from, to)) || self.broken.contains(&(to, from));
        there.gossip.is_some() && here.side == there.side && !is_broken
    }

    fn delay(&mut self, from: usize, to: usize) -> u64 {
        let (least, most) = DELAY;
        least + self.rng.below(most - least) + self.nodes[from].slow + self.nodes[to].slow
    }

    fn schedule(&mut self, at: Moment, event: Event) {
        self.made += 1;
        self.events.insert((at, self.made), event);
    }

    const fn note(&mut self, what: u64) {
        let mut mixed = Rng(self.trace ^ what ^ self.now.0);
        self.trace = mixed.next();
    }
}

/// The place of an epoch's members.
fn place(epoch: Epoch) -> usize {
    usize::try_from(epoch.0)
        .unwrap_or_default()
        .saturating_sub(1)
}
