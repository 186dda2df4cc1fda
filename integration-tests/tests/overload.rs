//! A cluster that is asked for far more than it may take in.
//!
//! ```text
//!   2,000 writers, each with a key of its own     3 processes, N = 3, 64 writes may wait at each
//!     put, put, put ...  refused? a short rest, and again
//!     a watcher beside them, with a connection of its own: how are the nodes?
//!   then all of them stop: the first operation after that works
//! ```
//!
//! What must hold on a machine of any speed: refusals come and are known to have stored nothing; every operation
//! ends by its deadline; what was acknowledged is read back; queues and memory keep their bounds; and
//! none of it remains once the load has ended. Throughput is for the load generator to measure.

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    use std::time::Duration;

    use bytes::Bytes;
    use quoit_client::{Attempt, Client, Entry, Outcome, Stored, WriteError};
    use quoit_integration_tests::cluster::{Clients as _, Cluster, program, settings};
    use quoit_integration_tests::node_binary;
    use quoit_ring::wire::Refusal;
    use tokio::time::{Instant, sleep};

    const WRITERS: usize = 2_000;
    /// Writes that may wait at a node.
    const ROOM: u32 = 64;
    const LOAD: Duration = Duration::from_secs(3);
    const DEADLINE: Duration = Duration::from_secs(2);
    /// How much later an operation may be seen to end where the machine is busy with other things.
    const BUSY: Duration = Duration::from_secs(4);
    /// A writer that was refused rests for so long: the load stays far beyond the capacity.
    const REST: Duration = Duration::from_millis(2);
    /// Bytes by which a node's memory may grow: its share of the engine's, windows of two connections, and little
    /// else. What writers would have waiting without a bound is more.
    const GROWTH: u64 = 192 << 20;
    /// How long something may take that should come about soon.
    const SOON: Duration = Duration::from_secs(20);

    /// What all writers came to.
    #[derive(Debug, Default)]
    struct Counts {
        acked: AtomicU64,
        /// Writes of which at least one replica said that it has too much to do.
        refused: AtomicU64,
        /// Among them those that are surely not stored.
        not_stored: AtomicU64,
        unknown: AtomicU64,
    }

    /// What a writer knows of its key: the number that must be there, and later ones that may be.
    #[derive(Debug)]
    struct Knows {
        key: String,
        firm: u64,
        maybe: Vec<u64>,
    }

    impl Knows {
        fn allows(&self, entry: &Entry) -> bool {
            let read = entry.value().map_or(0, |value| number(value));
            entry.siblings().len() <= 1 && (read == self.firm || self.maybe.contains(&read))
        }
    }

    struct Writer {
        client: Client,
        counts: Arc<Counts>,
        stop: Arc<AtomicBool>,
        knows: Knows,
    }

    impl Writer {
        async fn run(mut self) -> Knows {
            let mut next = 0;
            while !self.stop.load(Ordering::Relaxed) {
                next += 1;
                let begin = Instant::now();
                let written = self.client.put(self.knows.key.clone(), value(next)).await;
                let took = begin.elapsed();
                assert!(took < DEADLINE + BUSY, "an operation took {took:?}");
                match written {
                    Ok(_) => {
                        self.counts.acked.fetch_add(1, Ordering::Relaxed);
                        (self.knows.firm, self.knows.maybe) = (next, Vec::new());
                    }
                    Err(error) => {
                        self.failed(&error, next);
                        sleep(REST).await;
                    }
                }
            }
            self.knows
        }

        fn failed(&mut self, error: &WriteError, number: u64) {
            let counts = &self.counts;
            if error.stored() != Stored::No {
                counts.unknown.fetch_add(1, Ordering::Relaxed);
                self.knows.maybe.push(number);
            }
            if attempts(error).iter().any(is_refused) {
                counts.refused.fetch_add(1, Ordering::Relaxed);
                let surely = u64::from(error.stored() == Stored::No);
                counts.not_stored.fetch_add(surely, Ordering::Relaxed);
            }
        }
    }

    fn attempts(error: &WriteError) -> &[Attempt] {
        match error {
            WriteError::NotStored { attempts, .. }
            | WriteError::UnderReplicated { attempts, .. }
            | WriteError::Unknown { attempts, .. } => attempts,
            other => panic!("an overload is no reason for this: {other}"),
        }
    }

    const fn is_refused(attempt: &Attempt) -> bool {
        matches!(
            attempt.outcome,
            Outcome::Refused(Refusal::Overloaded { .. })
        )
    }

    /// A value that holds its number and is as long as many are.
    fn value(number: u64) -> Bytes {
        let mut value = vec![7; 200];
        value[..8].copy_from_slice(&number.to_le_bytes());
        value.into()
    }

    fn number(value: &[u8]) -> u64 {
        u64::from_le_bytes(*value.first_chunk().unwrap())
    }

    async fn cluster() -> Cluster {
        let mut options = settings(3);
        options.node_settings = format!("write_queue = {{ requests = {ROOM}, bytes = \"2MiB\" }}");
        Cluster::start(program(node_binary!()), &options)
            .await
            .unwrap()
    }

    async fn client(cluster: &Cluster) -> Client {
        let builder = cluster.client_builder().deadline(DEADLINE);
        builder.max_in_flight(2 * WRITERS).connect().await.unwrap()
    }

    fn start(
        client: &Client,
        counts: &Arc<Counts>,
        stop: &Arc<AtomicBool>,
    ) -> Vec<tokio::task::JoinHandle<Knows>> {
        let writer = |number| Writer {
            client: client.clone(),
            counts: Arc::clone(counts),
            stop: Arc::clone(stop),
            knows: Knows {
                key: format!("key-{number}"),
                firm: 0,
                maybe: Vec::new(),
            },
        };
        (0..WRITERS)
            .map(|number| tokio::spawn(writer(number).run()))
            .collect()
    }

    fn memory(cluster: &Cluster) -> Vec<u64> {
        let resident = |node| cluster.usage(node).unwrap().resident;
        (0..cluster.size()).map(resident).collect()
    }

    /// Most writes that wait at a node that answers.
    async fn longest_queue(watcher: &Client) -> Option<u32> {
        let reports = watcher.status().await;
        let queued = reports.iter().map(|report| report.status.as_ref().ok());
        queued
            .map(|status| status.map(|status| status.queued_writes))
            .max()?
    }

    /// Looks at the nodes while they are under load.
    async fn watch(cluster: &Cluster, watcher: &Client, before: &[u64]) {
        let begin = Instant::now();
        while begin.elapsed() < LOAD {
            if let Some(queue) = longest_queue(watcher).await {
                assert!(queue <= ROOM, "{queue} writes wait");
            }
            for (now, before) in memory(cluster).iter().zip(before) {
                let grown = now.saturating_sub(*before);
                assert!(grown < GROWTH, "a node has grown by {} MiB", grown >> 20);
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    async fn nothing_waits(watcher: &Client) {
        let begin = Instant::now();
        while longest_queue(watcher).await != Some(0) {
            assert!(begin.elapsed() < SOON, "writes wait for ever");
            sleep(Duration::from_millis(20)).await;
        }
    }

    #[tokio::test]
    async fn a_cluster_asked_too_much_of_refuses_loses_nothing_and_is_well_at_once_afterwards() {
        let cluster = cluster().await;
        let (client, watcher) = (client(&cluster).await, client(&cluster).await);
        let (counts, stop) = (
            Arc::new(Counts::default()),
            Arc::new(AtomicBool::new(false)),
        );
        let before = memory(&cluster);
        let writers = start(&client, &counts, &stop);
        watch(&cluster, &watcher, &before).await;
        stop.store(true, Ordering::Relaxed);
        let mut known = Vec::new();
        for writer in writers {
            known.push(writer.await.unwrap());
        }

        nothing_waits(&watcher).await;
        client.put("afterwards", "v").await.unwrap();
        let read = client.get("afterwards").await.unwrap();
        assert_eq!(read.value().unwrap(), "v");

        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        println!("{counts:?}");
        assert!(of(&counts.refused) > 100, "there is no load: {counts:?}");
        assert!(of(&counts.not_stored) > 0, "{counts:?}");
        assert!(of(&counts.acked) > 100, "nothing gets done: {counts:?}");
        for knows in &known {
            let entry = client.get(knows.key.clone()).await.unwrap();
            assert!(knows.allows(&entry), "{knows:?} but {entry:?} is read");
        }
        cluster.shut_down().await.unwrap();
    }
}
