//! How latencies are spread: the curve of percentiles, and the histogram.
//!
//! Intended latencies are solid (or filled), service latencies dashed. A curve ends where fewer than ten
//! operations lie above it: past that it would show single accidents as if they were a law.

use hdrhistogram::Histogram;
use plotters::prelude::*;

use super::{Axis, P50, P99, colour, frame, latency_axis, svg};
use crate::report::units::{trimmed, whole};

/// Points of a curve.
const STEPS: u32 = 160;
/// Bars of a histogram.
const BARS: u32 = 56;
/// The highest percentile that is drawn, in nines.
const NINES: f64 = 4.0;

/// A verb's latencies from the intended and from the real start, in microseconds.
#[derive(Debug, Clone)]
pub(crate) struct Spread {
    pub(crate) verb: String,
    pub(crate) intended: Histogram<u64>,
    pub(crate) service: Histogram<u64>,
}

impl Spread {
    fn both(&self) -> [&Histogram<u64>; 2] {
        [&self.intended, &self.service]
    }
}

/// Latency by percentile, for each verb; none of them is empty.
pub(crate) fn percentiles(spreads: &[Spread]) -> anyhow::Result<String> {
    let all = || spreads.iter().flat_map(Spread::both);
    let least = all().map(Histogram::min).min().unwrap_or(1) as f64;
    let most = all().map(highest).fold(1.0, f64::max);
    let x = Axis {
        range: 0.0..NINES,
        name: "share of operations that are faster",
        labels: 5,
        label: &|nines| format!("{} %", trimmed(100.0 * level(nines), 2)),
    };
    let y = latency_axis(least.min(most), most);

    svg(|area| {
        let mut chart = frame(area, &x, &y)?;
        for (index, spread) in spreads.iter().enumerate() {
            let colour = colour(index);
            let dashes =
                DashedLineSeries::new(curve(&spread.service), 6, 4, colour.stroke_width(1));
            chart.draw_series(dashes)?;
            chart.draw_series(LineSeries::new(
                curve(&spread.intended),
                colour.stroke_width(2),
            ))?;
        }
        Ok(())
    })
}

/// Nines and the exponent of the latency there.
fn curve(of: &Histogram<u64>) -> Vec<(f64, f64)> {
    let steps = (0..=STEPS).map(|step| NINES * f64::from(step) / f64::from(STEPS));
    let known = steps.take_while(|nines| *nines <= end(of));
    known
        .map(|nines| (nines, exponent(of.value_at_quantile(level(nines)))))
        .collect()
}

/// The share that so many nines are: 2 are 99 %.
fn level(nines: f64) -> f64 {
    1.0 - 10_f64.powf(-nines)
}

/// The nines that ten operations lie above.
fn end(of: &Histogram<u64>) -> f64 {
    (of.len() as f64 / 10.0).log10().clamp(0.3, NINES)
}

fn highest(of: &Histogram<u64>) -> f64 {
    of.value_at_quantile(level(end(of))) as f64
}

fn exponent(latency: u64) -> f64 {
    (latency.max(1) as f64).log10()
}

/// How often which latency was, of all verbs together.
pub(crate) fn histogram(all: &Spread) -> anyhow::Result<String> {
    let least = all.intended.min().min(all.service.min()) as f64;
    let most = all.both().map(highest).into_iter().fold(1.0, f64::max);
    let x = latency_axis(least, most);
    let [intended, service] = all.both().map(|of| shares(&x.range, of));
    let percent = intended.iter().chain(&service).map(|bar| bar.2);
    let y = Axis {
        range: 0.0..percent.fold(0.1, f64::max) * 1.08,
        name: "share of operations, %",
        labels: 6,
        label: &|percent| trimmed(percent, 1),
    };

    svg(|area| {
        let mut chart = frame(area, &x, &y)?;
        let bars = intended.iter().map(|(from, to, percent)| {
            Rectangle::new([(*from, 0.0), (*to, *percent)], P50.mix(0.5).filled())
        });
        chart.draw_series(bars)?;
        let steps = service
            .iter()
            .flat_map(|(from, to, percent)| [(*from, *percent), (*to, *percent)]);
        let steps: Vec<_> = steps.collect();
        chart.draw_series(DashedLineSeries::new(steps, 6, 4, P99.stroke_width(2)))?;
        Ok(())
    })
}

/// Begin, end and percentage of each bar; operations past the axis are in none.
fn shares(range: &std::ops::Range<f64>, of: &Histogram<u64>) -> Vec<(f64, f64, f64)> {
    let width = (range.end - range.start) / f64::from(BARS);
    let edge = |index: u32| range.start + width * f64::from(index);
    let before = |index: u32| {
        let latency = whole(10_f64.powf(edge(index)));
        of.count_between(0, latency.saturating_sub(1)) as f64
    };
    let percent = |index| 100.0 * (before(index + 1) - before(index)) / of.len() as f64;
    (0..BARS)
        .map(|index| (edge(index), edge(index + 1), percent(index)))
        .collect()
}
