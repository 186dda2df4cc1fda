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

/// A directory that has been initialised.
fn used() -> (TempDir, PathBuf) {
    let (folder, path) = fresh();
    let mut data = DataDir::init(&path, MINE).unwrap();
    std::fs::create_dir_all(data.store().join("store")).unwrap(); // the engine's sign
    data.mark_clean().unwrap();
    (folder, path)
}

/// What the directory holds, if it is there.
fn contents(path: &Path) -> Option<BTreeMap<OsString, Vec<u8>>> {
    let entries = std::fs::read_dir(path).ok()?;
    let entries = entries.map(|entry| entry.unwrap()).map(|entry| {
        let bytes = std::fs::read(entry.path()).unwrap_or_default();
        (entry.file_name(), bytes)
    });
    Some(entries.collect())
}

/// Does `act`, expects a refusal, and checks that nothing changed.
fn refused_to(act: Act, path: &Path, expected: Expected) -> IdentityError {
    let before = contents(path);
    let error = DataDir::take(path, act, expected).expect_err("the directory was accepted");
    assert_eq!(contents(path), before, "a refusal changed the directory");
    error
}

fn refused(path: &Path, expected: Expected) -> IdentityError {
    refused_to(Act::Run, path, expected)
}

#[test]
fn the_identity_of_a_new_directory_lasts() {
    let (_folder, path) = fresh();
    let first = DataDir::init(&path, MINE).unwrap();
    assert_eq!((first.may(), first.was_clean()), (May::Begin, true));
    assert_eq!(
        (first.identity().cluster, first.identity().node),
        (ClusterId(1), NodeId(2))
    );
    let content = first.content;
    drop(first);

    let again = DataDir::init(&path, MINE).unwrap();
    assert_eq!(again.may(), May::GoOn, "it was not completed");
    assert_eq!(again.content, content, "disk id and keys are drawn once");
    assert_eq!(again.store(), path.join("store"));
}

#[test]
fn two_disks_differ_in_id_and_keys() {
    let ((_a, a), (_b, b)) = (fresh(), fresh());
    let (a, b) = (
        DataDir::init(&a, MINE).unwrap(),
        DataDir::init(&b, MINE).unwrap(),
    );
    assert_ne!(a.identity().disk, b.identity().disk);
    assert_ne!(a.content.secrets, b.content.secrets);
}

#[test]
fn a_run_leaves_no_trace_where_nothing_was_initialised() {
    let (_folder, path) = fresh();
    let error = refused(&path, MINE);
    assert!(
        matches!(error, IdentityError::NoDirectory { .. }),
        "{error}"
    );

    std::fs::create_dir_all(&path).unwrap();
    let error = refused(&path, MINE);
    assert!(
        matches!(error, IdentityError::NotInitialised { .. }),
        "{error}"
    );

    // The root of a file system that was just made.
    std::fs::create_dir(path.join("lost+found")).unwrap();
    let error = refused(&path, MINE);
    assert!(
        matches!(error, IdentityError::NotInitialised { .. }),
        "{error}"
    );
    assert_eq!(DataDir::init(&path, MINE).unwrap().may(), May::Begin);
}

#[test]
fn a_node_whose_directory_was_wiped_is_refused() {
    let (_folder, path) = used();
    std::fs::remove_dir_all(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    let error = refused(&path, MINE);
    assert!(
        matches!(error, IdentityError::NotInitialised { .. }),
        "{error}"
    );
}

#[test]
fn what_is_a_nodes_is_not_initialised_again() {
    let (_folder, path) = used();
    let error = refused_to(Act::Initialise, &path, MINE);
    assert!(
        matches!(error, IdentityError::Initialised { .. }),
        "{error}"
    );

    let mut data = DataDir::open(&path, MINE).unwrap();
    data.mark_running(Durability::Buffered, None).unwrap();
    let error = refused_to(Act::Initialise, &path, MINE);
    assert!(matches!(error, IdentityError::InUse { .. }), "{error}");
    drop(data);

    let error = refused_to(Act::Initialise, &path, MINE);
    assert!(
        matches!(error, IdentityError::Initialised { .. }),
        "after a crash: {error}"
    );
}

#[test]
fn an_identity_whose_store_is_gone_is_refused_to_both() {
    let (_folder, path) = used();
    std::fs::remove_dir_all(path.join(STORE)).unwrap();
    for act in [Act::Run, Act::Initialise] {
        let error = refused_to(act, &path, MINE);
        assert!(matches!(error, IdentityError::StoreGone { .. }), "{error}");
    }
}

#[test]
fn nobody_runs_on_a_directory_that_is_not_initialised_to_the_end() {
    let (_folder, path) = fresh();
    drop(DataDir::init(&path, MINE).unwrap());
    let error = refused(&path, MINE);
    assert!(matches!(error, IdentityError::Incomplete { .. }), "{error}");

    let neighbour = Expected {
        node: NodeId(9),
        ..MINE
    };
    let error = refused_to(Act::Initialise, &path, neighbour);
    assert!(
        matches!(error, IdentityError::IncompleteOther { .. }),
        "{error}"
    );
}

#[test]
fn of_those_who_initialise_one_directory_at_once_one_succeeds() {
    let (_folder, path) = fresh();
    let init = |_number: usize| {
        let path = path.clone();
        std::thread::spawn(move || {
            let mut data = DataDir::init(&path, MINE).ok()?;
            std::fs::create_dir_all(data.store().join("store")).unwrap();
            data.mark_clean().unwrap();
            Some(data.identity())
        })
    };
    let threads: Vec<_> = (0..8).map(init).collect();
    let ended = threads.into_iter().filter_map(|t| t.join().unwrap());
    let winners: Vec<_> = ended.collect();
    assert_eq!(winners.len(), 1);
    assert_eq!(DataDir::open(&path, MINE).unwrap().identity(), winners[0]);
}

#[test]
fn an_end_without_a_clean_stop_is_remembered() {
    let (_folder, path) = used();
    let mut data = DataDir::open(&path, MINE).unwrap();
    data.mark_running(Durability::Buffered, None).unwrap();
    assert!(
        data.was_clean(),
        "the state of the last run, not of this one"
    );
    drop(data);

    let mut data = DataDir::open(&path, MINE).unwrap();
    assert!(!data.was_clean());
    data.mark_running(Durability::Buffered, None).unwrap();
    data.mark_clean().unwrap();
    drop(data);

    assert!(DataDir::open(&path, MINE).unwrap().was_clean());
}

#[test]
fn the_boot_and_the_durability_of_the_last_run_say_whether_it_has_lost_something() {
    let (_folder, path) = used();
    let boots = [1, 2].map(|id| Some(BootId(id)));
    let has_lost = || {
        let data = DataDir::open(&path, MINE).unwrap();
        boots.map(|boot| data.last_run().has_lost(boot))
    };
    assert_eq!(has_lost(), [false, false], "it has never run");
    for (durability, lost) in [
        (Durability::Buffered, [false, true]),
        (Durability::Fsync, [false, false]),
    ] {
        let mut data = DataDir::open(&path, MINE).unwrap();
        data.mark_running(durability, boots[0]).unwrap();
        drop(data);
        assert_eq!(has_lost(), lost, "{durability:?}");
    }

    let mut data = DataDir::open(&path, MINE).unwrap();
    data.mark_running(Durability::Buffered, boots[0]).unwrap();
    data.mark_clean().unwrap();
    drop(data);
    assert_eq!(has_lost(), [false, false], "it stopped in order");
}

#[test]
fn a_second_node_on_one_directory_is_refused_until_the_first_is_gone() {
    let (_folder, path) = used();
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
    let error = refused_to(Act::Initialise, &path, no_map);
    assert!(matches!(error, IdentityError::NoMap { .. }), "{error}");
}

#[test]
fn a_directory_with_data_but_no_identity_is_never_taken_for_a_new_one() {
    let (_folder, path) = used();
    std::fs::remove_file(path.join(IDENTITY)).unwrap();
    for act in [Act::Run, Act::Initialise] {
        let error = refused_to(act, &path, MINE);
        assert!(
            matches!(error, IdentityError::IdentityGone { .. }),
            "{error}"
        );
    }

    std::fs::remove_dir_all(path.join(STORE)).unwrap();
    std::fs::write(path.join("thesis.txt"), b"years of work").unwrap();
    for act in [Act::Run, Act::Initialise] {
        let error = refused_to(act, &path, MINE);
        assert!(
            matches!(&error, IdentityError::Foreign { found, .. } if found == "thesis.txt"),
            "{error}"
        );
    }
}

#[test]
fn an_empty_store_is_no_nodes() {
    let (_folder, path) = fresh();
    std::fs::create_dir_all(path.join(STORE).join("lost+found")).unwrap();
    let error = refused_to(Act::Initialise, &path, MINE);
    assert!(
        matches!(&error, IdentityError::Foreign { found, .. } if found == STORE),
        "{error}"
    );
}

#[test]
fn an_initialisation_that_was_cut_short_for_another_node_says_that_none_has_run() {
    let (_folder, path) = fresh();
    drop(DataDir::init(&path, MINE).unwrap());
    let another = Expected {
        cluster: Some(ClusterId(77)),
        ..MINE
    };
    for act in [Act::Initialise, Act::Run] {
        let error = refused_to(act, &path, another);
        assert!(
            matches!(error, IdentityError::IncompleteOther { .. }),
            "{error}"
        );
        assert!(error.to_string().contains("no node has run there"));
    }
}

#[test]
fn a_first_use_that_was_cut_short_is_done_again() {
    let (_folder, path) = fresh();
    std::fs::create_dir_all(&path).unwrap();
    std::fs::write(path.join(LOCK), b"").unwrap();
    std::fs::write(path.join(IDENTITY_NEW), b"half").unwrap();
    let error = refused(&path, MINE);
    assert!(
        matches!(error, IdentityError::NotInitialised { .. }),
        "{error}"
    );
    assert_eq!(DataDir::init(&path, MINE).unwrap().may(), May::Begin);
    let names = contents(&path).unwrap();
    assert!(
        !names.contains_key(IDENTITY_NEW.as_ref() as &std::ffi::OsStr),
        "the half-written file is gone"
    );
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
fn every_run_has_a_higher_number_also_after_a_crash() {
    let (_folder, path) = used();
    let runs = |crashes: bool| {
        let mut data = DataDir::open(&path, MINE).unwrap();
        data.mark_running(Durability::Buffered, None).unwrap();
        if !crashes {
            data.mark_clean().unwrap();
        }
        data.runs()
    };
    let first = runs(false);
    let rest = [true, true, false, true].map(runs);
    assert_eq!(rest, [1, 2, 3, 4].map(|more| first + more));
}

#[test]
fn an_identity_of_a_later_version_is_refused_as_such() {
    let (_folder, path) = used();
    std::fs::write(
        path.join(IDENTITY),
        b"quoit-id\x04and more that is not known yet",
    )
    .unwrap();
    let error = refused(&path, MINE);
    assert!(
        matches!(
            error,
            IdentityError::Newer {
                found: 4,
                known: 3,
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
        let error = DataDir::init(&path, MINE).unwrap_err();
        assert!(matches!(error, IdentityError::Create { .. }), "{error}");
        let error = DataDir::open(&path, MINE).unwrap_err();
        assert!(
            matches!(error, IdentityError::NoDirectory { .. }),
            "{error}"
        );
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
    let data = DataDir::init(&path, MINE).unwrap();
    assert!(format!("{data:?}").contains("Secrets(..)"));
}
