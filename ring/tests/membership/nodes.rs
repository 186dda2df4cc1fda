//! What nodes do when a message comes, and by themselves: pull what moves to them, clean up what has moved away.

use std::collections::BTreeSet;

use quoit_ring::change::Configuration;
use quoit_ring::change::chain::Vote;
use quoit_ring::consensus::Ballot;
use quoit_ring::{Epoch, NodeId};

use super::defects::Defect;
use super::lists::{Count, Lists, Role};
use super::world::{Body, Message, NODES, Reached, World};

impl World {
    pub(crate) fn deliver(&mut self, message: Message) {
        let Message {
            from,
            to,
            epoch,
            ballot,
            body,
        } = message;
        let (sender, receiver) = (&self.nodes[from], &self.nodes[to]);
        // TLS refuses who was removed, as far as the other side knows; either way.
        let refuses = |one: usize, other: usize| {
            let removed = &self.nodes[one].chain.decided().removed;
            removed.contains(&self.nodes[other].id)
        };
        let is_apart = from != to && (sender.is_cut || receiver.is_cut);
        if !receiver.is_up || is_apart || refuses(to, from) || refuses(from, to) {
            return;
        }

        let about = (epoch, ballot);
        match body {
            Body::Prepare => {
                let vote = self.nodes[to].chain.prepare(epoch, ballot);
                self.reply(to, from, about, Body::Vote(Box::new(vote)));
            }
            Body::Accept(value) => {
                let vote = self.nodes[to].chain.accept(epoch, ballot, *value);
                self.reply(to, from, about, Body::Vote(Box::new(vote)));
            }
            Body::Vote(vote) => self.voted(from, to, about, *vote),
            Body::Learn(value) => self.learn(to, *value),
            Body::Fence => self.fence(from, to, epoch),
            Body::Report { is_fenced, pulled } => {
                self.reported(from, to, epoch, is_fenced, &pulled);
            }
            Body::PullAsk => self.pulled_from(from, to, epoch),
            Body::Pull(writes) => self.pulled(from, to, epoch, writes),
            Body::Push(writes) => {
                if self.serves(to, epoch) {
                    self.nodes[to].join(writes, true);
                    self.reply(to, from, about, Body::Pushed);
                }
            }
            Body::Pushed => {
                let id = NodeId(from as u64);
                let pushed = &mut self.nodes[to].pushed;
                if pushed.0 == epoch {
                    pushed.1.insert(id);
                }
            }
        }
    }

    fn reply(&mut self, from: usize, to: usize, (epoch, ballot): (Epoch, Ballot), body: Body) {
        self.messages.push(Message {
            from,
            to,
            epoch,
            ballot,
            body,
        });
    }

    fn voted(&mut self, from: usize, to: usize, (after, ballot): (Epoch, Ballot), vote: Vote) {
        match vote {
            Vote::Reply(reply) => {
                let node = &mut self.nodes[to];
                let Some((asked, voters, proposer)) = &mut node.driver.proposes else {
                    return;
                };
                let voter = voters.iter().position(|voter| voter.0 == from as u64);
                if let (true, Some(voter)) = (*asked == after, voter)
                    && let Some(next) = proposer.replied(voter, ballot, reply)
                {
                    self.act(to, next);
                }
            }
            Vote::Decided(decided) => self.learn(to, *decided),
            Vote::Behind(_) => {
                let known = self.nodes[to].chain.decided().clone();
                self.reply(to, from, (after, ballot), Body::Learn(Box::new(known)));
            }
            Vote::NoVoter | Vote::NoSuccessor => {}
        }
    }

    pub(crate) fn learn(&mut self, at: usize, decided: Configuration) {
        let known = self.nodes[at].chain.decided();
        if known.epoch == decided.epoch && *known != decided {
            self.violate("one-chain", format!("two of epoch {}", decided.epoch.0));
            return;
        }
        let place = usize::try_from(decided.epoch.0).unwrap() - 1;
        let lists = match self.history.get(place) {
            Some((same, lists)) if *same == decided => lists.clone(),
            _ => Lists::of(&decided),
        };
        let node = &mut self.nodes[at];
        if node.chain.learn(decided) {
            node.enter(lists);
        }
    }

    /// Tells another node the newest epoch that it knows, or hears of a newer one.
    pub(crate) fn gossip(&mut self, at: usize) {
        let other = self.rng.index(NODES);
        if self.nodes[at].is_up && other != at {
            let known = self.nodes[at].chain.decided().clone();
            self.reply(
                at,
                other,
                (known.epoch, Ballot::ZERO),
                Body::Learn(Box::new(known)),
            );
        }
    }

    /// A driver asks for the fence of an epoch.
    fn fence(&mut self, from: usize, at: usize, epoch: Epoch) {
        let is_durable = !self.has_defect(Defect::VolatileFence);
        let node = &mut self.nodes[at];
        if node.epoch() < epoch {
            return; // it catches up first
        }
        node.raise_fence(epoch, is_durable);
        let is_fenced = node.fence >= epoch;
        let pulled = match &node.pulled {
            (of, sources) if *of == epoch => sources.iter().copied().collect(),
            _ => Vec::new(),
        };
        self.reply(
            at,
            from,
            (epoch, Ballot::ZERO),
            Body::Report { is_fenced, pulled },
        );
    }

    fn reported(
        &mut self,
        from: usize,
        to: usize,
        epoch: Epoch,
        is_fenced: bool,
        pulled: &[NodeId],
    ) {
        let id = NodeId(from as u64);
        let driver = &mut self.nodes[to].driver;
        if driver.epoch != Some(epoch) {
            return;
        }
        if is_fenced {
            driver.fenced.insert(id);
        }
        driver
            .pulled
            .extend(pulled.iter().map(|&source| (id, source)));
    }

    /// A receiver asks the sources that it still needs.
    pub(crate) fn pull(&mut self, at: usize) {
        let node = &self.nodes[at];
        let epoch = node.epoch();
        let Some(range) = node.lists.range() else {
            return;
        };
        if !node.is_up || node.has_leftovers() || !range.receivers().any(|it| it == node.id) {
            return;
        }
        let failures = |source: NodeId| {
            let source = self.node(source);
            u32::from(!source.is_up || source.fence < epoch)
        };
        let has_pulled = |source| node.pulled.1.contains(&source);
        let sources = range.sources(node.id, has_pulled, failures);
        self.tell(at, &sources, (epoch, Ballot::ZERO), &Body::PullAsk);
    }

    fn pulled_from(&mut self, from: usize, at: usize, epoch: Epoch) {
        let node = &self.nodes[at];
        let is_fenced = node.fence >= epoch || self.has_defect(Defect::PullBeforeTheFence);
        if node.epoch() == epoch && is_fenced {
            let body = Body::Pull(node.has);
            self.reply(at, from, (epoch, Ballot::ZERO), body);
        }
    }

    fn pulled(&mut self, from: usize, at: usize, epoch: Epoch, writes: u64) {
        let is_synced = !self.has_defect(Defect::UnsyncedPull);
        let source = NodeId(from as u64);
        let node = &mut self.nodes[at];
        if node.epoch() == epoch && !node.has_leftovers() && node.pulled.0 == epoch {
            node.join(writes, is_synced);
            node.pulled.1.insert(source);
        }
    }

    /// Who holds what it does not own refuses it, pushes it to a majority of those who do, and deletes it.
    pub(crate) fn clean(&mut self, at: usize) {
        let node = &self.nodes[at];
        let epoch = node.epoch();
        if !node.is_up || !node.has_leftovers() || node.chain.decided().removed.contains(&node.id) {
            return;
        }
        if self.has_defect(Defect::NeverCleans) && node.role() == Role::None {
            return;
        }
        let is_pushed = self.is_pushed(at) || self.has_defect(Defect::CleanWithoutPush);
        if is_pushed && self.rng.percent(70) {
            return; // it takes its time
        }
        let node = &mut self.nodes[at];
        node.raise_fence(epoch, true);
        if is_pushed {
            (node.has, node.has_on_disk) = (0, 0);
            node.take_if_empty();
            node.pushed = (epoch, BTreeSet::new());
            self.trace(|| format!("{at} has cleaned up in epoch {}", epoch.0));
            self.reach(Reached::Cleaned);
            return;
        }
        let (owners, writes) = (node.lists.owners.clone(), node.has);
        self.tell(at, &owners, (epoch, Ballot::ZERO), &Body::Push(writes));
    }

    /// By a majority of each list; for one who is to own it again, of the old one: that is where it pulls from.
    fn is_pushed(&self, at: usize) -> bool {
        let node = &self.nodes[at];
        let has = |owner: NodeId| node.pushed.1.contains(&owner);
        let count = match node.role() {
            Role::Newcomer => Count::Old,
            Role::Owner | Role::None => Count::Both,
        };
        node.lists.majority(count, has)
    }
}
