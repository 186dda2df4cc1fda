//! Requests: what a replica answers. One request, one file.
//!
//! ```text
//!   frame --decode--> in time? may the caller? --> get, map, status, sums, hints ------> answer now
//!                                              '-> put, repair, hint --> gathered --submit--> answer after the commit
//! ```
//!
//! A [`Session`] is one caller's view of the [`Replica`]: who it is, where its answers go, and the writes
//! gathered since the last [`Session::submit`]. A driver feeds it every frame that one read brought and then
//! submits once, so that one wake-up of the committer serves them all.
//!
//! What is checked here needs no look at what is stored; the rest is checked where the write is joined.
//! Nothing here waits, reads a clock or starts anything: time comes in, effects go through
//! [`Env`].
//!
//! A frame may have waited before it gets here; what is left of its budget then is what counts. One whose time is
//! over is refused before anything is looked up or checked, reads and writes alike: nobody waits for it.
//!
//! Invariant: every frame that decodes is answered exactly once.

mod get;
mod hint;
mod hints;
mod map;
mod put;
mod repair;
mod status;
mod sums;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quoit_ring::role::Role;
use quoit_ring::wire::{
    DecodeError, MAX_KEY, Refusal, Request, RequestFrame, Response, ResponseFrame,
};
use quoit_ring::{Epoch, Leaf};

use crate::engine::Engine;
use crate::env::{Env, Now, Rejected, Reply};
use crate::state::NodeState;
use crate::write::{Change, Destination, Write};

/// A node's answering half; the other is the [`Committer`](crate::commit::Committer).
///
/// A node in memory, in which a write is committed when the caller says so:
///
/// ```
/// # use std::sync::{Arc, Mutex};
/// # use bytes::BytesMut;
/// # use quoit_node::commit::Committer;
/// # use quoit_node::config::{Config, Limits, TlsFiles};
/// # use quoit_node::engine::MemoryEngine;
/// # use quoit_node::env::{Env, Now, Rejected, Reply};
/// # use quoit_node::handlers::{Replica, Session};
/// # use quoit_node::state::NodeState;
/// # use quoit_node::write::Write;
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
/// # let state = NodeState::new(NodeId(1), ring, MerkleKey([0; 16]), Time::ZERO, settings);
/// let (engine, runtime, answers) = (Arc::new(MemoryEngine::new()), Runtime::default(), Answers::default());
/// let replica = Replica::new(runtime.clone(), Arc::clone(&engine), &state);
/// let mut session = Session::new(Arc::new(replica), Role::Client, answers.clone());
/// let mut committer = Committer::new(engine, &state);
///
/// let now = runtime.now();
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
    env: Arc<E>,
    engine: Arc<G>,
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
enum Handled {
    /// This answer, now.
    Answer(Response),
    /// A write, to be answered after its commit.
    Write(CheckedWrite),
}

/// A write that passed the checks that need no stored record.
struct CheckedWrite {
    destination: Destination,
    key: Bytes,
    leaf: Leaf,
    change: Change,
    bytes: usize,
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

    fn step(&self, caller: Role, frame: RequestFrame, now: Now) -> Result<Handled, Refusal> {
        if !caller.may(frame.request.privilege()) {
            return Err(Refusal::Forbidden);
        }
        let epoch = frame.epoch;
        let answer = match frame.request {
            Request::Map => map::answer(&self.state.cluster),
            Request::Status => status::answer(&self.state, self.env.queued_writes(), now),
            Request::Get { key, digest } => {
                self.locate(&key, epoch)?;
                get::answer(&*self.engine, &key, digest)?
            }
            Request::Put { key, dot, record } => {
                let leaf = self.locate(&key, epoch)?;
                let bytes = key.len() + record.len();
                let change = put::read(dot, &record, &self.state.limits)?;
                return Ok(Handled::Write(CheckedWrite {
                    destination: Destination::Record,
                    key,
                    leaf,
                    change,
                    bytes,
                }));
            }
            Request::Repair { key, record } => {
                let leaf = self.locate(&key, epoch)?;
                let bytes = key.len() + record.len();
                let change = repair::read(&record)?;
                return Ok(Handled::Write(CheckedWrite {
                    destination: Destination::Record,
                    key,
                    leaf,
                    change,
                    bytes,
                }));
            }
            Request::Sums { level, index } => {
                self.current(epoch)?;
                sums::answer(&self.state.sums, level, index)?
            }
            Request::Hint {
                target,
                key,
                dot,
                record,
            } => {
                self.serves(&key, epoch)?;
                let leaf = hint::locate(&self.state.cluster, target, &key)?;
                let bytes = key.len() + record.len();
                let change = put::read(dot, &record, &self.state.limits)?;
                return Ok(Handled::Write(CheckedWrite {
                    destination: Destination::Hint(target),
                    key,
                    leaf,
                    change,
                    bytes,
                }));
            }
            Request::Hints => hints::answer(&self.state.hints)?,
            // Asked for by a newer build; this one has nothing to say to it.
            _ => return Err(Refusal::NotReady),
        };
        Ok(Handled::Answer(answer))
    }

    /// Where `key` falls, if this node is one of its replicas.
    fn locate(&self, key: &[u8], epoch: Epoch) -> Result<Leaf, Refusal> {
        self.serves(key, epoch)?;
        let cluster = &self.state.cluster;
        let leaf = cluster.leaf_of(key);
        if cluster.ring.owns(cluster.node, leaf) {
            Ok(leaf)
        } else {
            Err(Refusal::NotReplica)
        }
    }

    /// Refuses a key that is none, whatever it asks for while the node is stopping, and an old ring.
    fn serves(&self, key: &[u8], epoch: Epoch) -> Result<(), Refusal> {
        if key.is_empty() || key.len() > MAX_KEY {
            return Err(Refusal::BadKey {
                bytes: u64::try_from(key.len()).unwrap_or(u64::MAX),
            });
        }
        if self.state.service.is_draining() {
            return Err(Refusal::Draining);
        }
        self.current(epoch)
    }

    /// Refuses a caller whose ring is older than this node's.
    fn current(&self, epoch: Epoch) -> Result<(), Refusal> {
        if epoch < self.state.cluster.epoch() {
            Err(Refusal::OldEpoch)
        } else {
            Ok(())
        }
    }
}

/// One caller of a [`Replica`].
pub struct Session<E: Env, G> {
    replica: Arc<Replica<E, G>>,
    caller: Role,
    reply: E::Reply,
    writes: Vec<Write<E::Reply>>,
}

impl<E: Env, G> fmt::Debug for Session<E, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("caller", &self.caller)
            .finish_non_exhaustive()
    }
}

impl<E: Env, G: Engine> Session<E, G> {
    /// A session for a caller whose role was verified; its answers go to `reply`.
    #[must_use]
    pub const fn new(replica: Arc<Replica<E, G>>, caller: Role, reply: E::Reply) -> Self {
        Self {
            replica,
            caller,
            reply,
            writes: Vec::new(),
        }
    }

    /// The replica it talks to.
    #[must_use]
    pub fn replica(&self) -> &Replica<E, G> {
        &self.replica
    }

    /// Takes one frame (without its length field) that has just come: answers it, or gathers its write.
    ///
    /// # Errors
    /// [`DecodeError`] if it is not a request: the caller speaks another language, and is best left.
    pub fn handle(&mut self, frame: Bytes, now: Now) -> Result<(), DecodeError> {
        self.handle_after(Duration::ZERO, frame, now)
    }

    /// Takes one frame, like [`Session::handle`], that has `waited` at this node already: as much less is left
    /// of its budget. One that has nothing left is answered [`Refusal::Expired`] and costs nothing more.
    ///
    /// # Errors
    /// [`DecodeError`] if it is not a request: the caller speaks another language, and is best left.
    pub fn handle_after(
        &mut self,
        waited: Duration,
        frame: Bytes,
        now: Now,
    ) -> Result<(), DecodeError> {
        let frame = RequestFrame::decode(frame)?;
        let (id, budget) = (frame.id, Duration::from_millis(u64::from(frame.budget_ms)));
        let left = budget.saturating_sub(waited);
        let step = if left.is_zero() {
            Err(Refusal::Expired)
        } else {
            self.replica.step(self.caller, frame, now)
        };
        let response = match step {
            Ok(Handled::Answer(response)) => response,
            Err(refusal) => Response::Refused(refusal),
            Ok(Handled::Write(CheckedWrite {
                destination,
                key,
                leaf,
                change,
                bytes,
            })) => {
                let (arrived, deadline) = (now.mono, now.mono + left);
                let reply = Some(self.reply.clone());
                self.writes.push(Write {
                    id,
                    reply,
                    destination,
                    key,
                    leaf,
                    change,
                    bytes,
                    arrived,
                    deadline,
                });
                return Ok(());
            }
        };
        self.send(id, response, now);
        Ok(())
    }

    /// Refuses a request of which no more than its id was read.
    pub(crate) fn refuse(&self, id: u64, refusal: Refusal, now: Now) {
        self.send(id, Response::Refused(refusal), now);
    }

    /// Hands the gathered writes over to the committer, refuses those that it does not take, and lets all
    /// answers so far go out.
    pub fn submit(&mut self, now: Now) {
        if !self.writes.is_empty()
            && let Err(rejected) = self.replica.env.submit(&mut self.writes)
        {
            let refusal = match rejected {
                Rejected::Overloaded { queue_ms } => Refusal::Overloaded { queue_ms },
                Rejected::Closed => Refusal::Draining,
            };
            let mut refused = std::mem::take(&mut self.writes);
            for write in refused.drain(..) {
                self.send(write.id, Response::Refused(refusal), now);
            }
            self.writes = refused;
        }
        self.reply.flush();
    }

    fn send(&self, id: u64, response: Response, now: Now) {
        let state = &self.replica.state;
        let (epoch, clock) = (state.cluster.epoch(), state.clock.reading(now));
        self.reply.send(&ResponseFrame {
            id,
            epoch,
            clock,
            response,
        });
    }
}
