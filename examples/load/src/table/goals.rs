//! What is hoped for, as rules that a result meets or not.
//!
//! ```text
//!   rate    ROW PEER X     the row's first system does at least X times as many operations a second as PEER
//!   quick   ROW PEER X     its median latency is at most PEER's, divided by X
//!   p99     ROW US         its 99th percentile is at most US microseconds
//!   against ROW OTHER X    it does at least X times as much in ROW as the first system of OTHER does there
//!   attempts ROW N         of its operations, 99 in 100 took at most N attempts
//!   longest ROW US         none of its operations took longer than that many microseconds, in any round
//! ```
//!
//! Judged is the median over the rounds but for the longest wait. Left out: goals about memory and pinned processor time, which
//! other commands measure.

use anyhow::{Context, bail};

use super::Plan;

/// A rule.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Goal {
    kind: Kind,
    row: String,
    /// The peer, or the other row; nothing for a bound of the row alone.
    other: String,
    limit: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Rate,
    Quick,
    P99,
    Against,
    Attempts,
    Longest,
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
        let (kind, row, other, limit) = match *words {
            ["rate", row, peer, least] => (Kind::Rate, row, peer, least),
            ["quick", row, peer, least] => (Kind::Quick, row, peer, least),
            ["p99", row, most] => (Kind::P99, row, "", most),
            ["attempts", row, most] => (Kind::Attempts, row, "", most),
            ["longest", row, most] => (Kind::Longest, row, "", most),
            ["against", row, other, least] => (Kind::Against, row, other, least),
            _ => bail!("no such rule: {}", words.join(" ")),
        };
        Ok(Self {
            kind,
            row: row.to_owned(),
            other: other.to_owned(),
            limit: limit
                .parse()
                .with_context(|| format!("`{limit}` is no number"))?,
        })
    }

    /// Judges what the runs found; `None` if one that it takes is missing.
    pub(super) fn judge(&self, plan: &Plan) -> Option<Verdict> {
        let own = plan.first(&self.row)?;
        let peer = || plan.system(&self.row, &self.other);
        let ratio = match self.kind {
            Kind::Rate => own.ratio(peer()?, |sample| sample.rate)?,
            Kind::Quick => peer()?.ratio(own, |sample| sample.p50)?,
            Kind::Against => own.ratio(plan.first(&self.other)?, |sample| sample.rate)?,
            Kind::P99 => {
                let p99 = own.spread(|sample| sample.p99)?;
                return Some(self.at_most(p99.median, p99.show(millis, " ms")));
            }
            Kind::Attempts => {
                let attempts = own.attempts()?;
                return Some(self.at_most(attempts.median, attempts.show(|n| n.to_string(), "")));
            }
            Kind::Longest => {
                let longest = own.spread(|sample| sample.longest)?;
                return Some(self.at_most(longest.most, longest.show(millis, " ms")));
            }
        };

        Some(Verdict {
            measured: ratio.times(),
            met: ratio.median >= self.limit,
        })
    }

    fn at_most(&self, figure: f64, measured: String) -> Verdict {
        Verdict {
            measured,
            met: figure <= self.limit,
        }
    }
}

fn millis(us: f64) -> String {
    format!("{:.2}", us / 1000.0)
}
