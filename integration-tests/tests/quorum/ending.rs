//! Dropped operations, closed clients, restarted clusters.

use core::future::{IntoFuture, poll_fn};
use core::pin::pin;
use core::task::Poll;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use quoit_client::{Client, ReadError, Stored, WriteError};
use quoit_integration_tests::cluster::{Clients as _, Cluster};
use tokio::time::{sleep, timeout};

use crate::support::{SOON, cluster_of};

/// Polls a future this many times, lets others run after each, and drops it.
async fn poll_and_drop(operation: impl IntoFuture, polls: usize, pause: Duration) {
    let mut operation = pin!(operation.into_future());
    for _ in 0..polls {
        let ready = poll_fn(|cx| Poll::Ready(operation.as_mut().poll(cx).is_ready())).await;
        if ready {
            return;
        }
        sleep(pause).await;
    }
}

/// Permits of the client, and the bytes of a value that takes all of them.
const PERMITS: usize = 8;
const ALL_PERMITS: usize = (PERMITS - 1) * (16 << 10);

#[tokio::test]
async fn an_operation_dropped_after_any_number_of_polls_leaves_nothing_behind() {
    let (cluster, _client) = cluster_of(3).await;
    let client = cluster
        .client_builder()
        .max_in_flight(PERMITS)
        .connect()
        .await
        .unwrap();
    for polls in 0..=10 {
        for pause in [Duration::ZERO, Duration::from_micros(300)] {
            for number in 0..2 * PERMITS {
                let key = format!("{polls}-{}-{number}", pause.as_micros());
                poll_and_drop(client.put(key.clone(), "v"), polls, pause).await;
                poll_and_drop(client.get(key.clone()), polls, pause).await;
                poll_and_drop(client.delete(format!("{key}-d")), polls, pause).await;
            }
        }
        // It needs all permits, so every other operation must have returned its own.
        let whole = client.put("whole", vec![7; ALL_PERMITS]);
        timeout(SOON, whole)
            .await
            .expect("a permit was lost")
            .unwrap();
    }
    for number in 0..2 * PERMITS {
        let untouched = client.get(format!("0-0-{number}")).await.unwrap();
        assert!(
            untouched.is_absent(),
            "nothing is sent before the first poll"
        );
        let sent = client.get(format!("3-0-{number}")).await.unwrap();
        assert_eq!(
            sent.value().unwrap(),
            "v",
            "what was sent is carried out, dropped or not"
        );
    }
    timeout(SOON, client.close())
        .await
        .expect("a closed client waits for nothing that was dropped");
    cluster.shut_down().await.unwrap();
}

#[tokio::test]
async fn operations_that_wait_for_a_permit_can_be_dropped_too() {
    let (cluster, _client) = cluster_of(3).await;
    let client = cluster
        .client_builder()
        .max_in_flight(1)
        .connect()
        .await
        .unwrap();
    for round in 0..50 {
        let puts: Vec<_> = (0..20)
            .map(|number| {
                let client = client.clone();
                tokio::spawn(async move { client.put(format!("{number}"), "v").await })
            })
            .collect();
        tokio::task::yield_now().await;
        for (number, put) in puts.into_iter().enumerate() {
            if (number + round) % 3 > 0 {
                put.abort();
            } else {
                put.await.unwrap().unwrap();
            }
        }
    }
    timeout(SOON, client.put("last", "v"))
        .await
        .expect("a permit was lost")
        .unwrap();
    timeout(SOON, client.close())
        .await
        .expect("closing waits for ever");
    cluster.shut_down().await.unwrap();
}

/// Writes one key after the other until the client is closed: which ones are acknowledged.
async fn write_until_closed(
    client: Client,
    writer: usize,
    closing: Arc<AtomicBool>,
) -> Vec<String> {
    let mut acked = Vec::new();
    for number in 0.. {
        let key = format!("{writer}-{number}");
        match client.put(key.clone(), "v").await {
            Ok(_) => acked.push(key),
            Err(error) => {
                assert!(closing.load(Ordering::Relaxed), "{error}");
                assert!(
                    matches!(error, WriteError::Closed | WriteError::Abandoned),
                    "{error:?}"
                );
                break;
            }
        }
    }
    acked
}

#[tokio::test]
async fn closing_a_client_under_load_answers_everyone_and_loses_nothing_acknowledged() {
    let (cluster, reader) = cluster_of(3).await;
    let client = cluster.client().await.unwrap();
    let closing = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..128)
        .map(|writer| {
            tokio::spawn(write_until_closed(
                client.clone(),
                writer,
                Arc::clone(&closing),
            ))
        })
        .collect();
    sleep(Duration::from_millis(500)).await;
    closing.store(true, Ordering::Relaxed);
    timeout(SOON, client.close())
        .await
        .expect("closing takes longer than any deadline");
    let mut acked = Vec::new();
    for writer in writers {
        acked.extend(
            timeout(SOON, writer)
                .await
                .expect("a writer was never answered")
                .unwrap(),
        );
    }
    let error = client.put("late", "v").await.unwrap_err();
    assert_eq!((&error, error.stored()), (&WriteError::Closed, Stored::No));
    assert_eq!(client.get("late").await.unwrap_err(), ReadError::Closed);
    client.close().await;
    assert!(
        acked.len() > 500,
        "only {} writes before the close",
        acked.len()
    );
    assert_all_there(&reader, &acked).await;
    cluster.shut_down().await.unwrap();
}

async fn assert_all_there(client: &Client, keys: &[String]) {
    for keys in keys.chunks(64) {
        let reads: Vec<_> = keys
            .iter()
            .map(|key| {
                let (client, key) = (client.clone(), key.clone());
                tokio::spawn(async move { client.get(key).await })
            })
            .collect();
        for (read, key) in reads.into_iter().zip(keys) {
            let entry = read.await.unwrap().unwrap();
            assert!(
                entry.value().is_some_and(|value| value == "v"),
                "{key}: {entry:?}"
            );
        }
    }
}

async fn restart(cluster: &mut Cluster, in_order: bool) {
    for node in 0..cluster.size() {
        if in_order {
            cluster.stop(node).await.unwrap();
        } else {
            cluster.kill(node).unwrap();
        }
    }
    cluster.start_all().await.unwrap();
}

#[tokio::test]
async fn a_cluster_keeps_everything_when_all_of_it_is_restarted() {
    let (mut cluster, client) = cluster_of(3).await;
    let keys: Vec<String> = (0..2_000).map(|number| format!("key-{number}")).collect();
    for key in &keys {
        client.put(key.clone(), "v").await.unwrap();
    }
    client.put("gone", "v").await.unwrap();
    client.delete("gone").await.unwrap();
    for in_order in [true, false] {
        restart(&mut cluster, in_order).await;
        let client = cluster.client().await.unwrap();
        assert_all_there(&client, &keys).await;
        assert!(client.get("gone").await.unwrap().is_absent());
        client.close().await;
    }
    // A client that was there before finds its way back by itself.
    crate::support::until("the old client is back", async || {
        client.put("key-0", "v").w(3).await.is_ok()
    })
    .await;
    assert_all_there(&client, &keys).await;
    cluster.shut_down().await.unwrap();
}
