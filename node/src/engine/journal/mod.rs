//! The journals are checked before the library opens them, because it takes damage in one for its end.
//!
//! ```text
//!   closed in order     DIR/stopped is there     the journals must be exactly what it says
//!   crashed             it is not                a flaw at the very end    a write under way: cut off
//!                                                one that batches follow   damage: refused
//! ```
//!
//! fjall reads a journal up to the first bytes that it cannot decode, cuts the file there, and says nothing. After a
//! crash that is right for the last batch, which no commit has acknowledged. Anywhere else it drops acknowledged writes.
//! A batch can also be torn so that fjall fails instead; cutting it off here lets the store open.
//!
//! Invariants:
//! - Nothing is changed before all journals are judged.
//! - One buffer of memory, whatever the size of a journal.
//! - A journal but the last has no torn end: the library syncs it before it makes the next. Numbers of journals are
//!   without gaps: the library removes the oldest first.
//!
//! Left out: the last batch after a crash, damaged rather than torn, which nothing can tell apart; and a journal that
//! was copied back from an older state as a whole after a crash.

mod batch;
mod scan;
mod stopped;
#[cfg(test)]
mod tests;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use self::scan::{Contents, scan};
use self::stopped::Closed;
use super::EngineError;

/// A journal and what stands in it.
#[derive(Debug)]
struct Journal {
    id: u64,
    path: PathBuf,
    contents: Contents,
}

/// Checks the journals in `store`, cuts off what a crash left of a last write, and forgets how the store was closed:
/// from now on it may be written to. `directory` holds `stopped`.
///
/// # Errors
/// [`EngineError::JournalDamaged`], and nothing was changed; or an I/O error.
pub(super) fn check(directory: &Path, store: &Path) -> Result<(), EngineError> {
    let failed = |error| EngineError::from_io("checking the journals", error);
    let journals = read_all(store).map_err(failed)?;
    match stopped::read(directory).map_err(failed)? {
        Some(closed) => as_closed(store, &journals, &closed)?,
        None => {
            as_crashed(store, &journals)?;
            if let Some(last) = journals.last() {
                cut(last).map_err(failed)?;
            }
        }
    }
    stopped::remove(directory).map_err(failed)
}

/// Notes that the store is closed, after the last write to its journals.
///
/// # Errors
/// [`EngineError::JournalDamaged`] if they cannot be read back, or an I/O error; the next opening then takes it for a
/// crash.
pub(super) fn note_closed(directory: &Path, store: &Path) -> Result<(), EngineError> {
    let failed = |error| EngineError::from_io("recording the orderly stop", error);
    let journals = read_all(store).map_err(failed)?;
    as_crashed(store, &journals)?;
    if let Some((flawed, flaw)) = journals.iter().find_map(|j| Some((j, j.contents.flaw?))) {
        return Err(damage(&flawed.path, flaw.at, flaw.expected, 0));
    }
    let closed: Vec<_> = (journals.iter())
        .map(|journal| Closed::new(journal.id, &journal.contents))
        .collect();
    stopped::write(directory, &closed).map_err(failed)
}

/// All journals of `store` in the order in which they were written.
fn read_all(store: &Path) -> io::Result<Vec<Journal>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(store)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let id = name.and_then(|name| name.strip_suffix(".jnl")?.parse().ok());
        found.extend(id.map(|id: u64| (id, path)));
    }
    found.sort_unstable();

    let mut before = None;
    let mut journals = Vec::with_capacity(found.len());
    for (id, path) in found {
        let file = File::open(&path)?;
        let length = file.metadata()?.len();
        let contents = scan(file, length, before)?;
        before = contents.last;
        journals.push(Journal { id, path, contents });
    }
    Ok(journals)
}

/// Refuses journals that are not what they were when the store was closed.
fn as_closed(store: &Path, journals: &[Journal], closed: &[Closed]) -> Result<(), EngineError> {
    for expected in closed {
        let path = store.join(format!("{}.jnl", expected.id));
        let Some(at) = journals
            .iter()
            .position(|journal| journal.id == expected.id)
        else {
            return Err(damage(
                &path,
                0,
                "the journal that was there at the orderly stop",
                0,
            ));
        };
        let Contents { end, flaw, .. } = journals[at].contents;
        if let Some(flaw) = flaw {
            return Err(damage(
                &path,
                flaw.at,
                flaw.expected,
                following(&journals[at..]),
            ));
        }
        if Closed::new(expected.id, &journals[at].contents) != *expected {
            return Err(damage(&path, end, "the batches of the orderly stop", 0));
        }
    }
    match journals.get(closed.len()) {
        Some(newer) => Err(damage(
            &newer.path,
            0,
            "no journal after the orderly stop",
            0,
        )),
        None => Ok(()),
    }
}

/// Refuses journals that no crash can have left.
fn as_crashed(store: &Path, journals: &[Journal]) -> Result<(), EngineError> {
    if journals.is_empty() {
        return Err(damage(&store.join("0.jnl"), 0, "a journal", 0));
    }
    for (at, journal) in journals.iter().enumerate() {
        let Some(next) = journals.get(at + 1) else {
            // Of the last one only what others follow is damage.
            let Some(flaw) = journal.contents.flaw else {
                continue;
            };
            match journal.contents.following {
                0 => continue,
                more => return Err(damage(&journal.path, flaw.at, flaw.expected, more)),
            }
        };
        if let Some(flaw) = journal.contents.flaw {
            return Err(damage(
                &journal.path,
                flaw.at,
                flaw.expected,
                following(&journals[at..]),
            ));
        }
        if next.id != journal.id + 1 {
            let missing = store.join(format!("{}.jnl", journal.id + 1));
            let more = following(&journals[at + 1..]);
            return Err(damage(
                &missing,
                0,
                "the journal between an older and a newer one",
                more,
            ));
        }
    }
    Ok(())
}

/// The batches behind the flaw of the first journal, and in all others.
fn following(journals: &[Journal]) -> u64 {
    let (first, others) = match journals.split_first() {
        Some((first, others)) if first.contents.flaw.is_some() => {
            (first.contents.following, others)
        }
        _ => (0, journals),
    };
    let more = |journal: &Journal| journal.contents.batches + journal.contents.following;
    first + others.iter().map(more).sum::<u64>()
}

/// Cuts off what a crash has left of a write behind the last batch.
fn cut(journal: &Journal) -> io::Result<()> {
    let Contents { end, flaw, .. } = journal.contents;
    let Some(flaw) = flaw else { return Ok(()) };
    debug_assert_eq!(journal.contents.following, 0, "damage is refused before");

    tracing::warn!(
        journal = %journal.path.display(),
        at = end,
        expected = flaw.expected,
        "the journal ends in a write that a crash cut off before it was synced: what is left of it is dropped"
    );
    let file = File::options().write(true).open(&journal.path)?;
    file.set_len(end)?;
    file.sync_all()
}

fn damage(file: &Path, offset: u64, expected: &'static str, following: u64) -> EngineError {
    EngineError::JournalDamaged {
        file: file.to_owned(),
        offset,
        expected,
        following,
    }
}
