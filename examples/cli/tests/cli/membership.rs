//! Changes of the ring: what is refused, plans, and a node that joins.

use std::net::UdpSocket;

use serde_json::Value;

use super::support::{Dev, Home};

/// A home with a running cluster of four, of which one may leave.
fn home_with_four() -> (Home, Dev) {
    let home = Home::new();
    let dev = home.dev(&home.path("data"), &["--nodes", "4"]);
    (home, dev)
}

#[test]
fn what_cannot_be_is_refused_and_says_what_to_do() {
    let (home, _dev) = home_with_four();
    let client = home.path("data/client.toml").display().to_string();
    let bundle = home.path("n9.quoit").display().to_string();
    let here = home.run(&["cluster", "history", "--output", "json"]).json();
    let taken = here["members"][0]["address"].as_str().unwrap();
    let table: [(&[&str], i32, &str); 8] = [
        (&["leave", "node-9"], 2, "there is no member node-9"),
        (
            &["leave", "node-1", "node-2"],
            2,
            "2 members cannot hold 3 copies",
        ),
        (&["weight", "node-1", "0"], 2, "0 is not in 1..=10000"),
        (&["weight", "node-1", "100"], 2, "there is nothing to do"),
        (&["revert"], 2, "no change is under way"),
        (
            &[
                "replace",
                "node-1",
                "n9",
                "--address",
                "h:1",
                "--out",
                &bundle,
            ],
            2,
            "it answers",
        ),
        (
            &["add", "node-1", "--address", "h:1", "--out", &bundle],
            2,
            "a member node-1 already",
        ),
        (
            &["add", "n9", "--address", taken, "--out", &bundle],
            2,
            "is the address of",
        ),
    ];
    for (verb, code, expected) in table {
        let ended = home.run(&[&["cluster"], verb].concat());
        assert_eq!(ended.code, code, "{verb:?}: {}", ended.err);
        assert!(ended.err.contains(expected), "{verb:?}: {}", ended.err);
    }

    let forbidden = home.run(&["cluster", "leave", "node-4", "--profile", &client]);
    assert_eq!(forbidden.code, 2, "{}", forbidden.err);
    assert!(forbidden.err.contains("no operator's"), "{}", forbidden.err);
    let after = home.run(&["cluster", "history", "--output", "json"]).json();
    assert_eq!(
        (after, home.path("n9.quoit").exists()),
        (here, false),
        "nothing has changed"
    );
}

#[test]
fn the_ring_is_shown_and_drawn_and_a_client_may_look() {
    let (home, _dev) = home_with_four();
    let client = home.path("data/client.toml").display().to_string();
    let picture = home.path("ring.svg");
    let path = picture.display().to_string();
    let shown = home.run(&["ring", "--svg", &path, "--profile", &client]);
    assert_eq!(shown.code, 0, "{}", shown.err);
    assert!(
        shown.text().contains("epoch 1, 3 copies"),
        "{}",
        shown.text()
    );
    let drawn = std::fs::read_to_string(&picture).unwrap();
    assert!(drawn.starts_with("<svg") && drawn.ends_with("</svg>\n"));

    let ring = home.run(&["ring", "--output", "json"]).json();
    let nodes = ring["nodes"].as_array().unwrap();
    let share = |node: &Value| node["after"]["share"].as_f64().unwrap();
    let copies: f64 = nodes.iter().map(share).sum();
    assert!((copies - 3.0).abs() < 1e-6, "{ring}");

    let nowhere = home.path("none/ring.svg").display().to_string();
    let failed = home.run(&["ring", "--svg", &nowhere]);
    assert_eq!(failed.code, 1);
    assert!(
        failed.err.contains("cannot write the picture"),
        "{}",
        failed.err
    );
}

#[test]
fn every_member_is_heard_by_the_others() {
    let (home, _dev) = home_with_four();
    let shown = home.run(&["members"]);
    assert_eq!(shown.code, 0, "{}", shown.err);
    assert!(shown.text().contains("HEARD BY"), "{}", shown.text());

    let members = home.run(&["members", "--output", "json"]).json();
    let members = members.as_array().unwrap();
    assert_eq!(members.len(), 4);
    for member in members {
        assert_eq!(member["state"], "alive", "{member}");
        assert_eq!(member["heard_by"], 3, "{member}");
    }
}

#[test]
fn a_plan_shows_what_moves_and_holds_for_one_epoch() {
    let (home, _dev) = home_with_four();
    let file = home.path("plan").display().to_string();
    let line = ["cluster", "plan", "--leave", "node-4", "-o", &file];
    let shown = home.run(&line);
    assert_eq!(shown.code, 0, "{}", shown.err);
    assert!(shown.text().contains("OF ALL KEYS"), "{}", shown.text());
    for line in [
        "-node-4 in epoch 1",
        "pulling them takes ",
        "if two nodes are lost: ",
        "seeds of the profile that go: ",
        " (node-4); 3 stay",
    ] {
        assert!(shown.err.contains(line), "{line}: {}", shown.err);
    }
    assert_eq!(home.run(&line).code, 1, "it is not overwritten");

    let look = [
        "cluster",
        "plan",
        "--output",
        "json",
        "--add",
        "n5=h:1,zone=local",
    ];
    let plan = home.run(&look).json();
    assert_eq!(plan["change"], "+n5");
    let gets = plan["nodes"][0]["gets"].as_f64().unwrap();
    assert!((0.5..0.7).contains(&gets), "{plan}");
    let [new, old] = [&plan["nodes"][0], &plan["nodes"][1]];
    assert_eq!(
        new["answers"],
        Value::Null,
        "it has no identity yet: {plan}"
    );
    assert_eq!(old["answers"], true, "{plan}");
    assert!(old["free_bytes"].as_u64().unwrap() > 0, "{plan}");
    let share = |name: &str| plan[name]["share"].as_f64().unwrap();
    let (before, after) = (share("two_lost"), share("two_lost_after"));
    assert!(after < before && before < 0.6, "{plan}");
    assert!(plan["seconds_at_least"].is_number(), "{plan}");

    let edited = std::fs::read_to_string(&file).unwrap();
    let edited = home.file("edited", &edited.replace("-node-4", "-node-3"));
    let refused = home.run(&["cluster", "commit", &edited]);
    assert_eq!(refused.code, 2);
    assert!(refused.err.contains("was edited"), "{}", refused.err);

    let begun = home.run(&["cluster", "commit", &file, "--no-wait"]);
    assert_eq!(begun.code, 0, "{}", begun.err);
    assert!(
        begun.text().starts_with("begun in epoch 2: -node-4"),
        "{}",
        begun.text()
    );
    let second = home.run(&["cluster", "commit", &file, "--no-wait"]);
    assert_eq!(
        second.code, 4,
        "the second operator hears of the first: {}",
        second.err
    );
}

#[test]
fn a_node_joins_by_its_bundle_and_waits_until_it_is_a_member() {
    let (home, _dev) = home_with_four();
    let free = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    let bundle = home.path("n5.quoit").display().to_string();
    let data = home.path("n5").display().to_string();
    let add = [
        "cluster",
        "add",
        "n5",
        "--address",
        &address,
        "--out",
        &bundle,
    ];

    let made = home.run(&[&add[..], &["--bundle-only"]].concat());
    assert_eq!(made.code, 0, "{}", made.err);
    assert!(made.err.contains("quoit-node --join"), "{}", made.err);
    let again = home.run(&[&add[..], &["--bundle-only"]].concat());
    assert_eq!(again.text(), made.text(), "it is the same one");

    let plan = ["cluster", "plan", "--add", &bundle];
    let absent = home.run(&plan);
    assert_eq!(absent.code, 0, "{}", absent.err);
    let warning = "warning: n5 does not answer here (";
    assert!(absent.err.contains(warning), "{}", absent.err);

    let mut node = home.spawn(&["node", "--join", &bundle, "--data", &data]);
    let begun = home.run(&[&add[..], &["--no-wait"]].concat());
    assert_eq!(begun.code, 0, "{}", begun.err);
    assert!(
        begun.text().starts_with("begun in epoch 2: +n5"),
        "{}",
        begun.text()
    );

    // Another machine with the same bundle; the cluster knows the node by now.
    let other = home.path("other").display().to_string();
    let refused = home.run(&["node", "--join", &bundle, "--data", &other]);
    assert_eq!(refused.code, 2, "{}", refused.err);
    assert!(
        refused.err.contains("is a member already"),
        "{}",
        refused.err
    );
    node.kill().unwrap();
    node.wait().unwrap();
}
