//! How the processes of an own cluster end, and in which order they are told.

use super::*;

/// Stands still instead of serving, which is all that ending it needs.
fn sleeper(folder: &Path) -> Process {
    let program = Program {
        binary: "sleep".into(),
        arguments: Vec::new(),
    };
    Process::bare(&program, &["60"], &folder.join("log.txt")).unwrap()
}

fn lives(pid: u32) -> bool {
    crate::os::cpu(pid).is_some()
}

#[test]
fn a_process_ends_with_its_owner_even_when_that_panics() {
    let folder = tempfile::tempdir().unwrap();
    let process = sleeper(folder.path());
    let pid = process.id();
    assert!(lives(pid));
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        let _owned = process;
        panic!("the owner fails");
    }));
    assert!(panicked.is_err() && !lives(pid));
}

#[test]
fn a_paused_process_can_be_killed() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = sleeper(folder.path());
    process.signal(Signal::Pause).unwrap();
    process.kill().unwrap();
    assert!(!lives(process.id()));
}

#[test]
fn processes_are_told_in_the_order_of_the_nodes() {
    let pids = Pids::default();
    pids.set(1, Some(11));
    pids.set(0, Some(10));
    assert_eq!(pids.now(), [10, 11]);
    pids.set(0, None);
    assert_eq!(pids.clone().now(), [11]);
}
