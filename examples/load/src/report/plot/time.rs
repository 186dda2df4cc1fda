//! Latency and throughput over time, with what the fault script did.
//!
//! Both have the same x axis, so they can be read one above the other.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::{Axis, Chart, FAULT, MAX, OFFERED, P50, P99, SIZE, frame, latency_axis, svg};
use crate::report::points::Point;
use crate::report::units::short;
use crate::result::{FaultNote, RunResult};

/// Height of the failures below the throughput, in pixels, x axis included.
const FAILURES: u32 = 100;

/// Intended latency over time.
pub(crate) fn latency(result: &RunResult, points: &[Point]) -> anyhow::Result<String> {
    let measured = || points.iter().filter_map(|point| point.latencies);
    let least = measured().map(|of| of[0]).fold(f64::INFINITY, f64::min);
    let most = measured().map(|of| of[2]).fold(1.0, f64::max);
    let y = latency_axis(least.min(most), most);

    svg(|area| {
        let mut chart = frame(area, &seconds(result), &y)?;
        faults(&mut chart, &result.faults, &y)?;
        for (index, colour) in [(2, MAX), (1, P99), (0, P50)] {
            let width = if index == 2 { 1 } else { 2 };
            // A line is interrupted where nothing was measured.
            for piece in points.split(|point| point.latencies.is_none()) {
                let at = piece.iter().filter_map(|point| {
                    let latency = point.latencies?[index];
                    Some((point.at, latency.max(1.0).log10()))
                });
                let at: Vec<_> = at.collect();
                if let [alone] = at[..] {
                    chart.draw_series([Circle::new(alone, 2, colour.filled())])?;
                }
                chart.draw_series(LineSeries::new(at, colour.stroke_width(width)))?;
            }
        }
        Ok(())
    })
}

/// Successes a second over time, and failures a second below.
pub(crate) fn throughput(result: &RunResult, points: &[Point]) -> anyhow::Result<String> {
    let rate = points.iter().map(|point| point.rate).fold(1.0, f64::max);
    let most = rate.max(result.offered.unwrap_or(0.0));
    let y = axis("operations/s", most);

    svg(|area| {
        let (above, below) = area.split_vertically(SIZE.1 - FAILURES);
        let mut chart = frame(
            &above,
            &Axis {
                name: "",
                ..seconds(result)
            },
            &y,
        )?;
        faults(&mut chart, &result.faults, &y)?;
        let line = points.iter().map(|point| (point.at, point.rate));
        chart.draw_series(
            AreaSeries::new(line, 0.0, P50.mix(0.13)).border_style(P50.stroke_width(2)),
        )?;
        if let Some(offered) = result.offered {
            let line = [0.0, result.seconds].map(|at| (at, offered));
            let style = OFFERED.stroke_width(2);
            chart.draw_series(DashedLineSeries::new(line, 6, 5, style))?;
        }

        let most = points.iter().map(|point| point.errors).fold(1.0, f64::max);
        let y = Axis {
            labels: 2,
            ..axis("failures/s", most)
        };
        let mut chart = frame(&below, &seconds(result), &y)?;
        let failing = points.iter().filter(|point| point.errors > 0.0);
        chart.draw_series(failing.map(|point| {
            let half = point.length / 2.0;
            let corners = [(point.at - half, 0.0), (point.at + half, point.errors)];
            Rectangle::new(corners, FAULT.filled())
        }))?;
        Ok(())
    })
}

/// An axis from zero to a little above `most` a second.
fn axis(name: &str, most: f64) -> Axis<'_> {
    Axis {
        range: 0.0..most * 1.08,
        name,
        labels: 6,
        label: &short,
    }
}

fn seconds(result: &RunResult) -> Axis<'static> {
    Axis {
        range: 0.0..result.seconds,
        name: "seconds since measuring began",
        labels: 7,
        label: &short,
    }
}

/// A band from each act until recovery, then its line and number, so that no later band covers a line.
fn faults(chart: &mut Chart<'_, '_>, faults: &[FaultNote], y: &Axis<'_>) -> anyhow::Result<()> {
    let (low, high) = (y.range.start, y.range.end);
    let recovered = faults.iter().filter_map(|fault| {
        let until = fault.at + fault.recovered_after?;
        let band = [(fault.at, low), (until, high)];
        Some(Rectangle::new(band, FAULT.mix(0.12).filled()))
    });
    chart.draw_series(recovered)?;

    let number = ("sans-serif", 13).into_font().color(&FAULT);
    let number = number.pos(Pos::new(HPos::Left, VPos::Top));
    for (index, fault) in faults.iter().enumerate() {
        let line = [low, high].map(|height| (fault.at, height));
        chart.draw_series(DashedLineSeries::new(line, 3, 3, FAULT.stroke_width(2)))?;
        let text = Text::new((index + 1).to_string(), (4, 2), number.clone());
        chart.draw_series([EmptyElement::at((fault.at, high)) + text])?;
    }
    Ok(())
}
