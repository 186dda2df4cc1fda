//! What a run found, in the form it is stored, reported and compared in.
//!
//! ```text
//!   run --RunResult--> result.json --> text, HTML, compare
//!         |  operations   one OpResult per verb: counts, percentiles, whole histograms
//!         |  timeline     one Slice per second: what happened when
//!         |  faults       what the script did, and how long it showed
//!         '  verdicts     what the figures must not be read without
//! ```
//!
//! *Intended* latency counts from the moment an operation should have begun, *service* latency from the
//! moment it did. A store that stalls makes later operations begin late: only the first shows that
//! (Gil Tene, *How NOT to Measure Latency*: "coordinated omission"). Times are microseconds where the name
//! does not say otherwise. Left out: how any of it is measured, which is `run`'s.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The format that this program writes and reads.
pub(crate) const FORMAT: u32 = 1;

/// A whole run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RunResult {
    /// [`FORMAT`].
    pub(crate) format: u32,
    /// The store, with what matters: `quoit, 3 nodes, fsync, TLS`.
    pub(crate) target: String,
    /// `ycsb-a`, `get`, ...
    pub(crate) workload: String,
    /// When measuring began, in milliseconds since 1970.
    pub(crate) started_unix_ms: u64,
    /// Every setting that shaped the run, in words.
    pub(crate) settings: BTreeMap<String, String>,
    /// How long was measured, warm-up left out.
    pub(crate) seconds: f64,
    /// Operations a second that an open loop offered; `None` for a closed loop.
    pub(crate) offered: Option<f64>,
    /// By verb: get, put, delete, insert, read-modify-write, cas, update.
    pub(crate) operations: BTreeMap<String, OpResult>,
    /// One per second or finer, in order.
    pub(crate) timeline: Vec<Slice>,
    /// What the fault script did, in order.
    pub(crate) faults: Vec<FaultNote>,
    /// The time between its acts.
    #[serde(default)]
    pub(crate) phases: Vec<PhaseNote>,
    /// What the store's client did about its nodes, if it reports that.
    #[serde(default)]
    pub(crate) health: Option<HealthNote>,
    /// What became of acknowledged writes, if that was asked for.
    pub(crate) verify: Option<VerifyNote>,
    /// Processor time and memory, where `/proc` has them.
    pub(crate) cpu: Option<CpuNote>,
    /// Plain sentences: target rate missed, generator was the bottleneck, ...
    pub(crate) verdicts: Vec<String>,
}

/// One verb of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct OpResult {
    /// Operations that succeeded.
    pub(crate) count: u64,
    /// Conditional writes that found something else than they expected, if there were any; they are in no histogram.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) mismatches: Option<Mismatches>,
    /// How often those that go on until they succeed had to try.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) attempts: Option<Attempts>,
    /// Operations that failed, by kind; they are in no histogram.
    pub(crate) errors: BTreeMap<String, u64>,
    /// How long those took from their real start until they failed, by the same kinds.
    #[serde(default)]
    pub(crate) failed_after: BTreeMap<String, Percentiles>,
    /// Successes a second.
    pub(crate) rate: f64,
    /// From the intended start to the answer.
    pub(crate) intended: Percentiles,
    /// From the real start to the answer.
    pub(crate) service: Percentiles,
    /// The whole of `intended`: HDR histogram V2, deflated, base64.
    pub(crate) intended_hlog: String,
    /// The whole of `service`, likewise.
    pub(crate) service_hlog: String,
}

impl OpResult {
    /// Operations that failed, of all kinds.
    pub(crate) fn failed(&self) -> u64 {
        self.errors.values().sum()
    }
}

/// Conditional writes that found something else than they expected, and wrote nothing.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Mismatches {
    pub(crate) count: u64,
    /// From the intended start to the answer.
    pub(crate) after: Percentiles,
}

/// Attempts of operations that go on until they succeed: 1 if nobody was in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Attempts {
    pub(crate) p50: u64,
    pub(crate) p99: u64,
    pub(crate) max: u64,
}

/// A distribution of latencies, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Percentiles {
    pub(crate) min: u64,
    pub(crate) mean: f64,
    pub(crate) p50: u64,
    pub(crate) p90: u64,
    pub(crate) p95: u64,
    pub(crate) p99: u64,
    pub(crate) p999: u64,
    pub(crate) max: u64,
}

/// A piece of the run's time, of all verbs; latencies are intended ones of operations that ended in it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Slice {
    /// Where it begins, in seconds since measuring began.
    pub(crate) at: f64,
    /// Operations that succeeded in it.
    pub(crate) count: u64,
    /// Operations that failed in it.
    pub(crate) errors: u64,
    pub(crate) p50: u64,
    pub(crate) p99: u64,
    pub(crate) max: u64,
}

/// One act of the fault script.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct FaultNote {
    /// When it was done, in seconds since measuring began.
    pub(crate) at: f64,
    /// `kill n2`
    pub(crate) what: String,
    /// Seconds until the store served as before; `None` if it did not before the next act or the end.
    pub(crate) recovered_after: Option<f64>,
    /// Operations that failed until then.
    pub(crate) failed: u64,
}

/// A stretch between two acts of the fault script, without its first second.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct PhaseNote {
    /// `after slow n2 200ms`
    pub(crate) what: String,
    /// From when to when, in seconds since measuring began.
    pub(crate) from: f64,
    pub(crate) to: f64,
    /// Operations that should have begun in it, by verb.
    pub(crate) operations: BTreeMap<String, PhaseOp>,
    /// What the store's client did about its nodes meanwhile.
    pub(crate) health: Option<HealthNote>,
}

/// One verb in a phase.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct PhaseOp {
    /// Operations that succeeded.
    pub(crate) count: u64,
    /// Operations that failed.
    pub(crate) failed: u64,
    /// From the intended start.
    pub(crate) intended: Percentiles,
}

/// How often the store's client did something about its nodes' health.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct HealthNote {
    /// Reads that asked one more replica since an answer was late.
    pub(crate) hedges: u64,
    /// Those that did not wait for the late one.
    pub(crate) won: u64,
    /// Hedges that the budget had no token for.
    pub(crate) refused: u64,
    /// How often a node was taken for dead: asked last from then on.
    pub(crate) ejections: u64,
    /// Requests that asked after such a node, or a slow one.
    pub(crate) probes: u64,
}

impl HealthNote {
    /// What two clients did together.
    pub(crate) const fn plus(self, other: Self) -> Self {
        Self {
            hedges: self.hedges + other.hedges,
            won: self.won + other.won,
            refused: self.refused + other.refused,
            ejections: self.ejections + other.ejections,
            probes: self.probes + other.probes,
        }
    }

    /// What happened since `before`.
    pub(crate) const fn since(self, before: Self) -> Self {
        Self {
            hedges: self.hedges.saturating_sub(before.hedges),
            won: self.won.saturating_sub(before.won),
            refused: self.refused.saturating_sub(before.refused),
            ejections: self.ejections.saturating_sub(before.ejections),
            probes: self.probes.saturating_sub(before.probes),
        }
    }
}

/// What became of acknowledged writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct VerifyNote {
    /// Keys read back.
    pub(crate) checked: u64,
    /// Keys whose last acknowledged value is gone, with no later one in its place.
    pub(crate) lost: u64,
    /// Keys that hold a value which an acknowledged delete had removed.
    pub(crate) resurrected: u64,
    /// Keys that hold what no write put there.
    pub(crate) wrong: u64,
    /// Keys that could not be judged, since they could not be read.
    pub(crate) unknown: u64,
}

/// What the run cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct CpuNote {
    /// Microseconds of processor time per operation: this process.
    pub(crate) client_us_per_op: f64,
    /// The same: all servers together.
    pub(crate) servers_us_per_op: f64,
    /// Most memory this process held.
    pub(crate) client_rss_mib: f64,
    /// The same, by server.
    pub(crate) servers_rss_mib: Vec<f64>,
}
