//! Voters, proposers and the messages between them.

use std::collections::BTreeSet;

use quoit_ring::NodeId;
use quoit_ring::consensus::{Acceptor, Ballot, Proposal, Proposer, Reply};

const PROPOSERS: usize = 3;

/// A rule that is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Defect {
    /// A proposer proposes its own value whatever it hears.
    ProposesItsOwn,
    /// A voter accepts whatever it has promised.
    AcceptsBelowItsPromise,
    /// A voter's memory is not on the disk.
    ForgetsWhenItRestarts,
    /// A proposer takes one voter fewer for a majority.
    AsksTooFew,
    /// A proposer that begins again does so with the ballot that it has used, and another value.
    UsesABallotTwice,
}

#[derive(Debug, Clone)]
enum Message {
    Prepare {
        from: usize,
        to: usize,
        ballot: Ballot,
    },
    Accept {
        from: usize,
        to: usize,
        ballot: Ballot,
        value: usize,
    },
    Reply {
        from: usize,
        to: usize,
        ballot: Ballot,
        reply: Reply<usize>,
    },
}

/// All there is.
pub(crate) struct World {
    voters: Vec<Acceptor<usize>>,
    /// Of how many voters proposers know.
    counted: usize,
    proposers: Vec<Proposer<usize>>,
    messages: Vec<Message>,
    defect: Option<Defect>,
    pub(crate) decided: BTreeSet<usize>,
    values: usize,
}

impl World {
    pub(crate) fn run(voters: usize, script: &[(u8, u8)], defect: Option<Defect>) -> Self {
        let counted = match defect {
            Some(Defect::AsksTooFew) => (voters - 1).max(1),
            _ => voters,
        };
        let ballot = |proposer: usize| Ballot::ZERO.next(NodeId(proposer as u64 + 1));
        let proposer = |number| Proposer::new(counted, ballot(number), number);
        let mut world = Self {
            voters: vec![Acceptor::new(); voters],
            counted,
            proposers: (0..PROPOSERS).map(proposer).collect(),
            messages: Vec::new(),
            defect,
            decided: BTreeSet::new(),
            values: PROPOSERS,
        };
        for proposer in 0..PROPOSERS {
            let first = world.proposers[proposer].first();
            world.act(proposer, &first);
        }
        for &(what, which) in script {
            world.step(what, usize::from(which));
        }
        world
    }

    fn step(&mut self, what: u8, which: usize) {
        match what {
            // Mostly messages arrive, in any order; some are lost, some come twice.
            0..200 if !self.messages.is_empty() => {
                let message = self.messages.swap_remove(which % self.messages.len());
                if what >= 180 {
                    self.messages.push(message.clone());
                }
                self.deliver(message);
            }
            200..215 if !self.messages.is_empty() => {
                self.messages.swap_remove(which % self.messages.len());
            }
            215..235 => {
                let proposer = which % PROPOSERS;
                let again = self.proposers[proposer].again();
                self.act(proposer, &again);
            }
            235..245 if self.defect == Some(Defect::ForgetsWhenItRestarts) => {
                let voter = which % self.voters.len();
                self.voters[voter] = Acceptor::new();
            }
            245.. if self.defect == Some(Defect::UsesABallotTwice) => {
                let number = which % PROPOSERS;
                let ballot = self.proposers[number].ballot();
                self.values += 1;
                self.proposers[number] = Proposer::new(self.voters.len(), ballot, self.values);
                let first = self.proposers[number].first();
                self.act(number, &first);
            }
            _ => {}
        }
    }

    fn deliver(&mut self, message: Message) {
        let defect = self.defect;
        match message {
            Message::Prepare { from, to, ballot } => {
                let reply = self.voters[to].prepare(ballot);
                self.messages.push(Message::Reply {
                    from: to,
                    to: from,
                    ballot,
                    reply,
                });
            }
            Message::Accept {
                from,
                to,
                ballot,
                value,
            } => {
                let voter = &mut self.voters[to];
                let reply = if defect == Some(Defect::AcceptsBelowItsPromise) {
                    let mut careless = Acceptor::new();
                    let reply = careless.accept(ballot, value);
                    *voter = careless;
                    reply
                } else {
                    voter.accept(ballot, value)
                };
                self.messages.push(Message::Reply {
                    from: to,
                    to: from,
                    ballot,
                    reply,
                });
            }
            Message::Reply {
                from,
                to,
                ballot,
                mut reply,
            } => {
                if let (Some(Defect::ProposesItsOwn), Reply::Promised { accepted }) =
                    (defect, &mut reply)
                {
                    *accepted = None;
                }
                if let Some(next) =
                    self.proposers[to].replied(from.min(self.counted - 1), ballot, reply)
                {
                    self.act(to, &next);
                }
            }
        }
    }

    fn act(&mut self, from: usize, proposal: &Proposal<usize>) {
        let voters = 0..self.voters.len();
        match *proposal {
            Proposal::Prepare(ballot) => {
                let prepare = |to| Message::Prepare { from, to, ballot };
                self.messages.extend(voters.map(prepare));
            }
            Proposal::Accept(ballot, value) => {
                let accept = |to| Message::Accept {
                    from,
                    to,
                    ballot,
                    value,
                };
                self.messages.extend(voters.map(accept));
            }
            Proposal::Decided(value) => {
                self.decided.insert(value);
            }
            Proposal::Beaten => {}
        }
    }
}
