//! Sentences that the figures must not be read without.
//!
//! ```text
//!   offered 50,000/s, served 31,200/s     -> the target was not met
//!   began late without need,          
//!   or the generator's thread is full     -> the generator was the bottleneck
//!   every core was busy                   -> the machine was
//! ```
//!
//! Each sentence stands by itself, since it is shown far from the others. Nothing is said when nothing is
//! wrong. Pure.

use std::time::Duration;

/// Share of the offered operations that has to be served for the rate to be met.
const MET: f64 = 0.99;
/// Operations that may miss the end of a run of any length.
const STRAGGLERS: u64 = 10;
/// A thread that uses this much of a core has none left to wait in.
const FULL: f64 = 0.9;
/// Later than this for one in a hundred, the generator shows in the latencies.
const LATE: Duration = Duration::from_millis(1);

/// What is judged.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    pub(crate) seconds: f64,
    /// Operations that were due; `None` in a closed loop.
    pub(crate) due: Option<u64>,
    /// Those that succeeded in time.
    pub(crate) in_time: u64,
    /// Those that never began.
    pub(crate) never: u64,
    /// Those that waited since too many were in flight, and how many may be.
    pub(crate) for_room: u64,
    pub(crate) most: usize,
    /// The 99th percentile of how late operations began although more could be in flight.
    pub(crate) late_p99: Duration,
    /// Cores used by the generator's thread, the client's busiest thread, everybody.
    pub(crate) generator: f64,
    pub(crate) client: f64,
    pub(crate) everybody: f64,
    /// Cores that could be used.
    pub(crate) cores: usize,
    /// Whether writes are synced to a disk that is none.
    pub(crate) in_memory: bool,
    /// Whether it is known which processes the servers are.
    pub(crate) servers_known: bool,
    /// Whether this program was built without optimisation.
    pub(crate) debug: bool,
}

/// The sentences, in the order of their weight.
pub(crate) fn sentences(facts: &Facts) -> Vec<String> {
    let all = [
        not_met(facts),
        generator(facts),
        late(facts),
        client(facts),
        machine(facts),
        waited(facts),
    ];
    let notes = [
        (!facts.servers_known).then(|| {
            "The servers' processor time is not known, and not in the figures: their processes were not started here."
                .to_owned()
        }),
        facts.in_memory.then(|| "The nodes' data was in memory (tmpfs): syncing it cost nothing. --data DIR puts it on a disk.".to_owned()),
        facts.debug.then(|| "This is a debug build: it measures itself. Use a release build for figures.".to_owned()),
    ];
    all.into_iter().chain(notes).flatten().collect()
}

fn not_met(facts: &Facts) -> Option<String> {
    let due = facts.due?;
    let missing = due.saturating_sub(facts.in_time);
    let met = float(facts.in_time) >= MET * float(due) || missing <= STRAGGLERS;
    let never = match facts.never {
        0 => String::new(),
        never => format!(" {never} operations had not even begun when the time was out."),
    };
    (!met).then(|| {
        format!(
            "The target was not met: {:.0} operations a second were due, {:.0} succeeded in time.{never}",
            float(due) / facts.seconds,
            float(facts.in_time) / facts.seconds
        )
    })
}

fn generator(facts: &Facts) -> Option<String> {
    (facts.generator >= FULL).then(|| {
        format!(
            "The generator itself was the bottleneck: its thread used {:.0} % of a core. The store may be faster than this.",
            facts.generator * 100.0
        )
    })
}

fn late(facts: &Facts) -> Option<String> {
    (facts.due.is_some() && facts.late_p99 >= LATE).then(|| {
        format!(
            "The generator itself began operations late: 1 % of them by {:.1} ms or more although more could be in flight. \
             Intended latency holds that delay.",
            facts.late_p99.as_secs_f64() * 1e3
        )
    })
}

fn client(facts: &Facts) -> Option<String> {
    (facts.client >= FULL).then(|| {
        format!(
            "The store's client was at its limit: its busiest thread used {:.0} % of a core.",
            facts.client * 100.0
        )
    })
}

fn machine(facts: &Facts) -> Option<String> {
    let cores = float(u64::try_from(facts.cores).unwrap_or(u64::MAX));
    let pinned = if facts.cores == 1 {
        "the one core"
    } else {
        "all cores"
    };
    (facts.everybody >= FULL * cores).then(|| {
        format!(
            "The machine was the limit: store and generator together used {:.2} of {:.0} cores, so {pinned} of it. \
             Compare processor time per operation.",
            facts.everybody, cores
        )
    })
}

fn waited(facts: &Facts) -> Option<String> {
    (facts.for_room > 0).then(|| {
        format!(
            "{} operations waited because {} were in flight; their waiting is in the intended latency.",
            facts.for_room, facts.most
        )
    })
}

#[expect(clippy::cast_precision_loss, reason = "counts lie far below 2^53")]
const fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests;
