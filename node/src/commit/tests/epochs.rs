//! Epochs: learned on the disk, and fenced where writes are joined.

use quoit_ring::change::{Arcs, Known, Topology};
use quoit_ring::consensus::Ballot;
use quoit_ring::wire::configuration::{decode_configuration, encode_answer};
use quoit_ring::wire::{MembershipAnswer, Progress, Refusal, Response};
use quoit_ring::{Epoch, Leaf, NodeId};

use super::{World, world};
use crate::commit::Task;
use crate::engine::layout::META_CONFIGURATION;
use crate::engine::{Engine as _, Keyspace, MemoryEngine};
use crate::testing::{SELF, WALL, at, blind, dot, ring, state_of};

/// So many epochs after that of the tests, while their ring changes.
fn next(count: u64) -> Known {
    let mut now = Known::of(ring(1));
    let begun = now.configuration().begin(ring(2).map().clone(), Arcs::FULL);
    now = now.later(begun.unwrap()).unwrap();
    for _ in 1..count {
        let step = now.configuration().step().unwrap();
        now = now.later(step).unwrap();
    }
    now
}

#[test]
fn a_write_of_an_older_epoch_is_refused_where_it_is_joined() {
    let mut world = world();
    assert!(world.committer.learn(next(1), at(WALL)).unwrap());
    world.put("before", blind(dot(1, WALL), "v"));
    assert_eq!(world.commit(), [Response::Joined], "both are served");

    world.put("waits", blind(dot(2, WALL), "v"));
    assert_eq!(world.committer.fence(Epoch(3)), Epoch(3));
    assert_eq!(world.commit(), [Response::Refused(Refusal::OldEpoch)]);
    assert_eq!(world.stored("waits"), None);
}

#[test]
fn an_epoch_is_stored_before_it_is_served_and_an_older_one_changes_nothing() {
    let mut world = world();
    for (learned, stored) in [(2, 2), (1, 2), (3, 3)] {
        assert!(world.committer.learn(next(learned), at(WALL)).unwrap());
        let found = world.engine.get(Keyspace::Meta, META_CONFIGURATION);
        let found = decode_configuration(&found.unwrap().unwrap()).unwrap();
        assert_eq!(&found, next(stored).configuration());
    }
    let cluster = &world.state.cluster;
    assert_eq!(
        (cluster.epoch(), cluster.newest().epoch()),
        (Epoch(4), Epoch(5))
    );
}

fn decided(known: &Known) -> Task {
    let decided = encode_answer(None, known.configuration()).into();
    Task::Learn { decided }
}

/// What a membership order was answered.
fn said(answer: Response) -> MembershipAnswer {
    match answer {
        Response::Membership(answer) => *answer,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_another_node_says_is_decided_is_learned_once() {
    let mut world = world();
    for (epoch, newest) in [(1, 3), (3, 5), (2, 5), (3, 5)] {
        let learned = said(world.order(decided(&next(epoch))));
        assert_eq!(learned, MembershipAnswer::Learned(Epoch(newest)));
    }
    let of_other_base = encode_answer(Some(next(4).configuration()), next(5).configuration());
    let decided = of_other_base.into();
    let asked = said(world.order(Task::Learn { decided }));
    assert_eq!(
        asked,
        MembershipAnswer::Behind(Epoch(5)),
        "it needs all of it"
    );
    let decided = "junk".into();
    let refused = Response::Refused(Refusal::BadRecord);
    assert_eq!(world.order(Task::Learn { decided }), refused);
}

#[test]
fn nothing_is_done_in_an_epoch_of_another_recovery() {
    let first = Known::of(ring(3));
    let recovered = |lost: Vec<NodeId>| {
        let recovered = first.configuration().recovered(&lost).unwrap();
        first.later(recovered).unwrap()
    };
    let (own, other) = (
        recovered(vec![NodeId(3)]),
        recovered(vec![NodeId(2), NodeId(3)]),
    );
    let mut world = World::with_state(MemoryEngine::new(), state_of(ring(3)));
    assert!(world.committer.learn(own.clone(), at(WALL)).unwrap());

    let epoch = other.epoch();
    let ballot = Ballot::ZERO.next(NodeId(2));
    let next = encode_answer(None, other.configuration()).into();
    let tasks = [
        decided(&other),
        Task::Fence { epoch },
        Task::Prepare {
            after: epoch,
            ballot,
        },
        Task::Accept {
            after: epoch,
            ballot,
            next,
        },
        Task::Take { epoch },
    ];
    for task in tasks {
        let text = format!("{task:?}");
        let refused = Response::Refused(Refusal::OtherRecovery);
        assert_eq!(world.order(task), refused, "{text}");
    }
    let cluster = &world.state.cluster;
    assert_eq!(
        (cluster.newest().epoch(), cluster.epoch()),
        (own.epoch(), own.epoch())
    );
}

#[test]
fn a_fence_is_answered_with_how_far_the_node_is() {
    let mut world = world();
    let fence = |epoch| Task::Fence {
        epoch: Epoch(epoch),
    };
    assert_eq!(
        said(world.order(fence(3))),
        MembershipAnswer::Behind(Epoch(2))
    );
    world.order(decided(&next(1)));
    world.state.leftovers.set_clean(Epoch(3));
    let progress = |fence, has_leftovers| {
        MembershipAnswer::Progress(Progress {
            newest: Epoch(3),
            fence: Epoch(fence),
            pulled: vec![],
            has_leftovers,
            hints: None,
        })
    };
    assert_eq!(said(world.order(fence(2))), progress(2, false));
    assert_eq!(said(world.order(fence(3))), progress(3, false));
}

#[test]
fn who_had_no_leftovers_has_none_until_it_loses_something() {
    let mut world = world();
    world.state.leftovers.set_clean(Epoch(2));
    let first = Known::of(ring(1));
    let (mut before, mut lost) = (first.topology().clone(), false);
    for known in (1..18).map(next) {
        let topology = known.topology();
        let owns = |topology: &Topology, leaf| topology.owns(SELF, Leaf(leaf));
        lost |= (0..1 << 12).any(|leaf| owns(&before, leaf) && !owns(topology, leaf));
        before = topology.clone();
        world.order(decided(&known));
        assert_eq!(world.state.leftovers.is_clean(known.epoch()), !lost);
    }
    assert!(lost);

    let mut world = super::world();
    world.state.leftovers.set_clean(Epoch(2));
    world.order(decided(&next(2)));
    assert!(
        !world.state.leftovers.is_clean(Epoch(4)),
        "it has missed an epoch"
    );
}
