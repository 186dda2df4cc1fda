//! The acceptor: one voter's part in one decision.
//!
//! ```text
//!   promised   no ballot below this one is answered any more
//!   accepted   the last value that it took, and by which ballot
//! ```
//!
//! Invariant: neither ever goes back.

use bincode::{Decode, Encode};

use super::ballot::Ballot;

/// A voter's memory of one decision. It must be on the disk before a reply leaves.
///
/// ```
/// # use quoit_ring::NodeId;
/// use quoit_ring::consensus::{Acceptor, Ballot, Reply};
///
/// let (first, second) = (Ballot::ZERO.next(NodeId(1)), Ballot::ZERO.next(NodeId(2)));
/// let mut voter = Acceptor::new();
/// assert_eq!(voter.prepare(first), Reply::Promised { accepted: None });
/// assert_eq!(voter.accept(first, "red"), Reply::Accepted);
///
/// // Whoever comes later learns what may have been decided.
/// assert_eq!(voter.prepare(second), Reply::Promised { accepted: Some((first, "red")) });
/// assert_eq!(voter.accept(first, "blue"), Reply::Refused { promised: second });
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Acceptor<V> {
    promised: Ballot,
    accepted: Option<(Ballot, V)>,
}

/// What a voter replies.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Reply<V> {
    /// To a prepare: it answers nothing below that ballot any more.
    Promised {
        /// The value that it took last.
        accepted: Option<(Ballot, V)>,
    },
    /// To an accept: it has taken the value.
    Accepted,
    /// To either: a higher ballot has its promise. Nothing has changed.
    Refused {
        /// That ballot.
        promised: Ballot,
    },
}

impl<V> Default for Acceptor<V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<V> Acceptor<V> {
    /// One that has promised nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            promised: Ballot::ZERO,
            accepted: None,
        }
    }

    /// The same after a restart, by what was on the disk.
    #[must_use]
    pub const fn restored(promised: Ballot, accepted: Option<(Ballot, V)>) -> Self {
        Self { promised, accepted }
    }

    /// The highest ballot that has its promise.
    #[must_use]
    pub const fn promised(&self) -> Ballot {
        self.promised
    }

    /// What it took last.
    #[must_use]
    pub const fn accepted(&self) -> Option<&(Ballot, V)> {
        self.accepted.as_ref()
    }

    /// Takes a value, unless a higher ballot has its promise. The same again is taken again.
    pub fn accept(&mut self, ballot: Ballot, value: V) -> Reply<V> {
        if ballot < self.promised {
            let promised = self.promised;
            return Reply::Refused { promised };
        }
        self.promised = ballot;
        self.accepted = Some((ballot, value));
        Reply::Accepted
    }
}

impl<V: Clone> Acceptor<V> {
    /// Promises to answer nothing below `ballot`, unless a higher one has that promise. The same again is promised again.
    pub fn prepare(&mut self, ballot: Ballot) -> Reply<V> {
        if ballot < self.promised {
            let promised = self.promised;
            return Reply::Refused { promised };
        }
        self.promised = ballot;
        let accepted = self.accepted.clone();
        Reply::Promised { accepted }
    }
}
