//! A cluster of real processes on loopback, to be broken and mended node by node.
//!
//! ```text
//!   new   laid out in a temporary folder; nothing runs
//!   start every node runs and serves           kill pause resume stop start_node: one node each
//!   drop  every process killed, folder removed; if the test failed, the ends of the logs are shown
//! ```
//!
//! Nodes are counted from 0. A node that is killed leaves its folder; started again it finds it.
//!
//! Every wait has a bound, and passing it is an error that shows the node's log.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use quoit_client::{Client, ClientBuilder, ConnectError};
use quoit_node::provision::{LocalCluster, LocalError, LocalOptions, Ports};
use quoit_ring::{LeafBits, NodeId};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::ports;
use crate::process::{Process, Program, Signal};
use crate::usage::{self, Usage};

/// How long nodes may take to serve after their start, on a machine that is busy with other tests.
const READY: Duration = Duration::from_secs(30);
/// How long a node may take to stop in order: what it may take to drain, and a little.
const STOP: Duration = Duration::from_secs(15);
/// How often a log is looked at while waiting.
const PAUSE: Duration = Duration::from_millis(10);
/// What a node says once it serves.
const SERVES: &str = " ready at ";
/// Lines of a log that are shown when a test fails.
const TAIL: usize = 40;

/// What a cluster of processes looks like.
#[derive(Debug, Clone)]
pub struct Options {
    /// Nodes, copies, durability, memory. Ports are chosen here, whatever it says.
    pub local: LocalOptions,
    /// Lines put at the beginning of every node's configuration.
    pub settings: String,
    /// What comes before the nodes' program on the command line; see [`Program::launcher`].
    pub launcher: Vec<OsString>,
}

impl Options {
    /// `nodes` nodes with three copies of a key, on a circle cut coarsely, so that they start quickly.
    #[must_use]
    pub fn of(nodes: usize) -> Self {
        let local = LocalOptions {
            nodes,
            memory: 64 << 20,
            leaf_bits: LeafBits::new(12).unwrap_or(LeafBits::FULL),
            ..LocalOptions::default()
        };
        Self {
            local,
            settings: String::new(),
            launcher: Vec::new(),
        }
    }
}

/// Why a cluster is not as it should be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// It could not be laid out.
    #[error("the cluster could not be laid out")]
    Layout(#[from] LocalError),
    /// The system refused something.
    #[error("the system refused a file, port, process or signal")]
    System(#[from] io::Error),
    /// No client could be made.
    #[error("no client could be made")]
    Connect(#[from] ConnectError),
    /// A node that should run does not.
    #[error("node {node} ended with {status}; its log:\n{log}")]
    Ended {
        /// Which.
        node: usize,
        /// How.
        status: ExitStatus,
        /// The end of its log.
        log: String,
    },
    /// A node did not serve in time.
    #[error("node {node} did not serve within {bound:?}; its log:\n{log}")]
    NotReady {
        /// Which.
        node: usize,
        /// How long was waited.
        bound: Duration,
        /// The end of its log.
        log: String,
    },
    /// A node was told to stop and did not, or not in order.
    #[error("node {node} was told to stop and {what}; its log:\n{log}")]
    Unclean {
        /// Which.
        node: usize,
        /// What it did instead.
        what: String,
        /// The end of its log.
        log: String,
    },
    /// A node's program panicked at some time.
    #[error("node {node} panicked; its log:\n{log}")]
    Panicked {
        /// Which.
        node: usize,
        /// The end of its log.
        log: String,
    },
}

/// A cluster of processes. Dropping it ends them all.
#[derive(Debug)]
pub struct Cluster {
    // Before the folder, so that processes end before their files go.
    nodes: Vec<Node>,
    local: LocalCluster,
    _folder: TempDir,
}

#[derive(Debug)]
struct Node {
    program: Program,
    process: Option<Process>,
    /// How long the log was when the process was started.
    log_before: usize,
}

impl Node {
    /// Whether it serves, or does not run.
    fn is_ready(&self) -> bool {
        let log = self.log();
        self.process.is_none()
            || log
                .get(self.log_before..)
                .is_some_and(|new| new.contains(SERVES))
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.program.log).unwrap_or_default()
    }
}

impl Cluster {
    /// Lays a cluster out and starts nothing. `binary` is [`node_binary!`](crate::node_binary).
    ///
    /// # Errors
    /// [`ClusterError::Layout`] or [`ClusterError::System`]; nothing is left behind.
    pub fn new(binary: &str, options: &Options) -> Result<Self, ClusterError> {
        let folder = tempfile::Builder::new().prefix("quoit-test-").tempdir()?;
        let mut local = options.local.clone();
        local.ports = Ports::Exactly(ports::free(local.nodes)?);
        let local = LocalCluster::create_or_open(&folder.path().join("cluster"), &local)?;
        let mut nodes = Vec::new();
        for node in local.nodes() {
            prepend(&node.config, &options.settings)?;
            let program = Program {
                launcher: options.launcher.clone(),
                binary: PathBuf::from(binary),
                config: node.config.clone(),
                log: node.config.with_file_name("log"),
            };
            nodes.push(Node {
                program,
                process: None,
                log_before: 0,
            });
        }
        Ok(Self {
            nodes,
            local,
            _folder: folder,
        })
    }

    /// Lays a cluster out, starts every node and waits until each serves.
    ///
    /// # Errors
    /// [`ClusterError`]; nothing is left behind.
    pub async fn start(binary: &str, options: &Options) -> Result<Self, ClusterError> {
        let mut cluster = Self::new(binary, options)?;
        cluster.start_all().await?;
        Ok(cluster)
    }

    /// Starts every node that does not run and waits until each serves.
    ///
    /// # Errors
    /// [`ClusterError::Ended`] and [`ClusterError::NotReady`] tell which node would not.
    pub async fn start_all(&mut self) -> Result<(), ClusterError> {
        for node in 0..self.nodes.len() {
            self.start_node(node)?;
        }
        self.ready().await
    }

    /// How it is laid out: addresses, identities, profiles.
    #[must_use]
    pub const fn local(&self) -> &LocalCluster {
        &self.local
    }

    /// How many nodes it has.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.nodes.len()
    }

    /// Which node has this identity.
    #[must_use]
    pub fn position(&self, id: NodeId) -> Option<usize> {
        self.local.nodes().iter().position(|node| node.id == id)
    }

    /// The folder of one node: `node.toml`, `log`, `data`.
    #[must_use]
    pub fn folder(&self, node: usize) -> &Path {
        self.nodes[node]
            .program
            .config
            .parent()
            .unwrap_or_else(|| Path::new(""))
    }

    /// A client's settings: where the cluster is, and a certificate.
    #[must_use]
    pub fn client_builder(&self) -> ClientBuilder {
        Client::builder().profile(self.local.client_profile())
    }

    /// A client with the default settings.
    ///
    /// # Errors
    /// [`ClusterError::Connect`].
    pub async fn client(&self) -> Result<Client, ClusterError> {
        Ok(self.client_builder().connect().await?)
    }

    /// Sets what comes before one node's program on the command line, from its next start on; see
    /// [`Program::launcher`].
    pub fn launch_with(&mut self, node: usize, launcher: Vec<OsString>) {
        self.nodes[node].program.launcher = launcher;
    }

    /// Starts one node unless it runs; does not wait for it.
    ///
    /// # Errors
    /// [`ClusterError::System`].
    pub fn start_node(&mut self, node: usize) -> Result<(), ClusterError> {
        let node = &mut self.nodes[node];
        if node.process.is_none() {
            node.log_before = node.log().len();
            node.process = Some(Process::start(&node.program)?);
        }
        Ok(())
    }

    /// Ends one node with SIGKILL; false if it did not run.
    ///
    /// # Errors
    /// [`ClusterError::System`]; [`ClusterError::Ended`] if it had ended by itself.
    pub fn kill(&mut self, node: usize) -> Result<bool, ClusterError> {
        self.check_running(node)?;
        match self.nodes[node].process.take() {
            Some(mut process) => Ok(process.kill().map(|()| true)?),
            None => Ok(false),
        }
    }

    /// Stops one node in order and waits for its end.
    ///
    /// # Errors
    /// [`ClusterError::Unclean`] if it does not end in time or reports a failure.
    pub async fn stop(&mut self, node: usize) -> Result<(), ClusterError> {
        self.check_running(node)?;
        let Some(mut process) = self.nodes[node].process.take() else {
            return Ok(());
        };
        process.signal(Signal::Terminate)?;
        let what = match process.end(STOP).await? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => format!("ended with {status}"),
            None => format!("ran on for {STOP:?}"),
        };
        Err(ClusterError::Unclean {
            node,
            what,
            log: self.tail(node),
        })
    }

    /// Makes one node stand still (SIGSTOP) or go on (SIGCONT).
    ///
    /// # Errors
    /// [`ClusterError::System`]; nothing happens to a node that does not run.
    pub fn signal(&self, node: usize, signal: Signal) -> Result<(), ClusterError> {
        match &self.nodes[node].process {
            Some(process) => Ok(process.signal(signal)?),
            None => Ok(()),
        }
    }

    /// Waits until every node that was started says that it serves.
    ///
    /// # Errors
    /// [`ClusterError::Ended`], [`ClusterError::NotReady`].
    pub async fn ready(&mut self) -> Result<(), ClusterError> {
        let begin = Instant::now();
        for node in 0..self.nodes.len() {
            while !self.nodes[node].is_ready() {
                self.check_running(node)?;
                if begin.elapsed() > READY {
                    return Err(ClusterError::NotReady {
                        node,
                        bound: READY,
                        log: self.tail(node),
                    });
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
        Ok(())
    }

    /// Waits for a node's own end, for `bound` at most; `None` if it runs on.
    ///
    /// # Errors
    /// [`ClusterError::System`].
    pub async fn ended(
        &mut self,
        node: usize,
        bound: Duration,
    ) -> Result<Option<ExitStatus>, ClusterError> {
        let Some(process) = &mut self.nodes[node].process else {
            return Ok(None);
        };
        let ended = process.end(bound).await?;
        if ended.is_some() {
            self.nodes[node].process = None;
        }
        Ok(ended)
    }

    /// What one running node has used.
    ///
    /// # Errors
    /// [`ClusterError::System`] if it does not run.
    pub fn usage(&self, node: usize) -> Result<Usage, ClusterError> {
        let process = self.nodes[node].process.as_ref();
        let process = process.ok_or_else(|| io::Error::other("the node does not run"))?;
        Ok(usage::of(process.id())?)
    }

    /// Everything that one node has printed.
    #[must_use]
    pub fn log(&self, node: usize) -> String {
        self.nodes[node].log()
    }

    /// Stops every node in order, and checks that none ever panicked. Every test ends so.
    ///
    /// # Errors
    /// [`ClusterError::Unclean`], [`ClusterError::Panicked`].
    pub async fn shut_down(mut self) -> Result<(), ClusterError> {
        for node in 0..self.nodes.len() {
            self.stop(node).await?;
        }
        for node in 0..self.nodes.len() {
            if self.log(node).contains("panicked at") {
                return Err(ClusterError::Panicked {
                    node,
                    log: self.tail(node),
                });
            }
        }
        Ok(())
    }

    /// An error if a node that should run has ended by itself.
    fn check_running(&mut self, node: usize) -> Result<(), ClusterError> {
        let Some(process) = &mut self.nodes[node].process else {
            return Ok(());
        };
        match process.ended()? {
            None => Ok(()),
            Some(status) => {
                self.nodes[node].process = None;
                Err(ClusterError::Ended {
                    node,
                    status,
                    log: self.tail(node),
                })
            }
        }
    }

    fn tail(&self, node: usize) -> String {
        let log = self.log(node);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(TAIL)..].join("\n")
    }
}

/// Puts `settings` before the first line of the file.
fn prepend(file: &Path, settings: &str) -> io::Result<()> {
    let text = fs::read_to_string(file)?;
    fs::write(file, format!("{settings}\n{text}"))
}

impl Drop for Cluster {
    #[expect(
        clippy::print_stderr,
        reason = "a failed test tells what its nodes said"
    )]
    fn drop(&mut self) {
        if std::thread::panicking() {
            for node in 0..self.nodes.len() {
                eprintln!(
                    "--- log of node {node}, its last lines\n{}",
                    self.tail(node)
                );
            }
        }
    }
}
