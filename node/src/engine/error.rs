//! Errors of the engine, and what to do about each.
//!
//! ```text
//!   who acts    caller        operator                        restart
//!               InvalidKey    NoSpace  InUse   NewerFormat    Io (in a write)
//!               InvalidValue  Corrupt  Memory  ForeignFormat  Poisoned
//!                             JournalDamaged  ManifestDamaged  TableDamaged  Missing
//! ```
//!
//! The caller's errors leave the engine as it was. The first failed write returns its own error; every later
//! call returns [`EngineError::Poisoned`] with the first one as source. The only recovery is to open the engine
//! again, which reads back what the disk really has.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::{Keyspace, MAX_KEY, MAX_VALUE};

/// Why a call to the engine failed.
///
/// Cloning is cheap: one failed commit answers every request in its batch.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The key is empty or longer than [`MAX_KEY`]. Nothing was changed; the engine goes on.
    #[error("a key of {length} bytes cannot be kept in {}: give 1 to {MAX_KEY} bytes", .keyspace.name())]
    InvalidKey {
        /// Where it was to be read or written.
        keyspace: Keyspace,
        /// Its length in bytes.
        length: usize,
    },

    /// The value is longer than [`MAX_VALUE`]. Nothing was changed; the engine goes on.
    #[error("a value of {length} bytes cannot be kept in {}: give at most {MAX_VALUE} bytes", .keyspace.name())]
    InvalidValue {
        /// Where it was to be written.
        keyspace: Keyspace,
        /// Its length in bytes.
        length: usize,
    },

    /// The memory given is too little to run with. Nothing was opened.
    #[error("{given} bytes of memory are too few for the engine: give at least {least}")]
    Memory {
        /// What was given, in bytes.
        given: u64,
        /// The least that works, in bytes.
        least: u64,
    },

    /// The operating system reported an error. If a write met it, the engine must be opened again.
    #[error("the disk failed while {doing}: check it, then restart the node")]
    Io {
        /// The engine's activity.
        doing: &'static str,
        /// What the system said.
        #[source]
        source: Arc<io::Error>,
    },

    /// The disk or its quota is full. The engine must be opened again once there is space.
    #[error("no space is left on the disk while {doing}: make room, then restart the node")]
    NoSpace {
        /// The engine's activity.
        doing: &'static str,
        /// What the system said.
        #[source]
        source: Arc<io::Error>,
    },

    /// The data on disk is damaged.
    #[error(
        "the stored data is damaged, found while {doing}: check the disk, and read \"Damaged tables\" in \
         docs/operations.md"
    )]
    Corrupt {
        /// The engine's activity.
        doing: &'static str,
        /// What was wrong, as far as known.
        #[source]
        source: Option<Arc<dyn Error + Send + Sync>>,
    },

    /// A journal holds something else than what was written to it: acknowledged writes are missing. Found before the
    /// engine was opened. Nothing was changed.
    #[error(
        "the journal {} is damaged at byte {offset}, where {expected} was expected; {following} later batches can \
         be read. Acknowledged writes are missing, so the store is not opened, and nothing was changed: keep a copy \
         of it, and read \"Damaged journals\" in docs/operations.md",
        .file.display()
    )]
    JournalDamaged {
        /// The journal.
        file: PathBuf,
        /// Where in it the expectation failed, in bytes.
        offset: u64,
        /// What should be there.
        expected: &'static str,
        /// Batches of writes behind that place that can still be decoded, those of later journals included.
        following: u64,
    },

    /// A manifest, which says what tables a tree has, is not what was written. Found before the engine was opened: the
    /// library would delete tables that it does not know of. Nothing was changed.
    #[error(
        "{} in the store is damaged or missing, {expected} was expected. The store is not opened, and nothing was \
         changed: keep a copy of it, and read \"Damaged manifests\" in docs/operations.md",
        .file.display()
    )]
    ManifestDamaged {
        /// The manifest, or where it should be, below the store.
        file: PathBuf,
        /// What should be there.
        expected: &'static str,
    },

    /// A table holds something else than what was written to it. Reads of its undamaged parts and of other tables go on
    /// once the engine is opened again; writes do not.
    #[error(
        "the table {} of {} does not match its checksum{}: no write is taken, reads of what is undamaged go on. Check \
         the disk, and read \"Damaged tables\" in docs/operations.md",
        .file.display(), .keyspace.name(), and_others(*.others)
    )]
    TableDamaged {
        /// Where its keys are.
        keyspace: Keyspace,
        /// The table.
        file: PathBuf,
        /// How many other tables are damaged.
        others: usize,
    },

    /// There is no store in the directory, and none was asked to be made. Nothing was changed.
    #[error("there is no store in {}: mount the disk that holds it", .directory.display())]
    Missing {
        /// The engine's directory.
        directory: PathBuf,
    },

    /// The directory is open already, here or in another process. Nothing was changed.
    #[error("{} is in use: stop the other node, or wait until its snapshots are dropped", .directory.display())]
    InUse {
        /// The engine's directory.
        directory: PathBuf,
    },

    /// A newer quoit wrote the directory. Nothing was changed.
    #[error("the data has format {found}, this node knows up to {supported}: run a newer node")]
    NewerFormat {
        /// The format found.
        found: u32,
        /// The newest one this node reads.
        supported: u32,
    },

    /// The directory's files are of a generation this node's storage library cannot read. Nothing was changed.
    #[error(
        "the data was written by another generation of the storage library: run the node that wrote it"
    )]
    ForeignFormat {
        /// What the library said.
        #[source]
        source: Arc<dyn Error + Send + Sync>,
    },

    /// An earlier write, or the engine's background work, failed. Nothing was changed by this call.
    #[error("the engine stopped after a failed write: restart the node to see what the disk has")]
    Poisoned {
        /// The failure that stopped it; unknown if it happened in the background.
        #[source]
        cause: Option<Arc<Self>>,
    },
}

impl EngineError {
    /// Whether a commit with this error has certainly stored nothing. If false, the batch may or may not be
    /// there when the engine is opened again.
    #[must_use]
    pub const fn surely_not_stored(&self) -> bool {
        matches!(
            self,
            Self::InvalidKey { .. }
                | Self::InvalidValue { .. }
                | Self::TableDamaged { .. }
                | Self::Poisoned { .. }
        )
    }

    /// Classifies an error of the operating system.
    pub(super) fn from_io(doing: &'static str, source: io::Error) -> Self {
        use io::ErrorKind::{InvalidData, QuotaExceeded, StorageFull, UnexpectedEof};
        let (kind, source) = (source.kind(), Arc::new(source));
        match kind {
            StorageFull | QuotaExceeded => Self::NoSpace { doing, source },
            InvalidData | UnexpectedEof => Self::Corrupt {
                doing,
                source: Some(source),
            },
            _ => Self::Io { doing, source },
        }
    }
}

fn and_others(others: usize) -> String {
    match others {
        0 => String::new(),
        more => format!(", nor do {more} others"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_distinguished_from_a_broken_one() {
        let sorted = |kind: io::ErrorKind| EngineError::from_io("writing", kind.into());
        assert!(matches!(
            sorted(io::ErrorKind::StorageFull),
            EngineError::NoSpace { .. }
        ));
        assert!(matches!(
            sorted(io::ErrorKind::QuotaExceeded),
            EngineError::NoSpace { .. }
        ));
        assert!(matches!(
            sorted(io::ErrorKind::Other),
            EngineError::Io { .. }
        ));
        assert!(matches!(
            sorted(io::ErrorKind::UnexpectedEof),
            EngineError::Corrupt { .. }
        ));
    }

    #[test]
    fn the_first_failure_is_the_source_of_every_later_refusal() {
        let first = EngineError::from_io("writing", io::ErrorKind::StorageFull.into());
        assert!(!first.surely_not_stored());
        let later = EngineError::Poisoned {
            cause: Some(Arc::new(first)),
        };
        assert!(later.surely_not_stored());
        let source = later.source().expect("a source");
        assert!(source.to_string().contains("no space is left"), "{source}");
    }
}
