//! Whole operations against scripted nodes: frames out, answers in, time by hand.

mod hedges;
mod hints;
mod reads;
mod writes;

use std::rc::Rc;

use bytes::Bytes;
use quoit_ring::cluster::DEFAULT_WEIGHT;
use quoit_ring::wire::map::encode_map;
use quoit_ring::wire::{Refusal, Response, decode_record};
use quoit_ring::{
    ClusterId, ClusterMap, Delta, Epoch, Leaf, LeafBits, Member, Millis, Time, TokenKey,
};

use super::*;
use crate::config::Consistency;
use crate::entry::Context;
use crate::error::{InvalidRequest, Stored};
use crate::submission::{Change, Plan};

const WALL: Millis = Millis(1_000_000);

fn map(epoch: u64) -> ClusterMap {
    map_of(3, epoch)
}

fn map_of(members: u32, epoch: u64) -> ClusterMap {
    let member = |i: u32| Member {
        id: NodeId(u64::from(i)),
        name: format!("n{i}"),
        address: format!("127.0.0.1:{i}"),
        zone: "z".into(),
        weight: DEFAULT_WEIGHT,
        vnodes: vec![Leaf(i), Leaf(i + 8)],
    };
    ClusterMap {
        cluster: ClusterId(1),
        epoch: Epoch(epoch),
        token_key: TokenKey([3; 16]),
        leaf_bits: LeafBits::new(4).unwrap(),
        replication: 3,
        members: (1..=members).map(member).collect(),
    }
}

/// A coordinator with a clock that the test turns.
struct Bench {
    coordinator: Coordinator<u32, Rc<()>>,
    room: Rc<()>,
    micros: u64,
    random: u64,
}

impl Bench {
    fn new() -> Self {
        Self::of(3)
    }

    fn with(settings: Settings) -> Self {
        Self::made(3, settings)
    }

    /// With three copies of each key on so many nodes.
    fn of(members: u32) -> Self {
        Self::made(members, Settings::default())
    }

    fn made(members: u32, settings: Settings) -> Self {
        let ring = Ring::new(&map_of(members, 1)).unwrap();
        let coordinator = Coordinator::new(settings, ring, 7);
        Self {
            coordinator,
            room: Rc::new(()),
            micros: 0,
            random: 1,
        }
    }

    fn now(&mut self) -> Now {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let wall = Millis(WALL.0 + self.micros / 1_000);
        Now {
            at: Moment(self.micros),
            wall,
            random: self.random,
        }
    }

    fn start(&mut self, ticket: u32, operation: Operation) {
        let now = self.now();
        self.coordinator
            .handle_operation(operation, (ticket, Rc::clone(&self.room)), now);
    }

    fn sent(&mut self) -> Vec<(NodeId, RequestFrame)> {
        core::iter::from_fn(|| self.coordinator.poll_send()).collect()
    }

    fn answer(&mut self, to: &(NodeId, RequestFrame), response: Response) {
        self.answer_from(Epoch(1), to, response);
    }

    fn answer_from(&mut self, epoch: Epoch, to: &(NodeId, RequestFrame), response: Response) {
        let now = self.now();
        let frame = ResponseFrame {
            id: to.1.id,
            epoch,
            clock: Time::at(now.wall),
            response,
        };
        self.coordinator.handle_response(to.0, frame, now);
    }

    /// How many operations take room.
    fn occupied(&self) -> usize {
        Rc::strong_count(&self.room) - 1
    }

    fn link(&mut self, node: u64, link: Link) {
        let now = self.now();
        self.coordinator.handle_link(NodeId(node), link, now);
    }

    fn pass(&mut self, millis: u64) {
        self.micros += millis * 1_000;
        let now = self.now();
        self.coordinator.handle_time(now);
    }

    fn written(&mut self) -> Result<Written, WriteError> {
        match self.coordinator.poll_done() {
            Some((_, Done::Write(result))) => result,
            other => panic!("no write ended: {other:?}"),
        }
    }

    fn read(&mut self) -> Result<Record, ReadError> {
        match self.coordinator.poll_done() {
            Some((_, Done::Read(result))) => result,
            other => panic!("no read ended: {other:?}"),
        }
    }
}

fn plan() -> Plan {
    Plan {
        consistency: Consistency::Quorum,
        count: None,
        sloppy: false,
        deadline: Duration::from_secs(5),
        repair: None,
    }
}

fn put(value: &'static str, context: Option<Context>) -> Operation {
    let change = Change {
        key: "k".into(),
        value: Some(value.into()),
        ttl: None,
        context,
    };
    Operation::Write {
        change,
        plan: plan(),
    }
}

fn get() -> Operation {
    Operation::Read {
        key: "k".into(),
        plan: plan(),
    }
}

fn record_in(frame: &RequestFrame) -> Record {
    match &frame.request {
        Request::Put { record, .. } | Request::Repair { record, .. } => {
            decode_record(record).unwrap()
        }
        other => panic!("no record in {other:?}"),
    }
}

fn record_bytes(frame: &RequestFrame) -> Bytes {
    match &frame.request {
        Request::Put { record, .. } => record.clone(),
        other => panic!("not a put: {other:?}"),
    }
}

#[test]
fn silence_ends_at_the_deadline() {
    let mut bench = Bench::new();
    bench.start(1, put("v", None));
    bench.start(2, get());
    bench.sent();
    bench.pass(4_900);
    assert!(bench.coordinator.poll_done().is_none());
    bench.pass(200);
    assert_eq!(bench.written().unwrap_err().stored(), Stored::Maybe);
    assert!(matches!(
        bench.read(),
        Err(ReadError::Unavailable { answered: 0, .. })
    ));
    assert!(bench.coordinator.is_idle() && bench.coordinator.poll_time().is_none());
}

#[test]
fn a_newer_epoch_is_fetched_once_and_taken_over() {
    let mut bench = Bench::new();
    bench.start(1, get());
    let asked = bench.sent();
    bench.answer_from(Epoch(2), &asked[0], Response::Absent);
    bench.answer_from(Epoch(2), &asked[1], Response::Absent);
    let refresh = bench.sent();
    assert_eq!(refresh.len(), 1);
    assert_eq!(refresh[0].1.request, Request::Map);
    bench.answer_from(
        Epoch(2),
        &refresh[0],
        Response::Map(encode_map(&map(2)).into()),
    );
    assert_eq!(bench.coordinator.poll_ring().unwrap().epoch(), Epoch(2));
    assert!(bench.coordinator.poll_ring().is_none());
    bench.start(2, get());
    assert_eq!(bench.sent()[0].1.epoch, Epoch(2));
}

#[test]
fn a_request_that_cannot_be_meant_sends_nothing() {
    let mut bench = Bench::new();
    let plan = Plan {
        count: Some(1),
        ..plan()
    };
    bench.start(
        1,
        Operation::Read {
            key: "k".into(),
            plan,
        },
    );
    assert!(matches!(
        bench.read(),
        Err(ReadError::Invalid(InvalidRequest::NoMajority { .. }))
    ));
    let future = Delta::blind(
        quoit_ring::Dot {
            time: Time::at(Millis(WALL.0 + 9_000)),
            actor: quoit_ring::Actor(1),
        },
        None,
    );
    bench.start(2, put("v", Some(Context::of(future.record()))));
    let error = bench.written().unwrap_err();
    assert!(
        matches!(
            error,
            WriteError::Invalid(InvalidRequest::FutureContext { .. })
        ),
        "{error}"
    );
    assert!(bench.sent().is_empty() && bench.coordinator.is_idle());
}
