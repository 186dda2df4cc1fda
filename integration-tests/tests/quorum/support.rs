//! What these tests share: clusters, keys in known places, waiting with a bound.

use std::collections::BTreeSet;
use std::time::Duration;

use quoit_client::Client;
use quoit_integration_tests::cluster::{Clients as _, Cluster, program, settings};
use quoit_integration_tests::node_binary;
use quoit_node::config::Durability;
use tokio::time::{Instant, sleep};

/// Upper bound of what should happen soon, on a busy machine. A client notices within 15 s that a
/// killed node is gone.
pub(crate) const SOON: Duration = Duration::from_secs(25);

/// A running cluster whose acknowledged writes survive `kill -9`, with a client.
pub(crate) async fn cluster_of(nodes: usize) -> (Cluster, Client) {
    cluster_with(nodes, "").await
}

/// The same without hints and syncs: a node gets what it missed from reads alone.
pub(crate) async fn cluster_without_hints(nodes: usize) -> (Cluster, Client) {
    cluster_with(nodes, "max_hint_bytes = 0\nsync_interval_ms = 0\n").await
}

/// The same without hints: a node gets what it missed from reads, and from syncs.
pub(crate) async fn cluster_that_compares(nodes: usize) -> (Cluster, Client) {
    cluster_with(nodes, "max_hint_bytes = 0\nsync_interval_ms = 1000\n").await
}

/// The same with hints, where writes are soon too old: what is deleted is forgotten within seconds.
pub(crate) async fn cluster_that_forgets(nodes: usize) -> (Cluster, Client) {
    cluster_with(nodes, "max_write_age_ms = 1500\nsync_interval_ms = 1000\n").await
}

async fn cluster_with(nodes: usize, lines: &str) -> (Cluster, Client) {
    let mut options = settings(nodes);
    options.local.durability = Durability::Buffered;
    options.node_settings = lines.to_owned();
    let cluster = Cluster::start(program(node_binary!()), &options)
        .await
        .unwrap();
    let client = cluster.client().await.unwrap();
    (cluster, client)
}

/// Which nodes own `key`, in preference order.
pub(crate) fn owners(cluster: &Cluster, client: &Client, key: &str) -> Vec<usize> {
    let owners = client.locate(key.as_bytes()).owners;
    owners
        .iter()
        .map(|member| cluster.position(member.id).unwrap())
        .collect()
}

/// `count` keys that `node` owns.
pub(crate) fn keys_of(
    cluster: &Cluster,
    client: &Client,
    node: usize,
    count: usize,
) -> Vec<String> {
    let owned = |key: &String| owners(cluster, client, key).contains(&node);
    (0..)
        .map(|number| format!("key-{number}"))
        .filter(owned)
        .take(count)
        .collect()
}

/// Waits until `done` returns true; fails after [`SOON`].
pub(crate) async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let begin = Instant::now();
    while !done().await {
        assert!(begin.elapsed() < SOON, "still not: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Whether all owners hold the same under `key`: the same siblings, and the same seen.
pub(crate) async fn owners_agree(client: &Client, key: &str) -> bool {
    let reports = client.inspect(key.to_owned()).await.unwrap();
    let held: Vec<_> = reports
        .iter()
        .filter(|r| r.owner)
        .map(|r| r.answer.as_ref().ok())
        .collect();
    held.iter()
        .all(|entry| entry.is_some() && *entry == held[0])
}

/// The values of an entry, as a set of texts.
pub(crate) fn texts(entry: &quoit_client::Entry) -> BTreeSet<String> {
    let text = |value: &quoit_client::Value| String::from_utf8(value.bytes.to_vec()).unwrap();
    entry.siblings().iter().map(text).collect()
}
