//! What is hoped for, as rules that a result meets or not.
//!
//! ```text
//!   rate    ROW PEER X     the row's first system does at least X times as many operations a second as PEER
//!   quick   ROW PEER X     its median latency is at most PEER's, divided by X
//!   p99     ROW US         its 99th percentile is at most US microseconds
//!   against ROW OTHER X    it does at least X times as much in ROW as the first system of OTHER does there
//! ```
//!
//! Judged is the median over the rounds. Left out: goals about memory and pinned processor time, which
//! other commands measure.

use anyhow::{Context, bail};

use super::{Plan, Samples, Spread};

/// A rule.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Goal {
    Rate {
        row: String,
        peer: String,
        least: f64,
    },
    Quick {
        row: String,
        peer: String,
        least: f64,
    },
    P99 {
        row: String,
        most: f64,
    },
    Against {
        row: String,
        other: String,
        least: f64,
    },
}

/// What came of a rule.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Verdict {
    /// `12.3 × (11.9–13.0)`
    pub(super) measured: String,
    pub(super) met: bool,
}

impl Goal {
    pub(super) fn parse(words: &[&str]) -> anyhow::Result<Self> {
        let number = |word: &str| {
            word.parse()
                .with_context(|| format!("`{word}` is no number"))
        };
        Ok(match *words {
            ["rate", row, peer, least] => Self::Rate {
                row: row.to_owned(),
                peer: peer.to_owned(),
                least: number(least)?,
            },
            ["quick", row, peer, least] => Self::Quick {
                row: row.to_owned(),
                peer: peer.to_owned(),
                least: number(least)?,
            },
            ["p99", row, most] => Self::P99 {
                row: row.to_owned(),
                most: number(most)?,
            },
            ["against", row, other, least] => Self::Against {
                row: row.to_owned(),
                other: other.to_owned(),
                least: number(least)?,
            },
            _ => bail!("no such rule: {}", words.join(" ")),
        })
    }

    /// Judges the samples; `None` if a run that it takes is missing.
    pub(super) fn judge(&self, plan: &Plan, samples: &Samples) -> Option<Verdict> {
        match self {
            Self::Rate { row, peer, least } => {
                let own = (row.as_str(), plan.first(row)?);
                let ratio = samples.ratio(own, (row, peer), |sample| sample.rate)?;
                Some(at_least(ratio, *least))
            }
            Self::Quick { row, peer, least } => {
                let own = (row.as_str(), plan.first(row)?);
                let ratio = samples.ratio((row, peer), own, |sample| sample.p50)?;
                Some(at_least(ratio, *least))
            }
            Self::P99 { row, most } => {
                let p99 = samples.spread(row, plan.first(row)?, |sample| sample.p99)?;
                Some(Verdict {
                    measured: p99.show(|us| format!("{:.2}", us / 1000.0), " ms"),
                    met: p99.median <= *most,
                })
            }
            Self::Against { row, other, least } => {
                let own = (row.as_str(), plan.first(row)?);
                let other = (other.as_str(), plan.first(other)?);
                let ratio = samples.ratio(own, other, |sample| sample.rate)?;
                Some(at_least(ratio, *least))
            }
        }
    }
}

fn at_least(ratio: Spread, least: f64) -> Verdict {
    Verdict {
        measured: ratio.times(),
        met: ratio.median >= least,
    }
}
