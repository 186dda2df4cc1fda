//! What a replica answers by itself, and what it passes on.

mod hints;
mod incomplete;
mod late;
mod membership;
mod scan;
mod watch;

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use quoit_ring::role::Role;
use quoit_ring::wire::ConfigurationAnswer;
use quoit_ring::wire::configuration::decode_answer;
use quoit_ring::wire::{
    Fault, MAX_KEY, Refusal, Request, RequestFrame, Response, ResponseFrame, decode_record,
};
use quoit_ring::{Delta, Dot, Epoch, NodeId};

use super::*;
use crate::commit::Committer;
use crate::engine::layout::{NAMESPACE, record_key};
use crate::engine::{Batch, Durability, Engine as _, Keyspace, MemoryEngine};
use crate::env::Env as _;
use crate::log::capture::logged;
use crate::state::NodeState;
use crate::testing::rebuild;
use crate::testing::{Disk, FakeEnv, SELF, Sink, WALL, at, blind, dot, encoded, state};

const CURRENT: Epoch = Epoch(2);

struct World {
    engine: Arc<MemoryEngine>,
    state: NodeState,
    session: Session<FakeEnv, MemoryEngine>,
    sink: Sink,
}

fn world_of(members: u64, caller: Role, env: FakeEnv) -> World {
    let (engine, state, sink) = (
        Arc::new(MemoryEngine::new()),
        state(members),
        Sink::default(),
    );
    let replica = Replica::new(env, Arc::clone(&engine), &state);
    let session = Session::new(Arc::new(replica), caller, sink.clone());
    World {
        engine,
        state,
        session,
        sink,
    }
}

fn world() -> World {
    world_of(
        1,
        Role::Client,
        FakeEnv {
            capacity: 100,
            ..FakeEnv::default()
        },
    )
}

impl World {
    fn send(&mut self, frame: &RequestFrame) {
        let mut out = BytesMut::new();
        frame.encode(&mut out);
        self.session
            .handle(out.split_off(4).freeze(), at(WALL))
            .unwrap();
    }

    /// The answer to one request, if it is answered at once.
    fn ask_as_of(&mut self, epoch: Epoch, request: Request) -> Option<Response> {
        self.send(&RequestFrame {
            id: 7,
            epoch,
            budget_ms: 1000,
            request,
        });
        let mut answers = self.sink.answers();
        assert!(answers.len() <= 1);
        answers.pop().map(|(id, answer)| {
            assert_eq!(id, 7);
            answer
        })
    }

    fn ask(&mut self, request: Request) -> Option<Response> {
        self.ask_as_of(CURRENT, request)
    }

    fn refusal(&mut self, request: Request) -> Refusal {
        match self.ask(request) {
            Some(Response::Refused(refusal)) => refusal,
            other => panic!("{other:?}"),
        }
    }

    /// Commits what was submitted.
    fn commit(&mut self) -> Vec<(u64, Response)> {
        self.session.submit(at(WALL));
        let mut taken = std::mem::take(&mut *self.session.replica.env.taken.lock().unwrap());
        let mut committer = Committer::new(Arc::clone(&self.engine), &self.state, at(WALL));
        committer.run(&mut taken, at(WALL)).unwrap();
        self.sink.answers()
    }
}

fn put(key: &str, dot: Dot, delta: &Delta) -> Request {
    Request::Put {
        key: Bytes::copy_from_slice(key.as_bytes()),
        dot,
        record: encoded(delta.record()),
    }
}

fn get(key: &str) -> Request {
    Request::Get {
        key: Bytes::copy_from_slice(key.as_bytes()),
        digest: false,
    }
}

#[test]
fn a_put_is_answered_after_its_commit_and_then_read_back_byte_for_byte() {
    let mut world = world();
    let delta = blind(dot(1, WALL), "v");
    assert_eq!(world.ask(get("k")), Some(Response::Absent));
    assert_eq!(
        world.ask(put("k", delta.dot(), &delta)),
        None,
        "not before the commit"
    );
    assert_eq!(world.commit(), [(7, Response::Joined)]);
    assert_eq!(
        world.ask(get("k")),
        Some(Response::Record(encoded(delta.record())))
    );
}

#[test]
fn many_puts_are_handed_over_together() {
    let mut world = world();
    for (id, key) in ["a", "b", "c"].into_iter().enumerate() {
        let delta = blind(dot(1, WALL), "v");
        let request = put(key, delta.dot(), &delta);
        let id = u64::try_from(id).unwrap();
        world.send(&RequestFrame {
            id,
            epoch: CURRENT,
            budget_ms: 1000,
            request,
        });
    }
    assert_eq!(world.session.replica.env.queued_writes(), 0);
    let answers = world.commit();
    assert_eq!(
        answers.iter().map(|(id, _)| *id).collect::<Vec<_>>(),
        [0, 1, 2]
    );
}

#[test]
fn what_does_not_fit_the_queue_is_refused_as_overloaded() {
    let mut world = world_of(
        1,
        Role::Client,
        FakeEnv {
            capacity: 1,
            ..FakeEnv::default()
        },
    );
    let delta = blind(dot(1, WALL), "v");
    for id in 0..3 {
        let request = put("k", delta.dot(), &delta);
        world.send(&RequestFrame {
            id,
            epoch: CURRENT,
            budget_ms: 1000,
            request,
        });
    }
    world.session.submit(at(WALL));
    let refused = Response::Refused(Refusal::Overloaded { queue_ms: 9 });
    assert_eq!(world.sink.answers(), [(1, refused.clone()), (2, refused)]);
}

#[test]
fn a_closed_queue_refuses_as_draining() {
    let mut world = world_of(
        1,
        Role::Client,
        FakeEnv {
            closed: true,
            ..FakeEnv::default()
        },
    );
    let delta = blind(dot(1, WALL), "v");
    assert_eq!(world.ask(put("k", delta.dot(), &delta)), None);
    world.session.submit(at(WALL));
    assert_eq!(
        world.sink.answers(),
        [(7, Response::Refused(Refusal::Draining))]
    );
}

#[test]
fn an_older_ring_is_refused_for_keys_and_gets_the_map() {
    let mut world = world();
    let old = Epoch(1);
    let refused = Some(Response::Refused(Refusal::OldEpoch));
    assert_eq!(world.ask_as_of(old, get("k")), refused);
    let Some(Response::Map(map)) = world.ask_as_of(old, Request::Map) else {
        panic!("the map is for those who have an old one");
    };
    let Ok(ConfigurationAnswer::Whole(whole)) = decode_answer(&map) else {
        panic!("nothing leads there from an epoch that never was");
    };
    assert_eq!(&*whole, world.state.cluster.newest().configuration());
}

#[test]
fn a_key_of_another_node_is_refused() {
    let mut world = world_of(
        4,
        Role::Client,
        FakeEnv {
            capacity: 9,
            ..FakeEnv::default()
        },
    );
    let cluster = &world.state.cluster;
    let newest = cluster.newest();
    let owned = |key: &str| {
        newest
            .topology()
            .owns(SELF, cluster.leaf_of(key.as_bytes()))
    };
    let mut keys = (0..).map(|n| format!("key-{n}"));
    let foreign = keys.find(|key| !owned(key)).unwrap();
    let own = keys.find(|key| owned(key)).unwrap();
    let delta = blind(dot(1, WALL), "v");
    assert_eq!(world.refusal(get(&foreign)), Refusal::NotReplica);
    assert_eq!(
        world.refusal(put(&foreign, delta.dot(), &delta)),
        Refusal::NotReplica
    );
    assert_eq!(world.ask(get(&own)), Some(Response::Absent));
}

#[test]
fn keys_out_of_bounds_are_refused() {
    let mut world = world();
    assert_eq!(world.refusal(get("")), Refusal::BadKey { bytes: 0 });
    assert_eq!(
        world.refusal(get(&"k".repeat(MAX_KEY + 1))),
        Refusal::BadKey { bytes: 32_769 }
    );
    assert_eq!(world.ask(get(&"k".repeat(MAX_KEY))), Some(Response::Absent));
}

#[test]
fn junk_and_values_too_long_are_refused_on_arrival() {
    let mut world = world();
    let (key, dot) = (Bytes::from_static(b"k"), dot(1, WALL));
    let junk = Bytes::from_static(b"junk");
    let as_put = |record: Bytes| Request::Put {
        key: key.clone(),
        dot,
        record,
    };
    let as_repair = |record: Bytes| Request::Repair {
        key: key.clone(),
        record,
    };
    assert_eq!(world.refusal(as_put(junk.clone())), Refusal::BadRecord);
    assert_eq!(world.refusal(as_repair(junk)), Refusal::BadRecord);
    let other = blind(
        Dot {
            actor: quoit_ring::Actor(9),
            ..dot
        },
        "v",
    );
    assert_eq!(
        world.refusal(as_put(encoded(other.record()))),
        Refusal::BadRecord
    );
    let long = blind(dot, &"x".repeat((1 << 20) + 1));
    let refused = Refusal::ValueTooLarge {
        bytes: (1 << 20) + 1,
        max: 1 << 20,
    };
    assert_eq!(world.refusal(as_put(encoded(long.record()))), refused);
    assert_eq!(
        world.ask(as_repair(encoded(long.record()))),
        None,
        "the join decides about the size of a repair"
    );
}

#[test]
fn a_repair_without_its_values_or_with_damaged_ones_is_refused() {
    let mut world = world();
    let whole = blind(dot(1, WALL), "value").into_record();
    let repair = |record: Bytes| Request::Repair {
        key: Bytes::from_static(b"k"),
        record,
    };
    assert_eq!(
        world.refusal(repair(encoded(&whole.without_values()))),
        Refusal::BadRecord
    );
    let mut damaged = encoded(&whole).to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    assert_eq!(world.refusal(repair(damaged.into())), Refusal::BadRecord);
    assert_eq!(world.ask(repair(encoded(&whole))), None);
    assert_eq!(world.commit(), [(7, Response::Joined)]);
}

#[test]
fn a_spent_budget_is_not_begun() {
    let mut world = world();
    world.send(&RequestFrame {
        id: 1,
        epoch: CURRENT,
        budget_ms: 0,
        request: get("k"),
    });
    assert_eq!(
        world.sink.answers(),
        [(1, Response::Refused(Refusal::Expired))]
    );
}

#[test]
fn a_digest_leaves_out_values_only_where_that_saves_something() {
    let mut world = world();
    let (short, long) = (
        blind(dot(1, WALL), "v"),
        blind(dot(1, WALL), &"x".repeat(1500)),
    );
    for (key, delta) in [("short", &short), ("long", &long)] {
        world.ask(put(key, delta.dot(), delta));
    }
    world.commit();
    let digest = |key: &'static str| Request::Get {
        key: Bytes::from(key),
        digest: true,
    };
    let Some(Response::Record(bytes)) = world.ask(digest("short")) else {
        panic!("it is there")
    };
    assert_eq!(decode_record(&bytes).as_ref(), Ok(short.record()));
    let Some(Response::Record(bytes)) = world.ask(digest("long")) else {
        panic!("it is there")
    };
    assert_eq!(decode_record(&bytes), Ok(long.record().without_values()));
}

#[test]
fn a_record_that_cannot_be_read_is_an_error_and_not_absent() {
    let mut world = world();
    let mut batch = Batch::new();
    let junk = vec![0xff; 2000];
    batch.insert(Keyspace::Records, record_key(NAMESPACE, b"k"), junk);
    world.engine.commit(batch, Durability::Fsync).unwrap();
    let digest = Request::Get {
        key: Bytes::from_static(b"k"),
        digest: true,
    };
    assert_eq!(world.refusal(digest), Refusal::Storage(Fault::Corrupt));
}

#[test]
fn a_disk_that_cannot_be_read_is_an_error_and_not_absent() {
    let disk = Disk::default();
    let get =
        || get::answer(&disk, (b"k", quoit_ring::Time::ZERO), false).map_err(|error| error.fault());
    assert_eq!(get(), Ok(Response::Absent));
    disk.set_unreadable();
    assert_eq!(get(), Err(Fault::Corrupt));
}

#[test]
fn damage_is_logged_seldom_however_often_it_is_read_and_written() {
    let mut world = world();
    let mut batch = Batch::new();
    let junk = vec![0xff; 2000];
    batch.insert(Keyspace::Records, record_key(NAMESPACE, b"k"), junk);
    world.engine.commit(batch, Durability::Fsync).unwrap();

    let lines = logged(|| {
        for n in 0..20 {
            let digest = Request::Get {
                key: Bytes::from_static(b"k"),
                digest: true,
            };
            let damage = Refusal::Storage(Fault::Corrupt);
            assert_eq!(world.refusal(digest), damage);

            let dot = dot(1, WALL + n);
            assert_eq!(world.ask(put("k", dot, &blind(dot, "v"))), None);
            assert_eq!(world.commit(), [(7, Response::Refused(damage))]);
        }
    });
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("ERROR"), "{lines:?}");
    assert!(
        lines[0].contains("a stored record cannot be read"),
        "{lines:?}"
    );
}

#[test]
fn sums_are_for_peers_and_not_before_they_are_ready() {
    let sums = || Request::Sums { level: 0, index: 0 };
    for caller in [Role::Client, Role::Admin] {
        let mut world = world_of(1, caller, FakeEnv::default());
        assert_eq!(world.refusal(sums()), Refusal::Forbidden);
    }
    let mut world = world_of(2, Role::Node(NodeId(2)), FakeEnv::default());
    assert_eq!(world.refusal(sums()), Refusal::NotReady);
    rebuild(&*world.engine, &world.state);
    let Some(Response::Sums(sums)) = world.ask(sums()) else {
        panic!("they are ready")
    };
    assert_eq!(sums.len(), 16);
    let beyond = Request::Sums {
        level: 200,
        index: u32::MAX,
    };
    assert_eq!(world.ask(beyond), Some(Response::Sums(vec![])));
}

#[test]
fn a_status_tells_how_the_node_is() {
    let mut world = world();
    world.state.service.connected();
    let Some(Response::Status(status)) = world.ask(Request::Status) else {
        panic!("no status")
    };
    assert_eq!(
        (status.node, status.connections, status.queued_writes),
        (SELF, 1, 0)
    );
    assert_eq!(status.uptime_ms, 10_000);
    assert_eq!(status.merkle_root, None);
    rebuild(&*world.engine, &world.state);
    let Some(Response::Status(status)) = world.ask(Request::Status) else {
        panic!("no status")
    };
    assert_eq!(status.merkle_root, Some(quoit_ring::Sum::default()));
}

#[test]
fn a_draining_node_refuses_keys_and_still_tells_the_map() {
    let mut world = world();
    world.state.service.drain();
    let delta = blind(dot(1, WALL), "v");
    assert_eq!(world.refusal(get("k")), Refusal::Draining);
    assert_eq!(
        world.refusal(put("k", delta.dot(), &delta)),
        Refusal::Draining
    );
    assert!(matches!(world.ask(Request::Map), Some(Response::Map(_))));
}

#[test]
fn what_is_no_request_is_an_error() {
    let mut world = world();
    for junk in [&b""[..], b"x", &[0; 40]] {
        assert!(
            world
                .session
                .handle(Bytes::from_static(junk), at(WALL))
                .is_err(),
            "{junk:?}"
        );
    }
    let mut answer = BytesMut::new();
    let response = Response::Joined;
    ResponseFrame {
        id: 1,
        epoch: CURRENT,
        clock: quoit_ring::Time::ZERO,
        response,
    }
    .encode(&mut answer);
    assert!(
        world
            .session
            .handle(answer.split_off(4).freeze(), at(WALL))
            .is_err()
    );
    assert_eq!(world.sink.answers(), []);
}
