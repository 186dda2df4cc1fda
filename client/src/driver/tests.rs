//! Driven clients above an environment made by hand, which nothing needs to be sent through threads.

mod explain;
mod many;
mod metrics;
mod spans;

use std::sync::Arc;

use core::cell::RefCell;
use core::future::IntoFuture;
use core::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

use bytes::{Buf as _, BytesMut};
use quoit_ring::change::Configuration;
use quoit_ring::change::Topology;
use quoit_ring::placement::Ring;
use quoit_ring::wire::configuration::encode_answer;
use quoit_ring::wire::{Request, RequestFrame, Response};
use quoit_ring::{ClusterId, ClusterMap, Epoch, Leaf, LeafBits, Member, Millis, Time, TokenKey};

use super::*;
use crate::client::Client;
use crate::config::ClientBuilder;
use crate::env::Now;
use crate::error::{Outcome, ReadError, WriteError};

/// What the environment was asked for; the test holds it too.
#[derive(Debug, Default)]
struct Log {
    micros: u64,
    random: u64,
    sent: Vec<(NodeId, RequestFrame)>,
    epochs: Vec<Epoch>,
}

#[derive(Debug, Clone, Default)]
struct ByHand(Rc<RefCell<Log>>);

impl Env for ByHand {
    fn now(&mut self) -> Now {
        let mut log = self.0.borrow_mut();
        log.random = log.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        Now {
            at: Moment(log.micros),
            wall: Millis(1_700_000_000_000 + log.micros / 1_000),
            random: log.random,
        }
    }

    fn send(&mut self, to: NodeId, frame: &RequestFrame) -> bool {
        self.0.borrow_mut().sent.push((to, frame.clone()));
        true
    }

    fn members(&mut self, topology: &Topology) {
        self.0.borrow_mut().epochs.push(topology.epoch());
    }
}

fn map(epoch: u64) -> ClusterMap {
    let member = |id: u32| Member {
        id: NodeId(id.into()),
        name: format!("n{id}"),
        address: format!("10.0.0.{id}:7440"),
        zone: "z".into(),
        weight: 100,
        vnodes: vec![Leaf(id)],
    };
    ClusterMap {
        cluster: ClusterId(7),
        epoch: Epoch(epoch),
        token_key: TokenKey([2; 16]),
        leaf_bits: LeafBits::FULL,
        replication: 3,
        members: (1..=3).map(member).collect(),
    }
}

struct Bench {
    client: Client,
    driver: Driver<ByHand>,
    log: Rc<RefCell<Log>>,
}

impl Bench {
    fn new() -> Self {
        Self::with(Client::builder())
    }

    fn with(builder: ClientBuilder) -> Self {
        let (env, ring) = (ByHand::default(), Ring::new(&map(1)).unwrap());
        let log = Rc::clone(&env.0);
        let (client, driver) = builder.drive(ring, env).unwrap();
        Self {
            client,
            driver,
            log,
        }
    }

    fn take_in(&mut self) {
        self.driver.take_in();
        self.driver.pump();
    }

    fn sent(&self) -> Vec<(NodeId, RequestFrame)> {
        core::mem::take(&mut self.log.borrow_mut().sent)
    }

    fn answer(&mut self, to: &(NodeId, RequestFrame), epoch: u64, response: Response) {
        let frame = ResponseFrame {
            id: to.1.id,
            epoch: Epoch(epoch),
            clock: Time::default(),
            response,
        };
        let mut bytes = BytesMut::new();
        frame.encode(&mut bytes);
        bytes.advance(4);
        self.driver.received(to.0, bytes.freeze()).unwrap();
    }
}

/// An operation that its caller waits for.
struct Waiting<T>(Pin<Box<dyn Future<Output = T>>>);

impl<T> Waiting<T> {
    fn on(operation: impl IntoFuture<Output = T, IntoFuture: 'static>) -> Self {
        let mut waiting = Self(Box::pin(operation.into_future()));
        assert!(waiting.answer().is_none(), "nobody has been asked yet");
        waiting
    }

    /// The answer of one that waits for nobody.
    fn on_closed(operation: impl IntoFuture<Output = T, IntoFuture: 'static>) -> T {
        let mut waiting = Self(Box::pin(operation.into_future()));
        waiting.answer().expect("nobody is asked")
    }

    fn answer(&mut self) -> Option<T> {
        let mut cx = Context::from_waker(Waker::noop());
        match self.0.as_mut().poll(&mut cx) {
            Poll::Ready(answer) => Some(answer),
            Poll::Pending => None,
        }
    }
}

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_put_is_answered_once_two_of_three_nodes_have_joined_it() {
    let mut bench = Bench::new();
    let mut put = Waiting::on(bench.client.put("key", "value"));
    assert!(bench.driver.has_submissions() && bench.driver.is_idle());
    bench.take_in();
    assert!(!bench.driver.has_submissions() && !bench.driver.is_idle());
    let sent = bench.sent();
    let mut nodes: Vec<_> = sent.iter().map(|(node, _)| node.0).collect();
    nodes.sort_unstable();
    assert_eq!(nodes, [1, 2, 3]);

    bench.answer(&sent[0], 1, Response::Joined);
    bench.driver.pump();
    assert!(put.answer().is_none());
    bench.answer(&sent[1], 1, Response::Joined);
    bench.driver.pump();
    assert_eq!(put.answer().unwrap().unwrap().acked, 2);
}

#[test]
fn inputs_send_and_answer_nothing_before_the_pump() {
    let mut bench = Bench::new();
    let mut puts: Vec<_> = (0..4)
        .map(|key: u32| Waiting::on(bench.client.put(key.to_le_bytes().to_vec(), "value")))
        .collect();
    bench.driver.take_in();
    assert!(bench.sent().is_empty());
    bench.driver.pump();
    let sent = bench.sent();
    assert_eq!(sent.len(), 12);
    for request in &sent {
        bench.answer(request, 1, Response::Joined);
    }
    assert!(puts.iter_mut().all(|put| put.answer().is_none()));
    bench.driver.pump();
    assert!(puts.iter_mut().all(|put| put.answer().unwrap().is_ok()));
    assert!(bench.driver.is_idle());
}

#[test]
fn one_last_tick_is_due_after_the_last_operation() {
    let mut bench = Bench::new();
    assert_eq!(bench.driver.next_tick(), None);
    let _put = Waiting::on(bench.client.put("key", "value"));
    bench.take_in();
    for request in bench.sent() {
        bench.answer(&request, 1, Response::Joined);
    }
    bench.driver.pump();
    let tick = bench.driver.next_tick().unwrap();
    bench.log.borrow_mut().micros = tick.0;
    bench.driver.tick();
    assert_eq!(bench.driver.next_tick(), None);
}

#[test]
fn a_dropped_driver_lets_nobody_wait() {
    let mut bench = Bench::with(Client::builder().max_in_flight(4));
    let mut put = Waiting::on(bench.client.put("key", "value"));
    let mut get = Waiting::on(bench.client.get("key"));
    bench.take_in();
    let mut found = Waiting::on(bench.client.put("found", "value"));
    let mut cx = Context::from_waker(Waker::noop());
    assert_eq!(bench.driver.poll_submissions(&mut cx), Poll::Ready(true));
    let mut left = Waiting::on(bench.client.put("left", "value"));
    let mut without_permit = Waiting::on(bench.client.put("without permit", "value"));

    drop(bench.driver);
    assert_eq!(get.answer(), Some(Err(ReadError::Closed)));
    for write in [&mut put, &mut found, &mut left] {
        assert_eq!(write.answer().unwrap().unwrap_err(), WriteError::Abandoned);
    }
    let closed = without_permit.answer().unwrap().unwrap_err();
    assert_eq!(closed, WriteError::Closed);
    let client = bench.client;
    let mut late = client.get("late").into_future();
    let answer = late.as_mut().poll(&mut cx);
    assert_eq!(answer, Poll::Ready(Err(ReadError::Closed)));
    assert_eq!(client.map().epoch, Epoch(1), "the ring is still there");
}

#[test]
fn closing_refuses_what_is_new_and_ends_with_the_driver() {
    let mut bench = Bench::new();
    let mut put = Waiting::on(bench.client.put("key", "value"));
    let (client, other) = (bench.client.clone(), bench.client.clone());
    let mut closing = Waiting::on(async move { client.close().await });
    let mut refused = other.put("late", "value").into_future();
    let mut cx = Context::from_waker(Waker::noop());
    let refused = refused.as_mut().poll(&mut cx);
    assert!(matches!(refused, Poll::Ready(Err(WriteError::Closed))));

    assert!(!bench.driver.is_finished(), "a put lies in the inbox");
    bench.take_in();
    assert!(!bench.driver.is_finished(), "a put is under way");
    for request in bench.sent() {
        bench.answer(&request, 1, Response::Joined);
    }
    bench.driver.pump();
    assert!(put.answer().unwrap().is_ok());
    assert!(bench.driver.is_finished() && closing.answer().is_none());
    drop(bench.driver);
    assert!(closing.answer().is_some());
}

#[test]
fn a_driver_hears_that_the_last_handle_is_gone() {
    let bench = Bench::new();
    let (mut driver, clone) = (bench.driver, bench.client.clone());
    drop(bench.client);
    assert!(!driver.is_finished());
    drop(clone);
    assert!(driver.is_finished());
    let mut cx = Context::from_waker(Waker::noop());
    assert_eq!(driver.poll_submissions(&mut cx), Poll::Ready(false));
}

#[test]
fn an_event_loop_that_sleeps_is_woken_by_the_first_submission() {
    let (mut bench, count) = (Bench::new(), Arc::new(Count::default()));
    let waker = Waker::from(Arc::clone(&count));
    let mut cx = Context::from_waker(&waker);
    assert_eq!(bench.driver.poll_submissions(&mut cx), Poll::Pending);
    let puts = ["a", "b"].map(|key| Waiting::on(bench.client.put(key, "value")));
    assert_eq!(count.0.load(Ordering::Relaxed), 1);
    for _again in 0..2 {
        assert_eq!(bench.driver.poll_submissions(&mut cx), Poll::Ready(true));
    }
    bench.take_in();
    assert_eq!(bench.sent().len(), 3 * puts.len());
    assert_eq!(bench.driver.poll_submissions(&mut cx), Poll::Pending);
}

#[test]
fn callers_see_a_newer_ring_after_the_pump_that_follows_it() {
    let mut bench = Bench::new();
    let _put = Waiting::on(bench.client.put("key", "value"));
    bench.take_in();
    let sent = bench.sent();
    bench.answer(&sent[0], 2, Response::Joined);
    bench.driver.pump();
    let asked = bench.sent();
    let [(_, RequestFrame { request, .. })] = &asked[..] else {
        panic!("one question for the map: {asked:?}");
    };
    assert_eq!(request, &Request::Map);
    bench.answer(
        &asked[0],
        2,
        Response::Map(encode_answer(None, &Configuration::first(map(2)).unwrap()).into()),
    );
    assert_eq!(bench.driver.topology().epoch(), Epoch(2));
    assert_eq!(bench.client.map().epoch, Epoch(1));
    bench.driver.pump();
    assert_eq!(bench.client.map().epoch, Epoch(2));
    assert_eq!(bench.log.borrow().epochs, [Epoch(1), Epoch(2)]);
}

#[test]
fn time_ends_what_nobody_answers() {
    let mut bench = Bench::new();
    let mut put = Waiting::on(bench.client.put("key", "value"));
    bench.take_in();
    while let Some(tick) = bench.driver.next_tick() {
        assert!(tick.0 <= 6_000_000, "the deadline is 5 s");
        bench.log.borrow_mut().micros = tick.0;
        bench.driver.tick();
    }
    bench.driver.pump();
    let error = put.answer().unwrap().unwrap_err();
    assert!(
        matches!(error, WriteError::Unknown { acked: 0, .. }),
        "{error}"
    );
    assert!(bench.log.borrow().micros >= 5_000_000);
}

#[test]
fn a_link_that_is_down_fails_at_once_what_needs_it() {
    let mut bench = Bench::new();
    for node in 1..=3 {
        bench.driver.link(NodeId(node), Link::Down);
    }
    let mut put = Waiting::on(bench.client.put("key", "value"));
    bench.take_in();
    assert!(bench.sent().is_empty());
    let Some(Err(WriteError::NotStored { attempts, .. })) = put.answer() else {
        panic!("nothing was sent");
    };
    let unreachable = |outcome: &Outcome| *outcome == Outcome::Unreachable;
    assert!(attempts.iter().all(|attempt| unreachable(&attempt.outcome)));
}

#[test]
fn junk_from_a_node_is_an_error_and_changes_nothing() {
    let mut bench = Bench::new();
    let mut put = Waiting::on(bench.client.put("key", "value"));
    bench.take_in();
    let sent = bench.sent();
    let junk = Bytes::from_static(b"junk");
    assert!(bench.driver.received(sent[0].0, junk).is_err());
    bench.driver.pump();
    assert!(put.answer().is_none() && bench.sent().is_empty());
}
