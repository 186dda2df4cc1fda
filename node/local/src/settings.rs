//! What a local cluster looks like, and how long it may take.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use quoit_node::provision::LocalOptions;
use quoit_ring::LeafBits;

/// Settings of a local cluster.
///
/// ```
/// use quoit_local::{ClusterSettings, Proxied};
///
/// let settings = ClusterSettings::for_tests(5).proxied();
/// assert_eq!(settings.local.nodes, 5);
/// assert_eq!(settings.proxied, Proxied::All);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterSettings {
    /// Nodes, copies, ports, durability, memory; default as in [`LocalOptions`]. In a temporary folder,
    /// free ports come from [`ports`](crate::ports).
    pub local: LocalOptions,
    /// The cluster's folder, which stays; a cluster that is there already is opened. Default `None`: a
    /// temporary folder, removed when the cluster is dropped.
    pub folder: Option<PathBuf>,
    /// Lines of TOML put before every node's configuration, such as `max_hint_bytes = 0`; default none.
    /// They apply to this run only: the folder's `node.toml` files stay as they are.
    pub node_settings: String,
    /// Which nodes stand behind a [`Proxy`](crate::Proxy); default none. A proxy costs some microseconds of
    /// processor time per datagram.
    pub proxied: Proxied,
    /// The seed of what proxies draw; default 0. Which datagram a draw meets depends on real time.
    pub seed: u64,
    /// How long nodes may take to serve after their start; default 60 s. Shorter fails on a busy machine,
    /// longer makes a broken node known late.
    pub ready_within: Duration,
    /// How long a node may take to stop in order; default 15 s.
    pub stop_within: Duration,
}

/// Which nodes stand behind a proxy.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Proxied {
    /// None of them.
    #[default]
    None,
    /// All of them.
    All,
    /// These, counted from 0; others are ignored.
    Nodes(BTreeSet<usize>),
}

impl Proxied {
    pub(crate) fn includes(&self, node: usize) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Nodes(nodes) => nodes.contains(&node),
        }
    }
}

impl Default for ClusterSettings {
    fn default() -> Self {
        Self {
            local: LocalOptions::default(),
            folder: None,
            node_settings: String::new(),
            proxied: Proxied::default(),
            seed: 0,
            ready_within: Duration::from_secs(60),
            stop_within: Duration::from_secs(15),
        }
    }
}

impl ClusterSettings {
    /// `nodes` nodes with three copies of a key that start quickly: 64 MiB of memory each, and a circle cut
    /// into 4,096 leaves instead of a million.
    #[must_use]
    pub fn for_tests(nodes: usize) -> Self {
        let local = LocalOptions {
            nodes,
            memory: 64 << 20,
            leaf_bits: LeafBits::new(12).unwrap_or(LeafBits::FULL),
            ..LocalOptions::default()
        };
        Self {
            local,
            ..Self::default()
        }
    }

    /// The same with every node behind a proxy.
    #[must_use]
    pub fn proxied(mut self) -> Self {
        self.proxied = Proxied::All;
        self
    }
}
