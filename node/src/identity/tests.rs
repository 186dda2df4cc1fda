//! Every directory that must be refused, and that refusing it changes nothing.

use std::collections::BTreeMap;
use std::ffi::OsString;

use tempfile::TempDir;

use super::*;

const MINE: Expected = Expected {
    cluster: Some(ClusterId(1)),
    node: NodeId(2),
};

/// A fresh folder, and a data directory in it that is not there yet.
fn fresh() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep").join("data");
    (folder, path)
}

/// A directory that has been used once.
fn used() -> (TempDir, PathBuf) {
    let (folder, path) = fresh();
    drop(DataDir::open(&path, MINE).unwrap());
    (folder, path)
}

/// What the directory holds, its lock file aside.
fn contents(path: &Path) -> BTreeMap<OsString, Vec<u8>> {
    std::fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_name() != LOCK)
        .map(|entry| {
            (
                entry.file_name(),
                std::fs::read(entry.path()).unwrap_or_default(),
            )
        })
        .collect()
}

/// Opens, expects a refusal, and checks that nothing changed.
fn refused(path: &Path, expected: Expected) -> IdentityError {
    let before = contents(path);
    let error = DataDir::open(path, expected).expect_err("the directory was accepted");
    assert_eq!(contents(path), before, "a refusal changed the directory");
    error
}

#[test]
fn the_identity_of_a_new_directory_lasts() {
    let (_folder, path) = fresh();
    let first = DataDir::open(&path, MINE).unwrap();
    assert!(!first.has_run() && first.was_clean());
    assert_eq!(
        (first.identity().cluster, first.identity().node),
        (ClusterId(1), NodeId(2))
    );
    let content = first.content;
    drop(first);

    let again = DataDir::open(&path, MINE).unwrap();
    assert!(!again.has_run(), "opened is not run");
    assert_eq!(again.content, content, "disk id and keys are drawn once");
    assert_eq!(again.store(), path.join("store"));
}

#[test]
fn two_disks_differ_in_id_and_keys() {
    let ((_a, a), (_b, b)) = (fresh(), fresh());
    let (a, b) = (
        DataDir::open(&a, MINE).unwrap(),
        DataDir::open(&b, MINE).unwrap(),
    );
    assert_ne!(a.identity().disk, b.identity().disk);
    assert_ne!(a.content.secrets, b.content.secrets);
}

#[test]
fn an_end_without_a_clean_stop_is_remembered() {
    let (_folder, path) = used();
    let mut data = DataDir::open(&path, MINE).unwrap();
    data.mark_running().unwrap();
    assert!(
        data.was_clean(),
        "the state of the last run, not of this one"
    );
    drop(data);

    let mut data = DataDir::open(&path, MINE).unwrap();
    assert!(!data.was_clean());
    data.mark_running().unwrap();
    data.mark_clean().unwrap();
    drop(data);

    assert!(DataDir::open(&path, MINE).unwrap().was_clean());
}

#[test]
fn that_a_node_has_run_is_never_forgotten() {
    let (_folder, path) = used();
    let mut data = DataDir::open(&path, MINE).unwrap();
    assert!(!data.has_run());
    data.mark_running().unwrap();
    drop(data);
    let mut data = DataDir::open(&path, MINE).unwrap();
    assert!(data.has_run(), "after a crash");
    data.mark_clean().unwrap();
    drop(data);
    assert!(
        DataDir::open(&path, MINE).unwrap().has_run(),
        "after a stop"
    );
}

#[test]
fn a_second_node_on_one_directory_is_refused_until_the_first_is_gone() {
    let (_folder, path) = fresh();
    let first = DataDir::open(&path, MINE).unwrap();
    assert!(matches!(refused(&path, MINE), IdentityError::InUse { .. }));
    drop(first);
    DataDir::open(&path, MINE).unwrap();
}

#[test]
fn another_clusters_directory_is_refused() {
    let (_folder, path) = used();
    let error = refused(
        &path,
        Expected {
            cluster: Some(ClusterId(9)),
            ..MINE
        },
    );
    assert!(matches!(
        error,
        IdentityError::OtherCluster {
            expected: ClusterId(9),
            found: ClusterId(1),
            ..
        }
    ));
}

#[test]
fn another_nodes_directory_is_refused() {
    let (_folder, path) = used();
    let error = refused(
        &path,
        Expected {
            node: NodeId(9),
            ..MINE
        },
    );
    assert!(matches!(
        error,
        IdentityError::OtherNode {
            expected: NodeId(9),
            found: NodeId(2),
            ..
        }
    ));
}

#[test]
fn without_a_map_a_used_directory_knows_its_cluster_and_a_new_one_is_refused() {
    let no_map = Expected {
        cluster: None,
        ..MINE
    };
    let (_folder, path) = used();
    assert_eq!(
        DataDir::open(&path, no_map).unwrap().identity().cluster,
        ClusterId(1)
    );

    let (_folder, path) = fresh();
    std::fs::create_dir_all(&path).unwrap();
    assert!(matches!(
        refused(&path, no_map),
        IdentityError::NoMap { .. }
    ));
}

#[test]
fn a_directory_with_data_but_no_identity_is_never_taken_for_a_new_one() {
    let (_folder, path) = used();
    std::fs::create_dir(path.join(STORE)).unwrap();
    std::fs::remove_file(path.join(IDENTITY)).unwrap();
    let error = refused(&path, MINE);
    assert!(
        matches!(&error, IdentityError::Foreign { found, .. } if found == STORE),
        "{error}"
    );
}

#[test]
fn a_first_use_that_was_interrupted_is_done_again() {
    let (_folder, path) = fresh();
    std::fs::create_dir_all(&path).unwrap();
    std::fs::write(path.join(LOCK), b"").unwrap();
    std::fs::write(path.join(IDENTITY_NEW), b"half").unwrap();
    assert!(!DataDir::open(&path, MINE).unwrap().has_run());
    assert_eq!(contents(&path).len(), 1, "the half-written file is gone");
}

#[test]
fn an_identity_cut_off_anywhere_is_refused() {
    let (_folder, path) = used();
    let whole = std::fs::read(path.join(IDENTITY)).unwrap();
    for length in (0..whole.len()).chain([whole.len() + 1]) {
        let mut cut = whole.clone();
        cut.resize(length, 0);
        std::fs::write(path.join(IDENTITY), cut).unwrap();
        let error = refused(&path, MINE);
        assert!(
            matches!(error, IdentityError::Damaged { .. }),
            "{length} bytes: {error}"
        );
    }
}

#[test]
fn an_identity_with_a_flipped_bit_is_refused() {
    let (_folder, path) = used();
    let whole = std::fs::read(path.join(IDENTITY)).unwrap();
    for bit in 0..whole.len() * 8 {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(path.join(IDENTITY), flipped).unwrap();
        let error = refused(&path, MINE);
        let fits = matches!(
            error,
            IdentityError::Damaged { .. } | IdentityError::Newer { .. }
        );
        assert!(fits, "bit {bit}: {error}");
    }
}

#[test]
fn an_identity_of_a_later_version_is_refused_as_such() {
    let (_folder, path) = used();
    std::fs::write(
        path.join(IDENTITY),
        b"quoit-id\x02and more that is not known yet",
    )
    .unwrap();
    let error = refused(&path, MINE);
    assert!(
        matches!(
            error,
            IdentityError::Newer {
                found: 2,
                known: 1,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn an_identity_that_cannot_be_read_is_an_error_and_not_absent() {
    let (_folder, path) = used();
    std::fs::remove_file(path.join(IDENTITY)).unwrap();
    std::fs::create_dir(path.join(IDENTITY)).unwrap();
    assert!(matches!(refused(&path, MINE), IdentityError::Read { .. }));
}

#[test]
fn a_directory_that_cannot_be_created_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, b"in the way").unwrap();
    for path in [file.clone(), file.join("data")] {
        let error = DataDir::open(&path, MINE).unwrap_err();
        assert!(matches!(error, IdentityError::Create { .. }), "{error}");
    }
}

#[cfg(unix)]
#[test]
fn the_identity_is_readable_by_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;

    let (_folder, path) = used();
    let mode = path.join(IDENTITY).metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn the_secrets_are_not_printed() {
    let (_folder, path) = fresh();
    let data = DataDir::open(&path, MINE).unwrap();
    assert!(format!("{data:?}").contains("Secrets(..)"));
}
