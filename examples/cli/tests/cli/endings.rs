//! How commands end when nobody takes what they print, or when something is not as it should be.

use std::fs::File;
use std::io::{self, Read as _};
use std::process::{Output, Stdio};

use super::home_with_cluster;
use super::support::Home;

/// A standard output or error that takes nothing: a full disk, or a pipe whose reader has gone.
fn unwilling() -> [Stdio; 2] {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    [full.into(), writer.into()]
}

fn said(output: &Output) -> (Option<i32>, &str) {
    (
        output.status.code(),
        std::str::from_utf8(&output.stderr).unwrap(),
    )
}

#[test]
fn a_write_that_is_stored_is_reported_as_stored_whatever_becomes_of_standard_output() {
    let (home, _dev) = home_with_cluster();
    let file = home.file("a.csv", "key,value\na,1\n");
    for (line, shown) in [
        (&["put", "k", "v", "--output", "json"][..], "\"acked\":"),
        (&["delete", "k", "--output", "json"], "\"acked\":"),
        (&["import", &file], "imported 1 pair"),
        (&["verify", &file], "verified 1 ok"),
    ] {
        for out in unwilling() {
            let ended = home.run_into(line, out, Stdio::piped());
            let (code, said) = said(&ended);
            assert_eq!(code, Some(0), "{line:?}: {said}");
            assert!(
                said.contains("cannot write to standard output"),
                "{line:?}: {said}"
            );
            assert!(said.contains(shown), "{line:?}: {said}");
        }
    }
}

#[test]
fn a_reader_that_has_had_enough_ends_a_read_quietly_and_a_full_disk_does_not() {
    let (home, _dev) = home_with_cluster();
    let value = vec![b'v'; 900_000];
    assert_eq!(home.run_with(&["put", "k", "-"], &value).code, 0);

    let mut head = home.spawn(&["get", "k"]);
    let mut byte = [0];
    head.stdout.take().unwrap().read_exact(&mut byte).unwrap();
    let ended = head.wait_with_output().unwrap();
    assert_eq!(said(&ended), (Some(0), ""));

    let [full, _closed] = unwilling();
    let ended = home.run_into(&["get", "k"], full, Stdio::piped());
    let (code, said) = said(&ended);
    assert_eq!(code, Some(1));
    assert!(
        said.starts_with("error: cannot write to standard output: "),
        "{said}"
    );
}

#[test]
fn verify_says_why_it_could_not_compare() {
    let (home, _dev) = home_with_cluster();
    let file = home.file("a.csv", "key,value\na,1\n");
    assert_eq!(home.run(&["import", &file]).code, 0);
    let ended = home.run(&["verify", &file, "--r", "9"]);
    assert_eq!(ended.code, 2, "{}", ended.err);
    let bad = home.file("bad.csv", "key,value\na,1\nb\n");
    let ended = home.run(&["verify", &bad]);
    assert_eq!(ended.code, 1, "{}", ended.err);
    assert!(ended.err.contains("1 line holds no pair"), "{}", ended.err);
}

#[test]
fn a_home_that_cannot_be_written_hinders_no_cluster_elsewhere() {
    let home = Home::new().with_unwritable_data();
    let dev = home.dev(&home.path("data"), &["--nodes", "1", "--replication", "1"]);
    assert!(dev.ready.starts_with("ready: 1 nodes"), "{}", dev.ready);
    let profile = home.path("data/client.toml").display().to_string();
    let put = home.run(&["put", "k", "v", "--profile", &profile]);
    assert_eq!(put.code, 0, "{}", put.err);
    assert_eq!(dev.terminate(), 0);
}

#[test]
fn a_cluster_whose_folder_is_in_use_may_be_tried_later() {
    let (home, _dev) = home_with_cluster();
    let again = home.run(&["dev", "--data", &home.path("data").display().to_string()]);
    assert_eq!(again.code, 7, "{}", again.err);
    assert!(
        again.err.contains("another node is running on"),
        "{}",
        again.err
    );
}

#[test]
fn standard_error_that_takes_nothing_changes_no_exit_code() {
    let (home, _dev) = home_with_cluster();
    for (line, code) in [
        (&["put", "k", "v"][..], 0),
        (&["get", "k"], 0),
        (&["get", "no such key"], 3),
        (&["get", "k", "--r", "9"], 2),
        (&["fly"], 2),
    ] {
        for err in unwilling() {
            let ended = home.run_into_logging(line, Stdio::null(), err);
            assert_eq!(ended.status.code(), Some(code), "{line:?}");
        }
    }
}

#[test]
fn a_cluster_whose_terminal_is_gone_stops_in_order() {
    let home = Home::new();
    let dev = home.dev(&home.path("data"), &["--nodes", "1", "--replication", "1"]);
    assert_eq!(home.run(&["put", "k", "v"]).code, 0);
    assert_eq!(dev.signalled("HUP"), 0);

    let again = home.dev(&home.path("data"), &[]);
    assert_eq!(home.run(&["get", "k"]).text(), "v");
    assert_eq!(again.terminate(), 0);
}
