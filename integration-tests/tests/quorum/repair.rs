//! Reads repair stale replicas.

use std::time::Duration;

use quoit_client::{Client, Consistency};
use quoit_integration_tests::cluster::Cluster;
use quoit_ring::NodeId;

use crate::support::{cluster_without_hints, keys_of, owners_agree, until};

/// The node that is away during all writes.
const AWAY: usize = 3;

/// A cluster in which one node, back again, has missed the fate of each of these keys: replaced, deleted,
/// with siblings, new.
async fn with_missed_writes() -> (Cluster, Client, Vec<String>) {
    let (mut cluster, client) = cluster_without_hints(5).await;
    let keys = keys_of(&cluster, &client, AWAY, 80);
    for key in &keys[..60] {
        client.put(key.clone(), "old").w(3).await.unwrap();
    }
    cluster.kill(AWAY).unwrap();
    for (number, key) in keys.iter().enumerate() {
        match number / 20 {
            0 => drop(client.put(key.clone(), "new").await.unwrap()),
            1 => drop(client.delete(key.clone()).await.unwrap()),
            2 => {
                let seen = client.get(key.clone()).await.unwrap();
                for value in ["a", "b"] {
                    client
                        .put(key.clone(), value)
                        .context(seen.context())
                        .await
                        .unwrap();
                }
            }
            _ => drop(client.put(key.clone(), "first").await.unwrap()),
        }
    }
    cluster.start_all().await.unwrap();
    let id = cluster.local().nodes()[AWAY].id;
    until("the client sees it again", async || sees(&client, id).await).await;
    (cluster, client, keys)
}

async fn sees(client: &Client, id: NodeId) -> bool {
    client
        .status()
        .await
        .iter()
        .any(|report| report.member.id == id && report.status.is_ok())
}

/// What a key of [`with_missed_writes`] must hold.
fn expected(number: usize) -> &'static [&'static str] {
    [&["new"][..], &[], &["a", "b"], &["first"]][number / 20]
}

async fn assert_all(client: &Client, keys: &[String]) {
    for (number, key) in keys.iter().enumerate() {
        assert!(
            owners_agree(client, key).await,
            "{key}: {:?}",
            client.inspect(key.clone()).await
        );
        let entry = client.get(key.clone()).await.unwrap();
        let values: Vec<_> = entry.siblings().iter().map(|v| v.bytes.clone()).collect();
        assert_eq!(values, expected(number), "{key}");
    }
}

#[tokio::test]
async fn reading_all_replicas_makes_them_equal_before_it_answers_or_soon_after() {
    let (cluster, client, keys) = with_missed_writes().await;
    for key in &keys {
        assert!(!owners_agree(&client, key).await, "{key} was to be missed");
        client.get(key.clone()).r(3).await.unwrap();
    }
    for key in &keys {
        until("its replicas agree", async || {
            owners_agree(&client, key).await
        })
        .await;
    }
    assert_all(&client, &keys).await;
    cluster.shut_down().await.unwrap();
}

#[tokio::test]
async fn reading_one_replica_repairs_the_others_in_the_background() {
    let (cluster, client, keys) = with_missed_writes().await;
    for key in &keys {
        client
            .get(key.clone())
            .consistency(Consistency::One)
            .await
            .unwrap();
    }
    for key in &keys {
        until("its replicas agree", async || {
            owners_agree(&client, key).await
        })
        .await;
    }
    assert_all(&client, &keys).await;
    cluster.shut_down().await.unwrap();
}

#[tokio::test]
async fn quorum_reads_never_return_what_the_node_that_was_away_still_holds() {
    let (cluster, client, keys) = with_missed_writes().await;
    for (number, key) in keys.iter().enumerate() {
        for _ in 0..5 {
            let entry = client
                .get(key.clone())
                .deadline(Duration::from_secs(5))
                .await
                .unwrap();
            let values: Vec<_> = entry.siblings().iter().map(|v| v.bytes.clone()).collect();
            assert_eq!(values, expected(number), "{key}");
        }
    }
    cluster.shut_down().await.unwrap();
}
