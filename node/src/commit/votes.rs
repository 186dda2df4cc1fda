//! Votes on the epoch that follows: this node's part in the chain.
//!
//! ```text
//!   Prepare, Accept --> chain: what would the vote be? --changed--> stored, synced --> it is the vote --> answer
//!                                                  '--the same, or a refusal--------------------------> answer
//! ```
//!
//! Invariants: a vote is on the disk before it is answered, in either mode: one that is forgotten may decide an epoch twice.
//! What is accepted may follow the epoch that it was proposed for.

use bytes::Bytes;
use quoit_ring::Epoch;
use quoit_ring::change::chain::Vote;
use quoit_ring::change::{Chain, Configuration};
use quoit_ring::consensus::{Ballot, Reply};
use quoit_ring::wire::MembershipAnswer;
use quoit_ring::wire::configuration::{decode_answer, encode_answer};

use super::Committer;
use super::carry_out::Unfulfilled;
use super::rows::encode_vote;
use crate::clock::Now;
use crate::engine::layout::META_VOTE;
use crate::engine::{Batch, Durability, Engine, Keyspace};

impl<G: Engine> Committer<G> {
    /// Promises not to answer lower ballots about what follows `after`.
    pub(super) fn prepare(
        &mut self,
        after: Epoch,
        ballot: Ballot,
        now: Now,
    ) -> Result<MembershipAnswer, Unfulfilled> {
        let vote = self.vote(|chain| chain.prepare(after, ballot), now)?;
        Ok(self.said(vote, after))
    }

    /// Accepts what shall follow `after`, if it can.
    pub(super) fn accept(
        &mut self,
        (after, ballot): (Epoch, Ballot),
        next: &[u8],
        now: Now,
    ) -> Result<MembershipAnswer, Unfulfilled> {
        if let Some(refused) = self.chain.refusal(after) {
            return Ok(self.said(refused, after));
        }
        let Some(next) = successor(self.chain.decided(), next) else {
            return Ok(MembershipAnswer::NoSuccessor);
        };
        let vote = self.vote(|chain| chain.accept(after, ballot, next), now)?;
        Ok(self.said(vote, after))
    }

    fn vote(
        &mut self,
        ask: impl FnOnce(&mut Chain) -> Vote,
        now: Now,
    ) -> Result<Vote, Unfulfilled> {
        // On a copy: what is not on the disk must not count as promised either, or asking again would find it done.
        let mut chain = self.chain.clone();
        let vote = ask(&mut chain);
        if chain.vote() == self.chain.vote() {
            return Ok(vote);
        }

        if !self.has_space(now) {
            return Err(Unfulfilled::NO_SPACE);
        }
        let mut batch = Batch::with_capacity(1);
        let row = encode_vote(chain.decided().epoch, chain.vote());
        batch.insert(Keyspace::Meta, META_VOTE, row);
        self.engine.commit(batch, Durability::Fsync)?;
        self.chain = chain;
        Ok(vote)
    }

    /// A vote as it travels, to a side that knows `after`.
    fn said(&self, vote: Vote, after: Epoch) -> MembershipAnswer {
        let encoded = |(ballot, value): (Ballot, Configuration)| {
            let value = encode_answer(Some(self.chain.decided()), &value);
            (ballot, Bytes::from(value))
        };
        match vote {
            Vote::Reply(Reply::Promised { accepted }) => MembershipAnswer::Promised {
                accepted: accepted.map(encoded),
            },
            Vote::Reply(Reply::Accepted) => MembershipAnswer::Accepted,
            Vote::Reply(Reply::Refused { promised }) => MembershipAnswer::Beaten { promised },
            Vote::Decided(_) => MembershipAnswer::Decided(self.state.cluster.newest_answer(after)),
            Vote::Behind(newest) => MembershipAnswer::Behind(newest),
            Vote::NoVoter => MembershipAnswer::NoVoter,
            Vote::NoSuccessor => MembershipAnswer::NoSuccessor,
        }
    }
}

/// What was proposed to follow `base`, if it may.
fn successor(base: &Configuration, proposed: &[u8]) -> Option<Configuration> {
    let next = decode_answer(proposed).ok()?.resolve(base).ok()?;
    (next.check().is_ok() && base.is_followed_by(&next)).then_some(next)
}
