//! A cluster that is being made: if that is cut short it is made again.
//!
//! ```text
//!   begin: `unfinished`, synced --> certificates, map, nodes, profiles --> end: `unfinished` removed, synced
//!                  '-- found later: whatever making puts there is removed, and all begins again
//! ```
//!
//! Invariant: no node runs before the mark is gone for good. So what lies beside it has no data that anybody was
//! promised.

use std::io;
use std::path::Path;

use super::{ADMIN, CERTS, CLIENT, LocalError, MAP, NODE, profile};
use crate::identity::disk::{create_all, sync_parent};

const MARK: &str = "unfinished";

/// Marks the folder, which is made if it is missing.
pub(super) fn begin(dir: &Path) -> Result<(), LocalError> {
    let mark = dir.join(MARK);
    create_all(dir)
        .and_then(|()| std::fs::write(&mark, b""))
        .and_then(|()| sync_parent(&mark))
        .map_err(failed_at(&mark))
}

/// The cluster is complete.
pub(super) fn end(dir: &Path) -> Result<(), LocalError> {
    let mark = dir.join(MARK);
    std::fs::remove_file(&mark)
        .and_then(|()| sync_parent(&mark))
        .map_err(failed_at(&mark))
}

/// Whether a cluster was being made here.
pub(super) fn is_marked(dir: &Path) -> Result<bool, LocalError> {
    let mark = dir.join(MARK);
    mark.try_exists().map_err(|source| LocalError::Read {
        path: mark.clone(),
        source,
    })
}

/// Removes what making it has put here, all but the mark.
pub(super) fn clear(dir: &Path) -> Result<(), LocalError> {
    let entries = std::fs::read_dir(dir).map_err(failed_at(dir))?;
    for entry in entries {
        let entry = entry.map_err(failed_at(dir))?;
        let (path, name) = (entry.path(), entry.file_name());
        let is_ours = name.to_str().is_some_and(|name| {
            let files = [profile(dir, ADMIN), profile(dir, CLIENT), dir.join(MAP)];
            name == CERTS || name.starts_with(NODE) || files.contains(&path)
        });
        if is_ours {
            let is_dir = entry.file_type().map_err(failed_at(&path))?.is_dir();
            let removed = if is_dir {
                std::fs::remove_dir_all(&path)
            } else {
                std::fs::remove_file(&path)
            };
            removed.map_err(failed_at(&path))?;
        }
    }
    Ok(())
}

fn failed_at(path: &Path) -> impl Fn(io::Error) -> LocalError {
    let path = path.to_owned();
    move |source| LocalError::Write {
        path: path.clone(),
        source,
    }
}
