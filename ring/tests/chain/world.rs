//! Nodes with their chains, proposers at each of them, and the messages between them.

use std::collections::BTreeMap;

use quoit_ring::change::chain::Vote;
use quoit_ring::change::{Chain, Configuration};
use quoit_ring::consensus::{Ballot, Proposal, Proposer};
use quoit_ring::placement::{Newcomer, grow};
use quoit_ring::{ClusterId, ClusterMap, Epoch, LeafBits, NodeId, TokenKey};

const NODES: usize = 6;

/// A rule that is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Defect {
    /// What a voter has accepted is taken for decided.
    BuildsOnTheAccepted,
    /// A node votes on what follows an epoch that it does not know, as if it were its own.
    VotesAlthoughBehind,
    /// A node's vote is not on the disk.
    ForgetsItsVote,
}

#[derive(Debug, Clone)]
enum Ask {
    Prepare,
    Accept(Configuration),
    Learn(Configuration),
}

#[derive(Debug, Clone)]
enum Message {
    Ask {
        from: usize,
        to: usize,
        after: Epoch,
        ballot: Ballot,
        ask: Ask,
    },
    Vote {
        from: usize,
        to: usize,
        after: Epoch,
        ballot: Ballot,
        vote: Vote,
    },
}

struct Node {
    chain: Chain,
    /// What it proposes, and the voters that it asks.
    proposes: Option<(Epoch, Vec<NodeId>, Proposer<Configuration>)>,
}

/// All there is.
pub(crate) struct World {
    nodes: Vec<Node>,
    messages: Vec<Message>,
    defect: Option<Defect>,
    proposed: u64,
    /// By epoch.
    pub(crate) decided: BTreeMap<Epoch, Configuration>,
    /// An epoch of which two were decided.
    pub(crate) twice: Option<Epoch>,
    /// How often an epoch had other voters than the one before.
    pub(crate) voters_changed: usize,
}

fn first() -> Configuration {
    let empty = ClusterMap {
        cluster: ClusterId(1),
        epoch: Epoch(1),
        token_key: TokenKey([0; 16]),
        leaf_bits: LeafBits::new(6).unwrap(),
        replication: 3,
        members: vec![],
    };
    let newcomer = |id: u64| Newcomer {
        id: NodeId(id),
        name: format!("n{id}"),
        address: format!("h{id}:1"),
        zone: "z".into(),
        weight: 1,
    };
    let map = grow(empty, (0..NODES as u64).map(newcomer), 1).unwrap();
    Configuration::first(map).unwrap()
}

impl World {
    pub(crate) fn run(script: &[(u8, u8)], defect: Option<Defect>) -> Self {
        let first = first();
        let node = |id: usize| Node {
            chain: Chain::new(NodeId(id as u64), first.clone()),
            proposes: None,
        };
        let mut world = Self {
            nodes: (0..NODES).map(node).collect(),
            messages: Vec::new(),
            defect,
            proposed: 0,
            decided: BTreeMap::from([(first.epoch, first.clone())]),
            twice: None,
            voters_changed: 0,
        };
        for &(what, which) in script {
            world.step(what, usize::from(which));
        }
        world
    }

    fn step(&mut self, what: u8, which: usize) {
        match what {
            0..240 if !self.messages.is_empty() => {
                let message = self.messages.swap_remove(which % self.messages.len());
                if what >= 232 {
                    self.messages.push(message.clone());
                }
                match message {
                    Message::Ask {
                        from,
                        to,
                        after,
                        ballot,
                        ask,
                    } => {
                        self.asked(from, to, (after, ballot), ask);
                    }
                    Message::Vote {
                        from,
                        to,
                        after,
                        ballot,
                        vote,
                    } => {
                        self.voted(from, to, (after, ballot), vote);
                    }
                }
            }
            240..246 if !self.messages.is_empty() => {
                self.messages.swap_remove(which % self.messages.len());
            }
            246..248 => self.again(which % NODES),
            248 => self.restart(which % NODES),
            249.. => self.propose(which),
            _ => {}
        }
    }

    /// A node proposes what follows the last epoch that it knows: with other voters, and a mark of its own.
    fn propose(&mut self, which: usize) {
        let at = which % NODES;
        let base = self.base(at);
        self.proposed += 1;
        let mut next = base.clone();
        next.epoch = Epoch(base.epoch.0 + 1);
        next.voters = (0..3)
            .map(|place| NodeId(((which / NODES + place * 2) % NODES) as u64))
            .collect();
        next.voters.sort_unstable();
        next.voters.dedup();
        next.map.epoch = Epoch(1_000 + self.proposed); // whose it is

        let node = &mut self.nodes[at];
        let ballot = Ballot {
            round: self.proposed,
            proposer: NodeId(at as u64),
        };
        let proposer = Proposer::new(base.voters.len(), ballot, next);
        let first = proposer.first();
        node.proposes = Some((base.epoch, base.voters, proposer));
        self.act(at, first);
    }

    /// What a node builds on.
    fn base(&mut self, at: usize) -> Configuration {
        let chain = &self.nodes[at].chain;
        if let (Some(Defect::BuildsOnTheAccepted), Some((_, accepted))) =
            (self.defect, chain.vote().accepted())
        {
            let accepted = accepted.clone();
            self.learn(at, accepted);
        }
        self.nodes[at].chain.decided().clone()
    }

    fn learn(&mut self, at: usize, decided: Configuration) {
        let chain = &mut self.nodes[at].chain;
        if chain.decided().epoch == decided.epoch && *chain.decided() != decided {
            self.twice = Some(decided.epoch);
        } else {
            chain.learn(decided);
        }
    }

    fn restart(&mut self, at: usize) {
        let chain = &self.nodes[at].chain;
        let (id, decided) = (NodeId(at as u64), chain.decided().clone());
        let chain = if self.defect == Some(Defect::ForgetsItsVote) {
            Chain::new(id, decided)
        } else {
            Chain::restored(id, decided, chain.vote().clone())
        };
        self.nodes[at] = Node {
            chain,
            proposes: None,
        };
    }

    fn again(&mut self, at: usize) {
        if let Some((_, _, proposer)) = &mut self.nodes[at].proposes {
            let again = proposer.again();
            self.proposed += 1;
            self.act(at, again);
        }
    }

    fn act(&mut self, from: usize, proposal: Proposal<Configuration>) {
        let Some((after, voters, _)) = &self.nodes[from].proposes else {
            return;
        };
        let (after, voters) = (*after, voters.clone());
        let (ballot, ask) = match proposal {
            Proposal::Prepare(ballot) => (ballot, Ask::Prepare),
            Proposal::Accept(ballot, value) => (ballot, Ask::Accept(value)),
            Proposal::Decided(value) => {
                self.note(&value);
                (Ballot::ZERO, Ask::Learn(value))
            }
            Proposal::Beaten => return,
        };
        let everyone = matches!(ask, Ask::Learn(_));
        for to in 0..NODES {
            if everyone || voters.contains(&NodeId(to as u64)) {
                let ask = ask.clone();
                self.messages.push(Message::Ask {
                    from,
                    to,
                    after,
                    ballot,
                    ask,
                });
            }
        }
    }

    fn note(&mut self, value: &Configuration) {
        let before = self.decided.get(&Epoch(value.epoch.0 - 1));
        self.voters_changed +=
            usize::from(before.is_some_and(|before| before.voters != value.voters));
        match self.decided.insert(value.epoch, value.clone()) {
            Some(other) if other != *value => self.twice = Some(value.epoch),
            _ => {}
        }
    }

    fn asked(&mut self, from: usize, to: usize, (after, ballot): (Epoch, Ballot), ask: Ask) {
        if self.twice.is_some() {
            return; // the chain is forked: nothing further is of interest
        }
        if let Ask::Learn(value) = ask {
            self.learn(to, value);
            return;
        }
        let chain = &mut self.nodes[to].chain;
        let behind = chain.decided().epoch < after;
        let at = if behind && self.defect == Some(Defect::VotesAlthoughBehind) {
            chain.decided().epoch
        } else {
            after
        };
        let vote = match ask {
            Ask::Accept(mut value) => {
                value.epoch = Epoch(at.0 + 1);
                chain.accept(at, ballot, value)
            }
            Ask::Prepare | Ask::Learn(_) => chain.prepare(at, ballot),
        };
        self.messages.push(Message::Vote {
            from: to,
            to: from,
            after,
            ballot,
            vote,
        });
    }

    fn voted(&mut self, from: usize, to: usize, (after, ballot): (Epoch, Ballot), vote: Vote) {
        if self.twice.is_some() {
            return;
        }
        let node = &mut self.nodes[to];
        match vote {
            Vote::Reply(reply) => {
                let Some((asked, voters, proposer)) = &mut node.proposes else {
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
                let ask = Ask::Learn(node.chain.decided().clone());
                self.messages.push(Message::Ask {
                    from: to,
                    to: from,
                    after,
                    ballot,
                    ask,
                });
            }
            Vote::NoVoter | Vote::NoSuccessor => {}
        }
    }
}
