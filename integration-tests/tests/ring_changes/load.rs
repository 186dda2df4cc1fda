//! Clients at work while the ring changes: each writer has keys of its own, and a ledger of every write.
//!
//! ```text
//!   a writer    first 250 new keys, then: half reads, three of eight overwrites, one of eight a new key
//! ```
//!
//! Every read is judged. A request that fails is an error that a caller got: what the client did before it said so does
//! not count.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use quoit_client::Client;
use quoit_integration_tests::cluster::{Clients as _, Cluster};
use quoit_integration_tests::ledger::{Ledger, Outcome};
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::task::JoinHandle;

use crate::support::until;

const CLIENTS: usize = 4;
const WRITERS_OF_A_CLIENT: usize = 2;
const WRITERS: usize = CLIENTS * WRITERS_OF_A_CLIENT;
/// How long a writer rests after each request: all of them together leave the processors to the nodes.
const REST: Duration = Duration::from_millis(2);
/// How long a request may take. A busy machine must not make it fail, so it is far more than the default.
const DEADLINE: Duration = Duration::from_secs(30);

/// The requests so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    requests: AtomicU64,
    new_keys: AtomicU64,
    wrong: Mutex<Vec<String>>,
}

impl Tally {
    /// Something that must not be: a request failed, or a read returned what it must not.
    fn wrong(&self, what: String) {
        self.wrong.lock().unwrap().push(what);
    }

    fn wait_for_keys(&self, keys: u64) -> bool {
        self.new_keys.load(Ordering::Relaxed) >= keys
    }
}

/// Writers at work.
pub(crate) struct Load {
    tally: Arc<Tally>,
    stop: Arc<AtomicBool>,
    clients: Vec<Client>,
    writers: Vec<JoinHandle<Vec<Ledger>>>,
}

impl Load {
    /// Starts the writers; returns once they have written `keys` new keys between them.
    pub(crate) async fn start(cluster: &Cluster, keys: usize) -> Self {
        let mut load = Self {
            tally: Arc::default(),
            stop: Arc::default(),
            clients: Vec::new(),
            writers: Vec::new(),
        };
        for _ in 0..CLIENTS {
            let builder = cluster.client_builder().deadline(DEADLINE);
            load.clients.push(builder.connect().await.unwrap());
        }
        for number in 0..WRITERS {
            let writer = Writer {
                number,
                first_keys: keys / WRITERS,
                client: load.clients[number % CLIENTS].clone(),
                tally: Arc::clone(&load.tally),
                stop: Arc::clone(&load.stop),
                ledgers: Vec::new(),
                rng: SmallRng::from_os_rng(),
            };
            load.writers.push(tokio::spawn(writer.run()));
        }

        let tally = Arc::clone(&load.tally);
        until("the first keys are written", async || {
            tally.wait_for_keys(keys as u64)
        })
        .await;
        load
    }

    /// How many requests have ended.
    pub(crate) fn requests(&self) -> u64 {
        self.tally.requests.load(Ordering::Relaxed)
    }

    /// Lets every writer end its request, then reads every key with a new client. Returns the keys.
    ///
    /// # Panics
    /// If a request has failed, or anything was lost.
    pub(crate) async fn stop(self, cluster: &Cluster, what: &str) -> Vec<Bytes> {
        self.stop.store(true, Ordering::Relaxed);
        let mut ledgers = Vec::new();
        for writer in self.writers {
            ledgers.extend(writer.await.unwrap());
        }
        for client in self.clients {
            client.close().await;
        }

        let builder = cluster.client_builder().deadline(DEADLINE);
        let reader = builder.connect().await.unwrap();
        for ledger in &mut ledgers {
            read(&reader, ledger, &self.tally).await;
        }
        reader.close().await;
        let (keys, requests) = (ledgers.len(), self.tally.requests.load(Ordering::Relaxed));
        let wrong = self.tally.wrong.lock().unwrap();
        println!(
            "{what}: {requests} requests, {keys} keys, {} failed or wrong",
            wrong.len()
        );
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        ledgers.iter().map(Ledger::key).collect()
    }
}

struct Writer {
    number: usize,
    first_keys: usize,
    client: Client,
    tally: Arc<Tally>,
    stop: Arc<AtomicBool>,
    ledgers: Vec<Ledger>,
    rng: SmallRng,
}

impl Writer {
    async fn run(mut self) -> Vec<Ledger> {
        while !self.stop.load(Ordering::Relaxed) {
            if self.ledgers.len() < self.first_keys {
                self.write_new().await;
                continue; // the sooner the better: until then the test only waits
            }
            match self.rng.random_range(0..8) {
                0 => self.write_new().await,
                1..=3 => {
                    let any = self.rng.random_range(0..self.ledgers.len());
                    self.write(any).await;
                }
                _ => {
                    let any = self.rng.random_range(0..self.ledgers.len());
                    read(&self.client, &mut self.ledgers[any], &self.tally).await;
                }
            }
            tokio::time::sleep(REST).await;
        }
        self.ledgers
    }

    async fn write_new(&mut self) {
        let key = format!("w{}-{}", self.number, self.ledgers.len());
        self.ledgers.push(Ledger::new(key));
        self.write(self.ledgers.len() - 1).await;
        self.tally.new_keys.fetch_add(1, Ordering::Relaxed);
    }

    async fn write(&mut self, key: usize) {
        let ledger = &mut self.ledgers[key];
        let value = ledger.attempt();
        let written = self.client.put(ledger.key(), value).await;
        self.tally.requests.fetch_add(1, Ordering::Relaxed);
        ledger.record(Outcome::of(&written));
        if let Err(error) = written {
            self.tally.wrong(format!("a put failed: {error}; {ledger}"));
        }
    }
}

/// Reads a key and judges what comes.
async fn read(client: &Client, ledger: &mut Ledger, tally: &Tally) {
    let read = client.get(ledger.key()).await;
    tally.requests.fetch_add(1, Ordering::Relaxed);
    match read {
        Err(error) => tally.wrong(format!("a get failed: {error}; {ledger}")),
        Ok(entry) => {
            if let Err(violation) = ledger.judge(&entry) {
                tally.wrong(format!("{violation:?}: {ledger}"));
            }
        }
    }
}
