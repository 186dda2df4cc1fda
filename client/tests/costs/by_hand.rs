//! An environment for a driven client: every node answers at once, and only the client's own work is counted.
//!
//! ```text
//!   counted:   submit --> take_in, pump --> bytes for each node
//!   not:                                       replies made of them, in batches as nodes send them
//!   counted:   received, pump <-- frames cut off <--'
//! ```
//!
//! Like the real one, it encodes a frame into the buffer of its node's lane, which is empty and large enough when the
//! next batch begins.

#![expect(clippy::unwrap_used, reason = "all that is sent here is well-formed")]

use core::cell::RefCell;
use core::future::{Future, IntoFuture};
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::rc::Rc;

use bytes::BytesMut;
use quoit_client::env::{Env, Now};
use quoit_client::{Client, Driver};
use quoit_ring::change::Topology;
use quoit_ring::placement::Ring;
use quoit_ring::wire::{Frames, LANE_FRAME, Request, RequestFrame, Response, ResponseFrame};
use quoit_ring::{
    ClusterId, ClusterMap, Epoch, Leaf, LeafBits, Member, Millis, Moment, NodeId, Time, TokenKey,
};

use crate::meter::Meter;

/// The wall clock at the start, in milliseconds.
const WALL: u64 = 1_700_000_000_000;
/// The ring's epoch, and the nodes'.
const EPOCH: Epoch = Epoch(1);
/// Most bytes of a packet on loopback: what a node sends comes in pieces of at most that.
const PACKET: usize = 6_400;

/// State shared by the environment and the test.
#[derive(Debug)]
struct Shared {
    micros: u64,
    random: u64,
    /// Frames for each node, and where they were put.
    lanes: Vec<(NodeId, BytesMut)>,
}

/// The environment: clocks that the test advances, and one buffer for each node.
#[derive(Debug)]
pub(crate) struct ByHand(Rc<RefCell<Shared>>);

impl Env for ByHand {
    fn now(&mut self) -> Now {
        let mut shared = self.0.borrow_mut();
        shared.random = shared.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        Now {
            at: Moment(shared.micros),
            wall: Millis(WALL + shared.micros / 1_000),
            random: shared.random,
        }
    }

    fn send(&mut self, to: NodeId, frame: &RequestFrame) -> bool {
        let mut shared = self.0.borrow_mut();
        for (node, lane) in &mut shared.lanes {
            if *node == to {
                frame.encode(lane);
            }
        }
        true
    }

    fn members(&mut self, _topology: &Topology) {}
}

/// A client whose nodes are played by hand.
pub(crate) struct World {
    pub(crate) client: Client,
    driver: Driver<ByHand>,
    shared: Rc<RefCell<Shared>>,
    /// What has come from each node and is not yet cut off.
    incoming: Vec<(NodeId, Frames)>,
}

fn map() -> ClusterMap {
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
        epoch: EPOCH,
        token_key: TokenKey([2; 16]),
        leaf_bits: LeafBits::FULL,
        replication: 3,
        members: (1..=3).map(member).collect(),
    }
}

impl World {
    pub(crate) fn new() -> Self {
        let nodes = || (1..=3).map(NodeId);
        let buffer = || BytesMut::with_capacity(1 << 20);
        let shared = Rc::new(RefCell::new(Shared {
            micros: 0,
            random: 0,
            lanes: nodes().map(|node| (node, buffer())).collect(),
        }));
        let ring = Ring::new(&map()).unwrap();
        let env = ByHand(Rc::clone(&shared));
        let (client, driver) = Client::builder().drive(ring, env).unwrap();
        Self {
            client,
            driver,
            shared,
            incoming: nodes()
                .map(|node| (node, Frames::new(LANE_FRAME)))
                .collect(),
        }
    }

    /// Does operations together, from the callers' submissions to their answers: makes each of `count` with
    /// `start`, and has every node `answer` every request.
    pub(crate) fn run<O>(
        &mut self,
        meter: &mut Meter<'_>,
        count: usize,
        start: impl Fn(&Client, usize) -> O,
        answer: impl Fn(NodeId, &Request) -> Response,
    ) -> Vec<O::Output>
    where
        O: IntoFuture<IntoFuture: Unpin>,
    {
        self.shared.borrow_mut().micros += 1_000;
        let mut waiting = Vec::with_capacity(count);
        let mut answers = Vec::with_capacity(count);
        let mut cx = Context::from_waker(Waker::noop());
        meter.count(|| {
            for index in 0..count {
                let mut operation = start(&self.client, index).into_future();
                assert!(Pin::new(&mut operation).poll(&mut cx).is_pending());
                waiting.push(operation);
            }
            self.driver.take_in();
            self.driver.pump();
        });
        while self.reply(meter, &answer) {}
        meter.count(|| {
            for mut operation in waiting.drain(..) {
                if let Poll::Ready(answer) = Pin::new(&mut operation).poll(&mut cx) {
                    answers.push(answer);
                }
            }
        });
        assert!(
            answers.len() == count && self.driver.is_idle(),
            "all answered"
        );
        answers
    }

    /// Has every node answer what was sent to it since the last time; false if that is nothing.
    fn reply(
        &mut self,
        meter: &mut Meter<'_>,
        answer: &impl Fn(NodeId, &Request) -> Response,
    ) -> bool {
        let mut any = false;
        for index in 0..self.incoming.len() {
            let replies = self.replies_of(index, answer);
            let (node, frames) = &mut self.incoming[index];
            any |= !replies.is_empty();
            meter.count(|| {
                for piece in replies.chunks(PACKET) {
                    frames.push(piece);
                    while let Some(frame) = frames.next().unwrap() {
                        self.driver.received(*node, frame).unwrap();
                    }
                    self.driver.pump();
                }
            });
        }
        any
    }

    /// What a node sends in answer to all that lies in its lane.
    fn replies_of(&self, index: usize, answer: &impl Fn(NodeId, &Request) -> Response) -> BytesMut {
        let (mut requests, mut replies) = (Frames::new(LANE_FRAME), BytesMut::new());
        let mut shared = self.shared.borrow_mut();
        let clock = Time::at(Millis(WALL + shared.micros / 1_000));
        let (node, lane) = &mut shared.lanes[index];
        requests.push(lane);
        lane.clear();
        while let Some(frame) = requests.next().unwrap() {
            let request = RequestFrame::decode(frame).unwrap();
            let reply = ResponseFrame {
                id: request.id,
                epoch: EPOCH,
                clock,
                response: answer(*node, &request.request),
            };
            reply.encode(&mut replies);
        }
        replies
    }
}
