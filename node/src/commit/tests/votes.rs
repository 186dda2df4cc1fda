//! Votes: synced before they are answered, kept over a restart, and on nothing that cannot follow.

use bytes::Bytes;
use quoit_ring::change::{Arcs, Configuration, Known};
use quoit_ring::consensus::Ballot;
use quoit_ring::wire::configuration::{decode_answer, encode_answer};
use quoit_ring::wire::{Fault, MembershipAnswer, Refusal, Response};
use quoit_ring::{Epoch, NodeId};

use super::{World, world};
use crate::commit::{Asker, Order, Task};
use crate::engine::layout::META_VOTE;
use crate::engine::{Durability, Engine, EngineError, Keyspace};
use crate::testing::{Disk, Failing, Sink, WALL, at, ring, state};

/// The epoch of the tests' ring, whose one member votes.
const AFTER: Epoch = Epoch(2);

fn ballot(round: u64) -> Ballot {
    let proposer = NodeId(3);
    Ballot { round, proposer }
}

fn prepare(round: u64) -> Task {
    Task::Prepare {
        after: AFTER,
        ballot: ballot(round),
    }
}

/// The ring grows to so many members.
fn grown(members: u64) -> (Configuration, Configuration) {
    let first = Known::of(ring(1)).configuration().clone();
    let next = first.begin(ring(members).map().clone(), Arcs::FULL);
    (first, next.unwrap())
}

fn accept(round: u64, members: u64) -> Task {
    let (first, next) = grown(members);
    Task::Accept {
        after: AFTER,
        ballot: ballot(round),
        next: encode_answer(Some(&first), &next).into(),
    }
}

impl<G: Engine> World<G> {
    fn vote(&mut self, task: Task) -> MembershipAnswer {
        match self.order(task) {
            Response::Membership(answer) => *answer,
            other => panic!("no vote: {other:?}"),
        }
    }
}

const PROMISED: MembershipAnswer = MembershipAnswer::Promised { accepted: None };

#[test]
fn a_vote_is_synced_before_it_is_answered_and_one_that_changes_nothing_costs_no_commit() {
    let mut world = World::over(Disk::default());
    let mut commits = 0;
    for (task, answer, is_new) in [
        (prepare(4), PROMISED, true),
        (prepare(4), PROMISED, false),
        (
            prepare(3),
            MembershipAnswer::Beaten {
                promised: ballot(4),
            },
            false,
        ),
        (accept(4, 2), MembershipAnswer::Accepted, true),
        (accept(4, 2), MembershipAnswer::Accepted, false),
        (
            accept(1, 3),
            MembershipAnswer::Beaten {
                promised: ballot(4),
            },
            false,
        ),
    ] {
        assert_eq!(world.vote(task), answer);
        commits += usize::from(is_new);
        assert_eq!(
            world.engine.durabilities(),
            vec![Durability::Fsync; commits]
        );
    }
}

#[test]
fn a_restart_keeps_what_was_promised_and_accepted() {
    let mut world = world();
    assert_eq!(world.vote(prepare(4)), PROMISED);
    let mut world = world.restarted();
    let beaten = MembershipAnswer::Beaten {
        promised: ballot(4),
    };
    assert_eq!(world.vote(prepare(3)), beaten);
    assert_eq!(world.vote(accept(3, 2)), beaten);

    assert_eq!(world.vote(accept(5, 2)), MembershipAnswer::Accepted);
    let mut world = world.restarted();
    let MembershipAnswer::Promised { accepted } = world.vote(prepare(6)) else {
        panic!("no promise");
    };
    let (by, value) = accepted.unwrap();
    let (first, next) = grown(2);
    let value = decode_answer(&value).unwrap().resolve(&first).unwrap();
    assert_eq!((by, value), (ballot(5), next));
}

#[test]
fn a_vote_is_forgotten_once_its_epoch_is_decided() {
    let mut world = world();
    assert_eq!(world.vote(prepare(4)), PROMISED);
    let (first, next) = grown(2);
    let decided = encode_answer(Some(&first), &next).into();
    let learned = MembershipAnswer::Learned(Epoch(3));
    assert_eq!(world.vote(Task::Learn { decided }), learned);
    assert_eq!(world.engine.get(Keyspace::Meta, META_VOTE).unwrap(), None);

    let mut world = world.restarted();
    let MembershipAnswer::Decided(answer) = world.vote(prepare(5)) else {
        panic!("it is decided");
    };
    let answer = decode_answer(&answer).unwrap();
    assert_eq!(answer.resolve(&first).unwrap(), next);
    let after = Epoch(3);
    let ballot = ballot(1);
    assert_eq!(world.vote(Task::Prepare { after, ballot }), PROMISED);
    let after = Epoch(4);
    let behind = MembershipAnswer::Behind(Epoch(3));
    assert_eq!(world.vote(Task::Prepare { after, ballot }), behind);
}

#[test]
fn a_row_of_a_vote_on_an_earlier_epoch_is_no_vote() {
    let mut world = world();
    assert_eq!(world.vote(prepare(4)), PROMISED);
    let rows = super::ChangeRows::load(&*world.engine).unwrap().unwrap();
    let later = Known::new(grown(2).1).unwrap();
    assert!(world.committer.learn(later, at(WALL)).unwrap());
    world.committer = world.committer.restored(rows);
    let (after, ballot) = (Epoch(3), ballot(1));
    assert_eq!(world.vote(Task::Prepare { after, ballot }), PROMISED);
}

#[test]
fn nothing_is_accepted_that_cannot_follow() {
    let (first, next) = grown(2);
    let skipped = next.step().unwrap();
    let mut other = next.clone();
    other.removed.push(NodeId(9));
    let mut invalid = next.clone();
    invalid.voters.clear();
    let whole = |next: &Configuration| Bytes::from(encode_answer(None, next));
    let of_other_base = encode_answer(Some(&next), &skipped).into();
    let mut world = world();
    for next in [
        whole(&skipped),
        whole(&other),
        whole(&invalid),
        whole(&first),
        of_other_base,
        "junk".into(),
        Bytes::new(),
    ] {
        let accept = Task::Accept {
            after: AFTER,
            ballot: ballot(4),
            next,
        };
        assert_eq!(world.vote(accept), MembershipAnswer::NoSuccessor);
    }
    assert_eq!(world.engine.get(Keyspace::Meta, META_VOTE).unwrap(), None);
}

#[test]
fn who_is_no_voter_says_so() {
    let mut elsewhere = grown(2).1;
    elsewhere.voters = vec![NodeId(2)];
    let mut world = world();
    let decided = encode_answer(None, &elsewhere).into();
    let learned = MembershipAnswer::Learned(Epoch(3));
    assert_eq!(world.vote(Task::Learn { decided }), learned);
    let (after, ballot) = (Epoch(3), ballot(1));
    let asked = world.vote(Task::Prepare { after, ballot });
    assert_eq!(asked, MembershipAnswer::NoVoter);
}

#[test]
fn a_full_disk_promises_nothing() {
    let mut world = World::over(Disk::default());
    world.engine.set_free(0);
    let full = Response::Refused(Refusal::Storage(Fault::NoSpace));
    assert_eq!(world.order(prepare(4)), full);
    let mut world = world.restarted();
    world.engine.set_free(u64::MAX);
    assert_eq!(world.vote(prepare(3)), PROMISED);
}

#[test]
fn a_vote_whose_commit_fails_is_answered_with_the_fault() {
    let poisoned = || EngineError::Poisoned { cause: None };
    let mut world = World::with_state(Failing::with(poisoned), state(1));
    let from = Asker::Caller {
        id: 1,
        reply: world.sink.clone(),
    };
    let task = prepare(4);
    let done = world.committer.carry_out(Order { from, task }, at(WALL));
    assert!(done.is_err());
    let failed = Response::Refused(Refusal::Storage(Fault::Failed));
    assert_eq!(world.sink.answers(), [(1, failed)]);
}

#[test]
fn the_node_itself_finds_its_answers_by_ticket() {
    let mut world = world();
    for ticket in [5, 6] {
        let from = Asker::<Sink>::Node { ticket };
        let task = prepare(ticket);
        world
            .committer
            .carry_out(Order { from, task }, at(WALL))
            .unwrap();
    }
    let tickets: Vec<u64> = (world.state.finished.take().into_iter())
        .map(|(ticket, _)| ticket)
        .collect();
    assert_eq!((tickets, world.state.finished.take()), (vec![5, 6], vec![]));
}
