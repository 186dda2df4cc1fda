//! A put whose caller goes away does not come back over what the same client writes to that key afterwards.
//!
//! ```text
//!   put 1 MiB   polled once, dropped     a stream of its own, many packets
//!   delete      awaited                  one packet: it arrives first, and supersedes the put
//!   get         absent, for good
//! ```

use core::future::{IntoFuture as _, poll_fn};
use core::task::Poll;

use bytes::Bytes;
use quoit_client::{Client, Entry, Put};
use tokio::time::{Duration, Instant, sleep};

use crate::real::{SOON, client, cluster, end, nothing_is_left, owners};

const ROUNDS: usize = 20;

/// Begins a put and drops it, as a `timeout` or an aborted request does. False if it had ended by then, since this thread
/// stood still meanwhile.
async fn abandon(put: Put) -> bool {
    let mut put = put.into_future();
    let polled = poll_fn(|cx| Poll::Ready(put.as_mut().poll(cx))).await;
    polled.is_pending()
}

/// Waits until this client has nothing more under way.
async fn settled(client: &Client) {
    let begin = Instant::now();
    loop {
        let report = client.health().await.unwrap();
        if report.nodes.iter().all(|node| node.in_flight == 0) {
            return;
        }
        assert!(begin.elapsed() < SOON, "still under way: {report:?}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// What each owner holds of a key by itself, values only.
async fn held(client: &Client, key: &str) -> Vec<Option<Bytes>> {
    let held = owners(client, key).await;
    held.into_iter().map(Entry::into_value).collect()
}

#[tokio::test]
async fn an_abandoned_put_does_not_come_back_over_the_delete_that_overtook_it() {
    let cluster = cluster().await;
    let client = client(&cluster).await;
    let (mut back, mut abandoned) = (Vec::new(), 0);
    for round in 0..ROUNDS {
        let key = format!("deleted-{round}");
        abandoned += usize::from(abandon(client.put(key.clone(), vec![b'v'; 1 << 20])).await);
        client.delete(key.clone()).await.unwrap();
        settled(&client).await;
        if held(&client, &key).await.iter().any(Option::is_some) {
            back.push(round);
        }
    }
    assert!(abandoned > 0, "none was under way when it was dropped");
    assert!(back.is_empty(), "deletes undone in rounds {back:?}");
    nothing_is_left(&client).await;
    client.close().await;
    end(cluster).await;
}

#[tokio::test]
async fn an_abandoned_put_does_not_come_back_over_the_put_that_overtook_it() {
    let cluster = cluster().await;
    let client = client(&cluster).await;
    let (mut back, mut abandoned) = (Vec::new(), 0);
    for round in 0..ROUNDS {
        let key = format!("replaced-{round}");
        abandoned += usize::from(abandon(client.put(key.clone(), vec![b'v'; 200 << 10])).await);
        client.put(key.clone(), "small").await.unwrap();
        settled(&client).await;
        if client.get(key).await.unwrap().value().unwrap() != "small" {
            back.push(round);
        }
    }
    assert!(abandoned > 0, "none was under way when it was dropped");
    assert!(back.is_empty(), "puts undone in rounds {back:?}");
    client.close().await;
    end(cluster).await;
}

#[tokio::test]
async fn two_puts_of_one_client_at_once_both_succeed_and_the_later_one_stands() {
    let cluster = cluster().await;
    let client = client(&cluster).await;
    for round in 0..ROUNDS {
        let key = format!("both-{round}");
        let large = client.put(key.clone(), vec![b'v'; 1 << 20]);
        let small = client.put(key.clone(), "small");
        let (large, small) = tokio::join!(large.into_future(), small.into_future());
        assert!(large.is_ok() && small.is_ok(), "{large:?} {small:?}");
        assert_eq!(client.get(key).await.unwrap().value().unwrap(), "small");
    }
    client.close().await;
    end(cluster).await;
}
