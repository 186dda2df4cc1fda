//! A cluster of three that has lost the disks of two: written off by hand, and made whole again by two new nodes.

use std::net::UdpSocket;
use std::process::Child;

use super::support::{Ended, Home, Nodes};

/// An address that is free now.
fn free_address() -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap().to_string()
}

/// A new node that is to join, running; its bundle.
fn newcomer(home: &Home, admin: &str, name: &str) -> (String, Child) {
    let bundle = home.path(&format!("{name}.quoit")).display().to_string();
    let data = home.path(name).display().to_string();
    let address = free_address();
    let made = home.run(&[
        "cluster",
        "add",
        name,
        "--address",
        &address,
        "--out",
        &bundle,
        "--bundle-only",
        "--zone",
        "local",
        "--profile",
        admin,
    ]);
    assert_eq!(made.code, 0, "{}", made.err);
    let node = home.spawn(&["node", "--join", &bundle, "--data", &data]);
    (bundle, node)
}

/// Three nodes, of which all but the first are lost, and an operator at the first.
struct Site {
    home: Home,
    nodes: Nodes,
    client: String,
    admin: String,
    names: [String; 3],
}

impl Site {
    fn new() -> Self {
        let home = Home::new();
        let nodes = Nodes::start(&home);
        nodes.wait_for(&home, 3);
        let (client, admin) = (nodes.profile(), nodes.admin_profile());
        for number in 0..20 {
            let put = home.run(&["put", &format!("key-{number}"), "v", "--profile", &client]);
            assert_eq!(put.code, 0, "{}", put.err);
        }
        let names = [0, 1, 2].map(|node| nodes.name(node).to_owned());
        Self {
            home,
            nodes,
            client,
            admin,
            names,
        }
    }

    /// `quoit cluster recover` at the first node, with these as lost.
    fn recover(&self, lost: &[usize], more: &[&str]) -> Ended {
        let config = self.nodes.config(0);
        let mut line = vec!["cluster", "recover", "--config", &config];
        for &node in lost {
            line.extend(["--lost", &self.names[node]]);
        }
        self.home.run(&[&line, more].concat())
    }

    /// Recovers the cluster from the first node, after everything that is refused.
    fn write_off_two(&mut self) {
        let says = |ended: &Ended, code: i32, what: &str| {
            assert_eq!(ended.code, code, "{}", ended.err);
            assert!(ended.err.contains(what), "{what}: {}", ended.err);
        };
        self.nodes.kill(1);
        says(&self.recover(&[1], &[]), 7, "another node is running");
        self.nodes.kill(0);
        says(&self.recover(&[1], &[]), 2, "can decide by itself");
        let alive = self.recover(&[1, 2], &["--accept-loss"]);
        says(&alive, 2, "answers, so it is not lost");

        self.nodes.kill(2);
        says(&self.recover(&[0, 2], &[]), 2, "is this node");
        says(&self.recover(&[1, 2], &[]), 4, "100.0 % of the keys");
        let done = self.recover(&[1, 2], &["--accept-loss", "--output", "json"]);
        assert_eq!(done.code, 0, "{}", done.err);
        assert_eq!(done.json()["voters"], serde_json::json!([self.names[0]]));
        let again = self.recover(&[1, 2], &["--accept-loss"]);
        says(&again, 2, "written off already");
    }

    /// Begins a change that adds these, and waits for its end. Who is written off leaves with it.
    fn add(&self, bundles: &[&str]) {
        let file = self.home.path("plan").display().to_string();
        let mut plan = vec!["cluster", "plan", "-o", &file, "--profile", &self.admin];
        for bundle in bundles {
            plan.extend(["--add", bundle]);
        }
        let planned = self.home.run(&plan);
        assert_eq!(planned.code, 0, "{}", planned.err);
        let shown = format!("{}{}", planned.text(), planned.err);
        for name in &self.names[1..] {
            assert!(shown.contains(&format!("-{name}")), "it leaves: {shown}");
        }
        let commit = ["cluster", "commit", &file, "--profile", &self.admin];
        let ended = self.home.run(&commit);
        assert_eq!(ended.code, 0, "{}", ended.err);
    }

    fn assert_whole(&self) {
        for number in 0..20 {
            let get = ["get", &format!("key-{number}"), "--profile", &self.client];
            let got = self.home.run(&get);
            assert_eq!((got.code, got.text()), (0, "v"), "{}", got.err);
        }
        let history = ["cluster", "history", "--output", "json"];
        let ring = self
            .home
            .run(&[&history[..], &["--profile", &self.admin]].concat());
        let ring = ring.json();
        assert_eq!(ring["removed"].as_array().unwrap().len(), 2, "{ring}");
        assert_eq!(ring["members"].as_array().unwrap().len(), 3, "{ring}");
    }
}

#[test]
fn a_cluster_that_lost_most_of_its_voters_goes_on_by_an_operators_word_and_is_whole_again() {
    let mut site = Site::new();
    site.write_off_two();
    site.nodes.start_again(0);
    site.nodes.wait_for(&site.home, 1);
    // One of the lost disks turns up again, too late.
    site.nodes.start_again(1);

    let (fourth, mut fourth_node) = newcomer(&site.home, &site.admin, "n4");
    let (fifth, mut fifth_node) = newcomer(&site.home, &site.admin, "n5");
    site.add(&[&fourth, &fifth]);
    site.assert_whole();
    for node in [&mut fourth_node, &mut fifth_node] {
        node.kill().unwrap();
        node.wait().unwrap();
    }
}

#[test]
fn a_change_that_would_wait_for_lost_disks_is_refused_until_they_are_written_off() {
    let home = Home::new();
    let mut nodes = Nodes::start_some(&home, 5);
    nodes.wait_for(&home, 5);
    let (client, admin) = (nodes.profile(), nodes.admin_profile());
    let put = home.run(&["put", "key", "v", "--w", "3", "--profile", &client]);
    assert_eq!(put.code, 0, "{}", put.err);
    let names = [3, 4].map(|node| nodes.name(node).to_owned());
    let write_off = |names: &[&str]| {
        let line = ["cluster", "write-off", "--profile", &admin];
        home.run(&[&line, names].concat())
    };
    let [fourth, fifth] = names.each_ref().map(String::as_str);

    let healthy = write_off(&[fourth]);
    assert_eq!(healthy.code, 2, "{}", healthy.err);
    assert!(
        healthy.err.contains("is not lost: it answers"),
        "{}",
        healthy.err
    );
    let nobody = write_off(&["node-9"]);
    assert!(
        nobody.err.contains("there is no member node-9"),
        "{}",
        nobody.err
    );

    nodes.kill(3);
    nodes.kill(4);
    let leave = [
        "cluster",
        "leave",
        fourth,
        fifth,
        "--profile",
        &admin,
        "--output",
        "json",
    ];
    let waits = home.run(&leave);
    assert_eq!(waits.code, 6, "{}", waits.err);
    assert!(waits.err.contains("write-off"), "{}", waits.err);
    // For some seconds the others have heard them a short time ago.
    let mut loss = write_off(&[fourth, fifth]);
    for _ in 0..20 {
        if !loss.err.contains("is not lost") {
            break;
        }
        std::thread::sleep(std::time::Duration::from_secs(1));
        loss = write_off(&[fourth, fifth]);
    }
    assert_eq!(loss.code, 4, "{}", loss.err);
    let done = write_off(&[fourth, fifth, "--accept-loss"]);
    assert_eq!(done.code, 0, "{}", done.err);
    let again = write_off(&[fourth, fifth, "--accept-loss"]);
    assert_eq!(
        (again.code, again.text()),
        (0, done.text()),
        "it is so already: {}",
        again.err
    );

    let left = home.run(&leave);
    assert_eq!(left.code, 0, "{}", left.err);
    let got = home.run(&["get", "key", "--profile", &client]);
    assert_eq!((got.code, got.text()), (0, "v"), "{}", got.err);
}
