//! Tables whose bytes have changed: found, noted in `DIR/damaged`, and from then on left alone.
//!
//! ```text
//!   a merge or a flush fails --> each table compared with its checksum --> one differs: DIR/damaged, the engine stops
//!   opened again             --> the noted ones compared --> still so: opened without merges and flushes, no writes
//!                                                        '-> repaired or gone: the note is removed
//! ```
//!
//! fjall merges tables in the background and ends all writes for good when it meets a damaged block. A restart would
//! begin with the same merge. So the engine is opened without its threads as long as a table is damaged: reads of
//! other blocks are served, reads of damaged ones are errors, and no write is taken, because nothing would move it out
//! of memory.
//!
//! A table that the disk cannot read is damaged, too.
//!
//! Left out: which keys a table held, as the damaged block would have to say; tables whose index is damaged, which
//! keep the library from opening the store at all; a search while nothing has failed.
//!
//! Source: lsm-tree 3.1.10, `version/recovery.rs`: the manifest has an XXH3-128 of each table.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use fjall::AbstractTree as _;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::Keyspace;
use crate::identity::disk;

const NAME: &str = "damaged";
const NEW: &str = "damaged.new";
const TITLE: &str = "quoit damaged tables 1";
/// Too many files are open, in the system or in this process: the same numbers on every Unix.
const ENFILE: i32 = 23;
const EMFILE: i32 = 24;
/// More than the names of ten thousand tables need.
const LONGEST: u64 = 1 << 20;

/// A table that is not what its manifest says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Damage {
    pub(super) keyspace: Keyspace,
    /// Below the store.
    pub(super) file: PathBuf,
    /// What its bytes should sum up to.
    checksum: u128,
}

/// Compares all tables with their checksums. Reads all of them: a second or so for each gigabyte.
pub(super) fn find(store: &Path, keyspaces: &[fjall::Keyspace]) -> io::Result<Vec<Damage>> {
    let mut found = Vec::new();
    for (&keyspace, tree) in Keyspace::ALL.iter().zip(keyspaces) {
        for table in tree.tree.current_version().iter_tables() {
            let checksum = table.checksum().into_u128();
            if !is_whole(&table.path, checksum)? {
                let file = table.path.strip_prefix(store).unwrap_or(&table.path);
                found.push(Damage {
                    keyspace,
                    file: file.to_owned(),
                    checksum,
                });
            }
        }
    }
    Ok(found)
}

/// Notes `damage` durably, for the next opening.
pub(super) fn note(directory: &Path, damage: &[Damage]) -> io::Result<()> {
    let text = encode(damage);
    disk::replace(&directory.join(NAME), &directory.join(NEW), text.as_bytes())
}

/// The noted tables in `store` that are still damaged; removes a note that has none.
pub(super) fn noted(directory: &Path, store: &Path) -> io::Result<Vec<Damage>> {
    let path = directory.join(NAME);
    let length = match fs::metadata(&path) {
        Ok(found) => found.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let damage = match length <= LONGEST {
        true => decode(&fs::read(&path)?),
        false => None,
    };

    let mut still = Vec::new();
    for one in damage.into_iter().flatten() {
        match is_whole(&store.join(&one.file), one.checksum) {
            Ok(true) => {}
            Ok(false) => still.push(one),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    if still.is_empty() {
        tracing::info!(
            "no noted table is damaged any more, or the note of them cannot be read: it is removed"
        );
        fs::remove_file(&path)?;
        disk::sync_parent(&path)?;
    }
    Ok(still)
}

/// Whether a table is what was written. A disk mostly reports a bad sector as an error of the read: that is damage, too,
/// and must be noted, or each start would meet it again.
fn is_whole(path: &Path, checksum: u128) -> io::Result<bool> {
    match matches(path, checksum) {
        Err(error) if is_of_the_file(&error) => Ok(false),
        checked => checked,
    }
}

/// Whether an error is the file's, not that of a process which has no more memory or files.
fn is_of_the_file(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, NotFound, OutOfMemory, PermissionDenied};
    let kind = error.kind();
    let is_limit = matches!(error.raw_os_error(), Some(ENFILE | EMFILE));
    !is_limit
        && !matches!(
            kind,
            Interrupted | NotFound | OutOfMemory | PermissionDenied
        )
}

fn matches(path: &Path, checksum: u128) -> io::Result<bool> {
    let mut file = File::open(path)?;
    let mut hash = Xxh3::new();
    let mut part = vec![0; 256 << 10];
    loop {
        match file.read(&mut part)? {
            0 => return Ok(hash.digest128() == checksum),
            read => hash.update(&part[..read]),
        }
    }
}

fn encode(damage: &[Damage]) -> String {
    let mut text = format!("{TITLE}\n");
    for Damage {
        keyspace,
        file,
        checksum,
    } in damage
    {
        // Writing to a string cannot fail. The library's names are ASCII.
        writeln!(
            text,
            "{} {checksum:032x} {}",
            keyspace.name(),
            file.display()
        )
        .ok();
    }
    let sum = xxh3_64(text.as_bytes());
    writeln!(text, "xxh3 {sum:016x}").ok();
    text
}

fn decode(bytes: &[u8]) -> Option<Vec<Damage>> {
    let text = str::from_utf8(bytes).ok()?;
    let lines = text.strip_prefix(TITLE)?.strip_prefix('\n')?;
    let (lines, _sum) = lines.split_at(lines.rfind("xxh3 ")?);
    let damage: Option<Vec<Damage>> = lines.lines().map(decode_line).collect();
    // Only one text stands for a list, so comparing it checks the sum and the form of each line.
    damage.filter(|damage| encode(damage) == text)
}

fn decode_line(line: &str) -> Option<Damage> {
    let (name, rest) = line.split_once(' ')?;
    let (checksum, file) = rest.split_once(' ')?;
    Some(Damage {
        keyspace: Keyspace::ALL
            .into_iter()
            .find(|keyspace| keyspace.name() == name)?,
        file: PathBuf::from(file),
        checksum: u128::from_str_radix(checksum, 16).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_counts_while_it_is_so() {
        let folder = tempfile::tempdir().unwrap();
        let noted = || noted(folder.path(), folder.path()).unwrap();
        assert_eq!(noted(), []);

        let table = folder.path().join("7");
        fs::write(&table, "changed").unwrap();
        let damage = Damage {
            keyspace: Keyspace::Records,
            file: PathBuf::from("7"),
            checksum: xxhash_rust::xxh3::xxh3_128(b"written"),
        };
        let gone = Damage {
            file: PathBuf::from("8"),
            ..damage.clone()
        };
        note(folder.path(), &[damage.clone(), gone]).unwrap();
        assert_eq!(noted(), [damage]);

        fs::remove_file(&table).unwrap();
        fs::create_dir(&table).unwrap(); // reading it fails, as that of a bad sector does
        assert_eq!(noted().len(), 1);

        fs::remove_dir(&table).unwrap();
        fs::write(&table, "written").unwrap();
        assert_eq!(noted(), []);
        assert!(!folder.path().join(NAME).exists());
    }

    #[test]
    fn a_changed_note_is_not_believed() {
        let damage = [Damage {
            keyspace: Keyspace::Hints,
            file: PathBuf::from("keyspaces/3/tables/12"),
            checksum: 12,
        }];
        let bytes = encode(&damage).into_bytes();
        assert_eq!(decode(&bytes).as_deref(), Some(&damage[..]));
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert_eq!(decode(&changed), None, "{at}");
        }
    }
}
