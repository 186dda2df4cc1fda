//! Rounds of stability between whole nodes in memory: what is forgotten, when, and what never is.

use quoit_ring::Millis;
use quoit_ring::wire::decode_record;

use super::*;
use crate::engine::layout::META_PROMISED;
use crate::engine::{Batch, Durability};
use crate::hints::HintDelta;

/// How old a client's write may be, and how far clocks may differ.
const UNDER_WAY: Duration =
    Duration::from_millis(LIMITS.max_write_age_ms + LIMITS.max_clock_drift_ms);
/// So long that every node has had a round: each waits for two syncs, which are due once an interval.
const ROUNDS: Duration = Duration::from_secs(180);

fn tombstone(time_ms: u64) -> Delta {
    Delta::blind(dot(9, time_ms), None)
}

impl Node {
    /// A row is gone, and its node has summed up what it has since.
    fn lose(&self, key: &str) {
        let stored = self.stored(key).unwrap();
        let sums = &self.state.sums;
        let key = Bytes::copy_from_slice(key.as_bytes());
        let leaf = self.state.cluster.leaf_of(&key);
        let mut batch = Batch::new();
        batch.remove(Keyspace::Records, record_key(NAMESPACE, &key));
        batch.remove(Keyspace::Leaves, leaf_key(leaf, NAMESPACE, &key));
        self.engine.commit(batch, Durability::Fsync).unwrap();
        let change = SumChange {
            write: 0,
            leaf,
            before: sums.key().sum_of(&key, &decode_record(&stored).unwrap()),
            after: Sum::default(),
        };
        sums.add(&[change], |_| &key);
    }
}

impl World {
    fn floor(&self, node: u64, key: &str) -> Time {
        let state = &self.nodes[&NodeId(node)].state;
        state.stability.floor(state.cluster.leaf_of(key.as_bytes()))
    }

    fn rows(&self, key: &str) -> Vec<bool> {
        let nodes = self.nodes.values();
        nodes.map(|node| node.stored(key).is_some()).collect()
    }
}

#[test]
fn a_delete_is_forgotten_by_all_once_no_older_write_is_under_way() {
    let mut world = World::new(3);
    for node in 1..=3 {
        world.join(node, "k", &tombstone(WALL));
    }
    world.pass(UNDER_WAY / 2);
    assert_eq!(world.rows("k"), [true; 3], "a stale put may still come");
    world.pass(UNDER_WAY + 3 * ROUNDS);
    assert_eq!(world.rows("k"), [false; 3]);
    for node in world.nodes.values() {
        let snapshot = node.engine.snapshot();
        for keyspace in [Keyspace::Leaves, Keyspace::Graves] {
            assert_eq!(snapshot.range(keyspace, ..).count(), 0, "{keyspace:?}");
        }
    }

    // Whatever comes late is recognised as seen: from a hint that lay somewhere, or a repair on its way.
    let late = blind(dot(1, WALL - 1), "old");
    for node in 1..=3 {
        world.join(node, "k", &late);
    }
    assert_eq!(world.rows("k"), [false; 3], "the delete is not undone");
}

#[test]
fn a_value_outlives_every_floor() {
    let mut world = World::new(3);
    let value = Delta::blind(tombstone(WALL).dot(), Some(("v".into(), None)));
    for node in 1..=2 {
        world.join(node, "k", &value);
    }
    world.pass(UNDER_WAY + 4 * ROUNDS);
    assert!(world.floor(3, "k") > value.dot().time);
    assert_eq!(world.rows("k"), [true; 3], "the third got it by a sync");
}

#[test]
fn no_floor_rises_where_an_owner_is_away_or_keeps_an_older_hint() {
    let mut world = World::new(3);
    world.way = Way::Lost;
    world.pass(UNDER_WAY + 2 * ROUNDS);
    assert_eq!(world.floor(1, "k"), Time::ZERO);
    let status = world.nodes[&NodeId(1)]
        .state
        .stability
        .status(world.now.wall);
    assert_eq!((status.lag_ms, status.leaves_without), (None, 1 << 12));

    world.way = Way::Answered;
    let minted = Time::at(world.now.wall);
    let hint = HintDelta {
        target: NodeId(3),
        count: 1,
        bytes: 1,
        minted,
        is_stray: false,
    };
    world.nodes[&NodeId(2)].state.hints.add(&[hint]);
    world.pass(UNDER_WAY + 3 * ROUNDS);
    for node in 1..=3 {
        let floor = world.floor(node, "k");
        assert!(Time::ZERO < floor && floor < minted, "{node}: {floor:?}");
    }
}

#[test]
fn a_row_that_one_owner_has_lost_is_restored_and_kills_nothing() {
    let mut world = World::new(3);
    let value = Delta::blind(tombstone(WALL).dot(), Some(("v".into(), None)));
    for node in 1..=3 {
        world.join(node, "k", &value);
    }
    world.pass(UNDER_WAY + 3 * ROUNDS);
    world.nodes[&NodeId(2)].lose("k");
    world.pass(2 * ROUNDS);
    assert_eq!(world.rows("k"), [true; 3]);
    let restored = |node: &Node| node.state.stability.status(world.now.wall).restored;
    assert!(world.nodes.values().map(restored).sum::<u64>() > 0);
}

#[test]
fn a_promise_binds_a_node_whatever_its_clock_does_and_never_beyond_the_clock_that_asks() {
    let world = World::new(3);
    let node = &world.nodes[&NodeId(1)];
    let ask = |at_most| {
        let request = Request::Sync(SyncRequest::Promise { at_most });
        let frame = RequestFrame {
            id: 1,
            epoch: Epoch(2),
            budget_ms: 1_000,
            request,
        };
        match node.answer(NodeId(2), &frame, world.now) {
            Response::Sync(SyncAnswer::Promised(promised)) => promised.refused,
            other => panic!("{other:?}"),
        }
    };
    let age = |time: Time| WALL - time.millis().0;
    let early = ask(Time::at(Millis(WALL - 1_000)));
    assert_eq!(age(early), LIMITS.max_write_age_ms + 1_000);
    let most = ask(Time::MAX);
    assert_eq!(
        age(most),
        LIMITS.max_write_age_ms,
        "its own clock is earlier"
    );
    assert_eq!(ask(Time::ZERO), most, "it stands");

    let stored = node.engine.get(Keyspace::Meta, META_PROMISED);
    assert_eq!(stored.unwrap().unwrap()[..], most.0.to_be_bytes());
}

#[test]
fn a_row_is_restored_for_another_owner_of_its_leaf_alone() {
    let world = World::new(5);
    let key = (0..).map(|n| format!("k{n}"));
    let cluster = &world.nodes[&NodeId(1)].state.cluster;
    let owns =
        |node, key: &str| cluster.owns(Epoch(2), NodeId(node), cluster.leaf_of(key.as_bytes()));
    let mut keys = key.filter(|key| owns(1, key) == Ok(true));
    let key = keys
        .find(|key| owns(2, key) == Ok(true) && owns(3, key) == Ok(false))
        .unwrap();
    let value = Delta::blind(tombstone(WALL).dot(), Some(("v".into(), None)));
    let restore = SyncRequest::Restore {
        key: key.clone().into(),
        record: encoded(value.record()),
    };
    let frame = RequestFrame {
        id: 1,
        epoch: Epoch(2),
        budget_ms: 1_000,
        request: Request::Sync(restore),
    };
    let answer = |from| world.nodes[&NodeId(1)].answer(NodeId(from), &frame, world.now);
    assert_eq!(answer(3), Response::Refused(Refusal::BadNodes));
    assert_eq!(world.nodes[&NodeId(1)].stored(&key), None);
    assert_eq!(answer(2), Response::Joined);
    assert!(world.nodes[&NodeId(1)].stored(&key).is_some());
}
