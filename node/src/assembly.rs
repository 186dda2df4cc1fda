//! A node is assembled here, whatever it runs on: threads in production, events in the simulation.
//!
//! ```text
//!   engine --load--> OpenStore --check--> CheckedStore --(wait)--> assemble --> Assembly
//!            |                   |                                    |
//!            synced, read        a member? a clock?                   state --> walks --> queue --> committer
//!                                                                           --> replica --> dispatcher
//! ```
//!
//! Each step can only follow the one before it. So what must come before what is decided here, once: nothing is read
//! that a loss of power could still take back, and nothing is served from a store that is another node's.
//!
//! Left out, since it differs: where the engine comes from and whether it may be new, waiting, clocks, threads and the
//! network.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use quoit_ring::change::Configuration;
use quoit_ring::wire::{Durability, FirstMap};
use quoit_ring::{Millis, NodeId};

use crate::admission::{MAX_BATCH, Queue};
use crate::change::{ChangeDriver, TransferRate};
use crate::commit::Committer;
use crate::config::{Config, Limits, WriteQueue};
use crate::engine::{Engine, RowCache};
use crate::env::{Env, Now};
use crate::error::StartError;
use crate::expiry::{ExpiryDriver, ExpiryOptions};
use crate::gossip::{GossipDriver, Incarnation};
use crate::handlers::Replica;
use crate::hints::{HintDispatcher, MAX_WINDOW};
use crate::state::NodeState;
use crate::store_meta::{StoreLocation, StoreMeta};
use crate::sync::{SyncDriver, SyncOptions};
use crate::walks::Walks;

/// Settings of a node's parts.
#[derive(Debug, Clone)]
pub struct AssemblyOptions {
    /// Bounds on writes.
    pub limits: Limits,
    /// The failures that an acknowledged write survives.
    pub durability: Durability,
    /// How much may wait for its commit.
    pub write_queue: WriteQueue,
    /// Most writes that share one commit.
    pub max_batch: usize,
    /// How fast hints are delivered.
    pub hints_per_second: u32,
    /// How fast it pulls what moves to it.
    pub transfer: TransferRate,
    /// How it compares itself with others.
    pub sync: SyncOptions,
    /// How fast it removes what has expired.
    pub expiry: ExpiryOptions,
    /// Most hints under way to one node.
    pub hint_window: u32,
    /// Whether a clock that was set back is accepted, for good.
    pub accept_clock_set_back: bool,
    /// Memory of the row cache, in bytes.
    pub row_cache_bytes: u64,
    /// Rows that the walks after a start read in one step.
    pub walk_rows: usize,
    /// For how long the machine has been up at least: what it lost with its power before is older.
    pub machine_up: Duration,
    /// Which life of the node this is, higher than all before.
    pub incarnation: Incarnation,
    /// How it gossips.
    pub gossip: quoit_gossip::Options,
}

impl AssemblyOptions {
    /// What `config` says, with the engine's share of memory for rows.
    pub(crate) fn of(
        config: &Config,
        (row_cache_bytes, walk_rows): (u64, usize),
        incarnation: Incarnation,
    ) -> Self {
        Self {
            limits: Limits::from(config),
            durability: config.durability.into(),
            write_queue: config.write_queue.clone(),
            max_batch: MAX_BATCH,
            hints_per_second: config.hints_per_second,
            transfer: TransferRate {
                bytes_per_second: config.transfer_bytes_per_second,
            },
            sync: SyncOptions {
                interval: Duration::from_millis(config.sync_interval_ms),
                bytes_per_second: config.sync_bytes_per_second,
            },
            expiry: ExpiryOptions {
                keys_per_second: config.expiry_keys_per_second,
            },
            hint_window: MAX_WINDOW,
            accept_clock_set_back: config.accept_clock_set_back,
            row_cache_bytes,
            walk_rows,
            machine_up: Duration::ZERO,
            incarnation,
            gossip: config.gossip(),
        }
    }
}

/// An engine whose contents are durable, and what it says of the node.
///
/// A node in memory, assembled as the one that ships:
///
/// ```
/// # use std::sync::Arc;
/// # use quoit_node::admission::Queue;
/// # use quoit_node::change::TransferRate;
/// # use quoit_node::commit::Order;
/// # use quoit_node::config::{Config, Limits, TlsFiles, WriteQueue};
/// # use quoit_node::engine::MemoryEngine;
/// # use quoit_node::env::{Env, Now, Rejected, Reply};
/// # use quoit_node::expiry::ExpiryOptions;
/// # use quoit_node::gossip::Incarnation;
/// # use quoit_node::identity::May;
/// # use quoit_node::store_meta::StoreLocation;
/// # use quoit_node::sync::SyncOptions;
/// # use quoit_node::write::Write;
/// # use quoit_ring::placement::{Newcomer, grow};
/// # use quoit_ring::wire::{Durability, FirstMap, ResponseFrame};
/// # use quoit_ring::*;
/// use std::time::Duration;
///
/// use quoit_node::assembly::{Assembly, AssemblyOptions, OpenStore};
///
/// # #[derive(Clone)]
/// # struct Answers;
/// # impl Reply for Answers {
/// #     fn send(&self, _answer: &ResponseFrame) {}
/// #     fn flush(&self) {}
/// # }
/// # struct Runtime(Arc<Queue<Answers>>);
/// # impl Env for Runtime {
/// #     type Reply = Answers;
/// #     fn now(&self) -> Now {
/// #         Now::default()
/// #     }
/// #     fn submit(&self, writes: &mut Vec<Write<Answers>>) -> Result<(), Rejected> {
/// #         self.0.push(writes, Moment::default)
/// #     }
/// #     fn order(&self, order: Order<Answers>) -> Result<(), Order<Answers>> {
/// #         self.0.order(order)
/// #     }
/// #     fn queued_writes(&self) -> u32 {
/// #         0
/// #     }
/// # }
/// # let newcomer = Newcomer {
/// #     id: NodeId(1), name: "n".into(), address: "h:1".into(), zone: "z".into(), weight: 100,
/// # };
/// # let empty = ClusterMap {
/// #     cluster: ClusterId(1), epoch: Epoch(1), token_key: TokenKey([0; 16]),
/// #     leaf_bits: LeafBits::new(12).unwrap(), replication: 1, members: vec![],
/// # };
/// # let first = FirstMap { map: grow(empty, [newcomer], 1)?, merkle_key: MerkleKey([7; 16]) };
/// # let location = StoreLocation { path: "data/store".into(), disk: 42, may: May::Begin };
/// # let tls = TlsFiles { ca: "".into(), certificate: "".into(), key: "".into() };
/// # let config = Config::new("".into(), "127.0.0.1:0".parse()?, tls);
/// # let options = AssemblyOptions {
/// #     limits: Limits::from(&config), durability: Durability::Fsync, write_queue: WriteQueue::default(),
/// #     max_batch: 512, hints_per_second: 100, hint_window: 64, accept_clock_set_back: false,
/// #     row_cache_bytes: 4096, walk_rows: 16, incarnation: Incarnation(1), gossip: config.gossip(),
/// #     machine_up: Duration::ZERO,
/// #     transfer: TransferRate { bytes_per_second: 1 << 20 },
/// #     sync: SyncOptions { interval: Duration::from_secs(60), bytes_per_second: 1 << 20 },
/// #     expiry: ExpiryOptions { keys_per_second: 10_000 },
/// # };
/// let now = Now { wall: Millis(1_000_000), ..Now::default() };
/// let store = OpenStore::load(MemoryEngine::new(), Some(&first), &location)?;
/// let store = store.check(NodeId(1), &options, now.wall)?;
/// assert_eq!(store.wait(&options.limits, now.wall), Duration::ZERO, "it has never run");
///
/// let Assembly { mut committer, .. } = store.assemble(&options, (now, 77), Runtime);
/// committer.idle(now)?;
/// committer.finish(now)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct OpenStore<G> {
    engine: G,
    meta: StoreMeta,
    path: PathBuf,
}

impl<G: Engine> OpenStore<G> {
    /// Takes an engine that was just opened at `location`; stores `first` if the store is being initialised.
    ///
    /// # Errors
    /// [`StartError`], as [`StoreMeta::load`]; or the engine could not be synced.
    pub fn load(
        engine: G,
        first: Option<&FirstMap>,
        location: &StoreLocation,
    ) -> Result<Self, StartError> {
        let path = location.path.clone();
        let failed = |source| StartError::Engine {
            path: path.clone(),
            source,
        };
        // Replayed writes may be only in the system's page cache. A repeated write is acknowledged as already stored,
        // which must mean durable.
        engine.persist().map_err(failed)?;

        let meta = StoreMeta::load(&engine, first, location)?;
        Ok(Self { engine, meta, path })
    }

    /// The node has lost writes that it acknowledged, with its machine's power: stores that, synced. It answers no reads until
    /// it has them from the other owners, however often it is started again.
    ///
    /// # Errors
    /// [`StartError`], if it could not be stored.
    pub fn lose(&mut self) -> Result<(), StartError> {
        let lost = self.meta.change.lose(&self.engine);
        lost.map_err(|source| StartError::Engine {
            path: self.path.clone(),
            source,
        })
    }

    /// The engine, to close it.
    #[must_use]
    pub fn into_engine(self) -> G {
        self.engine
    }

    /// Whether `node` may serve from it while its clock shows `wall`.
    ///
    /// # Errors
    /// [`StartError`], as [`StoreMeta::check`]; or the engine's, if it should accept a clock that was set back.
    pub fn check(
        self,
        node: NodeId,
        options: &AssemblyOptions,
        wall: Millis,
    ) -> Result<CheckedStore<G>, StartError> {
        let Self {
            engine,
            mut meta,
            path,
        } = self;
        if options.accept_clock_set_back {
            meta = meta
                .accept_clock_set_back(&engine, &options.limits, wall)
                .map_err(|source| StartError::Engine { path, source })?;
        }
        let meta = meta.check(node, &options.limits, wall)?;
        Ok(CheckedStore { engine, meta, node })
    }
}

/// A store that its node may serve from.
#[derive(Debug)]
pub struct CheckedStore<G> {
    engine: G,
    meta: StoreMeta,
    node: NodeId,
}

impl<G: Engine> CheckedStore<G> {
    /// What was decided last of the ring, as far as the store knows.
    #[must_use]
    pub fn configuration(&self) -> &Configuration {
        self.meta.known.configuration()
    }

    /// How long to wait before serving; see [`StoreMeta::wait`]. The mark may be among what was lost, so then it is as long as
    /// any time that was sent out can have been ahead.
    #[must_use]
    pub fn wait(&self, limits: &Limits, wall: Millis) -> Duration {
        let by_mark = self.meta.wait(limits, wall);
        if self.meta.change.is_incomplete() {
            by_mark.max(Duration::from_millis(limits.max_clock_drift_ms))
        } else {
            by_mark
        }
    }

    /// Assembles the node, which starts `now`, with a random `seed`. `env` makes its runtime around the queue of its committer.
    pub fn assemble<E: Env>(
        self,
        options: &AssemblyOptions,
        (now, seed): (Now, u64),
        env: impl FnOnce(Arc<Queue<E::Reply>>) -> E,
    ) -> Assembly<E, G> {
        let StoreMeta {
            known,
            merkle_key,
            mark,
            promised,
            barred,
            floors,
            change,
        } = self.meta;
        // The row cache needs a secret hash key, too; clients know neither.
        let engine = RowCache::new(self.engine, options.row_cache_bytes, merkle_key.0);
        let engine = Arc::new(engine);
        let settings = (options.limits, options.durability);
        let state = NodeState::new(self.node, known, merkle_key, mark, settings);
        (state.stats).set_pull_rate(options.transfer.bytes_per_second);

        state.stability.promise(promised);
        state.stability.set_floors(floors);
        state.registers.start_at(barred);
        state.registers.load(&*engine);

        let settles_in = settles_in(&options.limits).saturating_sub(options.machine_up);
        state.completeness.set_settles_at(now.mono + settles_in);

        // Before the first commit: the walks must notice whatever it changes.
        let walks = Walks::begin(&*engine, &state, options.walk_rows);
        let committer = Committer::new(Arc::clone(&engine), &state, now).restored(change);

        let bounds = options.write_queue.clone();
        let queue = Arc::new(Queue::with_batch(bounds, merkle_key, options.max_batch));
        let replica = Replica::new(env(Arc::clone(&queue)), Arc::clone(&engine), &state);
        let cluster = Arc::clone(&state.cluster);
        let dispatcher = HintDispatcher::new(cluster, options.hints_per_second);
        Assembly {
            engine,
            walks,
            queue,
            committer,
            replica: Arc::new(replica),
            change: ChangeDriver::new(&state, options.transfer, seed, now.mono),
            sync: SyncDriver::new(&state, options.sync, seed.rotate_left(16)),
            expiry: ExpiryDriver::new(&state, options.expiry, now.mono),
            gossip: GossipDriver::new(
                &state,
                (options.incarnation, options.gossip.clone()),
                seed.rotate_left(32), // not the change's randomness
                now.mono,
            ),
            dispatcher: dispatcher.with_max_window(options.hint_window),
            state,
        }
    }
}

/// After what time no write is joined any more that was under way before: its age is checked, by clocks that may differ.
const fn settles_in(limits: &Limits) -> Duration {
    Duration::from_millis(limits.max_write_age_ms + 2 * limits.max_clock_drift_ms)
}

/// The parts of one node, each to be driven by its thread or event.
pub struct Assembly<E: Env, G: Engine> {
    /// What the others read and write.
    pub engine: Arc<RowCache<G>>,
    /// What they share.
    pub state: NodeState,
    /// Counts and sums up what is stored.
    pub walks: Walks<RowCache<G>>,
    /// From the replica to the committer.
    pub queue: Arc<Queue<E::Reply>>,
    /// Commits what the queue holds.
    pub committer: Committer<RowCache<G>>,
    /// Answers requests.
    pub replica: Arc<Replica<E, RowCache<G>>>,
    /// Delivers hints.
    pub dispatcher: HintDispatcher,
    /// Takes part in changes of the ring.
    pub change: ChangeDriver,
    /// Takes part in gossip.
    pub gossip: GossipDriver,
    /// Compares what it has with the other owners.
    pub sync: SyncDriver,
    /// Removes what has expired.
    pub expiry: ExpiryDriver,
}

impl<E: Env, G: Engine> fmt::Debug for Assembly<E, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Assembly")
            .field("node", &self.state.cluster.node)
            .finish_non_exhaustive()
    }
}
