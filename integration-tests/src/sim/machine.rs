//! A simulated machine with the shipped node on it: disk and clock outlive the process.
//!
//! ```text
//!   Machine   disk, wall clock          survives kill and power loss, as far as synced
//!     '- Process   replica, queue, committer, sessions      as `Node::start` wires them, without threads
//!
//!   frame --> Session --> queue --(the world waits for the disk)--> Committer --> answers out
//! ```
//!
//! What the real node does on threads is done here when the world says so: a commit takes as long as its disk,
//! and meanwhile the next batch gathers. A batch whose commit is under way when the process dies may be on
//! the disk or not. Everything that decides is the node's own code above its `Env` and `Engine` seams.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use quoit_node::StartError;
use quoit_node::commit::{
    Committer, Limits, MAX_BATCH, Queue, Rebuild, Shared, Sums, Taken, Write,
};
use quoit_node::config::WriteQueue;
use quoit_node::engine::{Engine as _, EngineError};
use quoit_node::env::{Env, Now, Rejected, Reply};
use quoit_node::handlers::{Replica, Session};
use quoit_node::known::{Home, Known};
use quoit_ring::role::Role;
use quoit_ring::wire::{DecodeError, Durability, FirstMap, Refusal, Response, ResponseFrame};
use quoit_ring::{Millis, NodeId};
use rand::rngs::SmallRng;

use super::chance::happens;
use super::disk::{Disk, DiskEngine};
use super::sights::Sight;
use crate::history::Micros;

/// Records that a rebuild of the sums looks at in one step.
const PIECE: usize = 32;

/// One connection, as a node sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Peer {
    /// Which client.
    pub slot: u16,
    /// Which life of it.
    pub life: u16,
    /// Which of its connections to this node.
    pub connection: u32,
}

/// An answer on its way out.
#[derive(Debug)]
pub struct Answered {
    /// To whom.
    pub peer: Peer,
    /// The frame, without its length field.
    pub frame: Bytes,
    /// What is remarkable about it.
    pub sight: Option<Sight>,
}

/// Answers that have not left yet.
type Outbox = Arc<Mutex<Vec<Answered>>>;

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The simulated side of the node's answers.
#[derive(Debug, Clone)]
pub struct Answers {
    peer: Peer,
    out: Outbox,
}

impl Reply for Answers {
    fn send(&self, answer: &ResponseFrame) {
        let mut frame = BytesMut::new();
        answer.encode(&mut frame);
        locked(&self.out).push(Answered {
            peer: self.peer,
            frame: frame.split_off(4).freeze(),
            sight: sight_of(&answer.response),
        });
    }

    fn flush(&self) {}
}

/// What an answer shows.
const fn sight_of(response: &Response) -> Option<Sight> {
    match response {
        Response::Covered { named: true, .. } => Some(Sight::CoveredNamed),
        Response::Covered { named: false, .. } => Some(Sight::Covered),
        Response::Refused(refusal) => match refusal {
            Refusal::ClockAhead { .. } => Some(Sight::ClockAhead),
            Refusal::TooOld { .. } => Some(Sight::TooOld),
            Refusal::Expired => Some(Sight::Expired),
            Refusal::Overloaded { .. } => Some(Sight::Overloaded),
            Refusal::Draining => Some(Sight::Draining),
            Refusal::TooManySiblings { .. } => Some(Sight::TooManySiblings),
            Refusal::Storage(_) => Some(Sight::StorageFault),
            _ => None,
        },
        _ => None,
    }
}

/// The simulated side of the node's seam.
#[derive(Debug)]
pub struct NodeEnv {
    clock: Arc<NodeClock>,
    queue: Arc<Queue<Answers>>,
}

/// What a process reads as its clocks.
#[derive(Debug, Default)]
struct NodeClock {
    wall_ms: AtomicU64,
    mono_us: AtomicU64,
}

impl NodeClock {
    fn now(&self) -> Now {
        Now {
            wall: Millis(self.wall_ms.load(Ordering::Relaxed)),
            mono: Duration::from_micros(self.mono_us.load(Ordering::Relaxed)),
        }
    }
}

impl Env for NodeEnv {
    type Reply = Answers;

    fn now(&self) -> Now {
        self.clock.now()
    }

    fn submit(&self, writes: &mut Vec<Write<Answers>>) -> Result<(), Rejected> {
        self.queue.push(writes, || self.clock.now().mono)
    }

    fn queued_writes(&self) -> u32 {
        u32::try_from(self.queue.len()).unwrap_or(u32::MAX)
    }
}

/// One process of a node.
struct Process {
    engine: Arc<DiskEngine>,
    shared: Arc<Shared>,
    replica: Arc<Replica<NodeEnv, DiskEngine>>,
    queue: Arc<Queue<Answers>>,
    committer: Committer<DiskEngine>,
    /// The batch whose commit is under way, with the time at which it began.
    committing: Option<Now>,
    batch: Vec<Write<Answers>>,
    sessions: BTreeMap<Peer, Session<NodeEnv, DiskEngine>>,
    rebuild: Option<Rebuild<DiskEngine>>,
    clock: Arc<NodeClock>,
    out: Outbox,
    born: Micros,
    failed: bool,
}

/// What does not differ from life to life.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What the node lets in.
    pub limits: Limits,
    /// What its acknowledgements mean.
    pub durability: Durability,
    /// How much may wait for its commit.
    pub queue: WriteQueue,
    /// Wall time when the run begins.
    pub base: Millis,
}

/// A machine: what survives the process, and the process while there is one.
pub struct Machine {
    id: NodeId,
    disk: Disk,
    /// The node's own disk while another is in its place.
    unmounted: Option<Disk>,
    first: Arc<FirstMap>,
    settings: Settings,
    has_run: bool,
    /// How far the wall clock is off, in milliseconds.
    offset_ms: i64,
    /// Counts processes, so that what was meant for one does not reach the next.
    life: u32,
    process: Option<Process>,
    collisions: u64,
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine")
            .field("id", &self.id)
            .field("life", &self.life)
            .field("up", &self.process.is_some())
            .finish_non_exhaustive()
    }
}

impl Machine {
    /// A machine on which no node has run.
    #[must_use]
    pub fn new(id: NodeId, first: Arc<FirstMap>, settings: Settings) -> Self {
        Self {
            id,
            disk: Disk::new(),
            unmounted: None,
            first,
            settings,
            has_run: false,
            offset_ms: 0,
            life: 0,
            process: None,
            collisions: 0,
        }
    }

    /// The node that lives here.
    #[must_use]
    pub const fn id(&self) -> NodeId {
        self.id
    }

    /// Which process is or was the last here.
    #[must_use]
    pub const fn life(&self) -> u32 {
        self.life
    }

    /// Whether a process runs.
    #[must_use]
    pub const fn is_up(&self) -> bool {
        self.process.is_some()
    }

    /// Whether a commit is under way.
    #[must_use]
    pub fn is_committing(&self) -> bool {
        self.process
            .as_ref()
            .is_some_and(|process| process.committing.is_some())
    }

    /// The disk, to break it or to look at it.
    #[must_use]
    pub const fn disk(&self) -> &Disk {
        &self.disk
    }

    /// The node's own disk, wherever it is.
    #[must_use]
    pub fn own_disk(&self) -> &Disk {
        self.unmounted.as_ref().unwrap_or(&self.disk)
    }

    /// Sets the wall clock this far off.
    pub const fn set_clock(&mut self, offset_ms: i64) {
        self.offset_ms = offset_ms;
    }

    /// Dots found with two contents, over all lives.
    #[must_use]
    pub fn collisions(&self) -> u64 {
        self.collisions + self.process.as_ref().map_or(0, |p| p.shared.collisions())
    }

    /// The sums of the running node.
    #[must_use]
    pub fn sums(&self) -> Option<&Sums> {
        self.process.as_ref().map(|process| &process.shared.sums)
    }

    fn wall(&self, now: Micros) -> Millis {
        let right = self.settings.base.0 + now.0 / 1_000;
        Millis(right.saturating_add_signed(self.offset_ms))
    }

    /// Starts a process, as `Node::start` does.
    ///
    /// # Errors
    /// The node's own: it does not start with what it finds. The machine stays down.
    pub fn start(&mut self, now: Micros) -> Result<(), StartError> {
        self.life += 1;
        let engine = Arc::new(self.disk.open());
        let failed = |source| StartError::Engine {
            path: "store".into(),
            source,
        };
        engine.persist().map_err(failed)?;
        let home = Home {
            path: "store".into(),
            disk: u128::from(self.id.0),
            has_run: self.has_run,
        };
        let limits = self.settings.limits;
        let wall = self.wall(now);
        let known =
            Known::load(&*engine, Some(&self.first), &home)?.check(self.id, &limits, wall)?;
        let settings = (limits, self.settings.durability);
        let mark = known.mark;
        let shared = Shared::new(self.id, known.ring, known.merkle_key, mark, settings);
        let shared = Arc::new(shared);
        let rebuild = Some(Rebuild::new(&*engine));
        self.has_run = true;
        let queue = Arc::new(Queue::new(self.settings.queue.clone()));
        let committer = Committer::new(Arc::clone(&engine), Arc::clone(&shared), mark);
        let clock = Arc::new(NodeClock::default());
        let env = NodeEnv {
            clock: Arc::clone(&clock),
            queue: Arc::clone(&queue),
        };
        let replica = Arc::new(Replica::new(env, Arc::clone(&engine), Arc::clone(&shared)));
        self.process = Some(Process {
            engine,
            shared,
            replica,
            queue,
            committer,
            committing: None,
            batch: Vec::new(),
            sessions: BTreeMap::new(),
            rebuild,
            clock,
            out: Outbox::default(),
            born: now,
            failed: false,
        });
        Ok(())
    }

    /// Takes a connection in.
    pub fn connect(&mut self, peer: Peer) {
        if let Some(process) = &mut self.process {
            let out = Arc::clone(&process.out);
            let replica = Arc::clone(&process.replica);
            let session = Session::new(replica, Role::Client, Answers { peer, out });
            process.sessions.insert(peer, session);
        }
    }

    /// Ends a connection.
    pub fn disconnect(&mut self, peer: Peer) {
        if let Some(process) = &mut self.process {
            process.sessions.remove(&peer);
        }
    }

    /// Takes a frame off a connection; one of a connection that is not there is lost.
    ///
    /// # Errors
    /// It is not a request.
    pub fn receive(&mut self, peer: Peer, frame: Bytes, now: Micros) -> Result<(), DecodeError> {
        let read = self.read_clocks(now);
        let Some(process) = &mut self.process else {
            return Ok(());
        };
        let Some(session) = process.sessions.get_mut(&peer) else {
            return Ok(());
        };
        session.handle(frame, read)?;
        session.submit(read);
        Ok(())
    }

    /// Moves what waits into the batch to be committed, if none is; whether it did.
    pub fn begin_commit(&mut self, now: Micros) -> bool {
        let read = self.read_clocks(now);
        let Some(process) = &mut self.process else {
            return false;
        };
        if process.failed || process.committing.is_some() || process.queue.is_empty() {
            return false;
        }
        let taken = (process.queue).take(&mut process.batch, MAX_BATCH, Duration::ZERO);
        debug_assert_eq!(taken, Taken::Some);
        process.committing = Some(read);
        true
    }

    /// The disk has the batch: joins, commits and answers it.
    ///
    /// # Errors
    /// The engine's: the node serves nothing from now on, as the real one.
    pub fn end_commit(&mut self) -> Result<(), EngineError> {
        let Some(process) = &mut self.process else {
            return Ok(());
        };
        let Some(began) = process.committing.take() else {
            return Ok(());
        };
        let done = process.committer.run(&mut process.batch, began);
        if done.is_err() {
            process.fail();
        }
        done
    }

    /// What an idle committer does once a second.
    ///
    /// # Errors
    /// As [`Machine::end_commit`].
    pub fn idle(&mut self, now: Micros) -> Result<(), EngineError> {
        let read = self.read_clocks(now);
        let Some(process) = &mut self.process else {
            return Ok(());
        };
        if process.failed || process.committing.is_some() || !process.queue.is_empty() {
            return Ok(());
        }
        let done = process.committer.idle(read);
        if done.is_err() {
            process.fail();
        }
        done
    }

    /// Brings the Merkle sums a step further; whether there are more to come.
    pub fn rebuild(&mut self) -> bool {
        let Some(process) = &mut self.process else {
            return false;
        };
        let Some(walk) = &mut process.rebuild else {
            return false;
        };
        let shared = &process.shared;
        let more = matches!(walk.step(&shared.sums, &shared.ring, PIECE), Ok(false));
        if !more {
            process.rebuild = None;
        }
        more
    }

    /// Whether the running node found something unreadable while it brought its sums back: it has none until
    /// it is started again.
    #[must_use]
    pub fn gave_up_sums(&self) -> bool {
        let gave_up = |p: &Process| p.rebuild.is_none() && !p.shared.sums.is_ready();
        self.process.as_ref().is_some_and(gave_up)
    }

    /// Takes the answers that are to leave.
    pub fn take_answers(&mut self, into: &mut Vec<Answered>) {
        if let Some(process) = &self.process {
            into.append(&mut locked(&process.out));
        }
    }

    /// The process dies at once; what it had committed stays, and the running commit may or may not.
    pub fn kill(&mut self, rng: &mut SmallRng) {
        self.die(rng);
        self.disk.kill();
    }

    /// The machine loses power: unsynced batches may be lost. Returns how many were.
    pub fn lose_power(&mut self, rng: &mut SmallRng) -> usize {
        self.die(rng);
        self.disk.power_loss(rng)
    }

    /// Sets the queue to its default length from the next start on; whether it was shorter.
    pub fn lengthen_queue(&mut self) -> bool {
        let before = std::mem::take(&mut self.settings.queue);
        before.requests < self.settings.queue.requests
    }

    /// The process dies, and an empty disk is in place of the node's own.
    pub fn unmount(&mut self, rng: &mut SmallRng) {
        self.kill(rng);
        if self.unmounted.is_none() {
            self.unmounted = Some(std::mem::take(&mut self.disk));
        }
    }

    /// The node's own disk is back; a process that ran on the other one dies.
    pub fn remount(&mut self, rng: &mut SmallRng) {
        if let Some(own) = self.unmounted.take() {
            self.kill(rng);
            self.disk = own;
        }
    }

    /// Refuses requests for keys from now on: the first part of a stop in order.
    pub fn drain(&mut self) {
        if let Some(process) = &mut self.process {
            process.shared.drain();
            process.queue.close();
        }
    }

    /// The end of a stop in order: all that waits is committed, the clock and the data made durable.
    ///
    /// # Errors
    /// The engine's; the process is gone all the same.
    pub fn stop(&mut self, now: Micros) -> Result<(), EngineError> {
        let mut done = self.end_commit();
        let read = self.read_clocks(now);
        while done.is_ok() && self.begin_commit(now) {
            done = self.end_commit();
        }
        let Some(process) = self.process.take() else {
            return done;
        };
        self.collisions += process.shared.collisions();
        let finished = process.committer.finish(read);
        drop(process.engine);
        self.disk.kill();
        done.and(finished)
    }

    fn die(&mut self, rng: &mut SmallRng) {
        let written = happens(rng, 500);
        let Some(mut process) = self.process.take() else {
            return;
        };
        self.collisions += process.shared.collisions();
        if let Some(began) = process.committing
            && written
        {
            // Its journal was written, and nobody was told: the answers die with the process.
            drop(process.committer.run(&mut process.batch, began));
        }
    }

    fn read_clocks(&self, now: Micros) -> Now {
        let wall = self.wall(now);
        let Some(process) = &self.process else {
            return Now {
                wall,
                ..Now::default()
            };
        };
        let mono = now.since(process.born);
        process.clock.wall_ms.store(wall.0, Ordering::Relaxed);
        process.clock.mono_us.store(mono, Ordering::Relaxed);
        process.clock.now()
    }
}

impl Process {
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
