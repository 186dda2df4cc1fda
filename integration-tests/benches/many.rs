//! Single operations and many at once, beside each other: `cargo bench -p quoit-integration-tests --bench many`.
//!
//! A cluster of three processes on this machine, buffered, with 100-byte values. Each row is measured in each round, and the table shows
//! its median; rows of one run compare, those of two do not. `QUOIT_ROUNDS` and `QUOIT_KEYS` set how long it takes.

#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use quoit_client::Client;
use quoit_integration_tests::cluster::{Clients as _, Cluster, program, settings};
use quoit_integration_tests::node_binary;
use quoit_node::config::Durability;
use tokio::task::JoinSet;

/// One row of the table: how many keys, singly at once or in one call.
#[derive(Debug, Clone, Copy)]
enum Row {
    Puts(u32),
    PutMany(u32),
    Gets(u32),
    GetMany(u32),
}

const ROWS: [Row; 10] = [
    Row::Puts(64),
    Row::Puts(256),
    Row::PutMany(64),
    Row::PutMany(1_000),
    Row::PutMany(10_000),
    Row::Gets(64),
    Row::Gets(256),
    Row::GetMany(64),
    Row::GetMany(1_000),
    Row::GetMany(10_000),
];

impl Row {
    fn name(self) -> String {
        match self {
            Self::Puts(at_once) => format!("put, {at_once} in flight"),
            Self::PutMany(keys) => format!("put_many of {keys}"),
            Self::Gets(at_once) => format!("get, {at_once} in flight"),
            Self::GetMany(keys) => format!("get_many of {keys}"),
        }
    }

    /// Does it for all keys; operations a second.
    async fn rate(self, client: &Client, keys: u32) -> anyhow::Result<f64> {
        let begin = Instant::now();
        match self {
            Self::Puts(at_once) => singly(client, keys, at_once, true).await?,
            Self::Gets(at_once) => singly(client, keys, at_once, false).await?,
            Self::PutMany(chunk) => {
                for chunk in chunks(keys, chunk) {
                    let results = client.put_many(chunk.map(|n| (key(n), value()))).await;
                    ensure!(results.iter().all(Result::is_ok), "one failed");
                }
            }
            Self::GetMany(chunk) => {
                for chunk in chunks(keys, chunk) {
                    let results = client.get_many(chunk.map(key)).await;
                    ensure!(results.iter().all(Result::is_ok), "one failed");
                }
            }
        }
        Ok(f64::from(keys) / begin.elapsed().as_secs_f64())
    }
}

async fn singly(client: &Client, keys: u32, at_once: u32, puts: bool) -> anyhow::Result<()> {
    let next = Arc::new(AtomicU32::new(0));
    let mut workers = JoinSet::new();
    for _ in 0..at_once {
        let (client, next) = (client.clone(), Arc::clone(&next));
        workers.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= keys {
                    return anyhow::Ok(());
                }
                if puts {
                    client.put(key(number), value()).await?;
                } else {
                    client.get(key(number)).await?;
                }
            }
        });
    }
    while let Some(ended) = workers.join_next().await {
        ended??;
    }
    Ok(())
}

fn chunks(keys: u32, chunk: u32) -> impl Iterator<Item = Range<u32>> {
    let begins = (0..keys.div_ceil(chunk)).map(move |number| number * chunk);
    begins.map(move |from| from..keys.min(from + chunk))
}

fn key(number: u32) -> String {
    format!("row:{number:08}")
}

const fn value() -> Bytes {
    Bytes::from_static(&[b'v'; 100])
}

fn setting(name: &'static str, default: u32) -> anyhow::Result<u32> {
    match std::env::var(name) {
        Ok(value) => value.parse().context(name),
        Err(_unset) => Ok(default),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let (rounds, keys) = (setting("QUOIT_ROUNDS", 5)?, setting("QUOIT_KEYS", 60_000)?);
    let mut options = settings(3);
    options.local.durability = Durability::Buffered;
    let cluster = Cluster::start(program(node_binary!()), &options).await?;
    let client = cluster.client().await?;

    let mut rates = ROWS.map(|_| Vec::new());
    Row::PutMany(1_000).rate(&client, keys).await?; // all keys are there in each round
    for _ in 0..rounds {
        for (row, rates) in ROWS.iter().zip(&mut rates) {
            rates.push(row.rate(&client, keys).await?);
        }
    }
    cluster.shut_down().await?;

    println!(
        "{keys} keys of 100 bytes, {rounds} rounds, three nodes; medians, and each beside 64 single ones in flight"
    );
    let mut base = 1.0;
    for (row, rates) in ROWS.iter().zip(&mut rates) {
        rates.sort_by(f64::total_cmp);
        let median = rates[rates.len() / 2];
        if matches!(row, Row::Puts(64) | Row::Gets(64)) {
            base = median;
        }
        println!("{:24} {median:>9.0}/s  {:.2}", row.name(), median / base);
    }
    Ok(())
}
