//! Nodes that are killed, paused or stopped in order, and what happens to requests meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use quoit_client::{Client, Consistency, NodeError, Outcome, ReadError, Stored, WriteError};
use quoit_integration_tests::cluster::Cluster;
use quoit_ring::NodeId;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::support::{cluster_of, owners, until};

/// Readers and writers that count their successes and failures.
struct Traffic {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    failed: Arc<AtomicU64>,
    tasks: Vec<JoinHandle<()>>,
}

impl Traffic {
    fn start(client: &Client) -> Self {
        let mut traffic = Self {
            stop: Arc::default(),
            done: Arc::default(),
            failed: Arc::default(),
            tasks: Vec::new(),
        };
        for number in 0..32 {
            let (stop, done) = (Arc::clone(&traffic.stop), Arc::clone(&traffic.done));
            let (failed, client) = (Arc::clone(&traffic.failed), client.clone());
            traffic.tasks.push(tokio::spawn(async move {
                let mut round = 0_u64;
                while !stop.load(Ordering::Relaxed) {
                    round += 1;
                    let key = format!("{number}-{}", round % 50);
                    let wrote = client
                        .put(key.clone(), "v")
                        .await
                        .map(drop)
                        .map_err(|e| e.to_string());
                    let read = client.get(key).await.map(drop).map_err(|e| e.to_string());
                    for result in [wrote, read] {
                        done.fetch_add(1, Ordering::Relaxed);
                        if let Err(error) = result {
                            failed.fetch_add(1, Ordering::Relaxed);
                            println!("failed: {error}");
                        }
                    }
                }
            }));
        }
        traffic
    }

    /// Asserts that many requests end during `time` and none fails.
    async fn assert_flawless_for(&self, time: Duration, when: &str) {
        let (done, failed) = (
            self.done.load(Ordering::Relaxed),
            self.failed.load(Ordering::Relaxed),
        );
        sleep(time).await;
        let done = self.done.load(Ordering::Relaxed) - done;
        let failed = self.failed.load(Ordering::Relaxed) - failed;
        assert!(done > 200, "only {done} requests ended {when}");
        assert_eq!(failed, 0, "of {done} requests {when}");
    }

    async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn after_a_second_no_request_notices_that_a_node_was_killed() {
    let (mut cluster, client) = cluster_of(5).await;
    let traffic = Traffic::start(&client);
    traffic.assert_flawless_for(SECOND, "before").await;
    cluster.kill(2).unwrap();
    sleep(SECOND).await;
    traffic
        .assert_flawless_for(2 * SECOND, "while it was down")
        .await;
    cluster.start_all().await.unwrap();
    traffic
        .assert_flawless_for(3 * SECOND, "after its return")
        .await;
    traffic.stop().await;
    cluster.shut_down().await.unwrap();
}

#[tokio::test]
async fn after_a_second_no_request_notices_that_a_node_is_paused() {
    let (mut cluster, client) = cluster_of(5).await;
    let traffic = Traffic::start(&client);
    traffic.assert_flawless_for(SECOND, "before").await;
    cluster.pause(1).unwrap();
    sleep(SECOND).await;
    traffic
        .assert_flawless_for(4 * SECOND, "while it was paused")
        .await;
    cluster.resume(1).unwrap();
    traffic
        .assert_flawless_for(2 * SECOND, "after it went on")
        .await;
    traffic.stop().await;
    cluster.shut_down().await.unwrap();
}

#[tokio::test]
async fn no_request_notices_that_nodes_are_restarted_in_order_one_by_one() {
    let (mut cluster, client) = cluster_of(5).await;
    let traffic = Traffic::start(&client);
    for node in 0..cluster.size() {
        cluster.stop(node).await.unwrap();
        cluster.start_all().await.unwrap();
        let id = cluster.local().nodes()[node].id;
        until("the client is connected again", async || {
            status_of(&client, id).await.is_ok()
        })
        .await;
        traffic
            .assert_flawless_for(SECOND / 4, "during a rolling restart")
            .await;
    }
    assert_eq!(
        traffic.failed.load(Ordering::Relaxed),
        0,
        "of all requests of a rolling restart"
    );
    traffic.stop().await;
    cluster.shut_down().await.unwrap();
}

async fn status_of(client: &Client, id: NodeId) -> Result<(), NodeError> {
    let mut reports = client.status().await.into_iter();
    reports
        .find(|report| report.member.id == id)
        .unwrap()
        .status
        .map(drop)
}

/// Stops nodes in order and waits until the client knows.
async fn stop_known(cluster: &mut Cluster, client: &Client, nodes: &[usize]) {
    for &node in nodes {
        cluster.stop(node).await.unwrap();
        let id = cluster.local().nodes()[node].id;
        until("the client knows that it is down", async || {
            status_of(client, id).await == Err(NodeError::Failed(Outcome::Unreachable))
        })
        .await;
    }
}

#[tokio::test]
async fn with_two_of_three_owners_killed_a_write_is_unknown_and_one_still_answers() {
    let (mut cluster, client) = cluster_of(5).await;
    client.put("k", "before").w(3).await.unwrap();
    for node in &owners(&cluster, &client, "k")[..2] {
        cluster.kill(*node).unwrap();
    }
    // The client cannot know that they are dead; they could be slow.
    let write = client
        .put("k", "perhaps")
        .deadline(SECOND)
        .await
        .unwrap_err();
    assert!(
        matches!(
            write,
            WriteError::Unknown {
                acked: 1,
                needed: 2,
                ..
            }
        ),
        "{write:?}"
    );
    assert_eq!(write.stored(), Stored::Maybe);
    assert!(
        write.to_string().contains("outcome unknown: 1 of the 2"),
        "{write}"
    );
    let read = client.get("k").deadline(SECOND).await.unwrap_err();
    assert!(
        matches!(
            read,
            ReadError::Unavailable {
                answered: 1,
                needed: 2,
                ..
            }
        ),
        "{read:?}"
    );

    let one = client.get("k").consistency(Consistency::One).await.unwrap();
    assert_eq!(
        one.value().unwrap(),
        "perhaps",
        "the replica that lives has it"
    );
    let written = client
        .put("k", "one")
        .consistency(Consistency::One)
        .await
        .unwrap();
    assert_eq!(written.acked, 1);
    cluster.start_all().await.unwrap();
    until("all owners are back", async || {
        client.get("k").r(3).await.is_ok()
    })
    .await;
    assert_eq!(
        client.get("k").await.unwrap().value().unwrap(),
        "one",
        "it was read from all"
    );
    cluster.shut_down().await.unwrap();
}

#[tokio::test]
async fn with_two_of_three_owners_stopped_a_write_is_under_replicated_and_says_so() {
    let (mut cluster, client) = cluster_of(5).await;
    client.put("k", "before").w(3).await.unwrap();
    let owners = owners(&cluster, &client, "k");
    stop_known(&mut cluster, &client, &owners[..2]).await;

    let write = client.put("k", "one copy").await.unwrap_err();
    let WriteError::UnderReplicated {
        acked: 1,
        needed: 2,
        attempts,
        ..
    } = &write
    else {
        panic!("{write:?}");
    };
    let unreachable = attempts
        .iter()
        .filter(|a| a.outcome == Outcome::Unreachable)
        .count();
    assert_eq!((unreachable, attempts.len()), (2, 3));
    assert_eq!(write.stored(), Stored::UnderReplicated);
    assert!(
        write.to_string().contains("written too thinly: 1 of the 2"),
        "{write}"
    );
    let read = client.get("k").await.unwrap_err();
    assert!(
        matches!(
            read,
            ReadError::Unavailable {
                answered: 1,
                needed: 2,
                ..
            }
        ),
        "{read:?}"
    );
    let one = client.get("k").consistency(Consistency::One).await.unwrap();
    assert_eq!(
        one.value().unwrap(),
        "one copy",
        "the replica that lives has it"
    );

    cluster.start_all().await.unwrap();
    until("the key is read from all", async || {
        client.get("k").r(3).await.is_ok()
    })
    .await;
    assert_eq!(
        client.get("k").r(3).await.unwrap().value().unwrap(),
        "one copy"
    );
    cluster.shut_down().await.unwrap();
}

#[tokio::test]
async fn with_all_owners_stopped_a_write_is_surely_nowhere() {
    let (mut cluster, client) = cluster_of(5).await;
    client.put("k", "before").w(3).await.unwrap();
    let owners = owners(&cluster, &client, "k");
    stop_known(&mut cluster, &client, &owners).await;

    let write = client.put("k", "nowhere").await.unwrap_err();
    assert!(
        matches!(
            write,
            WriteError::NotStored {
                needed: 2,
                n: 3,
                ..
            }
        ),
        "{write:?}"
    );
    assert_eq!(write.stored(), Stored::No);
    let read = client
        .get("k")
        .consistency(Consistency::One)
        .await
        .unwrap_err();
    assert!(
        matches!(
            read,
            ReadError::Unavailable {
                answered: 0,
                needed: 1,
                ..
            }
        ),
        "{read:?}"
    );

    cluster.start_all().await.unwrap();
    until("the key is read from all", async || {
        client.get("k").r(3).await.is_ok()
    })
    .await;
    assert_eq!(
        client.get("k").r(3).await.unwrap().value().unwrap(),
        "before"
    );
    cluster.shut_down().await.unwrap();
}

#[tokio::test]
async fn keys_of_living_owners_are_not_touched_by_other_nodes_outages() {
    let (mut cluster, client) = cluster_of(5).await;
    let down = [0, 1];
    let living = |key: &String| {
        owners(&cluster, &client, key)
            .iter()
            .all(|o| !down.contains(o))
    };
    let keys: Vec<String> = (0..)
        .map(|n| format!("key-{n}"))
        .filter(living)
        .take(20)
        .collect();
    stop_known(&mut cluster, &client, &down).await;
    for key in &keys {
        assert_eq!(client.put(key.clone(), "v").w(3).await.unwrap().acked, 3);
        assert_eq!(
            client.get(key.clone()).r(3).await.unwrap().value().unwrap(),
            "v"
        );
    }
    cluster.start_all().await.unwrap();
    cluster.shut_down().await.unwrap();
}
