//! A whole node: its parts, and the order in which they start and stop.
//!
//! ```text
//!   start   certificates --> data directory --> engine --> map, clock --> socket --> "running" --> threads
//!   stop    requests refused --> queue emptied, committer ends --> answers delivered, connections closed
//!           --> clock and data made durable --> engine closed --> "stopped in order"
//! ```
//!
//! | thread | does |
//! | --- | --- |
//! | `quoit-io` | all connections, all reads, the delivery of hints |
//! | `quoit-commit` | all writes |
//! | `quoit-background` | rebuilds the Merkle sums, counts the hints, watches the committer |
//!
//! A node dropped without [`Node::stop`] ends as in a crash, but waits for its threads. A node whose storage failed
//! refuses reads and writes until it is stopped: the engine's memory may differ from the disk.

mod background;
mod surroundings;
mod worker;

use std::fmt;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use quoit_ring::NodeId;
use quoit_ring::wire::FirstMap;
use quoit_transport::quic;

use self::background::{Background, PIECE};
use self::worker::Worker;
use crate::admission::Queue;
use crate::clock::Clocks;
use crate::commit::Committer;
use crate::config::{Config, Limits};
use crate::engine::{Engine as _, EngineError, EngineOptions, FjallEngine, LEAST_MEMORY, RowCache};
use crate::env::RealEnv;
use crate::error::{StartError, StopError};
use crate::handlers::Replica;
use crate::hints::HintDispatcher;
use crate::identity::{DataDir, Expected, IdentityError};
use crate::provision::{MapError, read_map};
use crate::server::{Answers, Server, ServerOptions};
use crate::state::NodeState;
use crate::store_meta::{StoreLocation, StoreMeta};
use crate::tls::{ExpiryWatch, NodeTls};
use crate::walks::Walks;

/// The Merkle tree's share of a node's memory: 16 bytes for each of 2^20 leaves, and a 15th of that above.
const TREE_BYTES: u64 = 18 << 20;

/// The engine of a real node.
type NodeEngine = RowCache<FjallEngine>;

/// A running node. See the [crate] for how to start one.
pub struct Node {
    // Dropped in this order: the threads before what they use, the lock on the directory last.
    server: Server,
    worker: Worker<NodeEngine, Answers>,
    background: Background,
    engine: Arc<NodeEngine>,
    state: NodeState,
    clocks: Clocks,
    data: DataDir,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("id", &self.id())
            .field("address", &self.address())
            .finish_non_exhaustive()
    }
}

impl Node {
    /// Starts a node; returns once it serves. Blocks: after a crash until the engine has replayed its journals,
    /// and within seconds of the last run for up to the allowed clock drift, so that values which readers saw
    /// expired stay so.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running. A new data directory may have been initialised.
    pub fn start(config: &Config) -> Result<Self, StartError> {
        config.check()?;
        let tls = NodeTls::load(&config.tls)?;

        let (mut data, first) = take_directory(config, tls.node())?;
        let (engine, options) = open(&data, config)?;
        let (limits, clocks) = (Limits::from(config), Clocks::start());
        let meta = StoreMeta::load(&engine, first.as_ref(), &location(&data))?;
        let meta = if config.accept_clock_set_back {
            meta.accept_clock_set_back(&engine, &limits, clocks.now().wall)
                .map_err(|source| StartError::Engine {
                    path: location(&data).path,
                    source,
                })?
        } else {
            meta
        };
        let meta = meta.check(tls.node(), &limits, clocks.now().wall)?;
        std::thread::sleep(meta.wait(&limits, clocks.now().wall));

        let StoreMeta {
            ring,
            merkle_key,
            mark,
        } = meta;
        // The row cache needs a secret hash key, too; clients know neither.
        let engine = Arc::new(RowCache::new(engine, options.rows(), merkle_key.0));
        let settings = (limits, config.durability.into());
        let state = NodeState::new(tls.node(), ring, merkle_key, mark, settings);
        let walks = Walks::begin(&*engine, &state, PIECE);

        let socket = listen(config.listen)?;
        data.mark_running()?;

        let queue = Arc::new(Queue::<Answers>::new(config.write_queue.clone()));
        let committer = Committer::new(Arc::clone(&engine), &state);
        let worker =
            Worker::start(Arc::clone(&queue), committer, clocks).map_err(StartError::Thread)?;
        let expiry = ExpiryWatch::new(config.tls.certificate.clone(), tls.not_after());
        let background = Background::start(walks, &engine, worker.watched(), expiry, clocks)
            .map_err(StartError::Thread)?;

        let env = RealEnv::new(clocks, queue);
        let replica = Arc::new(Replica::new(env, Arc::clone(&engine), &state));
        let dispatcher = HintDispatcher::new(Arc::clone(&state.cluster), config.hints_per_second);
        let options = ServerOptions {
            socket,
            endpoint: data.endpoint_config(),
            server: tls.server_config(),
            client: tls.client_config(),
            max_connections: config.max_connections,
            dispatcher,
        };
        let server = Server::start(options, replica).map_err(StartError::Thread)?;

        tracing::info!(node = %state.cluster.node, address = %server.address(), "serving");
        surroundings::look(&state.cluster, server.address());
        Ok(Self {
            server,
            worker,
            background,
            engine,
            state,
            clocks,
            data,
        })
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.state.cluster.node
    }

    /// Its address: `listen`, with the real port if that was 0.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The failure of its storage, if any. The node then serves no keys and should be stopped.
    #[must_use]
    pub fn failure(&self) -> Option<EngineError> {
        self.worker.failure().get()
    }

    /// Waits until its storage fails; for ever if it does not.
    pub async fn failed(&self) -> EngineError {
        self.worker.failure().wait().await
    }

    /// Stops in order: refuses new requests, answers the accepted ones, delivers the answers, makes all
    /// durable. Blocks for at most `grace`, the last sync, and a look at the journals.
    ///
    /// # Errors
    /// [`StopError`]. The node is stopped nevertheless; the next start treats it as a crash.
    pub fn stop(self, grace: Duration) -> Result<(), StopError> {
        let Self {
            mut server,
            mut worker,
            background,
            engine,
            state,
            clocks,
            mut data,
        } = self;
        let deadline = clocks.now().mono + grace;
        let left = || deadline.saturating_since(clocks.now().mono);

        state.service.drain();
        let committer = worker.finish(left());
        server.finish(left());
        background.stop();
        committer?.finish(clocks.now())?;

        drop((server, worker)); // the last handles to the engine
        close(engine)?;
        data.mark_clean()?;
        tracing::info!(node = %state.cluster.node, "stopped in order");
        Ok(())
    }
}

/// Takes the data directory for `node`; returns the first map, too, if its file exists.
fn take_directory(
    config: &Config,
    node: NodeId,
) -> Result<(DataDir, Option<FirstMap>), StartError> {
    let (first, missing) = match config.map.as_deref().map(read_map).transpose() {
        Ok(first) => (first, None),
        // The file is needed only for a new directory: the directory decides whether it is missed.
        Err(error) if is_missing(&error) => (None, Some(error)),
        Err(error) => return Err(error.into()),
    };
    let cluster = first.as_ref().map(|first| first.map.cluster);
    match (
        DataDir::open(&config.data, Expected { cluster, node }),
        missing,
    ) {
        (Ok(data), _) => Ok((data, first)),
        (Err(IdentityError::NoMap { .. }), Some(missing)) => Err(missing.into()),
        (Err(error), _) => Err(error.into()),
    }
}

fn is_missing(error: &MapError) -> bool {
    matches!(error, MapError::Read { source, .. } if source.kind() == io::ErrorKind::NotFound)
}

fn location(data: &DataDir) -> StoreLocation {
    StoreLocation {
        path: data.store(),
        disk: data.identity().disk,
        has_run: data.has_run(),
    }
}

/// Opens the engine of a data directory.
fn open(data: &DataDir, config: &Config) -> Result<(FjallEngine, EngineOptions), StartError> {
    let path = data.store();
    let failed = |source| StartError::Engine {
        path: path.clone(),
        source,
    };
    // The engine would create a missing store, which is right only before the node's first run.
    if data.has_run() && !FjallEngine::is_in(&path).map_err(failed)? {
        return Err(StartError::StoreGone { path });
    }

    if !data.was_clean() {
        tracing::warn!("the node did not stop in order: its journals are read back");
    }
    let memory = config.memory.saturating_sub(TREE_BYTES).max(LEAST_MEMORY);
    let options = EngineOptions {
        memory,
        phase: data.identity().disk,
        ..EngineOptions::default()
    };
    let engine = FjallEngine::open(&path, options).map_err(failed)?;

    // Replayed writes may be only in the system's page cache. A repeated write is acknowledged as already stored, which
    // must mean durable.
    engine.persist().map_err(failed)?;
    Ok((engine, options))
}

fn listen(address: SocketAddr) -> Result<UdpSocket, StartError> {
    quic::bind(address).map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => StartError::PortInUse { address },
        _ => StartError::Listen { address, source },
    })
}

/// Closes the engine; everything that used it has ended.
fn close(engine: Arc<NodeEngine>) -> Result<(), EngineError> {
    if let Some(engine) = Arc::into_inner(engine) {
        return engine.into_inner().close();
    }
    tracing::error!("the engine is still in use while it should close");
    Ok(())
}
