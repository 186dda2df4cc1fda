//! A cluster in this process: its nodes are values of the node library.
//!
//! ```text
//!   new          laid out; configurations loaded, to be changed
//!   start_all    every node serves, with its own threads, data and sockets
//!   stop restart one node each, in order
//!   add retire   a node more, which waits to join; a node less, which has left
//!   drop         every node ends as after a crash; its threads are waited for
//! ```
//!
//! Nodes speak QUIC with certificates and store on disk, as anywhere. What this cannot do is `kill -9` and a
//! pause: take a [`ProcessCluster`](crate::ProcessCluster), or cut a node's network with its proxy.

use std::path::PathBuf;
use std::time::Duration;

use quoit_node::boot::Boot;
use quoit_node::config::Config;
use quoit_node::provision::{Bundle, LocalCluster, NewLocalNode};
use quoit_node::{Node, StartError, StopError};
use tokio::task::{JoinError, JoinSet};

use crate::error::ClusterError;
use crate::layout::Layout;
use crate::proxy::Proxy;
use crate::settings::ClusterSettings;

/// A cluster in this process.
///
/// ```
/// use quoit_local::{ClusterSettings, InProcessCluster};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), quoit_local::ClusterError> {
/// let mut settings = ClusterSettings::for_tests(1);
/// settings.local.replication = 1;
/// let mut cluster = InProcessCluster::start(&settings).await?;
/// cluster.restart(0).await?;
/// assert!(cluster.is_running(0) && cluster.client_profile().exists());
/// cluster.shut_down().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct InProcessCluster {
    // Dropped in this order: nodes before their folder and what stands before them.
    nodes: Vec<Slot>,
    layout: Layout,
    stop_within: Duration,
}

#[derive(Debug)]
struct Slot {
    config: Config,
    node: Option<Node>,
}

impl InProcessCluster {
    /// Lays a cluster out and starts nothing but its proxies. Blocks while certificates are made.
    ///
    /// # Errors
    /// [`ClusterError::Layout`], [`ClusterError::Config`], [`ClusterError::System`],
    /// [`ClusterError::Proxy`]; nothing is left behind but the folder that was named.
    pub fn new(settings: &ClusterSettings) -> Result<Self, ClusterError> {
        let layout = Layout::new(settings)?;
        let mut nodes = Vec::new();
        for index in 0..layout.size() {
            nodes.push(slot(&layout, index)?);
        }
        Ok(Self {
            nodes,
            layout,
            stop_within: settings.stop_within,
        })
    }

    /// Lays a cluster out and starts every node; returns once all serve.
    ///
    /// # Errors
    /// [`ClusterError`]; no node is left running.
    pub async fn start(settings: &ClusterSettings) -> Result<Self, ClusterError> {
        let mut cluster = Self::new(settings)?;
        cluster.start_all().await?;
        Ok(cluster)
    }

    /// Starts every node that does not run, all at once; returns once all serve.
    ///
    /// # Errors
    /// [`ClusterError::Start`] names the first node that did not; those that did run on.
    pub async fn start_all(&mut self) -> Result<(), ClusterError> {
        let mut starting = JoinSet::new();
        for (index, slot) in self.nodes.iter().enumerate() {
            if slot.node.is_none() {
                let config = slot.config.clone();
                starting.spawn_blocking(move || (index, Node::start(&config)));
            }
        }

        let mut result = Ok(());
        while let Some(started) = starting.join_next().await {
            let (index, started) = finished(started);
            match started {
                Ok(node) => self.nodes[index].node = Some(node),
                Err(error) => {
                    let failure = Err(self.not_started(index, error));
                    result = result.and(failure);
                }
            }
        }
        result
    }

    /// Starts one node unless it runs; returns once it serves.
    ///
    /// # Errors
    /// [`ClusterError::Start`].
    pub async fn start_node(&mut self, index: usize) -> Result<(), ClusterError> {
        self.start_node_in(index, Boot::read()).await
    }

    /// The same as if its machine were in this boot. One that differs from the boot in which the node was started last tells
    /// it that the machine has lost power since; what was lost with it is for the caller to take from the node's disk.
    ///
    /// # Errors
    /// [`ClusterError::Start`].
    pub async fn start_node_in(&mut self, index: usize, boot: Boot) -> Result<(), ClusterError> {
        let slot = &mut self.nodes[index];
        if slot.node.is_some() {
            return Ok(());
        }
        let config = slot.config.clone();
        let started = tokio::task::spawn_blocking(move || Node::start_in(&config, boot)).await;
        match finished(started) {
            Ok(node) => slot.node = Some(node),
            Err(error) => return Err(self.not_started(index, error)),
        }
        Ok(())
    }

    /// Stops one node in order; nothing happens if it does not run.
    ///
    /// # Errors
    /// [`ClusterError::Stop`]; the node is stopped all the same.
    pub async fn stop(&mut self, index: usize) -> Result<(), ClusterError> {
        let Some(node) = self.nodes[index].node.take() else {
            return Ok(());
        };
        let grace = self.stop_within;
        let stopped = tokio::task::spawn_blocking(move || node.stop(grace)).await;
        finished(stopped).map_err(|error| self.not_stopped(index, error))
    }

    /// Ends one node as a crash does, without a stop in order; nothing happens if it does not run. Its threads are waited for.
    pub async fn crash(&mut self, index: usize) {
        if let Some(node) = self.nodes[index].node.take() {
            finished(tokio::task::spawn_blocking(move || drop(node)).await);
        }
    }

    /// Stops one node in order if it runs, and starts it.
    ///
    /// # Errors
    /// As [`stop`](Self::stop) and [`start_node`](Self::start_node).
    pub async fn restart(&mut self, index: usize) -> Result<(), ClusterError> {
        self.stop(index).await?;
        self.start_node(index).await
    }

    /// Stops every node in order, all at once.
    ///
    /// # Errors
    /// [`ClusterError::Stop`] names the first node that did not stop in order; all are stopped.
    pub async fn shut_down(mut self) -> Result<(), ClusterError> {
        let grace = self.stop_within;
        let mut stopping = JoinSet::new();
        for (index, slot) in self.nodes.iter_mut().enumerate() {
            if let Some(node) = slot.node.take() {
                stopping.spawn_blocking(move || (index, node.stop(grace)));
            }
        }

        let mut result = Ok(());
        while let Some(stopped) = stopping.join_next().await {
            let (index, stopped) = finished(stopped);
            let stopped = stopped.map_err(|error| self.not_stopped(index, error));
            result = result.and(stopped);
        }
        result
    }

    /// Makes a node that is to join, or takes up one that was added and waits, as [`LocalCluster::add`] does; its number, and
    /// its bundle. It is not started, and no change of the ring is begun.
    ///
    /// # Errors
    /// [`ClusterError::Layout`], and others as of [`new`](Self::new); the nodes that there were run on.
    pub async fn add(&mut self, new: NewLocalNode) -> Result<(usize, Bundle), ClusterError> {
        let mut local = self.local().clone();
        let added = tokio::task::spawn_blocking(move || {
            let bundle = local.add(&new)?;
            Ok::<_, ClusterError>((local, bundle))
        });
        let (local, bundle) = finished(added.await)?;
        self.layout.grow(local)?;
        for index in self.nodes.len()..self.layout.size() {
            let slot = slot(&self.layout, index)?;
            self.nodes.push(slot);
        }
        let mut nodes = self.local().nodes().iter();
        let index = nodes.position(|node| node.id == bundle.node);
        Ok((index.unwrap_or_default(), bundle))
    }

    /// Stops a node in order that has left the cluster for ever; it is not started again, nor when the folder is opened
    /// again. Nodes behind it count one less from then on.
    ///
    /// # Errors
    /// [`ClusterError::Stop`]: it is stopped and retired all the same. [`ClusterError::Layout`]: it is stopped only.
    pub async fn retire(&mut self, index: usize) -> Result<(), ClusterError> {
        let stopped = self.stop(index).await;
        self.layout.retire(index)?;
        self.nodes.remove(index);
        stopped
    }

    /// The configuration of a node, to be changed; it takes effect with the node's next start.
    pub fn config_mut(&mut self, node: usize) -> &mut Config {
        &mut self.nodes[node].config
    }

    /// Whether a node was started and not stopped since.
    #[must_use]
    pub fn is_running(&self, node: usize) -> bool {
        self.nodes[node].node.is_some()
    }

    /// The network before a node, to be broken.
    ///
    /// # Errors
    /// [`ClusterError::NoProxy`] if the settings did not ask for one.
    pub fn proxy(&self, node: usize) -> Result<&Proxy, ClusterError> {
        self.layout.proxy(node)
    }

    /// How the cluster is laid out: addresses, identities, profiles.
    #[must_use]
    pub const fn local(&self) -> &LocalCluster {
        self.layout.local()
    }

    /// The file that tells a client where the cluster is and with what certificate to call it.
    #[must_use]
    pub fn client_profile(&self) -> PathBuf {
        self.local().client_profile()
    }

    /// How many nodes there are.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.layout.size()
    }

    fn not_started(&self, node: usize, error: StartError) -> ClusterError {
        ClusterError::Start {
            name: self.layout.name(node),
            source: Box::new(error),
        }
    }

    fn not_stopped(&self, node: usize, error: StopError) -> ClusterError {
        ClusterError::Stop {
            name: self.layout.name(node),
            source: Box::new(error),
        }
    }
}

fn slot(layout: &Layout, index: usize) -> Result<Slot, ClusterError> {
    match Config::load(layout.config(index)) {
        Ok(config) => Ok(Slot { config, node: None }),
        Err(error) => Err(ClusterError::Config {
            name: layout.name(index),
            source: Box::new(error),
        }),
    }
}

/// What a blocking task returned; its panic goes on here.
fn finished<T>(result: Result<T, JoinError>) -> T {
    match result {
        Ok(value) => value,
        // Nobody cancels these tasks, so the only other end is a panic.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
