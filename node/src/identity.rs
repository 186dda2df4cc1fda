//! The data directory: its owner, its lock, and whether the last node stopped in order.
//!
//! ```text
//! DIR/lock       held while a node runs: one node per directory
//! DIR/identity   cluster, node and disk id, state of the last run, keys of the QUIC endpoint
//! DIR/store/     the engine's
//! ```
//!
//! A disk belongs to one node of one cluster for ever, and the identity is written before any data. So a
//! non-empty directory without an identity is foreign and refused. So is one with an unreadable identity: taken
//! for absent, the node would start empty under an id whose data the cluster counts on. The file is replaced
//! atomically and durably: write a new one, sync it, rename it over the old.
//!
//! The endpoint's two keys are here because they must outlast the process. With them a restarted node recognises
//! packets of its earlier connections and resets those at once; with fresh keys it would drop the packets, and
//! every client would wait for its timeout.
//!
//! Left out: detection of a copied directory on another machine.

pub(crate) mod disk;
mod error;
mod format;
mod owner;

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use quinn_proto::HashedConnectionIdGenerator;
use quoit_ring::{ClusterId, NodeId};
use rand::rngs::{OsRng, StdRng};
use rand::{Rng as _, SeedableRng as _};
use ring::hmac;

use self::format::{Content, Flaw, Left};
use self::owner::Secrets;

pub use self::error::IdentityError;
pub use self::owner::Identity;

const LOCK: &str = "lock";
const IDENTITY: &str = "identity";
const IDENTITY_NEW: &str = "identity.new";
const STORE: &str = "store";

/// The expected owner of a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    /// The cluster of the first map, or `None` if no map was given: then the directory must have an
    /// identity, whose cluster counts.
    pub cluster: Option<ClusterId>,
    /// The node in the certificate.
    pub node: NodeId,
}

/// A data directory in use: no other node can have it until this is dropped or the process ends.
///
/// ```
/// # use quoit_node::identity::{DataDir, Expected};
/// # use quoit_ring::{ClusterId, NodeId};
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("data");
/// let expected = Expected { cluster: Some(ClusterId(1)), node: NodeId(2) };
/// let mut data = DataDir::open(&path, expected)?;
/// assert!(!data.has_run());
/// data.mark_running()?;
/// // ... serve ...
/// data.mark_clean()?;
/// drop(data);
/// let data = DataDir::open(&path, expected)?;
/// assert!(data.has_run() && data.was_clean());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    content: Content,
    /// The state of the last run, when opened.
    found: Left,
    /// Locked. Closing it unlocks, which the system does even for a killed process.
    _lock: File,
}

impl DataDir {
    /// Takes the directory at `path` for one node: locks it, and checks its owner. An absent or empty one is
    /// created for the expected node.
    ///
    /// # Errors
    /// [`IdentityError`] says why not. A directory that is refused is left as it was, an empty `lock`
    /// file aside.
    pub fn open(path: &Path, expected: Expected) -> Result<Self, IdentityError> {
        create(path)?;
        let lock = lock(path)?;
        let found = read(path)?;
        let content = match found {
            Some(content) => check(content, expected, path)?,
            None => first_use(path, expected)?,
        };
        let path = path.to_owned();
        Ok(Self {
            path,
            content,
            found: content.left,
            _lock: lock,
        })
    }

    /// The directory's owner.
    #[must_use]
    pub const fn identity(&self) -> Identity {
        self.content.identity
    }

    /// Whether the last run stopped in order; true for a new directory. If false, writes acknowledged in
    /// buffered mode may be missing after a power loss.
    #[must_use]
    pub const fn was_clean(&self) -> bool {
        !matches!(self.found, Left::Running)
    }

    /// Whether a node had run on it when it was opened. If so, the store with the acknowledged writes must be
    /// there; if not, it is empty, and the first map must be stored.
    #[must_use]
    pub const fn has_run(&self) -> bool {
        !matches!(self.found, Left::NeverRan)
    }

    /// The folder of the engine; the engine creates it.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.path.join(STORE)
    }

    /// Records durably that a node is running: from here on an end without [`DataDir::mark_clean`] is a
    /// crash, and a missing store is a loss. Call it once the first map is stored, before the first write
    /// is accepted.
    ///
    /// # Errors
    /// [`IdentityError::Write`]; the record is then the old or the new one, whole.
    pub fn mark_running(&mut self) -> Result<(), IdentityError> {
        self.mark(Left::Running)
    }

    /// Records durably that the node stopped in order. Call it after the engine is closed.
    ///
    /// # Errors
    /// [`IdentityError::Write`]; the record is then the old or the new one, whole.
    pub fn mark_clean(&mut self) -> Result<(), IdentityError> {
        self.mark(Left::Clean)
    }

    fn mark(&mut self, left: Left) -> Result<(), IdentityError> {
        let content = Content {
            left,
            ..self.content
        };
        write(&self.path, &content)?;
        self.content = content;
        Ok(())
    }

    /// The configuration of the node's QUIC endpoint, with keys that outlast a restart.
    #[must_use]
    pub fn endpoint_config(&self) -> quinn::EndpointConfig {
        let Secrets {
            reset_key,
            connection_id_key,
        } = self.content.secrets;
        let reset_key = hmac::Key::new(hmac::HMAC_SHA256, &reset_key);
        let mut config = quinn::EndpointConfig::new(Arc::new(reset_key));
        config.cid_generator(move || {
            Box::new(HashedConnectionIdGenerator::from_key(connection_id_key))
        });
        config
    }
}

fn create(path: &Path) -> Result<(), IdentityError> {
    disk::create_all(path).map_err(|source| IdentityError::Create {
        path: path.to_owned(),
        source,
    })
}

fn lock(path: &Path) -> Result<File, IdentityError> {
    let lock = path.join(LOCK);
    let failed = |source| IdentityError::Write {
        path: lock.clone(),
        source,
    };
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&lock);
    let file = file.map_err(failed)?;

    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(IdentityError::InUse {
            path: path.to_owned(),
        }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// The identity in the directory, or `None` if there is no such file.
fn read(dir: &Path) -> Result<Option<Content>, IdentityError> {
    let path = dir.join(IDENTITY);
    let failed = |source| IdentityError::Read {
        path: path.clone(),
        source,
    };
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };

    let mut bytes = Vec::new();
    // One byte beyond the length is enough to see that a file is too long.
    file.take(format::LENGTH as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;

    format::decode(&bytes).map(Some).map_err(|flaw| match flaw {
        Flaw::Damaged => IdentityError::Damaged { path },
        Flaw::Newer(found) => IdentityError::Newer {
            path,
            found,
            known: format::VERSION,
        },
    })
}

fn check(content: Content, expected: Expected, path: &Path) -> Result<Content, IdentityError> {
    let Identity { cluster, node, .. } = content.identity;
    let path = || path.to_owned();
    match expected.cluster {
        Some(expected) if expected != cluster => Err(IdentityError::OtherCluster {
            path: path(),
            expected,
            found: cluster,
        }),
        _ if expected.node != node => Err(IdentityError::OtherNode {
            path: path(),
            expected: expected.node,
            found: node,
        }),
        _ => Ok(content),
    }
}

/// Gives a directory without identity to the expected node, if it is empty.
fn first_use(path: &Path, expected: Expected) -> Result<Content, IdentityError> {
    refuse_foreign(path)?;
    let Expected {
        cluster: Some(cluster),
        node,
    } = expected
    else {
        return Err(IdentityError::NoMap {
            path: path.to_owned(),
        });
    };

    let mut rng = StdRng::try_from_rng(&mut OsRng).map_err(IdentityError::Entropy)?;
    let identity = Identity {
        cluster,
        node,
        disk: rng.random(),
    };
    let content = Content {
        identity,
        secrets: Secrets::draw(&mut rng),
        left: Left::NeverRan,
    };
    write(path, &content)?;
    Ok(content)
}

/// Refuses a directory that holds anything besides what an interrupted first use leaves.
fn refuse_foreign(path: &Path) -> Result<(), IdentityError> {
    let failed = |source| IdentityError::Read {
        path: path.to_owned(),
        source,
    };
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        if name != LOCK && name != IDENTITY_NEW {
            return Err(IdentityError::Foreign {
                path: path.to_owned(),
                found: name,
            });
        }
    }
    Ok(())
}

/// Replaces the identity, atomically and durably.
fn write(dir: &Path, content: &Content) -> Result<(), IdentityError> {
    let path = dir.join(IDENTITY);
    disk::replace(&path, &dir.join(IDENTITY_NEW), &format::encode(content))
        .map_err(|source| IdentityError::Write { path, source })
}

#[cfg(test)]
mod tests;
