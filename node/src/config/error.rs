//! Why a configuration is refused.

use std::path::PathBuf;

/// Why a configuration cannot be used. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read the configuration {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The text is not TOML, or holds an unknown key, lacks one, or one has the wrong type. The source
    /// names the line.
    #[error("the configuration {} is malformed", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What and where.
        source: toml::de::Error,
    },
    /// A value is outside its range.
    #[error("`{key}` is {value}; it must be {min} to {max}")]
    OutOfRange {
        /// The key, as written in the file.
        key: &'static str,
        /// What it is.
        value: u64,
        /// The least it may be.
        min: u64,
        /// The most it may be.
        max: u64,
    },
}
