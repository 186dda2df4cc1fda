//! Configurations, directories, ports and certificates with which a node must not start.
//!
//! Each is tried twice: in this process, for the error's type; and as a process, for what an operator sees.

use std::fs;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::thread;

use quoit_integration_tests::cluster::{Cluster, program, settings};
use quoit_integration_tests::node_binary;
use quoit_local::{NodeProcess, NodeProgram};
use quoit_node::config::Config;
use quoit_node::identity::IdentityError;
use quoit_node::provision::Authority;
use quoit_node::tls::TlsError;
use quoit_node::{Node, StartError};

use crate::support::{SOON, assert_unharmed, cluster_of, sentence};

/// The configuration of a node of the cluster.
fn config(cluster: &Cluster, node: usize) -> Config {
    Config::load(&cluster.local().nodes()[node].config).unwrap()
}

/// Why a node does not start in this process. On a thread of its own, since starting blocks.
fn refusal(config: Config) -> StartError {
    thread::spawn(move || Node::start(&config).map(drop).unwrap_err())
        .join()
        .unwrap()
}

/// Why a node cannot be initialised.
fn init_refusal(config: Config) -> StartError {
    thread::spawn(move || Node::init(&config).map(drop).unwrap_err())
        .join()
        .unwrap()
}

/// The output of a process started with the configuration of `node`, after `edit`; it must end by itself
/// with the exit code of a node that cannot start until something is changed.
async fn complaint(cluster: &Cluster, node: usize, edit: impl FnOnce(String) -> String) -> String {
    ends_with(2, cluster, node, edit).await
}

/// As above, with this exit code.
async fn ends_with(
    code: i32,
    cluster: &Cluster,
    node: usize,
    edit: impl FnOnce(String) -> String,
) -> String {
    let original = &cluster.local().nodes()[node].config;
    let config = original.with_file_name("edited.toml");
    fs::write(&config, edit(fs::read_to_string(original).unwrap())).unwrap();
    let log = config.with_extension("log");
    let _earlier = fs::remove_file(&log).is_ok();
    let mut process = NodeProcess::start(&NodeProgram::new(node_binary!()), &config, &log).unwrap();
    let status = process.end(SOON).await.unwrap().expect("it started");
    let said = fs::read_to_string(&log).unwrap();
    assert_eq!(status.code(), Some(code), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    said
}

/// Asserts that an error's message contains all of these.
fn assert_says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
}

#[tokio::test]
async fn a_data_directory_serves_one_node_at_a_time() {
    let (cluster, _client) = cluster_of(3, "").await;
    let error = refusal(config(&cluster, 0));
    assert!(
        matches!(error, StartError::Identity(IdentityError::InUse { .. })),
        "{error:?}"
    );
    let parts = [
        "another node is running on",
        "stop it or use another directory",
    ];
    assert_says(&sentence(&error), &parts);
    let said = ends_with(7, &cluster, 0, |text| text).await;
    assert_says(&said, &parts);
    assert_unharmed(cluster).await;
}

#[tokio::test]
async fn a_port_serves_one_node_at_a_time() {
    let (mut cluster, _client) = cluster_of(3, "").await;
    cluster.stop(0).await.unwrap();
    let address = cluster.local().nodes()[0].address;
    let taken = UdpSocket::bind(address).unwrap();
    let error = refusal(config(&cluster, 0));
    assert!(matches!(error, StartError::PortInUse { .. }), "{error:?}");
    let parts = [
        address.to_string(),
        "stop the program that uses it, or change `listen`".to_owned(),
    ];
    let parts = parts.each_ref().map(String::as_str);
    assert_says(&sentence(&error), &parts);
    let said = ends_with(7, &cluster, 0, |text| text).await;
    assert_says(&said, &parts);
    drop(taken);
    cluster.start_all().await.unwrap();
    assert_unharmed(cluster).await;
}

#[tokio::test]
async fn a_data_directory_of_someone_else_is_left_as_it_is() {
    let (mut cluster, _client) = cluster_of(3, "").await;
    let mut alone = settings(1);
    alone.local.replication = 1;
    let mut other = Cluster::start(program(node_binary!()), &alone)
        .await
        .unwrap();
    cluster.stop(0).await.unwrap();
    other.stop(0).await.unwrap();

    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("thesis.txt"), "years of work").unwrap();
    let mut taken = config(&cluster, 0);
    taken.data = folder.path().to_owned();
    let error = refusal(taken);
    assert!(
        matches!(error, StartError::Identity(IdentityError::Foreign { .. })),
        "{error:?}"
    );
    assert_says(
        &sentence(&error),
        &["holds `thesis.txt`", "use an empty directory"],
    );
    assert_eq!(
        fs::read_to_string(folder.path().join("thesis.txt")).unwrap(),
        "years of work"
    );

    cluster.stop(1).await.unwrap();
    let mut neighbour = config(&cluster, 0);
    neighbour.data = config(&cluster, 1).data;
    let error = refusal(neighbour);
    assert!(
        matches!(error, StartError::Identity(IdentityError::OtherNode { .. })),
        "{error:?}"
    );
    assert_says(&sentence(&error), &["check `data` and `tls.certificate`"]);

    let mut foreign = config(&cluster, 0);
    foreign.data = config(&other, 0).data;
    let error = refusal(foreign);
    assert!(
        matches!(
            error,
            StartError::Identity(IdentityError::OtherCluster { .. })
        ),
        "{error:?}"
    );
    assert_says(&sentence(&error), &["check `data` and `map`"]);

    cluster.start_all().await.unwrap();
    other.start_all().await.unwrap();
    other.shut_down().await.unwrap();
    assert_unharmed(cluster).await;
}

#[tokio::test]
async fn a_data_directory_that_cannot_be_written_is_named() {
    let (mut cluster, _client) = cluster_of(3, "").await;
    cluster.stop(0).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    // Neither can hold a directory, even for root, which ignores permissions.
    for data in [file.join("data"), PathBuf::from("/proc/quoit")] {
        let mut unwritable = config(&cluster, 0);
        unwritable.data.clone_from(&data);
        let error = init_refusal(unwritable);
        assert!(
            matches!(error, StartError::Identity(IdentityError::Create { .. })),
            "{error:?}"
        );
        let data = data.display().to_string();
        assert_says(
            &sentence(&error),
            &[&data, "check its path and the owner of its parent"],
        );
        let said = complaint(&cluster, 0, |text| {
            text.replace("\"data\"", &format!("{data:?}"))
        })
        .await;
        assert_says(&said, &[&data, "there is no data directory"]);
    }
    cluster.start_all().await.unwrap();
    assert_unharmed(cluster).await;
}

#[tokio::test]
async fn a_node_that_the_map_does_not_name_is_not_initialised() {
    let (cluster, _client) = cluster_of(3, "").await;
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::open(&cluster.local().dir().join("certs")).unwrap();
    let (_id, tls) = authority.issue_node("newcomer").unwrap();
    let mut newcomer = config(&cluster, 0);
    newcomer.tls = tls;
    newcomer.data = folder.path().join("data");
    let error = init_refusal(newcomer);
    assert!(matches!(error, StartError::NotAMember { .. }), "{error:?}");
    assert_says(
        &sentence(&error),
        &["is no member of cluster", "a map that names this node"],
    );
    assert!(!folder.path().join("data").exists(), "nothing was written");
    assert_unharmed(cluster).await;
}

#[tokio::test]
async fn configurations_that_cannot_work_are_refused_with_the_key_or_file_to_look_at() {
    let (cluster, _client) = cluster_of(3, "").await;
    let aside = |text: String| text.replace("\"data\"", "\"aside\"");
    let mut other = config(&cluster, 0);
    other.data = other.data.with_file_name("aside");
    let mapless = Config {
        map: None,
        ..other.clone()
    };
    assert_says(
        &sentence(&init_refusal(mapless)),
        &["the cluster's first map: set `map` to it"],
    );
    let misled = Config {
        map: Some("no.map".into()),
        ..other.clone()
    };
    assert_says(&sentence(&init_refusal(misled)), &["no.map"]);
    Node::init(&other).unwrap();

    for (edit, parts) in [
        (("memory", "memroy"), &["memroy"][..]),
        (("\"buffered\"", "\"sometimes\""), &["sometimes", "fsync"]),
        (
            ("/node-1.pem", "/node-2.pem"),
            &["does not belong to the certificate"],
        ),
        (("/node-1.", "/client."), &["is for", "not for a node"]),
        (
            ("/ca.pem", "/none.pem"),
            &["none.pem", "check the paths under [tls]"],
        ),
        (("memory = 67108864", "memory = 1"), &["memory"]),
        (
            ("listen = \"127.0.0.1:", "listen = \"203.0.113.1:"),
            &["cannot serve at 203.0.113.1"],
        ),
    ] {
        let edit = |text: String| {
            assert!(text.contains(edit.0), "{edit:?} changes nothing");
            aside(text.replace(edit.0, edit.1))
        };
        assert_says(&complaint(&cluster, 0, edit).await, parts);
    }
    assert_unharmed(cluster).await;
}

#[tokio::test]
async fn a_clients_certificate_does_not_make_a_node() {
    let (cluster, _client) = cluster_of(3, "").await;
    let authority = Authority::open(&cluster.local().dir().join("certs")).unwrap();
    let mut posing = config(&cluster, 0);
    posing.tls = authority.issue_client("poser").unwrap();
    posing.data = Path::new("/proc/never/used").to_owned();
    let error = refusal(posing);
    assert!(
        matches!(error, StartError::Tls(TlsError::NotANode { .. })),
        "{error:?}"
    );
    assert_unharmed(cluster).await;
}
