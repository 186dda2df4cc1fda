//! What is left of an earlier ownership: not served, deleted unless it changed, and what is empty is taken.

use bytes::Bytes;
use quoit_ring::change::{Branch, Known};
use quoit_ring::wire::{Page, Refusal, Response};
use quoit_ring::{Epoch, Leaf};

use super::{LEAVING, World, expiring, keys, leaving};
use crate::commit::Task;
use crate::engine::layout::{META_TAKEN, NAMESPACE, record_key};
use crate::engine::{Durability, Engine, Keyspace, MemoryEngine};
use crate::testing::{Disk, SELF, WALL, at, blind, dot, encoded, rebuild, ring, state_of};

const EPOCH: Epoch = Epoch(3);
const FORGOTTEN: Response = Response::Joined;
const TAKE: Task = Task::Take { epoch: EPOCH };

/// A node that holds a row of each key, and then learns of the epoch in which it is to own those of the other member.
fn again<G: Engine>(engine: G, held: &[String]) -> World<G> {
    let mut world = World::with_state(engine, state_of(ring(2)));
    rebuild(&*world.engine, &world.state);
    for key in held {
        // A value that expires has an entry more.
        world.put(key, expiring(dot(1, WALL), "left", WALL + 70_000));
    }
    world.commit();
    assert!(world.committer.learn(leaving(), at(WALL)).unwrap());
    world
}

fn leaf_of(key: &str) -> Leaf {
    let ring = ring(2);
    ring.leaf_bits().leaf_of(ring.token_of(key.as_bytes()))
}

impl<G: Engine> World<G> {
    /// The row of a key as it is stored.
    fn row(&self, key: &str) -> (Bytes, Bytes) {
        let stored = record_key(NAMESPACE, key.as_bytes());
        let record = self.engine.get(Keyspace::Records, &stored).unwrap();
        (Bytes::copy_from_slice(key.as_bytes()), record.unwrap())
    }

    fn forget(&mut self, rows: Vec<(Bytes, Bytes)>) -> Response {
        self.order(Task::Forget { epoch: EPOCH, rows })
    }

    fn owns(&self, key: &str) -> Result<bool, Refusal> {
        self.state.cluster.owns(EPOCH, SELF, leaf_of(key))
    }
}

#[test]
fn an_empty_newcomer_takes_at_once_and_still_after_a_restart() {
    let key = keys(true).next().unwrap();
    let owned: Vec<String> = keys(false).take(2).collect();
    let world = again(Disk::default(), &owned);
    assert_eq!(world.owns(&key), Ok(true));
    assert_eq!(world.engine.durabilities().last(), Some(&Durability::Fsync));
    assert_eq!(world.state.cluster.epoch(), Epoch(2), "both are served");
    let world = world.restarted();
    assert_eq!(world.owns(&key), Ok(true));
}

#[test]
fn a_newcomer_that_holds_rows_is_behind_until_they_are_gone() {
    let held: Vec<String> = keys(true).take(3).collect();
    let mut world = again(MemoryEngine::new(), &held);
    for _ in 0..2 {
        assert_eq!(world.owns(&held[0]), Err(Refusal::Behind));
        assert_eq!(world.owns(&keys(false).next().unwrap()), Ok(true));
        assert_eq!(
            world.state.cluster.epoch(),
            EPOCH,
            "older epochs are refused"
        );
        let not_ready = Response::Refused(Refusal::NotReady);
        assert_eq!(world.order(TAKE), not_ready);
        let pulled = Task::Store {
            epoch: EPOCH,
            source: LEAVING,
            page: Page::default(),
        };
        assert_eq!(world.order(pulled), Response::Refused(Refusal::Behind));
        world = world.restarted();
    }

    let rows = held.iter().map(|key| world.row(key)).collect();
    assert_eq!(world.forget(rows), FORGOTTEN);
    assert_eq!(world.order(TAKE), Response::Joined);
    assert_eq!(world.owns(&held[0]), Ok(true));
    assert_eq!(world.order(TAKE), Response::Joined, "it is taken already");
    let world = world.restarted();
    assert_eq!(world.owns(&held[0]), Ok(true));
}

/// The epoch in which the member that leaves is written off.
fn written_off(epoch: Epoch) -> Known {
    let known = leaving();
    let mut next = known.configuration().without_copies_of(&[LEAVING]).unwrap();
    next.epoch = epoch;
    known.later(next).unwrap()
}

#[test]
fn what_was_pulled_stays_if_members_are_written_off_meanwhile_and_else_has_to_go() {
    let key = keys(true).next().unwrap();
    let leaf = leaf_of(&key);
    let (next, later) = (Epoch(EPOCH.0 + 1), Epoch(EPOCH.0 + 2));
    let [recovered, unseen] = [EPOCH, later].map(|from| Branch::recover(from, 9).unwrap());
    for (epoch, stays) in [
        (next, true),
        (recovered, true),
        (later, false),
        (unseen, false),
    ] {
        let mut world = again(MemoryEngine::new(), &[]);
        world.put(&key, expiring(dot(1, WALL), "pulled", WALL + 70_000));
        world.commit();
        let next = written_off(epoch);
        assert!(world.committer.learn(next, at(WALL)).unwrap());
        let owns = world.state.cluster.owns(epoch, SELF, leaf);
        assert_eq!(owns.is_ok(), stays, "{epoch:?}: {owns:?}");
    }

    let mut never_taken = again(MemoryEngine::new(), &[key]);
    let next = written_off(Epoch(EPOCH.0 + 1));
    assert!(never_taken.committer.learn(next, at(WALL)).unwrap());
    let owns = (never_taken.state.cluster).owns(Epoch(EPOCH.0 + 1), SELF, leaf);
    assert_eq!(owns, Err(Refusal::Behind));
}

#[test]
fn what_is_taken_is_synced() {
    let held: Vec<String> = keys(true).take(1).collect();
    let mut world = again(Disk::default(), &held);
    let rows = vec![world.row(&held[0])];
    world.forget(rows);
    assert_eq!(world.engine.get(Keyspace::Meta, META_TAKEN).unwrap(), None);
    world.order(TAKE);
    assert_eq!(world.engine.durabilities().last(), Some(&Durability::Fsync));
}

#[test]
fn forgetting_leaves_nothing_of_a_row_and_the_sums_are_those_of_the_rest() {
    let held: Vec<String> = keys(true).take(4).chain(keys(false).take(3)).collect();
    let mut world = again(MemoryEngine::new(), &held);
    let mut rows: Vec<_> = held[..4].iter().map(|key| world.row(key)).collect();
    rows.push(rows[0].clone()); // twice
    assert_eq!(world.forget(rows), FORGOTTEN);
    for keyspace in [Keyspace::Records, Keyspace::Leaves, Keyspace::Expiry] {
        assert_eq!(world.keys(keyspace).len(), 3, "{keyspace:?}");
    }
    let summed_again = state_of(ring(2));
    rebuild(&*world.engine, &summed_again);
    assert_eq!(world.state.sums.root(), summed_again.sums.root());
}

#[test]
fn forgetting_spares_what_has_changed_and_what_is_owned() {
    let held: Vec<String> = keys(true).take(2).chain(keys(false).take(1)).collect();
    let mut world = again(MemoryEngine::new(), &held);
    let mut rows: Vec<_> = held.iter().map(|key| world.row(key)).collect();
    rows[0].1 = encoded(blind(dot(1, WALL - 1), "before").record());
    let absent = keys(true).nth(9).unwrap();
    rows.push((absent.into(), rows[0].1.clone()));
    assert_eq!(world.forget(rows), FORGOTTEN);
    assert!(world.stored(&held[0]).is_some(), "it is not what was read");
    assert!(world.stored(&held[1]).is_none());
    assert!(world.stored(&held[2]).is_some(), "it is owned");
}

#[test]
fn nothing_is_forgotten_in_another_epoch_or_before_the_fence() {
    let mut world = World::with_state(MemoryEngine::new(), state_of(ring(2)));
    assert_eq!(world.forget(vec![]), Response::Refused(Refusal::Behind));
    assert!(world.committer.learn(leaving(), at(WALL)).unwrap());
    assert_eq!(world.state.cluster.epoch(), Epoch(2));
    assert_eq!(world.forget(vec![]), Response::Refused(Refusal::Behind));
    world.committer.fence(EPOCH);
    assert_eq!(world.forget(vec![]), FORGOTTEN);
    let end = leaving().configuration().step().unwrap();
    let end = leaving().later(end).unwrap();
    assert!(world.committer.learn(end, at(WALL)).unwrap());
    assert_eq!(world.forget(vec![]), Response::Refused(Refusal::OldEpoch));
    assert_eq!(world.order(TAKE), Response::Refused(Refusal::OldEpoch));
}
