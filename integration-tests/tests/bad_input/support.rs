//! What these tests share: clusters, and the proof that one still serves.

use std::error::Error;
use std::time::Duration;

use quoit_client::Client;
use quoit_integration_tests::cluster::{Clients as _, Cluster, program, settings};
use quoit_integration_tests::node_binary;
use quoit_node::config::Durability;

/// Upper bound of what should happen soon, on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// A key that is written before anything bad happens.
const WITNESS: &str = "witness";

/// A running cluster with this at the beginning of each node's configuration, and a witness.
pub(crate) async fn cluster_of(nodes: usize, lines: &str) -> (Cluster, Client) {
    let mut options = settings(nodes);
    options.local.durability = Durability::Buffered;
    options.node_settings = lines.to_owned();
    let cluster = Cluster::start(program(node_binary!()), &options)
        .await
        .unwrap();
    let client = cluster.client().await.unwrap();
    client.put(WITNESS, "here").w(3).await.unwrap();
    (cluster, client)
}

/// Asserts that all nodes serve, that nothing was lost, and that they stop in order.
pub(crate) async fn assert_unharmed(cluster: Cluster) {
    let client = cluster.client().await.unwrap();
    assert_eq!(
        client.get(WITNESS).r(3).await.unwrap().value().unwrap(),
        "here"
    );
    for report in client.status().await {
        report.status.unwrap();
    }
    for number in 0..20 {
        let key = format!("after-{number}");
        client.put(key.clone(), "v").w(3).await.unwrap();
        assert_eq!(client.get(key).r(3).await.unwrap().value().unwrap(), "v");
    }
    client.close().await;
    cluster.shut_down().await.unwrap();
}

/// An error and its causes, as a program would print them.
pub(crate) fn sentence(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(behind) = cause {
        text.push_str(": ");
        text.push_str(&behind.to_string());
        cause = behind.source();
    }
    text
}
