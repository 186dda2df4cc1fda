//! A node that has lost writes with its power: what is stored of that, and until when.

use bytes::Bytes;
use quoit_ring::change::Known;
use quoit_ring::wire::{Durability as Acks, MembershipAnswer, Refusal, Response};
use quoit_ring::{Epoch, MerkleKey, NodeId, Time};

use super::{World, leaving, values};
use crate::commit::{ChangeRows, Task};
use crate::engine::layout::META_INCOMPLETE;
use crate::engine::{Durability, Engine as _, Keyspace};
use crate::state::NodeState;
use crate::testing::{Disk, LIMITS, SELF, WALL, at, blind, dot, encoded, ring_of};

const EPOCH: Epoch = Epoch(2);
const OTHER: NodeId = NodeId(2);

/// A node that finds after a start that it has lost writes; both members own all.
fn incomplete() -> World<Disk> {
    let engine = Disk::default();
    ChangeRows::default().lose(&engine).unwrap();
    let (known, key) = (Known::of(ring_of(2, 2)), MerkleKey([5; 16]));
    let state = NodeState::new(SELF, known, key, Time::ZERO, (LIMITS, Acks::Buffered));
    World::with_state(engine, state).restarted()
}

fn refill(source: NodeId, key: &str) -> Task {
    let record = encoded(blind(dot(1, WALL), key).record());
    Task::Refill {
        epoch: EPOCH,
        source,
        rows: vec![(Bytes::copy_from_slice(key.as_bytes()), record)],
    }
}

fn is_stored(world: &World<Disk>) -> bool {
    let row = world.engine.get(Keyspace::Meta, META_INCOMPLETE);
    row.unwrap().is_some()
}

#[test]
fn a_loss_is_synced_and_outlives_restarts_until_the_node_is_complete() {
    let world = incomplete();
    assert_eq!(world.engine.durabilities(), [Durability::Fsync]);
    let mut world = world.restarted();
    assert!(!world.state.completeness.is_complete());

    assert_eq!(world.order(refill(OTHER, "k")), Response::Joined);
    assert_eq!(values(&world.stored("k").unwrap()), [b"k"]);
    assert_eq!(world.state.completeness.refilled_rows(), 1);
    let mut world = world.restarted();
    assert!(!world.state.completeness.is_complete(), "it is not over");

    assert_eq!(
        world.order(Task::Complete { epoch: EPOCH }),
        Response::Joined
    );
    assert!(world.state.completeness.is_complete() && !is_stored(&world));
    let made = world.engine.durabilities();
    assert_eq!(
        made.last(),
        Some(&Durability::Fsync),
        "in buffered mode, too"
    );
    assert!(world.restarted().state.completeness.is_complete());
}

#[test]
fn what_the_source_does_not_own_or_another_epoch_sent_is_refused() {
    let mut world = incomplete();
    let refused = |refusal| Response::Refused(refusal);
    assert_eq!(
        world.order(refill(NodeId(9), "k")),
        refused(Refusal::NotReplica)
    );
    assert_eq!(world.stored("k"), None);

    let mut world = incomplete();
    assert!(world.committer.learn(leaving(), at(WALL)).unwrap());
    let old = refused(Refusal::OldEpoch);
    assert_eq!(world.order(refill(OTHER, "k")), old);
    assert_eq!(world.order(Task::Complete { epoch: EPOCH }), old);
    assert!(!world.state.completeness.is_complete());
}

#[test]
fn an_incomplete_node_acknowledges_writes_and_says_of_no_source_that_it_has_all() {
    let mut world = incomplete();
    assert_eq!(world.only("k", blind(dot(1, WALL), "v")), Response::Joined);
    let mut pulled = world.state.pulled.get();
    pulled.advance(OTHER, None);
    world.state.pulled.set(pulled);
    let said = |world: &mut World<Disk>| match world.order(Task::Fence { epoch: EPOCH }) {
        Response::Membership(answer) => match *answer {
            MembershipAnswer::Progress(progress) => progress.pulled,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    assert_eq!(said(&mut world), []);
    assert_eq!(
        world.order(Task::Complete { epoch: EPOCH }),
        Response::Joined
    );
    assert_eq!(said(&mut world), [OTHER]);
}
