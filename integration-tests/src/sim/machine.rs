//! A simulated machine with the shipped node on it: disk and clock outlive the process.
//!
//! ```text
//!   Machine   disk, wall clock          survives kill and power loss, as far as synced
//!     '- Process   replica, queue, committer, sessions      assembled as by `Node::start`, without threads
//!
//!   frame --> Session --> queue --(the world waits for the disk)--> Committer --> answers out
//! ```
//!
//! What the real node does on threads is done here when the world says so: a commit takes as long as its disk,
//! and meanwhile the next batch gathers. A batch whose commit is under way when the process dies may be on
//! the disk or not. Everything that decides is the node's own code above its `Env` and `Engine` seams.

mod env;
mod expiry;
mod gossip;
mod process;
mod sync;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quoit_node::StartError;
use quoit_node::admission::MAX_BATCH;
use quoit_node::boot::BootId;
use quoit_node::change;
use quoit_node::commit::Task;
use quoit_node::config::{Limits, WriteQueue};
use quoit_node::engine::layout::{
    META_INCOMPLETE, META_STABLE, NAMESPACE, hint_key, parse_hint_key, record_key,
};
use quoit_node::engine::{EngineError, Keyspace, Snapshot as _};
use quoit_node::env::Now;
use quoit_node::hints::{Act, Delivered, MAX_WINDOW, PageSize, split_row};
use quoit_node::identity::LastRun;
use quoit_node::stability::Floors;
use quoit_node::storage::Sums;
use quoit_node::walks::NextStep;
use quoit_ring::change::Known;
use quoit_ring::role::Role;
use quoit_ring::wire::{DecodeError, Durability, FirstMap, Kept, ResponseFrame, decode_record};
use quoit_ring::{Dot, Epoch, Held, Millis, Moment, NodeId, Time, token_of};
use rand::rngs::SmallRng;

use self::process::Process;
use super::chance::happens;
use super::disk::Disk;

pub use self::env::{Answered, Answers, NodeEnv, Peer};

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
    /// Limits that a real node does not let anybody set.
    pub small: SmallLimits,
}

/// Siblings that a record may have, unless that is small in a run.
pub const SIBLINGS: usize = 64;
/// Bytes that a record may have, unless that is small in a run.
pub const RECORD_BYTES: usize = 4 << 20;

/// Limits that are small in some runs, so that they are met.
#[derive(Debug, Clone, Copy)]
pub struct SmallLimits {
    /// Bytes of the longest frame that the node takes; what is longer it refuses by its length.
    pub max_frame: usize,
    /// How many hints are read at a time.
    pub page: PageSize,
    /// How many hints may be under way to one node.
    pub hint_window: u32,
    /// How many writes share one commit: with few, a queue comes to stand.
    pub batch: usize,
}

impl Default for SmallLimits {
    fn default() -> Self {
        Self {
            max_frame: usize::MAX,
            page: PageSize::NODE,
            hint_window: MAX_WINDOW,
            batch: MAX_BATCH,
        }
    }
}

/// What lies on a machine's disk for other nodes: how many hints for each, and their bytes.
#[must_use]
pub fn hints_on_disk(machine: &Machine) -> BTreeMap<NodeId, (u64, u64)> {
    let mut kept = BTreeMap::<NodeId, (u64, u64)>::new();
    let store = machine.disk().contents();
    for (stored_key, record) in store.range(Keyspace::Hints, ..).flatten() {
        let target = parse_hint_key(&stored_key).map_or(NodeId(0), |(target, ..)| target);
        let bytes = u64::try_from(stored_key.len() + record.len()).unwrap_or(u64::MAX);
        let entry = kept.entry(target).or_default();
        *entry = (entry.0 + 1, entry.1 + bytes);
    }
    kept
}

/// A machine: what survives the process, and the process while there is one.
pub struct Machine {
    id: NodeId,
    disk: Disk,
    /// Whether the disk holds the node's identity, which lies beside the store.
    identified: bool,
    /// The node's own disk while another is in its place.
    unmounted: Option<Disk>,
    /// Whether the disk is lost for ever. What was on it stays here as evidence: no process opens it again.
    is_lost: bool,
    first: Arc<FirstMap>,
    settings: Settings,
    /// How far the wall clock is off, in milliseconds.
    offset_ms: i64,
    /// How often it was set to another time.
    clock_sets: u64,
    /// The same when its process started.
    sets_at_start: u64,
    /// Counts processes, so that what was meant for one does not reach the next.
    life: u32,
    /// Counts the machine's boots: each loss of power is followed by another.
    boot: u128,
    /// When it last lost power.
    lost_power_at: Option<Moment>,
    /// What its data directory says of the last process, if that has not stopped in order.
    last_run: Option<LastRun>,
    process: Option<Process>,
    /// Whether the process takes connections.
    serving: bool,
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
    /// A machine on which no node has run, with its disk initialised for one.
    #[must_use]
    pub fn new(id: NodeId, first: Arc<FirstMap>, settings: Settings) -> Self {
        let mut machine = Self {
            id,
            disk: Disk::new(),
            identified: false,
            unmounted: None,
            is_lost: false,
            first,
            settings,
            offset_ms: 0,
            clock_sets: 0,
            sets_at_start: 0,
            life: 0,
            boot: 1,
            lost_power_at: None,
            last_run: None,
            process: None,
            serving: false,
            collisions: 0,
        };
        let done = process::initialise(&machine);
        debug_assert!(
            done.is_ok(),
            "{done:?}: the disk is new, and the map a ring"
        );
        machine.identified = true;
        machine
    }

    /// The node that lives here.
    #[must_use]
    pub const fn id(&self) -> NodeId {
        self.id
    }

    /// The bounds on its writes.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.settings.limits
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

    /// Whether a process runs and takes connections.
    #[must_use]
    pub const fn is_serving(&self) -> bool {
        self.process.is_some() && self.serving
    }

    /// The process takes connections from now on.
    pub const fn serve(&mut self) {
        self.serving = true;
    }

    /// Whether its last process may have lost what it acknowledged, so that the next one is to get it back.
    fn has_lost(&self) -> bool {
        let boot = Some(BootId(self.boot));
        self.last_run.is_some_and(|run| run.has_lost(boot))
    }

    /// For how long it has been up.
    fn up(&self, now: Moment) -> Duration {
        let since = self.lost_power_at.unwrap_or_default();
        now.saturating_since(since)
    }

    /// Whether its disk is lost for ever, and no node starts here any more.
    #[must_use]
    pub const fn is_lost(&self) -> bool {
        self.is_lost
    }

    /// Whether a node with its own disk runs.
    #[must_use]
    pub const fn is_up_on_its_disk(&self) -> bool {
        self.is_up() && self.unmounted.is_none()
    }

    /// Whether its node may have lost what it acknowledged, and has not got it back. Of a lost disk nothing comes back.
    #[must_use]
    pub fn lacks_something(&self) -> bool {
        if self.is_lost {
            return false;
        }
        let store = self.own_disk().contents();
        let is_stored = !matches!(store.get(Keyspace::Meta, META_INCOMPLETE), Ok(None));
        self.has_lost() || is_stored
    }

    /// How many batches a loss of power could take although the node syncs before it answers.
    #[must_use]
    pub fn exposed(&self) -> usize {
        match self.settings.durability {
            Durability::Fsync => self.disk.unsynced(),
            Durability::Buffered => 0,
        }
    }

    /// Whether a commit is under way.
    #[must_use]
    pub fn is_committing(&self) -> bool {
        self.process.as_ref().is_some_and(Process::is_committing)
    }

    /// The disk, to break it or to look at it.
    #[must_use]
    pub const fn disk(&self) -> &Disk {
        &self.disk
    }

    /// What its own disk holds of a key, above the floor of its leaf.
    #[must_use]
    pub fn held(&self, key: &[u8]) -> Held {
        let store = self.own_disk().contents();
        let map = &self.first.map;
        let leaf = map.leaf_bits.leaf_of(token_of(&map.token_key, key));
        let floors = store.get(Keyspace::Meta, META_STABLE).ok().flatten();
        let floors = floors.and_then(|stored| Floors::decode(stored).ok());
        let floor = floors.map_or(Time::ZERO, |floors| floors.at(leaf));
        let stored = store.get(Keyspace::Records, &record_key(NAMESPACE, key));
        let row = stored.ok().flatten();
        Held::new(row.and_then(|row| decode_record(&row).ok()), floor)
    }

    /// Whether its own disk holds a hint of a write.
    #[must_use]
    pub fn keeps(&self, target: NodeId, key: &[u8], dot: Dot) -> bool {
        let store = self.own_disk().contents();
        let stored = store.get(Keyspace::Hints, &hint_key(target, NAMESPACE, key));
        let record = stored.ok().flatten().map(|row| split_row(&row).1);
        record.is_some_and(|it| decode_record(&it).is_ok_and(|record| record.seen().contains(dot)))
    }

    /// The node's own disk, wherever it is.
    #[must_use]
    pub fn own_disk(&self) -> &Disk {
        self.unmounted.as_ref().unwrap_or(&self.disk)
    }

    /// Sets the wall clock this far off.
    pub const fn set_clock(&mut self, offset_ms: i64) {
        if self.offset_ms != offset_ms {
            self.clock_sets += 1;
        }
        self.offset_ms = offset_ms;
    }

    /// Whether its wall clock was set while the present process ran.
    #[must_use]
    pub const fn clock_was_set(&self) -> bool {
        self.clock_sets > self.sets_at_start
    }

    /// How often its wall clock was set to another time.
    #[must_use]
    pub const fn clock_sets(&self) -> u64 {
        self.clock_sets
    }

    /// Dots found with two contents, over all lives.
    #[must_use]
    pub fn collisions(&self) -> u64 {
        self.collisions + self.process.as_ref().map_or(0, Process::collisions)
    }

    /// The sums of the running node.
    #[must_use]
    pub fn sums(&self) -> Option<&Sums> {
        self.process.as_ref().map(Process::sums)
    }

    fn wall(&self, now: Moment) -> Millis {
        let right = self.settings.base.0 + now.0 / 1_000;
        Millis(right.saturating_add_signed(self.offset_ms))
    }

    /// The process, if there is one, and what it reads as its clocks now.
    fn running(&mut self, now: Moment) -> Option<(&mut Process, Now)> {
        let wall = self.wall(now);
        let process = self.process.as_mut()?;
        let read = process.read_clocks(wall, now);
        Some((process, read))
    }

    /// Starts a process, as `Node::start` does. Gives back how long it waits before [`Machine::serve`].
    ///
    /// # Errors
    /// The node's own: it does not start with what it finds. The machine stays down.
    pub fn start(&mut self, now: Moment) -> Result<Duration, StartError> {
        self.life += 1;
        self.sets_at_start = self.clock_sets;
        self.serving = false;
        let (process, wait) = Process::start(self, now)?;
        let boot = Some(BootId(self.boot));
        self.last_run = Some(LastRun::running(self.settings.durability, boot));
        self.process = Some(process);
        self.identified = true;
        Ok(wait)
    }

    /// Takes a connection in, of who its certificate says that it is.
    pub fn connect(&mut self, peer: Peer, role: Role) {
        if let Some(process) = &mut self.process {
            process.connect(peer, role);
        }
    }

    /// Ends a connection.
    pub fn disconnect(&mut self, peer: Peer) {
        if let Some(process) = &mut self.process {
            process.disconnect(peer);
        }
    }

    /// Takes a frame off a connection; one of a connection that is not there is lost. What it asks to write
    /// waits for [`Machine::submit`].
    ///
    /// # Errors
    /// It is not a request.
    pub fn receive(&mut self, peer: Peer, frame: Bytes, now: Moment) -> Result<(), DecodeError> {
        match self.running(now) {
            Some((process, read)) => process.receive(peer, frame, read),
            None => Ok(()),
        }
    }

    /// The end of what one read of a connection brought: its writes go into the queue together.
    pub fn submit(&mut self, peer: Peer, now: Moment) {
        if let Some((process, read)) = self.running(now) {
            process.submit(peer, read);
        }
    }

    /// Moves what waits into the batch to be committed, if none is; whether it did. Orders that wait before it are carried out.
    ///
    /// # Errors
    /// As [`Machine::end_commit`].
    pub fn begin_commit(&mut self, now: Moment) -> Result<bool, EngineError> {
        let running = self.running(now);
        running.map_or(Ok(false), |(process, read)| process.begin_commit(read))
    }

    /// The disk has the batch: joins, commits and answers it.
    ///
    /// # Errors
    /// The engine's: the node serves nothing from now on, as the real one.
    pub fn end_commit(&mut self) -> Result<(), EngineError> {
        self.process.as_mut().map_or(Ok(()), Process::end_commit)
    }

    /// The newest epoch that the running node knows.
    #[must_use]
    pub fn newest(&self) -> Option<Known> {
        self.process.as_ref().map(Process::newest)
    }

    /// Whether the running node refuses all epochs before this one, and holds nothing that it does not own in it.
    #[must_use]
    pub fn is_settled_in(&self, epoch: Epoch) -> bool {
        let process = self.process.as_ref();
        process.is_some_and(|process| process.is_settled_in(epoch))
    }

    /// How far the node is in a change, for people.
    #[must_use]
    pub fn describe_change(&self, now: Moment) -> String {
        let process = self.process.as_ref();
        process.map_or_else(|| "down".to_owned(), |it| it.describe_change(now))
    }

    /// Whether the node's driver is to be called often.
    #[must_use]
    pub fn is_changing(&self) -> bool {
        self.process.as_ref().is_some_and(Process::is_changing)
    }

    /// Calls the node's driver.
    pub fn handle_change_time(&mut self, now: Moment) {
        if let Some((process, read)) = self.running(now) {
            process.change().handle_time(read.mono);
        }
    }

    /// What the node's driver wants done next.
    pub fn poll_change(&mut self) -> Option<change::Act> {
        self.process.as_mut()?.change().poll()
    }

    /// Gives the committer an order of the node's own driver.
    pub fn order(&mut self, ticket: u64, task: Task, now: Moment) {
        if let Some((process, read)) = self.running(now) {
            process.order(ticket, task, read);
        }
    }

    /// Takes answers to the driver's orders to it; whether there were any.
    pub fn finish_orders(&mut self, now: Moment) -> bool {
        let running = self.running(now);
        running.is_some_and(|(process, read)| process.finish_orders(read))
    }

    /// Reads a page of rows that the node does not own.
    pub fn read_leftovers(&mut self, epoch: Epoch, after: Option<&Bytes>, now: Moment) {
        if let Some((process, read)) = self.running(now) {
            process.read_leftovers(epoch, after, read);
        }
    }

    /// What an idle committer does once a second.
    ///
    /// # Errors
    /// As [`Machine::end_commit`].
    pub fn idle(&mut self, now: Moment) -> Result<(), EngineError> {
        let running = self.running(now);
        running.map_or(Ok(()), |(process, read)| process.idle(read))
    }

    /// What the running node keeps for others; `None` if none runs or it has not counted that yet.
    #[must_use]
    pub fn kept(&self) -> Option<Vec<Kept>> {
        self.process.as_ref()?.kept()
    }

    /// Lets the dispatcher look at what is kept; gives it back to be asked what to do, and whether nothing is.
    pub fn look_after_hints(&mut self, now: Moment) -> bool {
        let Some((process, read)) = self.running(now) else {
            return true;
        };
        process.look_after_hints(read);
        process.dispatcher().is_idle()
    }

    /// Whether as many hints are under way to some node as ever may be.
    #[must_use]
    pub fn is_window_full(&self) -> bool {
        (self.process.as_ref()).is_some_and(Process::is_window_full)
    }

    /// What the dispatcher wants done next.
    pub fn poll_courier(&mut self) -> Option<Act> {
        self.process.as_mut()?.dispatcher().poll()
    }

    /// Reads a page of hints for the dispatcher.
    pub fn read_hints(&mut self, target: NodeId, after: Option<&[u8]>, now: Moment) {
        if let Some((process, read)) = self.running(now) {
            process.read_hints(target, after, read);
        }
    }

    /// Asks the committer to remove a hint.
    pub fn remove_hint(&mut self, delivered: Delivered, now: Moment) {
        if let Some((process, read)) = self.running(now) {
            process.remove_hint(delivered, read);
        }
    }

    /// Another node has answered.
    ///
    /// # Errors
    /// It is not a response.
    pub fn answered(&mut self, from: NodeId, frame: Bytes, now: Moment) -> Result<(), DecodeError> {
        let frame = ResponseFrame::decode(frame)?;
        if let Some((process, read)) = self.running(now) {
            process.answered(from, frame, read);
        }
        Ok(())
    }

    /// The connection to another node is lost, or could not be made.
    pub fn lost_peer(&mut self, node: NodeId, now: Moment) {
        if let Some((process, read)) = self.running(now) {
            process.dispatcher().handle_lost(node, read.mono);
            process.change().handle_lost(node, read.mono);
            process.sync().handle_lost(node, read.mono);
        }
    }

    /// Brings the Merkle sums, or the count of hints, a step further; when the next one is due.
    pub fn rebuild(&mut self, now: Moment) -> NextStep {
        let running = self.running(now);
        running.map_or(NextStep::Never, |(process, read)| process.rebuild(read))
    }

    /// Whether the running node's count of hints may be too low.
    #[must_use]
    pub fn missed_a_hint(&self) -> bool {
        self.process.as_ref().is_some_and(Process::missed_a_hint)
    }

    /// Whether the running node found something unreadable while it brought its sums back or counted its hints: until
    /// it is started again its sums are not shown or tainted, and its count of hints may be too low.
    #[must_use]
    pub fn missed_a_row(&self) -> bool {
        self.process.as_ref().is_some_and(Process::missed_a_row)
    }

    /// Whether answers are to leave.
    #[must_use]
    pub fn has_answers(&self) -> bool {
        self.process.as_ref().is_some_and(Process::has_answers)
    }

    /// Takes the answers that are to leave.
    pub fn take_answers(&mut self, into: &mut Vec<Answered>) {
        if let Some(process) = &self.process {
            process.take_answers(into);
        }
    }

    /// The process dies at once; what it had committed stays, and the running commit may or may not.
    pub fn kill(&mut self, rng: &mut SmallRng) {
        self.die(rng);
        self.disk.kill();
    }

    /// The machine loses power: unsynced batches may be lost. Returns how many were.
    pub fn lose_power(&mut self, rng: &mut SmallRng, now: Moment) -> usize {
        self.die(rng);
        self.boot += 1;
        self.lost_power_at = Some(now);
        self.disk.power_loss(rng)
    }

    /// Sets the queue to its default length, and batches to theirs, from the next start on; whether they were shorter.
    pub fn lengthen_queue(&mut self) -> bool {
        let before = std::mem::take(&mut self.settings.queue);
        let batch = std::mem::replace(&mut self.settings.small.batch, MAX_BATCH);
        before.requests < self.settings.queue.requests || batch < MAX_BATCH
    }

    /// Lets records have as many siblings and bytes as usual from the next start on; whether they could not before.
    /// Replicas and those that keep hints for them may have taken so many together that no repair is within a small
    /// bound.
    pub const fn widen_records(&mut self) -> bool {
        let limits = &mut self.settings.limits;
        let siblings = std::mem::replace(&mut limits.max_siblings, SIBLINGS);
        let bytes = std::mem::replace(&mut limits.max_record_bytes, RECORD_BYTES);
        siblings != SIBLINGS || bytes != RECORD_BYTES
    }

    /// Lets the node take frames of any length from the next start on; whether it did not before.
    pub fn lengthen_frames(&mut self) -> bool {
        std::mem::replace(&mut self.settings.small.max_frame, usize::MAX) != usize::MAX
    }

    /// The process dies, and its disk is lost for ever.
    pub fn lose_disk(&mut self, rng: &mut SmallRng) {
        self.kill(rng);
        self.is_lost = true;
    }

    /// The process dies, and an empty disk is in place of the node's own. The identity is gone with it, unless that
    /// lies elsewhere, as now and then where somebody mounts a disk for the store alone.
    pub fn unmount(&mut self, rng: &mut SmallRng) {
        self.kill(rng);
        if self.unmounted.is_none() {
            self.unmounted = Some(std::mem::take(&mut self.disk));
            self.identified = happens(rng, 250);
        }
    }

    /// The node's own disk is back; a process that ran on the other one dies.
    pub fn remount(&mut self, rng: &mut SmallRng) {
        if let Some(own) = self.unmounted.take() {
            self.kill(rng);
            self.disk = own;
            self.identified = true;
        }
    }

    /// Refuses requests for keys from now on: the first part of a stop in order.
    pub fn drain(&mut self) {
        if let Some(process) = &self.process {
            process.drain();
        }
    }

    /// The end of a stop in order: all that waits is committed and answered, the clock and the data made durable.
    ///
    /// # Errors
    /// The engine's; the process is gone all the same.
    pub fn stop(&mut self, now: Moment, answers: &mut Vec<Answered>) -> Result<(), EngineError> {
        let mut done = self.end_commit();
        while done.is_ok() {
            match self.begin_commit(now) {
                Ok(true) => done = self.end_commit(),
                Ok(false) => break,
                Err(error) => done = Err(error),
            }
        }
        let read = self.running(now).map(|(_process, read)| read);
        let (Some(process), Some(read)) = (self.process.take(), read) else {
            return done;
        };
        self.collisions += process.collisions();
        process.take_answers(answers);
        let finished = process.finish(read);
        self.disk.kill();
        let stopped = done.and(finished);
        if stopped.is_ok() {
            self.last_run = None;
        }
        stopped
    }

    fn die(&mut self, rng: &mut SmallRng) {
        // Drawn also where nobody is: what comes after must not depend on it.
        let written = happens(rng, 500);
        if let Some(process) = self.process.take() {
            self.collisions += process.collisions();
            process.die(written);
        }
    }
}
