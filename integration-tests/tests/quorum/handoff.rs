//! Hinted hand-off between real processes: other nodes keep what a node missed, and deliver it when it is back.

use std::time::Duration;

use quoit_client::{Client, Stored};
use quoit_integration_tests::cluster::Cluster;
use tokio::time::sleep;

use crate::support::{cluster_of, cluster_without_hints, keys_of, owners, until};

/// How many keys are kept for a node, and how many nodes did not answer.
async fn kept_for(client: &Client, cluster: &Cluster, node: usize) -> (u64, usize) {
    let (mut keys, mut unknown) = (0, 0);
    for report in client.hints().await {
        match report.kept {
            Ok(kept) => {
                let its =
                    |kept: &&quoit_ring::wire::Kept| cluster.position(kept.target) == Some(node);
                keys += kept.iter().filter(its).map(|kept| kept.count).sum::<u64>();
            }
            Err(_) => unknown += 1,
        }
    }
    (keys, unknown)
}

/// What `node` itself holds under `key`.
async fn held_by(client: &Client, cluster: &Cluster, node: usize, key: &str) -> Option<String> {
    let reports = client.inspect(key.to_owned()).await.unwrap();
    let of_node =
        |report: &&quoit_client::ReplicaReport| cluster.position(report.member.id) == Some(node);
    let report = reports.iter().find(of_node)?;
    let value = report.answer.as_ref().ok()?.value()?.to_vec();
    Some(String::from_utf8(value).unwrap())
}

/// Puts every key three times, and waits until what the dead node misses of it is kept.
async fn write_without(client: &Client, cluster: &Cluster, node: usize, keys: &[String]) {
    for round in 0..3 {
        for key in keys {
            let value = format!("{key}, round {round}");
            client.put(key.clone(), value).await.unwrap();
        }
    }
    until("all that the node misses is kept", async || {
        kept_for(client, cluster, node).await.0 == keys.len() as u64
    })
    .await;
}

async fn assert_delivered(client: &Client, cluster: &Cluster, node: usize, keys: &[String]) {
    until("the hints are delivered and removed", async || {
        kept_for(client, cluster, node).await == (0, 0)
    })
    .await;
    for key in keys {
        let held = held_by(client, cluster, node, key).await;
        assert_eq!(held, Some(format!("{key}, round 2")));
    }
}

#[tokio::test]
async fn a_dead_node_gets_one_hint_for_each_key_it_missed_when_it_is_back() {
    let (mut cluster, client) = cluster_of(5).await;
    let keys = keys_of(&cluster, &client, 1, 300);
    cluster.kill(1).unwrap();
    write_without(&client, &cluster, 1, &keys).await;
    cluster.start_node(1).unwrap();
    assert_delivered(&client, &cluster, 1, &keys).await;
    cluster.shut_down().await.unwrap();
}

#[tokio::test]
async fn hints_survive_the_death_of_their_holders() {
    let (mut cluster, client) = cluster_of(5).await;
    let keys = keys_of(&cluster, &client, 1, 100);
    cluster.kill(1).unwrap();
    write_without(&client, &cluster, 1, &keys).await;
    for holder in [0, 2, 3, 4] {
        cluster.kill(holder).unwrap();
    }
    for node in [0, 2, 3, 4] {
        cluster.start_node(node).unwrap();
    }
    until("the nodes have counted what they keep", async || {
        kept_for(&client, &cluster, 1).await == (100, 1)
    })
    .await;
    cluster.start_node(1).unwrap();
    assert_delivered(&client, &cluster, 1, &keys).await;
    cluster.shut_down().await.unwrap();
}

#[tokio::test]
async fn in_a_cluster_of_three_an_owner_keeps_what_another_one_missed() {
    let (mut cluster, client) = cluster_of(3).await;
    let keys = keys_of(&cluster, &client, 2, 50);
    cluster.kill(2).unwrap();
    write_without(&client, &cluster, 2, &keys).await;
    cluster.start_node(2).unwrap();
    assert_delivered(&client, &cluster, 2, &keys).await;
    cluster.shut_down().await.unwrap();
}

#[tokio::test]
async fn a_long_value_is_delivered_too() {
    let (mut cluster, client) = cluster_of(5).await;
    let key = keys_of(&cluster, &client, 1, 1).remove(0);
    cluster.kill(1).unwrap();
    let value = "v".repeat(300 << 10);
    client.put(key.clone(), value.clone()).await.unwrap();
    until("it is kept", async || {
        kept_for(&client, &cluster, 1).await.0 == 1
    })
    .await;
    cluster.start_node(1).unwrap();
    until("it is delivered", async || {
        kept_for(&client, &cluster, 1).await == (0, 0)
    })
    .await;
    assert_eq!(held_by(&client, &cluster, 1, &key).await, Some(value));
    cluster.shut_down().await.unwrap();
}

#[tokio::test]
async fn a_sloppy_put_succeeds_while_two_of_three_owners_are_dead_and_is_read_when_they_are_back() {
    let (mut cluster, client) = cluster_of(5).await;
    let key = "somewhere";
    let owners = owners(&cluster, &client, key);
    for &owner in &owners[..2] {
        cluster.kill(owner).unwrap();
    }
    // The client has to notice first: until then such a put ends with its deadline.
    until("a strict put fails at once", async || {
        let strict = client
            .put(key, "strict")
            .deadline(Duration::from_millis(900));
        strict
            .await
            .is_err_and(|error| error.stored() == Stored::UnderReplicated)
    })
    .await;
    let written = client.put(key, "sloppy").sloppy(true).await.unwrap();
    assert_eq!(written.acked, 2);
    assert!(written.hints >= 1);
    for &owner in &owners[..2] {
        cluster.start_node(owner).unwrap();
    }
    for &owner in &owners[..2] {
        until("it is delivered", async || {
            kept_for(&client, &cluster, owner).await == (0, 0)
        })
        .await;
        let held = held_by(&client, &cluster, owner, key).await;
        assert_eq!(held.as_deref(), Some("sloppy"));
    }
    let read = client.get(key).await.unwrap();
    assert_eq!(read.value().unwrap(), "sloppy");
    cluster.shut_down().await.unwrap();
}

#[tokio::test]
async fn a_node_without_space_for_hints_refuses_them_and_the_write_succeeds() {
    let (mut cluster, client) = cluster_without_hints(4).await;
    let keys = keys_of(&cluster, &client, 1, 20);
    cluster.kill(1).unwrap();
    for key in &keys {
        client.put(key.clone(), "v").await.unwrap();
    }
    until("no further holder is asked", async || {
        client
            .health()
            .await
            .is_some_and(|health| health.hints_forgone == 20)
    })
    .await;
    sleep(Duration::from_millis(100)).await;
    assert_eq!(kept_for(&client, &cluster, 1).await, (0, 1));
    cluster.shut_down().await.unwrap();
}
