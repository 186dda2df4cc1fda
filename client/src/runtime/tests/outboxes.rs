//! What waits for a node that does not read: a whole client over real outboxes, with time by hand.

use core::future::Future;
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};

use bytes::{Buf as _, BytesMut};
use quoit_ring::change::Topology;
use quoit_ring::placement::Ring;
use quoit_ring::wire::{Frames, Refusal, RequestFrame, ResponseFrame};
use quoit_ring::{Millis, Moment, Time};
use quoit_transport::outbox::{Batch, RequestOutbox, Take, clock};

use super::*;
use crate::driver::Driver;
use crate::env::{Env, Now};
use crate::error::WriteError;
use crate::runtime::bounds;

/// The owner that reads nothing.
const STALLED: NodeId = NodeId(3);
const MIB: usize = 1 << 20;
/// Most that writes without a permit, and requests that nobody waits for, may have waiting.
const BACKGROUND: usize = 24 * MIB;

/// Nodes 1 and 2 read at once; what is for the third waits in its outbox.
struct Stalled {
    micros: u64,
    random: u64,
    read: Vec<(NodeId, RequestFrame)>,
    outbox: RequestOutbox,
}

impl Env for Stalled {
    fn now(&mut self) -> Now {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        Now {
            at: Moment(self.micros),
            wall: Millis(1_700_000_000_000 + self.micros / 1_000),
            random: self.random,
        }
    }

    fn send(&mut self, to: NodeId, frame: &RequestFrame) -> bool {
        if to == STALLED {
            return self.outbox.push(frame);
        }
        self.read.push((to, frame.clone()));
        true
    }

    fn sweep(&mut self, is_awaited: &mut dyn FnMut(u64) -> bool) -> Vec<(NodeId, u64)> {
        let swept = self.outbox.sweep(is_awaited);
        swept.into_iter().map(|id| (STALLED, id)).collect()
    }

    fn members(&mut self, _topology: &Topology) {}
}

struct World {
    client: Client,
    driver: Driver<Stalled>,
}

type Writing = Pin<Box<dyn Future<Output = Result<crate::Written, WriteError>>>>;

impl World {
    fn new(builder: ClientBuilder) -> Self {
        let member = |id: u32| Member {
            id: NodeId(id.into()),
            name: format!("n{id}"),
            address: format!("10.0.0.{id}:7440"),
            zone: "z".into(),
            weight: 100,
            vnodes: vec![Leaf(id)],
        };
        let map = ClusterMap {
            cluster: ClusterId(7),
            epoch: Epoch(1),
            token_key: TokenKey([2; 16]),
            leaf_bits: LeafBits::FULL,
            replication: 3,
            members: (1..=3).map(member).collect(),
        };
        let env = Stalled {
            micros: 0,
            random: 0,
            read: Vec::new(),
            outbox: RequestOutbox::new(bounds(&builder).max_outbox, clock),
        };
        let ring = Ring::new(&map).unwrap();
        let (client, driver) = builder.drive(ring, env).unwrap();
        Self { client, driver }
    }

    fn pass(&mut self, millis: u64) {
        for _ in 0..millis.div_ceil(10) {
            self.driver.env().micros += 10_000;
            self.driver.tick();
            self.driver.pump();
        }
    }

    /// Starts a put, which two owners acknowledge at once.
    fn put(&mut self, key: usize, bytes: usize, w: u8) -> Writing {
        let value = vec![7; bytes];
        let put = self.client.put(format!("key {key}"), value).w(w);
        let mut writing: Writing = Box::pin(put.into_future());
        assert!(now(writing.as_mut()).is_none(), "it takes two answers");
        self.driver.take_in();
        self.driver.pump();
        for (node, frame) in core::mem::take(&mut self.driver.env().read) {
            self.answer(node, frame.id, Response::Joined);
        }
        writing
    }

    fn answer(&mut self, node: NodeId, id: u64, response: Response) {
        let mut bytes = BytesMut::new();
        let frame = ResponseFrame {
            id,
            epoch: Epoch(1),
            clock: Time::default(),
            response,
        };
        frame.encode(&mut bytes);
        bytes.advance(4);
        self.driver.received(node, bytes.freeze()).unwrap();
        self.driver.pump();
    }

    /// The stalled owner reads all that waits for it, and joins it.
    fn read_all(&mut self) {
        while let Some(batch) = self.next_lane() {
            let mut frames = Frames::new(usize::MAX);
            frames.push(&batch.bytes);
            while let Some(frame) = frames.next().unwrap() {
                let id = RequestFrame::decode(frame).unwrap().id;
                self.answer(STALLED, id, Response::Joined);
            }
            for id in batch.expired {
                self.answer(STALLED, id, Response::Refused(Refusal::Expired));
            }
        }
        while let Some(id) = self.next_large() {
            self.answer(STALLED, id, Response::Joined);
        }
    }

    fn next_lane(&mut self) -> Option<Batch> {
        match now(pin!(self.driver.env().outbox.take_lane()))? {
            Take::Some(batch) => Some(batch),
            end => panic!("the outbox has ended: {end:?}"),
        }
    }

    fn next_large(&mut self) -> Option<u64> {
        match now(pin!(self.driver.env().outbox.take_large()))? {
            Take::Some(frame) => Some(frame.id()),
            end => panic!("the outbox has ended: {end:?}"),
        }
    }

    fn has_overflowed(&mut self) -> bool {
        now(pin!(self.driver.env().outbox.overflowed())).is_some()
    }

    fn waiting(&mut self) -> usize {
        self.driver.env().outbox.waiting()
    }
}

fn now<F: Future + ?Sized>(future: Pin<&mut F>) -> Option<F::Output> {
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

#[test]
fn writes_that_have_returned_never_overflow_the_outbox_of_an_owner_that_does_not_read() {
    let mut world = World::new(Client::builder().max_in_flight(1));
    for key in 0..200 {
        let mut writing = world.put(key, MIB - 100, 2);
        now(writing.as_mut())
            .expect("two owners are enough")
            .unwrap();
        assert!(!world.has_overflowed(), "by put {key}, one in flight");
        assert!(world.waiting() <= BACKGROUND + MIB, "put {key}");
        world.pass(20);
    }
    // It is still there for a write that needs it.
    let mut writing = world.put(200, MIB - 100, 3);
    assert!(now(writing.as_mut()).is_none());
    world.read_all();
    now(writing.as_mut()).expect("all three have it").unwrap();
}

#[test]
fn small_writes_that_have_returned_are_bounded_by_their_bytes_too() {
    let mut world = World::new(Client::builder().max_in_flight(1));
    for key in 0..100_000 {
        let mut writing = world.put(key, 100, 2);
        now(writing.as_mut()).unwrap().unwrap();
        assert!(!world.has_overflowed(), "by put {key}, one in flight");
    }
    assert!(world.waiting() <= BACKGROUND);
}

#[test]
fn writes_that_fail_leave_nothing_that_crowds_later_ones_out() {
    let mut world = World::new(Client::builder().max_in_flight(1));
    for key in 0..60 {
        let mut writing = world.put(key, MIB - 100, 3);
        world.pass(5_100);
        let error = now(writing.as_mut()).expect("its deadline has passed");
        assert_eq!(error.unwrap_err().stored(), Stored::Maybe);
        assert!(!world.has_overflowed(), "by put {key}, one in flight");
    }
    assert!(world.waiting() <= BACKGROUND);
}

#[test]
fn requests_taken_back_are_counted_and_no_longer_owed_by_their_node() {
    let mut world = World::new(Client::builder().max_in_flight(1));
    for key in 0..100 {
        let mut writing = world.put(key, MIB - 100, 2);
        now(writing.as_mut()).unwrap().unwrap();
    }
    let asked = world.client.clone();
    let mut health = pin!(asked.health());
    assert!(now(health.as_mut()).is_none());
    world.driver.take_in();
    world.driver.pump();
    let report = now(health.as_mut()).unwrap().unwrap();
    let late = report
        .nodes
        .iter()
        .find(|node| node.node == STALLED)
        .unwrap();
    assert!(report.taken_back >= 70, "{report:?}");
    assert_eq!(u64::from(late.in_flight), 100 - report.taken_back);
    assert!(report.hints_forgone > 0);
}
