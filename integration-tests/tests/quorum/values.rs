//! One value at a time: put, get, delete, time to live, and what is refused before anything is sent.

use std::time::Duration;

use quoit_client::{Consistency, InvalidRequest, ReadError, Stored, WriteError};
use quoit_integration_tests::cluster::Clients as _;
use tokio::time::{Instant, sleep};

use crate::support::cluster_of;

#[tokio::test]
async fn a_value_is_read_by_everyone_until_it_is_replaced_or_deleted() {
    let (cluster, client) = cluster_of(3).await;
    let other = cluster.client().await.unwrap();
    assert!(client.get("greeting").await.unwrap().is_absent());
    for text in ["hello", "hello again", ""] {
        let written = client.put("greeting", text).await.unwrap();
        assert!(written.acked >= 2, "{written:?}");
        for reader in [&client, &other] {
            assert_eq!(reader.get("greeting").await.unwrap().value().unwrap(), text);
        }
    }
    other.delete("greeting").await.unwrap();
    for reader in [&client, &other] {
        assert!(reader.get("greeting").await.unwrap().is_absent());
    }
    client.delete("greeting").await.unwrap();
    client.put("greeting", "back").await.unwrap();
    assert_eq!(
        other.get("greeting").await.unwrap().value().unwrap(),
        "back"
    );
    cluster.shut_down().await.unwrap();
}

#[tokio::test]
async fn keys_may_be_any_bytes_up_to_their_limit() {
    let (cluster, client) = cluster_of(3).await;
    let keys: [&[u8]; 6] = [
        &[0],
        &[0, 0],
        &[255; 40],
        b"{tag}a",
        b"{}",
        &[b'k'; 32 << 10],
    ];
    for (number, key) in keys.iter().enumerate() {
        client.put(key.to_vec(), number.to_string()).await.unwrap();
    }
    for (number, key) in keys.iter().enumerate() {
        let entry = client.get(key.to_vec()).await.unwrap();
        assert_eq!(entry.value().unwrap(), &number.to_string());
    }
    cluster.shut_down().await.unwrap();
}

#[tokio::test]
async fn a_value_is_gone_once_its_time_is_over_and_stays_gone() {
    const LIFE: Duration = Duration::from_millis(1500);
    let (cluster, client) = cluster_of(3).await;
    let begin = Instant::now();
    client.put("brief", "here").ttl(LIFE).await.unwrap();
    let entry = client.get("brief").await.unwrap();
    assert!(begin.elapsed() >= LIFE || entry.value().is_some_and(|value| value == "here"));
    sleep(LIFE + Duration::from_millis(50)).await;
    for consistency in [Consistency::Quorum, Consistency::One] {
        for _ in 0..20 {
            let entry = client.get("brief").consistency(consistency).await.unwrap();
            assert!(entry.is_absent(), "{entry:?}");
        }
    }
    client.put("brief", "again").await.unwrap();
    assert_eq!(client.get("brief").await.unwrap().value().unwrap(), "again");
    cluster.shut_down().await.unwrap();
}

#[tokio::test]
async fn the_end_of_a_value_is_like_its_delete_and_spares_what_was_written_beside_it() {
    const LIFE: Duration = Duration::from_millis(700);
    let (cluster, client) = cluster_of(3).await;
    let other = cluster.client().await.unwrap();
    let context = client.put("pair", "first").await.unwrap().context;
    client
        .put("pair", "brief")
        .context(&context)
        .ttl(LIFE)
        .await
        .unwrap();
    other
        .put("pair", "lasting")
        .context(&context)
        .await
        .unwrap();
    sleep(LIFE + Duration::from_millis(50)).await;
    let entry = client.get("pair").await.unwrap();
    assert_eq!(entry.value().unwrap(), "lasting", "{entry:?}");
    cluster.shut_down().await.unwrap();
}

#[tokio::test]
async fn every_request_may_choose_its_replicas_and_its_promise() {
    let (cluster, client) = cluster_of(5).await;
    for w in 1..=3 {
        let key = format!("w{w}");
        let written = client
            .put(key.clone(), "x")
            .consistency(Consistency::One)
            .w(w)
            .await
            .unwrap();
        assert!(written.acked >= usize::from(w), "{written:?}");
        let entry = client.get(key.clone()).r(3).await.unwrap();
        assert_eq!(entry.value().unwrap(), "x");
        let entry = client
            .get(key)
            .consistency(Consistency::One)
            .r(w)
            .await
            .unwrap();
        assert_eq!(
            entry.value().unwrap(),
            "x",
            "three replicas held it and were read"
        );
    }
    assert_eq!(client.put("all", "x").w(3).await.unwrap().acked, 3);
    assert_eq!(client.delete("all").w(3).await.unwrap().acked, 3);
    cluster.shut_down().await.unwrap();
}

#[tokio::test]
async fn settings_out_of_range_are_refused_before_anything_is_sent() {
    let (cluster, client) = cluster_of(5).await;
    for asked in [0, 4, 255] {
        let read = client.get("k").r(asked).await.unwrap_err();
        let expected = InvalidRequest::OutOfRange {
            what: "r",
            asked,
            n: 3,
        };
        assert_eq!(read, ReadError::Invalid(expected));
        let write = client
            .put("k", "v")
            .w(asked)
            .consistency(Consistency::One)
            .await
            .unwrap_err();
        let expected = InvalidRequest::OutOfRange {
            what: "w",
            asked,
            n: 3,
        };
        assert_eq!(write, WriteError::Invalid(expected));
        assert_eq!(write.stored(), Stored::No);
    }
    let refused = client.delete("k").w(1).await.unwrap_err();
    assert!(
        refused.to_string().contains("quorum mode needs 2"),
        "{refused}"
    );
    let never = client.get("k").deadline(Duration::ZERO).await.unwrap_err();
    assert_eq!(
        never,
        ReadError::Invalid(InvalidRequest::Deadline(Duration::ZERO))
    );
    let long = client
        .put("k", "v")
        .deadline(Duration::from_secs(31))
        .await
        .unwrap_err();
    assert!(long.to_string().contains("1 ms to 30 s"), "{long}");
    for ttl in [Duration::ZERO, Duration::from_micros(999), Duration::MAX] {
        let error = client.put("k", "v").ttl(ttl).await.unwrap_err();
        assert_eq!(error, WriteError::Invalid(InvalidRequest::TimeToLive(ttl)));
    }
    assert!(client.get("k").r(3).await.unwrap().is_absent());
    cluster.shut_down().await.unwrap();
}

#[tokio::test]
async fn values_of_every_size_come_back_whole() {
    let (cluster, client) = cluster_of(3).await;
    let sizes = [
        1,
        1_000,
        1_024,
        1_025,
        60_000,
        64 << 10,
        100_000,
        300_000,
        1 << 20,
    ];
    for size in sizes.into_iter().chain((65_000..=66_000).step_by(97)) {
        let value = bytes_of(size);
        client.put("k", value.clone()).await.unwrap();
        assert!(
            client.get("k").await.unwrap().value().unwrap() == &value,
            "{size} bytes"
        );
    }
    cluster.shut_down().await.unwrap();
}

#[tokio::test]
async fn a_large_value_may_be_the_first_frame_in_either_direction() {
    let (cluster, _client) = cluster_of(3).await;
    for size in [100_000, 1 << 20] {
        let writer = cluster.client().await.unwrap();
        writer.put("k", bytes_of(size)).w(3).await.unwrap();
        let reader = cluster.client().await.unwrap();
        let entry = reader.get("k").r(3).await.unwrap();
        assert!(entry.value().unwrap() == &bytes_of(size), "{size} bytes");
    }
    cluster.shut_down().await.unwrap();
}

/// A value of this size, all of it different from what a shift of it would be.
fn bytes_of(size: u32) -> Vec<u8> {
    (0..size)
        .map(|i| i.to_le_bytes()[usize::from(i % 7 == 0)])
        .collect()
}
