//! Why an authority or a certificate cannot be made or read.

use std::io;
use std::path::PathBuf;

use rand::rand_core::OsError;

/// Why an authority or a certificate could not be made or read. Files that existed are as they were; a
/// failed write may have left a new one behind.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorityError {
    /// A file that would be written is there already.
    #[error("{} exists already and is not overwritten; choose another name or folder", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The folder holds no authority.
    #[error("there is no authority in {}; create one first", dir.display())]
    NoAuthority {
        /// The folder.
        dir: PathBuf,
    },
    /// A file could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file or folder could not be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The authority's certificate or key is damaged.
    #[error("{} is damaged; restore it from a copy", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: rcgen::Error,
    },
    /// A certificate's name cannot name a file.
    #[error(
        "`{name}` cannot name a certificate: use 1 to 64 letters, digits, `-`, `_` or `.`, not beginning with `.`, and not `ca`"
    )]
    BadName {
        /// The name.
        name: String,
    },
    /// The system gave no randomness for an identity.
    #[error("the system gave no randomness")]
    Entropy(#[from] OsError),
    /// The certificate could not be made.
    #[error("cannot make the certificate")]
    Make(#[from] rcgen::Error),
}
