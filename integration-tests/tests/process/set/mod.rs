//! Unique elements are added while nodes are killed; in the end every acknowledged one is there.
//!
//! ```text
//!   48 adders   each element a fresh key                         5 processes, N = 3
//!   16 adders   each element a line of an OR-set: read, unite    every 2 to 10 s kill -9 of one to all of them
//!               the siblings, add, put with the context          at once, and a start after a while
//!   heal, read everything from all three replicas, judge
//! ```
//!
//! An acknowledged add must be there, whether W was 2 or 1 and whether nodes sync or not: what a process has handed to
//! the system survives its death, so a killed replica comes back with what it acknowledged. (Power is another
//! thing.) What was surely refused must not be there, nor what no adder tried. With W = 2 a read during the run
//! must see what was acknowledged before it; with W = 1 it may be stale, and that is counted.
//!
//! A short form runs with all tests. `QUOIT_STRIKES=40 cargo set-test` goes on for as many strikes, at the pace above, in
//! each of the four modes.
//!
//! Source: the workloads *set* and *set-full* of the Jepsen tests (Kingsbury).

mod adder;
mod tally;

use std::sync::Arc;
use std::time::Duration;

use quoit_client::{Client, Consistency, SetUnion};
use quoit_integration_tests::cluster::{Clients as _, Cluster, program, settings};
use quoit_integration_tests::node_binary;
use quoit_node::config::Durability;
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use self::adder::Adders;
use self::tally::{Added, Judgement};
use crate::ONE_AT_A_TIME;
use crate::faults::{NODES, any_nodes};

/// Strikes of the short form, and how long the nodes are left alone before each.
const SHORT: (u32, [Duration; 2]) = (3, [Duration::from_millis(400), Duration::from_millis(900)]);
const LONG: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(10)];
/// How long nodes stay down.
const DOWN: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(1_500)];
/// How long an operation may take: shorter than by default, so that adders go on soon when all is down.
const DEADLINE: Duration = Duration::from_secs(2);
/// Clients, so that dots have several actors.
const CLIENTS: usize = 4;
/// Readers of the final look, and how long one of them tries to read one key.
const READERS: usize = 256;
const TIMEOUT: Duration = Duration::from_secs(30);

/// One mode of the test.
#[derive(Debug, Clone, Copy)]
struct Mode {
    consistency: Consistency,
    durability: Durability,
}

/// What was done to the nodes.
#[derive(Debug, Clone, Copy, Default)]
struct Struck {
    strikes: u32,
    kills: usize,
    of_all: u32,
}

async fn survive(mode: Mode) {
    let _turn = ONE_AT_A_TIME.lock().await;
    let mut options = settings(NODES);
    options.local.durability = mode.durability;
    let mut cluster = Cluster::start(program(node_binary!()), &options)
        .await
        .unwrap();
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let builder = cluster.client_builder().consistency(mode.consistency);
        clients.push(builder.deadline(DEADLINE).connect().await.unwrap());
    }
    let (adders, begin) = (Adders::start(&clients), Instant::now());
    let struck = strike(&mut cluster, &adders).await;
    let took = begin.elapsed();
    let (added, stale) = adders.stop().await;
    for client in clients {
        client.close().await;
    }
    let judgement = judge(&cluster, added).await;
    let Struck {
        strikes,
        kills,
        of_all,
    } = struck;
    println!(
        "{mode:?}: {kills} kills in {strikes} strikes, {of_all} of all nodes, in {took:.0?}; {judgement}; {stale} stale reads"
    );
    assert!(judgement.holds(), "{}", judgement.reported());
    assert!(
        judgement.acked > 100 * u64::from(strikes),
        "too little was added"
    );
    assert!(
        stale == 0 || mode.consistency == Consistency::One,
        "{stale} stale reads"
    );
    cluster.shut_down().await.unwrap();
}

fn between(rng: &mut SmallRng, [least, most]: [Duration; 2]) -> Duration {
    least + (most - least).mul_f64(rng.random())
}

/// Kills nodes again and again, and ends with all of them running.
async fn strike(cluster: &mut Cluster, adders: &Adders) -> Struck {
    let mut rng = SmallRng::from_os_rng();
    let (strikes, pause) =
        std::env::var("QUOIT_STRIKES").map_or(SHORT, |strikes| (strikes.parse().unwrap(), LONG));
    let mut struck = Struck::default();
    for strike in 0..strikes {
        adders.goes_on(TIMEOUT).await;
        sleep(between(&mut rng, pause)).await;
        let nodes = match strike {
            0 => (0..NODES).collect(),
            _ => any_nodes(),
        };
        for &node in &nodes {
            assert!(cluster.kill(node).unwrap(), "node {node} was not running");
        }
        struck.strikes += 1;
        struck.kills += nodes.len();
        struck.of_all += u32::from(nodes.len() == NODES);
        sleep(between(&mut rng, DOWN)).await;
        cluster.start_all().await.unwrap();
    }
    adders.goes_on(TIMEOUT).await;
    struck
}

/// Reads all that was tried, and some keys that were not, from all replicas.
async fn judge(cluster: &Cluster, added: Vec<Added>) -> Judgement {
    let client = cluster.client().await.unwrap();
    let (added, mut readers) = (Arc::new(added), JoinSet::new());
    for reader in 0..READERS {
        let (client, added) = (client.clone(), Arc::clone(&added));
        readers.spawn(async move {
            let mut judgement = Judgement::default();
            for added in added.iter().skip(reader).step_by(READERS) {
                judge_some(&client, added, &mut judgement).await;
            }
            judgement
        });
    }
    let parts = readers.join_all().await;
    client.close().await;
    parts
        .into_iter()
        .fold(Judgement::default(), Judgement::plus)
}

async fn judge_some(client: &Client, added: &Added, judgement: &mut Judgement) {
    let text = read(client, added.key()).await;
    judgement.judge(added, &text);
}

/// The lines under a key, of whatever siblings, by all its replicas.
async fn read(client: &Client, key: &str) -> String {
    let begin = Instant::now();
    loop {
        let get = client.get(key.to_owned()).r(3).merge(SetUnion::lines());
        match get.await {
            Ok(entry) => {
                let value = entry.value().map(|value| value.to_vec());
                return String::from_utf8(value.unwrap_or_default()).unwrap();
            }
            Err(error) => assert!(begin.elapsed() < TIMEOUT, "{key}: {error}"),
        }
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn no_acknowledged_add_is_lost_at_w_2_with_synced_writes() {
    survive(Mode {
        consistency: Consistency::Quorum,
        durability: Durability::Fsync,
    })
    .await;
}

#[tokio::test]
async fn no_acknowledged_add_is_lost_at_w_2_with_buffered_writes() {
    survive(Mode {
        consistency: Consistency::Quorum,
        durability: Durability::Buffered,
    })
    .await;
}

#[tokio::test]
async fn no_acknowledged_add_is_lost_at_w_1_with_synced_writes() {
    survive(Mode {
        consistency: Consistency::One,
        durability: Durability::Fsync,
    })
    .await;
}

#[tokio::test]
async fn no_acknowledged_add_is_lost_at_w_1_with_buffered_writes() {
    survive(Mode {
        consistency: Consistency::One,
        durability: Durability::Buffered,
    })
    .await;
}
