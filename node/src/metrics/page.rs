//! All metrics of a node as text, read at the moment of a scrape.
//!
//! ```text
//!   # HELP quoit_node_requests Requests that have come, by kind.
//!   # TYPE quoit_node_requests counter
//!   quoit_node_requests_total{kind="get"} 1204
//! ```
//!
//! The format is that of the `OpenMetrics` project, which Prometheus reads. Names begin with `quoit_node_` and end with their unit.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use quoit_ring::change::Branch;
use quoit_ring::wire::{DiskLevel, WarningKind};
use quoit_ring::{Millis, Moment, NodeId};

use super::lines::Lines;
use super::{KINDS, REASONS, seconds};
use crate::clock::{Clocks, Now};
use crate::handlers::warnings;
use crate::state::{ConnectionEvent, NodeState};

/// What happened to callers, in words.
const EVENTS: [(ConnectionEvent, &str); 5] = [
    (ConnectionEvent::Retry, "retry"),
    (ConnectionEvent::HandshakeRefused, "handshake_refused"),
    (ConnectionEvent::HandshakeGivenUp, "handshake_given_up"),
    (ConnectionEvent::HandshakeFailed, "handshake_failed"),
    (ConnectionEvent::SeatRefused, "seat_refused"),
];

/// Where a node's metrics are read.
pub(crate) struct Page {
    pub(crate) state: NodeState,
    pub(crate) queued_writes: Box<dyn Fn() -> usize + Send + Sync>,
    pub(crate) certificate_ends: Millis,
    pub(crate) clocks: Clocks,
}

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Page").finish_non_exhaustive()
    }
}

impl Page {
    /// The text of all metrics as they are now.
    ///
    /// # Errors
    /// None: a string takes any text.
    pub(crate) fn text(self: &Arc<Self>) -> Result<String, fmt::Error> {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Arc::clone(self)));
        let mut text = String::new();
        encode(&mut text, &registry)?;
        Ok(text)
    }
}

impl prometheus_client::collector::Collector for Page {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut lines = Lines(encoder);
        let now = self.clocks.now();
        self.node(&mut lines, now)?;
        self.requests(&mut lines)?;
        self.disk(&mut lines)?;
        self.storage(&mut lines)?;
        self.hints(&mut lines, now.wall)?;
        self.syncs(&mut lines, (now.mono, now.wall))?;
        self.counts(&mut lines, now.wall)?;
        self.ring(&mut lines)?;
        self.connections(&mut lines)
    }
}

impl Page {
    fn node(&self, lines: &mut Lines<'_>, now: Now) -> fmt::Result {
        let state = &self.state;
        let labels = [
            ("node", state.cluster.node.to_string()),
            ("version", env!("CARGO_PKG_VERSION").to_owned()),
            (
                "durability",
                format!("{:?}", state.durability).to_lowercase(),
            ),
        ];
        let info = ("quoit_node", "The node's id, version and durability.");
        lines.begin(info, MetricType::Info)?.encode_info(&labels)?;
        let up = ("quoit_node_uptime_seconds", "Since the start.");
        lines.gauge(up, seconds(now.mono.0))?;
        let warnings = warnings(state, now);
        let has_failed = warnings.iter().any(|it| it.kind == WarningKind::Storage);
        let is_serving = state.cluster.is_member(state.cluster.node)
            && state.completeness.is_complete()
            && !state.service.is_draining()
            && !has_failed;
        let serving = (
            "quoit_node_serving",
            "1 while it answers reads and takes writes: a member, complete, with working storage, not being stopped.",
        );
        lines.gauge(serving, flag(is_serving))?;

        let shown = WarningKind::ALL.iter().map(|kind| {
            let is_there = warnings.iter().any(|warning| warning.kind == *kind);
            (kind.name().to_owned(), flag(is_there))
        });
        let warning = (
            "quoit_node_warning",
            "1 while `quoit status` shows a warning of this kind.",
        );
        lines.gauges(warning, "kind", shown)?;
        let ends = (
            "quoit_node_certificate_expiry_timestamp_seconds",
            "When the certificate ends that the node has loaded, since 1970.",
        );
        lines.gauge(ends, millis(self.certificate_ends.0))
    }

    fn requests(&self, lines: &mut Lines<'_>) -> fmt::Result {
        let metrics = &self.state.metrics;
        let requests = ("quoit_node_requests", "Requests that have come, by kind.");
        lines.counters(requests, "kind", named(&KINDS, &metrics.requests))?;
        let refusals = (
            "quoit_node_refusals",
            "Requests that were refused, by the reason.",
        );
        lines.counters(refusals, "reason", named(&REASONS, &metrics.refusals))?;
        let handling = (
            "quoit_node_request_handling_seconds",
            "From a request's bytes to its answer, or to the queue of writes.",
        );
        lines.histogram(handling, &metrics.handling)?;
        let queueing = (
            "quoit_node_write_queue_seconds",
            "How long a write waited for the committer.",
        );
        lines.histogram(queueing, &metrics.queueing)?;
        let queued = (
            "quoit_node_queued_writes",
            "Writes that wait for the committer now.",
        );
        lines.gauge(queued, float((self.queued_writes)() as u64))
    }

    fn disk(&self, lines: &mut Lines<'_>) -> fmt::Result {
        let state = &self.state;
        let (level, free) = state.stats.disk();
        let refused = [
            ("hints", level <= DiskLevel::Low),
            ("values", level <= DiskLevel::Reserve),
            ("all", level == DiskLevel::Full),
        ];
        let refused = refused.map(|(what, is_so)| (what.to_owned(), flag(is_so)));
        let short = (
            "quoit_node_disk_short",
            "1 while hints, values or all writes are refused for want of space.",
        );
        lines.gauges(short, "refuses", refused)?;
        let room = (
            "quoit_node_disk_free_bytes",
            "Bytes free on its disk at the last look.",
        );
        lines.gauge(room, float(free))
    }

    fn storage(&self, lines: &mut Lines<'_>) -> fmt::Result {
        let (state, metrics) = (&self.state, &self.state.metrics);
        let commit = (
            "quoit_node_commit_seconds",
            "Join, commit and sync of a batch of writes.",
        );
        lines.histogram(commit, &metrics.commit)?;
        let writes = ("quoit_node_committed_writes", "Writes in all batches.");
        lines.counter(writes, metrics.committed.load(Ordering::Relaxed))?;

        let usage = state.stats.usage();
        for (name, help, value) in [
            ("quoit_node_records", "Records, about.", usage.records),
            (
                "quoit_node_disk_bytes",
                "Bytes of the store's files.",
                usage.disk_bytes,
            ),
            (
                "quoit_node_memtable_bytes",
                "Written data that is in no table yet.",
                usage.memtable_bytes,
            ),
            (
                "quoit_node_block_cache_bytes",
                "Table blocks in memory.",
                usage.cache_bytes,
            ),
            (
                "quoit_node_flushes_waiting",
                "Memtables that wait to become tables.",
                usage.flushes_waiting,
            ),
            (
                "quoit_node_compactions_running",
                "Merges of tables under way.",
                usage.compactions_running,
            ),
            (
                "quoit_node_journals",
                "Journals on the disk; many are flushes that lag.",
                usage.journals,
            ),
        ] {
            lines.gauge((name, help), float(value))?;
        }
        let compactions = (
            "quoit_node_compactions",
            "Merges of tables that have ended.",
        );
        lines.counter(compactions, usage.compactions)?;
        let walk = state.sums.progress();
        let unreadable = (
            "quoit_node_unreadable_records",
            "Records, or places among them, that could not be read after the start.",
        );
        lines.gauge(unreadable, float(walk.unreadable))
    }

    fn hints(&self, lines: &mut Lines<'_>, wall: Millis) -> fmt::Result {
        let hints = &self.state.hints;
        let kept = hints.kept().unwrap_or_default();
        let of = |value: fn(&quoit_ring::wire::Kept) -> u64| {
            let each = kept.iter();
            each.map(move |it| (it.target.to_string(), float(value(it))))
        };
        let count = (
            "quoit_node_hints",
            "Writes kept for a node that missed them, by that node.",
        );
        lines.gauges(count, "target", of(|it| it.count))?;
        let bytes = ("quoit_node_hint_bytes", "Their keys and records.");
        lines.gauges(bytes, "target", of(|it| it.bytes))?;
        let oldest = hints.oldest_by_target().into_iter().map(|(target, time)| {
            let age = wall.0.saturating_sub(time.millis().0);
            (target.to_string(), millis(age))
        });
        let age = (
            "quoit_node_oldest_hint_seconds",
            "Age of the oldest of them, or more, by the node that missed it.",
        );
        lines.gauges(age, "target", oldest)?;
        let refused = hints.refused().map_or(0, |refused| refused.count);
        let refusals = (
            "quoit_node_hints_refused",
            "Hints that their target does not take, at least 4,096 of them if it says so.",
        );
        lines.gauge(refusals, float(refused))
    }

    fn syncs(&self, lines: &mut Lines<'_>, (now, wall): (Moment, Millis)) -> fmt::Result {
        let state = &self.state;
        let status = state.sync.status(state.stability.status(wall), now);
        let peers = || status.peers.iter();
        let name = |node: NodeId| node.to_string();
        let equal_ago = |peer: &NodeId| {
            let known = peers().find(|it| it.node == *peer);
            known.and_then(|it| it.equal_ago_ms)
        };
        // One that was never found equal counts from the start: it must not be missing.
        let newest = state.cluster.newest().epoch();
        let shared = state
            .sync
            .shared(&state.cluster, newest)
            .unwrap_or_default();
        let equal = shared.keys().map(|peer| {
            let ago = equal_ago(peer).unwrap_or(now.0 / 1_000);
            (name(*peer), millis(ago))
        });
        let age = (
            "quoit_node_sync_equal_age_seconds",
            "Since both were last found equal, or since the start, by the other owner.",
        );
        lines.gauges(age, "peer", equal)?;
        let pulled = peers().map(|it| (name(it.node), it.pulled));
        let repaired = (
            "quoit_node_sync_pulled_records",
            "Records that syncs have written here, by the other owner.",
        );
        lines.counters(repaired, "peer", pulled)?;
        let failed = peers().map(|it| (name(it.node), it.failed));
        let unrepaired = (
            "quoit_node_sync_failed_keys",
            "Keys that syncs could not repair, by the other owner.",
        );
        lines.counters(unrepaired, "peer", failed)?;

        let paused = (
            "quoit_node_sync_paused",
            "1 while an operator has paused the syncs that it begins.",
        );
        lines.gauge(paused, flag(status.is_paused))
    }

    /// How far back things are known, and what has happened since the start.
    fn counts(&self, lines: &mut Lines<'_>, wall: Millis) -> fmt::Result {
        let state = &self.state;
        let stability = state.stability.status(wall);
        let lag = (
            "quoit_node_stable_lag_seconds",
            "How far back writes may still be under way, and tombstones are needed.",
        );
        lines.gauge(lag, stability.lag_ms.map_or(f64::NAN, millis))?;
        let without = (
            "quoit_node_leaves_without_stable",
            "Leaves of which that is not known: their tombstones are all kept.",
        );
        lines.gauge(without, float(stability.leaves_without))?;
        for (name, help, value) in [
            (
                "quoit_node_tombstones_removed",
                "Tombstones that were needed no more.",
                stability.forgotten,
            ),
            (
                "quoit_node_restored_rows",
                "Rows that an owner had lost, and got back.",
                stability.restored,
            ),
            (
                "quoit_node_expired_values",
                "Values that were removed since they had expired.",
                state.expiry.swept(),
            ),
            (
                "quoit_node_dot_collisions",
                "Two values under one name: clients that share an identity.",
                state.stats.collisions(),
            ),
            (
                "quoit_node_refused_repairs",
                "Repairs that would make a record too large.",
                state.stats.refused_repairs(),
            ),
            (
                "quoit_node_reused_ballots",
                "Conditional writes refused since their ballot had another value.",
                state.registers.reused(),
            ),
        ] {
            lines.counter((name, help), value)?;
        }
        let pending = (
            "quoit_node_pending_conditional_writes",
            "Conditional writes that were accepted and not yet committed.",
        );
        lines.gauge(pending, float(state.registers.pending() as u64))
    }

    fn ring(&self, lines: &mut Lines<'_>) -> fmt::Result {
        let cluster = &self.state.cluster;
        let newest = cluster.newest();
        let is_changing = newest.topology().change().is_some();
        let is_member = cluster.is_member(cluster.node);
        for (name, help, value) in [
            (
                "quoit_node_epoch",
                "The newest epoch of the ring that it knows, counted on over recoveries.",
                float(Branch::step(newest.epoch())),
            ),
            (
                "quoit_node_fence_epoch",
                "The oldest epoch that it serves, counted on over recoveries.",
                float(Branch::step(cluster.epoch())),
            ),
            (
                "quoit_node_recoveries",
                "How often the cluster was recovered after the loss of a majority of voters.",
                Branch::of(newest.epoch()).recoveries().into(),
            ),
            (
                "quoit_node_ring_changing",
                "1 while ranges move.",
                flag(is_changing),
            ),
            (
                "quoit_node_member",
                "1 if it is a member by the newest epoch.",
                flag(is_member),
            ),
            (
                "quoit_node_pull_bytes_per_second",
                "Most bytes that it pulls in a second.",
                float(self.state.stats.pull_rate()),
            ),
        ] {
            lines.gauge((name, help), value)?;
        }
        Ok(())
    }

    fn connections(&self, lines: &mut Lines<'_>) -> fmt::Result {
        let service = &self.state.service;
        let open = ("quoit_node_connections", "Connections being served.");
        lines.gauge(open, float(service.connections().into()))?;
        let watches = ("quoit_node_watches", "Subscriptions to changes of keys.");
        lines.gauge(watches, float(self.state.watches.count() as u64))?;
        let events = EVENTS.map(|(event, name)| (name.to_owned(), service.counted(event)));
        let what = (
            "quoit_node_connection_events",
            "Callers that were not served, or not at once, by what happened.",
        );
        lines.counters(what, "event", events)
    }
}

fn named<'a>(
    names: &'a [&str],
    counts: &'a [AtomicU64],
) -> impl Iterator<Item = (String, u64)> + use<'a> {
    let counts = counts.iter().map(|count| count.load(Ordering::Relaxed));
    names.iter().map(|&name| name.to_owned()).zip(counts)
}

fn flag(is_so: bool) -> f64 {
    f64::from(u8::from(is_so))
}

/// Milliseconds in seconds.
fn millis(millis: u64) -> f64 {
    seconds(millis.saturating_mul(1_000))
}

/// Rounded above 2^53, as all numbers of this format are.
#[expect(clippy::cast_precision_loss, reason = "the format knows no others")]
const fn float(number: u64) -> f64 {
    number as f64
}
