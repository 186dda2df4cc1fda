//! `explain`: on a cluster that is well, with a node that fell behind, and with nodes that are gone.

use serde_json::{Value, json};

use super::home_with_cluster;
use super::support::{Home, Nodes};

/// What `explain` says of the key `k`, as JSON.
fn explained(home: &Home, nodes: &Nodes, args: &[&str]) -> Value {
    let profile = nodes.profile();
    let all = [
        &["--profile", &profile, "--output", "json", "explain", "k"],
        args,
    ]
    .concat();
    let ended = home.run(&all);
    assert_eq!(ended.code, 0, "{}", ended.err);
    ended.json()
}

/// A cluster in which the node with this index holds an older value of `k` than the others.
fn with_a_stale_node(index: usize) -> (Home, Nodes) {
    let home = Home::new();
    let mut nodes = Nodes::start(&home);
    nodes.wait_for(&home, 3);
    let profile = nodes.profile();
    let put = |args: &[&str]| home.run(&[&["--profile", &profile, "put", "k"], args].concat());
    assert_eq!(put(&["old", "--w", "3"]).code, 0);
    nodes.kill(index);
    assert_eq!(put(&["newer"]).code, 0);
    nodes.start_again(index);
    nodes.wait_for(&home, 3);
    (home, nodes)
}

#[test]
fn a_key_that_is_well_has_its_plan_its_replicas_and_a_read_without_repair() {
    let (home, _dev) = home_with_cluster();
    assert_eq!(
        home.run(&["put", "k", "v", "--w", "3", "--ttl", "1h"]).code,
        0
    );
    let story = home.run(&["explain", "k", "--output", "json"]).json();
    let needs = json!({
        "consistency": "quorum", "n": 3, "r": 2, "hold": 2, "w": 2, "read_repair": "before_answer",
    });
    assert_eq!(story["needs"], needs);
    let (leaf, leaves) = (&story["leaf"], &story["leaves"]);
    assert!(leaf.as_u64().unwrap() < leaves.as_u64().unwrap());
    let replicas = story["replicas"].as_array().unwrap();
    assert_eq!(replicas.len(), 3);
    for replica in replicas {
        assert_eq!(replica["stale"], false);
        let sibling = &replica["siblings"][0];
        assert_eq!(sibling["bytes"], 1);
        let lives =
            sibling["expires_ms"].as_u64().unwrap() - sibling["written_ms"].as_u64().unwrap();
        assert!((3_599_000..=3_601_000).contains(&lives), "{lives}");
        assert_eq!(replica["health"]["reachable"], true);
        assert!(replica["elapsed_us"].as_u64().unwrap() > 0);
    }
    let requests = story["read"]["requests"].as_array().unwrap();
    assert!(requests.iter().filter(|r| r["kind"] == "read").count() >= 2);
    assert_eq!(story["read"]["result"], "ok");
    for none in ["repaired", "repair_sent", "repair_failed", "still_stale"] {
        assert_eq!(story[none], json!([]), "{none}");
    }

    let text = home.run(&["explain", "k"]);
    assert_eq!(text.code, 0, "{}", text.err);
    for part in [
        "`k` has the token",
        "quorum: 3 copies; a read needs 2 answers, and 2 replicas to hold what it returns",
        "What each replica holds",
        "1 value, 1 B",
        "newest",
        "Versions",
        "node-1",
        "What a read did",
    ] {
        assert!(text.text().contains(part), "{part}: {}", text.text());
    }
}

#[test]
fn a_key_without_a_value_is_explained_too() {
    let (home, _dev) = home_with_cluster();
    let story = home.run(&["explain", "k", "--output", "json"]).json();
    assert_eq!(story["read"]["result"], "not_found");
    assert_eq!(story["replicas"][0]["siblings"], json!([]));
    assert_eq!(story["replicas"][0]["deleted"], false);
    let text = home.run(&["explain", "k"]);
    assert_eq!(text.code, 0);
    assert!(text.text().contains("nothing") && !text.text().contains("Versions"));

    assert_eq!(home.run(&["put", "k", "v", "--w", "3"]).code, 0);
    assert_eq!(home.run(&["delete", "k", "--w", "3"]).code, 0);
    let story = home.run(&["explain", "k", "--output", "json"]).json();
    assert_eq!(story["replicas"][0]["deleted"], true);
    assert!(home.run(&["explain", "k"]).text().contains("a delete"));
}

#[test]
fn a_replica_that_fell_behind_is_shown_and_repaired_unless_that_is_not_wanted() {
    let (home, nodes) = with_a_stale_node(1);
    let behind = json!([nodes.name(1)]);
    let looked = explained(&home, &nodes, &["--no-repair", "--r", "3"]);
    assert_eq!(looked["needs"]["read_repair"], "off");
    assert_eq!(looked["still_stale"], behind);
    let stale = looked["replicas"].as_array().unwrap().iter();
    assert_eq!(stale.filter(|replica| replica["stale"] == true).count(), 1);

    let repaired = explained(&home, &nodes, &["--r", "3"]);
    assert_eq!(repaired["still_stale"], json!([]));
    let sent = [&repaired["repaired"], &repaired["repair_sent"]];
    assert!(sent.contains(&&behind), "{repaired}");

    let after = || explained(&home, &nodes, &["--no-repair"])["still_stale"] == json!([]);
    assert!((0..50).any(|_| after()), "it holds what it was sent");
}

#[test]
fn nodes_that_are_gone_are_shown_and_a_read_that_fails_ends_with_its_code() {
    let home = Home::new();
    let mut nodes = Nodes::start(&home);
    nodes.wait_for(&home, 3);
    let profile = nodes.profile();
    let put = home.run(&["--profile", &profile, "put", "k", "v", "--w", "3"]);
    assert_eq!(put.code, 0, "{}", put.err);
    nodes.kill(2);
    let story = explained(&home, &nodes, &[]);
    let gone = story["replicas"].as_array().unwrap().iter();
    let gone: Vec<_> = gone
        .filter(|replica| replica["error"].is_string())
        .collect();
    assert_eq!(gone.len(), 1);
    assert_eq!(gone[0]["node"], nodes.name(2));
    assert_eq!(story["read"]["result"], "ok");

    nodes.kill(1);
    let failed = home.run(&["--profile", &profile, "explain", "k", "--timeout", "1s"]);
    assert_eq!(failed.code, 6, "{}", failed.err);
    assert!(failed.text().contains("no answer: "), "{}", failed.text());
    assert!(failed.text().contains("1 value, 1 B"), "{}", failed.text());
    assert!(failed.err.starts_with("error: "), "{}", failed.err);
}

#[test]
fn without_a_cluster_or_with_what_cannot_be_meant_nothing_is_explained() {
    let ended = Home::new().run(&["explain", "k"]);
    assert_eq!((ended.code, ended.text()), (1, ""));
    assert!(ended.err.contains("hint: start one with `quoit dev`"));
    let (home, _dev) = home_with_cluster();
    for line in [&["explain", "k", "--r", "4"][..], &["explain", ""]] {
        let ended = home.run(line);
        assert_eq!((ended.code, ended.text()), (2, ""), "{}", ended.err);
    }
}
