//! Callers that go away, clients that close and runtimes that end, over real connections.
//!
//! ```text
//!   values    100 bytes, which share packets with others, and 300 KiB, which take a stream of their own
//!   moments   drawn again each time, from before anything was sent to after everything was answered
//!   nodes     write down why each connection ended: one that saw half a frame says `malformed`
//! ```
//!
//! Results may differ from run to run; what holds afterwards may not.

use std::time::Duration;

use quoit_client::{Client, Entry, Stored, WriteError};
use quoit_integration_tests::cluster::{Clients as _, Cluster, program, settings};
use quoit_integration_tests::node_binary;
use quoit_node::config::Durability;
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};

/// How long anything may take that should happen soon, on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(25);
/// No write is under way for so long: its deadline has passed, and a second more.
const GIVEN_UP: Duration = Duration::from_secs(8);
/// Room for this many operations of less than 16 KiB, so that some of each round wait for it.
const PERMITS: usize = 64;
const LARGE: usize = 300 << 10;
/// Latest moment at which a caller goes away: a put takes less.
const LATEST: Duration = Duration::from_millis(6);

/// Three processes that log why connections end.
pub(crate) async fn cluster() -> Cluster {
    let mut options = settings(3);
    options.local.durability = Durability::Buffered;
    let mut program = program(node_binary!());
    program.variables = vec![("QUOIT_LOG".into(), "info,quoit_node::server=debug".into())];
    Cluster::start(program, &options).await.unwrap()
}

pub(crate) async fn client(cluster: &Cluster) -> Client {
    let builder = cluster.client_builder().max_in_flight(PERMITS);
    builder.connect().await.unwrap()
}

fn value(number: usize) -> Vec<u8> {
    vec![b'v'; if number.is_multiple_of(8) { LARGE } else { 100 }]
}

/// How an operation ended for its caller, if it was still there.
type Ended = Result<(), WriteError>;

/// Begins puts of `keys`, each in a task.
fn begin(client: &Client, keys: &[String]) -> Vec<JoinHandle<Ended>> {
    let put = |(number, key): (usize, &String)| {
        let (client, key) = (client.clone(), key.clone());
        tokio::spawn(async move { client.put(key, value(number)).await.map(drop) })
    };
    keys.iter().enumerate().map(put).collect()
}

fn keys(round: usize, count: usize) -> Vec<String> {
    (0..count)
        .map(|number| format!("{round}-{number}"))
        .collect()
}

/// How many owners hold each key: all of them whole.
async fn holders(client: &Client, keys: &[String]) -> Vec<usize> {
    let mut holders = Vec::new();
    for (number, key) in keys.iter().enumerate() {
        let held = owners(client, key).await.into_iter().filter(|entry| {
            let whole = entry.value().is_none_or(|held| **held == value(number));
            assert!(whole, "{key} is not what was put");
            !entry.is_absent()
        });
        holders.push(held.count());
    }
    holders
}

/// What each owner of a key holds. A node that waits for a busy disk may not answer for so long that its client gives
/// the connection up: it is asked again.
pub(crate) async fn owners(client: &Client, key: &str) -> Vec<Entry> {
    let begin = Instant::now();
    loop {
        let reports = client.inspect(key.to_owned()).await.unwrap();
        let owners = reports.into_iter().filter(|report| report.owner);
        let answers: Result<_, _> = owners.map(|report| report.answer).collect();
        match answers {
            Ok(entries) => return entries,
            Err(error) => assert!(begin.elapsed() < SOON, "{key}: {error}"),
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until each write is on a quorum or nowhere, which is what it has to stay. A node that stood still on a busy
/// machine may have made a write fail on a single replica: once its client must have given it up a read completes it.
async fn settled(client: &Client, keys: &[String]) -> Vec<usize> {
    let begin = Instant::now();
    loop {
        let holders = holders(client, keys).await;
        if holders.iter().all(|&holders| holders != 1) {
            return holders;
        }
        assert!(begin.elapsed() < SOON, "half written: {holders:?}");
        if begin.elapsed() > GIVEN_UP {
            for (key, _) in keys
                .iter()
                .zip(holders)
                .filter(|(_, holders)| *holders == 1)
            {
                let _busy = client.get(key.clone()).await;
            }
        }
        sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) async fn nothing_is_left(client: &Client) {
    // It takes all permits.
    let whole = client.put("whole", vec![7; (PERMITS - 1) << 14]);
    timeout(SOON, whole)
        .await
        .expect("a permit was lost")
        .unwrap();
    let begin = Instant::now();
    loop {
        let report = client.health().await.unwrap();
        if report.nodes.iter().all(|node| node.in_flight == 0) {
            return;
        }
        assert!(begin.elapsed() < SOON, "still under way: {report:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Ends the cluster; no node closed a connection for what came over it.
pub(crate) async fn end(mut cluster: Cluster) {
    for node in 0..cluster.size() {
        cluster.stop(node).await.unwrap();
        let log = cluster.log(node);
        assert!(log.contains("disconnected"), "the log has no reason: {log}");
        assert!(!log.contains("malformed"), "{log}");
    }
    cluster.shut_down().await.unwrap();
}

#[tokio::test]
async fn callers_that_go_away_at_any_moment_leave_nothing_behind() {
    let cluster = cluster().await;
    let client = client(&cluster).await;
    let mut rng = SmallRng::from_os_rng();
    let mut ended = [0; 2];
    for round in 0..25 {
        let keys = keys(round, 64);
        let puts = begin(&client, &keys);
        let reads: Vec<_> = keys
            .iter()
            .map(|key| {
                let (client, key) = (client.clone(), key.clone());
                tokio::spawn(async move { client.get(key).await.map(drop) })
            })
            .collect();
        let mut callers = JoinSet::new();
        for put in puts {
            let wait = LATEST.mul_f64(rng.random());
            callers.spawn(async move {
                sleep(wait).await;
                put.abort();
                put.await.ok()
            });
        }
        for (number, read) in reads.into_iter().enumerate() {
            if number % 2 == 0 {
                read.abort();
            } else {
                read.await.unwrap().unwrap();
            }
        }
        for answer in callers.join_all().await {
            ended[usize::from(answer.is_some())] += 1;
            assert!(answer.is_none_or(|ended| ended.is_ok()));
        }
        settled(&client, &keys).await;
    }
    println!("{} were dropped, {} had their answer", ended[0], ended[1]);
    assert!(ended.iter().all(|&count| count > 10), "{ended:?}");
    nothing_is_left(&client).await;
    client.close().await;
    end(cluster).await;
}

#[tokio::test]
async fn a_client_closed_or_dropped_at_any_moment_writes_all_or_nothing() {
    let cluster = cluster().await;
    let reader = client(&cluster).await;
    let mut rng = SmallRng::from_os_rng();
    for round in 0..30 {
        let client = client(&cluster).await;
        let keys = keys(round, 48);
        let puts = begin(&client, &keys);
        sleep(LATEST.mul_f64(rng.random())).await;
        if round % 2 == 0 {
            timeout(SOON, client.close()).await.unwrap();
        } else {
            // Callers go away, too, so that this was the last handle.
            puts.iter().for_each(JoinHandle::abort);
        }
        drop(client);
        let mut ends = Vec::new();
        for put in puts {
            ends.push(timeout(SOON, put).await.expect("it waits for ever").ok());
        }
        let holders = settled(&reader, &keys).await;
        for ((end, holders), key) in ends.iter().zip(holders).zip(&keys) {
            match end {
                Some(Ok(())) => assert!(holders >= 2, "{key} is lost"),
                Some(Err(error)) if error.stored() == Stored::No => {
                    assert_eq!(holders, 0, "{key}: {error}");
                }
                Some(Err(_)) | None => {}
            }
        }
    }
    reader.close().await;
    end(cluster).await;
}

#[test]
fn a_runtime_that_ends_takes_its_callers_along_and_not_the_client() {
    let start = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().build().unwrap()
    };
    let keeper = start();
    let cluster = keeper.block_on(cluster());
    let client = keeper.block_on(client(&cluster));
    let mut rng = SmallRng::from_os_rng();
    for round in 0..15 {
        let keys = keys(round, 64);
        let callers = start();
        callers.block_on(async {
            drop(begin(&client, &keys));
            sleep(LATEST.mul_f64(rng.random())).await;
        });
        drop(callers);
        let holders = keeper.block_on(settled(&client, &keys));
        assert_eq!(holders.len(), keys.len());
    }
    keeper.block_on(async {
        nothing_is_left(&client).await;
        client.close().await;
        end(cluster).await;
    });
}
