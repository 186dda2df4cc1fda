//! The faults, when they strike, and the verdict at the end.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use quoit_client::{Client, Entry};
use quoit_integration_tests::cluster::{Clients as _, Cluster, program, settings};
use quoit_integration_tests::ledger::Ledger;
use quoit_integration_tests::node_binary;
use quoit_node::config::Durability;
use rand::rngs::SmallRng;
use rand::seq::IteratorRandom as _;
use rand::{Rng as _, SeedableRng as _};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::load::{Counts, Load};

pub(crate) const NODES: usize = 5;
const KEYS: usize = 100_000;
/// Acknowledged writes before a fault, and while one node of five is down.
const BEFORE: u64 = 2_000;
const MEANWHILE: u64 = 100;
/// How long nodes stay down, and how long one is paused.
const DOWN: Duration = Duration::from_millis(400);
const STILL: Duration = Duration::from_secs(3);
/// How long enough writes may take to be acknowledged.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Readers of the final look at every key.
const READERS: usize = 256;

/// A cluster under load, and how often it was struck.
struct Scene {
    cluster: Cluster,
    load: Load,
    kills: u64,
    pauses: u64,
}

/// Runs all faults against a cluster under load and checks every key.
pub(crate) async fn survive(durability: Durability) {
    let mut options = settings(NODES);
    options.local.durability = durability;
    let cluster = Cluster::start(program(node_binary!()), &options)
        .await
        .unwrap();
    let client = cluster.client().await.unwrap();
    let load = Load::start(&client, KEYS);
    let mut scene = Scene {
        cluster,
        load,
        kills: 0,
        pauses: 0,
    };
    for node in 0..NODES {
        scene.kill(&BTreeSet::from([node])).await;
    }
    scene.kill(&(0..NODES).collect()).await;
    scene
        .pause(SmallRng::from_os_rng().random_range(0..NODES))
        .await;
    for _ in 0..extra_kills() {
        scene.kill(&any_nodes()).await;
    }
    scene.acknowledged(BEFORE).await;
    let Scene {
        cluster,
        load,
        kills,
        pauses,
    } = scene;
    let counts = Arc::clone(&load.counts);
    let ledgers = load.stop().await;
    client.close().await;
    check(&cluster, ledgers, &counts).await;
    println!(
        "{durability:?}: {kills} kills, {pauses} pauses; {}",
        summary(&counts)
    );
    assert_eq!(
        counts.violations.load(Ordering::Relaxed),
        0,
        "{}",
        counts.report()
    );
    cluster.shut_down().await.unwrap();
}

fn extra_kills() -> u64 {
    std::env::var("QUOIT_KILLS").map_or(0, |text| text.parse().unwrap())
}

/// One node most often, any number at times.
pub(crate) fn any_nodes() -> BTreeSet<usize> {
    let mut rng = SmallRng::from_os_rng();
    let count = if rng.random_bool(0.5) {
        1
    } else {
        rng.random_range(2..=NODES)
    };
    (0..NODES)
        .choose_multiple(&mut rng, count)
        .into_iter()
        .collect()
}

fn summary(counts: &Counts) -> String {
    let Counts {
        acked,
        unknown,
        failed,
        reads,
        failed_reads,
        violations,
        ..
    } = counts;
    let [acked, unknown, failed, reads, failed_reads, violations] =
        [acked, unknown, failed, reads, failed_reads, violations]
            .map(|count| count.load(Ordering::Relaxed));
    format!(
        "{KEYS} keys, {acked} acked, {unknown} unknown, {failed} failed, {reads} reads, \
         {failed_reads} failed reads, {violations} lost or wrong"
    )
}

impl Scene {
    /// Kills `nodes` at once under load, and starts them again after a while.
    async fn kill(&mut self, nodes: &BTreeSet<usize>) {
        self.acknowledged(BEFORE).await;
        self.assert_writing();
        for &node in nodes {
            assert!(
                self.cluster.kill(node).unwrap(),
                "node {node} was not running"
            );
            self.kills += 1;
        }
        if nodes.len() == 1 {
            self.acknowledged(MEANWHILE).await;
        }
        sleep(DOWN).await;
        self.cluster.start_all().await.unwrap();
    }

    /// Pauses a node under load, and resumes it after a while.
    async fn pause(&mut self, node: usize) {
        self.acknowledged(BEFORE).await;
        self.assert_writing();
        self.cluster.pause(node).unwrap();
        self.pauses += 1;
        self.acknowledged(MEANWHILE).await;
        sleep(STILL).await;
        self.cluster.resume(node).unwrap();
    }

    fn assert_writing(&self) {
        let writing = self.load.counts.writing.load(Ordering::Relaxed);
        assert!(
            writing > 0,
            "a fault without a write under way shows nothing"
        );
    }

    /// Waits for this many more acknowledged writes.
    async fn acknowledged(&self, more: u64) {
        let (begin, counts) = (Instant::now(), &self.load.counts);
        let enough = counts.acked() + more;
        while counts.acked() < enough {
            assert!(
                begin.elapsed() < TIMEOUT,
                "writes do not go on: {}",
                summary(counts)
            );
            sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Reads every key with a new client, and judges what it finds.
async fn check(cluster: &Cluster, ledgers: Vec<Ledger>, counts: &Arc<Counts>) {
    assert_eq!(ledgers.len(), KEYS);
    let client = cluster.client().await.unwrap();
    let mut readers = JoinSet::new();
    for some in ledgers.chunks(KEYS.div_ceil(READERS)) {
        readers.spawn(check_some(
            client.clone(),
            some.to_vec(),
            Arc::clone(counts),
        ));
    }
    while let Some(reader) = readers.join_next().await {
        reader.unwrap();
    }
    client.close().await;
}

/// Reads a key, again and again for some seconds: on a busy machine nodes may still have a queue to work off.
async fn read(client: &Client, key: Bytes) -> Entry {
    for _ in 0..100 {
        if let Ok(entry) = client.get(key.clone()).await {
            return entry;
        }
        sleep(Duration::from_millis(100)).await;
    }
    client.get(key).await.unwrap()
}

async fn check_some(client: Client, ledgers: Vec<Ledger>, counts: Arc<Counts>) {
    for mut ledger in ledgers {
        assert!(ledger.is_written(), "{ledger}");
        let entry = read(&client, ledger.key()).await;
        counts.reads.fetch_add(1, Ordering::Relaxed);
        if let Err(violation) = ledger.judge(&entry) {
            counts.violation(violation, &ledger);
        }
    }
}
