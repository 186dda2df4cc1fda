//! Scans while the ring changes: what was there throughout comes once, in order, and no scan notices.

use quoit_client::Client;
use quoit_integration_tests::cluster::Clients as _;
use quoit_ring::placement::join;
use tokio::task::JoinSet;

use crate::TURNS;
use crate::support::Scene;

const KEYS: usize = 1_500;

fn key(number: usize) -> String {
    format!("scan-{number:05}")
}

async fn put_all(client: &Client) {
    let mut puts = JoinSet::new();
    for number in 0..KEYS {
        let client = client.clone();
        puts.spawn(async move { client.put(key(number), vec![b'v'; 100]).await });
        if puts.len() >= 64 {
            puts.join_next().await.unwrap().unwrap().unwrap();
        }
    }
    while let Some(put) = puts.join_next().await {
        put.unwrap().unwrap();
    }
}

/// Scans in small pages.
async fn scan(client: &Client) {
    let mut stream = client
        .scan()
        .prefix("scan-")
        .page_rows(50)
        .stream()
        .unwrap();
    let mut found = 0;
    while let Some(row) = stream.next().await {
        assert_eq!(row.unwrap().key(), key(found).as_bytes());
        found += 1;
    }
    assert_eq!(found, KEYS);
}

#[tokio::test]
async fn a_scan_goes_on_through_every_epoch_of_a_change() {
    let _turn = TURNS.acquire().await.unwrap();
    let mut scene = Scene::start_slow(4).await;
    let client = scene.cluster.client().await.unwrap();
    put_all(&client).await;
    let newcomer = scene.slow_newcomer().await;
    let begun = scene
        .begin(|map| join(map, newcomer.clone(), 1).unwrap())
        .await;

    let (mut scans, mut epoch) = (0, begun.epoch);
    while scene.now().await.change.is_some() {
        scan(&client).await;
        scans += 1;
        epoch = scene.now().await.epoch;
    }
    scan(&client).await;
    assert!(epoch > begun.epoch && scans > 0, "{scans} scans");
    println!("{scans} scans from epoch {} to {}", begun.epoch.0, epoch.0);
    client.close().await;
    scene.cluster.shut_down().await.unwrap();
}
