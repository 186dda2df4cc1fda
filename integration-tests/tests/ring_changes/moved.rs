//! A member that is started at another address than the ring's.
//!
//! ```text
//!   n1 --gossip, from its new address--> n2, n3      they heard it, though the ring's address leads nowhere
//!   n2, n3 --what do you say of yourself?--> n1      they reach it: else they would not know its new address
//! ```

use quoit_client::{Client, MembersReport};
use quoit_local::{ClusterSettings, InProcessCluster};
use quoit_ring::NodeId;
use quoit_ring::wire::MemberState;
use tokio::time::{Duration, sleep, timeout};

use crate::TURNS;

/// Dozens of rounds of gossip: only a node that is never reached takes as long.
const LONG: Duration = Duration::from_secs(90);

/// Whether a member hears `node`, and knows where it says that it listens.
fn knows(report: &MembersReport, node: NodeId, address: &str) -> bool {
    let mut seen = report.seen.iter().flat_map(|seen| &seen.members);
    seen.any(|it| {
        let facts = it.facts.as_ref();
        it.node == node
            && it.was_heard
            && it.state == MemberState::Alive
            && facts.is_some_and(|facts| facts.address.as_deref() == Some(address))
    })
}

async fn until_both_know(client: &Client, node: NodeId, address: &str) {
    loop {
        let reports = client.members().await;
        let knowing = reports.iter().filter(|it| knows(it, node, address));
        if knowing.count() == 2 {
            return;
        }
        sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn a_member_that_is_started_at_another_address_is_reached_there_by_the_others() {
    let _turn = TURNS.acquire().await.unwrap();
    let mut cluster = InProcessCluster::start(&ClusterSettings::for_tests(3)).await;
    let cluster = cluster.as_mut().unwrap();
    cluster.stop(0).await.unwrap();
    let nobody = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let moved = nobody.local_addr().unwrap();
    drop(nobody);
    cluster.config_mut(0).listen = moved;
    cluster.start_node(0).await.unwrap();

    let node = cluster.local().nodes()[0].id;
    let profile = cluster.client_profile();
    let client = Client::builder().profile(profile).connect().await.unwrap();
    let address = moved.to_string();
    let known = until_both_know(&client, node, &address);
    let known = timeout(LONG, known).await;
    let seen = client.members().await;
    assert!(known.is_ok(), "{seen:?}");
    client.close().await;
}
