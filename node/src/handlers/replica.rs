//! The replica: one request in; an answer, a checked write or a refusal out.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use quoit_ring::role::{Privilege, Role};
use quoit_ring::wire::{
    MAX_KEY, MembershipRequest, Refusal, RegisterAsk, RegisterRequest, Request, RequestFrame,
    Response, SyncRequest, WatchRequest,
};
use quoit_ring::{Epoch, Leaf, Time};

use super::{get, gossip, hint, hints, map, members, put, register, repair, status, sums};
use crate::clock::Now;
use crate::commit::Task;
use crate::engine::Engine;
use crate::env::Env;
use crate::state::NodeState;
use crate::storage::Unreadable;
use crate::sync::SyncDriver;
use crate::write::{Change, Destination};

/// A node's answering half; the other is the [`Committer`](crate::commit::Committer).
///
/// A node in memory, in which a write is committed when the caller says so:
///
/// ```
/// # use std::sync::{Arc, Mutex};
/// # use bytes::BytesMut;
/// # use quoit_node::commit::{Committer, Order};
/// # use quoit_node::config::{Config, Limits, TlsFiles};
/// # use quoit_node::engine::MemoryEngine;
/// # use quoit_node::env::{Env, Now, Rejected, Reply};
/// # use quoit_node::handlers::{Replica, Session};
/// # use quoit_node::state::NodeState;
/// # use quoit_node::write::Write;
/// # use quoit_ring::change::Known;
/// # use quoit_ring::placement::{Newcomer, Ring, grow};
/// # use quoit_ring::role::Role;
/// # use quoit_ring::wire::*;
/// # use quoit_ring::*;
/// #[derive(Clone, Default)]
/// struct Answers(Arc<Mutex<Vec<ResponseFrame>>>);
/// impl Reply for Answers {
///     fn send(&self, answer: &ResponseFrame) {
///         self.0.lock().unwrap().push(answer.clone());
///     }
///     fn flush(&self) {}
/// }
///
/// #[derive(Clone, Default)]
/// struct Runtime(Arc<Mutex<Vec<Write<Answers>>>>);
/// impl Env for Runtime {
///     type Reply = Answers;
///     fn now(&self) -> Now {
///         Now { wall: Millis(1_000_000), ..Now::default() }
///     }
///     fn submit(&self, writes: &mut Vec<Write<Answers>>) -> Result<(), Rejected> {
///         self.0.lock().unwrap().append(writes);
///         Ok(())
///     }
///     fn order(&self, order: Order<Answers>) -> Result<(), Order<Answers>> {
///         Err(order)
///     }
///     fn queued_writes(&self) -> u32 {
///         0
///     }
/// }
///
/// # let newcomer = Newcomer {
/// #     id: NodeId(1), name: "n".into(), address: "h:1".into(), zone: "z".into(), weight: 100,
/// # };
/// # let empty = ClusterMap {
/// #     cluster: ClusterId(1), epoch: Epoch(1), token_key: TokenKey([0; 16]),
/// #     leaf_bits: LeafBits::new(12).unwrap(), replication: 1, members: vec![],
/// # };
/// # let ring = Ring::new(&grow(empty, [newcomer], 1)?)?;
/// # let tls = TlsFiles { ca: "".into(), certificate: "".into(), key: "".into() };
/// # let config = Config::new("".into(), "127.0.0.1:0".parse()?, tls);
/// # let settings = (Limits::from(&config), Durability::Fsync);
/// # let state = NodeState::new(NodeId(1), Known::of(ring), MerkleKey([0; 16]), Time::ZERO, settings);
/// let (engine, runtime, answers) = (Arc::new(MemoryEngine::new()), Runtime::default(), Answers::default());
/// let replica = Replica::new(runtime.clone(), Arc::clone(&engine), &state);
/// let mut session = Session::new(Arc::new(replica), Role::Client, answers.clone());
/// let now = runtime.now();
/// let mut committer = Committer::new(engine, &state, now);
///
/// let delta = Delta::blind(Dot { time: Time::at(now.wall), actor: Actor(7) }, Some(("v".into(), None)));
/// let mut record = BytesMut::new();
/// encode_record(delta.record(), &mut record);
/// let request = Request::Put { key: "k".into(), dot: delta.dot(), record: record.freeze() };
/// let mut frame = BytesMut::new();
/// RequestFrame { id: 1, epoch: Epoch(1), budget_ms: 5_000, request }.encode(&mut frame);
///
/// session.handle(frame.split_off(4).freeze(), now)?;
/// session.submit(now);
/// assert!(answers.0.lock().unwrap().is_empty(), "not before its commit");
/// committer.run(&mut runtime.0.lock().unwrap(), now)?;
/// assert_eq!(answers.0.lock().unwrap()[0].response, Response::Joined);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Replica<E, G> {
    pub(super) env: Arc<E>,
    pub(super) engine: Arc<G>,
    state: NodeState,
}

impl<E, G> fmt::Debug for Replica<E, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replica")
            .field("node", &self.state.cluster.node)
            .finish_non_exhaustive()
    }
}

/// The result of handling a request.
pub(super) enum Handled {
    /// This answer, now.
    Answer(Response),
    /// A write, to be answered after its commit.
    Write(CheckedWrite),
    /// Something for the committing thread to do, which answers it.
    Order(Task),
    /// A poll, to be answered when there is something to tell.
    Watch(WatchRequest),
}

impl Handled {
    fn write(
        destination: Destination,
        key: Bytes,
        leaf: Leaf,
        change: Change,
        record_bytes: usize,
    ) -> Self {
        Self::Write(CheckedWrite {
            destination,
            bytes: key.len() + record_bytes,
            key,
            leaf,
            change,
        })
    }
}

/// A write that passed the checks that need no stored record.
pub(super) struct CheckedWrite {
    pub(super) destination: Destination,
    pub(super) key: Bytes,
    pub(super) leaf: Leaf,
    pub(super) change: Change,
    pub(super) bytes: usize,
}

impl<E: Env, G: Engine> Replica<E, G> {
    /// A replica over `engine`; its committer has the same `state`.
    #[must_use]
    pub fn new(env: E, engine: Arc<G>, state: &NodeState) -> Self {
        Self {
            env: Arc::new(env),
            engine,
            state: state.clone(),
        }
    }

    /// Its runtime.
    #[must_use]
    pub const fn env(&self) -> &Arc<E> {
        &self.env
    }

    /// What it reads from.
    pub(crate) const fn engine(&self) -> &Arc<G> {
        &self.engine
    }

    /// What it shares with its committer.
    #[must_use]
    pub const fn state(&self) -> &NodeState {
        &self.state
    }

    /// Checks one request, and answers it unless it is a write.
    pub(super) fn handle(
        &self,
        caller: Role,
        frame: RequestFrame,
        now: Now,
    ) -> Result<Handled, Refusal> {
        if !caller.may(frame.request.privilege()) {
            return Err(Refusal::Forbidden);
        }
        self.check_member(caller, &frame.request)?;
        self.hear_sync(caller, &frame, now);
        let epoch = frame.epoch;
        let answer = match frame.request {
            Request::Map => map::answer(&self.state.cluster, caller, epoch),
            Request::Status => status::answer(&self.state, self.env.queued_writes(), now),
            Request::Get { key, digest } => self.get(&key, (digest, epoch), now)?,
            Request::Put { key, dot, record } => {
                let leaf = self.locate(&key, epoch)?;
                let change = put::read(dot, &record, &self.state.limits)?;
                return Ok(Handled::write(
                    Destination::Record,
                    key,
                    leaf,
                    change,
                    record.len(),
                ));
            }
            Request::Repair { key, record } => {
                let leaf = self.locate(&key, epoch)?;
                let change = repair::read(&record)?;
                return Ok(Handled::write(
                    Destination::Record,
                    key,
                    leaf,
                    change,
                    record.len(),
                ));
            }
            Request::Sums { level, index } => {
                self.state.cluster.serves(epoch)?;
                self.state.completeness.check()?;
                sums::answer(&self.state.sums, level, index)?
            }
            Request::Hint {
                target,
                key,
                dot,
                record,
            } => {
                self.serves(&key, epoch)?;
                let leaf = hint::locate(&self.state.cluster, (epoch, target), &key)?;
                let change = put::read(dot, &record, &self.state.limits)?;
                return Ok(Handled::write(
                    Destination::Hint(target),
                    key,
                    leaf,
                    change,
                    record.len(),
                ));
            }
            Request::Register(request) => return self.register(request, epoch),
            Request::Hints => hints::answer(&self.state.hints)?,
            Request::Membership(request) => return self.membership(caller, (request, epoch), now),
            Request::Gossip(message) => gossip::answer(&self.state.gossip, caller, &message)?,
            Request::Members => members::answer(&self.state.members),
            Request::Sync(request) => return self.handle_sync(caller, (request, epoch), now),
            Request::Scan(request) => self.scan(&request, epoch, now)?,
            Request::Watch(request) => return self.watch(request, epoch),
            // A request of a newer build, which this one does not know.
            _ => return Err(Refusal::NotReady),
        };
        Ok(Handled::Answer(answer))
    }

    /// What is stored under a key, as far as its registers are settled.
    fn get(
        &self,
        key: &[u8],
        (digest, epoch): (bool, Epoch),
        now: Now,
    ) -> Result<Response, Refusal> {
        let leaf = self.locate(key, epoch)?;
        self.state.completeness.check()?;
        let floor = self.state.stability.floor(leaf);
        // Before the row is read: what is committed in between is in it.
        let is_pending = self.state.registers.is_pending(key);
        let answer = get::answer(&*self.engine, (key, floor), digest)
            .map_err(|error| self.refuse(&error, now))?;
        Ok(if is_pending {
            answer.unsettled(floor)
        } else {
            answer
        })
    }

    /// A step on the register of a key.
    fn register(&self, request: RegisterRequest, epoch: Epoch) -> Result<Handled, Refusal> {
        let RegisterRequest { key, ask } = request;
        let leaf = self.locate(&key, epoch)?;
        if !matches!(ask, RegisterAsk::Commit { .. }) {
            self.state.completeness.check()?;
        }
        let change = register::read(&ask, &self.state.limits)?;
        let (to, bytes) = (Destination::Record, register::record_bytes(&ask));
        Ok(Handled::write(to, key, leaf, change, bytes))
    }

    fn handle_sync(
        &self,
        caller: Role,
        (request, epoch): (SyncRequest, Epoch),
        now: Now,
    ) -> Result<Handled, Refusal> {
        match request {
            SyncRequest::Promise { at_most: clock } => {
                let refused = Time::MAX;
                Ok(Handled::Order(Task::Promise {
                    clock,
                    refused,
                    epoch,
                }))
            }
            SyncRequest::Restore { key, record } => {
                let leaf = self.locate(&key, epoch)?;
                self.check_shared(caller, epoch, leaf)?;
                let (change, bytes) = (repair::restored(&record)?, record.len());
                self.state.stability.add_restored(1);
                Ok(Handled::write(
                    Destination::Record,
                    key,
                    leaf,
                    change,
                    bytes,
                ))
            }
            request => (self.sync(caller, (request, epoch), now)).map(Handled::Answer),
        }
    }

    /// Refuses what an owner of `leaf` alone may ask for.
    fn check_shared(&self, caller: Role, epoch: Epoch, leaf: Leaf) -> Result<(), Refusal> {
        let peer = caller.node().ok_or(Refusal::Forbidden)?;
        let shared = self.state.sync.shared(&self.state.cluster, epoch)?;
        let both_own = shared
            .get(&peer)
            .is_some_and(|shared| shared.contains(leaf));
        both_own.then_some(()).ok_or(Refusal::BadNodes)
    }

    /// Notes that a peer goes through what differs between it and this node.
    fn hear_sync(&self, caller: Role, frame: &RequestFrame, now: Now) {
        let Some(peer) = caller.node().filter(|_| SyncDriver::is_ours(frame.id)) else {
            return;
        };
        // A comparison of totals, a promise and a conditional write being ended are no part of an exchange.
        let is_exchange = !matches!(
            frame.request,
            Request::Sync(SyncRequest::Total | SyncRequest::Promise { .. }) | Request::Register(_)
        );
        if is_exchange {
            self.state.sync.hear(peer, now.mono);
        }
    }

    /// Refuses a node what only nodes do, unless it is a member: by the newest epoch, since it may have become one, or have
    /// been removed, after it connected. Of an epoch that is decided this node hears from anybody who was not removed: all
    /// members that it knows may be gone.
    fn check_member(&self, caller: Role, request: &Request) -> Result<(), Refusal> {
        let Role::Node(node) = caller else {
            return Ok(());
        };
        let cluster = &self.state.cluster;
        let may = match (request, request.privilege()) {
            (Request::Membership(MembershipRequest::Learn { .. }), _) => !cluster.is_removed(node),
            // One that was written off is a member until a change has left it out.
            (_, Privilege::Peer | Privilege::Propose) => {
                cluster.is_member(node) && !cluster.is_removed(node)
            }
            (_, Privilege::Client | Privilege::Admin) => true,
        };
        may.then_some(()).ok_or(Refusal::Forbidden)
    }

    /// The refusal of a request that met damage.
    pub(super) fn refuse(&self, error: &Unreadable, now: Now) -> Refusal {
        self.state.damage.say(error, now.mono);
        Refusal::Storage(error.fault())
    }

    /// Where `key` falls, if this node is one of its replicas.
    pub(super) fn locate(&self, key: &[u8], epoch: Epoch) -> Result<Leaf, Refusal> {
        self.serves(key, epoch)?;
        let cluster = &self.state.cluster;
        let leaf = cluster.leaf_of(key);
        if cluster.owns(epoch, cluster.node, leaf)? {
            Ok(leaf)
        } else {
            Err(Refusal::NotReplica)
        }
    }

    /// Refuses a key that is none, whatever it asks for while the node is stopping, and an epoch that is not served.
    fn serves(&self, key: &[u8], epoch: Epoch) -> Result<(), Refusal> {
        if key.is_empty() || key.len() > MAX_KEY {
            return Err(Refusal::BadKey {
                bytes: u64::try_from(key.len()).unwrap_or(u64::MAX),
            });
        }
        if self.state.service.is_draining() {
            return Err(Refusal::Draining);
        }
        self.state.cluster.serves(epoch)
    }
}
