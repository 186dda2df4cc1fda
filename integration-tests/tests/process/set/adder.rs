//! Adders: tasks that add one unique element after the other, and record each outcome.
//!
//! ```text
//!   keys   put k7-31 = "k7-31"                             every eighth time an older key of its own is read again
//!   sets   get, unite siblings, add a line, put            four adders share a set, and the next one once it is full
//! ```
//!
//! A rest after each add keeps the pace at what a machine with other work to do serves, so that a long run is long
//! in time and not in elements. An add does not count if its set could not be read.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use quoit_client::{Client, SetUnion};
use quoit_integration_tests::ledger::Outcome;
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep};

use super::tally::Added;

const KEY_ADDERS: usize = 48;
const SET_ADDERS: usize = 16;
/// Adders of one set at a time.
const TOGETHER: usize = 4;
/// Elements of a set that its next adder leaves behind.
const FULL: u64 = 200;
const REST: Duration = Duration::from_millis(15);
/// Adds between two reads.
const READ_EVERY: usize = 8;
/// Acknowledged adds that show that adding goes on.
const SOME: u64 = 200;

/// What all adders share.
#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    acked: AtomicU64,
    stale: AtomicU64,
    /// Adds to the sets of each group; the count gives its current set.
    tried: [AtomicU64; SET_ADDERS / TOGETHER],
}

/// Adders at work.
pub(crate) struct Adders {
    shared: Arc<Shared>,
    keys: JoinSet<Vec<Added>>,
    sets: Vec<JoinHandle<BTreeMap<String, Added>>>,
}

impl Adders {
    /// Starts all of them, spread over `clients`.
    pub(crate) fn start(clients: &[Client]) -> Self {
        let shared = Arc::new(Shared::default());
        let adder = |number: usize| Adder {
            client: clients[number % clients.len()].clone(),
            shared: Arc::clone(&shared),
            number,
            rng: SmallRng::from_os_rng(),
        };
        let mut keys = JoinSet::new();
        for number in 0..KEY_ADDERS {
            keys.spawn(adder(number).add_keys());
        }
        let sets = (0..SET_ADDERS).map(|number| tokio::spawn(adder(number).add_to_sets()));
        let sets = sets.collect();
        Self { shared, keys, sets }
    }

    /// Waits until some more adds were acknowledged.
    pub(crate) async fn goes_on(&self, timeout: Duration) {
        let acked = || self.shared.acked.load(Ordering::Relaxed);
        let (begin, enough) = (Instant::now(), acked() + SOME);
        while acked() < enough {
            assert!(begin.elapsed() < timeout, "adding does not go on");
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Lets each end its add; returns what was tried, and how many reads were stale.
    pub(crate) async fn stop(self) -> (Vec<Added>, u64) {
        self.shared.stop.store(true, Ordering::Relaxed);
        let mut added: Vec<Added> = self.keys.join_all().await.into_iter().flatten().collect();
        let mut united = BTreeMap::<String, Added>::new();
        for adder in self.sets {
            for (key, some) in adder.await.unwrap() {
                let all = united.entry(key.clone()).or_insert_with(|| Added::to(key));
                all.unite(some);
            }
        }
        added.extend(united.into_values());
        // Keys that no adder tried.
        added.extend((0..1_000).map(|number| Added::to(format!("never-{number}"))));
        (added, self.shared.stale.load(Ordering::Relaxed))
    }
}

struct Adder {
    client: Client,
    shared: Arc<Shared>,
    number: usize,
    rng: SmallRng,
}

impl Adder {
    fn goes_on(&self) -> bool {
        !self.shared.stop.load(Ordering::Relaxed)
    }

    async fn add_keys(mut self) -> Vec<Added> {
        let (mut tried, mut acked) = (Vec::new(), Vec::new());
        while self.goes_on() {
            let key = format!("k{}-{}", self.number, tried.len());
            let outcome = Outcome::of(&self.client.put(key.clone(), key.clone()).await);
            if self.counted(outcome) {
                acked.push(key.clone());
            }
            let mut added = Added::to(key.clone());
            added.record(key, outcome);
            tried.push(added);
            if tried.len().is_multiple_of(READ_EVERY) && !acked.is_empty() {
                let older = self.rng.random_range(0..acked.len());
                self.read_again(&acked[older]).await;
            }
            sleep(REST).await;
        }
        tried
    }

    async fn read_again(&self, key: &str) {
        // A failed read is neither stale nor fresh.
        if let Ok(entry) = self.client.get(key.to_owned()).await
            && entry.is_absent()
        {
            self.shared.stale.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn add_to_sets(self) -> BTreeMap<String, Added> {
        let mut tried = BTreeMap::<String, Added>::new();
        let group = self.number / TOGETHER;
        let mut count = 0;
        while self.goes_on() {
            let set = self.shared.tried[group].load(Ordering::Relaxed) / FULL;
            let key = format!("s{group}-{set}");
            let element = format!("e{}-{count}", self.number);
            if let Some(outcome) = self.add(&key, &element).await {
                count += 1;
                self.shared.tried[group].fetch_add(1, Ordering::Relaxed);
                self.counted(outcome);
                let added = tried.entry(key.clone()).or_insert_with(|| Added::to(key));
                added.record(element, outcome);
            }
            sleep(REST).await;
        }
        tried
    }

    /// Adds an element to a set; `None` if it could not be read, and so nothing was tried.
    async fn add(&self, key: &str, element: &str) -> Option<Outcome> {
        let get = self.client.get(key.to_owned()).merge(SetUnion::lines());
        let entry = get.await.ok()?;
        let mut lines = entry.value().map_or_else(Vec::new, |value| value.to_vec());
        if !lines.is_empty() {
            lines.push(b'\n');
        }
        lines.extend_from_slice(element.as_bytes());
        let put = self.client.put(key.to_owned(), lines);
        Some(Outcome::of(&put.context(entry.context()).await))
    }

    /// Counts an outcome; whether it is an acknowledgement.
    fn counted(&self, outcome: Outcome) -> bool {
        let acked = outcome == Outcome::Ok;
        self.shared
            .acked
            .fetch_add(u64::from(acked), Ordering::Relaxed);
        acked
    }
}
