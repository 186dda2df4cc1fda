//! The load generator's own cluster: node processes of `quoit-local`, and what a fault script does to them.
//!
//! ```text
//!   start --> certificates, map, n1 .. nK in a folder --> a process each --> all of them serve
//!   act       kill, restart, pause, resume; slow, jitter, lose, heal by the proxy before the node
//!   drop      every process is killed, then the folder is removed
//! ```
//!
//! The nodes are this very program, asked to be a node, unless another binary is named. Invariant: nothing
//! outlives the [`Cluster`], whether its owner returns, fails, panics or is interrupted; if the owner
//! itself is killed, the nodes see their standard input end.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use quoit_local::{
    ClusterError, ClusterSettings, NetworkFaults, NodeProgram, ProcessCluster, Proxied,
};
use quoit_node::config::Durability;
use quoit_node::provision::{LocalOptions, Ports};
use tempfile::TempDir;

use crate::args::fault::{Act, Fault};
use crate::args::values::ClusterSpec;

pub(crate) use quoit_local::{LOSS_SCALE, PROXY_THREAD, ProcessIds};

/// Lines of a dead node's log that are shown.
const LOG_LINES: usize = 5;

/// A running cluster.
#[derive(Debug)]
pub(crate) struct Cluster {
    // Processes end before their folder goes: fields are dropped in this order.
    nodes: ProcessCluster,
    folder: TempDir,
}

/// The cluster to start.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) spec: ClusterSpec,
    /// Bytes of memory of each node.
    pub(crate) memory: u64,
    /// Where its folder is made.
    pub(crate) data: Option<PathBuf>,
    /// A `quoit-node`; without it this very program is the node.
    pub(crate) binary: Option<PathBuf>,
    /// Nodes that callers reach through a proxy.
    pub(crate) proxied: BTreeSet<usize>,
    /// The seed of what the proxies draw.
    pub(crate) seed: u64,
}

impl Cluster {
    /// Lays a cluster out in a new folder; nothing runs yet. Blocks while certificates are made.
    ///
    /// # Errors
    /// If the folder or the proxies could not be made; nothing is left behind.
    pub(crate) fn new(options: &Options) -> anyhow::Result<Self> {
        let folder = folder(options.data.as_deref())?;
        let durability = if options.spec.buffered {
            Durability::Buffered
        } else {
            Durability::Fsync
        };
        let nodes = options.spec.nodes;
        let ports = quoit_local::ports::free(nodes).context("no free ports for the nodes")?;
        let settings = ClusterSettings {
            local: LocalOptions {
                nodes,
                durability,
                memory: options.memory,
                ports: Ports::Exactly(ports),
                ..LocalOptions::default()
            },
            folder: Some(folder.path().join("cluster")),
            proxied: Proxied::Nodes(options.proxied.clone()),
            seed: options.seed,
            ..ClusterSettings::default()
        };

        let program = match &options.binary {
            Some(binary) => NodeProgram::new(binary),
            None => NodeProgram::this_one().context("cannot find this program itself")?,
        };
        Ok(Self {
            nodes: ProcessCluster::new(program, &settings)?,
            folder,
        })
    }

    /// Starts every node and waits until all serve.
    ///
    /// # Errors
    /// Names the node that did not start, with the end of its log.
    pub(crate) async fn start(&mut self) -> anyhow::Result<()> {
        Ok(self.nodes.start_all().await?)
    }

    /// Where a client finds it.
    pub(crate) fn profile(&self) -> PathBuf {
        self.nodes.client_profile()
    }

    /// Its processes, now and later.
    pub(crate) fn ids(&self) -> ProcessIds {
        self.nodes.ids()
    }

    /// The folder that holds its data.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Does to a node what the script says. Killing a dead node and starting a running one change nothing.
    ///
    /// # Errors
    /// If the system refuses, or a node that does not run should be paused or resumed.
    pub(crate) fn act(&mut self, fault: &Fault) -> anyhow::Result<()> {
        let node = fault.node;
        match fault.act {
            Act::Kill => even_if_ended(self.nodes.kill(node).map(drop)),
            // A node that died by itself is started all the same: the script wants it to run.
            Act::Restart => even_if_ended(self.nodes.start_node(node))
                .and_then(|()| self.nodes.start_node(node)),
            Act::Pause => self.nodes.pause(node),
            Act::Resume => self.nodes.resume(node),
            Act::Slow(time) => self.network(node, |faults| faults.from_node.delay = time),
            Act::Jitter(time) => self.network(node, |faults| {
                faults.to_node.jitter = time;
                faults.from_node.jitter = time;
            }),
            Act::Lose(parts) => self.network(node, |faults| {
                faults.to_node.loss = parts;
                faults.from_node.loss = parts;
            }),
            Act::Heal => self.network(node, |faults| *faults = NetworkFaults::default()),
        }
        .with_context(|| format!("`{fault}` failed"))
    }

    fn network(
        &self,
        node: usize,
        change: impl FnOnce(&mut NetworkFaults),
    ) -> Result<(), ClusterError> {
        self.nodes.proxy(node)?.change(change);
        Ok(())
    }

    /// Nodes that have ended although nothing killed them, each with the end of its log.
    pub(crate) fn dead(&mut self) -> Vec<String> {
        let mut dead = Vec::new();
        // Each end is reported once, so this comes to its own end.
        while let Err(error) = self.nodes.check() {
            dead.push(match error {
                ClusterError::Ended {
                    node, status, log, ..
                } => format!(
                    "n{} ended by itself with {status}; its log ends with: {}",
                    node + 1,
                    log.in_one_line(LOG_LINES)
                ),
                other => return vec![other.to_string()],
            });
        }
        dead
    }

    /// What the proxies dropped although the script did not ask for it, a sentence each.
    pub(crate) fn dropped(&self) -> Vec<String> {
        let mut sentences = Vec::new();
        for node in 0..self.nodes.size() {
            let counts = self.nodes.proxy(node).map(|proxy| proxy.counts());
            let counts = counts.unwrap_or_default();
            if counts.dropped > 0 {
                sentences.push(format!(
                    "The proxy before n{} was full and dropped {} datagrams; it passed {} on.",
                    node + 1,
                    counts.dropped,
                    counts.passed
                ));
            }
        }
        sentences
    }
}

/// A node that ended by itself is as dead as the script wants it.
fn even_if_ended(result: Result<(), ClusterError>) -> Result<(), ClusterError> {
    match result {
        Err(ClusterError::Ended { .. }) => Ok(()),
        other => other,
    }
}

fn folder(data: Option<&Path>) -> anyhow::Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("quoit-load-");
    let made = match data {
        Some(data) => builder.tempdir_in(data),
        None => builder.tempdir(),
    };
    made.context("cannot make a folder for the cluster")
}
