//! Damage in a manifest: found before the engine opens, so that nothing is deleted for it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use tempfile::TempDir;

use quoit_node::engine::{EngineError, FjallEngine};

use super::{SMALL, put};

const FLIPS: usize = 200;

/// A closed store with tables.
fn filled() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for round in 0..3_u32 {
        let engine = FjallEngine::create_or_open(directory.path(), SMALL).unwrap();
        for key in 0..3_000_u32 {
            let key = [round.to_be_bytes(), key.to_be_bytes()].concat();
            put(&engine, key, vec![7; 2_000]);
        }
        engine.close().unwrap();
    }
    let tables = |path: &&PathBuf| path.parent().is_some_and(|it| it.ends_with("tables"));
    assert!(files(directory.path()).iter().filter(tables).count() > 0);
    directory
}

/// All files below, as paths from there.
fn files(directory: &Path) -> BTreeSet<PathBuf> {
    let (mut found, mut folders) = (BTreeSet::new(), vec![directory.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            match entry.file_type().unwrap().is_dir() {
                true => folders.push(entry.path()),
                false => drop(found.insert(entry.path())),
            }
        }
    }
    found
}

/// The manifests in use, and what names them.
fn manifests(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for current in files(directory)
        .into_iter()
        .filter(|path| path.ends_with("current"))
    {
        let number = fs::read(&current).unwrap()[..8].try_into().unwrap();
        let name = format!("v{}", u64::from_le_bytes(number));
        found.push(current.with_file_name(name));
        found.push(current);
    }
    assert_eq!(found.len(), 2 * 8, "seven keyspaces, and their names");
    found
}

#[expect(clippy::panic, reason = "a test stops at the first surprise")]
fn is_refused(directory: &Path, of: &Path) {
    let before = files(directory);
    match FjallEngine::open(directory, SMALL) {
        Err(EngineError::ManifestDamaged { file, .. }) => {
            assert_eq!(
                file.parent(),
                of.strip_prefix(directory.join("store")).unwrap().parent()
            );
        }
        Err(other) => panic!("{}: {other}", of.display()),
        Ok(_) => panic!("{}: opened", of.display()),
    }
    assert_eq!(files(directory), before, "nothing was deleted");
}

#[test]
fn a_manifest_with_any_bit_flipped_or_missing_is_refused_and_no_table_is_deleted() {
    let directory = filled();
    let mut rng = SmallRng::seed_from_u64(1);
    let manifests = manifests(directory.path());
    for _ in 0..FLIPS {
        let file = &manifests[rng.random_range(0..manifests.len())];
        let written = fs::read(file).unwrap();
        let mut changed = written.clone();
        let at = rng.random_range(0..changed.len());
        changed[at] ^= 1 << rng.random_range(0..8);
        fs::write(file, &changed).unwrap();
        is_refused(directory.path(), file);
        fs::write(file, &written).unwrap();
    }
    for file in &manifests {
        let aside = file.with_extension("aside");
        fs::rename(file, &aside).unwrap();
        is_refused(directory.path(), file);
        fs::rename(&aside, file).unwrap();
    }

    FjallEngine::open(directory.path(), SMALL).unwrap();
}

#[test]
fn a_store_that_misses_a_tree_is_refused() {
    let directory = filled();
    let keyspaces = directory.path().join("store/keyspaces");
    for tree in ["0", "1", "6"] {
        let aside = directory.path().join("aside");
        fs::rename(keyspaces.join(tree), &aside).unwrap();
        let opened = FjallEngine::open(directory.path(), SMALL);
        assert!(matches!(opened, Err(EngineError::ManifestDamaged { .. })));
        fs::rename(&aside, keyspaces.join(tree)).unwrap();
    }
}
