//! One process of a node: everything that a kill ends.
//!
//! ```text
//!   start      engine, what is known, replica, queue, committer      as `Node::start` wires them
//!   receive    frame --> Session --> Replica --> answered at once, or into the queue
//!   commit     queue --begin--> batch --end--> Committer: join, commit, answer
//! ```
//!
//! After a failed commit or idle call it serves nothing, as the real one; the world starts another.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quoit_node::StartError;
use quoit_node::commit::{Committer, MAX_BATCH, Queue, Rebuild, Shared, Sums, Taken, Write};
use quoit_node::engine::{Engine as _, EngineError, RowCache};
use quoit_node::env::{Now, Reply as _};
use quoit_node::handlers::{Replica, Session};
use quoit_node::known::{Home, Known};
use quoit_ring::Millis;
use quoit_ring::role::Role;
use quoit_ring::wire::{DecodeError, Refusal, Response, ResponseFrame};

use super::Machine;
use super::env::{Answered, Answers, NodeClock, NodeEnv, Outbox, Peer};
use crate::history::Micros;
use crate::sim::disk::DiskEngine;

/// Records that a rebuild of the sums looks at in one step.
const PIECE: usize = 32;

/// Bytes of its row cache: room for some of the keys and not for all, so that rows come and go. So small a one
/// is in one piece on every machine.
const ROWS: u64 = 4 << 10;

/// What a node's process stores its data in.
type Stored = RowCache<DiskEngine>;

/// One process of a node.
pub(super) struct Process {
    shared: Arc<Shared>,
    replica: Arc<Replica<NodeEnv, Stored>>,
    queue: Arc<Queue<Answers>>,
    committer: Committer<Stored>,
    /// The batch whose commit is under way, with the time at which it began.
    committing: Option<Now>,
    batch: Vec<Write<Answers>>,
    sessions: BTreeMap<Peer, Session<NodeEnv, Stored>>,
    /// `None` once the sums are back, or given up.
    rebuild: Option<Rebuild<Stored>>,
    clock: Arc<NodeClock>,
    out: Outbox,
    born: Micros,
    failed: bool,
}

impl Process {
    /// A process, and how long it waits before it serves.
    pub(super) fn start(machine: &Machine, now: Micros) -> Result<(Self, Duration), StartError> {
        let engine = Arc::new(RowCache::new(machine.disk.open(), ROWS, [0; 16]));
        let failed = |source| StartError::Engine {
            path: "store".into(),
            source,
        };
        engine.persist().map_err(failed)?;
        let known = load(machine, &engine, now)?;
        let wait = known.wait(&machine.settings.limits, machine.wall(now));
        let mark = known.mark;
        let settings = (machine.settings.limits, machine.settings.durability);
        let shared = Shared::new(machine.id, known.ring, known.merkle_key, mark, settings);
        let shared = Arc::new(shared);
        let queue = Arc::new(Queue::new(machine.settings.queue.clone()));
        let clock = Arc::new(NodeClock::default());
        let env = NodeEnv {
            clock: Arc::clone(&clock),
            queue: Arc::clone(&queue),
        };
        let replica = Replica::new(env, Arc::clone(&engine), Arc::clone(&shared));
        let process = Self {
            rebuild: Some(Rebuild::new(&*engine)),
            committer: Committer::new(engine, Arc::clone(&shared), mark),
            shared,
            replica: Arc::new(replica),
            queue,
            committing: None,
            batch: Vec::new(),
            sessions: BTreeMap::new(),
            clock,
            out: Outbox::default(),
            born: now,
            failed: false,
        };
        Ok((process, wait))
    }

    /// Sets its clocks; its monotonic one began when it did.
    pub(super) fn read_clocks(&self, wall: Millis, now: Micros) -> Now {
        self.clock.set(wall, now.since(self.born))
    }

    pub(super) const fn is_committing(&self) -> bool {
        self.committing.is_some()
    }

    pub(super) fn collisions(&self) -> u64 {
        self.shared.collisions()
    }

    pub(super) fn sums(&self) -> &Sums {
        &self.shared.sums
    }

    pub(super) fn gave_up_sums(&self) -> bool {
        self.rebuild.is_none() && !self.shared.sums.is_ready()
    }

    pub(super) fn connect(&mut self, peer: Peer) {
        let out = self.out.clone();
        let replica = Arc::clone(&self.replica);
        let session = Session::new(replica, Role::Client, Answers { peer, out });
        self.sessions.insert(peer, session);
    }

    pub(super) fn disconnect(&mut self, peer: Peer) {
        self.sessions.remove(&peer);
    }

    pub(super) fn receive(
        &mut self,
        peer: Peer,
        frame: Bytes,
        read: Now,
    ) -> Result<(), DecodeError> {
        let Some(session) = self.sessions.get_mut(&peer) else {
            return Ok(());
        };
        session.handle(frame, read)
    }

    pub(super) fn submit(&mut self, peer: Peer, read: Now) {
        if let Some(session) = self.sessions.get_mut(&peer) {
            session.submit(read);
        }
    }

    pub(super) fn has_answers(&self) -> bool {
        !self.out.is_empty()
    }

    pub(super) fn take_answers(&self, into: &mut Vec<Answered>) {
        self.out.take(into);
    }

    pub(super) fn begin_commit(&mut self, read: Now) -> bool {
        if self.failed || self.is_committing() || self.queue.is_empty() {
            return false;
        }
        let taken = (self.queue).take(&mut self.batch, MAX_BATCH, Duration::ZERO);
        debug_assert_eq!(taken, Taken::Some);
        self.committing = Some(read);
        true
    }

    pub(super) fn end_commit(&mut self) -> Result<(), EngineError> {
        let Some(began) = self.committing.take() else {
            return Ok(());
        };
        let done = self.committer.run(&mut self.batch, began);
        if done.is_err() {
            self.fail();
        }
        done
    }

    pub(super) fn idle(&mut self, read: Now) -> Result<(), EngineError> {
        if self.failed || self.is_committing() || !self.queue.is_empty() {
            return Ok(());
        }
        let done = self.committer.idle(read);
        if done.is_err() {
            self.fail();
        }
        done
    }

    pub(super) fn rebuild(&mut self) -> bool {
        let Some(walk) = &mut self.rebuild else {
            return false;
        };
        let step = walk.step(&self.shared.sums, &self.shared.ring, PIECE);
        let more = matches!(step, Ok(false));
        if !more {
            self.rebuild = None;
        }
        more
    }

    pub(super) fn drain(&self) {
        self.shared.drain();
        self.queue.close();
    }

    /// The clock and the data are made durable, and it ends.
    pub(super) fn finish(self, read: Now) -> Result<(), EngineError> {
        self.committer.finish(read)
    }

    /// It dies. The journal of a commit under way was `written` or not; nobody is told: the answers die with it.
    pub(super) fn die(mut self, written: bool) {
        if let Some(began) = self.committing
            && written
        {
            drop(self.committer.run(&mut self.batch, began));
        }
    }

    /// The storage has failed: what waits is refused, and so is all that comes.
    fn fail(&mut self) {
        self.failed = true;
        let now = self.clock.now();
        let (epoch, clock) = (self.shared.ring.epoch(), self.shared.told(now));
        for write in self.queue.abandon() {
            let response = Response::Refused(Refusal::Draining);
            write.reply.send(&ResponseFrame {
                id: write.id,
                epoch,
                clock,
                response,
            });
        }
    }
}

/// What a start finds and checks.
fn load(machine: &Machine, engine: &Stored, now: Micros) -> Result<Known, StartError> {
    let home = Home {
        path: "store".into(),
        disk: u128::from(machine.id.0),
        has_run: machine.has_run,
    };
    let limits = &machine.settings.limits;
    let known = Known::load(engine, Some(&machine.first), &home)?;
    known.check(machine.id, limits, machine.wall(now))
}
