//! Nodes that are killed and come back, while a key and a prefix are watched.

use std::time::Duration;

use quoit_client::{Client, WatchStream};

use crate::support::{Seen, cluster_of, gone, is, next, until};

/// Puts a key until it is acknowledged: as a node dies the first attempt may fail, and without a connection each fails at once.
async fn put(client: &Client, key: &str, value: &str) {
    for _ in 0..300 {
        if client.put(key.to_owned(), value.to_owned()).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{key} cannot be put");
}

/// Waits for a value; whatever else comes is a remark, or an earlier value.
async fn until_is(watch: &mut WatchStream, key: &str, value: &str) {
    let seen = until(watch, &is(key, value)).await;
    assert!(!seen.contains(&gone(key)), "{seen:?}");
}

#[tokio::test]
async fn changes_come_while_a_node_is_away_and_after_it_is_back() {
    let (mut cluster, client) = cluster_of(3).await;
    put(&client, "k", "0").await;
    let mut key = client.watch("k").stream().unwrap();
    let mut prefix = client.watch_prefix("").stream().unwrap();
    for watch in [&mut key, &mut prefix] {
        assert_eq!(until(watch, &Seen::Current).await, [is("k", "0")]);
    }
    for node in 0..3 {
        cluster.crash(node).await;
        let away = format!("{node} away");
        put(&client, "k", &away).await;
        put(&client, &format!("new{node}"), &away).await;
        until_is(&mut key, "k", &away).await;
        let mut missing = vec![is("k", &away), is(&format!("new{node}"), &away)];
        while !missing.is_empty() {
            let event = next(&mut prefix).await;
            missing.retain(|it| *it != event);
        }

        cluster.start_node(node).await.unwrap();
        let back = format!("{node} back");
        put(&client, "k", &back).await;
        for watch in [&mut key, &mut prefix] {
            until_is(watch, "k", &back).await;
        }
    }
    client.close().await;
    cluster.shut_down().await.unwrap();
}

#[tokio::test]
async fn with_too_few_nodes_a_watch_says_that_it_lags_and_goes_on_when_they_are_back() {
    let (mut cluster, client) = cluster_of(3).await;
    put(&client, "k", "before").await;
    let mut watch = client.watch("k").stream().unwrap();
    until(&mut watch, &Seen::Current).await;
    for node in [0, 1] {
        cluster.crash(node).await;
    }
    let lagged = next(&mut watch).await;
    assert!(matches!(lagged, Seen::Lagged(_)), "{lagged:?}");
    for node in [0, 1] {
        cluster.start_node(node).await.unwrap();
    }
    put(&client, "k", "after").await;
    // It is read from time to time until then, so the value may come before the word that nothing is missing.
    let seen = until(&mut watch, &Seen::Current).await;
    if !seen.contains(&is("k", "after")) {
        until_is(&mut watch, "k", "after").await;
    }
    client.close().await;
    cluster.shut_down().await.unwrap();
}
