//! Profiles: the file with a cluster's addresses and a client's certificates.
//!
//! ```toml
//! seeds = ["127.0.0.1:7440", "127.0.0.1:7441"]
//!
//! [tls]
//! ca = "ca.pem"
//! certificate = "client.pem"
//! key = "client.key"
//! ```
//!
//! Paths are relative to the folder of the file, so a folder with a profile and its certificates can be
//! moved as a whole; an absolute path stays as it is. An unknown field is an error: a misspelt one would
//! otherwise be ignored. Left out: the certificates themselves, which are read when the client connects, and
//! every other setting, which the program makes.

use core::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::tls::TlsFiles;

/// How to reach a cluster; [`ClientBuilder::profile`](crate::ClientBuilder::profile)
/// takes the file itself.
#[derive(Debug, Clone)]
pub struct Profile {
    /// Addresses (`host:port`) of nodes, at least one; any one that answers is enough.
    pub seeds: Vec<String>,
    /// The cluster's CA and this client's certificate and key.
    pub tls: TlsFiles,
}

/// Why a profile could not be read. Nothing was changed.
#[derive(Debug)]
#[non_exhaustive]
pub enum ProfileError {
    /// The file could not be read.
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The file is not a profile.
    Malformed {
        /// The file.
        file: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// The file names no seed.
    NoSeeds {
        /// The file.
        file: PathBuf,
    },
}

impl fmt::Display for ProfileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { file, source } => write!(
                f,
                "cannot read the profile {}: {source}; check the path and who may read it",
                file.display()
            ),
            Self::Malformed { file, source } => write!(
                f,
                "{} is not a profile: {}; a profile holds `seeds` and `[tls]` with `ca`, `certificate` and `key`",
                file.display(),
                source.message()
            ),
            Self::NoSeeds { file } => write!(
                f,
                "{} names no seed: give the address of at least one node, as in seeds = [\"127.0.0.1:7440\"]",
                file.display()
            ),
        }
    }
}

impl std::error::Error for ProfileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreadable { source, .. } => Some(source),
            Self::Malformed { source, .. } => Some(source),
            Self::NoSeeds { .. } => None,
        }
    }
}

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    seeds: Vec<String>,
    tls: TlsFiles,
}

impl Profile {
    /// Reads a profile file, and none of the files it names.
    ///
    /// ```
    /// # use quoit_client::Profile;
    /// # let folder = tempfile::tempdir()?;
    /// # let file = folder.path().join("client.toml");
    /// let text = r#"
    ///     seeds = ["10.0.0.1:7440", "10.0.0.2:7440"]
    ///     [tls]
    ///     ca = "ca.pem"
    ///     certificate = "client.pem"
    ///     key = "client.key"
    /// "#;
    /// std::fs::write(&file, text)?;
    /// let profile = Profile::load(&file)?;
    /// assert_eq!(profile.seeds.len(), 2);
    /// assert_eq!(profile.tls.ca, file.with_file_name("ca.pem"));
    ///
    /// let missing = Profile::load("no/such/profile.toml".as_ref()).unwrap_err();
    /// assert!(missing.to_string().starts_with("cannot read the profile no/such/profile.toml"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ProfileError`] names the file and says whether it cannot be read, is no profile or names no seed.
    /// Nothing was changed.
    pub fn load(file: &Path) -> Result<Self, ProfileError> {
        let text = std::fs::read_to_string(file).map_err(|source| ProfileError::Unreadable {
            file: file.to_owned(),
            source,
        })?;
        Self::parse(&text, file)
    }

    fn parse(text: &str, path: &Path) -> Result<Self, ProfileError> {
        let file: File = toml::from_str(text).map_err(|source| ProfileError::Malformed {
            file: path.to_owned(),
            source: Box::new(source),
        })?;
        if file.seeds.is_empty() {
            return Err(ProfileError::NoSeeds {
                file: path.to_owned(),
            });
        }
        let folder = path.parent().unwrap_or_else(|| Path::new(""));
        let tls = TlsFiles {
            ca: folder.join(file.tls.ca),
            certificate: folder.join(file.tls.certificate),
            key: folder.join(file.tls.key),
        };
        Ok(Self {
            seeds: file.seeds,
            tls,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        seeds = ["127.0.0.1:7440", "node.example:7441"]
        [tls]
        ca = "ca.pem"
        certificate = "certs/client.pem"
        key = "/etc/quoit/client.key"
    "#;

    fn parse(text: &str) -> Result<Profile, ProfileError> {
        Profile::parse(text, Path::new("some/folder/client.toml"))
    }

    #[test]
    fn paths_are_relative_to_the_profiles_folder() {
        let profile = parse(GOOD).unwrap();
        assert_eq!(profile.seeds, ["127.0.0.1:7440", "node.example:7441"]);
        assert_eq!(profile.tls.ca, Path::new("some/folder/ca.pem"));
        assert_eq!(
            profile.tls.certificate,
            Path::new("some/folder/certs/client.pem")
        );
        assert_eq!(profile.tls.key, Path::new("/etc/quoit/client.key"));
    }

    #[test]
    fn a_misspelt_field_is_an_error_that_names_it_and_the_file() {
        let error = parse(&GOOD.replace("seeds", "seed")).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("some/folder/client.toml") && text.contains("`seed`"),
            "{text}"
        );
        let error = parse(&GOOD.replace("ca =", "certificate_authority =")).unwrap_err();
        assert!(error.to_string().contains("certificate_authority"));
    }

    #[test]
    fn a_profile_without_a_seed_says_what_to_write() {
        let error = parse(&GOOD.replace(r#""127.0.0.1:7440", "node.example:7441""#, ""));
        let error = error.unwrap_err();
        assert!(matches!(error, ProfileError::NoSeeds { .. }), "{error:?}");
        assert!(error.to_string().contains("seeds = ["));
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = Profile::load(Path::new("/nonexistent/profile.toml")).unwrap_err();
        assert!(matches!(error, ProfileError::Unreadable { .. }));
        assert!(error.to_string().contains("/nonexistent/profile.toml"));
    }
}
