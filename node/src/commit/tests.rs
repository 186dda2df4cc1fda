//! What a batch does, seen from outside the committer.
//!
//! `votes`, `epochs`, `pages` and `leftovers` are about a change of the ring. `rules` holds the verdicts, `bounds` how large a record may become, `registers` the steps of conditional writes, `stored` what is in the engine after them and what a failing one does, `hints` what is
//! kept for other nodes, `sweep` what becomes of the expired, `random` the properties: whatever is written, the sums and the entries are those of the records.

use std::sync::Arc;

use bytes::Bytes;
use quoit_ring::change::{Arcs, Known};
use quoit_ring::wire::configuration::decode_configuration;
use quoit_ring::wire::{Response, decode_record};
use quoit_ring::{Delta, Dot, Millis, NodeId, Record, Seen, Time};

use super::*;
use crate::clock::Now;
use crate::engine::layout::{META_BARRED, META_CLOCK, META_CONFIGURATION, NAMESPACE, record_key};
use crate::engine::{Engine, Keyspace, MemoryEngine, Snapshot as _};
use crate::state::NodeState;
use crate::testing::{LIMITS, SELF, Sink, WALL, at, ring, state, write};
use crate::write::{Change, Write};

mod bounds;
mod epochs;
mod hints;
mod incomplete;
mod leftovers;
mod pages;
mod random;
mod registers;
mod rules;
mod stored;
mod sweep;
mod votes;
mod watches;

/// A committer over an engine in memory, and what it is asked and answers.
struct World<G> {
    engine: Arc<G>,
    state: NodeState,
    committer: Committer<G>,
    sink: Sink,
    waiting: Vec<Write<Sink>>,
}

impl<G: Engine> World<G> {
    fn over(engine: G) -> Self {
        Self::with_state(engine, state(1))
    }

    fn with_state(engine: G, state: NodeState) -> Self {
        let engine = Arc::new(engine);
        let committer = Committer::new(Arc::clone(&engine), &state, at(WALL));
        Self {
            engine,
            state,
            committer,
            sink: Sink::default(),
            waiting: Vec::new(),
        }
    }

    fn add(&mut self, key: &str, change: Change) {
        let id = u64::try_from(self.waiting.len()).unwrap();
        self.waiting
            .push(write(id, &self.sink, key, change, at(WALL)));
    }

    fn put(&mut self, key: &str, delta: Delta) {
        self.add(key, Change::Put(delta));
    }

    fn repair(&mut self, key: &str, record: Record) {
        self.add(key, Change::Repair(record));
    }

    /// Commits what was added as one batch; the answers in order.
    fn commit_at(&mut self, now: Now) -> Vec<Response> {
        let done = self.committer.run(&mut self.waiting, now);
        assert!(self.waiting.is_empty());
        let answers = self.sink.answers();
        assert!(done.is_ok(), "{done:?}");
        answers.into_iter().map(|(_id, answer)| answer).collect()
    }

    fn commit(&mut self) -> Vec<Response> {
        self.commit_at(at(WALL))
    }

    fn only(&mut self, key: &str, delta: Delta) -> Response {
        self.put(key, delta);
        self.commit().pop().unwrap()
    }

    /// Has an order carried out; its answer.
    fn order(&mut self, task: Task) -> Response {
        let (id, reply) = (7, self.sink.clone());
        let from = Asker::Caller { id, reply };
        let done = self.committer.carry_out(Order { from, task }, at(WALL));
        assert!(done.is_ok(), "{done:?}");
        let (id, answer) = self.sink.answers().pop().unwrap();
        assert_eq!(id, 7);
        answer
    }

    /// The same node after a restart, which finds what is on the disk.
    fn restarted(self) -> Self {
        let rows = ChangeRows::load(&*self.engine).unwrap().unwrap();
        let known = match self.engine.get(Keyspace::Meta, META_CONFIGURATION) {
            Ok(Some(stored)) => Known::new(decode_configuration(&stored).unwrap()).unwrap(),
            _ => self.state.cluster.newest(),
        };
        let settings = (LIMITS, self.state.durability);
        let key = self.state.sums.key();
        let mark = match self.engine.get(Keyspace::Meta, META_CLOCK) {
            Ok(Some(mark)) => Time(u64::from_be_bytes(mark[..].try_into().unwrap())),
            _ => Time::ZERO,
        };
        let state = NodeState::new(SELF, known, key, mark, settings);
        if let Ok(Some(barred)) = self.engine.get(Keyspace::Meta, META_BARRED) {
            let barred = Time(u64::from_be_bytes(barred[..].try_into().unwrap()));
            state.registers.start_at(barred);
        }
        state.registers.load(&*self.engine);
        Self {
            committer: Committer::new(Arc::clone(&self.engine), &state, at(WALL)).restored(rows),
            state,
            ..self
        }
    }

    fn stored(&self, key: &str) -> Option<Record> {
        let bytes = self
            .engine
            .get(Keyspace::Records, &record_key(NAMESPACE, key.as_bytes()));
        bytes.unwrap().map(|bytes| decode_record(&bytes).unwrap())
    }

    fn keys(&self, keyspace: Keyspace) -> Vec<Bytes> {
        self.engine
            .snapshot()
            .range(keyspace, ..)
            .map(|entry| entry.unwrap().0)
            .collect()
    }

    fn mark(&self) -> Option<u64> {
        let mark = self.engine.get(Keyspace::Meta, META_CLOCK).unwrap()?;
        Some(
            Time(u64::from_be_bytes(mark[..].try_into().unwrap()))
                .millis()
                .0,
        )
    }
}

/// The member that leaves: what it had moves to this node.
const LEAVING: NodeId = NodeId(2);

/// An epoch, after that of the tests, in which the second of two members leaves; all moves at once.
fn leaving() -> Known {
    let first = Known::of(ring(2));
    let target = ring(1).map().clone();
    let next = first.configuration().begin(target, Arcs::new(1).unwrap());
    first.later(next.unwrap()).unwrap()
}

/// Keys that this node is to own in that epoch, or keys that it owns all along.
fn keys(is_moving: bool) -> impl Iterator<Item = String> {
    let known = leaving();
    let is_newcomer = move |key: &String| {
        let token = known.topology().token_of(key.as_bytes());
        known.topology().lists(token).is_newcomer(SELF)
    };
    let all = (0..).map(|number: u64| format!("k{number}"));
    all.filter(move |key| is_newcomer(key) == is_moving)
}

fn world() -> World<MemoryEngine> {
    World::over(MemoryEngine::new())
}

fn values(record: &Record) -> Vec<&[u8]> {
    record
        .live()
        .iter()
        .filter_map(|sibling| sibling.value.as_deref())
        .collect()
}

fn delete(dot: Dot) -> Delta {
    Delta::blind(dot, None)
}

fn expiring(dot: Dot, value: &str, due: u64) -> Delta {
    let value = Bytes::copy_from_slice(value.as_bytes());
    Delta::causal(
        dot,
        Time::ZERO,
        &Seen::default(),
        Some((value, Some(Millis(due)))),
    )
}
