//! One decision on the next epoch, in messages: whoever proposes runs this, an operator's tool or a node.
//!
//! ```text
//!   Decision --Prepare, Accept--> voters of the last decided epoch
//!        <--- Promised, Accepted, Beaten --- a majority: Decided
//!        <--- Decided: another epoch was, Overtaken
//!        <--- Behind: the voter first has to Learn
//! ```
//!
//! What is decided may be another's proposal: the voters' majority says. The proposer's name must be used for one decision
//! only, so that no ballot is used twice; a random one will do.
//!
//! Left out: the transport, and when to try [again](Decision::again).

use std::sync::Arc;

use bytes::Bytes;

use super::configuration::Configuration;
use crate::cluster::{Epoch, NodeId};
use crate::consensus::{Ballot, Proposal, Proposer, Reply};
use crate::wire::configuration::{decode_answer, encode_answer};
use crate::wire::{DecodeError, MembershipAnswer, MembershipRequest};

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DecisionStep {
    /// Send this to every voter.
    Ask(MembershipRequest),
    /// Send this to the voter that has answered: it is behind.
    Teach(MembershipRequest),
    /// This is what follows, for ever; perhaps another's proposal.
    Decided(Configuration),
    /// A later epoch is decided than the one that this builds on.
    Overtaken(Configuration),
    /// Another proposer is at work: wait a random while, then try [again](Decision::again).
    Beaten,
}

/// A proposer of what follows one epoch.
///
/// ```
/// # use quoit_ring::change::{Arcs, Configuration, Decision, DecisionStep};
/// # use quoit_ring::placement::{grow, join, Newcomer};
/// # use quoit_ring::wire::{MembershipAnswer, MembershipRequest};
/// # use quoit_ring::{ClusterId, ClusterMap, Epoch, LeafBits, NodeId, TokenKey};
/// # use std::sync::Arc;
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
/// let now = Arc::new(Configuration::first(map)?);
/// let next = now.begin(grown, Arcs::FULL)?;
///
/// let mut decision = Decision::new(now, next.clone(), NodeId(77));
/// assert!(matches!(decision.first(), MembershipRequest::Prepare { .. }));
/// let ballot = decision.ballot();
/// let promised = || MembershipAnswer::Promised { accepted: None };
/// assert_eq!(decision.answered(NodeId(1), ballot, promised())?, None);
/// let step = decision.answered(NodeId(2), ballot, promised())?;
/// assert!(matches!(step, Some(DecisionStep::Ask(MembershipRequest::Accept { .. }))));
/// assert_eq!(decision.answered(NodeId(1), ballot, MembershipAnswer::Accepted)?, None);
/// let step = decision.answered(NodeId(3), ballot, MembershipAnswer::Accepted)?;
/// assert_eq!(step, Some(DecisionStep::Decided(next)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Decision {
    after: Arc<Configuration>,
    proposer: Proposer<Configuration>,
    /// What every voter is being asked.
    asking: MembershipRequest,
}

impl Decision {
    /// One that wants `next` to follow `after`. `proposer` must be a name that was in no ballot before.
    #[must_use]
    pub fn new(after: Arc<Configuration>, next: Configuration, proposer: NodeId) -> Self {
        let ballot = Ballot::ZERO.next(proposer);
        Self {
            proposer: Proposer::new(after.voters.len(), ballot, next),
            asking: MembershipRequest::Prepare { ballot },
            after,
        }
    }

    /// Who is asked.
    #[must_use]
    pub fn voters(&self) -> &[NodeId] {
        &self.after.voters
    }

    /// The epoch that it builds on: that of its frames.
    #[must_use]
    pub fn after(&self) -> Epoch {
        self.after.epoch
    }

    /// The ballot of its present attempt, which answers must be given back with.
    #[must_use]
    pub const fn ballot(&self) -> Ballot {
        self.proposer.ballot()
    }

    /// What to ask every voter first.
    #[must_use]
    pub fn first(&self) -> MembershipRequest {
        self.asking.clone()
    }

    /// What a voter is being asked, for one that was behind or out of reach.
    #[must_use]
    pub const fn asking(&self) -> &MembershipRequest {
        &self.asking
    }

    /// Begins again above all that it has heard of: after it was beaten, or if too few have answered for long. What to
    /// ask every voter.
    pub fn again(&mut self) -> MembershipRequest {
        let again = self.proposer.again();
        self.ask(again).unwrap_or_else(|| self.asking.clone())
    }

    /// A voter has answered what was sent with `ballot`; gives back what to do now, if anything.
    ///
    /// # Errors
    /// [`DecodeError`] if the answer holds no configuration where one belongs, or one that this side cannot reach from the
    /// epoch that it knows. Nothing has changed.
    pub fn answered(
        &mut self,
        voter: NodeId,
        ballot: Ballot,
        answer: MembershipAnswer,
    ) -> Result<Option<DecisionStep>, DecodeError> {
        let Some(place) = self.after.voters.iter().position(|&it| it == voter) else {
            return Ok(None);
        };
        let reply = match answer {
            MembershipAnswer::Promised { accepted } => Reply::Promised {
                accepted: match accepted {
                    Some((ballot, value)) => Some((ballot, self.resolve(&value)?)),
                    None => None,
                },
            },
            MembershipAnswer::Accepted => Reply::Accepted,
            MembershipAnswer::Beaten { promised } => Reply::Refused { promised },
            MembershipAnswer::Decided(decided) => {
                let decided = self.resolve(&decided)?;
                let is_later = decided.epoch > self.after.epoch;
                return Ok(is_later.then_some(DecisionStep::Overtaken(decided)));
            }
            MembershipAnswer::Behind(known) if known < self.after.epoch => {
                // Which epochs it knows is not known here, so all of it.
                let decided = Bytes::from(encode_answer(None, &self.after));
                let learn = MembershipRequest::Learn { decided };
                return Ok(Some(DecisionStep::Teach(learn)));
            }
            // It has no vote in this, or has answered something else.
            _ => return Ok(None),
        };
        let next = self.proposer.replied(place, ballot, reply);
        Ok(next.and_then(|proposal| match proposal {
            Proposal::Decided(value) => Some(DecisionStep::Decided(value)),
            Proposal::Beaten => Some(DecisionStep::Beaten),
            asking => self.ask(asking).map(DecisionStep::Ask),
        }))
    }

    fn ask(&mut self, proposal: Proposal<Configuration>) -> Option<MembershipRequest> {
        self.asking = match proposal {
            Proposal::Prepare(ballot) => MembershipRequest::Prepare { ballot },
            Proposal::Accept(ballot, value) => MembershipRequest::Accept {
                ballot,
                next: encode_answer(Some(&self.after), &value).into(),
            },
            Proposal::Decided(_) | Proposal::Beaten => return None,
        };
        Some(self.asking.clone())
    }

    fn resolve(&self, bytes: &[u8]) -> Result<Configuration, DecodeError> {
        let unreachable = |_| DecodeError::Malformed("an update of another configuration");
        let found = decode_answer(bytes)?.resolve(&self.after);
        found.map_err(unreachable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::{Arcs, Chain, chain::Vote};
    use crate::placement::{Newcomer, grow, join};
    use crate::{ClusterId, ClusterMap, LeafBits, TokenKey};

    fn newcomer(id: u64) -> Newcomer {
        Newcomer {
            id: NodeId(id),
            name: format!("n{id}"),
            address: format!("h{id}:1"),
            zone: "z".into(),
            weight: 1,
        }
    }

    fn first() -> Arc<Configuration> {
        let empty = ClusterMap {
            cluster: ClusterId(1),
            epoch: Epoch(1),
            token_key: TokenKey([0; 16]),
            leaf_bits: LeafBits::new(10).unwrap(),
            replication: 3,
            members: vec![],
        };
        let map = grow(empty, (1..=3).map(newcomer), 1).unwrap();
        Arc::new(Configuration::first(map).unwrap())
    }

    fn grown(first: &Configuration, id: u64) -> Configuration {
        let mut map = first.map.clone();
        join(&mut map, newcomer(id), 1).unwrap();
        first.begin(map, Arcs::FULL).unwrap()
    }

    /// A voter's answer, as a node gives it.
    fn answer(
        chain: &mut Chain,
        after: &Configuration,
        request: &MembershipRequest,
    ) -> MembershipAnswer {
        let vote = match request {
            MembershipRequest::Prepare { ballot } => chain.prepare(after.epoch, *ballot),
            MembershipRequest::Accept { ballot, next } => {
                let next = decode_answer(next).unwrap().resolve(after).unwrap();
                chain.accept(after.epoch, *ballot, next)
            }
            _ => panic!("not a vote: {request:?}"),
        };
        let bytes = |value: &Configuration| Bytes::from(encode_answer(Some(after), value));
        match vote {
            Vote::Reply(Reply::Promised { accepted }) => MembershipAnswer::Promised {
                accepted: accepted.map(|(ballot, value)| (ballot, bytes(&value))),
            },
            Vote::Reply(Reply::Accepted) => MembershipAnswer::Accepted,
            Vote::Reply(Reply::Refused { promised }) => MembershipAnswer::Beaten { promised },
            Vote::Decided(decided) => MembershipAnswer::Decided(bytes(&decided)),
            Vote::Behind(epoch) => MembershipAnswer::Behind(epoch),
            Vote::NoVoter => MembershipAnswer::NoVoter,
            Vote::NoSuccessor => MembershipAnswer::NoSuccessor,
        }
    }

    /// Asks all voters until something else comes of it.
    fn run(decision: &mut Decision, chains: &mut [Chain]) -> DecisionStep {
        let after = Arc::clone(&decision.after);
        let mut asking = decision.first();
        loop {
            let ballot = decision.ballot();
            let mut next = None;
            for (place, chain) in chains.iter_mut().enumerate() {
                let answer = answer(chain, &after, &asking);
                let voter = NodeId(place as u64 + 1);
                let step = decision.answered(voter, ballot, answer).unwrap();
                next = next.or(step);
            }
            match next.expect("a majority answers") {
                DecisionStep::Ask(request) => asking = request,
                DecisionStep::Beaten => asking = decision.again(),
                other => return other,
            }
        }
    }

    fn chains(first: &Configuration) -> Vec<Chain> {
        let chain = |id| Chain::new(NodeId(id), first.clone());
        (1..=3).map(chain).collect()
    }

    #[test]
    fn of_two_proposals_one_is_decided_and_both_proposers_hear_which() {
        let first = first();
        let mut voters = chains(&first);
        let mut one = Decision::new(Arc::clone(&first), grown(&first, 4), NodeId(70));
        let mut other = Decision::new(Arc::clone(&first), grown(&first, 5), NodeId(60));
        let decided = run(&mut one, &mut voters);
        assert_eq!(decided, DecisionStep::Decided(grown(&first, 4)));
        assert_eq!(
            run(&mut other, &mut voters),
            decided,
            "though it is beaten at first"
        );
    }

    #[test]
    fn whoever_builds_on_an_old_epoch_hears_of_the_newer_one() {
        let first = first();
        let mut voters = chains(&first);
        let next = grown(&first, 4);
        for voter in &mut voters {
            voter.learn(next.clone());
        }
        let mut late = Decision::new(Arc::clone(&first), grown(&first, 5), NodeId(60));
        assert_eq!(run(&mut late, &mut voters), DecisionStep::Overtaken(next));
    }

    #[test]
    fn a_voter_that_is_behind_is_taught() {
        let first = first();
        let next = Arc::new(grown(&first, 4));
        let step = next.step().unwrap();
        let mut voters = chains(&first);
        let mut decision = Decision::new(Arc::clone(&next), step, NodeId(60));
        let taught = run(&mut decision, &mut voters);
        let DecisionStep::Teach(MembershipRequest::Learn { decided }) = taught else {
            panic!("{taught:?}");
        };
        let learned = decode_answer(&decided).unwrap().resolve(&first).unwrap();
        assert_eq!(learned, *next);
    }

    #[test]
    fn an_answer_that_holds_no_configuration_is_an_error_and_changes_nothing() {
        let first = first();
        let mut decision = Decision::new(Arc::clone(&first), grown(&first, 4), NodeId(60));
        let ballot = decision.ballot();
        for junk in [
            MembershipAnswer::Decided(Bytes::from_static(b"junk")),
            MembershipAnswer::Promised {
                accepted: Some((ballot, Bytes::new())),
            },
        ] {
            assert!(decision.answered(NodeId(1), ballot, junk).is_err());
        }
        let mut voters = chains(&first);
        assert!(matches!(
            run(&mut decision, &mut voters),
            DecisionStep::Decided(_)
        ));
    }
}
