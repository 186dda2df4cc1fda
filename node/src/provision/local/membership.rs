//! What has become of a local cluster's nodes since it was made: those that were added, and those that have left.
//!
//! ```text
//!   DIR/node-6/bundle.quoit   what it joins with, readable by its owner alone
//!   DIR/node-6/data/          initialised to join
//!   DIR/node-6/node.toml      written last: from then on it is one of the cluster's nodes
//!   DIR/node-2/left           from then on it is none any more
//! ```
//!
//! Cut short, adding goes on where it was: the same name has the same certificate, and so the same identity. Whether a node
//! that was added is a member is known to the cluster alone; one that is none waits, and can be taken up again.
//!
//! Left out: the change of the ring, and running the nodes.

use std::path::{Path, PathBuf};

use super::{
    CERTS, LocalCluster, LocalError, LocalNode, LocalOptions, NODE, config, node_name, ports, text,
    write,
};
use crate::config::Config;
use crate::identity::disk::{create_all, replace};
use crate::joining::{JoinOptions, prepare_to_join};
use crate::provision::files::{Readers, write_new};
use crate::provision::{Authority, Bundle, JoinRequest};

const BUNDLE: &str = "bundle.quoit";
const LEFT: &str = "left";

/// A node that is to join a local cluster.
///
/// ```
/// # use quoit_node::provision::NewLocalNode;
/// let node = NewLocalNode::new("node-6", vec!["127.0.0.1:7440".into()]);
/// assert_eq!((node.zone.as_str(), node.weight), ("local", 100));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLocalNode {
    /// Its name: [`LocalCluster::free_name`], or that of one that was added and waits.
    pub name: String,
    /// Its failure domain; that of the first nodes is `local`.
    pub zone: String,
    /// Its share relative to others; 100 is ordinary.
    pub weight: u32,
    /// Addresses of members, one of which must answer.
    pub seeds: Vec<String>,
}

impl NewLocalNode {
    /// An ordinary one, in the zone of the first nodes.
    #[must_use]
    pub fn new(name: &str, seeds: Vec<String>) -> Self {
        Self {
            name: name.to_owned(),
            zone: super::ZONE.to_owned(),
            weight: quoit_ring::cluster::DEFAULT_WEIGHT,
            seeds,
        }
    }
}

impl LocalCluster {
    /// A name of no node of this folder, past or present, for which `is_taken` is not so either.
    #[must_use]
    pub fn free_name(&self, is_taken: impl Fn(&str) -> bool) -> String {
        let is_used = |name: &String| {
            // A certificate without a folder was issued for a machine elsewhere.
            let is_elsewhere = || {
                let certificate = self.dir.join(CERTS).join(format!("{name}.pem"));
                certificate.exists() && !self.dir.join(name).exists()
            };
            is_taken(name) || config(&self.dir, name).exists() || is_elsewhere()
        };
        (1..)
            .map(node_name)
            .find(|name| !is_used(name))
            .unwrap_or_default()
    }

    /// Makes a node that is to join, the last of [`nodes`](Self::nodes) then; one that was added and waits is taken up again,
    /// with another zone or weight if these are asked for. Blocks; must not be called from an async runtime.
    ///
    /// # Errors
    /// [`LocalError::Taken`] if it is one of the first nodes or has left; [`LocalError::OutOfRange`] if there are 64 nodes;
    /// [`LocalError::Join`] if no seed answers. Then the cluster has the nodes that it had, and the same call goes on.
    pub fn add(&mut self, new: &NewLocalNode) -> Result<Bundle, LocalError> {
        let there = self.nodes.iter().find(|node| node.name == new.name);
        let address = match there {
            Some(node) if node.bundle.is_some() => node.address,
            None if !config(&self.dir, &new.name).exists() => {
                ports::check_size(self.nodes.len() + 1)?;
                let free = ports::free(1).map_err(LocalError::NoPort)?;
                free.into_iter().next().ok_or_else(|| {
                    LocalError::NoPort(std::io::ErrorKind::AddrNotAvailable.into())
                })?
            }
            _ => {
                return Err(LocalError::Taken {
                    name: new.name.clone(),
                });
            }
        };
        let is_new = there.is_none();
        let (bundle, file) = self.write_bundle(new, address.to_string())?;
        if is_new {
            self.initialise(&bundle, file.clone())?;
            self.nodes.push(LocalNode {
                name: bundle.name.clone(),
                id: bundle.node,
                address,
                config: config(&self.dir, &bundle.name),
                bundle: Some(file),
            });
        }
        Ok(bundle)
    }

    fn write_bundle(
        &self,
        new: &NewLocalNode,
        address: String,
    ) -> Result<(Bundle, PathBuf), LocalError> {
        let authority = Authority::open(&self.dir.join(CERTS))?;
        let folder = self.dir.join(&new.name);
        create_all(&folder).map_err(failed_at(&folder))?;
        let request = JoinRequest {
            cluster: self.first_map.map.cluster,
            address,
            zone: new.zone.clone(),
            weight: new.weight,
            seeds: new.seeds.clone(),
        };
        let bundle = authority.bundle(&new.name, request)?;
        let file = folder.join(BUNDLE);
        // Everything in an earlier one can be made again.
        if file.exists() {
            std::fs::remove_file(&file).map_err(failed_at(&file))?;
        }
        bundle.write(&file)?;
        Ok((bundle, file))
    }

    /// Makes the data directory, then the configuration, which is like that of another node.
    fn initialise(&self, bundle: &Bundle, file: PathBuf) -> Result<(), LocalError> {
        let name = &bundle.name;
        let options = JoinOptions {
            bundle: file,
            data: self.dir.join(name).join("data"),
            address: None,
            listen: None,
        };
        prepare_to_join(&options).map_err(|source| LocalError::Join {
            name: name.clone(),
            source: Box::new(source),
        })?;
        let like = self.nodes.first().map(|node| Config::load(&node.config));
        let options = match like {
            Some(Ok(like)) => LocalOptions {
                durability: like.durability,
                memory: like.memory,
                ..LocalOptions::default()
            },
            // Whoever starts that node hears what is wrong with it.
            Some(Err(_)) | None => LocalOptions::default(),
        };
        let text = text::added(bundle, &options);
        write(&config(&self.dir, name), &text)
    }

    /// Notes that a node has left the cluster for ever: it is none of [`nodes`](Self::nodes) any more, nor when the folder is
    /// opened again. Its files stay. It must not run.
    ///
    /// # Errors
    /// [`LocalError::Write`]; it is one of the nodes still.
    pub fn retire(&mut self, name: &str) -> Result<(), LocalError> {
        let Some(at) = self.nodes.iter().position(|node| node.name == name) else {
            return Ok(());
        };
        let mark = self.dir.join(name).join(LEFT);
        let text = "this node has left the cluster for ever; its folder may be removed but for this file and node.toml\n";
        match write_new(&mark, Readers::All, text.as_bytes()) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(failed_at(&mark)(error));
            }
            Ok(()) | Err(_) => {}
        }
        self.nodes.remove(at);
        Ok(())
    }

    /// Puts other seeds into the profiles, and leaves alone what else they hold. A profile without a line for its seeds,
    /// edited by hand, stays as it is.
    ///
    /// # Errors
    /// [`LocalError::Read`], [`LocalError::Write`]; each profile is as it was, or has the new seeds.
    pub fn set_seeds(&self, seeds: &[String]) -> Result<(), LocalError> {
        for path in [self.admin_profile(), self.client_profile()] {
            let read = |source| LocalError::Read {
                path: path.clone(),
                source,
            };
            let before = std::fs::read_to_string(&path).map_err(read)?;
            let readers = path.metadata().map_err(read)?.permissions();
            let after = text::with_seeds(&before, seeds);
            if after != before {
                replace(&path, &path.with_extension("new"), after.as_bytes())
                    .and_then(|()| std::fs::set_permissions(&path, readers))
                    .map_err(failed_at(&path))?;
            }
        }
        Ok(())
    }
}

/// Whether a node of the first map has left since.
pub(super) fn has_left(dir: &Path, name: &str) -> bool {
    dir.join(name).join(LEFT).exists()
}

/// The nodes that were added and have not left, in the order of their numbers.
pub(super) fn added(dir: &Path, first: &[LocalNode]) -> Result<Vec<LocalNode>, LocalError> {
    let failed = |source| LocalError::Read {
        path: dir.to_owned(),
        source,
    };
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(NODE));
        numbers.extend(number.and_then(|number| number.parse::<usize>().ok()));
    }
    numbers.sort_unstable();
    let names = numbers.into_iter().map(node_name);
    let is_added = |name: &String| {
        let is_first = first.iter().any(|node| node.name == *name);
        let file = dir.join(name).join(BUNDLE);
        !is_first && !has_left(dir, name) && file.exists() && config(dir, name).exists()
    };
    names
        .filter(is_added)
        .map(|name| {
            let file = dir.join(&name).join(BUNDLE);
            let bundle = Bundle::load(&file)?;
            let address = bundle.address.parse();
            Ok(LocalNode {
                id: bundle.node,
                address: address.map_err(|_name| LocalError::ForeignMap {
                    dir: dir.to_owned(),
                    name: name.clone(),
                })?,
                config: config(dir, &name),
                name,
                bundle: Some(file),
            })
        })
        .collect()
}

fn failed_at(path: &Path) -> impl FnOnce(std::io::Error) -> LocalError {
    let path = path.to_owned();
    move |source| LocalError::Write { path, source }
}
