//! The sweep as a whole: a driver, a committer and a clock that is moved by hand.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quoit_ring::change::Known;
use quoit_ring::wire::Durability as Acks;
use quoit_ring::wire::Refusal;
use quoit_ring::{Delta, MerkleKey, Seen};

use super::*;
use crate::commit::{Asker, Committer, Order};
use crate::config::Limits;
use crate::engine::layout::record_key;
use crate::engine::{Engine, Keyspace, MemoryEngine, Snapshot as _};
use crate::testing::{LIMITS, SELF, Sink, Unreliable, WALL, at, dot, rebuild, ring_of, write};
use crate::write::Change;

/// How far a wall clock may be led ahead in tests.
const DRIFT: u64 = LIMITS.max_clock_drift_ms;

/// One of so many members, which own everything together.
struct World<G> {
    engine: Arc<G>,
    state: NodeState,
    committer: Committer<G>,
    driver: ExpiryDriver,
    now: Now,
    /// Pages that were read.
    looks: usize,
}

impl<G: Engine> World<G> {
    fn of(engine: G, members: u64, keys_per_second: u32) -> Self {
        let (known, key) = (Known::of(ring_of(members, 1)), MerkleKey([5; 16]));
        let limits = Limits {
            max_record_bytes: 1 << 20,
            ..LIMITS
        };
        let settings = (limits, Acks::Fsync);
        let state = NodeState::new(SELF, known, key, Time::ZERO, settings);
        let (engine, now) = (Arc::new(engine), at(WALL));
        rebuild(&*engine, &state);
        Self {
            committer: Committer::new(Arc::clone(&engine), &state, now),
            driver: ExpiryDriver::new(&state, ExpiryOptions { keys_per_second }, now.mono),
            engine,
            state,
            now,
            looks: 0,
        }
    }

    fn put(&mut self, key: &str, size: usize, due: u64) {
        let value = (Bytes::from(vec![7; size]), Some(Millis(due)));
        let delta = Delta::causal(
            dot(1, self.now.wall.0),
            Time::ZERO,
            &Seen::default(),
            Some(value),
        );
        let sink = Sink::default();
        let mut writes = vec![write(1, &sink, key, Change::Put(delta), self.now)];
        self.committer.run(&mut writes, self.now).unwrap();
        assert_eq!(sink.answers(), [(1, Response::Joined)]);
    }

    /// Time passes, and the driver is called every 10 ms.
    fn pass(&mut self, time: Duration) {
        let end = self.now.mono + time;
        while self.now.mono < end {
            self.now.mono += Duration::from_millis(10);
            self.now.wall = Millis(self.now.wall.0 + 10);
            self.driver.handle_time(0, self.now);
            self.act();
        }
    }

    fn act(&mut self) {
        while let Some(act) = self.driver.poll() {
            match act {
                Act::Order(task) => {
                    let from = Asker::<Sink>::Sweep;
                    let order = Order { from, task };
                    self.committer.carry_out(order, self.now).unwrap();
                    let answer = self.state.expiry.take_answer().unwrap();
                    self.driver.handle_answer(&answer, self.now.mono);
                }
                Act::Look(wanted) => {
                    self.looks += 1;
                    let snapshot = self.engine.snapshot();
                    let page = look(&snapshot, &self.state, &wanted, self.now.mono);
                    self.driver.handle_page(page.ok(), self.now.mono);
                }
            }
        }
    }

    fn entries(&self) -> usize {
        self.engine.snapshot().range(Keyspace::Expiry, ..).count()
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn what_expires_is_removed_soon_after_its_time_and_not_before() {
    let mut world = World::of(MemoryEngine::new(), 1, 10_000);
    let root = world.state.sums.root();
    for number in 0..300 {
        world.put(&format!("k{number}"), 9, WALL + 4_000);
    }
    world.put("later", 9, WALL + 60_000);
    world.pass(4 * SECOND);
    assert_eq!((world.entries(), world.state.expiry.swept()), (301, 0));
    assert_eq!(world.state.expiry.oldest(), Some(Millis(WALL + 4_000)));
    world.pass(3 * SECOND);
    assert_eq!((world.entries(), world.state.expiry.swept()), (1, 300));
    assert_eq!(world.state.expiry.oldest(), Some(Millis(WALL + 60_000)));
    world.pass(60 * SECOND);
    assert_eq!(world.entries(), 0);
    assert_eq!(world.state.sums.root(), root);
    assert_eq!(world.state.expiry.oldest(), None);
}

#[test]
fn nothing_is_removed_by_one_clock_of_three_nor_while_no_majority_is_heard() {
    let mut world = World::of(MemoryEngine::new(), 3, 10_000);
    let mut owned = (0..).map(|number| format!("k{number}"));
    let cluster = Arc::clone(&world.state.cluster);
    let is_owned = |key: &String| {
        let (epoch, leaf) = (cluster.epoch(), cluster.leaf_of(key.as_bytes()));
        cluster.owns(epoch, SELF, leaf) == Ok(true)
    };
    let key = owned.find(is_owned).unwrap();
    world.put(&key, 9, WALL + 2_000);
    world.pass(9 * SECOND);
    assert_eq!(world.entries(), 1, "nobody was heard");

    // This node's clock is far ahead of the two others.
    let others = [NodeId(2), NodeId(3)];
    for node in others {
        let clock = Time::at(Millis(WALL + 1_000));
        world.driver.handle_clock(node, clock, world.now.mono);
    }
    world.pass(SECOND);
    assert_eq!(world.entries(), 1);
    let clock = Time::at(Millis(WALL + 2_001 + DRIFT));
    world.driver.handle_clock(others[0], clock, world.now.mono);
    world.pass(2 * SECOND);
    assert_eq!(world.entries(), 0);
}

#[test]
fn no_more_keys_are_swept_in_a_second_than_may_and_large_records_count_for_more() {
    for (size, swept) in [(9, 1_000..1_400), (10 << 10, 100..200)] {
        let mut world = World::of(MemoryEngine::new(), 1, 1_000);
        for number in 0..3_000 {
            world.put(&format!("k{number}"), size, WALL + 1);
        }
        world.now.wall = Millis(WALL + 10_000);
        world.pass(SECOND);
        let done = world.state.expiry.swept();
        assert!(swept.contains(&done), "{done} of {size} bytes");
    }
}

#[test]
fn while_writes_wait_a_sweep_takes_more_time() {
    let mut world = World::of(MemoryEngine::new(), 1, 1_000);
    for number in 0..3_000 {
        world.put(&format!("k{number}"), 9, WALL + 1);
    }
    world.now.wall = Millis(WALL + 10_000);
    for _ in 0..200 {
        world.now.mono += Duration::from_millis(10);
        world.driver.handle_time(9 * 64, world.now);
        world.act();
    }
    let swept = world.state.expiry.swept();
    assert!((100..400).contains(&swept), "{swept}");
}

#[test]
fn a_pass_begins_behind_the_last_one_and_a_record_that_comes_back_is_found_all_the_same() {
    let stored = record_key(0, b"bad");
    let engine = Unreliable::new(MemoryEngine::new(), Keyspace::Records, [stored]);
    let mut world = World::of(engine, 1, 10_000);
    world.put("bad", 9, WALL + 1_000);
    world.put("good", 9, WALL + 1_000);
    world.pass(4 * SECOND);
    assert_eq!((world.entries(), world.state.expiry.swept()), (1, 1));
    let looks = world.looks;
    world.pass(20 * SECOND);
    assert!(world.looks - looks <= 21, "no loop");
    world.engine.mend();
    world.pass(70 * SECOND);
    assert_eq!((world.entries(), world.state.expiry.swept()), (0, 2));
}

#[test]
fn what_was_refused_is_tried_again_where_it_was() {
    let mut world = World::of(MemoryEngine::new(), 1, 10_000);
    world.put("k", 9, WALL + 1_000);
    world.pass(SECOND);
    world.now.wall = Millis(WALL + 5_000);
    let refused = Response::Refused(Refusal::Storage(quoit_ring::wire::Fault::NoSpace));
    let mut refusals = 0;
    for _ in 0..200 {
        world.now.mono += Duration::from_millis(10);
        world.driver.handle_time(0, world.now);
        while let Some(act) = world.driver.poll() {
            refusals += u32::from(matches!(act, Act::Order(_)));
            world.driver.handle_answer(&refused, world.now.mono);
        }
    }
    assert_eq!(refusals, 1, "it rests");
    world.pass(12 * SECOND);
    assert_eq!(world.entries(), 0);
}

#[test]
fn an_incomplete_node_sweeps_nothing() {
    let mut world = World::of(MemoryEngine::new(), 1, 10_000);
    world.put("k", 9, WALL + 1_000);
    world.state.completeness.lose();
    world.pass(5 * SECOND);
    assert_eq!((world.looks, world.entries()), (0, 1));
    world.state.completeness.complete();
    world.pass(2 * SECOND);
    assert_eq!(world.entries(), 0);
}
