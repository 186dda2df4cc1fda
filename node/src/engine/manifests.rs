//! Manifests: which tables each tree has, checked before the engine opens.
//!
//! ```text
//!   keyspaces/N/current    number of the manifest, its XXH3-128, the kind of sum
//!   keyspaces/N/v7         levels, runs, tables with their sums     <-- summed up here and compared
//! ```
//!
//! The library reads manifests without comparing that sum. A table that a damaged one leaves out is an orphan to it and
//! is deleted; a tree without `current` is taken for one that was never completed, and deleted with all its tables. So
//! nothing is opened unless every manifest is what was written.
//!
//! Left out: the tables themselves, see [`tables`](super::tables); older manifests, which nobody reads.
//!
//! Source: lsm-tree 3.1.10, `version/persist.rs`; fjall 3.1.13, `recovery.rs`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_128;

use super::{EngineError, Keyspace};

/// What the library writes first: its mark and the generation of its format.
const GENERATION: &[u8] = b"FJL\x03";
/// A number, a sum, and the kind of the sum.
const CURRENT_LENGTH: usize = 8 + 16 + 1;
/// The only kind of sum there is.
const XXH3: u8 = 0;

/// Checks the manifest of each tree of `store`, fjall's own of the names included.
///
/// # Errors
/// [`EngineError::ManifestDamaged`], or an I/O error. Nothing was changed.
pub(super) fn check(store: &Path) -> Result<(), EngineError> {
    let failed = |error| EngineError::from_io("checking the manifests", error);
    if read(&store.join("version")).map_err(failed)?.as_deref() != Some(GENERATION) {
        return Ok(()); // another generation's files, or none: the library says so itself
    }

    let keyspaces = store.join("keyspaces");
    if !keyspaces.try_exists().map_err(failed)? {
        return Err(damaged(store, &keyspaces, "the folder of the trees"));
    }

    let mut trees = Vec::new();
    for entry in fs::read_dir(&keyspaces).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let number = path
            .file_name()
            .and_then(|name| name.to_str()?.parse().ok());
        trees.extend(number.map(|number: u64| (number, path)));
    }
    let has_names = trees.iter().any(|(number, _)| *number == 0);
    if !has_names || trees.len() <= Keyspace::ALL.len() {
        return Err(damaged(store, &keyspaces, "a folder for each tree"));
    }

    for (_, tree) in trees {
        if let Some((file, expected)) = flaw(&tree).map_err(failed)? {
            return Err(damaged(store, &file, expected));
        }
    }
    Ok(())
}

/// Which file of a tree is not what was written, and what it should be.
fn flaw(tree: &Path) -> io::Result<Option<(PathBuf, &'static str)>> {
    let current = tree.join("current");
    let Some(bytes) = read(&current)? else {
        return Ok(Some((current, "the number and the sum of a manifest")));
    };
    let Some((number, sum)) = parse(&bytes) else {
        return Ok(Some((current, "the number and the sum of a manifest")));
    };

    let manifest = tree.join(format!("v{number}"));
    let is_whole = read(&manifest)?.is_some_and(|bytes| xxh3_128(&bytes) == sum);
    Ok((!is_whole).then_some((manifest, "a manifest with the sum that `current` names")))
}

/// A file's bytes; `None` if it is not there. Manifests have 41 bytes for each table.
fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn parse(bytes: &[u8]) -> Option<(u64, u128)> {
    let bytes: &[u8; CURRENT_LENGTH] = bytes.try_into().ok()?;
    let (number, rest) = bytes.split_first_chunk()?;
    let (sum, kind) = rest.split_first_chunk()?;
    let (number, sum) = (u64::from_le_bytes(*number), u128::from_le_bytes(*sum));
    (kind == [XXH3]).then_some((number, sum))
}

fn damaged(store: &Path, file: &Path, expected: &'static str) -> EngineError {
    let file = file.strip_prefix(store).unwrap_or(file).to_owned();
    EngineError::ManifestDamaged { file, expected }
}
