//! `cas` and `outcome` from outside, with nodes and without.

use super::home_with_cluster;
use super::support::{Home, Nodes};

#[test]
fn a_key_is_written_if_its_condition_holds_and_the_exit_code_says_so() {
    let (home, _dev) = home_with_cluster();
    let ends = |line: &[&str]| home.run(line).code;
    assert_eq!(ends(&["cas", "k", "--if-absent", "a"]), 0);
    assert_eq!(ends(&["cas", "k", "--if-absent", "b"]), 4);
    assert_eq!(
        ends(&["cas", "k", "--if-value", "a", "b", "--ttl", "1h"]),
        0
    );

    let read = home.run(&[
        "--output",
        "json",
        "get",
        "k",
        "--consistency",
        "linearizable",
    ]);
    let context = read.json()["context"].as_str().unwrap().to_owned();
    let first = home.run(&[
        "--output",
        "json",
        "cas",
        "k",
        "--if-context",
        &context,
        "c",
    ]);
    assert_eq!(first.json()["applied"], true);
    let second = home.run(&[
        "--output",
        "json",
        "cas",
        "k",
        "--if-context",
        &context,
        "d",
    ]);
    assert_eq!(
        (second.code, &second.json()["values"][0]["value"]),
        (4, &"c".into())
    );

    assert_eq!(ends(&["cas", "k", "--if-value", "c", "--delete"]), 0);
    assert_eq!(ends(&["get", "k"]), 3);
    assert_eq!(ends(&["cas", "k", "v"]), 2, "one condition is needed");
    assert_eq!(ends(&["cas", "k", "v", "--if-absent", "--delete"]), 2);
    assert_eq!(ends(&["outcome", "junk"]), 2);
    let barred = "6b.7fff0000000000070000000000000009";
    assert_eq!(ends(&["outcome", barred]), 4, "it has not happened");
}

#[test]
fn one_node_of_three_may_be_gone_and_without_two_nothing_is_written() {
    let home = Home::new();
    let mut nodes = Nodes::start(&home);
    nodes.wait_for(&home, 3);
    let profile = nodes.profile();
    let cas = |key: &str| {
        let line = ["cas", key, "--if-absent", "v", "--timeout", "2s"];
        home.run(&[&["--profile", &profile][..], &line].concat())
    };
    nodes.kill(0);
    let one_gone = cas("a");
    assert_eq!(one_gone.code, 0, "{}", one_gone.err);
    nodes.kill(1);
    let two_gone = cas("b");
    assert_eq!(two_gone.code, 6, "{}", two_gone.err);
    assert!(
        two_gone.err.contains("nothing was written"),
        "{}",
        two_gone.err
    );
}
