//! Ballots: who asks, and in which round.

use bincode::{Decode, Encode};

use crate::cluster::NodeId;

/// A proposer's attempt. Rounds come first, so a proposer that was beaten goes beyond whoever did it; no two have the same.
///
/// ```
/// # use quoit_ring::NodeId;
/// # use quoit_ring::consensus::Ballot;
/// let mine = Ballot::ZERO.next(NodeId(1));
/// let theirs = mine.next(NodeId(2));
/// assert!(Ballot::ZERO < mine && mine < theirs && theirs < theirs.next(NodeId(1)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Ballot {
    /// Counts up.
    pub round: u64,
    /// Who proposes.
    pub proposer: NodeId,
}

impl Ballot {
    /// Below every ballot.
    pub const ZERO: Self = Self {
        round: 0,
        proposer: NodeId(0),
    };

    /// The first ballot of `proposer` above this one. A proposer must not use one again, so it remembers its last, or
    /// begins above what a majority has promised.
    #[must_use]
    pub const fn next(self, proposer: NodeId) -> Self {
        Self {
            round: self.round.saturating_add(1),
            proposer,
        }
    }
}
