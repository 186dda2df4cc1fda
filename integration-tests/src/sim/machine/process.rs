//! One process of a node: everything that a kill ends.
//!
//! ```text
//!   start      the parts of a node, as `Node::start` assembles them
//!   receive    frame --> Session --> Replica --> answered at once, or into the queue
//!   commit     queue --begin--> batch --end--> Committer: join, commit, answer
//! ```
//!
//! After a failed commit or idle call it serves nothing, as the real one; the world starts another.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quoit_node::StartError;
use quoit_node::admission::{Abandoned, Queue, Taken};
use quoit_node::assembly::{AssemblyOptions, OpenStore};
use quoit_node::change::{ChangeDriver, TransferRate, read_leftovers, unowned_runs};
use quoit_node::commit::{Asker, Committer, Order, Task};
use quoit_node::config::Limits;
use quoit_node::engine::layout::META_DISK;
use quoit_node::engine::{Engine as _, EngineError, Keyspace, RowCache, Snapshot as _};
use quoit_node::env::{Now, Reply as _};
use quoit_node::expiry::{self, ExpiryDriver, ExpiryOptions};
use quoit_node::gossip::{GossipDriver, Incarnation};
use quoit_node::handlers::{Replica, Session};
use quoit_node::hints::{Delivered, HintDispatcher, load};
use quoit_node::identity::{Act, Found};
use quoit_node::state::NodeState;
use quoit_node::storage::Sums;
use quoit_node::store_meta::StoreLocation;
use quoit_node::sync::{self, SyncDriver, SyncOptions};
use quoit_node::walks::{NextStep, Walks};
use quoit_node::write::Write;
use quoit_ring::change::Known;
use quoit_ring::role::Role;
use quoit_ring::wire::{
    DecodeError, Kept, MembersSeen, Refusal, RequestFrame, Response, ResponseFrame,
};
use quoit_ring::{Epoch, Millis, Moment, NodeId};

use super::env::{Answered, Answers, NodeClock, NodeEnv, Outbox, Peer, full_at};
use super::{Machine, SmallLimits};
use crate::sim::disk::DiskEngine;

/// Rows that the walks after a start read in one step: so few that commits come between the steps.
const PIECE: usize = 16;

/// Bytes of its row cache: room for some of the keys and not for all, so that rows come and go. So small a one
/// is in one piece on every machine.
const ROWS: u64 = 4 << 10;

/// How fast hints are delivered: so fast that the pace matters now and then.
const HINTS_PER_SECOND: u32 = 500;

/// How fast nodes pull: so fast that the pace matters now and then.
const TRANSFER: TransferRate = TransferRate {
    bytes_per_second: 1 << 20,
};

/// How nodes compare themselves with others: often, and so fast that the pace matters now and then.
const SYNC: SyncOptions = SyncOptions {
    interval: Duration::from_secs(2),
    bytes_per_second: 1 << 20,
};

/// The same where writes are soon too old, so that tombstones are forgotten within a run.
const SYNC_OFTEN: SyncOptions = SyncOptions {
    interval: Duration::from_millis(300),
    ..SYNC
};

/// How fast nodes remove what has expired: so fast that the pace matters now and then.
const EXPIRY: ExpiryOptions = ExpiryOptions {
    keys_per_second: 1_000,
};

/// What a node's process stores its data in.
type Stored = RowCache<DiskEngine>;

/// One process of a node.
pub(super) struct Process {
    state: NodeState,
    replica: Arc<Replica<NodeEnv, Stored>>,
    queue: Arc<Queue<Answers>>,
    committer: Committer<Stored>,
    /// The batch whose commit is under way, with the time at which it began.
    committing: Option<Now>,
    batch: Vec<Write<Answers>>,
    sessions: BTreeMap<Peer, Session<NodeEnv, Stored>>,
    walks: Walks<Stored>,
    dispatcher: HintDispatcher,
    change: ChangeDriver,
    gossip: GossipDriver,
    sync: SyncDriver,
    expiry: ExpiryDriver,
    engine: Arc<Stored>,
    clock: Arc<NodeClock>,
    out: Outbox,
    limits: SmallLimits,
    born: Moment,
    failed: bool,
}

impl Process {
    /// A process, and how long it waits before it serves.
    pub(super) fn start(machine: &Machine, now: Moment) -> Result<(Self, Duration), StartError> {
        let options = options(machine, now);
        let wall = machine.wall(now);
        let location = location(machine, Act::Run)?;
        let mut store = OpenStore::load(machine.disk.open(), Some(&machine.first), &location)?;
        if machine.has_lost() {
            store.lose()?;
        }
        let store = store.check(machine.id, &options, wall)?;
        let wait = store.wait(&options.limits, wall);

        let clock = Arc::new(NodeClock::default());
        let started = clock.set(wall, 0);
        let seed = seed_of(machine);
        let out = Outbox::default();
        let parts = store.assemble(&options, (started, seed), |queue| NodeEnv {
            clock: Arc::clone(&clock),
            queue,
            full: full_at(&options.write_queue),
            out: out.clone(),
        });
        let process = Self {
            state: parts.state,
            replica: parts.replica,
            queue: parts.queue,
            committer: parts.committer,
            committing: None,
            batch: Vec::new(),
            sessions: BTreeMap::new(),
            walks: parts.walks,
            dispatcher: parts.dispatcher,
            change: parts.change,
            gossip: parts.gossip,
            sync: parts.sync,
            expiry: parts.expiry,
            engine: parts.engine,
            clock,
            out,
            limits: machine.settings.small,
            born: now,
            failed: false,
        };
        Ok((process, wait))
    }

    /// Sets its clocks; its monotonic one began when it did.
    pub(super) fn read_clocks(&self, wall: Millis, now: Moment) -> Now {
        self.clock.set(wall, now.since(self.born))
    }

    pub(super) const fn is_committing(&self) -> bool {
        self.committing.is_some()
    }

    pub(super) fn collisions(&self) -> u64 {
        self.state.stats.collisions()
    }

    pub(super) fn sums(&self) -> &Sums {
        &self.state.sums
    }

    /// Whether a walk met something that it could not read.
    pub(super) fn missed_a_row(&self) -> bool {
        self.state.sums.progress().unreadable > 0 || self.state.hints.uncounted() > 0
    }

    /// Whether it counted the hints without some that it could not read.
    pub(super) fn missed_a_hint(&self) -> bool {
        self.state.hints.uncounted() > 0
    }

    /// Takes a connection in, of who its certificate says that it is.
    pub(super) fn connect(&mut self, peer: Peer, role: Role) {
        let out = self.out.clone();
        let replica = Arc::clone(&self.replica);
        let max_frame = self.limits.max_frame;
        let answers = Answers {
            peer,
            out,
            max_frame,
        };
        let session = Session::new(replica, role, answers);
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
        // As the server does with a frame on a stream of its own, before it is read whole.
        let (bytes, max) = (frame.len(), self.limits.max_frame);
        if bytes > max {
            let [bytes, max] = [bytes, max].map(|n| u64::try_from(n).unwrap_or(u64::MAX));
            let id = RequestFrame::decode(frame)?.id;
            session.refuse(id, Refusal::RecordTooLarge { bytes, max }, read);
            return Ok(());
        }
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

    pub(super) fn begin_commit(&mut self, read: Now) -> Result<bool, EngineError> {
        if self.failed || self.is_committing() {
            return Ok(false);
        }
        loop {
            let (most, now) = (self.limits.batch, || read.mono);
            match (self.queue).take(&mut self.batch, most, Duration::ZERO, now) {
                Taken::Some => {
                    self.committing = Some(read);
                    return Ok(true);
                }
                // Done at once: a kill comes before or after it, not within.
                Taken::Order(order) => {
                    if let Err(error) = self.committer.carry_out(order, read) {
                        self.fail();
                        return Err(error);
                    }
                }
                Taken::Idle | Taken::Closed => break,
            }
        }
        Ok(false)
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

    pub(super) fn newest(&self) -> Known {
        self.state.cluster.newest()
    }

    pub(super) fn is_settled_in(&self, epoch: Epoch) -> bool {
        self.state.cluster.epoch() == epoch && self.change.clean_in() == Some(epoch)
    }

    pub(super) fn describe_change(&self, now: Moment) -> String {
        let (cluster, at) = (&self.state.cluster, Moment(now.since(self.born)));
        let (newest, fence) = (cluster.newest(), cluster.epoch());
        format!(
            "epoch {}, fence {}, change {:?}, clean in {:?}, waits {:?}",
            newest.epoch().0,
            fence.0,
            newest
                .configuration()
                .change
                .as_ref()
                .map(|change| change.hand),
            self.change.clean_in(),
            self.change.waits(at)
        )
    }

    pub(super) fn is_changing(&self) -> bool {
        self.change.is_busy()
    }

    /// Its part in changes of the ring.
    pub(super) const fn change(&mut self) -> &mut ChangeDriver {
        &mut self.change
    }

    /// What it sees of the others.
    pub(super) fn members_seen(&self) -> Arc<MembersSeen> {
        self.state.members.get()
    }

    /// Its part in gossip.
    pub(super) const fn gossip(&mut self) -> &mut GossipDriver {
        &mut self.gossip
    }

    /// Its part in anti-entropy.
    pub(super) const fn sync(&mut self) -> &mut SyncDriver {
        &mut self.sync
    }

    /// Its part in anti-entropy goes on with what is due; whether it is to be called often.
    pub(super) fn look_after_sync(&mut self, read: Now) -> bool {
        let queued = u32::try_from(self.queue.len()).unwrap_or(u32::MAX);
        self.sync.handle_time(queued, read);
        self.sync.is_busy()
    }

    /// Reads a page of keys for it.
    pub(super) fn look_for_sync(&mut self, wanted: &sync::Look, read: Now) {
        let page = sync::look(&self.engine.snapshot(), &self.state, wanted);
        self.sync.handle_page(wanted.session, page.ok(), read.mono);
    }

    /// Gives the committer a repair; one that it does not take is found again.
    pub(super) fn write_for_sync(&mut self, repair: sync::Repair, read: Now) {
        let mut write = vec![repair.write(&self.state, read.mono)];
        if self.queue.push(&mut write, || read.mono).is_err() {
            self.sync.handle_refused(read.mono);
        }
    }

    /// Gives the committer an order for a round of stability; one that it does not take is refused.
    pub(super) fn order_for_sync(&mut self, ticket: u64, task: Task, read: Now) {
        let from = Asker::Rounds { ticket };
        if self.queue.order(Order { from, task }).is_err() {
            let refused = Response::Refused(Refusal::Draining);
            self.sync.handle_done(ticket, refused, read.mono);
        }
    }

    /// How often its idle committer is called.
    pub(super) fn idle_rest(&self) -> Duration {
        self.committer.rest()
    }

    /// How many tombstones it has forgotten.
    pub(super) fn forgotten(&self) -> u64 {
        self.state.stability.status(Millis(0)).forgotten
    }

    /// How it stands with its peers.
    pub(super) fn synced(&self) -> BTreeMap<NodeId, sync::PeerSync> {
        self.state.sync.peers()
    }

    /// Its sweep.
    pub(super) const fn expiry(&mut self) -> &mut ExpiryDriver {
        &mut self.expiry
    }

    /// Its sweep takes what came of its last order, and goes on with what is due; whether it is to be called often.
    pub(super) fn look_after_expiry(&mut self, read: Now) -> bool {
        if let Some(response) = self.state.expiry.take_answer() {
            self.expiry.handle_answer(&response, read.mono);
        }
        let queued = u32::try_from(self.queue.len()).unwrap_or(u32::MAX);
        self.expiry.handle_time(queued, read);
        self.expiry.is_busy()
    }

    /// Reads a page of what is due for it.
    pub(super) fn look_for_expired(&mut self, wanted: &expiry::Look, read: Now) {
        let page = expiry::look(&self.engine.snapshot(), &self.state, wanted, read.mono);
        self.expiry.handle_page(page.ok(), read.mono);
    }

    /// Gives the committer an order of it; one that it does not take is refused.
    pub(super) fn order_sweep(&mut self, task: Task, read: Now) {
        let from = Asker::Sweep;
        if self.queue.order(Order { from, task }).is_err() {
            let refused = Response::Refused(Refusal::Draining);
            self.expiry.handle_answer(&refused, read.mono);
        }
    }

    /// Values that its sweeps have removed.
    pub(super) fn swept(&self) -> u64 {
        self.state.expiry.swept()
    }

    /// Gives the committer an order; one that it does not take is refused.
    pub(super) fn order(&mut self, ticket: u64, task: Task, read: Now) {
        let from = Asker::Node { ticket };
        if self.queue.order(Order { from, task }).is_err() {
            let refused = Response::Refused(Refusal::Draining);
            self.change.handle_done(ticket, refused, read.mono);
        }
    }

    /// Takes answers to orders to the driver; whether there were any.
    pub(super) fn finish_orders(&mut self, read: Now) -> bool {
        let finished = self.state.finished.take();
        let has_finished = !finished.is_empty();
        for (ticket, response) in finished {
            self.change.handle_done(ticket, response, read.mono);
        }
        if let Some(epoch) = self.change.clean_in() {
            self.state.leftovers.set_clean(epoch);
        }
        has_finished
    }

    /// Reads a page of rows that it does not own for the driver.
    pub(super) fn read_leftovers(&mut self, epoch: Epoch, after: Option<&Bytes>, read: Now) {
        let runs = unowned_runs(&self.state, epoch);
        let page = read_leftovers(&self.engine.snapshot(), &self.state.sums, &runs, after);
        self.change.handle_leftovers(epoch, page.ok(), read.mono);
    }

    /// Another node has answered.
    pub(super) fn answered(&mut self, from: NodeId, frame: ResponseFrame, read: Now) {
        self.expiry.handle_clock(from, frame.clock, read.mono);
        if ChangeDriver::is_ours(frame.id) {
            return self.change.handle_answer(from, frame, read.mono);
        }
        self.change.handle_announced(from, frame.epoch, read.mono);
        if SyncDriver::is_ours(frame.id) {
            self.sync.handle_answer(from, frame, read.mono);
        } else if !GossipDriver::is_ours(frame.id) {
            let dispatcher = &mut self.dispatcher;
            dispatcher.handle_answer(from, frame.id, &frame.response, read.mono);
        }
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

    /// What is kept for others; `None` while it is counted.
    pub(super) fn kept(&self) -> Option<Vec<Kept>> {
        self.state.hints.kept()
    }

    /// Whether as many hints are under way to some node as ever may be.
    pub(super) fn is_window_full(&self) -> bool {
        self.dispatcher.is_window_full()
    }

    /// What delivers its hints.
    pub(super) const fn dispatcher(&mut self) -> &mut HintDispatcher {
        &mut self.dispatcher
    }

    /// Lets the dispatcher look at what is kept.
    pub(super) fn look_after_hints(&mut self, read: Now) {
        self.dispatcher.look_after(&self.state.hints, read.mono);
    }

    /// Reads a page of hints for the dispatcher.
    pub(super) fn read_hints(&mut self, target: NodeId, after: Option<&[u8]>, read: Now) {
        let page = load(&self.engine.snapshot(), target, after, self.limits.page);
        self.dispatcher.handle_page(target, page.ok(), read.mono);
    }

    /// Asks the committer to remove a hint; if it has no room, the hint stays.
    pub(super) fn remove_hint(&self, delivered: Delivered, read: Now) {
        let mut removal = vec![delivered.removal(read.mono)];
        // One that is not taken is forgotten, and delivered again.
        let _taken = self.queue.push(&mut removal, || read.mono).is_ok();
    }

    /// Goes a step further in counting the hints or summing up the records; when the next one is due.
    pub(super) fn rebuild(&mut self, read: Now) -> NextStep {
        self.walks.step(&self.engine, read.mono)
    }

    pub(super) fn drain(&self) {
        self.state.service.drain();
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
        let (epoch, clock) = (self.state.cluster.epoch(), self.state.clock.reading(now));
        let Abandoned { writes, orders } = self.queue.abandon();
        let of_writes = writes.into_iter().map(|write| (write.id, write.reply));
        let of_orders = orders.into_iter().map(|order| match order.from {
            Asker::Caller { id, reply } => (id, Some(reply)),
            Asker::Node { ticket } | Asker::Rounds { ticket } => (ticket, None),
            Asker::Sweep => (0, None),
        });
        for (id, reply) in of_writes.chain(of_orders) {
            let response = Response::Refused(Refusal::Draining);
            let Some(reply) = reply else { continue };
            reply.send(&ResponseFrame {
                id,
                epoch,
                clock,
                response,
            });
        }
    }
}

/// Makes a new disk the node's, as `Node::init` does.
pub(super) fn initialise(machine: &Machine) -> Result<(), StartError> {
    let location = location(machine, Act::Initialise)?;
    let store = OpenStore::load(machine.disk.open(), Some(&machine.first), &location)?;
    drop(store.into_engine());
    machine.disk.kill();
    Ok(())
}

/// The settings of a machine's node.
/// What is random in this life of the node.
fn seed_of(machine: &Machine) -> u64 {
    machine.settings.base.0 ^ machine.id.0 << 48 ^ u64::from(machine.life) << 32
}

fn options(machine: &Machine, now: Moment) -> AssemblyOptions {
    AssemblyOptions {
        limits: machine.settings.limits,
        durability: machine.settings.durability,
        write_queue: machine.settings.queue.clone(),
        max_batch: machine.settings.small.batch,
        hints_per_second: HINTS_PER_SECOND,
        transfer: TRANSFER,
        sync: sync_options(&machine.settings.limits),
        expiry: EXPIRY,
        hint_window: machine.settings.small.hint_window,
        accept_clock_set_back: false,
        row_cache_bytes: ROWS,
        walk_rows: PIECE,
        machine_up: machine.up(now),
        incarnation: Incarnation(u64::from(machine.life)),
        gossip: gossip_options(),
    }
}

const fn sync_options(limits: &Limits) -> SyncOptions {
    if limits.max_write_age_ms < 10_000 {
        SYNC_OFTEN
    } else {
        SYNC
    }
}

/// So short that members are suspect, and fail, within a run.
fn gossip_options() -> quoit_node::gossip::Options {
    quoit_node::gossip::Options {
        round: Duration::from_millis(100),
        suspect_after: Duration::from_millis(600),
        failed_after: Duration::from_millis(1_500),
        resolve_every: Duration::from_secs(1),
        ..Default::default()
    }
}

/// Where the store is, if `act` may be done with what lies there.
fn location(machine: &Machine, act: Act) -> Result<StoreLocation, StartError> {
    let path = PathBuf::from("store");
    let store = machine.disk.contents();
    let has_store = !matches!(store.get(Keyspace::Meta, META_DISK), Ok(None));
    let found = match (machine.identified, has_store) {
        (true, true) => Found::Node,
        (true, false) => Found::IdentityAlone,
        (false, true) => Found::StoreAlone,
        (false, false) => Found::Nothing,
    };
    Ok(StoreLocation {
        may: found.may(act, &path)?,
        disk: u128::from(machine.id.0),
        path,
    })
}
