//! Proposals of what shall follow an epoch, put to voters of three nodes.

use quoit_ring::change::chain::Vote;
use quoit_ring::change::{Arcs, Chain};
use quoit_ring::consensus::{Ballot, Reply as VoterReply};
use quoit_ring::wire::configuration::decode_answer;
use quoit_ring::wire::{MembershipAnswer, MembershipRequest};

use super::*;
use crate::membership::{MembershipError, Proposed};

/// Epoch 1 of three members, and an epoch 2 in which node `id` begins to join them.
fn epochs(id: u64) -> (Configuration, Configuration) {
    let first = Configuration::first(map_of(3, 1)).unwrap();
    let mut target = first.map.clone();
    let mut member = map_of(4, 1).members.remove(3);
    (member.id, member.name) = (NodeId(id), format!("n{id}"));
    target.members.push(member);
    let next = first.begin(target, Arcs::new(1).unwrap()).unwrap();
    (first, next)
}

type Voter = (NodeId, Chain);

fn chains(first: &Configuration) -> Vec<Voter> {
    let chain = |id| (NodeId(id), Chain::new(NodeId(id), first.clone()));
    (1..=3).map(chain).collect()
}

/// A voter's answer, as a node gives it.
fn answer(chain: &mut Chain, frame: &RequestFrame) -> Response {
    let known = chain.decided().clone();
    let bytes = |value: &Configuration| Bytes::from(encode_answer(Some(&known), value));
    let Request::Membership(request) = &frame.request else {
        panic!("{frame:?}");
    };
    let vote = match request {
        MembershipRequest::Prepare { ballot } => chain.prepare(frame.epoch, *ballot),
        MembershipRequest::Accept { ballot, next } => {
            let next = decode_answer(next).unwrap().resolve(&known).unwrap();
            chain.accept(frame.epoch, *ballot, next)
        }
        MembershipRequest::Learn { decided } => {
            let decided = decode_answer(decided).unwrap().resolve(&known).unwrap();
            let epoch = decided.epoch;
            chain.learn(decided);
            return Response::Membership(Box::new(MembershipAnswer::Learned(epoch)));
        }
        _ => panic!("{request:?}"),
    };
    Response::Membership(Box::new(match vote {
        Vote::Reply(VoterReply::Promised { accepted }) => MembershipAnswer::Promised {
            accepted: accepted.map(|(ballot, value)| (ballot, bytes(&value))),
        },
        Vote::Reply(VoterReply::Accepted) => MembershipAnswer::Accepted,
        Vote::Reply(VoterReply::Refused { promised }) => MembershipAnswer::Beaten { promised },
        Vote::Decided(decided) => MembershipAnswer::Decided(encode_answer(None, &decided).into()),
        Vote::Behind(epoch) => MembershipAnswer::Behind(epoch),
        Vote::NoVoter => MembershipAnswer::NoVoter,
        Vote::NoSuccessor => MembershipAnswer::NoSuccessor,
    }))
}

impl Bench {
    fn propose(&mut self, after: &Configuration, next: &Configuration) {
        let (after, next) = (Arc::new(after.clone()), Box::new(next.clone()));
        self.start(1, Call::Propose { after, next });
    }

    /// All that is sent is answered, and time passes, until the proposal has ended.
    fn decide(&mut self, voters: &mut [Voter]) -> ProposalResult {
        for _ in 0..1_000 {
            for to in self.sent() {
                if let Some((_, chain)) = voters.iter_mut().find(|(id, _)| *id == to.0) {
                    let response = answer(chain, &to.1);
                    self.answer(&to, response);
                }
            }
            if let Some((_, done)) = self.done() {
                let Done::Propose(result) = done else {
                    panic!("{done:?}");
                };
                return result;
            }
            self.pass(10);
        }
        panic!("it ends at its deadline at the latest");
    }
}

#[test]
fn a_majority_decides_and_the_client_goes_on_to_what_was_decided() {
    let (first, next) = epochs(4);
    let mut bench = Bench::new();
    bench.propose(&first, &next);
    let mut voters = chains(&first);
    let decided = bench.decide(&mut voters[1..]).unwrap();
    assert_eq!(decided, Proposed::Decided(Box::new(next)));
    assert_eq!(bench.coordinator.topology().epoch(), Epoch(2));
    assert!(bench.coordinator.topology().member(NodeId(4)).is_some());
}

#[test]
fn the_second_operator_hears_who_was_first() {
    let (first, next) = epochs(4);
    let (_, other) = epochs(5);
    let mut voters = chains(&first);
    let mut bench = Bench::new();
    bench.propose(&first, &next);
    let decided = bench.decide(&mut voters).unwrap();
    assert_eq!(decided.configuration(), &next);

    // Its votes are there, and nobody has heard that it is decided.
    let mut second = Bench::new();
    second.random = 99;
    second.propose(&first, &other);
    let heard = second.decide(&mut voters).unwrap();
    assert_eq!(heard, Proposed::Another(Box::new(next.clone())));

    let later = next.step().unwrap();
    for (_, voter) in &mut voters {
        voter.learn(later.clone());
    }
    let mut third = Bench::new();
    third.propose(&first, &other);
    let heard = third.decide(&mut voters).unwrap();
    assert_eq!(heard, Proposed::Overtaken(Box::new(later)));
}

#[test]
fn a_voter_that_is_behind_is_taught_and_votes() {
    let (first, begun) = epochs(4);
    let next = begun.step().unwrap();
    let mut voters = chains(&first);
    voters[0].1.learn(begun.clone());
    let mut bench = Bench::new();
    bench.propose(&begun, &next);
    let decided = bench.decide(&mut voters[..2]).unwrap();
    assert_eq!(decided, Proposed::Decided(Box::new(next)));
    assert_eq!(voters[1].1.decided().epoch, Epoch(2));
}

#[test]
fn one_that_is_beaten_tries_again_after_a_while() {
    let (first, next) = epochs(4);
    let mut voters = chains(&first);
    let higher = Ballot::ZERO.next(NodeId(1)).next(NodeId(u64::MAX));
    for (_, voter) in &mut voters {
        voter.prepare(Epoch(1), higher);
    }
    let mut bench = Bench::new();
    bench.propose(&first, &next);
    let decided = bench.decide(&mut voters).unwrap();
    assert_eq!(decided, Proposed::Decided(Box::new(next)));
}

#[test]
fn without_a_majority_the_error_says_whether_it_may_be_decided() {
    let (first, next) = epochs(4);
    let mut bench = Bench::new();
    bench.propose(&first, &next);
    let result = bench.decide(&mut chains(&first)[..1]);
    let Err(error @ MembershipError::NoMajority { needed: 2, .. }) = result else {
        panic!("{result:?}");
    };
    assert!(!error.may_be_decided(), "none was asked to accept");
    assert!(
        error.to_string().ends_with("nothing has changed"),
        "{error}"
    );

    let mut voters = chains(&first);
    bench.propose(&first, &next);
    for to in bench.sent().iter().take(2) {
        let voter = voters.iter_mut().find(|(id, _)| *id == to.0);
        let response = answer(&mut voter.unwrap().1, &to.1);
        bench.answer(to, response);
    }
    let error = bench.decide(&mut []).unwrap_err();
    assert!(error.may_be_decided(), "{error}");
}

#[test]
fn an_applications_certificate_may_not_propose() {
    let (first, next) = epochs(4);
    let mut bench = Bench::new();
    bench.propose(&first, &next);
    let to = bench.sent().remove(0);
    bench.answer(&to, Response::Refused(Refusal::Forbidden));
    assert!(matches!(
        bench.done(),
        Some((1, Done::Propose(Err(MembershipError::Forbidden))))
    ));
}
