//! One figure of A and of B, how they differ, and the sentence that says so.
//!
//! ```text
//!   interval without 0   B is faster: +12 % (9..15)
//!   interval with 0      no difference can be told: +1.2 % (-2.1..+4.6)
//!   no interval          +12 %; one run each gives no interval for it
//! ```
//!
//! More operations a second are better, less latency and less processor time are. Left out: whether a
//! difference matters, which is for the reader to say.

use serde::Serialize;

use super::estimate::{Figure, Ratio, middle};
use super::measure::{Measured, Verb};
use crate::result::CpuNote;

/// How a figure of B differs from A's.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Difference {
    /// `rate`, `p99`, `cpu client`, ...
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

/// What can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Verdict {
    /// B is faster, or takes less.
    Better,
    /// B is slower, or takes more.
    Worse,
    /// The interval holds zero.
    NoDifference,
    /// There is no interval.
    Unknown,
}

/// What a figure is about.
#[derive(Debug, Clone, Copy)]
struct Kind {
    name: &'static str,
    unit: &'static str,
    more_is_better: bool,
    better: &'static str,
    worse: &'static str,
    /// Why there may be no interval.
    unknown: &'static str,
}

const RATE: Kind = Kind {
    name: "rate",
    unit: "ops/s",
    more_is_better: true,
    better: "faster",
    worse: "slower",
    unknown: "too short for an interval",
};
const LATENCY: Kind = Kind {
    name: "",
    unit: "us",
    more_is_better: false,
    unknown: "too short or too few for an interval",
    ..RATE
};
const CPU: Kind = Kind {
    name: "",
    unit: "us",
    more_is_better: false,
    better: "cheaper",
    worse: "dearer",
    unknown: "one run each gives no interval",
};

/// Rate, p50, p99 and p99.9 of a verb, as far as both sides have them.
pub(super) fn of_verb(verb: &str, sides: [&[Measured]; 2]) -> Vec<Difference> {
    let figures = |of: fn(&Verb) -> Option<Figure>| {
        sides.map(|runs| {
            let verbs = runs.iter().filter_map(|run| run.verbs.get(verb));
            verbs.filter_map(of).collect::<Vec<_>>()
        })
    };
    let latency = |name| Kind { name, ..LATENCY };
    let all = [
        difference(RATE, figures(|verb| verb.rate)),
        difference(latency("p50"), figures(|verb| verb.latencies[0])),
        difference(latency("p99"), figures(|verb| verb.latencies[1])),
        difference(latency("p99.9"), figures(|verb| verb.latencies[2])),
    ];
    all.into_iter().flatten().collect()
}

/// Processor time per operation: client, servers, and both together.
pub(super) fn of_cpu(sides: [&[Measured]; 2]) -> Vec<Difference> {
    let figures = |of: fn(&CpuNote) -> f64| {
        sides.map(|runs| {
            let notes = runs.iter().filter_map(|run| run.cpu.as_ref());
            notes
                .filter_map(|cpu| Figure::new(of(cpu), None))
                .collect::<Vec<_>>()
        })
    };
    let kind = |name| Kind { name, ..CPU };
    let all = [
        difference(kind("client"), figures(|cpu| cpu.client_us_per_op)),
        difference(kind("servers"), figures(|cpu| cpu.servers_us_per_op)),
        difference(
            kind("together"),
            figures(|cpu| cpu.client_us_per_op + cpu.servers_us_per_op),
        ),
    ];
    all.into_iter().flatten().collect()
}

fn difference(kind: Kind, [a, b]: [Vec<Figure>; 2]) -> Option<Difference> {
    let ratio = Ratio::of(&a, &b)?;
    let (percent, interval) = (ratio.percent(), ratio.interval());
    let verdict = verdict(interval, kind.more_is_better);
    Some(Difference {
        figure: kind.name,
        unit: kind.unit,
        a: middle(&a)?,
        b: middle(&b)?,
        percent,
        interval,
        verdict,
        sentence: sentence(kind, percent, interval, verdict),
    })
}

fn verdict(interval: Option<(f64, f64)>, more_is_better: bool) -> Verdict {
    match interval {
        None => Verdict::Unknown,
        Some((low, high)) if low <= 0.0 && 0.0 <= high => Verdict::NoDifference,
        Some((low, _)) if (low > 0.0) == more_is_better => Verdict::Better,
        Some(_) => Verdict::Worse,
    }
}

fn sentence(kind: Kind, percent: f64, interval: Option<(f64, f64)>, verdict: Verdict) -> String {
    let Some((low, high)) = interval else {
        return format!("{} %; {}", signed(percent, percent), kind.unknown);
    };
    let widest = low.abs().max(high.abs());
    let [percent, low, high] = [percent, low, high].map(|number| signed(number, widest));
    // one sign is enough for all that are above zero
    let positive = low.starts_with('+');
    let [low, high] = [low, high].map(|end| if positive { end.replace('+', "") } else { end });
    let what = match verdict {
        Verdict::Better => format!("B is {}", kind.better),
        Verdict::Worse => format!("B is {}", kind.worse),
        Verdict::NoDifference | Verdict::Unknown => "no difference can be told".to_owned(),
    };
    format!("{what}: {percent} % ({low}..{high})")
}

/// With its sign, and a decimal if the largest beside it is below ten.
fn signed(number: f64, beside: f64) -> String {
    match beside.abs() {
        small if small < 9.95 => format!("{number:+.1}"),
        large if large < 1e6 => format!("{number:+.0}"),
        _ => format!("{number:+.0e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(kind: Kind, percent: f64, interval: Option<(f64, f64)>) -> String {
        sentence(
            kind,
            percent,
            interval,
            verdict(interval, kind.more_is_better),
        )
    }

    #[test]
    fn differences_are_told_in_plain_sentences() {
        let table = [
            (RATE, 12.0, Some((9.0, 15.0)), "B is faster: +12 % (9..15)"),
            (
                RATE,
                -12.0,
                Some((-15.4, -9.0)),
                "B is slower: -12 % (-15..-9)",
            ),
            (
                LATENCY,
                -12.0,
                Some((-15.4, -9.0)),
                "B is faster: -12 % (-15..-9)",
            ),
            (
                LATENCY,
                1.5,
                Some((1.0, 2.0)),
                "B is slower: +1.5 % (1.0..2.0)",
            ),
            (
                CPU,
                -30.0,
                Some((-33.0, -27.0)),
                "B is cheaper: -30 % (-33..-27)",
            ),
            (
                RATE,
                1.2,
                Some((-2.1, 4.6)),
                "no difference can be told: +1.2 % (-2.1..+4.6)",
            ),
            (CPU, 3.0, None, "+3.0 %; one run each gives no interval"),
        ];
        for (kind, percent, interval, sentence) in table {
            assert_eq!(told(kind, percent, interval), sentence);
        }
    }
}
