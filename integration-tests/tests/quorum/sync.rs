//! Nodes repair what differs between them, without a read.

use std::time::Duration;

use quoit_client::{Client, Entry};
use quoit_integration_tests::cluster::Cluster;
use quoit_ring::NodeId;
use quoit_ring::wire::{SyncEnd, SyncOrder};
use tokio::time::sleep;

use crate::support::{
    cluster_that_compares, cluster_that_forgets, cluster_without_hints, keys_of, until,
};

/// The node that is away during all writes.
const AWAY: usize = 2;

/// Writes to keys of a node that is killed meanwhile: replaced, deleted, new. Nobody keeps a hint for it.
async fn with_missed_writes(cluster: &mut Cluster, client: &Client) -> Vec<String> {
    let keys = keys_of(cluster, client, AWAY, 300);
    for key in &keys[..200] {
        client.put(key.clone(), "old").w(3).await.unwrap();
    }
    cluster.kill(AWAY).unwrap();
    for (number, key) in keys.iter().enumerate() {
        match number / 100 {
            0 => drop(client.put(key.clone(), "new").await.unwrap()),
            1 => drop(client.delete(key.clone()).await.unwrap()),
            _ => drop(client.put(key.clone(), "first".repeat(500)).await.unwrap()),
        }
    }
    cluster.start_all().await.unwrap();
    keys
}

/// Whether all owners hold the same values under `key`: looked at, without a repair.
async fn values_agree(client: &Client, key: &str) -> bool {
    let reports = client.inspect(key.to_owned()).await.unwrap();
    let values =
        |entry: &Entry| -> Vec<_> { entry.siblings().iter().map(|it| it.bytes.clone()).collect() };
    let owners = reports.iter().filter(|report| report.owner);
    let held: Vec<_> = owners
        .map(|report| report.answer.as_ref().ok().map(values))
        .collect();
    held.iter()
        .all(|values| values.is_some() && *values == held[0])
}

#[tokio::test]
async fn a_node_that_missed_writes_gets_them_although_nobody_reads_them() {
    let (mut cluster, client) = cluster_that_compares(4).await;
    let keys = with_missed_writes(&mut cluster, &client).await;
    for key in &keys {
        until("its owners hold the same", async || {
            values_agree(&client, key).await
        })
        .await;
    }

    until("all pairs were found equal", async || {
        let reports = client.sync_status().await;
        let peers = reports
            .iter()
            .map(|it| it.status.as_ref().map(|status| &status.peers));
        peers.into_iter().all(|peers| {
            peers.is_ok_and(|peers| {
                peers.len() == 3 && peers.iter().all(|it| it.end == SyncEnd::Equal)
            })
        })
    })
    .await;
    let away = cluster.local().nodes()[AWAY].id;
    let reports = client.sync_status().await;
    let repaired = reports.iter().flat_map(|it| {
        it.status
            .iter()
            .flat_map(|status| &status.peers)
            .map(move |peer| (it.member.id, peer))
    });
    let repaired = repaired.map(|(node, peer)| {
        let at_away = if node == away { peer.pulled } else { 0 };
        let by_others = if peer.node == away { peer.pushed } else { 0 };
        at_away + by_others
    });
    assert!(repaired.sum::<u64>() >= 300, "{reports:?}");
    cluster.shut_down().await.unwrap();
}

#[tokio::test]
async fn an_operator_orders_a_sync_where_none_begins_by_itself_and_pauses_it() {
    let (mut cluster, client) = cluster_without_hints(3).await;
    let keys = with_missed_writes(&mut cluster, &client).await;
    let refused = client.order_sync(SyncOrder::Now).await;
    assert!(
        refused.iter().all(|report| report.status.is_err()),
        "no operator: {refused:?}"
    );
    assert!(!values_agree(&client, &keys[0]).await);

    let profile = cluster.local().admin_profile();
    let operator = Client::builder().profile(profile).connect().await.unwrap();
    until("all are paused", async || {
        let paused = operator.order_sync(SyncOrder::Pause).await;
        paused
            .iter()
            .all(|it| it.status.as_ref().is_ok_and(|status| status.is_paused))
    })
    .await;
    operator.order_sync(SyncOrder::Now).await;
    sleep(Duration::from_secs(2)).await; // four times as long as an order may take
    let compared = operator.sync_status().await;
    assert!(compared.iter().all(|it| {
        it.status
            .as_ref()
            .is_ok_and(|status| status.peers.is_empty())
    }));

    operator.order_sync(SyncOrder::Resume).await;
    operator.order_sync(SyncOrder::Now).await;
    for key in &keys {
        until("its owners hold the same", async || {
            values_agree(&client, key).await
        })
        .await;
    }
    operator.close().await;
    cluster.shut_down().await.unwrap();
}

/// How many tombstones each node has forgotten since its start, and for which member it waits.
async fn forgotten(client: &Client) -> Vec<(u64, Option<NodeId>)> {
    let reports = client.sync_status().await;
    let stability = reports.iter().filter_map(|it| it.status.as_ref().ok());
    let stability = stability.map(|status| status.stability);
    stability.map(|it| (it.forgotten, it.waits_for)).collect()
}

#[tokio::test]
async fn deletes_are_forgotten_by_all_nodes_but_not_while_one_of_them_is_away() {
    let (mut cluster, client) = cluster_that_forgets(3).await;
    let keys = keys_of(&cluster, &client, AWAY, 200);
    for key in &keys {
        client.put(key.clone(), "old").w(3).await.unwrap();
    }
    cluster.kill(AWAY).unwrap();
    for key in &keys {
        client.delete(key.clone()).await.unwrap();
    }
    let away = cluster.local().nodes()[AWAY].id;
    until("the others wait for the one that is away", async || {
        let forgotten = forgotten(&client).await;
        forgotten.len() == 2 && forgotten.iter().all(|it| *it == (0, Some(away)))
    })
    .await;

    cluster.start_all().await.unwrap();
    until("all have forgotten the deletes", async || {
        let forgotten = forgotten(&client).await;
        forgotten.len() == 3 && forgotten.iter().all(|(count, _)| *count >= 200)
    })
    .await;
    for key in &keys {
        assert!(client.get(key.clone()).r(3).await.unwrap().is_absent());
    }
    let left = client.inspect(keys[0].clone()).await.unwrap();
    let is_known = |entry: &Entry| entry.is_tombstone();
    assert!(!left.iter().any(|it| it.answer.as_ref().is_ok_and(is_known)));
    cluster.shut_down().await.unwrap();
}
