//! Pages that were pulled: all of a page or nothing, its cursor beside it, synced at the end.

use bytes::Bytes;
use quoit_ring::change::Known;
use quoit_ring::wire::{Durability as Acks, Page, Refusal, Response};
use quoit_ring::{Delta, Epoch, MerkleKey, NodeId, Record, Time};

use super::{LEAVING, World, keys, leaving, values};
use crate::commit::Task;
use crate::engine::layout::META_PULLED;
use crate::engine::{Durability, Engine, Keyspace, MemoryEngine};
use crate::state::NodeState;
use crate::testing::{Disk, LIMITS, SELF, WALL, at, blind, dot, encoded, ring, state_of, unseeing};

const EPOCH: Epoch = Epoch(3);

/// A node that is to own what another one had, and pulls it.
fn pulling<G: Engine>(engine: G, durability: Acks) -> World<G> {
    let settings = (LIMITS, durability);
    let (known, key) = (Known::of(ring(2)), MerkleKey([5; 16]));
    let state = NodeState::new(SELF, known, key, Time::ZERO, settings);
    let mut world = World::with_state(engine, state);
    assert!(world.committer.learn(leaving(), at(WALL)).unwrap());
    world
}

fn row(key: &str, delta: &Delta) -> (Bytes, Bytes) {
    let key = Bytes::copy_from_slice(key.as_bytes());
    (key, encoded(delta.record()))
}

fn rows(keys: impl Iterator<Item = String>) -> Vec<(Bytes, Bytes)> {
    keys.map(|key| row(&key, &blind(dot(1, WALL), &key)))
        .collect()
}

fn store(rows: Vec<(Bytes, Bytes)>, next: Option<&'static str>) -> Task {
    let next = next.map(Bytes::from);
    Task::Store {
        epoch: EPOCH,
        source: LEAVING,
        page: Page {
            rows,
            registers: vec![],
            next,
        },
    }
}

fn cursor<G>(world: &World<G>) -> Option<Bytes> {
    world.state.pulled.cursor(EPOCH, LEAVING)
}

#[test]
fn a_page_and_its_cursor_are_one_batch_and_a_restart_goes_on_there() {
    let mut world = pulling(Disk::default(), Acks::Fsync);
    let learned = world.engine.durabilities().len();
    assert_eq!(cursor(&world), Some(Bytes::new()));
    let page = rows(keys(true).take(3));
    assert_eq!(world.order(store(page, Some("behind 3"))), Response::Joined);
    assert_eq!(world.engine.durabilities().len(), learned + 1);
    for key in keys(true).take(3) {
        assert_eq!(values(&world.stored(&key).unwrap()), [key.as_bytes()]);
    }
    assert_eq!(world.keys(Keyspace::Leaves).len(), 3);

    let mut world = world.restarted();
    assert_eq!(cursor(&world), Some("behind 3".into()));
    assert_eq!(world.state.pulled.done(EPOCH), []);
    let page = rows(keys(true).skip(3).take(1));
    assert_eq!(world.order(store(page, None)), Response::Joined);
    let world = world.restarted();
    assert_eq!(
        (cursor(&world), world.state.pulled.done(EPOCH)),
        (None, vec![LEAVING])
    );
}

#[test]
fn a_node_that_restarts_before_its_first_page_still_counts_what_it_pulls() {
    let mut world = pulling(Disk::default(), Acks::Fsync).restarted();
    assert_eq!(world.order(store(Vec::new(), None)), Response::Joined);
    assert_eq!(world.state.pulled.done(EPOCH), [LEAVING]);
}

#[test]
fn the_last_page_makes_all_pages_durable_before_it_counts() {
    let mut world = pulling(Disk::default(), Acks::Buffered);
    let learned = world.engine.durabilities().len();
    let page = rows(keys(true).take(2));
    assert_eq!(world.order(store(page, Some("behind 2"))), Response::Joined);
    assert_eq!(world.order(store(vec![], None)), Response::Joined);
    let made = world.engine.durabilities().split_off(learned);
    assert_eq!(made.first(), Some(&Durability::Buffered));
    assert_eq!(made.last(), Some(&Durability::Fsync));
}

#[test]
fn a_page_that_comes_again_behind_the_end_changes_nothing() {
    let mut world = pulling(MemoryEngine::new(), Acks::Fsync);
    let page = || rows(keys(true).take(2));
    for next in [Some("behind 2"), None, Some("behind 2")] {
        assert_eq!(world.order(store(page(), next)), Response::Joined);
    }
    assert_eq!(cursor(&world), None);
    assert_eq!(world.keys(Keyspace::Records).len(), 2);
}

#[test]
fn a_row_that_is_refused_refuses_its_page() {
    let key = keys(true).nth(1).unwrap();
    let sound = blind(dot(1, WALL), "v");
    let mut cut_off = row(&key, &sound);
    cut_off.1 = cut_off.1.slice(..3);
    let far_ahead = blind(dot(1, WALL + 60_000), "v");
    let owned = keys(false).next().unwrap();
    let long = "k".repeat(40_000);
    let mut world = pulling(MemoryEngine::new(), Acks::Fsync);
    for bad in [
        cut_off,
        row(&key, &far_ahead),
        row(&owned, &sound),
        row("", &sound),
        row(&long, &sound),
    ] {
        let page = rows(keys(true).take(1)).into_iter().chain([bad]).collect();
        let answer = world.order(store(page, Some("behind")));
        assert!(matches!(answer, Response::Refused(_)), "{answer:?}");
        assert_eq!(world.keys(Keyspace::Records), [] as [Bytes; 0]);
        assert_eq!(cursor(&world), Some(Bytes::new()));
        assert_eq!(world.engine.get(Keyspace::Meta, META_PULLED).unwrap(), None);
    }
}

#[test]
fn a_row_beyond_the_bounds_is_skipped_and_counted() {
    let mut world = pulling(MemoryEngine::new(), Acks::Fsync);
    let mut large = Record::default();
    for actor in 0..=u64::try_from(LIMITS.max_siblings).unwrap() {
        large.join(unseeing(dot(actor, WALL), "v").record());
    }
    let mut page = rows(keys(true).take(2));
    page[0].1 = encoded(&large);
    assert_eq!(world.order(store(page, Some("behind"))), Response::Joined);
    assert_eq!(world.keys(Keyspace::Records).len(), 1);
    assert_eq!(world.state.stats.refused_repairs(), 1);
    assert_eq!(cursor(&world), Some("behind".into()));
}

#[test]
fn pages_of_another_epoch_are_refused_and_what_was_pulled_in_it_is_dropped() {
    let mut world = World::with_state(MemoryEngine::new(), state_of(ring(2)));
    let page = || rows(keys(true).take(1));
    let behind = Response::Refused(Refusal::Behind);
    assert_eq!(world.order(store(page(), None)), behind);
    assert!(world.committer.learn(leaving(), at(WALL)).unwrap());
    assert_eq!(world.order(store(page(), None)), Response::Joined);
    let end = leaving().configuration().step().unwrap();
    let end = leaving().later(end).unwrap();
    assert!(world.committer.learn(end, at(WALL)).unwrap());
    let old = Response::Refused(Refusal::OldEpoch);
    assert_eq!(world.order(store(page(), None)), old);
    assert_eq!(world.engine.get(Keyspace::Meta, META_PULLED).unwrap(), None);
    assert_eq!(world.state.pulled.done(EPOCH), [] as [NodeId; 0]);
}
