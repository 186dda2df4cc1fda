//! The figures of one run with what they vary by within it.
//!
//! ```text
//!   rate   count / seconds     block bootstrap over the slices, and the luck of which verb is drawn
//!   p99    value(0.99)         how uncertain is the share above it? that share's interval, looked up in
//!                              the histogram: value(0.986) .. value(0.993)
//! ```
//!
//! An interval from ranks takes operations as independent. They are not: a pause hits thousands at once. So the
//! share of operations above the percentile is estimated for each slice, and its mean resampled in blocks of
//! slices (Woodruff 1952, *Confidence intervals for medians and other position measures*, where slices are the
//! clusters). How much more it varies than that of independent operations is the design effect (Kish 1965),
//! never below 1. A verb that is a part of all operations feels that part of it: pauses bunch fewer of it.
//!
//! A slice knows its p50, p99 and max only; what lies between is interpolated. Left out: intervals of processor
//! time, of which a run has one figure only.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use super::estimate::{Figure, Z};
use super::resample::{self, Part};
use crate::hlog::{curve::Curve, decode};
use crate::result::{CpuNote, OpResult, RunResult, Slice};

/// The percentiles that are compared.
pub(super) const LEVELS: [f64; 3] = [0.5, 0.99, 0.999];

/// What one run says of each figure.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) verbs: BTreeMap<String, Verb>,
    pub(super) cpu: Option<CpuNote>,
}

/// One verb: operations a second, and [`LEVELS`] of the intended latency in microseconds.
#[derive(Debug)]
pub(super) struct Verb {
    pub(super) rate: Option<Figure>,
    pub(super) latencies: [Option<Figure>; 3],
}

/// What slices tell of the whole run.
#[derive(Debug, Clone, Copy)]
struct Unrest {
    /// The standard error of the rate, as a part of it.
    rate: f64,
    /// The design effects of [`LEVELS`].
    effects: [f64; 3],
}

impl Measured {
    pub(super) fn of(run: &RunResult) -> Self {
        let curves = run
            .operations
            .iter()
            .filter_map(|(verb, op)| Some((verb, op, curve(op)?)));
        let curves: Vec<_> = curves.collect();
        let unrest = unrest(run);
        let all: f64 = run.operations.values().map(|op| op.count as f64).sum();
        let verbs = curves.iter().map(|(verb, op, curve)| {
            let share = op.count as f64 / all;
            let rate = rate(op, share, unrest);
            let latency = |level, effect: Option<f64>| {
                // its part of what pauses bunch
                let effect = effect.map(|effect| 1.0 + (effect - 1.0) * share);
                Figure::new(curve.value(level), interval(curve, level, effect))
            };
            let latencies = std::array::from_fn(|index| {
                latency(LEVELS[index], unrest.map(|unrest| unrest.effects[index]))
            });
            ((*verb).clone(), Verb { rate, latencies })
        });
        Self {
            verbs: verbs.collect(),
            cpu: run.cpu.clone(),
        }
    }
}

fn curve(op: &OpResult) -> Option<Curve> {
    Curve::new(&decode(&op.intended_hlog).ok()?)
}

fn rate(op: &OpResult, share: f64, unrest: Option<Unrest>) -> Option<Figure> {
    let interval = unrest.map(|unrest| {
        // which verb each operation is, is drawn: a binomial
        let luck = ((1.0 - share) / (op.count as f64).max(1.0)).max(0.0);
        let part = Z * (unrest.rate.powi(2) + luck).sqrt();
        (op.rate * (-part).exp(), op.rate * part.exp())
    });
    Figure::new(op.rate, interval)
}

/// The 95 % interval of a percentile; `None` if no operation lies above it.
fn interval(curve: &Curve, level: f64, effect: Option<f64>) -> Option<(f64, f64)> {
    let total = curve.total() as f64;
    let error = (effect? / (total * level * (1.0 - level))).sqrt();
    // on the logit scale, which no error leads out of
    let [below, above] = [-Z, Z].map(|side| logistic(logit(level) + side * error));
    if (1.0 - above) * total < 1.0 {
        return None;
    }
    // what the histogram cannot tell apart, no statistics can
    let ((low, _), (_, high)) = (curve.cell(below), curve.cell(above));
    Some((low.max(0.5), high))
}

fn logit(share: f64) -> f64 {
    (share / (1.0 - share)).ln()
}

fn logistic(logit: f64) -> f64 {
    1.0 / (1.0 + (-logit).exp())
}

fn unrest(run: &RunResult) -> Option<Unrest> {
    let all = sum(run)?;
    let curve = Curve::new(&all)?;
    let (mean, error) = resample::mean_and_error(&rates(&run.timeline, run.seconds))?;
    let effects = LEVELS.map(|level| effect(&run.timeline, &curve, level));
    let rate = error / mean;
    Some(Unrest { rate, effects })
}

/// All verbs together, since slices are of all verbs.
fn sum(run: &RunResult) -> Option<Histogram<u64>> {
    let mut sum = Histogram::new(3).ok()?;
    sum.auto(true);
    for op in run.operations.values() {
        sum.add(decode(&op.intended_hlog).ok()?).ok()?;
    }
    Some(sum)
}

/// Operations and seconds of each slice; the last ends with the run.
fn rates(slices: &[Slice], seconds: f64) -> Vec<Part> {
    let ends = slices.iter().skip(1).map(|slice| slice.at).chain([seconds]);
    let parts = slices
        .iter()
        .zip(ends)
        .map(|(slice, end)| (slice.count as f64, end - slice.at));
    parts.filter(|(_, length)| *length > 0.0).collect()
}

/// How much more the share above a percentile varies between slices than if operations were independent.
fn effect(slices: &[Slice], curve: &Curve, level: f64) -> f64 {
    let busy = slices.iter().filter(|slice| slice.count > 0);
    let parts = busy.map(|slice| {
        let (count, value) = (slice.count as f64, curve.value(level));
        let share = if level <= 0.5 {
            above_median(slice, curve)
        } else {
            above(slice, value)
        };
        (count * share, count)
    });
    let parts: Vec<_> = parts.collect();
    let number: f64 = parts.iter().map(|(_, count)| count).sum();
    let Some((_, error)) = resample::mean_and_error(&parts) else {
        return 1.0;
    };
    (error.powi(2) * number / (level * (1.0 - level))).max(1.0)
}

/// The share of a slice's operations that lies above a latency of the tail: what its percentiles say, between
/// them a line of logits over the logarithm of the latency; none beyond its maximum.
fn above(slice: &Slice, value: f64) -> f64 {
    let [p50, p99, max] = [slice.p50, slice.p99, slice.max].map(|us| us.max(1) as f64);
    if value >= max {
        return 0.0;
    }
    let (one, last) = (
        logit(0.01),
        logit(1.0 / (slice.count as f64 + 1.0)).min(logit(0.01)),
    );
    let part = |low: f64, high: f64| ((value / low).ln() / (high / low).ln()).clamp(-1.0, 1.0);
    if value > p99 {
        logistic(one + (last - one) * part(p99, max))
    } else if p99 > p50 {
        logistic(one * part(p50, p99))
    } else {
        0.5
    }
}

/// The share of a slice's operations above the run's median: where the slice's own median lies in the run. A
/// histogram's cell is no difference.
fn above_median(slice: &Slice, curve: &Curve) -> f64 {
    // the reported value is a cell's highest; half a microsecond is inside of every cell
    let (low, high) = curve.cell(curve.level(slice.p50 as f64 + 0.5));
    0.5_f64.clamp(curve.level(low), curve.level(high).max(curve.level(low)))
}

#[cfg(test)]
mod tests;
