//! A cluster's folder, and the proxies before its nodes. Nothing here runs a node.
//!
//! ```text
//!   map            node-1 at 127.0.0.1:10100             callers and other nodes go there
//!   node.toml      listen = "127.0.0.1:10100"            as provisioned, never changed
//!   run.toml       listen = "127.0.0.1:10103"            what the node is started with if settings or a proxy
//!                                                        make it differ; the proxy has the map's address
//! ```

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use quoit_node::provision::{LocalCluster, LocalNode, Ports};
use tempfile::TempDir;

use crate::error::ClusterError;
use crate::ports;
use crate::proxy::Proxy;
use crate::settings::{ClusterSettings, Proxied};

/// A cluster that is laid out.
#[derive(Debug)]
pub(crate) struct Layout {
    local: LocalCluster,
    nodes: Vec<Place>,
    /// What nodes are started with that are added later.
    settings: ClusterSettings,
    // Last: the folder goes when nothing uses it any more.
    _temporary: Option<TempDir>,
}

/// What one node is started with, and what stands before it.
#[derive(Debug)]
struct Place {
    config: PathBuf,
    proxy: Option<Proxy>,
}

impl Layout {
    /// Makes or opens the cluster, and starts its proxies.
    pub(crate) fn new(settings: &ClusterSettings) -> Result<Self, ClusterError> {
        let (local, temporary) = match &settings.folder {
            Some(folder) => (LocalCluster::create_or_open(folder, &settings.local)?, None),
            None => temporary(settings)?,
        };

        let mut nodes = Vec::new();
        for (index, node) in local.nodes().iter().enumerate() {
            nodes.push(Place::new(index, node, settings)?);
        }
        Ok(Self {
            local,
            nodes,
            settings: settings.clone(),
            _temporary: temporary,
        })
    }

    /// Takes over a folder's cluster to which a node may have been added, as the last one.
    pub(crate) fn grow(&mut self, local: LocalCluster) -> Result<(), ClusterError> {
        for (index, node) in local.nodes().iter().enumerate().skip(self.nodes.len()) {
            self.nodes.push(Place::new(index, node, &self.settings)?);
        }
        self.local = local;
        Ok(())
    }

    /// Notes that a node, which does not run, has left for ever. Those behind it count one less from then on.
    pub(crate) fn retire(&mut self, node: usize) -> Result<(), ClusterError> {
        let name = self.name(node);
        self.local.retire(&name)?;
        self.nodes.remove(node);
        Ok(())
    }

    pub(crate) const fn local(&self) -> &LocalCluster {
        &self.local
    }

    pub(crate) const fn size(&self) -> usize {
        self.nodes.len()
    }

    pub(crate) fn name(&self, node: usize) -> String {
        self.local.nodes()[node].name.clone()
    }

    /// The configuration that a node is started with.
    pub(crate) fn config(&self, node: usize) -> &Path {
        &self.nodes[node].config
    }

    pub(crate) fn proxy(&self, node: usize) -> Result<&Proxy, ClusterError> {
        let proxy = self.nodes[node].proxy.as_ref();
        proxy.ok_or_else(|| ClusterError::NoProxy {
            name: self.name(node),
        })
    }
}

/// A cluster in a folder that goes with it.
fn temporary(settings: &ClusterSettings) -> Result<(LocalCluster, Option<TempDir>), ClusterError> {
    let refused = |what| move |source| ClusterError::System { what, source };
    let folder = tempfile::Builder::new()
        .prefix("quoit-local-")
        .tempdir()
        .map_err(refused("a temporary folder"))?;

    let mut options = settings.local.clone();
    if options.ports == Ports::Free {
        let free = ports::free(options.nodes).map_err(refused("free ports"))?;
        options.ports = Ports::Exactly(free);
    }
    let local = LocalCluster::create_or_open(&folder.path().join("cluster"), &options)?;
    Ok((local, Some(folder)))
}

impl Place {
    fn new(
        index: usize,
        node: &LocalNode,
        settings: &ClusterSettings,
    ) -> Result<Self, ClusterError> {
        let proxied = settings.proxied.includes(index);
        let mut node_settings = settings.node_settings.clone();
        if settings.proxied != Proxied::None {
            // Nodes would find their way round a proxy that is cut.
            node_settings = format!("address_hints = false\n{node_settings}");
        }
        if !proxied && node_settings.is_empty() {
            return Ok(Self {
                config: node.config.clone(),
                proxy: None,
            });
        }

        let proxy = if proxied {
            Some(start_proxy(index, node, settings)?)
        } else {
            None
        };
        let behind = proxy.as_ref().map(Proxy::node);
        let config = node.config.with_file_name("run.toml");
        write_config(node, behind, &node_settings, &config).map_err(|source| {
            ClusterError::System {
                what: "a node's configuration",
                source,
            }
        })?;
        Ok(Self { config, proxy })
    }
}

fn start_proxy(
    index: usize,
    node: &LocalNode,
    settings: &ClusterSettings,
) -> Result<Proxy, ClusterError> {
    // Far apart, so that flows of two proxies draw from different seeds.
    let seed = settings.seed.wrapping_add((index as u64) << 32);
    let start = || {
        let behind = ports::free_address()?;
        Proxy::start(&format!("n{}", index + 1), node.address, behind, seed)
    };
    start().map_err(|source| ClusterError::Proxy {
        name: node.name.clone(),
        source,
    })
}

/// Writes what the node is started with: `settings`, then its own configuration, listening at `behind`.
fn write_config(
    node: &LocalNode,
    behind: Option<std::net::SocketAddr>,
    settings: &str,
    to: &Path,
) -> io::Result<()> {
    let mut text = fs::read_to_string(&node.config)?;
    if let Some(behind) = behind {
        let listens = format!("listen = \"{}\"", node.address);
        if !text.contains(&listens) {
            let what = format!("{} does not say {listens}", node.config.display());
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        text = text.replace(&listens, &format!("listen = \"{behind}\""));
    }
    // Plain keys must come before the first table.
    fs::write(to, format!("{settings}\n{text}"))
}
