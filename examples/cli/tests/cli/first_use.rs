//! The first start of a node: an act of its own, which nothing else stands in for.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Child;

use super::support::{Ended, Home};

/// A process that is killed with the test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        self.0.kill().and_then(|()| self.0.wait()).ok();
    }
}

/// A home with a cluster of one node, which was never initialised; the node's configuration.
fn home_with_node() -> (Home, String) {
    let home = Home::new();
    let (certs, map) = (home.path("certs"), home.path("cluster.map"));
    let [certs, map] = [&certs, &map].map(|path| path.display().to_string());
    let made = home.run(&["certs", "init", &certs, "--node", "n1"]);
    assert_eq!(made.code, 0, "{}", made.err);

    let port = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = port.local_addr().unwrap();
    let member = format!("n1={address}");
    let line = ["cluster", "init", "--certs", &certs, "--member", &member];
    let made = home.run(&[&line[..], &["--replication", "1", "--out", &map]].concat());
    assert_eq!(made.code, 0, "{}", made.err);
    assert!(made.err.contains("quoit node init"), "{}", made.err);

    let config = format!(
        "data = \"mount/data\"\nlisten = \"{address}\"\nmap = \"cluster.map\"\n[tls]\n\
         ca = \"certs/ca.pem\"\ncertificate = \"certs/n1.pem\"\nkey = \"certs/n1.key\"\n"
    );
    let config = home.file("node.toml", &config);
    (home, config)
}

/// A node that does not run since it finds nothing: it says so, what to do, and leaves no trace.
fn assert_finds_nothing(ended: &Ended, data: &Path) {
    assert_eq!(ended.code, 2, "{}", ended.err);
    assert_eq!(ended.text(), "");
    for part in [
        &*data.display().to_string(),
        "nothing was written",
        "quoit node init",
        "under a new id",
    ] {
        assert!(
            ended.err.contains(part),
            "`{part}` is not in: {}",
            ended.err
        );
    }
    let entries = fs::read_dir(data).map(Iterator::count);
    assert!(matches!(entries, Err(_) | Ok(0)), "{entries:?}");
}

/// Runs the node until it is ready, then kills it.
fn run_for_a_moment(home: &Home, config: &str) {
    let mut node = Killed(home.spawn(&["node", "--config", config]));
    let mut line = String::new();
    let out = node.0.stdout.take().unwrap();
    BufReader::new(out).read_line(&mut line).unwrap();
    assert!(line.contains(" ready at "), "{line}");
}

#[test]
fn a_node_runs_once_it_was_initialised_and_never_again_on_an_empty_disk() {
    let (home, config) = home_with_node();
    let data = home.path("mount/data");
    let run = || home.run(&["node", "--config", &config]);
    let init = || home.run(&["node", "init", "--config", &config]);

    assert_finds_nothing(&run(), &data);
    assert!(!home.path("mount").exists());
    let made = init();
    assert_eq!(made.code, 0, "{}", made.err);
    assert!(made.text().ends_with(" initialised\n"), "{}", made.text());
    let again = init();
    assert_eq!(again.code, 2);
    assert!(again.err.contains("initialised already"), "{}", again.err);
    run_for_a_moment(&home, &config);

    // Not mounted: the directory below is empty. Wiped: it is not even there.
    fs::rename(&data, home.path("own")).unwrap();
    assert_finds_nothing(&run(), &data);
    fs::create_dir(&data).unwrap();
    assert_finds_nothing(&run(), &data);

    fs::remove_dir(&data).unwrap();
    fs::rename(home.path("own"), &data).unwrap();
    run_for_a_moment(&home, &config);
}

#[test]
fn half_of_a_data_directory_is_refused_to_run_and_to_initialise() {
    let (home, config) = home_with_node();
    let (data, aside) = (home.path("mount/data"), home.path("aside"));
    assert_eq!(home.run(&["node", "init", "--config", &config]).code, 0);
    for (part, says) in [
        ("store", "has promised to keep is gone"),
        ("identity", "`identity` is gone"),
    ] {
        fs::rename(data.join(part), &aside).unwrap();
        for line in [&["node"][..], &["node", "init"]] {
            let refused = home.run(&[line, &["--config", &config]].concat());
            assert_eq!(refused.code, 2, "{}", refused.err);
            assert!(refused.err.contains(says), "{}", refused.err);
        }
        fs::rename(&aside, data.join(part)).unwrap();
    }
    run_for_a_moment(&home, &config);
}

#[test]
fn of_several_who_initialise_a_node_at_once_one_does() {
    let (home, config) = home_with_node();
    let line = ["node", "init", "--config", &config];
    let all: Vec<_> = (0..4).map(|_| home.spawn(&line)).collect();
    let codes: Vec<_> = all
        .into_iter()
        .map(|child| child.wait_with_output().unwrap().status.code())
        .collect();
    let done = codes.iter().filter(|code| **code == Some(0)).count();
    assert_eq!(done, 1, "{codes:?}");
    // It is initialised already, or somebody is about to.
    let refused = |code: &Option<i32>| matches!(code, Some(0 | 2 | 7));
    assert!(codes.iter().all(refused), "{codes:?}");
    run_for_a_moment(&home, &config);
}

#[test]
fn a_dev_cluster_does_not_go_on_without_a_disk_of_its() {
    let home = Home::new();
    let data = home.path("data");
    let dev = home.dev(&data, &["--nodes", "3"]);
    assert_eq!(home.run(&["put", "k", "v"]).code, 0);
    assert_eq!(dev.terminate(), 0);

    let (disk, aside) = (data.join("node-2/data"), home.path("aside"));
    fs::rename(&disk, &aside).unwrap();
    let refused = home.run(&["dev", "--data", &data.display().to_string()]);
    assert_eq!(refused.code, 2, "{}", refused.err);
    assert!(refused.err.contains("node-2"), "{}", refused.err);
    assert!(!disk.exists());

    fs::rename(&aside, &disk).unwrap();
    let _dev = home.dev(&data, &[]);
    assert_eq!(home.run(&["get", "k"]).text(), "v");
}
