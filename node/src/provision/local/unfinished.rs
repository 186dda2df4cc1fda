//! A cluster that is being made: if that is cut short it is made again.
//!
//! ```text
//!   begin: `unfinished`, locked, synced --> certificates, map, nodes, profiles --> end: removed, synced, unlocked
//!                  '-- found later, and nobody holds its lock: whatever making puts there is removed, and all begins again
//! ```
//!
//! Invariant: no node runs before the mark is gone for good. So what lies beside it has no data that anybody was
//! promised.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use super::{ADMIN, CERTS, CLIENT, LocalError, MAP, NODE, profile};
use crate::identity::disk::{create_all, sync_parent};

const MARK: &str = "unfinished";
/// What the mark says: another file of that name is somebody else's.
const CONTENT: &[u8] = b"quoit makes a cluster here; cut short, it is made again\n";

/// The mark of a cluster that this process makes.
#[derive(Debug)]
pub(super) struct Unfinished {
    /// Locked as long as it is open.
    _locked: File,
}

/// What a folder says of itself.
#[derive(Debug)]
pub(super) enum Found {
    /// No cluster is being made.
    Nothing,
    /// One was, and nobody goes on with it: it is marked again, by this process.
    CutShort(Unfinished),
}

/// Whether the mark is there.
pub(super) fn is_marked(dir: &Path) -> bool {
    dir.join(MARK).exists()
}

/// Looks for the mark. If there is none, that is so for good.
pub(super) fn look(dir: &Path) -> Result<Found, LocalError> {
    let mark = dir.join(MARK);
    let mut file = match OpenOptions::new().read(true).write(true).open(&mark) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // Its removal may not be on the disk yet.
            if dir.is_dir() {
                sync_parent(&mark).map_err(failed_at(&mark))?;
            }
            return Ok(Found::Nothing);
        }
        Err(error) => return Err(failed_at(&mark)(error)),
    };

    lock(&file, dir, &mark)?;
    if !mark.try_exists().map_err(failed_at(&mark))? {
        return Ok(Found::Nothing); // whoever held the lock has finished
    }
    let mut content = Vec::new();
    let limit = CONTENT.len() as u64 + 1;
    (&mut file)
        .take(limit)
        .read_to_end(&mut content)
        .map_err(failed_at(&mark))?;
    // A part of it: its first writing was cut short.
    if !CONTENT.starts_with(&content) {
        return Err(LocalError::NotACluster {
            dir: dir.to_owned(),
        });
    }
    Ok(Found::CutShort(Unfinished { _locked: file }))
}

/// Marks the folder, which is made if it is missing.
pub(super) fn begin(dir: &Path) -> Result<Unfinished, LocalError> {
    let mark = dir.join(MARK);
    create_all(dir).map_err(failed_at(dir))?;
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).open(&mark);
    let mut file = file.map_err(failed_at(&mark))?;
    lock(&file, dir, &mark)?;
    file.write_all(CONTENT)
        .and_then(|()| file.sync_all())
        .and_then(|()| sync_parent(&mark))
        .map_err(failed_at(&mark))?;
    Ok(Unfinished { _locked: file })
}

/// The cluster is complete.
pub(super) fn end(unfinished: Unfinished, dir: &Path) -> Result<(), LocalError> {
    let mark = dir.join(MARK);
    std::fs::remove_file(&mark)
        .and_then(|()| sync_parent(&mark))
        .map_err(failed_at(&mark))?;
    drop(unfinished); // only now: whoever waits for the lock looks for the mark then
    Ok(())
}

fn lock(file: &File, dir: &Path, mark: &Path) -> Result<(), LocalError> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(LocalError::BeingMade {
            dir: dir.to_owned(),
        }),
        Err(TryLockError::Error(error)) => Err(failed_at(mark)(error)),
    }
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
