//! A dev cluster that changes while it runs: a node more, a node less, and what is refused.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::Value;

use super::support::{Dev, Ended, Home};

/// Keys in the cluster while it changes.
const PAIRS: usize = 500;

fn home_with(nodes: &str) -> (Home, Dev) {
    let home = Home::new();
    let dev = home.dev(&home.path("data"), &["--nodes", nodes]);
    (home, dev)
}

/// Puts the pairs; the file that they can be verified with.
fn import(home: &Home) -> String {
    let pairs: String = (0..PAIRS).map(|n| format!("key-{n},value {n}\n")).collect();
    let file = home.file("pairs.csv", &format!("key,value\n{pairs}"));
    let imported = home.run(&["import", &file]);
    assert_eq!(imported.code, 0, "{}", imported.err);
    file
}

fn assert_all_there(home: &Home, file: &str) {
    let verified = home.run(&["verify", file]);
    assert_eq!(verified.code, 0, "{}{}", verified.text(), verified.err);
}

/// The names of the members, in order, and of those that answer.
fn members(home: &Home) -> (Vec<String>, Vec<String>) {
    let status = home.run(&["status", "--output", "json"]).json();
    let nodes = status.as_array().unwrap();
    let name = |node: &Value| node["name"].as_str().unwrap().to_owned();
    let (mut all, mut up) = (vec![], vec![]);
    for node in nodes {
        all.push(name(node));
        if node["state"] == "up" {
            up.push(name(node));
        }
    }
    all.sort();
    up.sort();
    (all, up)
}

fn assert_members(home: &Home, expected: &[&str]) {
    let (all, up) = members(home);
    assert_eq!(all, expected);
    assert_eq!(up, expected);
}

fn lines(ended: &Ended) -> Vec<Value> {
    let lines = ended.text().lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Sends bytes to the cluster's socket; what comes back.
fn send(data: &Path, bytes: &[u8]) -> Value {
    let mut socket = UnixStream::connect(data.join("control/socket")).unwrap();
    // One that has read enough answers and closes before it has read all of it.
    socket.write_all(bytes).ok();
    socket.shutdown(Shutdown::Write).ok();
    let mut line = String::new();
    BufReader::new(socket).read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
}

#[test]
fn a_node_joins_and_one_leaves_while_the_cluster_runs_and_after_a_restart_it_is_the_same() {
    let (home, dev) = home_with("3");
    let file = import(&home);

    let added = home.run(&["dev", "add", "--zone", "b", "--weight", "200"]);
    assert_eq!(added.code, 0, "{}", added.err);
    assert!(
        added.err.contains("node-4 runs at 127.0.0.1:"),
        "{}",
        added.err
    );
    assert!(
        added.text().starts_with("+node-4: 4 members, epoch "),
        "{}",
        added.text()
    );
    assert_members(&home, &["node-1", "node-2", "node-3", "node-4"]);
    let ring = home.run(&["ring", "--output", "json"]).json();
    let nodes = ring["nodes"].as_array().unwrap();
    let four = nodes.iter().find(|node| node["name"] == "node-4").unwrap();
    assert_eq!(
        (&four["zone"], nodes.len()),
        (&Value::from("b"), 4),
        "{four}"
    );
    assert_all_there(&home, &file);

    let removed = home.run(&["dev", "remove", "node-1"]);
    assert_eq!(removed.code, 0, "{}", removed.err);
    assert!(
        removed.text().starts_with("-node-1: 3 members"),
        "{}",
        removed.text()
    );
    assert!(removed.err.contains("node-1 is stopped"), "{}", removed.err);
    let rest = ["node-2", "node-3", "node-4"];
    assert_members(&home, &rest);
    assert_all_there(&home, &file);
    assert_eq!(dev.terminate(), 0);

    let again = home.dev(&home.path("data"), &[]);
    assert!(again.ready.starts_with("ready: 3 nodes"), "{}", again.ready);
    assert_members(&home, &rest);
    assert_all_there(&home, &file);
    let fifth = home.run(&["dev", "add", "--output", "json"]);
    assert_eq!(fifth.code, 0, "{}", fifth.err);
    let lines = lines(&fifth);
    assert_eq!(
        (&lines[0]["name"], &lines[0]["state"]),
        (&"node-5".into(), &"waits".into())
    );
    let last = lines.last().unwrap();
    assert_eq!(
        (&last["members"], &last["change"]),
        (&4.into(), &Value::Null),
        "{last}"
    );
    assert_eq!(again.terminate(), 0);
}

#[test]
fn all_first_nodes_may_go_and_the_profile_leads_to_those_that_are_there() {
    let home = Home::new();
    let data = home.path("data");
    let dev = home.dev(&data, &["--nodes", "1", "--replication", "1"]);
    assert_eq!(home.run(&["put", "k", "v"]).code, 0);
    assert_eq!(home.run(&["dev", "add"]).code, 0);
    let removed = home.run(&["dev", "remove", "node-1", "--output", "json"]);
    assert_eq!(removed.code, 0, "{}", removed.err);
    let last = lines(&removed).pop().unwrap();
    assert_eq!(
        (&last["name"], &last["state"]),
        (&"node-1".into(), &"stopped".into())
    );
    assert_eq!(home.run(&["get", "k"]).text(), "v");
    assert_eq!(dev.terminate(), 0);

    let _dev = home.dev(&data, &[]);
    assert_members(&home, &["node-2"]);
    assert_eq!(home.run(&["get", "k"]).text(), "v");
}

#[test]
fn a_node_that_leaves_by_another_command_is_stopped_all_the_same() {
    let (home, dev) = home_with("4");
    let begun = home.run(&["dev", "remove", "node-2", "--no-wait"]);
    assert_eq!(begun.code, 0, "{}", begun.err);
    assert!(begun.text().contains("-node-2: arc"), "{}", begun.text());
    let followed = home.run(&["cluster", "history", "--watch"]);
    assert_eq!(followed.code, 0, "{}", followed.err);
    // Whoever looks at the folder sees it; nothing else tells that the node has stopped.
    let mark = home.path("data/node-2/left");
    let seen = (0..300).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(100));
        mark.exists()
    });
    assert!(seen, "node-2 was never stopped");
    assert_members(&home, &["node-1", "node-3", "node-4"]);
    // As after a crash: the node before is not started again.
    dev.kill();
    let again = home.dev(&home.path("data"), &[]);
    assert!(again.ready.starts_with("ready: 3 nodes"), "{}", again.ready);
    assert_eq!(again.terminate(), 0);
}

#[test]
fn what_cannot_be_is_refused_and_the_cluster_stays_as_it_is() {
    let (home, _dev) = home_with("3");
    let nowhere = home.path("nowhere").display().to_string();
    let long = "z".repeat(65);
    let table: [(&[&str], i32, &str); 6] = [
        (&["remove", "node-9"], 2, "there is no member node-9"),
        (&["remove", "node-1"], 2, "2 members cannot hold 3 copies"),
        (
            &["add", "--data", &nowhere],
            6,
            "no dev cluster that can be asked",
        ),
        (
            &["remove", "node-1", "--data", &nowhere],
            6,
            "start it with `quoit dev --data",
        ),
        (&["add", "--zone", &long], 2, "64 bytes at most"),
        (&["add", "--weight", "0"], 2, "0 is not in 1..=10000"),
    ];
    for (verb, code, expected) in table {
        let ended = home.run(&[&["dev"], verb].concat());
        assert_eq!(ended.code, code, "{verb:?}: {}", ended.err);
        assert!(ended.err.contains(expected), "{verb:?}: {}", ended.err);
    }
    let twice = home.run(&["dev", "--data", &home.path("data").display().to_string()]);
    assert_eq!(twice.code, 7, "{}", twice.err);
    // The second one has not taken the socket away.
    assert!(home.path("data/control/socket").exists());
    assert_members(&home, &["node-1", "node-2", "node-3"]);
    assert!(!home.path("data/node-4").exists());
}

#[test]
fn a_folder_with_too_long_a_path_for_a_socket_serves_and_says_why_it_cannot_change() {
    let home = Home::new();
    let data = home.path(&"x".repeat(120));
    let dev = home.dev(&data, &["--nodes", "1", "--replication", "1"]);
    assert_eq!(home.run(&["put", "k", "v"]).code, 0);
    let refused = home.run(&["dev", "add"]);
    assert_eq!(refused.code, 6, "{}", refused.err);
    let hint = "too long for a socket";
    assert!(refused.err.contains(hint), "{}", refused.err);
    assert_eq!(dev.terminate(), 0);
}

#[test]
fn whatever_comes_in_at_the_socket_is_answered_and_the_cluster_serves_on() {
    let (home, dev) = home_with("3");
    let data = home.path("data");
    let long = [b'x'; 100_000];
    for (bytes, expected) in [
        (&b"\xff\x00 junk\n"[..], "that is no request"),
        (b"{\"add\":{\"config\":\"/etc/passwd\"}}\n", "unknown field"),
        (b"{\"left\":{\"name\":\"node-1\"}}\n", "node-1 is a member"),
        (b"{\"add\":", "without an end"),
        (&long, "more than 4096 bytes"),
    ] {
        let answer = send(&data, bytes);
        let what = answer["refused"]["what"].as_str().unwrap();
        assert!(what.contains(expected), "{what}");
    }

    // Many who say nothing, one of whom adds a node and goes: it waits for the next.
    let silent: Vec<_> = (0..7)
        .map(|_| UnixStream::connect(data.join("control/socket")).unwrap())
        .collect();
    let waits = send(&data, b"{\"add\":{}}\n");
    assert_eq!(waits["waits"]["name"], "node-4", "{waits}");
    drop(silent);
    assert_eq!(home.run(&["put", "k", "v"]).code, 0);
    dev.kill();

    let _dev = home.dev(&data, &[]);
    let added = home.run(&["dev", "add", "--zone", "c"]);
    assert_eq!(added.code, 0, "{}", added.err);
    assert!(
        added.text().starts_with("+node-4: 4 members"),
        "{}",
        added.text()
    );
}

#[test]
fn the_cluster_serves_http_and_resp_if_asked_to() {
    let home = Home::new();
    let data = home.path("data");
    let one = ["--nodes", "1", "--replication", "1"];
    let ports = ["--http", "127.0.0.1:0", "--resp", "127.0.0.1:0"];
    let dev = home.dev(&data, &[&one[..], &ports[..]].concat());
    let mut words = dev
        .ready
        .split_whitespace()
        .skip_while(|word| *word != "http");
    let (http, resp) = (words.nth(1).unwrap(), words.nth(1).unwrap());
    let exchange = |address: &str, bytes: &str| {
        let mut socket = std::net::TcpStream::connect(address).unwrap();
        socket.write_all(bytes.as_bytes()).unwrap();
        socket.shutdown(Shutdown::Write).unwrap();
        std::io::read_to_string(socket).unwrap()
    };
    let put = "PUT /v1/keys/color HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 4\r\n\r\nblue";
    let answer = exchange(http, put);
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    assert_eq!(exchange(resp, "GET color\r\n"), "$4\r\nblue\r\n");
    assert_eq!(home.run(&["get", "color"]).text(), "blue");

    let other = home.path("other").display().to_string();
    let taken = home.run(&[&["dev", "--data", &other, "--http", http], &one[..]].concat());
    assert_eq!(taken.code, 7, "{}", taken.err);
    assert!(taken.err.contains("cannot serve HTTP at"), "{}", taken.err);
    let open = home.run(&["dev", "--http", "0.0.0.0:0"]);
    assert_eq!(open.code, 2, "{}", open.err);
    assert_eq!(dev.terminate(), 0);
}

#[test]
fn a_second_add_hears_that_another_is_under_way() {
    let (home, _dev) = home_with("3");
    let data = home.path("data");
    let mut first = UnixStream::connect(data.join("control/socket")).unwrap();
    first.write_all(b"{\"add\":{}}\n").unwrap();
    let mut line = String::new();
    let mut reader = BufReader::new(first.try_clone().unwrap());
    reader.read_line(&mut line).unwrap();
    assert!(line.contains("waits"), "{line}");

    let second = home.run(&["dev", "add", "--output", "json"]);
    assert_eq!(second.code, 4, "{}", second.err);
    assert!(
        second.err.contains("another `quoit dev add`"),
        "{}",
        second.err
    );
    drop((first, reader));
    // The cluster notices that the first has gone, and lets the next in.
    let third = (0..50).any(|_| home.run(&["dev", "add"]).code == 0);
    assert!(third);
    assert_members(&home, &["node-1", "node-2", "node-3", "node-4"]);
}

#[test]
fn a_command_that_is_stopped_in_mid_change_says_that_the_change_goes_on() {
    let (home, _dev) = home_with("3");
    let file = import(&home);
    let mut adding = home.spawn(&["dev", "add", "--output", "json"]);
    let mut out = BufReader::new(adding.stdout.take().unwrap());
    let mut line = String::new();
    // The node, then the epoch in which the change begins.
    out.read_line(&mut line).unwrap();
    out.read_line(&mut line).unwrap();
    assert!(line.contains("\"epoch\":2"), "{line}");
    let pid = adding.id().to_string();
    let kill = std::process::Command::new("kill")
        .args(["-s", "INT", &pid])
        .status();
    assert!(kill.unwrap().success());
    drop(out);
    let ended = adding.wait_with_output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(5), "{said}");
    assert!(said.contains("the change goes on by itself"), "{said}");

    assert_eq!(home.run(&["cluster", "history", "--watch"]).code, 0);
    assert_members(&home, &["node-1", "node-2", "node-3", "node-4"]);
    assert_all_there(&home, &file);
}
