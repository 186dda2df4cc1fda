//! The program from outside: what it prints where, and how it ends.
//!
//! Every test has a home and, if it needs one, a dev cluster of its own: real QUIC, real disks.

#![cfg(unix)]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking, and so does what it calls"
)]

#[path = "cli/cas.rs"]
mod cas;
#[path = "cli/dev.rs"]
mod dev;
#[path = "cli/endings.rs"]
mod endings;
#[path = "cli/explain.rs"]
mod explain;
#[path = "cli/files.rs"]
mod files;
#[path = "cli/first_use.rs"]
mod first_use;
#[path = "cli/membership.rs"]
mod membership;
#[path = "cli/recovery.rs"]
mod recovery;
#[path = "cli/scan.rs"]
mod scan;
mod support;
#[path = "cli/terminal.rs"]
mod terminal;
#[path = "cli/watch.rs"]
mod watch;

use support::Home;

/// A home with a running cluster of three.
fn home_with_cluster() -> (Home, support::Dev) {
    let home = Home::new();
    let dev = home.dev(&home.path("data"), &["--nodes", "3"]);
    (home, dev)
}

#[test]
fn a_value_is_put_got_and_deleted_and_its_absence_is_code_3() {
    let (home, dev) = home_with_cluster();
    assert!(
        dev.ready.starts_with("ready: 3 nodes at 127.0.0.1:"),
        "{}",
        dev.ready
    );
    assert!(
        dev.ready.trim_end().ends_with("data/client.toml"),
        "{}",
        dev.ready
    );

    let absent = home.run(&["get", "k"]);
    assert_eq!((absent.code, absent.text()), (3, ""));
    assert!(
        absent.err.starts_with("error: `k` has no value"),
        "{}",
        absent.err
    );

    let put = home.run(&["put", "k", "v"]);
    assert_eq!((put.code, put.text()), (0, ""), "{}", put.err);
    let got = home.run(&["get", "k"]);
    assert_eq!(
        (got.code, got.text(), got.err.as_str()),
        (0, "v", ""),
        "the value and nothing else"
    );

    assert_eq!(home.run(&["delete", "k"]).code, 0);
    assert_eq!(home.run(&["get", "k"]).code, 3);
    assert_eq!(
        home.run(&["delete", "k"]).code,
        0,
        "that there is nothing is no error"
    );
}

#[test]
fn any_bytes_go_in_and_come_out() {
    let (home, _dev) = home_with_cluster();
    let bytes: Vec<u8> = (0..=255).collect();
    assert_eq!(home.run_with(&["put", "k", "-"], &bytes).code, 0);
    assert_eq!(home.run(&["get", "k"]).out, bytes);
    let json = home.run(&["get", "k", "--output", "json"]).json();
    assert_eq!(json["encoding"], "base64");

    assert_eq!(home.run(&["put", "empty", ""]).code, 0);
    let empty = home.run(&["get", "empty"]);
    assert_eq!(
        (empty.code, empty.text()),
        (0, ""),
        "an empty value is a value"
    );
    assert_eq!(home.run(&["put", "dash", "--", "-v"]).code, 0);
    assert_eq!(home.run(&["get", "dash"]).text(), "-v");
}

#[test]
fn two_puts_with_one_context_are_siblings_until_a_put_has_seen_both() {
    let (home, _dev) = home_with_cluster();
    assert_eq!(home.run(&["put", "k", "bread"]).code, 0);
    let context = home.run(&["--output", "json", "get", "k"]).json()["context"].clone();
    let context = context.as_str().unwrap();
    for value in ["bread\neggs", "bread\nmilk"] {
        assert_eq!(home.run(&["put", "k", value, "--context", context]).code, 0);
    }

    let conflict = home.run(&["get", "k"]);
    assert_eq!((conflict.code, conflict.text()), (4, ""));
    assert!(
        conflict.err.contains("eggs") && conflict.err.contains("milk"),
        "{}",
        conflict.err
    );
    let all = home.run(&["get", "k", "--all", "--output", "json"]);
    assert_eq!(
        (all.code, all.text().lines().count()),
        (0, 2),
        "{}",
        all.err
    );
    assert_eq!(
        home.run(&["get", "k", "--merge", "lww"]).text(),
        "bread\nmilk"
    );

    let merged = home.run(&["get", "k", "--merge", "union", "--show-context"]);
    assert_eq!((merged.code, merged.text()), (0, "bread\neggs\nmilk"));
    let context = merged.err.trim().strip_prefix("context: ").unwrap();
    assert_eq!(
        home.run(&["put", "k", merged.text(), "--context", context])
            .code,
        0
    );
    let settled = home.run(&["get", "k"]);
    assert_eq!((settled.code, settled.text()), (0, "bread\neggs\nmilk"));
}

#[test]
fn a_value_with_a_time_to_live_is_gone_after_it() {
    let (home, _dev) = home_with_cluster();
    assert_eq!(home.run(&["put", "k", "v", "--ttl", "1h"]).code, 0);
    assert_eq!(home.run(&["get", "k"]).text(), "v");
    assert_eq!(home.run(&["put", "k", "v", "--ttl", "1ms"]).code, 0);
    std::thread::sleep(std::time::Duration::from_millis(50));
    assert_eq!(home.run(&["get", "k"]).code, 3);
}

#[test]
fn a_file_is_imported_and_verified_and_a_difference_is_code_1() {
    let (home, _dev) = home_with_cluster();
    let csv = home.file("some.csv", "key,value\na,1\nb,\"two\nlines\"\n");
    let json = home.file(
        "more.jsonl",
        "{\"key\":\"c\",\"value\":\"/w==\",\"encoding\":\"base64\"}\n",
    );
    for file in [&csv, &json] {
        let imported = home.run(&["import", file]);
        assert_eq!(imported.code, 0, "{}", imported.err);
        assert!(
            imported.text().starts_with("imported "),
            "{}",
            imported.text()
        );
        assert_eq!(home.run(&["verify", file]).code, 0);
    }
    assert_eq!(home.run(&["get", "b"]).text(), "two\nlines");
    assert_eq!(home.run(&["get", "c"]).out, [0xff]);

    assert_eq!(home.run(&["put", "a", "another"]).code, 0);
    assert_eq!(home.run(&["delete", "b"]).code, 0);
    let verified = home.run(&["verify", &csv, "--output", "json"]);
    assert_eq!(verified.code, 1);
    let counts = verified.json();
    assert_eq!(
        (&counts["different"], &counts["missing"]),
        (&1.into(), &1.into()),
        "{counts}"
    );
}

#[test]
fn a_bad_line_ends_an_import_unless_it_is_to_go_on() {
    let (home, _dev) = home_with_cluster();
    let file = home.file("bad.csv", "key,value\na,1\nbad\nc,3\n");
    let stopped = home.run(&["import", &file]);
    assert_eq!(stopped.code, 1);
    assert!(stopped.err.contains("line 3: 1 fields"), "{}", stopped.err);
    assert_eq!(
        [home.run(&["get", "a"]).code, home.run(&["get", "c"]).code],
        [0, 3]
    );

    let went_on = home.run(&["import", &file, "--keep-going"]);
    assert_eq!(went_on.code, 1);
    assert!(
        went_on.err.contains("1 line was not imported"),
        "{}",
        went_on.err
    );
    assert_eq!(home.run(&["get", "c"]).text(), "3");
}

#[test]
fn status_and_locate_show_the_nodes() {
    let (home, _dev) = home_with_cluster();
    let status = home.run(&["status"]);
    assert_eq!(
        (status.code, status.text().lines().count()),
        (0, 4),
        "{}",
        status.err
    );
    let rows = home.run(&["status", "--output", "json"]).json();
    let names: Vec<&str> = rows
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["node-1", "node-2", "node-3"]);
    assert!(
        rows.as_array()
            .unwrap()
            .iter()
            .all(|row| row["state"] == "up"),
        "{rows}"
    );

    assert_eq!(home.run(&["put", "k", "v", "--w", "3"]).code, 0);
    let replicas = home.run(&["locate", "k", "--output", "json"]).json()["replicas"].clone();
    let replicas = replicas.as_array().unwrap();
    assert_eq!(replicas.len(), 3);
    assert!(
        replicas
            .iter()
            .all(|replica| replica["bytes"] == serde_json::json!([1])),
        "{replicas:?}"
    );
}

#[test]
fn a_stopped_cluster_ends_with_0_is_unavailable_and_has_its_data_when_it_is_back() {
    let (home, dev) = home_with_cluster();
    assert_eq!(home.run(&["put", "before", "the stop"]).code, 0);
    assert_eq!(dev.terminate(), 0);

    let gone = home.run(&["get", "before"]);
    assert_eq!(gone.code, 6, "{}", gone.err);
    assert!(
        gone.err
            .contains("hint: the last dev cluster is not running"),
        "{}",
        gone.err
    );

    let again = home.dev(&home.path("data"), &[]);
    assert_eq!(home.run(&["get", "before"]).text(), "the stop");
    assert_eq!(home.run(&["put", "before", "the kill"]).code, 0);
    again.kill();

    let _third = home.dev(&home.path("data"), &[]);
    assert_eq!(home.run(&["get", "before"]).text(), "the kill");
    let other = home.run(&[
        "dev",
        "--data",
        &home.path("data").display().to_string(),
        "--nodes",
        "4",
    ]);
    assert_eq!(
        other.code, 2,
        "the folder's cluster has three: {}",
        other.err
    );
}

#[test]
fn requests_that_cannot_be_meant_are_code_2() {
    let (home, _dev) = home_with_cluster();
    for line in [
        &["get"][..],
        &["get", "k", "--w", "1"],
        &["fly"],
        &["put", "k", "v", "--ttl", "soon"],
    ] {
        let ended = home.run(line);
        assert_eq!(
            (ended.code, ended.text()),
            (2, ""),
            "{line:?}: {}",
            ended.err
        );
    }
    for line in [
        &["get", "k", "--r", "4"][..],
        &["get", ""],
        &["put", "k", "v", "--w", "1"],
    ] {
        let ended = home.run(line);
        assert_eq!(ended.code, 2, "{line:?}: {}", ended.err);
        assert!(ended.err.starts_with("error: "), "{line:?}: {}", ended.err);
    }
    let thin = home.run(&["put", "k", "v", "--w", "1", "--consistency", "one"]);
    assert_eq!(thin.code, 0, "{}", thin.err);
}

#[test]
fn without_a_cluster_the_error_says_how_to_start_one() {
    let home = Home::new();
    let ended = home.run(&["get", "k"]);
    assert_eq!((ended.code, ended.text()), (1, ""));
    assert!(
        ended.err.contains("hint: start one with `quoit dev`"),
        "{}",
        ended.err
    );

    let json = home.run(&["get", "k", "--output", "json"]);
    let error: serde_json::Value = serde_json::from_str(&json.err).unwrap();
    assert_eq!(
        (&error["exit"], &error["kind"]),
        (&1.into(), &"error".into())
    );
}

#[test]
fn certificates_and_a_map_for_real_machines_are_made_once() {
    let home = Home::new();
    let certs = home.path("certs").display().to_string();
    let init = [
        "certs", "init", &certs, "--node", "n1", "--node", "n2", "--node", "n3",
    ];
    let made = home.run(&init);
    assert_eq!(
        (made.code, made.text().lines().count()),
        (0, 5),
        "{}",
        made.err
    );
    assert_eq!(home.run(&init).code, 1, "nothing is overwritten");
    assert_eq!(
        home.run(&["certs", "issue", &certs, "--client", "app"])
            .code,
        0
    );
    assert!(home.path("certs/app.key").exists());

    let map = home.path("cluster.map").display().to_string();
    let [n1, n2, n3] = [
        "n1=10.0.0.1:7440,zone=a",
        "n2=10.0.0.2:7440,zone=b",
        "n3=10.0.0.3:7440,zone=c",
    ];
    let init = ["cluster", "init", "--certs", &certs, "--out", &map];
    let made = home.run(&[&init[..], &["--member", n1, "--member", n2, "--member", n3]].concat());
    assert_eq!(made.code, 0, "{}", made.err);
    let shown = home
        .run(&["cluster", "show", &map, "--output", "json"])
        .json();
    assert_eq!(
        (&shown["epoch"], &shown["replication"]),
        (&1.into(), &3.into())
    );
    let shares: Vec<f64> = shown["members"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m["share"].as_f64().unwrap())
        .collect();
    assert_eq!(
        shares,
        [1.0, 1.0, 1.0],
        "three members hold all three copies"
    );
}

#[test]
fn the_tour_ends_well() {
    let home = Home::new();
    let tour = home.run(&["demo", "--output", "json"]);
    assert_eq!(tour.code, 0, "{}", tour.err);
    let findings = tour.json();
    assert!(findings.as_array().unwrap().len() >= 8, "{findings}");
}
