//! The proposer: one attempt after the other to have a value decided.
//!
//! ```text
//!   Prepare to all --a majority promised--> Accept to all --a majority accepted--> Decided
//!         '-------- refused by a higher ballot: Beaten; `again` goes above it ------'
//! ```
//!
//! What it proposes is the value of the highest ballot among the promises; only if there is none its own. So *decided* may
//! be another's value: then its own was not, and it may propose that for the next decision.
//!
//! Invariant: it counts a voter once, and only replies to its present ballot.

use super::acceptor::Reply;
use super::ballot::Ballot;
use crate::change::OwnerSet;
use crate::change::rules::majority;

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proposal<V> {
    /// Ask every voter for a promise.
    Prepare(Ballot),
    /// Ask every voter to accept.
    Accept(Ballot, V),
    /// A majority has accepted: this is the value, for ever.
    Decided(V),
    /// A higher ballot is about: wait a random while, then call [`Proposer::again`].
    Beaten,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase<V> {
    Preparing {
        promised: OwnerSet,
        highest: Option<(Ballot, V)>,
    },
    Accepting {
        accepted: OwnerSet,
        value: V,
    },
    Beaten,
    Decided,
}

/// One proposer of one decision among at most 32 voters, who are numbered.
///
/// ```
/// # use quoit_ring::NodeId;
/// use quoit_ring::consensus::{Ballot, Proposal, Proposer, Reply};
///
/// let ballot = Ballot::ZERO.next(NodeId(1));
/// let mut proposer = Proposer::new(3, ballot, "red");
/// assert_eq!(proposer.first(), Proposal::Prepare(ballot));
/// let promise = || Reply::Promised { accepted: None };
/// assert_eq!(proposer.replied(0, ballot, promise()), None);
/// assert_eq!(proposer.replied(2, ballot, promise()), Some(Proposal::Accept(ballot, "red")));
/// assert_eq!(proposer.replied(0, ballot, Reply::Accepted), None);
/// assert_eq!(proposer.replied(0, ballot, Reply::Accepted), None, "a voter counts once");
/// assert_eq!(proposer.replied(1, ballot, Reply::Accepted), Some(Proposal::Decided("red")));
/// ```
#[derive(Debug, Clone)]
pub struct Proposer<V> {
    voters: usize,
    ballot: Ballot,
    /// The highest ballot that it has heard of.
    heard: Ballot,
    wanted: V,
    phase: Phase<V>,
}

impl<V: Clone> Proposer<V> {
    /// One that wants `wanted` to be decided. It must not have used `ballot` before.
    #[must_use]
    pub const fn new(voters: usize, ballot: Ballot, wanted: V) -> Self {
        Self {
            voters,
            ballot,
            heard: ballot,
            wanted,
            phase: Phase::Preparing {
                promised: OwnerSet::NONE,
                highest: None,
            },
        }
    }

    /// What to do first.
    #[must_use]
    pub const fn first(&self) -> Proposal<V> {
        Proposal::Prepare(self.ballot)
    }

    /// Its present ballot.
    #[must_use]
    pub const fn ballot(&self) -> Ballot {
        self.ballot
    }

    /// A voter has replied to what was sent with `ballot`; gives back what to do now, if anything.
    pub fn replied(
        &mut self,
        voter: usize,
        ballot: Ballot,
        reply: Reply<V>,
    ) -> Option<Proposal<V>> {
        debug_assert!(voter < self.voters, "the voters are numbered");
        if let Reply::Refused { promised } = &reply {
            self.heard = self.heard.max(*promised);
        }
        if ballot != self.ballot {
            return None; // to an earlier attempt
        }
        match (&mut self.phase, reply) {
            (Phase::Preparing { promised, highest }, Reply::Promised { accepted }) => {
                promised.insert(voter);
                let theirs = accepted.as_ref().map(|(ballot, _)| *ballot);
                if theirs > highest.as_ref().map(|(ballot, _)| *ballot) {
                    *highest = accepted;
                }
                if promised.len() < majority(self.voters) {
                    return None;
                }
                let value = highest
                    .take()
                    .map_or_else(|| self.wanted.clone(), |(_, value)| value);
                self.phase = Phase::Accepting {
                    accepted: OwnerSet::NONE,
                    value: value.clone(),
                };
                Some(Proposal::Accept(ballot, value))
            }
            (Phase::Accepting { accepted, value }, Reply::Accepted) => {
                accepted.insert(voter);
                if accepted.len() < majority(self.voters) {
                    return None;
                }
                let value = value.clone();
                self.phase = Phase::Decided;
                Some(Proposal::Decided(value))
            }
            (Phase::Preparing { .. } | Phase::Accepting { .. }, Reply::Refused { .. }) => {
                self.phase = Phase::Beaten;
                Some(Proposal::Beaten)
            }
            // A promise or an acceptance that comes twice or late, or after the end.
            (Phase::Preparing { .. }, Reply::Accepted)
            | (Phase::Accepting { .. }, Reply::Promised { .. })
            | (Phase::Beaten | Phase::Decided, _) => None,
        }
    }

    /// Begins again above all that it has heard of: after it was beaten, or if too few have replied for long.
    pub fn again(&mut self) -> Proposal<V> {
        self.ballot = self.heard.max(self.ballot).next(self.ballot.proposer);
        self.heard = self.ballot;
        self.phase = Phase::Preparing {
            promised: OwnerSet::NONE,
            highest: None,
        };
        Proposal::Prepare(self.ballot)
    }
}
