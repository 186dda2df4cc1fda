//! A node without sockets and disk: the bytes read from a connection go in, the bytes to write to it come out.
//!
//! ```text
//!   bytes --> Frames --> Session --get--> engine in memory
//!                           |
//!                           '--put--> Queue --> Committer     one batch, as the committing thread takes it
//!                                                  |
//!   bytes <-- lane <----------- answers -----------'
//! ```
//!
//! All of it is the code that ships, but the engine and the lane's buffer, which is large and emptied between runs.

#![expect(clippy::unwrap_used, reason = "all that is sent here is well-formed")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use quoit_node::admission::{MAX_BATCH, Queue, Taken};
use quoit_node::commit::{Committer, Order};
use quoit_node::config::{Limits, WriteQueue};
use quoit_node::engine::MemoryEngine;
use quoit_node::env::{Env, Now, Rejected, Reply};
use quoit_node::handlers::{Replica, Session};
use quoit_node::state::NodeState;
use quoit_node::walks::{NextStep, Walks};
use quoit_node::write::Write;
use quoit_ring::change::Known;
use quoit_ring::placement::Ring;
use quoit_ring::role::Role;
use quoit_ring::wire::{Durability, Frames, LANE_FRAME, Request, RequestFrame, ResponseFrame};
use quoit_ring::{
    ClusterId, ClusterMap, Epoch, Leaf, LeafBits, Member, MerkleKey, Millis, Moment, NodeId, Time,
    TokenKey,
};

use crate::meter::Meter;

/// The wall clock at the start, in milliseconds.
pub(crate) const WALL: u64 = 1_700_000_000_000;
const EPOCH: Epoch = Epoch(1);

const LIMITS: Limits = Limits {
    max_value_bytes: 1 << 20,
    max_siblings: 64,
    max_intervals: 1 << 16,
    max_record_bytes: 4 << 20,
    max_write_age_ms: 60_000,
    max_clock_drift_ms: 500,
    max_hint_bytes: 1 << 30,
    max_hint_bytes_per_node: 1 << 28,
    disk_reserve: 64 << 20,
};

/// A connection's buffer of answers.
#[derive(Debug, Clone)]
struct Lane(Arc<Mutex<BytesMut>>);

impl Reply for Lane {
    fn send(&self, answer: &ResponseFrame) {
        answer.encode(&mut self.0.lock().unwrap());
    }

    fn flush(&self) {}
}

/// The real queue, under a clock that the test advances.
#[derive(Debug)]
struct QueueEnv(Arc<Queue<Lane>>);

impl Env for QueueEnv {
    type Reply = Lane;

    fn now(&self) -> Now {
        at(0)
    }

    fn submit(&self, writes: &mut Vec<Write<Lane>>) -> Result<(), Rejected> {
        self.0.push(writes, Moment::default)
    }

    fn order(&self, order: Order<Lane>) -> Result<(), Order<Lane>> {
        self.0.order(order)
    }

    fn queued_writes(&self) -> u32 {
        0
    }
}

/// One node of three, and one connection to it.
pub(crate) struct World {
    frames: Frames,
    session: Session<QueueEnv, MemoryEngine>,
    queue: Arc<Queue<Lane>>,
    committer: Committer<MemoryEngine>,
    writes: Vec<Write<Lane>>,
    lane: Lane,
    incoming: BytesMut,
    /// Milliseconds since the start.
    pub(crate) ms: u64,
}

fn at(ms: u64) -> Now {
    Now {
        wall: Millis(WALL + ms),
        mono: Moment((10_000 + ms) * 1_000),
    }
}

fn ring() -> Ring {
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
        epoch: EPOCH,
        token_key: TokenKey([2; 16]),
        leaf_bits: LeafBits::new(12).unwrap(),
        replication: 3,
        members: (1..=3).map(member).collect(),
    };
    Ring::new(&map).unwrap()
}

impl World {
    pub(crate) fn new() -> Self {
        let engine = Arc::new(MemoryEngine::new());
        let settings = (LIMITS, Durability::Buffered);
        let state = NodeState::new(
            NodeId(1),
            Known::of(ring()),
            MerkleKey([5; 16]),
            Time::ZERO,
            settings,
        );
        // As on a node that has been up for a while: the walk over what is stored has ended.
        let mut walks = Walks::begin(&*engine, &state, 1);
        while walks.step(&*engine, Moment(0)) != NextStep::Never {}
        let queue = Arc::new(Queue::new(WriteQueue::default(), MerkleKey([7; 16])));
        let env = QueueEnv(Arc::clone(&queue));
        let replica = Replica::new(env, Arc::clone(&engine), &state);
        let lane = Lane(Arc::new(Mutex::new(BytesMut::with_capacity(1 << 20))));
        Self {
            frames: Frames::new(LANE_FRAME),
            session: Session::new(Arc::new(replica), Role::Client, lane.clone()),
            queue,
            committer: Committer::new(engine, &state, at(0)),
            writes: Vec::with_capacity(MAX_BATCH),
            lane,
            incoming: BytesMut::with_capacity(1 << 20),
            ms: 0,
        }
    }

    /// A client sends this; nothing happens yet.
    pub(crate) fn send(&mut self, request: Request) {
        let frame = RequestFrame {
            id: 1 << 40,
            epoch: EPOCH,
            budget_ms: 5_000,
            request,
        };
        frame.encode(&mut self.incoming);
    }

    /// Takes in all that was sent, commits the writes among it as one batch, and gives back the answers.
    pub(crate) fn serve(&mut self, meter: &mut Meter<'_>) -> Vec<ResponseFrame> {
        let incoming = Bytes::copy_from_slice(&self.incoming);
        self.incoming.clear();
        let now = at(self.ms);
        meter.count(|| {
            self.frames.push(&incoming);
            while let Some(frame) = self.frames.next().unwrap() {
                self.session.handle(frame, now).unwrap();
            }
            self.session.submit(now);
            if !self.queue.is_empty() {
                let taken = self
                    .queue
                    .take(&mut self.writes, MAX_BATCH, Duration::ZERO, || now.mono);
                assert!(matches!(taken, Taken::Some));
                self.committer.run(&mut self.writes, now).unwrap();
            }
        });
        self.answers()
    }

    fn answers(&self) -> Vec<ResponseFrame> {
        let (mut frames, mut answers) = (Frames::new(LANE_FRAME), Vec::new());
        let mut lane = self.lane.0.lock().unwrap();
        frames.push(&lane);
        lane.clear();
        while let Some(frame) = frames.next().unwrap() {
            answers.push(ResponseFrame::decode(frame).unwrap());
        }
        answers
    }
}
