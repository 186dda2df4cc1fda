//! The load: tasks that each do one operation after the other, and what that took.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hdrhistogram::Histogram;
use quoit_client::Client;
use quoit_integration_tests::cluster::Cluster;
use quoit_local::usage;
use rand::rngs::SmallRng;
use rand::{Rng as _, RngCore as _, SeedableRng as _};
use tokio::task::JoinSet;

/// Operations in flight while the keys are first written.
const FILLING: usize = 256;

/// What is done to a random key.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Verb {
    Get,
    Put,
}

/// The keys and the size of their values.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keys {
    pub(crate) count: usize,
    pub(crate) bytes: usize,
}

/// One row.
#[derive(Debug)]
pub(crate) struct Shape {
    pub(crate) verb: Verb,
    pub(crate) keys: Keys,
    pub(crate) in_flight: usize,
    pub(crate) time: Duration,
}

/// What a row came to.
#[derive(Debug)]
pub(crate) struct Figures {
    pub(crate) operations: u64,
    pub(crate) elapsed: Duration,
    /// Microseconds.
    pub(crate) latency: Histogram<u64>,
    pub(crate) client_cpu: Duration,
    pub(crate) nodes_cpu: Duration,
    /// Bytes of memory of the largest node at the end.
    pub(crate) node_memory: u64,
}

impl Keys {
    fn name(index: usize) -> Bytes {
        format!("key-{index:012}").into()
    }

    fn value(self, random: &mut SmallRng) -> Bytes {
        let mut value = vec![0; self.bytes];
        random.fill_bytes(&mut value);
        value.into()
    }

    /// Writes each key once.
    pub(crate) async fn fill(self, client: &Client) -> anyhow::Result<()> {
        let next = Rc::new(Cell::new(0));
        let mut tasks = JoinSet::new();
        for task in 0..FILLING {
            let (client, next) = (client.clone(), Rc::clone(&next));
            tasks.spawn_local(async move {
                let mut random = SmallRng::seed_from_u64(task as u64);
                while next.get() < self.count {
                    let key = Self::name(next.replace(next.get() + 1));
                    client.put(key, self.value(&mut random)).await?;
                }
                anyhow::Ok(())
            });
        }
        while let Some(done) = tasks.join_next().await {
            done??;
        }
        Ok(())
    }
}

/// What the tasks of one row share.
struct Run {
    latency: RefCell<Histogram<u64>>,
    operations: Cell<u64>,
    measuring: Cell<bool>,
    over: Cell<bool>,
}

impl Shape {
    /// Warms up, measures, and waits for the last operations.
    pub(crate) async fn run(&self, client: &Client, cluster: &Cluster) -> anyhow::Result<Figures> {
        let run = Rc::new(Run {
            latency: RefCell::new(Histogram::new(3)?),
            operations: Cell::new(0),
            measuring: Cell::new(false),
            over: Cell::new(false),
        });
        let mut tasks = JoinSet::new();
        for task in 0..self.in_flight {
            let random = SmallRng::seed_from_u64(1_000 + task as u64);
            tasks.spawn_local(work(
                self.verb,
                self.keys,
                client.clone(),
                Rc::clone(&run),
                random,
            ));
        }
        tokio::time::sleep(self.time / 4).await;
        let (client_before, nodes_before) = (usage::own()?.cpu, nodes_cpu(cluster)?);
        let begin = Instant::now();
        run.measuring.set(true);
        tokio::time::sleep(self.time).await;
        run.measuring.set(false);
        let elapsed = begin.elapsed();
        let figures = Figures {
            operations: run.operations.get(),
            elapsed,
            latency: run.latency.borrow().clone(),
            client_cpu: usage::own()?.cpu.saturating_sub(client_before),
            nodes_cpu: nodes_cpu(cluster)?.saturating_sub(nodes_before),
            node_memory: node_memory(cluster)?,
        };
        run.over.set(true);
        while let Some(done) = tasks.join_next().await {
            done??;
        }
        Ok(figures)
    }
}

/// One operation after the other until the row is over.
async fn work(
    verb: Verb,
    keys: Keys,
    client: Client,
    run: Rc<Run>,
    mut random: SmallRng,
) -> anyhow::Result<()> {
    while !run.over.get() {
        let key = Keys::name(random.random_range(0..keys.count));
        let begin = Instant::now();
        match verb {
            Verb::Get => {
                let entry = client.get(key).await?;
                anyhow::ensure!(entry.value().is_some(), "a key that was written is gone");
            }
            Verb::Put => drop(client.put(key, keys.value(&mut random)).await?),
        }
        if run.measuring.get() {
            let micros = u64::try_from(begin.elapsed().as_micros()).unwrap_or(u64::MAX);
            run.latency.borrow_mut().record(micros.max(1))?;
            run.operations.set(run.operations.get() + 1);
        }
    }
    Ok(())
}

fn nodes_cpu(cluster: &Cluster) -> anyhow::Result<Duration> {
    let mut all = Duration::ZERO;
    for node in 0..cluster.size() {
        all += cluster.usage(node)?.cpu;
    }
    Ok(all)
}

fn node_memory(cluster: &Cluster) -> anyhow::Result<u64> {
    let mut most = 0;
    for node in 0..cluster.size() {
        most = most.max(cluster.usage(node)?.resident);
    }
    Ok(most)
}
