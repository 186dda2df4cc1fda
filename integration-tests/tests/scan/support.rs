//! Clusters to scan, and scans to their end.

use bytes::Bytes;
use quoit_client::{Client, Scan, ScanEntry, ScanError};
use quoit_local::{ClusterSettings, InProcessCluster};
use tokio::task::JoinSet;

/// A cluster in this process, with a client.
pub(crate) async fn cluster_of(nodes: usize) -> (InProcessCluster, Client) {
    cluster_with(nodes, "").await
}

/// The same without hints and syncs: a node gets what it missed from reads alone.
pub(crate) async fn cluster_without_hints(nodes: usize) -> (InProcessCluster, Client) {
    cluster_with(nodes, "max_hint_bytes = 0\nsync_interval_ms = 0\n").await
}

async fn cluster_with(nodes: usize, lines: &str) -> (InProcessCluster, Client) {
    let settings = ClusterSettings {
        node_settings: lines.to_owned(),
        ..ClusterSettings::for_tests(nodes)
    };
    let cluster = InProcessCluster::start(&settings).await.unwrap();
    let client = Client::builder().profile(cluster.client_profile());
    (cluster, client.connect().await.unwrap())
}

pub(crate) fn key(number: usize) -> String {
    format!("k{number:05}")
}

/// Puts `numbers`, many at once.
pub(crate) async fn put_all(client: &Client, numbers: impl IntoIterator<Item = usize>) {
    let mut puts = JoinSet::new();
    for number in numbers {
        let client = client.clone();
        puts.spawn(async move { client.put(key(number), format!("v{number}")).await });
        if puts.len() >= 64 {
            puts.join_next().await.unwrap().unwrap().unwrap();
        }
    }
    while let Some(put) = puts.join_next().await {
        put.unwrap().unwrap();
    }
}

/// All rows of a scan.
pub(crate) async fn rows(scan: Scan) -> Result<Vec<ScanEntry>, ScanError> {
    let mut stream = scan.stream()?;
    let mut rows = Vec::new();
    while let Some(row) = stream.next().await {
        rows.push(row?);
    }
    assert_eq!(stream.next().await, None, "it has ended");
    Ok(rows)
}

/// All keys of a scan, which must come without an error.
pub(crate) async fn keys(scan: Scan) -> Vec<String> {
    let text = |row: &ScanEntry| text(row.key());
    rows(scan).await.unwrap().iter().map(text).collect()
}

pub(crate) fn text(bytes: &Bytes) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}
