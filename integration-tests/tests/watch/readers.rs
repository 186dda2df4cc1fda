//! Readers that do not read: nodes keep no more than they may, and what comes in the end is the present state.

use std::time::Duration;

use quoit_client::{Client, Lag};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::support::{Seen, cluster_of, is, next, until};

/// More than a node remembers of one subscription.
const KEYS: usize = 3_000;

async fn put_all(client: &Client, value: &'static str) {
    let mut puts = JoinSet::new();
    for number in 0..KEYS {
        let client = client.clone();
        puts.spawn(async move { client.put(format!("p{number:05}"), value).await });
        if puts.len() >= 64 {
            puts.join_next().await.unwrap().unwrap().unwrap();
        }
    }
    while let Some(put) = puts.join_next().await {
        put.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_reader_that_does_not_read_learns_that_it_lagged_and_gets_the_last_of_all() {
    let (cluster, client) = cluster_of(3).await;
    client.put("p", "first").await.unwrap();
    let mut watch = client.watch_prefix("p").stream().unwrap();
    assert_eq!(until(&mut watch, &Seen::Current).await, [is("p", "first")]);

    for value in ["one", "two"] {
        put_all(&client, value).await;
    }
    client.delete("p").await.unwrap();
    // What it got before the nodes gave up may come first.
    let (mut missing, mut lags) = (KEYS + 1, Vec::new());
    while missing > 0 {
        match next(&mut watch).await {
            Seen::Is(_, value) if value == "two" => missing -= 1,
            Seen::Gone(key) if key == "p" => missing -= 1,
            Seen::Lagged(lag) => lags.push(lag),
            Seen::Is(..) | Seen::Current => {}
            other => panic!("{other:?}"),
        }
    }
    let is_expected = |lag: &Lag| matches!(lag, Lag::TooMany | Lag::NotPolled);
    assert!(!lags.is_empty() && lags.iter().all(is_expected), "{lags:?}");
    client.close().await;
    cluster.shut_down().await.unwrap();
}

#[tokio::test]
async fn nodes_forget_who_does_not_poll_and_the_reader_learns_so() {
    let (cluster, client) = cluster_of(3).await;
    client.put("k", "first").await.unwrap();
    let mut watch = client.watch("k").stream().unwrap();
    until(&mut watch, &Seen::Current).await;
    // Somebody else reads on, so the nodes have something to do.
    for _ in 0..14 {
        sleep(Duration::from_secs(1)).await;
        client.put("another", "value").await.unwrap();
    }
    client.put("k", "second").await.unwrap();
    let seen = until(&mut watch, &is("k", "second")).await;
    let rest = [Seen::Lagged(Lag::NotPolled)];
    assert!(seen == rest || seen.is_empty(), "{seen:?}");
    if seen.is_empty() {
        assert_eq!(next(&mut watch).await, rest[0]);
    }
    assert_eq!(next(&mut watch).await, Seen::Current);
    client.close().await;
    cluster.shut_down().await.unwrap();
}
