//! Epochs: learned on the disk, and fenced where writes are joined.

use quoit_ring::Epoch;
use quoit_ring::change::{Arcs, Configuration, Topology};
use quoit_ring::wire::{Refusal, Response};

use super::world;
use crate::cluster::Known;
use crate::engine::layout::META_CLUSTER;
use crate::engine::{Engine as _, Keyspace};
use crate::testing::{WALL, at, blind, dot, ring};

/// The epoch after that of the tests, in which their ring begins to change.
fn next(count: u64) -> Known {
    let mut now = Configuration::first(ring(1).map().clone()).unwrap();
    let target = ring(2).map().clone();
    now = now.begin(target, Arcs::FULL).unwrap();
    for _ in 1..count {
        now = now.step().unwrap();
    }
    Known {
        topology: Topology::new(&now, None).unwrap(),
        encoded: format!("epoch {}", now.epoch.0).into(),
    }
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
    for (learned, stored) in [(2, "epoch 4"), (1, "epoch 4"), (3, "epoch 5")] {
        assert!(world.committer.learn(next(learned), at(WALL)).unwrap());
        let found = world.engine.get(Keyspace::Meta, META_CLUSTER).unwrap();
        assert_eq!(found.unwrap(), stored);
    }
    let cluster = &world.state.cluster;
    assert_eq!(
        (cluster.epoch(), cluster.newest().epoch()),
        (Epoch(4), Epoch(5))
    );
}
