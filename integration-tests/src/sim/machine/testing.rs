//! One machine in a test's hands: every key is its own, and time is what the test says.

use bytes::{Bytes, BytesMut};
use quoit_node::config::{Limits, WriteQueue};
use quoit_node::engine::layout::{NAMESPACE, record_key};
use quoit_node::engine::{Keyspace, Snapshot as _};
use quoit_node::walks::NextStep;
use quoit_ring::role::Role;
use quoit_ring::wire::{
    Durability, MembershipRequest, Request, RequestFrame, Response, ResponseFrame, decode_record,
    encode_record,
};
use quoit_ring::{Actor, Delta, Dot, Epoch, Millis, Moment, Record, Time};

use super::{Machine, Peer, Settings, SmallLimits};
use crate::sim::plan::Cluster;

/// Wall time of a test's beginning.
const BASE: Millis = Millis(1_700_000_000_000);

/// The one client.
const PEER: Peer = Peer {
    slot: 0,
    life: 0,
    connection: 1,
};

/// A machine of the cluster in which every node holds every key, with its node running.
pub(crate) fn running() -> Machine {
    let cluster = Cluster::of(5, 5);
    let settings = Settings {
        limits: Limits {
            max_value_bytes: 1 << 20,
            max_siblings: 64,
            max_intervals: 1 << 16,
            max_record_bytes: 4 << 20,
            max_write_age_ms: 60_000,
            max_clock_drift_ms: 500,
            max_hint_bytes: 1 << 30,
            max_hint_bytes_per_node: 1 << 28,
            disk_reserve: 64 << 20,
        },
        durability: Durability::Fsync,
        queue: WriteQueue::default(),
        base: BASE,
        small: SmallLimits::default(),
    };
    let id = cluster.ring.members()[0].id;
    let mut machine = Machine::new(id, cluster.first, settings);
    start(&mut machine);
    machine
}

/// Starts the node, brings its sums back, and connects the client.
pub(crate) fn start(machine: &mut Machine) {
    machine.start(Moment(0)).unwrap();
    while machine.rebuild(Moment(0)) == NextStep::Soon {}
    machine.connect(PEER, Role::Client);
}

/// A client's put, which expires or not; it is not committed yet.
pub(crate) fn put(machine: &mut Machine, key: &'static str, expiry: Option<u64>) -> Dot {
    let (time, actor) = (Time::at(BASE), Actor(7));
    let dot = Dot { time, actor };
    let expiry = expiry.map(|due| Millis(BASE.0 + due));
    let delta = Delta::blind(dot, Some((Bytes::from_static(b"value"), expiry)));
    let mut record = BytesMut::new();
    encode_record(delta.record(), &mut record);
    let request = Request::Put {
        key: key.into(),
        dot,
        record: record.freeze(),
    };
    send(machine, PEER, request);
    dot
}

/// A message about the ring from an operator, carried out; what was answered.
pub(crate) fn ask_about_ring(machine: &mut Machine, request: MembershipRequest) -> Vec<Response> {
    let operator = Peer {
        connection: 2,
        ..PEER
    };
    machine.connect(operator, Role::Admin);
    send(machine, operator, Request::Membership(request));
    assert!(!machine.begin_commit(Moment(0)).unwrap(), "no write waits");
    answers(machine)
}

fn send(machine: &mut Machine, peer: Peer, request: Request) {
    let mut frame = BytesMut::new();
    let (epoch, budget_ms) = (Epoch(1), 5_000);
    RequestFrame {
        id: 1,
        epoch,
        budget_ms,
        request,
    }
    .encode(&mut frame);
    let frame = frame.split_off(4).freeze();
    machine.receive(peer, frame, Moment(0)).unwrap();
    machine.submit(peer, Moment(0));
}

/// A put that is committed; what was answered.
pub(crate) fn put_through(machine: &mut Machine, key: &'static str) -> Vec<Response> {
    put(machine, key, None);
    assert!(machine.begin_commit(Moment(0)).unwrap());
    machine.end_commit().unwrap();
    answers(machine)
}

/// The answers that wait to leave.
pub(crate) fn answers(machine: &mut Machine) -> Vec<Response> {
    let mut answers = Vec::new();
    machine.take_answers(&mut answers);
    let read = |frame| ResponseFrame::decode(frame).unwrap().response;
    answers.into_iter().map(|one| read(one.frame)).collect()
}

/// What the node's own disk holds under a key.
pub(crate) fn stored(machine: &Machine, key: &'static str) -> Option<Record> {
    let store = machine.own_disk().contents();
    let key = record_key(NAMESPACE, key.as_bytes());
    let record = store.get(Keyspace::Records, &key).unwrap()?;
    Some(decode_record(&record).unwrap())
}
