//! A cluster of node processes, broken and repaired node by node.
//!
//! ```text
//!   new        laid out; nothing runs
//!   start_all  every node runs and serves        kill  pause  resume  stop  start_node: one node each
//!   add_node   one more, that is to join         not started, and no member: an operator makes it one
//!   drop       every process killed, then the proxies end, then a temporary folder goes
//! ```
//!
//! A node that is killed leaves its folder and finds it when it is started again. Every wait has a bound, and
//! passing it is an error with the end of the node's log. If the owner's thread panics, which is how a test
//! fails, the ends of all logs are printed on standard error.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use quoit_node::provision::LocalCluster;
use quoit_ring::NodeId;
use tokio::time::Instant;

use crate::error::ClusterError;
use crate::layout::Layout;
use crate::log::{self, LogTail};
use crate::process::{NodeProcess, NodeProgram, Signal};
use crate::process_ids::ProcessIds;
use crate::proxy::Proxy;
use crate::settings::ClusterSettings;
use crate::usage::{self, Usage};

/// How often logs and processes are looked at while waiting.
const PAUSE: Duration = Duration::from_millis(10);

/// A cluster with one process per node.
///
/// ```no_run
/// use quoit_local::{ClusterSettings, NodeProgram, ProcessCluster};
///
/// # async fn example() -> Result<(), quoit_local::ClusterError> {
/// let program = NodeProgram::of_quoit("/usr/local/bin/quoit");
/// let mut cluster = ProcessCluster::start(program, &ClusterSettings::for_tests(3)).await?;
/// cluster.kill(1)?; // kill -9
/// cluster.restart(1).await?;
/// cluster.pause(2)?;
/// cluster.resume(2)?;
/// cluster.shut_down().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ProcessCluster {
    // Dropped in this order: processes before their folder and what stands before them.
    pub(crate) nodes: Vec<Node>,
    ids: ProcessIds,
    pub(crate) layout: Layout,
    ready_within: Duration,
    stop_within: Duration,
}

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) id: NodeId,
    pub(crate) program: NodeProgram,
    files: Files,
    log: PathBuf,
    process: Option<NodeProcess>,
    /// How long the log was when the process was started.
    log_before: u64,
}

/// What a node is started with.
#[derive(Debug)]
pub(crate) enum Files {
    Config(PathBuf),
    Bundle { bundle: PathBuf, data: PathBuf },
}

impl Node {
    /// One that does not run; its log is in the folder of its files.
    pub(crate) fn new(name: String, id: NodeId, program: NodeProgram, files: Files) -> Self {
        let (Files::Config(beside) | Files::Bundle { bundle: beside, .. }) = &files;
        Self {
            name,
            id,
            program,
            log: log::file_beside(beside),
            files,
            process: None,
            log_before: 0,
        }
    }

    fn start(&self) -> io::Result<NodeProcess> {
        match &self.files {
            Files::Config(config) => NodeProcess::start(&self.program, config, &self.log),
            Files::Bundle { bundle, data } => {
                NodeProcess::join(&self.program, bundle, data, &self.log)
            }
        }
    }
}

impl ProcessCluster {
    /// Lays a cluster out and starts nothing but its proxies. Blocks while certificates are made.
    ///
    /// # Errors
    /// [`ClusterError::Layout`], [`ClusterError::System`], [`ClusterError::Proxy`]; nothing is left behind
    /// but the folder that was named.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a caller makes a program for one cluster"
    )]
    pub fn new(program: NodeProgram, settings: &ClusterSettings) -> Result<Self, ClusterError> {
        let layout = Layout::new(settings)?;
        let mut nodes = Vec::new();
        for (index, node) in layout.local().nodes().iter().enumerate() {
            let files = Files::Config(layout.config(index).to_owned());
            nodes.push(Node::new(
                node.name.clone(),
                node.id,
                program.clone(),
                files,
            ));
        }
        Ok(Self {
            nodes,
            ids: ProcessIds::default(),
            layout,
            ready_within: settings.ready_within,
            stop_within: settings.stop_within,
        })
    }

    /// Lays a cluster out, starts every node and waits until each serves.
    ///
    /// # Errors
    /// [`ClusterError`]; no process is left behind.
    pub async fn start(
        program: NodeProgram,
        settings: &ClusterSettings,
    ) -> Result<Self, ClusterError> {
        let mut cluster = Self::new(program, settings)?;
        cluster.start_all().await?;
        Ok(cluster)
    }

    /// Starts every node that does not run and waits until each serves.
    ///
    /// # Errors
    /// [`ClusterError::Spawn`], [`ClusterError::Ended`] and [`ClusterError::NotReady`] name the node.
    pub async fn start_all(&mut self) -> Result<(), ClusterError> {
        for node in 0..self.size() {
            self.start_node(node)?;
        }
        self.wait_until_ready().await
    }

    /// Starts one node unless it runs; does not wait for it.
    ///
    /// # Errors
    /// [`ClusterError::Spawn`]; [`ClusterError::Ended`] if it had ended by itself.
    pub fn start_node(&mut self, index: usize) -> Result<(), ClusterError> {
        self.check_node(index)?;
        let node = &mut self.nodes[index];
        if node.process.is_some() {
            return Ok(());
        }

        node.log_before = log::length(&node.log);
        let process = node.start().map_err(|source| ClusterError::Spawn {
            name: node.name.clone(),
            program: node.program.binary.clone(),
            source,
        })?;
        self.ids.set(index, Some(process.id()));
        node.process = Some(process);
        Ok(())
    }

    /// Waits until every node that was started serves.
    ///
    /// # Errors
    /// [`ClusterError::Ended`], [`ClusterError::NotReady`].
    pub async fn wait_until_ready(&mut self) -> Result<(), ClusterError> {
        let begin = Instant::now();
        for index in 0..self.size() {
            while !self.is_ready(index) {
                // Any node's: a later one that died is the news, not that an earlier one is slow.
                self.check()?;
                if begin.elapsed() > self.ready_within {
                    return Err(ClusterError::NotReady {
                        name: self.name(index),
                        bound: self.ready_within,
                        log: self.log_tail(index),
                    });
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
        Ok(())
    }

    /// Ends one node with SIGKILL and waits for its end; false if it did not run.
    ///
    /// # Errors
    /// [`ClusterError::System`]; [`ClusterError::Ended`] if it had ended by itself.
    pub fn kill(&mut self, index: usize) -> Result<bool, ClusterError> {
        self.check_node(index)?;
        match self.take(index) {
            Some(mut process) => process.kill().map(|()| true).map_err(refused),
            None => Ok(false),
        }
    }

    /// Makes one node stand still (SIGSTOP): its sockets stay open and nothing answers.
    ///
    /// # Errors
    /// [`ClusterError::NotRunning`], [`ClusterError::System`].
    pub fn pause(&mut self, index: usize) -> Result<(), ClusterError> {
        self.signal(index, Signal::Pause)
    }

    /// Makes a paused node go on (SIGCONT).
    ///
    /// # Errors
    /// [`ClusterError::NotRunning`], [`ClusterError::System`].
    pub fn resume(&mut self, index: usize) -> Result<(), ClusterError> {
        self.signal(index, Signal::Resume)
    }

    /// Stops one node in order (SIGTERM) and waits for its end; nothing happens if it does not run.
    ///
    /// # Errors
    /// [`ClusterError::NotStopped`], [`ClusterError::Unclean`]; the node is gone in any case.
    pub async fn stop(&mut self, index: usize) -> Result<(), ClusterError> {
        self.check_node(index)?;
        let Some(mut process) = self.take(index) else {
            return Ok(());
        };

        process.signal(Signal::Terminate).map_err(refused)?;
        let ended = process.end(self.stop_within).await.map_err(refused)?;
        let (name, log) = (self.name(index), self.log_tail(index));
        match ended {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(ClusterError::Unclean { name, status, log }),
            None => Err(ClusterError::NotStopped {
                name,
                bound: self.stop_within,
                log,
            }),
        }
    }

    /// Stops one node in order if it runs, starts it, and waits until all that run serve.
    ///
    /// # Errors
    /// As [`stop`](Self::stop) and [`start_all`](Self::start_all).
    pub async fn restart(&mut self, index: usize) -> Result<(), ClusterError> {
        self.stop(index).await?;
        self.start_node(index)?;
        self.wait_until_ready().await
    }

    /// Stops every node in order, and checks that none of them ever panicked.
    ///
    /// # Errors
    /// [`ClusterError::NotStopped`], [`ClusterError::Unclean`], [`ClusterError::Panicked`].
    pub async fn shut_down(mut self) -> Result<(), ClusterError> {
        for node in 0..self.size() {
            self.stop(node).await?;
        }
        for node in 0..self.size() {
            if self.log(node).contains("panicked at") {
                return Err(ClusterError::Panicked {
                    name: self.name(node),
                    log: self.log_tail(node),
                });
            }
        }
        Ok(())
    }

    /// Fails if a node that should run has ended by itself. Each such end is reported once.
    ///
    /// # Errors
    /// [`ClusterError::Ended`].
    pub fn check(&mut self) -> Result<(), ClusterError> {
        (0..self.size()).try_for_each(|node| self.check_node(node))
    }

    /// Sets what one node is run with from its next start on.
    pub fn set_program(&mut self, node: usize, change: impl FnOnce(&mut NodeProgram)) {
        change(&mut self.nodes[node].program);
    }

    /// Sets what comes before one node's binary from its next start on; see [`NodeProgram::launcher`].
    pub fn launch_with(&mut self, node: usize, launcher: Vec<OsString>) {
        self.set_program(node, |program| program.launcher = launcher);
    }

    /// The network before a node, to be broken.
    ///
    /// # Errors
    /// [`ClusterError::NoProxy`] if the settings did not ask for one.
    pub fn proxy(&self, node: usize) -> Result<&Proxy, ClusterError> {
        if node < self.layout.size() {
            self.layout.proxy(node)
        } else {
            Err(ClusterError::NoProxy {
                name: self.name(node),
            })
        }
    }

    /// How the cluster was laid out: addresses, identities, profiles. Without nodes that were added.
    #[must_use]
    pub const fn local(&self) -> &LocalCluster {
        self.layout.local()
    }

    /// The file that tells a client where the cluster is and with what certificate to call it.
    #[must_use]
    pub fn client_profile(&self) -> PathBuf {
        self.local().client_profile()
    }

    /// How many nodes there are, members or not.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.nodes.len()
    }

    /// Which node has this identity.
    #[must_use]
    pub fn position(&self, id: NodeId) -> Option<usize> {
        self.nodes.iter().position(|node| node.id == id)
    }

    /// The folder of one node: `node.toml` or `join.quoit`, `log.txt`, `data`.
    #[must_use]
    pub fn folder(&self, node: usize) -> &Path {
        let log = &self.nodes[node].log;
        log.parent().unwrap_or(log)
    }

    /// The process ids of the nodes, now and later.
    #[must_use]
    pub fn ids(&self) -> ProcessIds {
        self.ids.clone()
    }

    /// The process id of one node, if it runs.
    #[must_use]
    pub fn id(&self, node: usize) -> Option<u32> {
        self.nodes[node].process.as_ref().map(NodeProcess::id)
    }

    /// Processor time and memory of one node.
    ///
    /// # Errors
    /// [`ClusterError::NotRunning`]; [`ClusterError::System`] where there is no `/proc`.
    pub fn usage(&self, node: usize) -> Result<Usage, ClusterError> {
        let id = self.id(node).ok_or_else(|| self.not_running(node))?;
        usage::of(id).map_err(|source| ClusterError::System {
            what: "what a process has used",
            source,
        })
    }

    /// Everything that one node has printed.
    #[must_use]
    pub fn log(&self, node: usize) -> String {
        log::read(&self.nodes[node].log)
    }

    /// The end of what one node has printed.
    #[must_use]
    pub fn log_tail(&self, node: usize) -> LogTail {
        log::tail(&self.nodes[node].log)
    }

    fn name(&self, node: usize) -> String {
        self.nodes[node].name.clone()
    }

    fn is_ready(&self, index: usize) -> bool {
        let node = &self.nodes[index];
        node.process.is_none() || log::says_ready(&node.log, node.log_before)
    }

    fn signal(&mut self, index: usize, signal: Signal) -> Result<(), ClusterError> {
        match &mut self.nodes[index].process {
            Some(process) => process.signal(signal).map_err(refused),
            None => Err(self.not_running(index)),
        }
    }

    fn check_node(&mut self, index: usize) -> Result<(), ClusterError> {
        let Some(process) = &mut self.nodes[index].process else {
            return Ok(());
        };
        let Some(status) = process.ended().map_err(refused)? else {
            return Ok(());
        };

        drop(self.take(index));
        Err(ClusterError::Ended {
            node: index,
            name: self.name(index),
            status,
            log: self.log_tail(index),
        })
    }

    fn take(&mut self, index: usize) -> Option<NodeProcess> {
        self.ids.set(index, None);
        self.nodes[index].process.take()
    }

    fn not_running(&self, node: usize) -> ClusterError {
        ClusterError::NotRunning {
            name: self.name(node),
        }
    }
}

const fn refused(source: io::Error) -> ClusterError {
    ClusterError::System {
        what: "a signal, or a look at a process",
        source,
    }
}

impl Drop for ProcessCluster {
    #[expect(
        clippy::print_stderr,
        reason = "a failed test shows what its nodes printed"
    )]
    fn drop(&mut self) {
        if std::thread::panicking() {
            for node in 0..self.size() {
                let (name, tail) = (self.name(node), self.log_tail(node));
                eprintln!("--- the end of the log of {name}\n{tail}");
            }
        }
    }
}
