//! Which cluster is meant, and the note of the last dev cluster.
//!
//! ```text
//! --profile FILE      given, or from QUOIT_PROFILE
//!     else            <user data>/quoit/last-dev  holds the path of a profile; `quoit dev` writes it
//!     else            an error that says how to start a cluster
//! ```

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use directories::BaseDirs;
use quoit_client::{ConnectError, Profile};

use crate::exit::Exit;
use crate::failure::Failure;

/// A profile, and how it was found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// The profile's file.
    pub(crate) file: PathBuf,
    /// Whether it is the last dev cluster's.
    from_note: bool,
}

impl Found {
    /// The folder of the dev cluster, if it is one that was found by its note.
    pub(crate) fn dev_folder(&self) -> Option<&Path> {
        self.file.parent().filter(|_| self.from_note)
    }

    /// For an operator: if it is the last dev cluster's, the profile of its operator beside it.
    pub(crate) fn of_operator(self) -> Self {
        let admin = self.file.with_file_name("admin.toml");
        if self.from_note && admin.exists() {
            return Self {
                file: admin,
                ..self
            };
        }
        self
    }

    /// What the file says.
    pub(crate) fn profile(&self) -> Result<Profile, Failure> {
        Ok(Profile::load(&self.file).map_err(ConnectError::from)?)
    }

    /// The folder of the authority's certificate.
    pub(crate) fn certificates(&self) -> Result<PathBuf, Failure> {
        Ok(self
            .profile()?
            .tls
            .ca
            .parent()
            .unwrap_or_else(|| Path::new(""))
            .to_owned())
    }
}

/// The profile that was given, or the last dev cluster's.
pub(crate) fn find(given: Option<&Path>) -> Result<Found, Failure> {
    match given {
        Some(file) => Ok(Found {
            file: file.to_owned(),
            from_note: false,
        }),
        None => from_note(&note_file()?),
    }
}

/// The folder of the dev cluster that is meant when none is named.
pub(crate) fn default_dev_folder() -> Result<PathBuf, Failure> {
    Ok(data_folder()?.join("dev"))
}

/// Notes `profile` as the last dev cluster's.
pub(crate) fn remember(profile: &Path) -> Result<(), Failure> {
    let note = note_file()?;
    write_note(&note, profile).map_err(|error| {
        Failure::new(
            Exit::Error,
            format!("cannot note the dev cluster in {}: {error}", note.display()),
        )
    })
}

fn data_folder() -> Result<PathBuf, Failure> {
    let none = || {
        Failure::new(Exit::Error, "this user has no data directory").hint(
            "set HOME, or name a folder with `--data DIR` and a profile with `--profile FILE`",
        )
    };
    Ok(BaseDirs::new().ok_or_else(none)?.data_dir().join("quoit"))
}

fn note_file() -> Result<PathBuf, Failure> {
    Ok(data_folder()?.join("last-dev"))
}

fn write_note(note: &Path, profile: &Path) -> io::Result<()> {
    let profile = fs::canonicalize(profile)?;
    if let Some(folder) = note.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(note, format!("{}\n", profile.display()))
}

fn from_note(note: &Path) -> Result<Found, Failure> {
    let start = "start one with `quoit dev`, or name one with `--profile FILE` or QUOIT_PROFILE";
    let text = fs::read_to_string(note).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Failure::new(Exit::Error, "no cluster is known").hint(start),
        _ => Failure::new(
            Exit::Error,
            format!("cannot read {}: {error}", note.display()),
        )
        .hint(start),
    })?;
    let file = PathBuf::from(text.trim_end_matches('\n'));
    if !file.exists() {
        let gone = format!(
            "the last dev cluster is gone: there is no {}",
            file.display()
        );
        return Err(Failure::new(Exit::Error, gone).hint(start));
    }
    Ok(Found {
        file,
        from_note: true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_given_profile_is_taken_as_it_is() {
        let found = find(Some(Path::new("x/client.toml"))).unwrap();
        assert_eq!(found.file, Path::new("x/client.toml"));
        assert_eq!(found.dev_folder(), None);
    }

    #[test]
    fn the_last_dev_cluster_is_found_again_and_missed_when_it_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let (note, profile) = (
            folder.path().join("quoit/last-dev"),
            folder.path().join("client.toml"),
        );
        fs::write(&profile, "").unwrap();

        write_note(&note, &profile).unwrap();
        let found = from_note(&note).unwrap();
        assert_eq!(found.file, fs::canonicalize(&profile).unwrap());
        assert_eq!(found.dev_folder(), found.file.parent());

        fs::remove_file(&profile).unwrap();
        let gone = from_note(&note).unwrap_err();
        assert!(gone.what.contains("is gone"), "{}", gone.what);
    }

    #[test]
    fn without_any_cluster_the_hint_says_how_to_start_one() {
        let folder = tempfile::tempdir().unwrap();
        let failure = from_note(&folder.path().join("last-dev")).unwrap_err();
        assert_eq!(failure.exit, Exit::Error);
        assert!(failure.hint.unwrap().contains("quoit dev"));
    }
}
