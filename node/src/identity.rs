//! The data directory: its owner, its lock, and whether the last node stopped in order.
//!
//! ```text
//! DIR/lock       held while a node runs: one node per directory
//! DIR/identity   cluster, node and disk id, state of the last run, keys of the QUIC endpoint
//! DIR/store/     the engine's
//! DIR/tls/       certificates of a node that joined by a bundle; written first, and begins nothing
//! ```
//!
//! A disk belongs to one node of one cluster for ever. [`DataDir::init`] gives it to that node, once: the identity
//! comes before any data, marked as incomplete until the store is there. [`DataDir::open`] takes what was
//! initialised and never begins anything; [`Found::may`] is where that is decided. An unreadable identity is refused:
//! taken for absent, the node would start empty under an id whose data the cluster counts on. The file is replaced
//! atomically and durably: write a new one, sync it, rename it over the old.
//!
//! The endpoint's two keys are here because they must outlast the process. With them a restarted node recognises
//! packets of its earlier connections and resets those at once; with fresh keys it would drop the packets, and
//! every client would wait for its timeout.
//!
//! Left out: making the store; whether this is the directory that its node ran on last, for which other members are asked.

pub(crate) mod disk;
mod error;
mod first_use;
mod format;
mod last_run;
mod look;
mod owner;

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use quinn_proto::HashedConnectionIdGenerator;
use quoit_ring::wire::Durability;
use quoit_ring::{ClusterId, NodeId};
use rand::rngs::{OsRng, StdRng};
use rand::{Rng as _, SeedableRng as _};
use ring::hmac;

use self::format::{Content, Left};
use self::look::{has_lock, look};
use self::owner::Secrets;
use crate::boot::BootId;

pub use self::error::IdentityError;
pub use self::first_use::{Act, Found, May};
pub use self::last_run::LastRun;
pub use self::owner::Identity;

const LOCK: &str = "lock";
const IDENTITY: &str = "identity";
const IDENTITY_NEW: &str = "identity.new";
const STORE: &str = "store";
/// Certificates of a node that joined by a bundle, which come before its identity.
pub(crate) const TLS: &str = "tls";

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
/// # use quoit_node::boot::Boot;
/// # use quoit_node::engine::{EngineOptions, FjallEngine};
/// # use quoit_node::identity::{DataDir, Expected, IdentityError};
/// # use quoit_ring::wire::Durability;
/// # use quoit_ring::{ClusterId, NodeId};
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("data");
/// let expected = Expected { cluster: Some(ClusterId(1)), node: NodeId(2) };
/// let mut data = DataDir::init(&path, expected)?;
/// FjallEngine::create_or_open(&data.store(), EngineOptions::default())?.close()?;
/// data.mark_clean()?;
/// drop(data);
///
/// let mut data = DataDir::open(&path, expected)?;
/// data.mark_running(Durability::Buffered, Boot::read().id)?;
/// // ... serve ...
/// data.mark_clean()?;
/// drop(data);
/// assert!(DataDir::open(&path, expected)?.was_clean());
///
/// std::fs::remove_dir_all(&path)?; // as if the disk were not mounted
/// let refused = DataDir::open(&path, expected);
/// assert!(matches!(refused, Err(IdentityError::NoDirectory { .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    content: Content,
    /// The state of the last run, when opened.
    found: LastRun,
    may: May,
    /// Locked. Closing it unlocks, which the system does even for a killed process.
    _lock: File,
}

impl DataDir {
    /// Gives the directory at `path` to the expected node, or goes on with doing so; it must be absent or empty, or
    /// have been left by an initialisation that was cut short. [`DataDir::mark_clean`] completes it once the store
    /// is there; until then no node can run on it.
    ///
    /// # Errors
    /// [`IdentityError`] says why not. A directory that is refused is left as it was.
    pub fn init(path: &Path, expected: Expected) -> Result<Self, IdentityError> {
        Self::take(path, Act::Initialise, expected)
    }

    /// Takes the directory at `path` for the node whose it is: locks it, and checks its owner.
    ///
    /// # Errors
    /// [`IdentityError`] says why not. A directory that is refused is left as it was; that of a node may get a
    /// missing `lock` file.
    pub fn open(path: &Path, expected: Expected) -> Result<Self, IdentityError> {
        Self::take(path, Act::Run, expected)
    }

    /// Takes the directory to do `act`.
    ///
    /// # Errors
    /// As [`DataDir::init`] and [`DataDir::open`].
    pub fn take(path: &Path, act: Act, expected: Expected) -> Result<Self, IdentityError> {
        // Refused without the trace of a lock file, where there is none yet.
        if !has_lock(path)? {
            let (_content, may) = look(path, act, expected)?;
            if may == May::Begin {
                cluster_of(path, expected)?;
                create(path)?;
            }
        }

        let lock = lock(path)?;
        // Nobody else changes anything now.
        let (content, may) = look(path, act, expected)?;
        let content = match content {
            Some(content) => content,
            None => begin(path, expected)?,
        };
        Ok(Self {
            path: path.to_owned(),
            content,
            found: content.last,
            may,
            _lock: lock,
        })
    }

    /// The directory's owner.
    #[must_use]
    pub const fn identity(&self) -> Identity {
        self.content.identity
    }

    /// Whether the last run stopped in order; true if none has run yet.
    #[must_use]
    pub const fn was_clean(&self) -> bool {
        !matches!(self.found.left, Left::Running)
    }

    /// The last run, as it was found when this directory was opened.
    #[must_use]
    pub const fn last_run(&self) -> LastRun {
        self.found
    }

    /// How often a node has begun to run on it. The next run's number is one more, and by it others recognise an older one.
    #[must_use]
    pub const fn runs(&self) -> u64 {
        self.content.runs
    }

    /// The next run's number is above `run`, which was the last one on another disk.
    pub const fn run_after(&mut self, run: u64) {
        if self.content.runs < run {
            self.content.runs = run;
        }
    }

    /// What may be done: whether the store must be there, or is to be made.
    #[must_use]
    pub const fn may(&self) -> May {
        self.may
    }

    /// The folder of the engine; the engine creates it.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.path.join(STORE)
    }

    /// Records durably that a node is running, in which boot of its machine, and what its acknowledgements mean: from here
    /// on an end without [`DataDir::mark_clean`] is a crash. Call it before the first write is accepted, and after what is
    /// found was made durable.
    ///
    /// # Errors
    /// [`IdentityError::Write`]; the record is then the old or the new one, whole.
    pub fn mark_running(
        &mut self,
        durability: Durability,
        boot: Option<BootId>,
    ) -> Result<(), IdentityError> {
        let run = LastRun::running(durability, boot);
        self.mark(run, self.content.runs + 1)
    }

    /// Records durably that the node stopped in order, or that the directory is initialised: from here on a missing
    /// store is a loss. Call it after the engine is closed.
    ///
    /// # Errors
    /// [`IdentityError::Write`]; the record is then the old or the new one, whole.
    pub fn mark_clean(&mut self) -> Result<(), IdentityError> {
        let run = LastRun {
            left: Left::Clean,
            ..self.content.last
        };
        self.mark(run, self.content.runs)
    }

    /// Records durably that the node was removed from its cluster: none runs here any more.
    ///
    /// # Errors
    /// [`IdentityError::Write`]; the record is then the old or the new one, whole.
    pub fn mark_removed(&mut self) -> Result<(), IdentityError> {
        let run = LastRun {
            left: Left::Removed,
            ..self.content.last
        };
        self.mark(run, self.content.runs)
    }

    fn mark(&mut self, last: LastRun, runs: u64) -> Result<(), IdentityError> {
        let content = Content {
            last,
            runs,
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
    disk::create_private(path).map_err(|source| IdentityError::Create {
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

/// Gives a directory without identity to the expected node.
fn begin(path: &Path, expected: Expected) -> Result<Content, IdentityError> {
    let cluster = cluster_of(path, expected)?;
    match disk::sync_parent(path) {
        // Not this user's to look into, so the directory is another's work of before.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
        // It may be there from an earlier call that ended before it was durable.
        synced => synced.map_err(|source| IdentityError::Write {
            path: path.to_owned(),
            source,
        })?,
    }

    let mut rng = StdRng::try_from_rng(&mut OsRng).map_err(IdentityError::Entropy)?;
    let identity = Identity {
        cluster,
        node: expected.node,
        disk: rng.random(),
    };
    let content = Content {
        identity,
        secrets: Secrets::draw(&mut rng),
        last: LastRun {
            left: Left::Incomplete,
            durability: Durability::Fsync,
            boot: None,
        },
        runs: 0,
    };
    write(path, &content)?;
    Ok(content)
}

/// The cluster that a new directory is to be part of.
fn cluster_of(path: &Path, expected: Expected) -> Result<ClusterId, IdentityError> {
    expected.cluster.ok_or_else(|| IdentityError::NoMap {
        path: path.to_owned(),
    })
}

/// Replaces the identity, atomically and durably.
fn write(dir: &Path, content: &Content) -> Result<(), IdentityError> {
    let path = dir.join(IDENTITY);
    disk::replace(&path, &dir.join(IDENTITY_NEW), &format::encode(content))
        .map_err(|source| IdentityError::Write { path, source })
}

#[cfg(test)]
mod tests;
