//! One figure of A and of B, how they differ, and the sentence that says so.
//!
//! ```text
//!   interval without 0   B is faster: +12 % (9..15)
//!   interval with 0      no clear difference: +1.2 % (-2.1..+4.6)
//!   no interval          +12 %; no interval
//! ```
//!
//! More operations a second are better, less latency and less processor time are. A single run is cut into
//! [`PARTS`] whose figures stand for repeats; that is known for rate, p50 and p99 of all verbs together, which
//! is what a slice of the time line has. Left out: whether a difference matters, which is for the reader to say.

use serde::Serialize;

use super::estimate::{Figures, Ratio, geometric_mean};
use crate::result::{CpuNote, OpResult, RunResult, Slice};

/// Parts of a single run. Neighbouring slices are slow together, and long parts are more independent; with fewer
/// parts the t distribution is wider.
const PARTS: usize = 8;

/// How a figure of B differs from A's.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Difference {
    /// `rate`, `p99`, `client`, ...
    pub(crate) figure: &'static str,
    /// `ops/s` or `us`.
    pub(crate) unit: &'static str,
    /// The geometric mean over the runs.
    pub(crate) a: f64,
    pub(crate) b: f64,
    /// By how much B is more than A.
    pub(crate) percent: f64,
    /// The 95 % interval of `percent`.
    pub(crate) interval: Option<(f64, f64)>,
    pub(crate) verdict: Verdict,
    /// The same in words.
    pub(crate) sentence: String,
}

/// The conclusion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Verdict {
    /// B is faster, or takes less.
    Better,
    /// B is slower, or takes more.
    Worse,
    /// The interval includes zero.
    NoDifference,
    /// There is no interval.
    Unknown,
}

/// What a figure is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Rate,
    Latency,
    Cpu,
}

impl Kind {
    const fn unit(self) -> &'static str {
        match self {
            Self::Rate => "ops/s",
            Self::Latency | Self::Cpu => "us",
        }
    }

    /// The words for better and for worse.
    const fn words(self) -> [&'static str; 2] {
        match self {
            Self::Rate | Self::Latency => ["faster", "slower"],
            Self::Cpu => ["cheaper", "dearer"],
        }
    }
}

/// Rate, p50, p99 and p99.9 of a verb, as far as both sides have them.
pub(super) fn of_verb(verb: &str, sides: [&[RunResult]; 2]) -> Vec<Difference> {
    let figures = |of: fn(&OpResult) -> f64, part: fn(&[Slice]) -> f64| {
        sides.map(|runs| {
            let ops = runs.iter().filter_map(|run| run.operations.get(verb));
            let mut figures = of_runs(ops.map(of));
            if let [run] = runs {
                figures.repeats = parts(&run.timeline, part);
            }
            figures
        })
    };
    let rate = figures(|op| op.rate, mean_count);
    let p50 = figures(
        |op| op.intended.p50 as f64,
        |part| weighted(part, |slice| slice.p50),
    );
    let p99 = figures(
        |op| op.intended.p99 as f64,
        |part| weighted(part, |slice| slice.p99),
    );
    let p999 = figures(|op| op.intended.p999 as f64, |_unknown| 0.0);
    let all = [
        difference("rate", Kind::Rate, rate),
        difference("p50", Kind::Latency, p50),
        difference("p99", Kind::Latency, p99),
        difference("p99.9", Kind::Latency, p999),
    ];
    all.into_iter().flatten().collect()
}

/// Processor time per operation: client, servers, and both together.
pub(super) fn of_cpu(sides: [&[RunResult]; 2]) -> Vec<Difference> {
    let cpu = |figure, of: fn(&CpuNote) -> f64| {
        let figures =
            sides.map(|runs| of_runs(runs.iter().filter_map(|run| run.cpu.as_ref()).map(of)));
        difference(figure, Kind::Cpu, figures)
    };
    let all = [
        cpu("client", |cpu| cpu.client_us_per_op),
        cpu("servers", |cpu| cpu.servers_us_per_op),
        cpu("together", |cpu| {
            cpu.client_us_per_op + cpu.servers_us_per_op
        }),
    ];
    all.into_iter().flatten().collect()
}

fn of_runs(runs: impl Iterator<Item = f64>) -> Figures {
    // What nothing was measured of has no logarithm, and no figure.
    let runs: Vec<_> = runs.filter(|figure| *figure > 0.0).collect();
    Figures {
        repeats: runs.clone(),
        runs,
    }
}

/// A figure of each part of a run's time line; none if one of them has no such figure.
fn parts(timeline: &[Slice], of: fn(&[Slice]) -> f64) -> Vec<f64> {
    let length = (timeline.len() / PARTS).max(1);
    let parts: Vec<_> = timeline.chunks_exact(length).map(of).collect();
    if parts.len() < PARTS || parts.contains(&0.0) {
        return Vec::new();
    }
    parts
}

/// Operations in a slice, on average.
fn mean_count(part: &[Slice]) -> f64 {
    part.iter().map(|slice| slice.count as f64).sum::<f64>() / part.len() as f64
}

/// The mean of a percentile over the operations of a part.
fn weighted(part: &[Slice], of: impl Fn(&Slice) -> u64) -> f64 {
    let count: f64 = part.iter().map(|slice| slice.count as f64).sum();
    let sum = part
        .iter()
        .map(|slice| of(slice) as f64 * slice.count as f64);
    sum.sum::<f64>() / count.max(1.0)
}

fn difference(figure: &'static str, kind: Kind, [a, b]: [Figures; 2]) -> Option<Difference> {
    let Ratio { percent, interval } = Ratio::of(&a, &b)?;
    let verdict = verdict(interval, kind);
    Some(Difference {
        figure,
        unit: kind.unit(),
        a: geometric_mean(&a.runs)?,
        b: geometric_mean(&b.runs)?,
        percent,
        interval,
        verdict,
        sentence: sentence(kind, percent, interval, verdict),
    })
}

fn verdict(interval: Option<(f64, f64)>, kind: Kind) -> Verdict {
    match interval {
        None => Verdict::Unknown,
        Some((low, high)) if low <= 0.0 && 0.0 <= high => Verdict::NoDifference,
        Some((low, _)) if (low > 0.0) == (kind == Kind::Rate) => Verdict::Better,
        Some(_) => Verdict::Worse,
    }
}

fn sentence(kind: Kind, percent: f64, interval: Option<(f64, f64)>, verdict: Verdict) -> String {
    let Some((low, high)) = interval else {
        return format!("{} %; no interval", signed(percent, percent));
    };
    let widest = low.abs().max(high.abs());
    let [percent, low, high] = [percent, low, high].map(|number| signed(number, widest));

    // One sign is enough for an interval that lies above zero.
    let positive = low.starts_with('+');
    let [low, high] = [low, high].map(|end| if positive { end.replace('+', "") } else { end });
    let [better, worse] = kind.words();
    let what = match verdict {
        Verdict::Better => format!("B is {better}"),
        Verdict::Worse => format!("B is {worse}"),
        Verdict::NoDifference | Verdict::Unknown => "no clear difference".to_owned(),
    };
    format!("{what}: {percent} % ({low}..{high})")
}

/// With its sign, and a decimal if the largest beside it is below ten.
fn signed(number: f64, beside: f64) -> String {
    if beside.abs() < 9.95 {
        format!("{number:+.1}")
    } else {
        format!("{number:+.0}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_stated_in_plain_sentences() {
        let interval = |low, high| Some((low, high));
        let table = [
            (
                Kind::Rate,
                12.0,
                interval(9.0, 15.0),
                "B is faster: +12 % (9..15)",
            ),
            (
                Kind::Rate,
                -12.0,
                interval(-15.4, -9.0),
                "B is slower: -12 % (-15..-9)",
            ),
            (
                Kind::Latency,
                -12.0,
                interval(-15.4, -9.0),
                "B is faster: -12 % (-15..-9)",
            ),
            (
                Kind::Latency,
                1.5,
                interval(1.0, 2.0),
                "B is slower: +1.5 % (1.0..2.0)",
            ),
            (
                Kind::Cpu,
                -30.0,
                interval(-33.0, -27.0),
                "B is cheaper: -30 % (-33..-27)",
            ),
            (
                Kind::Rate,
                1.2,
                interval(-2.1, 4.6),
                "no clear difference: +1.2 % (-2.1..+4.6)",
            ),
            (Kind::Cpu, 3.0, None, "+3.0 %; no interval"),
        ];
        for (kind, percent, interval, expected) in table {
            let verdict = verdict(interval, kind);
            assert_eq!(sentence(kind, percent, interval, verdict), expected);
        }
    }
}
