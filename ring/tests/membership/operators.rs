//! Who changes the ring: operators, who begin and revert, and the voter that drives.

use quoit_ring::change::rules::majority;
use quoit_ring::change::{Configuration, RangeChange};
use quoit_ring::consensus::{Ballot, Proposal, Proposer};
use quoit_ring::{ClusterMap, Epoch, NodeId};

use super::defects::Defect;
use super::maps::{arcs, insert, member};
use super::node::{Driver, Node};
use super::world::{Body, MEMBERS, Message, NODES, Reached, World};

impl World {
    /// An operator asks a node to begin a change.
    pub(crate) fn begin(&mut self, at: usize) {
        if !self.may_propose(at) {
            return;
        }
        let mut base = self.base(at);
        if base.change.is_some() {
            return;
        }
        let removed = base.removed.clone();
        if self.has_defect(Defect::LetsTheBannedIn) {
            base.removed.clear();
        }
        let target = self.target(&base.map, &base.removed);
        let arcs = arcs(&mut self.rng);
        if let Ok(next) = base.begin(target, arcs) {
            self.propose(at, Configuration { removed, ..next });
        }
    }

    /// An operator asks a node to revert the change.
    pub(crate) fn revert(&mut self, at: usize) {
        if self.may_propose(at)
            && let Some(next) = self.base(at).revert()
        {
            self.propose(at, next);
        }
    }

    fn may_propose(&self, at: usize) -> bool {
        let node = &self.nodes[at];
        let decided = node.chain.decided();
        let target = decided.change.as_ref().map(|change| &change.target);
        let mut maps = core::iter::once(&decided.map).chain(target);
        node.is_up && maps.any(|map| map.members.iter().any(|member| member.id == node.id))
    }

    /// Members come, go, are replaced, move; a lost one goes first of all.
    fn target(&mut self, map: &ClusterMap, removed: &[NodeId]) -> ClusterMap {
        let mut target = map.clone();
        let is_lost = |world: &Self, id: NodeId| world.node(id).is_lost;
        let (mut leave, mut come) = match self.rng.below(6) {
            0 => (0, 1),
            1 => (1, 0),
            2 => (1, 1),
            3 => (2, 2),
            4 => (0, 2),
            _ => (0, 0),
        };
        if let Some(lost) = map
            .members
            .iter()
            .position(|member| is_lost(self, member.id))
        {
            target.members.remove(lost);
            (leave, come) = (0, self.rng.index(2));
        }
        while leave > 0 && target.members.len() > 1 {
            target.members.remove(self.rng.index(target.members.len()));
            leave -= 1;
        }

        while come > 0 && target.members.len() < MEMBERS {
            let id = NodeId(self.rng.below(NODES as u64));
            let is_known = |map: &ClusterMap| map.members.iter().any(|member| member.id == id);
            if !is_known(&target) && !is_known(map) && !removed.contains(&id) && !is_lost(self, id)
            {
                let member = member(&mut self.rng, &target, id);
                insert(&mut target, member);
            }
            come -= 1;
        }
        if self.rng.percent(40) {
            let moved = target.members.remove(self.rng.index(target.members.len()));
            let member = member(&mut self.rng, &target, moved.id);
            insert(&mut target, member);
        }
        if self.rng.percent(15) {
            target.replication = *self.rng.pick(&[1, 2, 3, 3, 4]);
        }
        target
    }

    /// What a proposer builds on.
    fn base(&mut self, at: usize) -> Configuration {
        let chain = &self.nodes[at].chain;
        if let (true, Some((_, accepted))) = (
            self.has_defect(Defect::BuildsOnTheUndecided),
            chain.vote().accepted(),
        ) {
            let accepted = accepted.clone();
            self.learn(at, accepted);
        }
        self.nodes[at].chain.decided().clone()
    }

    pub(crate) fn propose(&mut self, at: usize, next: Configuration) {
        self.proposed += 1;
        let decided = self.nodes[at].chain.decided();
        let (after, voters) = (decided.epoch, decided.voters.clone());
        if after.0 + 1 != next.epoch.0 {
            return;
        }
        let ballot = Ballot {
            round: self.proposed,
            proposer: NodeId(at as u64),
        };
        let proposer = Proposer::new(voters.len(), ballot, next);
        let first = proposer.first();
        self.nodes[at].driver.proposes = Some((after, voters, proposer));
        self.act(at, first);
    }

    /// A proposer that was beaten, or has not heard enough.
    pub(crate) fn again(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        let epoch = node.epoch();
        if let (true, Some((after, _, proposer))) = (node.is_up, &mut node.driver.proposes)
            && *after == epoch
        {
            let again = proposer.again();
            self.proposed = self.proposed.max(proposer.ballot().round) + 1;
            self.act(at, again);
        }
    }

    pub(crate) fn act(&mut self, from: usize, proposal: Proposal<Configuration>) {
        let Some((after, voters, _)) = &self.nodes[from].driver.proposes else {
            return;
        };
        let (epoch, voters) = (*after, voters.clone());
        let (ballot, body) = match proposal {
            Proposal::Prepare(ballot) => (ballot, Body::Prepare),
            Proposal::Accept(ballot, value) => (ballot, Body::Accept(Box::new(value))),
            Proposal::Decided(value) => {
                self.note(&value);
                self.learn(from, value.clone());
                (Ballot::ZERO, Body::Learn(Box::new(value)))
            }
            Proposal::Beaten => {
                self.reach(Reached::Raced);
                return;
            }
        };
        let everyone: Vec<NodeId> = (0..NODES as u64).map(NodeId).collect();
        let to = if matches!(body, Body::Learn(_)) {
            everyone
        } else {
            voters
        };
        self.tell(from, &to, (epoch, ballot), &body);
    }

    pub(crate) fn tell(&mut self, from: usize, to: &[NodeId], about: (Epoch, Ballot), body: &Body) {
        let (epoch, ballot) = about;
        let message = |to: &NodeId| Message {
            from,
            to: usize::try_from(to.0).unwrap(),
            epoch,
            ballot,
            body: body.clone(),
        };
        self.messages.extend(to.iter().map(message));
    }

    /// A voter drives the change one step further: it asks the owners, and proposes the step once it may be.
    pub(crate) fn drive(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        let decided = node.chain.decided().clone();
        let epoch = decided.epoch;
        if !node.is_up || decided.change.is_none() || !decided.voters.contains(&node.id) {
            return;
        }
        if node.driver.epoch != Some(epoch) {
            node.driver = Driver {
                epoch: Some(epoch),
                ..Driver::default()
            };
        }

        if self.may_step(at) {
            let proposes = &self.nodes[at].driver.proposes;
            if proposes.as_ref().is_none_or(|(after, ..)| *after != epoch)
                && let Some(next) = decided.step()
            {
                self.propose(at, next);
            }
            return;
        }
        // No more fences than are needed: the fewer refuse old epochs, the worse.
        let Node { driver, lists, .. } = &self.nodes[at];
        let mut owners = lists.owners.clone();
        if let Some(range) = lists.range()
            && range.is_fenced(|node| driver.fenced.contains(&node))
        {
            let new = &range.new;
            owners.retain(|node| new.contains(node) || driver.fenced.contains(node));
        } else {
            owners.retain(|_| self.rng.percent(60));
        }
        self.tell(at, &owners, (epoch, Ballot::ZERO), &Body::Fence);
    }

    fn may_step(&self, at: usize) -> bool {
        let Node { driver, lists, .. } = &self.nodes[at];
        let Some(range) = lists.range() else {
            return true; // another arc moves
        };
        let has_pulled = |receiver, source| driver.pulled.contains(&(receiver, source));
        let is_fenced = |node: NodeId| driver.fenced.contains(&node);
        let fenced = range.old.iter().filter(|&&node| is_fenced(node)).count();
        let living = range
            .old
            .iter()
            .filter(|&&node| self.node(node).is_up)
            .count();
        match self.defect {
            Some(Defect::StepWhileIncomplete) => range.is_fenced(is_fenced),
            Some(Defect::PullFromOne) => {
                range.is_fenced(is_fenced) && pulled_from(range, has_pulled, 1)
            }
            Some(Defect::FenceAmongTheLiving) => {
                let needed = majority(living).min(majority(range.old.len()));
                fenced >= needed && pulled_from(range, has_pulled, needed)
            }
            _ => range.is_fenced(is_fenced) && range.is_complete(has_pulled),
        }
    }
}

/// Whether each receiver has pulled from so many, itself among them: for defects.
fn pulled_from(
    range: RangeChange<'_>,
    has_pulled: impl Fn(NodeId, NodeId) -> bool,
    needed: usize,
) -> bool {
    range.receivers().all(|receiver| {
        let pulled = |&&source: &&NodeId| source == receiver || has_pulled(receiver, source);
        range.old.iter().filter(pulled).count() >= needed
    })
}
