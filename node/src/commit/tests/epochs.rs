//! Epochs: learned on the disk, and fenced where writes are joined.

use quoit_ring::Epoch;
use quoit_ring::change::{Arcs, Known};
use quoit_ring::wire::configuration::decode_configuration;
use quoit_ring::wire::{Refusal, Response};

use super::world;
use crate::engine::layout::META_CONFIGURATION;
use crate::engine::{Engine as _, Keyspace};
use crate::testing::{WALL, at, blind, dot, ring};

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
