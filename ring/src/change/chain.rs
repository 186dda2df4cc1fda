//! The chain of epochs, as one node knows it, and its vote on the next one.
//!
//! ```text
//!   epoch 7, decided --voters of 7 agree--> epoch 8, decided --voters of 8 agree--> ...
//! ```
//!
//! What follows an epoch is decided once, by a majority of the voters that it names. A node votes on what follows the last
//! epoch that it knows to be decided, and on nothing else: whoever asks about an earlier one gets the newer one, and about
//! a later one hears that this node is behind. A proposer likewise builds only on what it knows to be decided: what a
//! voter has accepted may still lose.
//!
//! Voters of an epoch must hold it before those of its predecessor may go away; that is a removal's business.
//!
//! Invariants: the last decided epoch only grows; the vote is on its successor. Both are on the disk before a reply leaves,
//! which is the driver's duty.

use super::configuration::Configuration;
use crate::cluster::{Epoch, NodeId};
use crate::consensus::{Acceptor, Ballot, Reply};

/// What a node answers to a proposer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "votes are few")]
pub enum Vote {
    /// Its reply as a voter.
    Reply(Reply<Configuration>),
    /// The proposer is behind: this epoch is decided.
    Decided(Box<Configuration>),
    /// This node is behind: it knows no later epoch than this, and votes on none before it does.
    Behind(Epoch),
    /// It is no voter of that epoch.
    NoVoter,
    /// What was proposed does not follow that epoch.
    NoSuccessor,
}

/// One node's part in the chain.
///
/// ```
/// use quoit_ring::change::{Arcs, Chain, Configuration, chain::Vote};
/// use quoit_ring::consensus::{Ballot, Reply};
/// # use quoit_ring::placement::{grow, join, Newcomer};
/// # use quoit_ring::{ClusterId, ClusterMap, Epoch, LeafBits, NodeId, TokenKey};
/// # let newcomer = |id: u64| Newcomer {
/// #     id: NodeId(id), name: format!("n{id}"), address: "h:1".into(), zone: "z".into(), weight: 100,
/// # };
/// # let empty = ClusterMap {
/// #     cluster: ClusterId(1), epoch: Epoch(1), token_key: TokenKey([0; 16]),
/// #     leaf_bits: LeafBits::FULL, replication: 3, members: vec![],
/// # };
/// # let map = grow(empty, (1..=3).map(newcomer), 1)?;
/// # let mut grown = map.clone();
/// # join(&mut grown, newcomer(4), 2)?;
/// let first = Configuration::first(map)?;
/// let next = first.begin(grown, Arcs::FULL)?;
///
/// let mut node = Chain::new(NodeId(1), first);
/// let ballot = Ballot::ZERO.next(NodeId(2));
/// assert_eq!(node.prepare(Epoch(1), ballot), Vote::Reply(Reply::Promised { accepted: None }));
/// assert_eq!(node.accept(Epoch(1), ballot, next.clone()), Vote::Reply(Reply::Accepted));
/// assert_eq!(node.decided().epoch, Epoch(1), "its vote alone decides nothing");
///
/// assert!(node.learn(next));
/// assert!(matches!(node.prepare(Epoch(1), ballot), Vote::Decided(_)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    node: NodeId,
    decided: Configuration,
    successor: Acceptor<Configuration>,
}

impl Chain {
    /// The chain of `node` from an epoch on that is known to be decided, such as the first one.
    #[must_use]
    pub const fn new(node: NodeId, decided: Configuration) -> Self {
        Self {
            node,
            decided,
            successor: Acceptor::new(),
        }
    }

    /// The same after a restart: with the vote that was on the disk. One that forgot it could decide an epoch twice.
    #[must_use]
    pub const fn restored(
        node: NodeId,
        decided: Configuration,
        vote: Acceptor<Configuration>,
    ) -> Self {
        Self {
            node,
            decided,
            successor: vote,
        }
    }

    /// The last epoch that is known to be decided.
    #[must_use]
    pub const fn decided(&self) -> &Configuration {
        &self.decided
    }

    /// This node's vote on what follows it.
    #[must_use]
    pub const fn vote(&self) -> &Acceptor<Configuration> {
        &self.successor
    }

    /// A proposer asks for a promise on what follows `after`.
    pub fn prepare(&mut self, after: Epoch, ballot: Ballot) -> Vote {
        let refused = self.refusal(after);
        refused.unwrap_or_else(|| Vote::Reply(self.successor.prepare(ballot)))
    }

    /// A proposer asks to accept `value` as what follows `after`.
    pub fn accept(&mut self, after: Epoch, ballot: Ballot, value: Configuration) -> Vote {
        if let Some(refused) = self.refusal(after) {
            return refused;
        }
        if value.epoch.0 != after.0.saturating_add(1) {
            return Vote::NoSuccessor;
        }
        Vote::Reply(self.successor.accept(ballot, value))
    }

    /// An epoch is decided; false if nothing is new in that.
    pub fn learn(&mut self, decided: Configuration) -> bool {
        debug_assert!(
            decided.epoch != self.decided.epoch || decided == self.decided,
            "an epoch is decided once"
        );
        if decided.epoch <= self.decided.epoch {
            return false;
        }
        self.decided = decided;
        self.successor = Acceptor::new();
        true
    }

    /// Why this node does not vote on what follows `after`; `None` if it does.
    #[must_use]
    pub fn refusal(&self, after: Epoch) -> Option<Vote> {
        let decided = &self.decided;
        if after < decided.epoch {
            return Some(Vote::Decided(Box::new(decided.clone())));
        }
        if after > decided.epoch {
            return Some(Vote::Behind(decided.epoch));
        }
        (!decided.voters.contains(&self.node)).then_some(Vote::NoVoter)
    }
}
