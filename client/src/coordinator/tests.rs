//! Whole operations against scripted nodes: frames out, answers in, time by hand.

mod clocks;
mod epochs;
mod hedges;
mod hints;
mod moving;
mod own_writes;
mod proposals;
mod reads;
mod registers;
mod retries;
mod scans;
mod writes;

use std::sync::Arc;

use core::future::Future;
use core::pin::Pin;
use core::task::{Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use quoit_ring::change::{Configuration, Known};
use quoit_ring::cluster::DEFAULT_WEIGHT;
use quoit_ring::placement::Ring;
use quoit_ring::wire::configuration::encode_answer;
use quoit_ring::wire::{Refusal, Request, Response, ScanRequest, decode_record};
use quoit_ring::{
    ClusterId, ClusterMap, Delta, Epoch, Leaf, LeafBits, Member, Millis, Record, Time, TokenKey,
};
use tokio::sync::Semaphore;

use super::*;
use crate::conditional::{Compared, ConditionalOp, Settled, SwapError};
use crate::consistency::Consistency;
use crate::entry::{Context, Written};
use crate::error::{InvalidRequest, ReadError, Stored, WriteError};
use crate::health::HealthReport;
use crate::metrics::Kind;
use crate::operation::plan::Plan;
use crate::operation::propose::{self, ProposalResult};
use crate::operation::register::{self, Swap};
use crate::operation::requests::Caller;
use crate::operation::version::KeyUpdate;
use crate::operation::{ask, page, read, write};
use crate::reply::{self, Reply};

const WALL: Millis = Millis(1_000_000);

fn map(epoch: u64) -> ClusterMap {
    map_of(3, epoch)
}

/// The answer of a node in the first epoch of a cluster with this map.
fn whole(map: ClusterMap) -> Bytes {
    encode_answer(None, &Configuration::first(map).unwrap()).into()
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

/// How many operations may be under way.
const PERMITS: usize = 1 << 20;

/// What a test asks for.
enum Call {
    Read {
        key: Bytes,
        plan: Plan,
    },
    Write {
        update: KeyUpdate,
        plan: Plan,
    },
    Retry(WriteError),
    Ask {
        node: NodeId,
        request: Request,
        deadline: Duration,
    },
    Page {
        node: NodeId,
        epoch: Epoch,
        request: ScanRequest,
    },
    Health,
    Propose {
        after: Arc<Configuration>,
        next: Box<Configuration>,
    },
    Swap(Swap),
    Look,
    Settle(ConditionalOp),
}

/// What a caller was answered.
#[derive(Debug)]
enum Done {
    Read(Result<Record, ReadError>),
    Write(Result<Written, WriteError>),
    Ask,
    Page(page::PageAnswer),
    Health(HealthReport),
    Propose(ProposalResult),
    Swap(Result<Compared, SwapError>),
    Settle(Result<Settled, ReadError>),
}

/// A caller: its ticket, and how to look for its answer.
type Waiting = (u32, Box<dyn FnMut() -> Option<Done>>);

/// A coordinator with a clock that the test turns.
struct Bench {
    coordinator: Coordinator,
    permits: Arc<Semaphore>,
    waiting: Vec<Waiting>,
    micros: u64,
    random: u64,
    /// How far the client's wall clock is off, in milliseconds.
    wall_off: i64,
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
        let now = Now {
            at: Moment(0),
            wall: WALL,
            random: 7,
        };
        Self {
            coordinator: Coordinator::new(settings, Known::of(ring), now),
            permits: Arc::new(Semaphore::new(PERMITS)),
            waiting: Vec::new(),
            micros: 0,
            random: 1,
            wall_off: 0,
        }
    }

    fn now(&mut self) -> Now {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let right = WALL.0 + self.micros / 1_000;
        let wall = Millis(right.saturating_add_signed(self.wall_off));
        Now {
            at: Moment(self.micros),
            wall,
            random: self.random,
        }
    }

    fn start(&mut self, ticket: u32, call: Call) {
        let submission = match call {
            Call::Read { key, plan } => Submission::Read(read::Submitted {
                key,
                plan,
                caller: self.caller(ticket, Kind::Get, Done::Read),
            }),
            Call::Write { update, plan } => Submission::Write(write::Submitted {
                content: write::Content::New(update),
                plan,
                caller: self.caller(ticket, Kind::Put, Done::Write),
            }),
            Call::Retry(error) => {
                let sent = error.write().unwrap().clone().into_sent().unwrap();
                Submission::Write(write::Submitted {
                    plan: sent.plan,
                    content: write::Content::Sent(sent),
                    caller: self.caller(ticket, Kind::Put, Done::Write),
                })
            }
            Call::Ask {
                node,
                request,
                deadline,
            } => Submission::Ask(ask::Submitted {
                node,
                request,
                epoch: None,
                deadline,
                caller: self.caller(ticket, Kind::Ask, |_answer| Done::Ask),
            }),
            Call::Page {
                node,
                epoch,
                request,
            } => Submission::Page(page::Submitted {
                node,
                epoch,
                request,
                deadline: Duration::from_secs(5),
                caller: self.caller(ticket, Kind::Ask, Done::Page),
            }),
            Call::Propose { after, next } => Submission::Propose(propose::Submitted {
                after,
                next,
                deadline: Duration::from_secs(5),
                caller: self.caller(ticket, Kind::Ask, Done::Propose),
            }),
            Call::Swap(swap) => {
                let caller = self.caller(ticket, Kind::CompareAndSet, Done::Swap);
                on_register(caller, |reply| register::Goal::Swap(swap, reply))
            }
            Call::Look => {
                let caller = self.caller(ticket, Kind::Get, Done::Read);
                on_register(caller, register::Goal::Read)
            }
            Call::Settle(operation) => {
                let caller = self.caller(ticket, Kind::CompareAndSet, Done::Settle);
                let dots = operation.dots().to_vec();
                on_register(caller, |reply| register::Goal::Settle(dots, reply))
            }
            Call::Health => Submission::Health(self.caller(ticket, Kind::Ask, Done::Health)),
        };
        let now = self.now();
        self.coordinator.handle_submission(submission, now);
    }

    fn caller<T: Send + 'static>(
        &mut self,
        ticket: u32,
        kind: Kind,
        done: fn(T) -> Done,
    ) -> Caller<T> {
        let (reply, mut answer): (Reply<T>, _) = reply::channel();
        let look = move || {
            let mut cx = core::task::Context::from_waker(Waker::noop());
            match Pin::new(&mut answer).poll(&mut cx) {
                Poll::Ready(answer) => Some(done(answer.expect("nobody lets a caller down"))),
                Poll::Pending => None,
            }
        };
        self.waiting.push((ticket, Box::new(look)));
        Caller {
            kind,
            reply,
            permit: Arc::clone(&self.permits).try_acquire_owned().unwrap(),
            trace: None,
        }
    }

    /// The caller drops its future.
    fn abandon(&mut self, ticket: u32) {
        self.waiting.retain(|(waiting, _)| *waiting != ticket);
    }

    /// The next answer: its caller's ticket, and what it is.
    fn done(&mut self) -> Option<(u32, Done)> {
        self.coordinator.poll_answer()?.deliver();
        for index in 0..self.waiting.len() {
            if let Some(done) = (self.waiting[index].1)() {
                return Some((self.waiting.remove(index).0, done));
            }
        }
        panic!("an answer belongs to a caller");
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

    /// Answers from a node whose clock is off by so many milliseconds.
    fn answer_off(&mut self, to: &(NodeId, RequestFrame), response: Response, off_ms: i64) {
        let now = self.now();
        let right = Millis((WALL.0 + self.micros / 1_000).saturating_add_signed(off_ms));
        let frame = ResponseFrame {
            id: to.1.id,
            epoch: Epoch(1),
            clock: Time::at(right),
            response,
        };
        self.coordinator.handle_response(to.0, frame, now);
    }

    /// How many operations hold a permit.
    fn occupied(&self) -> usize {
        PERMITS - self.permits.available_permits()
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
        match self.done() {
            Some((_, Done::Write(result))) => result,
            other => panic!("no write ended: {other:?}"),
        }
    }

    fn read(&mut self) -> Result<Record, ReadError> {
        match self.done() {
            Some((_, Done::Read(result))) => result,
            other => panic!("no read ended: {other:?}"),
        }
    }
}

fn on_register<T: Send + 'static>(
    caller: Caller<T>,
    goal: impl FnOnce(Reply<T>) -> register::Goal,
) -> Submission {
    Submission::Register(register::Submitted {
        key: "k".into(),
        plan: plan(),
        goal: goal(caller.reply),
        kind: caller.kind,
        permit: caller.permit,
        trace: None,
    })
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

fn put(value: &'static str, context: Option<Context>) -> Call {
    let update = KeyUpdate {
        key: "k".into(),
        value: Some(value.into()),
        ttl: None,
        context,
    };
    Call::Write {
        update,
        plan: plan(),
    }
}

fn get() -> Call {
    Call::Read {
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
    assert!(bench.done().is_none());
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
    bench.answer_from(Epoch(2), &refresh[0], Response::Map(whole(map(2))));
    assert!(bench.coordinator.poll_epoch() && !bench.coordinator.poll_epoch());
    assert_eq!(bench.coordinator.topology().epoch(), Epoch(2));
    bench.start(2, get());
    assert_eq!(bench.sent()[0].1.epoch, Epoch(2));
}

#[test]
fn a_newer_epoch_is_fetched_from_another_node_if_the_one_asked_for_it_dies() {
    let mut bench = Bench::new();
    bench.start(1, put("v", None));
    let asked = bench.sent();
    for to in &asked {
        bench.answer_from(Epoch(2), to, Response::Refused(Refusal::OldEpoch));
    }
    let refresh = bench.sent();
    assert_eq!(refresh.len(), 1, "the others have shown the epoch at once");

    // All have refused, so nothing more comes by itself.
    let (dead, _) = refresh[0];
    bench.link(dead.0, Link::Down);
    bench.pass(200);
    let again = bench.sent();
    let (from, frame) = again.first().unwrap();
    assert_eq!((&frame.request, *from != dead), (&Request::Map, true));
    bench.answer_from(Epoch(2), &again[0], Response::Map(whole(map(2))));
    let puts = bench.sent();
    assert_eq!(puts.len(), 2, "{puts:?}");
    for to in &puts {
        bench.answer_from(Epoch(2), to, Response::Joined);
    }
    assert_eq!(bench.written().unwrap().acked, 2);
}

#[test]
fn a_map_that_cannot_be_used_is_asked_for_ever_less_often() {
    let mut bench = Bench::new();
    let mut asked = 0;
    for _ in 0..2_000 {
        bench.start(1, get());
        for to in bench.sent() {
            bench.answer_from(Epoch(2), &to, Response::Absent);
        }
        for to in bench.sent() {
            asked += u32::from(to.1.request == Request::Map);
            bench.answer_from(Epoch(2), &to, Response::Map(b"junk".to_vec().into()));
        }
        bench.read().unwrap();
        bench.pass(10);
    }
    assert!(
        (15..=27).contains(&asked),
        "three nodes, {asked} times in 20 s"
    );
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
        Call::Read {
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
