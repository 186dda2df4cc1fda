//! The plots of a report, drawn as SVG by `plotters`.
//!
//! ```text
//!   latency      p50, p99, max over time, log scale      (1)  a fault: a line, its number, and a band until
//!   throughput   ops/s over time, failures/s below        |   the store served as before
//!   percentiles  latency by share of operations: each nine is as wide as the last
//!   histogram    share of operations by latency, log scale
//! ```
//!
//! Logarithmic axes are linear ones over the exponent: their ticks are then decades, and labels have units. Left
//! out: legends, which the page writes beside each plot, so that they never cover a curve.

mod spread;
mod time;

use std::ops::Range;

use plotters::prelude::*;

pub(super) use self::spread::{Spread, histogram, percentiles};
pub(super) use self::time::{latency, throughput};
use super::units::{micros, whole};

/// Size of every plot, in pixels; the page scales it.
const SIZE: (u32, u32) = (560, 330);
/// Room for the labels of the y axis, in pixels.
const LABELS: u32 = 66;
/// Blue, orange, green, purple, olive, indigo: most colour-blind readers can distinguish them (Okabe and Ito).
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(180, 95, 6),
    RGBColor(0, 128, 94),
    RGBColor(168, 66, 127),
    RGBColor(107, 90, 0),
    RGBColor(60, 63, 143),
];
pub(super) const P50: RGBColor = COLOURS[0];
pub(super) const P99: RGBColor = COLOURS[1];
pub(super) const MAX: RGBColor = COLOURS[3];
pub(super) const OFFERED: RGBColor = RGBColor(87, 96, 106);
pub(super) const FAULT: RGBColor = RGBColor(213, 94, 0);
const GRID: RGBColor = RGBColor(230, 234, 239);
const INK: RGBColor = RGBColor(87, 96, 106);

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type Chart<'a, 'b> = ChartContext<
    'a,
    SVGBackend<'b>,
    Cartesian2d<plotters::coord::types::RangedCoordf64, plotters::coord::types::RangedCoordf64>,
>;

/// The colour of the verb of this number.
pub(super) fn colour(index: usize) -> RGBColor {
    COLOURS[index % COLOURS.len()]
}

/// An SVG of [`SIZE`].
fn svg(draw: impl FnOnce(&Area<'_>) -> anyhow::Result<()>) -> anyhow::Result<String> {
    let mut text = String::new();
    draw(&SVGBackend::with_string(&mut text, SIZE).into_drawing_area())?;
    Ok(text)
}

/// An axis: its range, its name with the unit, at most how many figures stand on it, and how they are written.
struct Axis<'a> {
    range: Range<f64>,
    name: &'a str,
    labels: usize,
    label: &'a dyn Fn(f64) -> String,
}

/// Draws the axes and the grid on `area`.
fn frame<'a, 'b>(area: &'a Area<'b>, x: &Axis<'_>, y: &Axis<'_>) -> anyhow::Result<Chart<'a, 'b>> {
    let mut chart = ChartBuilder::on(area)
        .margin_top(14)
        .margin_right(26)
        .margin_left(6)
        .set_label_area_size(LabelAreaPosition::Left, LABELS)
        .set_label_area_size(LabelAreaPosition::Bottom, 40)
        .build_cartesian_2d(x.range.clone(), y.range.clone())?;
    let style = ("sans-serif", 13).into_font().color(&INK);
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(INK)
        .label_style(style.clone())
        .axis_desc_style(style)
        .x_labels(x.labels)
        .y_labels(y.labels)
        .x_desc(x.name)
        .y_desc(y.name)
        .x_label_formatter(&|at| (x.label)(*at))
        .y_label_formatter(&|at| (y.label)(*at))
        .draw()?;
    Ok(chart)
}

/// An axis of the whole decades that latencies from `least` to `most` microseconds lie in.
fn latency_axis(least: f64, most: f64) -> Axis<'static> {
    let low = least.max(1.0).log10().floor();
    let high = most.max(1.0).log10().ceil().max(low + 1.0);
    Axis {
        range: low..high,
        name: "latency (log)",
        // One for each decade: a figure between two of them would be no round one.
        labels: usize::try_from(whole(high - low) + 1).unwrap_or(usize::MAX),
        label: &|exponent| micros(10_f64.powf(exponent).round()),
    }
}
