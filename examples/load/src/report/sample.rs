//! Results for tests: one that is stored, and many that are made up from a seed.
//!
//! [`tiny`] is a file as a run writes it, so it also guards the format: if it cannot be read any more, no
//! result from before can.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};

use crate::hlog;
use crate::result::{CpuNote, FORMAT, FaultNote, OpResult, RunResult, Slice, VerifyNote};
use crate::run::figures::percentiles;

/// A stored result of two verbs and three seconds.
pub(crate) fn tiny() -> RunResult {
    serde_json::from_str(include_str!("golden/tiny.json")).unwrap()
}

/// Half a minute of two verbs with a fault, 20,000 operations offered a second.
pub(crate) fn typical(seed: u64) -> RunResult {
    let mut made = Made {
        rate: 20_000.0,
        seconds: 30,
        ..Made::new(seed)
    };
    made.fault = Some(12);
    made.result()
}

/// What to make up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Made {
    pub(crate) seed: u64,
    pub(crate) seconds: u32,
    /// Operations a second, nine tenths of them gets.
    pub(crate) rate: f64,
    /// Median of the gets, in microseconds.
    pub(crate) median: f64,
    /// How much a second's rate and latency differ from the next one's, as a part.
    pub(crate) noise: f64,
    /// When a node dies.
    pub(crate) fault: Option<u32>,
}

impl Made {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            seconds: 20,
            rate: 5000.0,
            median: 400.0,
            noise: 0.03,
            fault: None,
        }
    }

    pub(crate) fn result(self) -> RunResult {
        let mut rng = SmallRng::seed_from_u64(self.seed);
        let mut verbs = [("get", 0.9, 1.0), ("put", 0.1, 2.4)].map(|(verb, share, slower)| {
            (
                verb,
                share,
                slower,
                [Histogram::new(3).unwrap(), Histogram::new(3).unwrap()],
            )
        });
        let mut timeline = Vec::new();
        for second in 0..self.seconds {
            let mut all = Histogram::<u64>::new(3).unwrap();
            let broken = self.fault.is_some_and(|at| (at..at + 2).contains(&second));
            let drift = (self.noise * normal(&mut rng)).exp();
            for (_, share, slower, [intended, service]) in &mut verbs {
                let count = self.rate * *share / drift * if broken { 0.6 } else { 1.0 };
                for _ in 0..whole(count) {
                    let usual = self.median * *slower * drift * (0.35 * normal(&mut rng)).exp();
                    let tail = if rng.random_bool(0.008) {
                        1.0 - rng.random::<f64>().ln() * 4.0
                    } else {
                        1.0
                    };
                    let stall = if broken {
                        rng.random::<f64>() * 150_000.0
                    } else {
                        0.0
                    };
                    let took = whole(usual * tail);
                    service.record(took).unwrap();
                    let waited = took + whole(stall) + whole(usual * 0.04 * rng.random::<f64>());
                    intended.record(waited).unwrap();
                    all.record(waited).unwrap();
                }
            }
            timeline.push(slice(second, &all, if broken { 40 } else { 0 }));
        }
        self.assembled(timeline, verbs.map(|(verb, _, _, both)| (verb, both)))
    }

    fn assembled(self, timeline: Vec<Slice>, verbs: [(&str, [Histogram<u64>; 2]); 2]) -> RunResult {
        let seconds = f64::from(self.seconds);
        let errors = |verb: &str| {
            (verb == "get" && self.fault.is_some()).then(|| ("timeout".to_owned(), 80))
        };
        let operations = verbs.into_iter().map(|(verb, [intended, service])| {
            let op = OpResult {
                count: intended.len(),
                errors: errors(verb).into_iter().collect(),
                failed_after: BTreeMap::new(),
                mismatches: None,
                attempts: None,
                rate: intended.len() as f64 / seconds,
                intended: percentiles(&intended),
                service: percentiles(&service),
                intended_hlog: hlog::encode(&intended).unwrap(),
                service_hlog: hlog::encode(&service).unwrap(),
            };
            (verb.to_owned(), op)
        });
        RunResult {
            format: FORMAT,
            target: "quoit, 3 nodes, fsync, TLS".to_owned(),
            workload: "ycsb-b".to_owned(),
            started_unix_ms: 1_700_000_000_000,
            settings: settings(self.rate),
            seconds,
            offered: Some(self.rate),
            operations: operations.collect(),
            timeline,
            faults: self.fault.into_iter().map(fault).collect(),
            phases: Vec::new(),
            health: None,
            verify: Some(VerifyNote {
                checked: 100_000,
                ..VerifyNote::default()
            }),
            cpu: Some(cpu(self.median)),
            verdicts: self.fault.map(|_| verdict()).into_iter().collect(),
        }
    }
}

fn verdict() -> String {
    "The target rate was not met: 97 % of the operations offered were done in time.".to_owned()
}

fn fault(at: u32) -> FaultNote {
    let what = "kill n2".to_owned();
    FaultNote {
        at: f64::from(at),
        what,
        recovered_after: Some(1.8),
        failed: 80,
    }
}

fn cpu(median: f64) -> CpuNote {
    CpuNote {
        client_us_per_op: median / 100.0,
        servers_us_per_op: median / 40.0,
        client_rss_mib: 21.4,
        servers_rss_mib: vec![71.0, 72.5, 70.25],
    }
}

fn settings(rate: f64) -> BTreeMap<String, String> {
    let settings = [
        ("keys", "100000, zipfian 0.99"),
        ("values", "100 B"),
        ("quorum", "N 3, R 2, W 2"),
        ("warm-up", "5 s"),
    ];
    let rate = ("rate".to_owned(), format!("{rate} a second"));
    settings
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into_iter()
        .chain([rate])
        .collect()
}

fn slice(second: u32, all: &Histogram<u64>, errors: u64) -> Slice {
    let at = |level| all.value_at_quantile(level);
    let (p50, p99) = (at(0.5), at(0.99));
    Slice {
        at: f64::from(second),
        count: all.len(),
        errors,
        p50,
        p99,
        max: all.max(),
    }
}

fn whole(number: f64) -> u64 {
    super::units::whole(number)
}

/// The sum of twelve is normal enough for latencies.
fn normal(rng: &mut SmallRng) -> f64 {
    (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0
}
