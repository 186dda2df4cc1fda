//! What lies in a data directory: looks, and changes nothing.
//!
//! ```text
//!   identity?  --no-->   store?  something else?         --> Found --Found::may--> what may be done
//!      '------yes-----> the expected owner's?  store?  -'
//! ```
//!
//! What cannot be read is an error and never taken for absent. Left out: what follows from it, which is
//! [`Found::may`]'s.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use super::format::{self, Content, Flaw, Left};
use super::{
    Act, Expected, Found, IDENTITY, IDENTITY_NEW, Identity, IdentityError, LOCK, May, STORE, TLS,
};
use crate::engine::FjallEngine;

/// What a file system puts at its root.
const LOST_AND_FOUND: &str = "lost+found";

/// Whether anybody has locked the directory ever.
pub(super) fn has_lock(path: &Path) -> Result<bool, IdentityError> {
    if !is_directory(path)? {
        return Ok(false);
    }
    let lock = path.join(LOCK);
    lock.try_exists().map_err(failed_at(&lock))
}

fn is_directory(path: &Path) -> Result<bool, IdentityError> {
    use io::ErrorKind::{NotADirectory, NotFound};
    match path.metadata() {
        Ok(metadata) => Ok(metadata.is_dir()),
        Err(error) if matches!(error.kind(), NotFound | NotADirectory) => Ok(false),
        Err(error) => Err(failed_at(path)(error)),
    }
}

/// The identity that is in the directory, and what may be done there.
pub(super) fn look(
    path: &Path,
    act: Act,
    expected: Expected,
) -> Result<(Option<Content>, May), IdentityError> {
    if !is_directory(path)? {
        return Ok((None, Found::Missing.may(act, path)?));
    }
    let Some(content) = read(path)? else {
        return Ok((None, without_identity(path)?.may(act, path)?));
    };

    if let Err(error) = check(content, expected, path) {
        return Err(match content.last.left {
            Left::Incomplete => IdentityError::IncompleteOther {
                path: path.to_owned(),
                cluster: content.identity.cluster,
                node: content.identity.node,
            },
            Left::Running | Left::Clean | Left::Removed => error,
        });
    }
    let store = path.join(STORE);
    let found = match content.last.left {
        Left::Incomplete => Found::Incomplete,
        Left::Removed => Found::Removed,
        Left::Running | Left::Clean if FjallEngine::is_in(&store).map_err(failed_at(&store))? => {
            Found::Node
        }
        Left::Running | Left::Clean => Found::IdentityAlone,
    };
    Ok((Some(content), found.may(act, path)?))
}

/// What is in a directory that has no identity.
fn without_identity(path: &Path) -> Result<Found, IdentityError> {
    let mut found = Found::Nothing;
    for entry in std::fs::read_dir(path).map_err(failed_at(path))? {
        let name = entry.map_err(failed_at(path))?.file_name();
        let store = path.join(STORE);
        if name == STORE && FjallEngine::is_in(&store).map_err(failed_at(&store))? {
            return Ok(Found::StoreAlone);
        }
        if ![LOCK, IDENTITY_NEW, LOST_AND_FOUND, TLS]
            .iter()
            .any(|it| name == *it)
        {
            found = Found::Foreign(name);
        }
    }
    Ok(found)
}

fn failed_at(path: &Path) -> impl Fn(io::Error) -> IdentityError {
    let path = path.to_owned();
    move |source| IdentityError::Read {
        path: path.clone(),
        source,
    }
}

/// The identity in the directory, or `None` if there is no such file.
fn read(dir: &Path) -> Result<Option<Content>, IdentityError> {
    let path = dir.join(IDENTITY);
    let failed = failed_at(&path);
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

/// Refuses a directory that is not the expected node's.
fn check(content: Content, expected: Expected, path: &Path) -> Result<(), IdentityError> {
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
        _ => Ok(()),
    }
}
