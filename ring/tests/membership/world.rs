//! All there is, and what happens to it, step by step.

use quoit_ring::change::Configuration;
use quoit_ring::change::chain::Vote;
use quoit_ring::consensus::Ballot;
use quoit_ring::{Epoch, NodeId};

use super::clients::Operation;
use super::defects::{Defect, Violation};
use super::lists::Lists;
use super::maps::first;
use super::node::{Node, Writes};
use super::rng::Rng;

/// Nodes that ever exist, and members at a time.
pub(crate) const NODES: usize = 12;
pub(crate) const MEMBERS: usize = 6;
/// Most messages that are under way; one more and one is lost.
const MESSAGES: usize = 80;

/// What nodes say to each other. `epoch` is the one that it is about.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) epoch: Epoch,
    pub(crate) ballot: Ballot,
    pub(crate) body: Body,
}

#[derive(Debug, Clone)]
pub(crate) enum Body {
    Prepare,
    Accept(Box<Configuration>),
    Vote(Box<Vote>),
    Learn(Box<Configuration>),
    /// A driver asks an owner to refuse what is older, and how far it is.
    Fence,
    Report {
        is_fenced: bool,
        pulled: Vec<NodeId>,
    },
    PullAsk,
    Pull(Writes),
    Push(Writes),
    Pushed,
}

pub(crate) struct World {
    pub(crate) rng: Rng,
    pub(crate) defect: Option<Defect>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) messages: Vec<Message>,
    /// What was decided, and its lists.
    pub(crate) history: Vec<(Configuration, Lists)>,
    pub(crate) operations: Vec<Operation>,
    pub(crate) written: u32,
    /// What every read quorum must hold.
    pub(crate) obliged: Writes,
    pub(crate) proposed: u64,
    pub(crate) violation: Option<Violation>,
    pub(crate) counted: [u64; 9],
}

/// What a run has reached.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reached {
    Epoch,
    Ended,
    Reverted,
    Acked,
    Read,
    Cleaned,
    Removed,
    Raced,
    Lost,
}

impl World {
    pub(crate) fn run(seed: u64, defect: Option<Defect>, is_traced: bool) -> Self {
        let mut rng = Rng::seeded(seed);
        rng.traced = is_traced;
        let first = first(&mut rng);
        let node = |id: usize| Node::new(NodeId(id as u64), &first);
        let lists = Lists::of(&first);
        let mut world = Self {
            defect,
            nodes: (0..NODES).map(node).collect(),
            messages: Vec::new(),
            history: vec![(first.clone(), lists)],
            operations: Vec::new(),
            written: 0,
            obliged: 0,
            proposed: 0,
            violation: None,
            counted: [0; 9],
            rng,
        };
        for _ in 0..500 + world.rng.below(1_500) {
            world.step();
            world.check();
            if world.violation.is_some() {
                return world;
            }
        }
        world.heal();
        world
    }

    pub(crate) fn counts(&self) -> [u64; 9] {
        self.counted
    }

    pub(crate) fn describe(sum: [u64; 9]) -> String {
        use Reached as R;
        let all = [
            R::Epoch,
            R::Ended,
            R::Reverted,
            R::Acked,
            R::Read,
            R::Cleaned,
            R::Removed,
            R::Raced,
            R::Lost,
        ];
        let each = all.map(|reached| format!("{reached:?} {}", sum[reached as usize]));
        each.join(", ")
    }

    /// Whether of each thing at least this many happen in ten runs.
    pub(crate) fn is_eventful(sum: [u64; 9], runs: u64) -> bool {
        let least = [30, 8, 3, 30, 30, 5, 5, 5, 4];
        let mut both = sum.into_iter().zip(least);
        both.all(|(count, least)| count * 10 >= runs * least)
    }

    pub(crate) fn reach(&mut self, what: Reached) {
        self.counted[what as usize] += 1;
    }

    pub(crate) fn trace(&self, what: impl FnOnce() -> String) {
        if self.rng.traced {
            println!("{}", what());
        }
    }

    pub(crate) fn violate(&mut self, invariant: &'static str, what: String) {
        self.trace(|| format!("{invariant} is broken: {what}"));
        self.violation.get_or_insert(Violation { invariant, what });
    }

    pub(crate) fn has_defect(&self, defect: Defect) -> bool {
        self.defect == Some(defect)
    }

    pub(crate) fn newest(&self) -> &(Configuration, Lists) {
        self.history.last().unwrap()
    }

    pub(crate) fn lists(&self, epoch: Epoch) -> &Lists {
        &self.history[usize::try_from(epoch.0).unwrap() - 1].1
    }

    pub(crate) fn is_removed(&self, node: NodeId) -> bool {
        self.newest().0.removed.contains(&node)
    }

    fn step(&mut self) {
        let at = self.somebody();
        match self.rng.below(1_000) {
            0..510 if !self.messages.is_empty() => self.deliver_one(),
            510..520 if !self.messages.is_empty() => {
                let lost = self.rng.index(self.messages.len());
                self.messages.swap_remove(lost);
            }
            520..560 => self.drive(at),
            560..680 => self.client(),
            680..770 => self.join_one(at),
            770..800 => self.start(),
            800..820 => self.gossip(at),
            820..830 => {
                // Whoever has refused old epochs for its own reasons.
                let node = &mut self.nodes[at];
                let most = node.epoch().0 - node.fence.0;
                let to = Epoch(node.fence.0 + self.rng.below(most + 1));
                let is_durable = self.defect != Some(Defect::VolatileFence);
                node.raise_fence(to, is_durable);
            }
            830..875 => self.pull(at),
            875..900 => self.clean(at),
            900..930 => self.begin(at),
            930..932 => self.revert(at),
            932..945 => self.again(at),
            945..951 => self.crash(at),
            951..952 => {
                // Two owners at once.
                for _ in 0..2 {
                    let owners = self.newest().1.owners.clone();
                    let owner = owners[self.rng.index(owners.len())];
                    self.crash(usize::try_from(owner.0).unwrap());
                }
            }
            952..980 => self.nodes[at].is_up = !self.nodes[at].is_lost,
            980..983 => self.nodes[at].is_cut = true,
            983..995 => self.nodes[at].is_cut = false,
            995..996 => self.lose(at),
            _ => self.client(),
        }
        if self.messages.len() > MESSAGES {
            let lost = self.rng.index(MESSAGES);
            self.messages.swap_remove(lost);
        }
    }

    /// Mostly a member, of any epoch.
    fn somebody(&mut self) -> usize {
        let known = self.rng.index(self.history.len());
        let known = if self.rng.percent(70) {
            self.history.len() - 1
        } else {
            known
        };
        let (configuration, lists) = &self.history[known];
        let members = &configuration.map.members;
        let at = match self.rng.below(3) {
            0 => self.rng.index(NODES) as u64,
            1 => members[self.rng.index(members.len())].id.0,
            _ => lists.owners[self.rng.index(lists.owners.len())].0,
        };
        usize::try_from(at).unwrap()
    }

    fn deliver_one(&mut self) {
        let at = self.rng.index(self.messages.len());
        let message = if self.rng.percent(10) {
            self.messages[at].clone() // it comes again
        } else {
            self.messages.swap_remove(at)
        };
        self.deliver(message);
    }

    fn crash(&mut self, at: usize) {
        if self.nodes[at].is_up {
            self.trace(|| format!("{at} loses power"));
            self.nodes[at].restart();
            self.nodes[at].is_up = self.rng.percent(35);
        }
    }

    /// A disk is lost, if the cluster can bear that: of its members one at a time, and of no two owners or voters more than
    /// one; and never before what the last voters decided is known to most of the next ones.
    fn lose(&mut self, at: usize) {
        let id = NodeId(at as u64);
        let (newest, lists) = self.newest();
        let target = newest.change.as_ref().map(|change| &change.target);
        let maps = || core::iter::once(&newest.map).chain(target);
        let is_member = |id| maps().any(|map| map.members.iter().any(|member| member.id == id));
        let lost = self.nodes.iter().filter(|node| node.is_lost);
        let is_borne = |list: &[NodeId]| list.len() > 2 || !list.contains(&id);

        let knows = |voter: &&NodeId| self.node(**voter).epoch() == newest.epoch;
        let knowing = newest.voters.iter().filter(knows).count();
        let is_fine = lost.clone().all(|node| !is_member(node.id))
            && is_borne(&lists.old)
            && lists.new.as_deref().is_none_or(is_borne)
            && is_borne(&newest.voters)
            && knowing > newest.voters.len() / 2
            && self.copies_borne(id);
        if is_fine && !self.nodes[at].is_lost {
            self.trace(|| format!("{at} loses its disk"));
            let node = &mut self.nodes[at];
            (node.is_lost, node.is_up) = (true, false);
            node.queue.clear();
            self.reach(Reached::Lost);
        }
    }

    /// Before the key's arc moves and after it, too, its lists can bear the loss.
    fn copies_borne(&self, id: NodeId) -> bool {
        let (newest, lists) = self.newest();
        let target = newest.change.as_ref().map(|change| &change.target);
        let mut maps = core::iter::once(&newest.map).chain(target);
        !lists.owners.contains(&id) || maps.all(|map| map.replication > 2 && map.members.len() > 2)
    }

    pub(crate) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[usize::try_from(id.0).unwrap()]
    }
}
