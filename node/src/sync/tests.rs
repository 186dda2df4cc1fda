//! Whole nodes in memory that compare themselves with each other, every message answered at once or not at all.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use proptest::collection::vec;
use proptest::prelude::*;
use quoit_ring::change::{Arcs, Known};
use quoit_ring::role::Role;
use quoit_ring::wire::{
    Durability, KeyPage, Refusal, Request, RequestFrame, Response, ResponseFrame, SyncAnswer,
    SyncOrder, SyncRequest,
};
use quoit_ring::{Delta, Epoch, MerkleKey, Moment, NodeId, Record, Sum, Time};

use super::*;
use crate::clock::Now;
use crate::commit::{Asker, Committer, Order, Task};
use crate::engine::layout::{NAMESPACE, leaf_key, record_key};
use crate::engine::{Engine as _, Keyspace, MemoryEngine};
use crate::handlers::{Replica, Session as Caller};
use crate::hints::HintScan;
use crate::storage::SumChange;
use crate::testing::{
    FakeEnv, LIMITS, Sink, WALL, at, blind, dot, encoded, rebuild, ring_of, unseeing,
};

const OPTIONS: SyncOptions = SyncOptions {
    interval: Duration::from_secs(60),
    bytes_per_second: 1 << 30,
};

mod stability;

struct Node {
    engine: Arc<MemoryEngine>,
    state: NodeState,
    replica: Arc<Replica<FakeEnv, MemoryEngine>>,
    driver: SyncDriver,
}

impl Node {
    fn new(id: u64, members: u64, options: SyncOptions) -> Self {
        let (engine, known) = (
            Arc::new(MemoryEngine::new()),
            Known::of(ring_of(members, 3)),
        );
        let settings = (LIMITS, Durability::Fsync);
        let state = NodeState::new(NodeId(id), known, MerkleKey([5; 16]), Time::ZERO, settings);
        rebuild(&*engine, &state);
        state.leftovers.set_clean(Epoch(2));
        assert_eq!(HintScan::new().step(&*engine, &state.hints, 1), Ok(true));
        let env = FakeEnv {
            capacity: usize::MAX,
            ..FakeEnv::default()
        };
        Self {
            replica: Arc::new(Replica::new(env, Arc::clone(&engine), &state)),
            driver: SyncDriver::new(&state, options, id),
            engine,
            state,
        }
    }

    /// Joins a record, as a repair.
    fn join(&self, key: &str, record: &Record, now: Now) {
        let key = Bytes::copy_from_slice(key.as_bytes());
        let repair = Repair {
            epoch: Epoch(2),
            key,
            change: Change::Repair(record.clone()),
            bytes: 0,
        };
        self.commit(vec![repair.write(&self.state, now.mono)], now);
    }

    fn commit(&self, mut writes: Vec<Write<Sink>>, now: Now) {
        let mut committer = Committer::new(Arc::clone(&self.engine), &self.state, now);
        committer.run(&mut writes, now).unwrap();
    }

    fn carry_out(&self, from: Asker<Sink>, task: Task, now: Now) {
        let mut committer = Committer::new(Arc::clone(&self.engine), &self.state, now);
        committer.carry_out(Order { from, task }, now).unwrap();
    }

    /// Answers another node.
    fn answer(&self, from: NodeId, frame: &RequestFrame, now: Now) -> Response {
        let sink = Sink::default();
        let mut caller = Caller::new(Arc::clone(&self.replica), Role::Node(from), sink.clone());
        let mut bytes = BytesMut::new();
        frame.encode(&mut bytes);
        caller.handle(bytes.split_off(4).freeze(), now).unwrap();
        caller.submit(now);
        let env = self.replica.env();
        let taken = std::mem::take(&mut *env.taken.lock().unwrap());
        if !taken.is_empty() {
            self.commit(taken, now);
        }
        for order in std::mem::take(&mut *env.ordered.lock().unwrap()) {
            self.carry_out(order.from, order.task, now);
        }
        let mut answers = sink.answers();
        assert_eq!(answers.len(), 1);
        answers.remove(0).1
    }

    fn stored(&self, key: &str) -> Option<Bytes> {
        let key = record_key(NAMESPACE, key.as_bytes());
        self.engine.get(Keyspace::Records, &key).unwrap()
    }
}

struct World {
    nodes: BTreeMap<NodeId, Node>,
    now: Now,
    /// What was sent, by its kind.
    sent: BTreeMap<&'static str, u64>,
    way: Way,
}

/// What becomes of a request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Answered,
    Lost,
    NeverAnswered,
    /// By a node that says what was not asked.
    Wrong,
    /// Tombstones without end.
    EmptyPages,
}

impl World {
    fn new(members: u64) -> Self {
        Self::with(members, OPTIONS)
    }

    fn with(members: u64, options: SyncOptions) -> Self {
        let nodes = (1..=members).map(|id| (NodeId(id), Node::new(id, members, options)));
        Self {
            nodes: nodes.collect(),
            now: at(WALL),
            sent: BTreeMap::new(),
            way: Way::Answered,
        }
    }

    fn join(&self, node: u64, key: &str, delta: &Delta) {
        self.nodes[&NodeId(node)].join(key, delta.record(), self.now);
    }

    /// Calls every driver, again and again, for so long.
    fn pass(&mut self, time: Duration) {
        let end = self.now.mono + time;
        while self.now.mono < end {
            self.now.mono += Duration::from_millis(50);
            self.now.wall.0 += 50;
            let all: Vec<NodeId> = self.nodes.keys().copied().collect();
            for id in all {
                let node = self.nodes.get_mut(&id).unwrap();
                node.driver.handle_time(0, self.now);
                while let Some(act) = self.nodes.get_mut(&id).unwrap().driver.poll() {
                    self.carry_out(id, act);
                }
            }
        }
    }

    fn carry_out(&mut self, id: NodeId, act: Act) {
        let now = self.now;
        match act {
            Act::Send { to, frame } => {
                let kind = match &frame.request {
                    Request::Sync(SyncRequest::Total) => "total",
                    Request::Sync(SyncRequest::Below { .. }) => "below",
                    Request::Sync(SyncRequest::Promise { .. }) => "promise",
                    Request::Sync(_) => "keys",
                    Request::Get { digest: true, .. } => "get",
                    Request::Get { .. } => "whole",
                    _ => "repair",
                };
                *self.sent.entry(kind).or_default() += 1;
                let response = match self.way {
                    Way::Lost => {
                        let node = self.nodes.get_mut(&id).unwrap();
                        return node.driver.handle_lost(to, now.mono);
                    }
                    Way::NeverAnswered => return,
                    Way::Wrong if kind != "total" => Response::Heard,
                    Way::EmptyPages if kind == "keys" => empty_page(&frame),
                    _ => self.nodes[&to].answer(id, &frame, now),
                };
                let frame = ResponseFrame {
                    id: frame.id,
                    epoch: Epoch(2),
                    clock: Time::ZERO,
                    response,
                };
                let node = self.nodes.get_mut(&id).unwrap();
                node.driver.handle_answer(to, frame, now.mono);
            }
            Act::Look(wanted) => {
                let node = self.nodes.get_mut(&id).unwrap();
                let page = look(&node.engine.snapshot(), &node.state, &wanted).ok();
                node.driver.handle_page(wanted.session, page, now.mono);
            }
            Act::Write(repair) => {
                let node = &self.nodes[&id];
                node.commit(vec![repair.write(&node.state, now.mono)], now);
            }
            Act::Order { ticket, task } => {
                self.nodes[&id].carry_out(Asker::Rounds { ticket }, task, now);
            }
        }
    }

    fn sent(&mut self) -> BTreeMap<&'static str, u64> {
        std::mem::take(&mut self.sent)
    }

    fn view(&self, node: u64, peer: u64) -> PeerSync {
        let peers = self.nodes[&NodeId(node)].state.sync.peers();
        peers.get(&NodeId(peer)).copied().unwrap_or_default()
    }
}

/// A page without keys that goes on behind the one before.
fn empty_page(frame: &RequestFrame) -> Response {
    let Request::Sync(SyncRequest::Keys { after, .. }) = &frame.request else {
        panic!("{frame:?}");
    };
    // The tag keeps it in the leaf of the key "k".
    let number: u64 = match after.split(|&byte| byte == b'}').nth(1) {
        Some(number) => std::str::from_utf8(number).unwrap().parse().unwrap(),
        None => 0,
    };
    let next = Some(format!("{{k}}{:09}", number + 1).into());
    let rows = Vec::new();
    Response::Sync(SyncAnswer::Keys(KeyPage { rows, next }))
}

/// Longer than it takes until all have compared themselves with all.
const ROUND: Duration = Duration::from_secs(80);

#[test]
fn nodes_that_are_equal_exchange_their_totals_and_nothing_else() {
    let mut world = World::new(3);
    for node in 1..=3 {
        world.join(node, "k", &blind(dot(1, WALL), "v"));
    }
    world.pass(Duration::from_secs(10));
    assert_eq!(world.sent(), BTreeMap::from([("promise", 6), ("total", 6)]));
    world.pass(ROUND);
    let again = world.sent();
    assert_eq!(again.keys().collect::<Vec<_>>(), [&"promise", &"total"]);
    assert!(world.view(1, 2).equal_at.is_some());
    assert!(world.view(1, 2).total.sent + world.view(1, 2).total.received < 1 << 10);
}

#[test]
fn a_value_that_one_node_missed_reaches_it_and_a_deleted_one_dies_everywhere() {
    let mut world = World::new(3);
    let (first, delete) = (
        blind(dot(1, WALL), "v"),
        Delta::blind(dot(1, WALL + 9), None),
    );
    for node in [1, 3] {
        world.join(node, "missed", &first);
    }
    for node in 1..=3 {
        world.join(node, "dead", &first);
    }
    world.join(2, "dead", &delete);
    world.pass(ROUND);

    let missed = world.nodes[&NodeId(1)].stored("missed");
    assert!(missed.is_some());
    for node in world.nodes.values() {
        assert_eq!(node.stored("missed"), missed);
        assert!(
            quoit_ring::wire::decode_record(&node.stored("dead").unwrap())
                .unwrap()
                .is_tombstone()
        );
    }
    let roots: Vec<_> = world
        .nodes
        .values()
        .map(|it| it.state.sums.root())
        .collect();
    assert!(roots.windows(2).all(|two| two[0] == two[1]));
}

#[test]
fn a_large_value_is_fetched_only_by_those_who_lack_it() {
    let mut world = World::new(3);
    let large = blind(dot(1, WALL), &"x".repeat(1500));
    for node in [1, 2] {
        world.join(node, "large", &large);
    }
    world.pass(ROUND);
    assert_eq!(
        world.nodes[&NodeId(3)].stored("large"),
        world.nodes[&NodeId(1)].stored("large")
    );
    let total = |node, peer| world.view(node, peer).total;
    let pushed_or_pulled =
        [(1, 3), (2, 3), (3, 1), (3, 2)].map(|(a, b)| total(a, b).pulled + total(a, b).pushed);
    assert_eq!(pushed_or_pulled.iter().sum::<u64>(), 1, "once");
    let sent = world.sent();
    let moved = sent.get("whole").unwrap_or(&0) + sent.get("repair").unwrap_or(&0);
    assert_eq!(moved, 1, "{sent:?}");
}

#[test]
fn one_that_does_not_answer_or_answers_something_else_ends_it_and_nothing_is_changed() {
    let ends = [
        (Way::NeverAnswered, Failure::Silent),
        (Way::Wrong, Failure::WrongAnswer),
    ];
    for (way, failure) in ends {
        let mut world = World::new(3);
        world.way = way;
        world.join(2, "k", &blind(dot(1, WALL), "v"));
        world.pass(Duration::from_secs(20));
        let ended = world.view(1, 2).last.map(|(ended, _)| ended);
        assert_eq!(ended, Some(Ended::Failed(failure)));
        assert_eq!(world.nodes[&NodeId(1)].stored("k"), None);
    }
}

#[test]
fn pages_without_end_and_without_keys_end_it() {
    let fast = SyncOptions {
        bytes_per_second: 16 << 30,
        ..OPTIONS
    };
    let mut world = World::with(3, fast);
    world.way = Way::EmptyPages;
    world.join(2, "k", &blind(dot(1, WALL), "v"));
    world.pass(Duration::from_secs(3));
    let ends = [(1, 2), (2, 1), (2, 3), (3, 2)].map(|(node, peer)| world.view(node, peer).last);
    let stuck = Ended::Failed(Failure::Stuck);
    assert!(
        ends.iter().flatten().any(|(ended, _)| *ended == stuck),
        "{ends:?}"
    );
}

#[test]
fn a_key_that_the_other_node_refuses_is_left_and_the_sync_does_not_go_on_for_it() {
    let mut world = World::new(3);
    // More than a repair may leave of a record.
    let large = blind(dot(1, WALL), &"x".repeat(7000));
    world.join(1, "fits", &blind(dot(1, WALL), "v"));
    let node = &world.nodes[&NodeId(1)];
    let mut batch = crate::engine::Batch::new();
    let key = Bytes::from("k");
    let leaf = node.state.cluster.leaf_of(&key);
    batch.insert(
        Keyspace::Records,
        record_key(NAMESPACE, &key),
        encoded(large.record()),
    );
    batch.insert(Keyspace::Leaves, leaf_key(leaf, NAMESPACE, &key), &b""[..]);
    node.engine
        .commit(batch, crate::engine::Durability::Fsync)
        .unwrap();
    let change = SumChange {
        write: 0,
        leaf,
        before: Sum::default(),
        after: node.state.sums.key().sum_of(&key, large.record()),
    };
    node.state.sums.add(&[change], |_| &key);
    world.pass(ROUND);
    assert!(
        world
            .nodes
            .values()
            .all(|node| node.stored("fits").is_some())
    );
    assert_eq!(world.nodes[&NodeId(2)].stored("k"), None);
    let total = world.view(1, 2).total;
    assert!(total.failed == 1 && total.sent < 40_000, "{total:?}");
}

#[test]
fn a_new_epoch_ends_what_is_under_way_and_begins_again() {
    let mut world = World::new(3);
    world.way = Way::NeverAnswered;
    world.pass(Duration::from_secs(2));
    let node = world.nodes.get_mut(&NodeId(1)).unwrap();
    assert!(node.driver.is_busy());
    let first = node.state.cluster.newest();
    let target = ring_of(4, 3).map().clone();
    let begun = first.configuration().begin(target, Arcs::FULL).unwrap();
    assert!(node.state.cluster.learn(first.later(begun).unwrap(), true));
    node.driver.handle_time(0, world.now);
    let failed = node
        .state
        .sync
        .peers()
        .into_values()
        .filter_map(|it| it.last);
    let failed: Vec<_> = failed.map(|(ended, _)| ended).collect();
    assert_eq!(failed, [Ended::Failed(Failure::NewEpoch)]);
}

#[test]
fn of_two_that_go_through_what_differs_the_one_with_the_lower_id_goes_on() {
    let mut world = World::new(3);
    world.way = Way::NeverAnswered;
    world.pass(Duration::from_secs(2));
    let (clocks, now) = (world.now, world.now.mono);
    for (node, peer, goes_on) in [(1, 2, true), (3, 2, false)] {
        let node = world.nodes.get_mut(&NodeId(node)).unwrap();
        node.driver.session = None;
        node.state.sync.order(SyncOrder::Now);
        node.driver.schedule = Schedule::new(OPTIONS.interval);
        let only = [NodeId(peer)].into_iter();
        node.driver
            .schedule
            .begin_epoch(only, now, &mut node.driver.rng);
        node.driver.handle_time(0, clocks);
        assert!(node.driver.is_busy());
        node.state.sync.hear(NodeId(peer), now);
        node.driver.handle_time(0, clocks);
        assert_eq!(node.driver.is_busy(), goes_on);
    }
}

#[test]
fn the_rate_holds_however_high_or_low_it_is() {
    for bytes_per_second in [64 << 10, 32 << 20, 1 << 30, 16 << 30] {
        let mut node = Node::new(
            1,
            3,
            SyncOptions {
                bytes_per_second,
                ..OPTIONS
            },
        );
        let now = Moment(1_000_000);
        let mut moved = 0;
        while node.driver.free_at.since(now) < 5_000_000 {
            node.driver.charge(bytes_per_second / 64, now);
            moved += bytes_per_second / 64 + REQUEST;
        }
        let ratio = moved as f64 / (5 * bytes_per_second) as f64;
        assert!((0.95..1.1).contains(&ratio), "{bytes_per_second}: {ratio}");
    }
}

#[test]
fn a_node_that_cannot_be_reached_is_tried_again_and_then_repaired() {
    let mut world = World::new(3);
    world.way = Way::Lost;
    world.join(1, "k", &blind(dot(1, WALL), "v"));
    world.pass(Duration::from_secs(30));
    let failed = world.view(1, 2).last.map(|(ended, _)| ended);
    assert_eq!(failed, Some(Ended::Failed(Failure::Unreachable)));
    let tries = world.sent()["total"];
    assert!((20..90).contains(&tries), "ever less often: {tries}");

    world.way = Way::Answered;
    world.pass(ROUND);
    assert!(world.nodes.values().all(|node| node.stored("k").is_some()));
}

#[test]
fn nothing_begins_while_it_is_paused_and_all_at_once_when_it_is_asked_for() {
    let mut world = World::new(3);
    for node in world.nodes.values() {
        node.state.sync.order(SyncOrder::Pause);
    }
    world.pass(ROUND);
    assert!(world.sent().is_empty());

    for node in world.nodes.values() {
        node.state.sync.order(SyncOrder::Resume);
    }
    world.pass(Duration::from_secs(10));
    assert_eq!(world.sent()["total"], 6);
    for node in world.nodes.values() {
        node.state.sync.order(SyncOrder::Now);
    }
    world.pass(Duration::from_secs(10));
    assert_eq!(world.sent()["total"], 6);
}

#[test]
fn a_byte_costs_more_while_writes_wait() {
    let spent = |queued| {
        let slow = SyncOptions {
            bytes_per_second: 1 << 20,
            ..OPTIONS
        };
        let mut node = Node::new(1, 3, slow);
        let now = Moment(1_000_000);
        node.driver.load = queued;
        node.driver.charge((1 << 17) - REQUEST, now);
        node.driver.free_at.since(now)
    };
    assert_eq!(spent(0), 125_000);
    assert_eq!(spent(2 * LOADED), 3 * spent(0));
}

#[test]
fn what_a_peer_may_not_ask_for_is_refused() {
    let node = Node::new(1, 5, OPTIONS);
    let ask = |from: u64, epoch, request| {
        let frame = RequestFrame {
            id: OURS + 1,
            epoch: Epoch(epoch),
            budget_ms: 1000,
            request: Request::Sync(request),
        };
        node.answer(NodeId(from), &frame, at(WALL))
    };
    let refused = |refusal| Response::Refused(refusal);
    let below = |level, nodes: &[u32]| SyncRequest::Below {
        level,
        nodes: nodes.to_vec(),
    };
    assert!(matches!(
        ask(2, 2, SyncRequest::Total),
        Response::Sync(SyncAnswer::Total(_))
    ));
    assert_eq!(ask(2, 1, SyncRequest::Total), refused(Refusal::OldEpoch));
    assert_eq!(ask(2, 3, SyncRequest::Total), refused(Refusal::Behind));
    assert_eq!(
        ask(9, 2, SyncRequest::Total),
        refused(Refusal::Forbidden),
        "no member"
    );
    assert_eq!(
        ask(1, 2, SyncRequest::Total),
        refused(Refusal::BadNodes),
        "with itself"
    );
    assert_eq!(
        ask(2, 2, below(3, &[0])),
        refused(Refusal::BadNodes),
        "leaves have no children"
    );
    assert_eq!(ask(2, 2, below(0, &[])), refused(Refusal::BadNodes));
    assert_eq!(ask(2, 2, below(2, &[1, 1])), refused(Refusal::BadNodes));

    let shared = node
        .state
        .sync
        .shared(&node.state.cluster, Epoch(2))
        .unwrap();
    let of_two = &shared[&NodeId(2)];
    let foreign = (0..1 << 12).find(|&leaf| !of_two.contains(quoit_ring::Leaf(leaf)));
    let keys = SyncRequest::Keys {
        leaves: vec![foreign.unwrap()],
        after: Bytes::new(),
    };
    assert_eq!(ask(2, 2, keys), refused(Refusal::BadNodes), "not shared");
    assert!(
        node.state.sync.heard(NodeId(2)).is_some(),
        "it went through what differs"
    );
    assert!(node.state.sync.peers().is_empty());
}

#[test]
fn a_client_may_not_compare() {
    let request = Request::Sync(SyncRequest::Total);
    assert!(!Role::Client.may(request.privilege()) && !Role::Admin.may(request.privilege()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_the_nodes_hold_they_are_equal_after_a_round_and_hold_what_any_of_them_held(
        members in 3_u64..6,
        writes in vec((1_u64..6, 0_u8..12, 0_u64..4, 0_u64..40, any::<bool>(), any::<bool>()), 0..60),
    ) {
        let mut world = World::new(members);
        let mut expected = BTreeMap::<String, Record>::new();
        for (node, key, actor, time, is_blind, is_delete) in writes {
            let node = NodeId(1 + node % members);
            let key = format!("key {key}");
            let of = &world.nodes[&node];
            if !of.state.cluster.owns(Epoch(2), node, of.state.cluster.leaf_of(key.as_bytes())).unwrap() {
                continue;
            }
            let dot = dot(actor, WALL + time);
            // The same dot has the same content everywhere.
            let delta = match (is_blind, is_delete) {
                (true, true) => Delta::blind(dot, None),
                (true, false) => blind(dot, "blind"),
                (false, _) => unseeing(dot, "blind"),
            };
            world.nodes[&node].join(&key, delta.record(), world.now);
            expected.entry(key).or_default().join(delta.record());
        }
        world.pass(ROUND);

        for (key, record) in expected {
            for (&id, node) in &world.nodes {
                let leaf = node.state.cluster.leaf_of(key.as_bytes());
                if !node.state.cluster.owns(Epoch(2), id, leaf).unwrap() {
                    prop_assert_eq!(node.stored(&key), None);
                    continue;
                }
                let stored = node.stored(&key).map(|bytes| quoit_ring::wire::decode_record(&bytes).unwrap());
                let live = stored.unwrap_or_default();
                prop_assert_eq!(live.live(), record.live(), "{} at {}", key, id);
            }
        }
        for (&id, node) in &world.nodes {
            let view = node.state.sync.peers();
            prop_assert!(view.values().all(|it| it.last.map(|(ended, _)| ended) == Some(Ended::Equal)), "{id} {view:?}");
        }
    }
}
