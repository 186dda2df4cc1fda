//! Scans while a node is killed and others write: what was there throughout comes once, in order.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use quoit_client::Client;
use quoit_integration_tests::cluster::{Clients as _, Cluster, program, settings};
use quoit_integration_tests::node_binary;
use quoit_node::config::Durability;
use tokio::time::{Instant, sleep};

use crate::support::{key, put_all, text};

const KEYS: usize = 3_000;

/// Waits until the client is connected to so many nodes.
pub(crate) async fn until_connected(client: &Client, nodes: usize) {
    let begin = Instant::now();
    loop {
        let reports = client.status().await;
        if reports
            .iter()
            .filter(|report| report.status.is_ok())
            .count()
            == nodes
        {
            return;
        }
        assert!(begin.elapsed() < Duration::from_secs(25), "{reports:?}");
        sleep(Duration::from_millis(50)).await;
    }
}

/// Overwrites, deletes and adds keys between those that stay, until it is to stop.
async fn disturb(client: Client, stop: Arc<AtomicBool>) {
    let mut round = 0;
    while !stop.load(Ordering::Relaxed) {
        round += 1;
        let number = round * 7 % KEYS;
        let passing = format!("{}x", key(number));
        // Some fail while a node dies: their keys are not looked at.
        let _overwritten = client.put(key(number), format!("v{number}")).await;
        let _put = client.put(passing.clone(), "passing").await;
        let _deleted = client.delete(passing).await;
    }
}

/// Scans in small pages, and checks what must be there.
async fn scan_all(client: &Client, when: &str) {
    let mut stream = client.scan().page_rows(100).stream().unwrap();
    let (mut last, mut found) = (String::new(), BTreeSet::new());
    while let Some(row) = stream.next().await {
        let row = row.unwrap_or_else(|error| panic!("{when}: {error}"));
        let name = text(row.key());
        assert!(name > last, "{when}: {name} behind {last}");
        if !name.ends_with('x') {
            let number: usize = name[1..].parse().unwrap();
            assert_eq!(text(row.value().unwrap()), format!("v{number}"), "{when}");
            found.insert(number);
        }
        last = name;
    }
    assert!(found.into_iter().eq(0..KEYS), "{when}: some are missing");
}

#[tokio::test]
async fn every_key_comes_once_in_order_while_a_node_is_killed_and_others_write() {
    let mut options = settings(5);
    options.local.durability = Durability::Buffered;
    let mut cluster = Cluster::start(program(node_binary!()), &options)
        .await
        .unwrap();
    let client = cluster.client().await.unwrap();
    put_all(&client, 0..KEYS).await;
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..2)
        .map(|_| tokio::spawn(disturb(client.clone(), Arc::clone(&stop))))
        .collect();

    scan_all(&client, "with all nodes").await;
    let scanning = {
        let client = client.clone();
        tokio::spawn(async move { scan_all(&client, "as a node dies").await })
    };
    sleep(Duration::from_millis(60)).await;
    cluster.kill(2).unwrap();
    scanning.await.unwrap();
    scan_all(&client, "with one node away").await;
    cluster.start_node(2).unwrap();
    cluster.wait_until_ready().await.unwrap();
    scan_all(&client, "with the node back").await;

    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
    client.close().await;
    cluster.shut_down().await.unwrap();
}
