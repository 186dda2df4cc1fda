//! A cluster of real processes on this machine, and what may be done to its nodes.
//!
//! ```text
//!   start --> certificates, map, n1 .. nK in a folder --> a process each --> all of them say `ready`
//!   act       kill, restart, pause, resume; slow, jitter, lose, heal by a proxy before the node
//!   drop      every process is killed, then the folder is removed
//! ```
//!
//! The nodes are this very program, asked to be a node, unless another binary is named. Invariant: nothing
//! outlives the [`Cluster`], whether its owner returns, fails, panics or is interrupted; if the owner
//! itself is killed, the nodes see their standard input end.

mod log;
mod network;
mod pids;
mod process;
mod proxy;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use quoit_node::config::Durability;
use quoit_node::provision::{LocalCluster, LocalNode, LocalOptions};
use tempfile::TempDir;

use self::log::{is_ready, log_file, log_tail};
use self::process::{Process, Program, Signal};
use self::proxy::{Proxy, Way};
use crate::args::fault::{Act, Fault};
use crate::args::values::ClusterSpec;

pub(crate) use self::pids::Pids;
pub(crate) use self::proxy::{THREAD as PROXY_THREAD, WHOLE};

/// How long the nodes may take to be ready.
const READY: Duration = Duration::from_secs(60);
/// How often they are looked at.
const LOOK: Duration = Duration::from_millis(20);

/// A running cluster.
#[derive(Debug)]
pub(crate) struct Cluster {
    // Processes end before their folder goes: fields are dropped in this order.
    nodes: Vec<Node>,
    pids: Pids,
    program: Program,
    local: LocalCluster,
    folder: TempDir,
}

#[derive(Debug)]
struct Node {
    local: LocalNode,
    process: Option<Process>,
    proxy: Option<Proxy>,
}

/// What a cluster is to be.
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
    /// What the proxies draw from.
    pub(crate) seed: u64,
}

impl Cluster {
    /// Makes and starts a cluster in a new folder, and waits until every node is ready.
    ///
    /// # Errors
    /// Says which node did not start, with the end of its log; nothing is left behind.
    pub(crate) fn start(options: &Options) -> anyhow::Result<Self> {
        let folder = folder(options.data.as_deref())?;
        let durability = if options.spec.buffered {
            Durability::Buffered
        } else {
            Durability::Fsync
        };
        let layout = LocalOptions {
            nodes: options.spec.nodes,
            durability,
            memory: options.memory,
            ..LocalOptions::default()
        };
        let local = LocalCluster::create_or_open(&folder.path().join("cluster"), &layout)?;
        let nodes = local.nodes().iter().map(|node| Node {
            local: node.clone(),
            process: None,
            proxy: None,
        });
        let mut cluster = Self {
            nodes: nodes.collect(),
            pids: Pids::default(),
            program: program(options.binary.as_deref())?,
            local,
            folder,
        };
        for &node in &options.proxied {
            cluster.put_behind_a_proxy(node, options.seed)?;
        }
        for node in 0..cluster.nodes.len() {
            cluster.spawn(node)?;
        }
        cluster.wait_until_ready()?;
        Ok(cluster)
    }

    /// Where a client finds it.
    pub(crate) fn profile(&self) -> PathBuf {
        self.local.client_profile()
    }

    /// Its processes, now and later.
    pub(crate) fn pids(&self) -> Pids {
        self.pids.clone()
    }

    /// The folder that holds its data.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Does to a node what the script says. Killing a dead node and starting a running one change nothing.
    ///
    /// # Errors
    /// If the system refuses, or a node that does not run is to be paused or resumed.
    pub(crate) fn act(&mut self, fault: &Fault) -> anyhow::Result<()> {
        match fault.act {
            Act::Kill => self.kill(fault.node),
            Act::Restart => self.spawn(fault.node),
            Act::Pause => self.signal(fault.node, Signal::Pause),
            Act::Resume => self.signal(fault.node, Signal::Resume),
            Act::Slow(time) => self.network(fault.node, |way| way.from.delay = time),
            Act::Jitter(time) => self.network(fault.node, |way| {
                way.to.jitter = time;
                way.from.jitter = time;
            }),
            Act::Lose(parts) => self.network(fault.node, |way| {
                way.to.loss = parts;
                way.from.loss = parts;
            }),
            Act::Heal => self.network(fault.node, |way| *way = Way::default()),
        }
        .with_context(|| format!("`{fault}` failed"))
    }

    /// Nodes that have ended although nobody killed them, each with the end of its log.
    pub(crate) fn dead(&mut self) -> Vec<String> {
        let mut dead = Vec::new();
        for (index, node) in self.nodes.iter_mut().enumerate() {
            let ended = node.process.as_mut().and_then(Process::ended);
            if let Some(status) = ended {
                let tail = log_tail(&node.local);
                dead.push(format!(
                    "n{} ended by itself with {status}; its log ends with: {tail}",
                    index + 1
                ));
            }
        }
        dead
    }

    fn spawn(&mut self, index: usize) -> anyhow::Result<()> {
        let node = &mut self.nodes[index];
        if node
            .process
            .as_mut()
            .is_some_and(|process| process.ended().is_none())
        {
            return Ok(());
        }
        let process = Process::start(&self.program, &node.local.config, &log_file(&node.local))
            .with_context(|| {
                format!(
                    "cannot start n{} with {}",
                    index + 1,
                    self.program.binary.display()
                )
            })?;
        self.pids.set(index, Some(process.id()));
        node.process = Some(process);
        Ok(())
    }

    fn kill(&mut self, index: usize) -> anyhow::Result<()> {
        self.pids.set(index, None);
        match self.nodes[index].process.take() {
            Some(mut process) => Ok(process.kill()?),
            None => Ok(()),
        }
    }

    fn signal(&mut self, index: usize, signal: Signal) -> anyhow::Result<()> {
        match &mut self.nodes[index].process {
            Some(process) => Ok(process.signal(signal)?),
            None => bail!("n{} does not run", index + 1),
        }
    }

    fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let begin = Instant::now();
        loop {
            if let Some(dead) = self.dead().first() {
                bail!("{dead}");
            }
            let waiting = self.nodes.iter().find(|node| !is_ready(&node.local));
            match waiting {
                None => return Ok(()),
                Some(node) if begin.elapsed() > READY => {
                    bail!(
                        "{} was not ready in {READY:?}: {}",
                        node.local.name,
                        log_tail(&node.local)
                    )
                }
                Some(_) => std::thread::sleep(LOOK),
            }
        }
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

fn program(binary: Option<&Path>) -> anyhow::Result<Program> {
    match binary {
        Some(binary) => Ok(Program {
            binary: binary.to_owned(),
            arguments: Vec::new(),
        }),
        None => Ok(Program {
            binary: std::env::current_exe().context("cannot find this program itself")?,
            arguments: ["node", "--while-stdin-is-open"]
                .map(OsString::from)
                .to_vec(),
        }),
    }
}

#[cfg(test)]
mod tests;
