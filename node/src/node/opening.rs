//! Initialising a node's data directory, and opening it to run.
//!
//! ```text
//!   to initialise   map names the node? --> identity, incomplete --> store --> first map --> closed --> complete
//!   to join       member says what is decided --> the same, with that beside the map
//!   to run                                  identity             --> store --> stored map
//!   to change by hand                       the same, and it is closed again: no node runs
//! ```
//!
//! Both go the same way; what may be made on it is [`Found::may`](crate::identity::Found::may)'s to say. Each arrow of
//! the first line is durable before the next step, so a loss of power leaves nothing, or what is known to be incomplete
//! and is gone on with, or a node.

use std::io;
use std::sync::Arc;

use quoit_ring::change::{Configuration, Known};
use quoit_ring::placement::Ring;
use quoit_ring::wire::FirstMap;
use quoit_ring::wire::configuration::encode_configuration;
use quoit_ring::{MerkleKey, NodeId};

use super::TREE_BYTES;
use super::background::PIECE;
use crate::assembly::{Assembly, AssemblyOptions, OpenStore};
use crate::clock::Clocks;
use crate::config::Config;
use crate::engine::layout::META_CONFIGURATION;
use crate::engine::{
    Batch, Durability, Engine as _, EngineError, EngineOptions, FjallEngine, Keyspace, LEAST_MEMORY,
};
use crate::env::RealEnv;
use crate::error::StartError;
use crate::gossip::Incarnation;
use crate::identity::{Act, DataDir, Expected, Identity};
use crate::provision::{MapError, read_map};
use crate::server::Answers;
use crate::store_meta::StoreLocation;
use crate::tls::NodeTls;

/// A data directory with its store open.
pub(super) struct Opened {
    pub(super) data: DataDir,
    pub(super) store: OpenStore<FjallEngine>,
    pub(super) options: EngineOptions,
}

/// Initialises the data directory of a configuration.
pub(super) fn init(config: &Config) -> Result<Identity, StartError> {
    config.check()?;
    let node = NodeTls::load(&config.tls)?.node();
    // All that can be wrong with the map is found before anything is written.
    let first = read_map(config.map.as_deref().ok_or(StartError::NoMap)?)?;
    let cluster = first.map.cluster;
    if Ring::new(&first.map)?.member(node).is_none() {
        return Err(StartError::NotAMember { node, cluster });
    }

    let Opened {
        mut data, store, ..
    } = open(config, node, Some(&first), Act::Initialise)?;
    let closed = store.into_engine().close();
    closed.map_err(|source| StartError::Engine {
        path: data.store(),
        source,
    })?;
    data.mark_clean()?;
    Ok(data.identity())
}

/// Initialises the data directory of a configuration for a node that is to join a cluster which is there.
pub(crate) fn init_joining(
    config: &Config,
    node: NodeId,
    (now, merkle_key): (&Configuration, MerkleKey),
) -> Result<Identity, StartError> {
    config.check()?;
    let first = FirstMap {
        map: now.map.clone(),
        merkle_key,
    };
    let Opened {
        mut data, store, ..
    } = open(config, node, Some(&first), Act::Initialise)?;
    let engine = store.into_engine();
    let failed = |source| StartError::Engine {
        path: data.store(),
        source,
    };
    // A map alone is that of a first epoch. Until the directory is marked, nothing runs on it.
    let mut batch = Batch::with_capacity(1);
    batch.insert(
        Keyspace::Meta,
        META_CONFIGURATION,
        encode_configuration(now),
    );
    engine.commit(batch, Durability::Fsync).map_err(failed)?;
    engine.close().map_err(failed)?;
    data.mark_clean()?;
    Ok(data.identity())
}

/// Opens the data directory of a configuration to run `node`.
pub(super) fn to_run(config: &Config, node: NodeId) -> Result<Opened, StartError> {
    // The file was needed once; if it is still there, it should be this cluster's.
    let first = config.map.as_deref().and_then(|path| match read_map(path) {
        Ok(first) => Some(first),
        Err(error) if is_missing(&error) => None,
        Err(error) => {
            tracing::warn!(%error, "the first map is not checked: the stored one counts");
            None
        }
    });
    open(config, node, first.as_ref(), Act::Run)
}

/// A node's store that is looked at and changed while the node stands still.
pub(crate) struct Offline {
    assembly: Assembly<RealEnv<Answers>, FjallEngine>,
    clocks: Clocks,
    /// Holds the lock.
    data: DataDir,
}

impl Offline {
    pub(crate) fn open(config: &Config, node: NodeId) -> Result<Self, StartError> {
        let Opened {
            data,
            store,
            options,
        } = to_run(config, node)?;
        let incarnation = Incarnation(data.runs());
        let options = AssemblyOptions::of(config, (options.rows(), PIECE), incarnation);
        let clocks = Clocks::start();
        let store = store.check(node, &options, clocks.now().wall)?;
        let assembly = store.assemble(&options, (clocks.now(), 0), |queue| {
            RealEnv::new(clocks, queue)
        });
        Ok(Self {
            assembly,
            clocks,
            data,
        })
    }

    /// The newest epoch that is stored.
    pub(crate) fn known(&self) -> Known {
        self.assembly.state.cluster.newest()
    }

    /// Stores a later one. On an error it is stored or not.
    pub(crate) fn learn(&mut self, known: Known) -> Result<(), EngineError> {
        if self.assembly.committer.learn(known, self.clocks.now())? {
            return Ok(());
        }
        Err(EngineError::NoSpace {
            doing: "storing an epoch",
            source: Arc::new(io::ErrorKind::StorageFull.into()),
        })
    }

    /// Closes the store in order.
    pub(crate) fn close(self) -> Result<(), StartError> {
        let path = self.data.store();
        // The other parts end here: they have handles to the engine, too.
        let parts = |Assembly {
                         engine, committer, ..
                     }| (engine, committer);
        let (engine, committer) = parts(self.assembly);
        let finished = committer.finish(self.clocks.now());
        let closed = finished.and_then(|()| super::close(engine));
        closed.map_err(|source| StartError::Engine { path, source })
    }
}

fn open(
    config: &Config,
    node: NodeId,
    first: Option<&FirstMap>,
    act: Act,
) -> Result<Opened, StartError> {
    let cluster = first.map(|first| first.map.cluster);
    let data = DataDir::take(&config.data, act, Expected { cluster, node })?;
    let (engine, options) = open_engine(&data, config)?;
    let store = OpenStore::load(engine, first, &location(&data))?;
    Ok(Opened {
        data,
        store,
        options,
    })
}

fn is_missing(error: &MapError) -> bool {
    matches!(error, MapError::Read { source, .. } if source.kind() == io::ErrorKind::NotFound)
}

fn location(data: &DataDir) -> StoreLocation {
    StoreLocation {
        path: data.store(),
        disk: data.identity().disk,
        may: data.may(),
    }
}

/// Opens the engine of a data directory; makes it only where that may be made.
fn open_engine(
    data: &DataDir,
    config: &Config,
) -> Result<(FjallEngine, EngineOptions), StartError> {
    let path = data.store();
    if !data.was_clean() {
        tracing::warn!("the node did not stop in order: its journals are read back");
    }

    let memory = config.memory.saturating_sub(TREE_BYTES).max(LEAST_MEMORY);
    let options = EngineOptions {
        memory,
        phase: data.identity().disk,
        ..EngineOptions::default()
    };
    let engine = if data.may().make_store() {
        FjallEngine::create_or_open(&path, options)
    } else {
        FjallEngine::open(&path, options)
    };
    let engine = engine.map_err(|source| StartError::Engine { path, source })?;
    Ok((engine, options))
}
