//! `watch` from outside: what it prints, and how it ends.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Command};

use crate::home_with_cluster;

fn line(out: &mut BufReader<ChildStdout>) -> String {
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    line
}

/// Ctrl-C; the exit code, and what it said.
fn interrupted(child: Child) -> (Option<i32>, String) {
    let pid = child.id().to_string();
    let kill = Command::new("kill").args(["-s", "INT", &pid]).status();
    assert!(kill.unwrap().success());
    let ended = child.wait_with_output().unwrap();
    (
        ended.status.code(),
        String::from_utf8(ended.stderr).unwrap(),
    )
}

#[test]
fn a_watch_shows_what_is_there_and_each_change_until_it_is_interrupted() {
    let (home, _dev) = home_with_cluster();
    assert_eq!(home.run(&["put", "p:1", "one"]).code, 0);
    let mut prefix = home.spawn(&["watch", "--prefix", "p:"]);
    let mut rows = BufReader::new(prefix.stdout.take().unwrap());
    assert_eq!(line(&mut rows), "p:1\tone\n");
    assert_eq!(home.run(&["put", "p:2", "two"]).code, 0);
    assert_eq!(line(&mut rows), "p:2\ttwo\n");
    assert_eq!(home.run(&["delete", "p:1"]).code, 0);
    assert_eq!(line(&mut rows), "p:1\n");
    assert_eq!(interrupted(prefix), (Some(0), String::new()));

    let mut key = home.spawn(&["--output", "json", "watch", "k"]);
    let mut events = BufReader::new(key.stdout.take().unwrap());
    assert_eq!(line(&mut events), "{\"event\":\"gone\",\"key\":\"k\"}\n");
    assert_eq!(line(&mut events), "{\"event\":\"current\"}\n");
    assert_eq!(home.run(&["put", "k", "v"]).code, 0);
    let changed = "{\"event\":\"changed\",\"key\":\"k\",\"value\":\"v\"}\n";
    assert_eq!(line(&mut events), changed);
    assert_eq!(interrupted(key).0, Some(0));
}
