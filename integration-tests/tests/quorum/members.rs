//! Who is alive, as real nodes see each other: killed and started again.

use std::time::Instant;

use quoit_client::{Client, MembersReport};
use quoit_integration_tests::cluster::Cluster;
use quoit_ring::wire::{MemberState, MembersSeen};

use crate::support::{cluster_of, until};

/// Whether all nodes that answer, at least `least` of them, see another one in this state.
async fn all_see(
    (client, cluster): (&Client, &Cluster),
    (node, state): (usize, MemberState),
    least: usize,
) -> bool {
    let reports = client.members().await;
    let is_other = |report: &&MembersReport| cluster.position(report.member.id) != Some(node);
    let others = reports.iter().filter(is_other);
    let seen: Vec<&MembersSeen> = others.filter_map(|it| it.seen.as_ref().ok()).collect();
    let is_seen = |seen: &&MembersSeen| {
        let mut members = seen.members.iter();
        let member = members.find(|member| cluster.position(member.node) == Some(node));
        member.is_some_and(|member| member.state == state && member.was_heard)
    };
    seen.len() >= least && seen.iter().all(is_seen)
}

#[tokio::test]
async fn a_member_that_is_killed_is_suspect_until_it_is_heard_again() {
    const ALIVE: MemberState = MemberState::Alive;
    let (mut cluster, client) = cluster_of(4).await;
    for node in 0..4 {
        let heard = async || all_see((&client, &cluster), (node, ALIVE), 3).await;
        until("heard", heard).await;
    }

    let killed = Instant::now();
    cluster.kill(2).unwrap();
    let suspect = (2, MemberState::Suspect);
    until("suspect", async || {
        all_see((&client, &cluster), suspect, 3).await
    })
    .await;
    let elapsed = killed.elapsed();
    assert!(elapsed.as_secs() >= 3, "suspected at once: {elapsed:?}");
    for node in [0, 1, 3] {
        let is_alive = all_see((&client, &cluster), (node, ALIVE), 2).await;
        assert!(is_alive, "nobody else is suspect");
    }

    cluster.start_node(2).unwrap();
    let back = async || all_see((&client, &cluster), (2, ALIVE), 3).await;
    until("heard again", back).await;
    cluster.shut_down().await.unwrap();
}
