//! What changes a key is yielded, once, and soon.

use std::time::Duration;

use quoit_client::{BadWatchToken, InvalidRequest, WatchError, WatchToken};
use tokio::time::Instant;

use crate::support::{Seen, cluster_of, gone, is, next, until};

#[tokio::test]
async fn a_watch_of_a_key_yields_what_it_holds_and_then_each_last_change() {
    let (cluster, client) = cluster_of(3).await;
    let mut watch = client.watch("k").stream().unwrap();
    assert_eq!(next(&mut watch).await, gone("k"));
    assert_eq!(next(&mut watch).await, Seen::Current);

    for value in ["one", "two"] {
        client.put("k", value).await.unwrap();
        client.put("another", value).await.unwrap();
        assert_eq!(next(&mut watch).await, is("k", value));
    }
    client.delete("k").await.unwrap();
    assert_eq!(next(&mut watch).await, gone("k"));

    let swapped = client.compare_and_set("k").if_absent().set("three");
    assert!(swapped.await.is_ok());
    assert_eq!(next(&mut watch).await, is("k", "three"));

    let begun = Instant::now();
    client
        .put("k", "brief")
        .ttl(Duration::from_millis(1_500))
        .await
        .unwrap();
    assert_eq!(next(&mut watch).await, is("k", "brief"));
    assert_eq!(next(&mut watch).await, gone("k"));
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(1_400), "{took:?}");
    assert!(took < Duration::from_secs(10), "{took:?}");
    client.close().await;
    let ended = watch.next().await;
    assert_eq!(ended, Some(Err(WatchError::Closed)));
    assert_eq!(watch.next().await, None);
    cluster.shut_down().await.unwrap();
}

#[tokio::test]
async fn a_watch_of_a_prefix_yields_what_is_there_and_then_what_changes() {
    let (cluster, client) = cluster_of(5).await;
    for key in ["a1", "a2", "a3", "b1"] {
        client.put(key, "old").await.unwrap();
    }
    client.delete("a3").await.unwrap();
    let mut watch = client.watch_prefix("a").stream().unwrap();
    let first = until(&mut watch, &Seen::Current).await;
    assert_eq!(first, [is("a1", "old"), is("a2", "old")]);

    client.put("b1", "new").await.unwrap();
    client.put("a9", "new").await.unwrap();
    assert_eq!(next(&mut watch).await, is("a9", "new"));
    client.delete("a1").await.unwrap();
    assert_eq!(next(&mut watch).await, gone("a1"));
    let put = client.put("a2", "brief").ttl(Duration::from_secs(1));
    put.await.unwrap();
    assert_eq!(next(&mut watch).await, is("a2", "brief"));
    assert_eq!(next(&mut watch).await, gone("a2"));

    // Some of many versions in quick succession may be left out, and the last one not.
    for number in 0..50 {
        client.put("a9", number.to_string()).await.unwrap();
    }
    let seen = until(&mut watch, &is("a9", "49")).await;
    let mut last = -1;
    for event in seen {
        let Seen::Is(_, value) = event else {
            panic!("{event:?}");
        };
        let number: i32 = value.parse().unwrap();
        assert!(number > last, "{number} behind {last}");
        last = number;
    }
    client.close().await;
    cluster.shut_down().await.unwrap();
}

#[tokio::test]
async fn a_token_goes_on_behind_the_version_that_was_yielded() {
    let (cluster, client) = cluster_of(3).await;
    client.put("k", "one").await.unwrap();
    let mut watch = client.watch("k").stream().unwrap();
    until(&mut watch, &Seen::Current).await;
    let token = WatchToken::from_bytes(&watch.token().to_bytes()).unwrap();
    drop(watch);

    let mut again = client.watch("k").resume(token.clone()).stream().unwrap();
    assert_eq!(next(&mut again).await, Seen::Current);
    client.put("k", "two").await.unwrap();
    assert_eq!(next(&mut again).await, is("k", "two"));
    let mut later = client.watch("k").resume(token.clone()).stream().unwrap();
    assert_eq!(next(&mut later).await, is("k", "two"));

    let prefix = client.watch_prefix("k").stream().unwrap().token();
    let mut of_prefix = client.watch_prefix("k").resume(prefix).stream().unwrap();
    let first = until(&mut of_prefix, &Seen::Current).await;
    assert_eq!(first, [Seen::Reset, is("k", "two")]);

    let other = client.watch_prefix("k").resume(token).stream().err();
    assert_eq!(other, Some(BadWatchToken::OtherWatch.into()));
    let empty = client.watch("").stream().err();
    assert_eq!(empty, Some(InvalidRequest::EmptyKey.into()));
    let bytes = (32 << 10) + 1;
    let long = client.watch_prefix(vec![b'k'; bytes]).stream().err();
    assert_eq!(long, Some(InvalidRequest::LongKey { bytes }.into()));
    client.close().await;
    cluster.shut_down().await.unwrap();
}
