//! The directory of the engine on disk: created atomically, opened once, stopped by the first failed write.
//!
//! ```text
//!   directory/
//!     creating.lock      held while the store is made
//!     store.new/         the store being made; what a crash left of it is deleted
//!     damaged            tables that were found damaged, see [`tables`]; manifests are checked first, see [`manifests`]
//!     stopped            what the journals held at an orderly stop; not there while the store is open
//!     store/             the store: made completely, then renamed
//!       0.jnl ...        journals: where a commit goes first
//!       keyspaces/N/     one tree each
//! ```
//!
//! Invariants: a directory has no store, or a complete one with all seven keyspaces and a format version. A missing
//! piece is damage and never "new" (fjall itself would create an empty piece, and cannot open what a crash
//! left of its own creation). The first failed write is kept as the cause of every later refusal.

use std::error::Error;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use fjall::{Database, LsmError, PersistMode};

use super::tables::{self, Damage};
use super::{EngineError, EngineOptions, FreeSpace, Keyspace, journal, layout, manifests, space};

/// An open database, shared by the engine with its snapshots and walks.
pub(super) struct Store {
    /// In the order of [`Keyspace::ALL`].
    keyspaces: Vec<fjall::Keyspace>,
    pub(super) database: Database,
    directory: PathBuf,
    /// Why no write is taken, if a table is damaged.
    read_only: Option<EngineError>,
    /// The first failed write; once set, every call is refused.
    failure: OnceLock<EngineError>,
}

impl Store {
    /// Whether there is a store in `directory`.
    pub(super) fn is_in(directory: &Path) -> io::Result<bool> {
        path_in(directory).try_exists()
    }

    /// Opens the store in `directory`, after making both if they are missing.
    pub(super) fn create_or_open(
        directory: &Path,
        options: EngineOptions,
    ) -> Result<Self, EngineError> {
        options.check()?;
        let path = path_in(directory);
        if !is_there(directory)? {
            create(directory, &path, options)?;
        }
        Self::open(directory, options)
    }

    /// Opens the store in `directory`.
    pub(super) fn open(directory: &Path, options: EngineOptions) -> Result<Self, EngineError> {
        options.check()?;
        let path = path_in(directory);
        if !is_there(directory)? {
            let directory = directory.into();
            return Err(EngineError::Missing { directory });
        }

        let doing = "opening the store";
        {
            let _lock = lock(directory, &path)?;
            manifests::check(&path)?;
            journal::check(directory, &path)?;
        }
        let damaged = tables::noted(directory, &path);
        let damaged = damaged.map_err(|e| EngineError::from_io("checking the tables", e))?;
        let read_only = table_damaged(&path, &damaged);
        let database = match &read_only {
            None => options.database(&path).open(),
            Some(error) => {
                tracing::error!(
                    error = error as &(dyn Error + 'static),
                    "the engine is read only"
                );
                // Without threads nothing merges, so nothing meets the damage but a read of it.
                options.database(&path).worker_threads_unchecked(0).open()
            }
        };
        let database = database.map_err(|e| sort_at(doing, directory, e))?;
        check_format(&existing(&database, Keyspace::Meta)?)?;

        let keyspaces = Keyspace::ALL.iter().map(|&k| existing(&database, k));
        Ok(Self {
            keyspaces: keyspaces.collect::<Result<_, _>>()?,
            database,
            directory: directory.to_owned(),
            read_only,
            failure: OnceLock::new(),
        })
    }

    /// Closes the database, and records what its journals hold.
    pub(super) fn close(self) -> Result<(), EngineError> {
        self.usable()?;
        let Self {
            keyspaces,
            database,
            directory,
            ..
        } = self;
        drop((keyspaces, database)); // ends fjall's threads, the last that write

        let path = path_in(&directory);
        let _lock = lock(&directory, &path)?;
        journal::note_closed(&directory, &path)
    }

    /// The error that it is still in use.
    pub(super) fn in_use(&self) -> EngineError {
        in_use(&self.directory)
    }

    pub(super) fn keyspace(&self, keyspace: Keyspace) -> &fjall::Keyspace {
        &self.keyspaces[keyspace.index()]
    }

    pub(super) fn keyspaces(&self) -> &[fjall::Keyspace] {
        &self.keyspaces
    }

    /// Refuses if a write has failed.
    pub(super) fn usable(&self) -> Result<(), EngineError> {
        match self.failure.get() {
            None => Ok(()),
            Some(poisoned @ EngineError::Poisoned { .. }) => Err(poisoned.clone()),
            Some(first) => Err(EngineError::Poisoned {
                cause: Some(Arc::new(first.clone())),
            }),
        }
    }

    /// Refuses if a table is damaged.
    pub(super) fn takes_writes(&self) -> Result<(), EngineError> {
        self.read_only.clone().map_or(Ok(()), Err)
    }

    /// Keeps a failed write as the cause of all later refusals; the first one counts.
    pub(super) fn fail(&self, doing: &'static str, error: fjall::Error) -> EngineError {
        let error = self.explain(sort(doing, error));
        tracing::error!(error = &error as &(dyn Error + 'static), "the engine stops");
        self.failure.get_or_init(|| error.clone());
        error
    }

    /// Names the cause of failed background work, which fjall does not report: a full disk, if it still is, or a
    /// damaged table.
    fn explain(&self, error: EngineError) -> EngineError {
        let full = || space::free(&self.directory).is_some_and(|free| free < space::SLACK);
        match error {
            EngineError::Poisoned { cause: None } if full() => EngineError::NoSpace {
                doing: "writing tables in the background",
                source: Arc::new(io::ErrorKind::StorageFull.into()),
            },
            EngineError::Poisoned { cause: None } => EngineError::Poisoned {
                cause: self.find_damage().map(Arc::new),
            },
            error => error,
        }
    }

    /// Looks for damaged tables, and notes them for the next opening.
    fn find_damage(&self) -> Option<EngineError> {
        tracing::warn!("the engine's background work has failed: all tables are checked");
        let path = path_in(&self.directory);
        let noted = tables::find(&path, &self.keyspaces).and_then(|damage| {
            if !damage.is_empty() {
                tables::note(&self.directory, &damage)?;
            }
            Ok(damage)
        });
        match noted {
            Ok(damage) => table_damaged(&path, &damage),
            Err(error) => {
                tracing::error!(%error, "the tables cannot be checked");
                None
            }
        }
    }

    /// The space on the disk: a system call, and a look at each tree.
    pub(super) fn free_space(&self) -> Option<FreeSpace> {
        let free = space::free(&self.directory)?;
        let tables = self.keyspaces.iter().map(fjall::Keyspace::disk_space).sum();
        let needed = space::needed(self.database.write_buffer_size(), tables);
        Some(FreeSpace { free, needed })
    }

    /// Syncs or flushes the journal.
    pub(super) fn sync(&self, mode: PersistMode, doing: &'static str) -> Result<(), EngineError> {
        self.usable()?;
        (self.database.persist(mode)).map_err(|error| self.fail(doing, error))
    }
}

fn is_there(directory: &Path) -> Result<bool, EngineError> {
    let there = Store::is_in(directory);
    there.map_err(|error| EngineError::from_io("looking for the store", error))
}

fn path_in(directory: &Path) -> PathBuf {
    directory.join("store")
}

/// Makes the store at `path` atomically: after a crash it is complete or absent.
fn create(directory: &Path, path: &Path, options: EngineOptions) -> Result<(), EngineError> {
    let doing = "creating the store";
    let failed = |error| EngineError::from_io(doing, error);
    fs::create_dir_all(directory).map_err(failed)?;
    let lock = File::create(directory.join("creating.lock")).map_err(failed)?;
    lock.try_lock().map_err(|error| match error {
        TryLockError::Error(error) => failed(error),
        TryLockError::WouldBlock => in_use(directory),
    })?;
    if path.try_exists().map_err(failed)? {
        return Ok(()); // another process made it before this one had the lock
    }

    let unfinished = directory.join("store.new");
    if unfinished.try_exists().map_err(failed)? {
        fs::remove_dir_all(&unfinished).map_err(failed)?;
    }

    fill(&unfinished, options).map_err(|error| sort_at(doing, directory, error))?;
    fs::rename(&unfinished, path).map_err(failed)?;
    sync_directories(directory).map_err(failed)
}

/// Makes a database with all keyspaces and the format version, and closes it.
fn fill(path: &Path, options: EngineOptions) -> fjall::Result<()> {
    let database = options.database(path).open()?;
    for keyspace in Keyspace::ALL {
        database.keyspace(keyspace.name(), || options.keyspace(keyspace))?;
    }
    let meta = Keyspace::Meta;
    let meta = database.keyspace(meta.name(), || options.keyspace(meta))?;
    meta.insert(layout::META_FORMAT, layout::FORMAT.to_be_bytes())?;
    database.persist(PersistMode::SyncAll)
}

/// Keeps everyone else from opening the store at `path` until the file is dropped, with the lock that fjall takes.
fn lock(directory: &Path, path: &Path) -> Result<Option<File>, EngineError> {
    let failed = |error| EngineError::from_io("locking the store", error);
    let file = match File::open(path.join("lock")) {
        Ok(file) => file,
        // fjall reports what is missing.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::Error(error)) => Err(failed(error)),
        Err(TryLockError::WouldBlock) => Err(in_use(directory)),
    }
}

fn in_use(directory: &Path) -> EngineError {
    EngineError::InUse {
        directory: directory.into(),
    }
}

/// Makes creations and renames in `directory`, and the directory itself, survive a loss of power.
fn sync_directories(directory: &Path) -> io::Result<()> {
    let directory = fs::canonicalize(directory)?;
    File::open(&directory)?.sync_all()?;
    match directory.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

/// A keyspace that must be there.
fn existing(database: &Database, keyspace: Keyspace) -> Result<fjall::Keyspace, EngineError> {
    let doing = "looking for a keyspace";
    if !database.keyspace_exists(keyspace.name()) {
        return Err(damaged(doing, format!("{} is missing", keyspace.name())));
    }
    // Options count only at creation; fjall reads the stored ones.
    let opened = database.keyspace(keyspace.name(), Default::default);
    opened.map_err(|error| sort(doing, error))
}

/// Refuses a format that this node cannot read.
fn check_format(meta: &fjall::Keyspace) -> Result<(), EngineError> {
    let doing = "reading the format version";
    let stored = meta.get(layout::META_FORMAT).map_err(|e| sort(doing, e))?;
    let found = stored
        .as_deref()
        .and_then(|bytes| <[u8; 4]>::try_from(bytes).ok());
    match found.map(u32::from_be_bytes) {
        Some(layout::FORMAT) => Ok(()),
        Some(found) if found > layout::FORMAT => Err(EngineError::NewerFormat {
            found,
            supported: layout::FORMAT,
        }),
        _ => Err(damaged(doing, format!("it is {stored:?}"))),
    }
}

fn damaged(doing: &'static str, what: String) -> EngineError {
    let source = Some(Arc::from(Box::<dyn Error + Send + Sync>::from(what)));
    EngineError::Corrupt { doing, source }
}

fn table_damaged(store: &Path, damage: &[Damage]) -> Option<EngineError> {
    damage
        .split_first()
        .map(|(first, others)| EngineError::TableDamaged {
            keyspace: first.keyspace,
            file: store.join(&first.file),
            others: others.len(),
        })
}

/// Classifies an error of fjall from opening or making the store in `directory`.
fn sort_at(doing: &'static str, directory: &Path, error: fjall::Error) -> EngineError {
    match error {
        fjall::Error::Locked => in_use(directory),
        error => sort(doing, error),
    }
}

/// Classifies an error of fjall.
pub(super) fn sort(doing: &'static str, error: fjall::Error) -> EngineError {
    use fjall::Error::{InvalidVersion, Io, Poisoned, Storage};
    match error {
        Io(error) | Storage(LsmError::Io(error)) => EngineError::from_io(doing, error),
        Poisoned => EngineError::Poisoned { cause: None },
        InvalidVersion(_) | Storage(LsmError::InvalidVersion(_)) => EngineError::ForeignFormat {
            source: Arc::new(error),
        },
        damage => EngineError::Corrupt {
            doing,
            source: Some(Arc::new(damage)),
        },
    }
}
