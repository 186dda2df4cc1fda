//! A whole cluster on loopback, in one folder.
//!
//! ```text
//! DIR/certs/        the authority and all certificates
//! DIR/cluster.map   the first map
//! DIR/node-1/       node.toml, data/ initialised for the node
//! DIR/node-2/ ...
//! DIR/admin.toml    profile of an operator
//! DIR/client.toml   profile of a client
//! DIR/node-6/ ...   added later, with its bundle; DIR/node-2/left: has left
//! DIR/unfinished    while it is made: cut short, it is made again by the next call
//! ```
//!
//! All paths in the files are relative, so the folder can be moved. Opening a folder again returns the same
//! cluster at the same ports. Ports are chosen when it is made. Another program may take one later; then
//! the node fails to bind. Nodes may be added and leave later; the map stays the first one.
//!
//! Left out: running the nodes.

mod error;
mod membership;
mod ports;
mod text;
mod unfinished;

use std::io;
use std::net::SocketAddr;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::thread::ScopedJoinHandle;

use quoit_ring::wire::FirstMap;
use quoit_ring::{LeafBits, NodeId};

use super::authority::Authority;
use super::files::{Readers, write_new};
use super::map::{NewMember, first_map, read_map, write_map};
use crate::Node;
use crate::config::{Config, Durability};

use self::unfinished::{Found, Unfinished};

pub use self::error::LocalError;
pub use self::membership::NewLocalNode;
pub use self::ports::Ports;

const CERTS: &str = "certs";
const MAP: &str = "cluster.map";
const CLIENT: &str = "client";
const ADMIN: &str = "admin";
const ZONE: &str = "local";
/// How the name of a node begins.
const NODE: &str = "node-";
/// What a file system puts at its root.
const LOST_AND_FOUND: &str = "lost+found";

/// What a local cluster looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalOptions {
    /// How many nodes, 1 to 64; default 3.
    pub nodes: usize,
    /// N, the copies of a key, 1 to 16; default 3.
    pub replication: u8,
    /// Where the nodes listen; default free ports.
    pub ports: Ports,
    /// What an acknowledged write survives; default a power loss.
    pub durability: Durability,
    /// Bytes of memory per node, 64 MiB to 1 TiB; default 128 MiB, since several share a machine.
    pub memory: u64,
    /// The number of leaves, as a power of two; default as in a real cluster. Tests take fewer, to start sooner.
    pub leaf_bits: LeafBits,
}

impl Default for LocalOptions {
    fn default() -> Self {
        Self {
            nodes: 3,
            replication: 3,
            ports: Ports::Free,
            durability: Durability::default(),
            memory: 128 << 20,
            leaf_bits: LeafBits::FULL,
        }
    }
}

/// A cluster in a folder.
///
/// ```
/// # use quoit_node::provision::{LocalCluster, LocalOptions};
/// # use quoit_ring::LeafBits;
/// # let folder = tempfile::tempdir()?;
/// # let dir = folder.path().join("quoit");
/// let options = LocalOptions { leaf_bits: LeafBits::new(12).unwrap(), ..Default::default() };
/// let cluster = LocalCluster::create_or_open(&dir, &options)?;
/// assert_eq!(cluster.nodes().len(), 3);
/// assert!(cluster.client_profile().exists());
/// assert_eq!(LocalCluster::create_or_open(&dir, &options)?, cluster);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalCluster {
    dir: PathBuf,
    first_map: FirstMap,
    nodes: Vec<LocalNode>,
}

/// A node of a local cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalNode {
    /// `node-1`, `node-2`, ...
    pub name: String,
    /// Its identity.
    pub id: NodeId,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its configuration file; [`Config::load`](crate::config::Config::load) reads it.
    pub config: PathBuf,
    /// The bundle with which it joins, if it was added later.
    pub bundle: Option<PathBuf>,
}

impl LocalCluster {
    /// Opens the cluster in `dir`, or makes one there if the folder is empty or absent, or making one was cut short.
    ///
    /// # Errors
    /// [`LocalError::Differs`] if the cluster there has other nodes, copies or ports than asked for;
    /// [`LocalError::NotACluster`] if something else is there; [`LocalError::BeingMade`] while another process makes it.
    pub fn create_or_open(dir: &Path, options: &LocalOptions) -> Result<Self, LocalError> {
        ports::check(options)?;
        if let Found::CutShort(unfinished) = unfinished::look(dir)? {
            unfinished::clear(dir)?;
            return Self::create(dir, options, unfinished);
        }
        if profile(dir, CLIENT).exists() {
            return Self::open(dir, options);
        }
        if holds_anything(dir)? {
            return Err(LocalError::NotACluster {
                dir: dir.to_owned(),
            });
        }
        Self::create(dir, options, unfinished::begin(dir)?)
    }

    /// The complete cluster in `dir`, as it is; `None` if there is none.
    ///
    /// # Errors
    /// [`LocalError::Map`] and others that name the file which cannot be read.
    pub fn find(dir: &Path) -> Result<Option<Self>, LocalError> {
        if profile(dir, CLIENT).exists() && !unfinished::is_marked(dir) {
            return Self::read(dir).map(Some);
        }
        Ok(None)
    }

    /// The folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The map that the nodes start from.
    #[must_use]
    pub const fn first_map(&self) -> &FirstMap {
        &self.first_map
    }

    /// The nodes that have not left: those of the first map, then those that were added later, each in the order of their
    /// names' numbers.
    #[must_use]
    pub fn nodes(&self) -> &[LocalNode] {
        &self.nodes
    }

    /// A client's settings: the cluster's addresses and the certificate to use.
    #[must_use]
    pub fn client_profile(&self) -> PathBuf {
        profile(&self.dir, CLIENT)
    }

    /// The same for an operator.
    #[must_use]
    pub fn admin_profile(&self) -> PathBuf {
        profile(&self.dir, ADMIN)
    }

    fn create(
        dir: &Path,
        options: &LocalOptions,
        unfinished: Unfinished,
    ) -> Result<Self, LocalError> {
        let authority = Authority::create(&dir.join(CERTS))?;
        let members = members(&ports::addresses(options)?);
        for member in &members {
            authority.issue_node(&member.name)?;
        }
        authority.issue_client(CLIENT)?;
        authority.issue_admin(ADMIN)?;
        let first = first_map(
            authority.dir(),
            &members,
            options.replication,
            options.leaf_bits,
        )?;
        write_map(&dir.join(MAP), &first)?;
        for member in &members {
            let folder = dir.join(&member.name);
            std::fs::create_dir(&folder).map_err(|source| LocalError::Write {
                path: folder.clone(),
                source,
            })?;
            write(&config(dir, &member.name), &text::config(member, options))?;
        }
        init_nodes(dir, &members)?;
        for name in [ADMIN, CLIENT] {
            write(&profile(dir, name), &text::profile(name, &members))?;
        }
        unfinished::end(unfinished, dir)?;
        Self::read(dir)
    }

    fn open(dir: &Path, options: &LocalOptions) -> Result<Self, LocalError> {
        let cluster = Self::read(dir)?;
        let differs = |what, found: String, wanted: String| {
            let dir = dir.to_owned();
            Err(LocalError::Differs {
                dir,
                what,
                found,
                wanted,
            })
        };
        let (nodes, copies) = (cluster.nodes.len(), cluster.first_map.map.replication);
        if nodes != options.nodes {
            return differs(
                "number of nodes",
                nodes.to_string(),
                options.nodes.to_string(),
            );
        }
        if copies != options.replication {
            return differs(
                "number of copies",
                copies.to_string(),
                options.replication.to_string(),
            );
        }
        let found: Vec<u16> = cluster
            .nodes
            .iter()
            .map(|node| node.address.port())
            .collect();
        match ports::fixed(options) {
            Some(wanted) if wanted != found => {
                differs("ports", format!("{found:?}"), format!("{wanted:?}"))
            }
            _ => Ok(cluster),
        }
    }

    /// Reads what is in the folder.
    fn read(dir: &Path) -> Result<Self, LocalError> {
        let first_map = read_map(&dir.join(MAP))?;
        let mut nodes = (1..=first_map.map.members.len())
            .map(|n| find(&first_map, dir, n))
            .collect::<Result<Vec<_>, _>>()?;
        let added = membership::added(dir, &nodes)?;
        nodes.retain(|node| !membership::has_left(dir, &node.name));
        nodes.extend(added);
        Ok(Self {
            dir: dir.to_owned(),
            first_map,
            nodes,
        })
    }
}

/// Initialises the data directory of every node, all at once: each waits for its disk.
fn init_nodes(dir: &Path, members: &[NewMember]) -> Result<(), LocalError> {
    std::thread::scope(|scope| {
        let start = |member| scope.spawn(move || init_node(dir, member));
        let threads: Vec<_> = members.iter().map(start).collect();
        let end = |thread: ScopedJoinHandle<'_, _>| match thread.join() {
            Ok(done) => done,
            Err(panic) => resume_unwind(panic),
        };
        // All are waited for; the first error counts.
        let done: Vec<Result<(), LocalError>> = threads.into_iter().map(end).collect();
        done.into_iter().collect()
    })
}

fn init_node(dir: &Path, member: &NewMember) -> Result<(), LocalError> {
    let failed = |source| LocalError::Init {
        name: member.name.clone(),
        source: Box::new(source),
    };
    let config = Config::load(&config(dir, &member.name));
    let config = config.map_err(|error| failed(error.into()))?;
    Node::init(&config).map(drop).map_err(failed)
}

/// The `n`th node of the map, counted from 1.
fn find(first: &FirstMap, dir: &Path, n: usize) -> Result<LocalNode, LocalError> {
    let name = node_name(n);
    let member = first.map.members.iter().find(|member| member.name == name);
    let parsed = member.and_then(|member| Some((member.id, member.address.parse().ok()?)));
    match parsed {
        Some((id, address)) => Ok(LocalNode {
            config: config(dir, &name),
            name,
            id,
            address,
            bundle: None,
        }),
        None => Err(LocalError::ForeignMap {
            dir: dir.to_owned(),
            name,
        }),
    }
}

fn node_name(n: usize) -> String {
    format!("{NODE}{n}")
}

fn config(dir: &Path, node: &str) -> PathBuf {
    dir.join(node).join("node.toml")
}

fn profile(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.toml"))
}

fn holds_anything(dir: &Path) -> Result<bool, LocalError> {
    let failed = |source| LocalError::Read {
        path: dir.to_owned(),
        source,
    };
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        entries => entries.map_err(failed)?,
    };
    for entry in entries {
        if entry.map_err(failed)?.file_name() != LOST_AND_FOUND {
            return Ok(true);
        }
    }
    Ok(false)
}

fn members(addresses: &[SocketAddr]) -> Vec<NewMember> {
    let member = |(n, address): (usize, &SocketAddr)| {
        NewMember::new(&node_name(n), &address.to_string(), ZONE)
    };
    (1..).zip(addresses).map(member).collect()
}

fn write(path: &Path, text: &str) -> Result<(), LocalError> {
    write_new(path, Readers::All, text.as_bytes()).map_err(|source| LocalError::Write {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests;
