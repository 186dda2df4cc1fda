//! Nodes remove what has expired, without a read.

use std::time::Duration;

use quoit_client::Client;
use quoit_ring::Sum;
use quoit_ring::wire::NodeStatus;

use crate::support::{cluster_of, until};

const KEYS: u64 = 1_000;

async fn statuses(client: &Client) -> Vec<NodeStatus> {
    let reports = client.status().await;
    let statuses = reports.into_iter().filter_map(|report| report.status.ok());
    statuses.collect()
}

/// The Merkle roots of so many nodes, once all are there.
async fn roots(client: &Client, nodes: usize) -> Option<Vec<Sum>> {
    let roots = statuses(client).await.into_iter();
    let roots: Option<Vec<Sum>> = roots.map(|status| status.merkle_root).collect();
    roots.filter(|roots| roots.len() == nodes)
}

#[tokio::test]
async fn what_expires_is_gone_from_every_node_although_nobody_reads_it() {
    let (cluster, client) = cluster_of(3).await;
    client.put("stays", "v").w(3).await.unwrap();
    until("the sums are there", async || {
        roots(&client, 3).await.is_some()
    })
    .await;
    let before = roots(&client, 3).await.unwrap();

    for number in 0..KEYS {
        let put = client.put(format!("key {number}"), "short-lived");
        put.ttl(Duration::from_secs(2)).w(3).await.unwrap();
    }
    assert_ne!(roots(&client, 3).await.unwrap(), before);
    until("the sums are what they were", async || {
        roots(&client, 3).await.as_ref() == Some(&before)
    })
    .await;
    let after = statuses(&client).await;
    for status in &after {
        // An owner that was first may have brought this one the rest, by a sync.
        assert!(status.swept_values > KEYS / 2, "{status:?}");
        assert_eq!(status.next_expiry_ms, None);
    }
    assert!(client.get("key 7").await.unwrap().is_absent());
    assert_eq!(client.get("stays").await.unwrap().value().unwrap(), "v");
    cluster.shut_down().await.unwrap();
}
