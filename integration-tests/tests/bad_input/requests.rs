//! Keys and values beyond their limits: the client's, then the node's behind it.

use quoit_client::{Context, InvalidRequest, Outcome, ReadError, Stored, WriteError};
use quoit_integration_tests::cluster::Clients as _;
use quoit_ring::wire::{MAX_KEY, Refusal};

use crate::support::{assert_unharmed, cluster_of};

const MIB: usize = 1 << 20;

#[tokio::test]
async fn keys_beyond_their_limits_are_refused_before_anything_is_sent() {
    let (cluster, client) = cluster_of(3, "").await;
    for (key, expected) in [
        (Vec::new(), InvalidRequest::EmptyKey),
        (
            vec![b'k'; MAX_KEY + 1],
            InvalidRequest::LongKey { bytes: MAX_KEY + 1 },
        ),
        (
            vec![b'k'; 70_000],
            InvalidRequest::LongKey { bytes: 70_000 },
        ),
    ] {
        let text = expected.to_string();
        assert!(text.contains("a key has 1 to 32,768 bytes"), "{text}");
        let read = client.get(key.clone()).await.unwrap_err();
        assert_eq!(read, ReadError::Invalid(expected.clone()));
        for write in [
            client.put(key.clone(), "v").await,
            client.delete(key.clone()).await,
        ] {
            let write = write.unwrap_err();
            assert_eq!(write, WriteError::Invalid(expected.clone()));
            assert_eq!(write.stored(), Stored::No);
        }
        assert_eq!(client.inspect(key).await.unwrap_err(), expected);
    }
    assert_unharmed(cluster).await;
}

#[tokio::test]
async fn a_value_over_the_clients_limit_is_not_sent_and_over_the_nodes_it_is_refused() {
    let (cluster, client) = cluster_of(3, "").await;
    let (bytes, max) = (MIB + 1, MIB);
    client.put("k", vec![1; max]).await.unwrap();
    let error = client.put("k", vec![2; bytes]).await.unwrap_err();
    assert_eq!(
        error,
        WriteError::Invalid(InvalidRequest::LargeValue { bytes, max })
    );
    assert!(
        error.to_string().contains("raise `max_value_bytes`"),
        "{error}"
    );

    let bold = cluster
        .client_builder()
        .max_value_bytes(16 * MIB)
        .connect()
        .await
        .unwrap();
    for bytes in [MIB + 1, 2 * MIB, 16 * MIB] {
        let error = bold.put("k", vec![2; bytes]).await.unwrap_err();
        let WriteError::NotStored { attempts, .. } = &error else {
            panic!("{bytes}: {error:?}");
        };
        // A frame longer than any record may become is passed over unread: then all that is known is its length.
        let expected = |outcome: &Outcome| match outcome {
            Outcome::Refused(Refusal::ValueTooLarge {
                bytes: found,
                max: allowed,
            }) => [*found, *allowed] == [bytes, max].map(|n| u64::try_from(n).unwrap()),
            Outcome::Refused(Refusal::RecordTooLarge { bytes: found, .. }) => {
                bytes == 16 * MIB && *found > u64::try_from(bytes).unwrap()
            }
            _ => false,
        };
        assert!(
            attempts.iter().all(|attempt| expected(&attempt.outcome)),
            "{attempts:?}"
        );
        assert_eq!(error.stored(), Stored::No);
        assert!(error.to_string().contains("the node allows"), "{error}");
    }
    let entry = bold.get("k").r(3).await.unwrap();
    assert!(
        entry.value().unwrap() == &vec![1; max],
        "what was there stays"
    );
    assert_unharmed(cluster).await;
}

#[tokio::test]
async fn the_largest_values_and_siblings_of_them_come_back_whole() {
    const LARGEST: &str = "max_value_bytes = \"16MiB\"\nwrite_queue = { bytes = \"128MiB\" }";
    let (cluster, _client) = cluster_of(3, LARGEST).await;
    let client = cluster
        .client_builder()
        .max_value_bytes(16 * MIB)
        .connect()
        .await
        .unwrap();
    let values = [1_u8, 2, 3].map(|byte| vec![byte; 16 * MIB]);
    client.put("k", values[0].clone()).w(3).await.unwrap();
    assert!(client.get("k").r(3).await.unwrap().value().unwrap() == &values[0]);

    let nothing = Context::default();
    for value in &values {
        client
            .put("siblings", value.clone())
            .context(&nothing)
            .await
            .unwrap();
    }
    let entry = client.get("siblings").r(3).await.unwrap();
    let mut found: Vec<_> = entry
        .siblings()
        .iter()
        .map(|value| value.bytes.to_vec())
        .collect();
    found.sort();
    assert!(found == values, "{} siblings", found.len());
    client
        .put("siblings", "settled")
        .context(entry.context())
        .await
        .unwrap();
    assert_eq!(
        client.get("siblings").await.unwrap().value().unwrap(),
        "settled"
    );

    let error = client.put("k", vec![1; 16 * MIB + 1]).await.unwrap_err();
    assert!(matches!(error, WriteError::Invalid(_)), "{error:?}");
    assert_unharmed(cluster).await;
}

#[tokio::test]
async fn values_around_the_size_at_which_they_leave_the_shared_stream_come_back_whole() {
    let (cluster, client) = cluster_of(3, "").await;
    for key in ["k".to_owned(), "k".repeat(300)] {
        for size in (65_000..=66_000).step_by(13).chain([MIB - 1, MIB]) {
            let value: Vec<u8> = (0..size)
                .map(|i| i.to_le_bytes()[usize::from(i % 5 == 0)])
                .collect();
            client.put(key.clone(), value.clone()).await.unwrap();
            let found = client.get(key.clone()).await.unwrap();
            assert!(found.value().unwrap() == &value, "{size} bytes");
        }
    }
    assert_unharmed(cluster).await;
}
