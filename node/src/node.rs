//! A whole node: its parts, and the order in which they start and stop.
//!
//! ```text
//!   init    certificates --> map --> data directory, engine: made; closed
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
//! | `quoit-metrics` | answers scrapes, where `metrics` names an address; the node lives without it |
//!
//! A node without one of them is of no use, so each that ends before its time, by a panic or otherwise, fails the node.
//!
//! A node dropped without [`Node::stop`] ends as in a crash, but waits for its threads. A node whose storage failed
//! refuses reads and writes until it is stopped: the engine's memory may differ from the disk.

mod background;
mod former_runs;
pub(crate) mod opening;
mod surroundings;
mod worker;

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use quoit_ring::change::Configuration;
use quoit_ring::wire::DiskLevel;
use quoit_ring::{Millis, NodeId};
use quoit_transport::quic;
use rand::TryRngCore as _;
use rand::rngs::OsRng;

use self::background::{Background, PIECE};
use self::former_runs::Start;
use self::opening::Opened;
use self::worker::Worker;
use crate::assembly::{Assembly, AssemblyOptions};
use crate::boot::Boot;
use crate::clock::Clocks;
use crate::config::Config;
use crate::engine::{Engine as _, EngineError, FjallEngine, RowCache};
use crate::env::RealEnv;
use crate::error::{StartError, StopError};
use crate::failure::NodeFailure;
use crate::gossip::Incarnation;
use crate::identity::{DataDir, Identity, IdentityError};
use crate::metrics::{MetricsServer, Page};
use crate::server::{Answers, SeatBounds, Server, ServerOptions};
use crate::state::{ConnectionEvent, NodeState};
use crate::tls::{ExpiryWatch, NodeTls};

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
    metrics: Option<MetricsServer>,
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
    /// Makes the data directory of `config` this node's; once, before its first start. The directory must be absent or
    /// empty, and `map` given. Blocks for some syncs of the disk. Cut short, by a loss of power perhaps, it is done
    /// again and goes on where it was.
    ///
    /// [`Node::start`] never does this by itself: to a node whose disk is not mounted or was wiped everything looks as
    /// before its first start, and beginning with nothing it would answer that keys are absent which it has promised to
    /// keep. So call this where the node is set up, never just in case before each start.
    ///
    /// ```
    /// # use quoit_node::provision::{LocalCluster, LocalOptions};
    /// # use quoit_ring::LeafBits;
    /// use quoit_node::identity::IdentityError;
    /// use quoit_node::{Node, StartError, config::Config};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let options = LocalOptions { leaf_bits: LeafBits::new(12).unwrap(), nodes: 1, replication: 1, ..Default::default() };
    /// # let cluster = LocalCluster::create_or_open(&folder.path().join("c"), &options)?;
    /// # let mut config = Config::load(&cluster.nodes()[0].config)?;
    /// # config.data = folder.path().join("data");
    /// let early = Node::start(&config).unwrap_err();
    /// assert!(matches!(early, StartError::Identity(IdentityError::NoDirectory { .. })));
    ///
    /// let identity = Node::init(&config)?;
    /// let node = Node::start(&config)?;
    /// assert_eq!(node.id(), identity.node);
    ///
    /// drop(node);
    /// let again = Node::init(&config).unwrap_err();
    /// assert!(matches!(again, StartError::Identity(IdentityError::Initialised { .. })));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StartError`]. A directory that holds anything is left as it was.
    pub fn init(config: &Config) -> Result<Identity, StartError> {
        opening::init(config)
    }

    /// Starts a node on the directory that [`Node::init`] made its own; returns once it serves. Blocks: after a crash until the engine has replayed its journals,
    /// and within seconds of the last run for up to the allowed clock drift, so that values which readers saw
    /// expired stay so.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running, and a directory that is not this node's is left as it was.
    pub fn start(config: &Config) -> Result<Self, StartError> {
        Self::start_in(config, Boot::read())
    }

    /// The same in a boot of the machine that the caller names. After a loss of power a node that acknowledges before it syncs
    /// ([`Durability`](crate::config::Durability)) may have lost its last writes, and gets them back from the other owners: a
    /// boot that differs from the last run's is how it knows.
    ///
    /// # Errors
    /// As [`Node::start`].
    pub fn start_in(config: &Config, boot: Boot) -> Result<Self, StartError> {
        config.check()?;
        let tls = NodeTls::load(&config.tls)?;

        let Opened {
            mut data,
            mut store,
            options,
        } = opening::to_run(config, tls.node())?;
        if data.last_run().has_lost(boot.id) {
            warn_of_lost_power();
            store.lose()?;
        }
        let incarnation = Incarnation(data.runs() + 1);
        let mut options = AssemblyOptions::of(config, (options.rows(), PIECE), incarnation);
        options.machine_up = boot.up;
        let clocks = Clocks::start();
        let store = store.check(tls.node(), &options, clocks.now().wall)?;
        options.incarnation = run_number(config, &mut data, (&tls, store.configuration()))?;
        std::thread::sleep(store.wait(&options.limits, clocks.now().wall));

        let seed = OsRng.try_next_u64().map_err(IdentityError::Entropy)?;
        let Assembly {
            engine,
            state,
            walks,
            queue,
            committer,
            replica,
            dispatcher,
            change,
            gossip,
            sync,
            expiry: sweep,
        } = store.assemble(&options, (clocks.now(), seed), |queue| {
            RealEnv::new(clocks, queue)
        });
        note_free_space(&engine, &state);

        let (socket, port) = (listen(config, &state)?, metrics_port(config)?);
        data.mark_running(config.durability.into(), boot.id)?;

        let worker = Worker::start(queue, committer, clocks).map_err(StartError::Thread)?;
        let expiry = (certificate_watch(config, &tls), Arc::clone(&state.warnings));
        let background = Background::start(walks, &engine, worker.watched(), expiry, clocks)
            .map_err(StartError::Thread)?;

        let options = ServerOptions {
            socket,
            endpoint: data.endpoint_config(),
            server: tls.server_config(),
            client: tls.client_config(),
            seats: seats(config),
            dispatcher,
            change,
            gossip,
            sync,
            sweep,
            gossip_seeds: config.seeds.clone(),
            failure: worker.failure().clone(),
        };
        let server = Server::start(options, replica).map_err(StartError::Thread)?;

        tracing::info!(node = %state.cluster.node, address = %server.address(), "serving");
        surroundings::look(&state, server.address(), clocks.now().mono);
        let node = Self {
            server,
            worker,
            background,
            metrics: None,
            engine,
            state,
            clocks,
            data,
        };
        node.serve_metrics(port, tls.not_after())
    }

    fn serve_metrics(
        mut self,
        port: Option<TcpListener>,
        certificate_ends: Millis,
    ) -> Result<Self, StartError> {
        if let Some(port) = port {
            let worker = self.worker.watched();
            let page = Page {
                state: self.state.clone(),
                queued_writes: Box::new(move || worker.queued()),
                certificate_ends,
                clocks: self.clocks,
            };
            let server = MetricsServer::start(port, page).map_err(StartError::Thread)?;
            tracing::info!(address = %server.address(), "serving metrics");
            self.metrics = Some(server);
        }
        Ok(self)
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.state.cluster.node
    }

    /// How often `event` has happened to callers since the start.
    #[must_use]
    pub fn counted(&self, event: ConnectionEvent) -> u64 {
        self.state.service.counted(event)
    }

    /// Its address: `listen`, with the real port if that was 0.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Where its metrics are read; `metrics` of the configuration, with the real port if that was 0.
    #[must_use]
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics.as_ref().map(MetricsServer::address)
    }

    /// Why it is of no more use, if so: its storage failed, or one of its threads has ended by a defect. It should be
    /// stopped then. The library never ends the process.
    #[must_use]
    pub fn failure(&self) -> Option<NodeFailure> {
        self.worker.failure().get()
    }

    /// Waits until there is a [`Node::failure`]; for ever if none comes. A program that runs a node waits for this beside
    /// its signals, as [`run`](crate::run()) does: without it a node that is of no use looks alive.
    pub async fn failed(&self) -> NodeFailure {
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
            metrics,
            engine,
            state,
            clocks,
            mut data,
        } = self;
        let deadline = clocks.now().mono + grace;
        let left = || deadline.saturating_since(clocks.now().mono);
        let is_removed = matches!(worker.failure().get(), Some(NodeFailure::Removed));

        state.service.drain();
        let committer = worker.finish(left());
        server.finish(left());
        background.stop();
        committer?.finish(clocks.now())?;

        drop((server, worker, metrics)); // the last handles to the engine
        close(engine)?;
        if is_removed {
            data.mark_removed()?;
        } else {
            data.mark_clean()?;
        }
        tracing::info!(node = %state.cluster.node, "stopped in order");
        Ok(())
    }
}

/// The number of the run that begins, if the members know of no later one, or that is accepted.
fn run_number(
    config: &Config,
    data: &mut DataDir,
    (tls, now): (&NodeTls, &Configuration),
) -> Result<Incarnation, StartError> {
    // On a disk that has never run nothing can be missing.
    if data.runs() > 0 {
        let next = Incarnation(data.runs() + 1);
        let start = Start::of(tls.node(), now, next, config);
        let Incarnation(begins) = former_runs::check(start, tls)?;
        data.run_after(begins - 1);
    }
    Ok(Incarnation(data.runs() + 1))
}

fn warn_of_lost_power() {
    tracing::warn!(
        "the machine has lost power since the node ran, and the node acknowledges before it syncs: it may have lost its \
         last writes, and answers no reads until it has them from the other owners"
    );
}

/// Shows how much is free: the committer looks with the first write only, and one that waits to join has none.
fn note_free_space(engine: &NodeEngine, state: &NodeState) {
    let free = engine.free_space().map_or(0, |space| space.free);
    state.stats.set_disk(DiskLevel::default(), free);
}

fn certificate_watch(config: &Config, tls: &NodeTls) -> ExpiryWatch {
    ExpiryWatch::new(config.tls.certificate.clone(), tls.not_after())
}

fn seats(config: &Config) -> SeatBounds {
    let bound = |connections: usize| u32::try_from(connections).unwrap_or(u32::MAX);
    SeatBounds {
        connections: bound(config.max_connections),
        per_identity: bound(config.connections_per_identity()),
    }
}

fn metrics_port(config: &Config) -> Result<Option<TcpListener>, StartError> {
    let bind = |address| {
        MetricsServer::bind(address).map_err(|source| StartError::Metrics { address, source })
    };
    config.metrics.map(bind).transpose()
}

fn listen(config: &Config, state: &NodeState) -> Result<UdpSocket, StartError> {
    let address = config.listen;
    let socket = quic::bind(address).map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => StartError::PortInUse { address },
        _ => StartError::Listen { address, source },
    })?;
    if config.address_hints
        && let Ok(listening) = socket.local_addr()
    {
        state.addresses.listen_at(listening);
    }
    Ok(socket)
}

/// Closes the engine; everything that used it has ended.
fn close(engine: Arc<NodeEngine>) -> Result<(), EngineError> {
    if let Some(engine) = Arc::into_inner(engine) {
        return engine.into_inner().close();
    }
    tracing::error!("the engine is still in use while it should close");
    Ok(())
}
