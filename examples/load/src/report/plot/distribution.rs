//! How latencies are spread: the curve of percentiles, and the histogram.
//!
//! ```text
//!   percentiles   x: 50 %, 90 %, 99 %, ... each nine as far as the last    y: latency, log scale
//!   histogram     x: latency, log scale                                    y: share of the operations
//! ```
//!
//! Intended latencies are solid (or filled), service latencies dashed. The curve ends where fewer than ten
//! operations are left above it: past that it would show single accidents as if they were a law.

use super::frame::{Axis, Frame, SIZE};
use super::scale::Scale;
use super::svg::Svg;
use crate::hlog::curve::Curve;
use crate::report::units::micros;

/// Points of a curve.
const STEPS: u32 = 160;
/// Bars of a histogram.
const BARS: u32 = 56;
const HIGHEST: f64 = 0.9999;
/// Colours that a page has for verbs.
const COLOURS: usize = 6;

/// A verb's latencies from the intended and from the real start.
#[derive(Debug, Clone)]
pub(crate) struct Spread {
    pub(crate) verb: String,
    pub(crate) intended: Curve,
    pub(crate) service: Curve,
}

/// The class that colours the verb of this number.
pub(crate) fn colour(index: usize) -> String {
    format!("c{}", index % COLOURS + 1)
}

/// Latency by percentile, for each verb.
pub(crate) fn percentiles(spreads: &[Spread]) -> String {
    let curves = || {
        spreads
            .iter()
            .flat_map(|spread| [&spread.intended, &spread.service])
    };
    let least = curves()
        .map(|curve| curve.value(0.5))
        .fold(f64::INFINITY, f64::min);
    let most = curves()
        .map(|curve| curve.value(end(curve)))
        .fold(0.0, f64::max);
    let told = spreads.iter().map(told).collect::<Vec<_>>().join("; ");
    let told = format!("Intended latency by percentile. {told}.");
    let mut svg = Svg::new("percentiles", SIZE, "Latency by percentile", &told);
    let x = Axis::new(
        Scale::Tail(0.5, HIGHEST),
        "share of operations that are faster",
    );
    let y = Axis::new(Scale::around(least, most), "latency, log scale");
    let frame = Frame::draw(&mut svg, &x, &y);
    for (index, spread) in spreads.iter().enumerate() {
        let colour = colour(index);
        svg.path(
            &format!("line service {colour}"),
            curve(&frame, x.scale, &spread.service),
        );
        svg.path(
            &format!("line {colour}"),
            curve(&frame, x.scale, &spread.intended),
        );
    }
    svg.finish()
}

fn curve(frame: &Frame, x: Scale, of: &Curve) -> Vec<Option<(f64, f64)>> {
    let levels = (0..=STEPS).map(|step| x.figure(f64::from(step) / f64::from(STEPS)));
    let known = levels.filter(|level| *level <= end(of) + 1e-9);
    known
        .map(|level| Some(frame.at(level, of.value(level))))
        .collect()
}

/// The highest level that ten operations lie above; the median at least.
fn end(of: &Curve) -> f64 {
    (1.0 - 10.0 / of.total() as f64).clamp(0.5, HIGHEST)
}

fn told(spread: &Spread) -> String {
    let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|level| micros(spread.intended.value(level)));
    format!(
        "{}: 50 % below {p50}, 99 % below {p99}, 99.9 % below {p999}",
        spread.verb
    )
}

/// How often which latency was, of all verbs together.
pub(crate) fn histogram(all: &Spread) -> String {
    let curves = [&all.intended, &all.service];
    let least = curves
        .iter()
        .map(|curve| curve.value(0.0))
        .fold(f64::INFINITY, f64::min);
    let most = curves
        .iter()
        .map(|curve| curve.value(end(curve)))
        .fold(0.0, f64::max);
    let x = Scale::around(least, most);
    let [intended, service] = curves.map(|curve| shares(x, curve));
    let highest = intended.iter().chain(&service).copied().fold(0.0, f64::max);
    let told = format!(
        "How often which latency was. Half of the operations took from {} to {} from their intended start.",
        micros(all.intended.value(0.25)),
        micros(all.intended.value(0.75)),
    );
    let mut svg = Svg::new("histogram", SIZE, "Histogram of latencies", &told);
    let x = Axis::new(x, "latency, log scale");
    let y = Axis::new(Scale::from_zero(highest * 100.0), "share of operations, %");
    let frame = Frame::draw(&mut svg, &x, &y);
    let edge = |index: usize| x.scale.figure(index as f64 / f64::from(BARS));
    for (index, share) in intended
        .iter()
        .enumerate()
        .filter(|(_, share)| **share > 0.0)
    {
        let (left, top) = frame.at(edge(index), share * 100.0);
        let right = frame.x_of(edge(index + 1)) - 0.8;
        svg.rect("bin", (left, top), (right, frame.bottom()));
    }
    let steps = service.iter().enumerate().flat_map(|(index, share)| {
        [edge(index), edge(index + 1)].map(|x| Some(frame.at(x, share * 100.0)))
    });
    svg.path("line service c2", steps);
    svg.finish()
}

/// The share of operations in each bar; those past the axis are in none.
fn shares(x: Scale, of: &Curve) -> Vec<f64> {
    let level = |index: u32| of.level(x.figure(f64::from(index) / f64::from(BARS)));
    (0..BARS)
        .map(|index| (level(index + 1) - level(index)).max(0.0))
        .collect()
}
