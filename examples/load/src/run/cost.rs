//! What a run costs: processor time of this program and of the servers, and the most memory they held.
//!
//! ```text
//!   begin of measuring --- a look every quarter of a second --- end of measuring
//!        server 71     |=================|  killed             what it used up to the last look counts
//!        server 94                          |===============|  restarted
//! ```
//!
//! Also says whether the generator was the bottleneck: its thread is the process's first, all others
//! belong to the store's client but those of proxies, which stand for a network and cost neither side.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::figures::per;
use crate::cluster::PROXY_THREAD;
use crate::os;
use crate::result::CpuNote;
use crate::target::Target;

/// How often processes are looked at.
const LOOK: Duration = Duration::from_millis(250);

/// Processor time and memory of everybody, over some time.
#[derive(Debug)]
pub(crate) struct Cost {
    own_begin: Option<Duration>,
    own_end: Option<Duration>,
    threads: BTreeMap<u32, Span>,
    servers: BTreeMap<u32, Span>,
    /// Servers in the order in which they were first seen.
    order: Vec<u32>,
    seconds: f64,
}

#[derive(Debug, Clone, Copy)]
struct Span {
    begin: Duration,
    end: Duration,
    memory: u64,
    /// Whether it is a proxy's.
    proxy: bool,
}

impl Span {
    const fn used(self) -> Duration {
        self.end.saturating_sub(self.begin)
    }
}

/// Looks on until `end`.
///
/// Reading `/proc` takes a good part of a millisecond, so it is done on another thread than the generator's.
///
/// # Errors
/// If that thread fails.
pub(crate) async fn watch(target: Target, begin: Instant, end: Instant) -> anyhow::Result<Cost> {
    tokio::time::sleep_until(begin).await;
    let first = target.clone();
    let mut cost = spawn_blocking(move || Cost::begin(&first)).await?;
    while Instant::now() < end {
        tokio::time::sleep_until(end.min(Instant::now() + LOOK)).await;
        let target = target.clone();
        cost = spawn_blocking(move || cost.looked(&target)).await?;
    }
    cost.seconds = begin.elapsed().as_secs_f64();
    Ok(cost)
}

fn look_at_threads(threads: &mut BTreeMap<u32, Span>) {
    for thread in os::own_threads() {
        let span = threads.entry(thread.number).or_insert_with(|| Span {
            begin: thread.used,
            end: thread.used,
            memory: 0,
            proxy: thread.name.starts_with(PROXY_THREAD),
        });
        span.end = thread.used;
    }
}

impl Cost {
    fn begin(target: &Target) -> Self {
        let mut cost = Self {
            own_begin: os::cpu(std::process::id()),
            own_end: None,
            threads: BTreeMap::new(),
            servers: BTreeMap::new(),
            order: Vec::new(),
            seconds: 0.0,
        };
        look_at_threads(&mut cost.threads);
        cost.look(target, Duration::MAX);
        cost
    }

    /// After another look at everybody.
    fn looked(mut self, target: &Target) -> Self {
        self.look(target, Duration::ZERO);
        self.own_end = os::cpu(std::process::id());
        look_at_threads(&mut self.threads);
        self
    }

    /// Looks at every server. One that was not there before is counted from `before`, or from what it has
    /// used by now if that is less.
    fn look(&mut self, target: &Target, before: Duration) {
        for pid in target.server_pids() {
            let Some(used) = os::cpu(pid) else {
                continue;
            };
            let memory = os::peak_memory(pid).unwrap_or(0);
            let span = self.servers.entry(pid).or_insert_with(|| {
                self.order.push(pid);
                Span {
                    begin: used.min(before),
                    end: used,
                    memory,
                    proxy: false,
                }
            });
            span.end = used;
            span.memory = span.memory.max(memory);
        }
    }

    fn servers_used(&self) -> Duration {
        self.servers.values().map(|span| span.used()).sum()
    }

    fn own_used(&self) -> Option<Duration> {
        let all = self.own_end?.saturating_sub(self.own_begin?);
        Some(all.saturating_sub(self.proxies_used()))
    }

    fn proxies_used(&self) -> Duration {
        let proxies = self.threads.values().filter(|span| span.proxy);
        proxies.map(|span| span.used()).sum()
    }

    /// Processor time per operation, and memory; `None` where the system has no such figures.
    pub(crate) fn note(&self, operations: u64) -> Option<CpuNote> {
        let micros = |used: Duration| {
            if operations == 0 {
                0.0
            } else {
                used.as_secs_f64() * 1e6 / per(operations, 1.0)
            }
        };
        Some(CpuNote {
            client_us_per_op: micros(self.own_used()?),
            servers_us_per_op: micros(self.servers_used()),
            client_rss_mib: mib(os::peak_memory(std::process::id())?),
            servers_rss_mib: self
                .order
                .iter()
                .map(|pid| mib(self.servers[pid].memory))
                .collect(),
        })
    }

    /// Whether any server's process is known.
    pub(crate) fn knows_servers(&self) -> bool {
        !self.servers.is_empty()
    }

    /// How much of a core the generator's thread used.
    pub(crate) fn generator(&self) -> f64 {
        self.cores(
            self.threads
                .get(&std::process::id())
                .map_or(Duration::ZERO, |span| span.used()),
        )
    }

    /// How much of a core the busiest thread of the store's client used.
    pub(crate) fn client(&self) -> f64 {
        let others = self
            .threads
            .iter()
            .filter(|(thread, span)| **thread != std::process::id() && !span.proxy);
        self.cores(
            others
                .map(|(_, span)| span.used())
                .max()
                .unwrap_or_default(),
        )
    }

    /// How many cores everybody used together.
    pub(crate) fn everybody(&self) -> f64 {
        let own = self.own_used().unwrap_or_default();
        self.cores(own + self.proxies_used() + self.servers_used())
    }

    fn cores(&self, used: Duration) -> f64 {
        if self.seconds > 0.0 {
            used.as_secs_f64() / self.seconds
        } else {
            0.0
        }
    }
}

fn mib(bytes: u64) -> f64 {
    per(bytes, 1_048_576.0)
}

#[cfg(test)]
mod tests;
