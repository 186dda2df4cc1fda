//! Latency and throughput over time, with what the fault script did.
//!
//! ```text
//!   latency      p50, p99, max, log scale      (1)  a fault: a line, its number, and a band until
//!   ops/s        area, offered rate dashed      |   the store served as before
//!   failures/s   bars below, a scale of their own
//! ```
//!
//! Both have the same x axis, so they can be read one above the other.

use super::frame::{Axis, Frame, SIZE, left};
use super::points::Point;
use super::scale::Scale;
use super::svg::Svg;
use crate::report::units::{micros, plural, short, trimmed};
use crate::result::{FaultNote, RunResult};

/// Height of the bars of failures, and the gap above them.
const BARS: f64 = 44.0;
const GAP: f64 = 30.0;

/// Intended latency over time.
pub(crate) fn latency(result: &RunResult, points: &[Point]) -> String {
    let measured = || points.iter().filter_map(|point| point.latencies);
    let least = measured().map(|of| of[0]).fold(f64::INFINITY, f64::min);
    let most = measured().map(|of| of[2]).fold(0.0, f64::max);
    let told = format!(
        "Intended latency of all operations, second by second, over {} s: p50 from {} on, the longest {}.{}",
        trimmed(result.seconds, 1),
        micros(least),
        micros(most),
        told_faults(&result.faults),
    );
    let mut svg = Svg::new("latency", SIZE, "Latency over time", &told);
    let y = Axis::new(Scale::around(least, most), "latency, log scale");
    let frame = Frame::draw(&mut svg, &seconds(result, points), &y);
    mark_faults(&mut svg, &frame, &result.faults, SIZE.1);
    for (index, class) in [(2, "line max"), (1, "line p99"), (0, "line p50")] {
        let at = |point: &Point| point.latencies.map(|of| frame.at(point.at, of[index]));
        svg.path(class, points.iter().map(at));
    }
    svg.finish()
}

/// Successes and failures a second over time.
pub(crate) fn throughput(result: &RunResult, points: &[Point]) -> String {
    let most = |of: fn(&Point) -> f64| points.iter().map(of).fold(0.0, f64::max);
    let (rate, errors) = (most(|point| point.rate), most(|point| point.errors));
    let told = format!(
        "Operations that succeeded, at most {} a second, and that failed, at most {} a second.{}",
        short(rate),
        short(errors),
        told_faults(&result.faults),
    );
    let mut svg = Svg::new(
        "throughput",
        SIZE,
        "Throughput and failures over time",
        &told,
    );
    let most = rate.max(result.offered.unwrap_or(0.0));
    let y = Axis::new(Scale::from_zero(most), "operations a second");
    let frame = Frame::draw_above(&mut svg, &seconds(result, points), &y, BARS + GAP);
    mark_faults(&mut svg, &frame, &result.faults, SIZE.1);
    let places: Vec<_> = points
        .iter()
        .map(|point| frame.at(point.at, point.rate))
        .collect();
    svg.area("area p50", &places, frame.bottom());
    svg.path("line p50", places.into_iter().map(Some));
    if let Some(offered) = result.offered {
        let end = result.seconds;
        svg.path(
            "line offered",
            [0.0, end].map(|x| Some(frame.at(x, offered))),
        );
    }
    bars(
        &mut svg,
        &frame.below(Scale::from_zero(errors), GAP),
        points,
        errors,
    );
    svg.finish()
}

fn bars(svg: &mut Svg, frame: &Frame, points: &[Point], most: f64) {
    let name = if most > 0.0 {
        format!("failures a second, at most {}", short(most))
    } else {
        "no failures".to_owned()
    };
    svg.text("name", "start", (left(), frame.top() - 8.0), &name);
    for point in points.iter().filter(|point| point.errors > 0.0) {
        let (from, until) = (point.at - point.length / 2.0, point.at + point.length / 2.0);
        let (x, height) = frame.at(from, point.errors);
        // thin, but never invisible
        let right = (frame.x_of(until) - 0.6).max(x + 1.0);
        svg.rect(
            "bar",
            (x, height.min(frame.bottom() - 1.5)),
            (right, frame.bottom()),
        );
    }
}

fn seconds(result: &RunResult, points: &[Point]) -> Axis {
    let last = points
        .last()
        .map_or(1.0, |point| point.at + point.length / 2.0);
    let most = result.seconds.max(last);
    let most = if most.is_finite() && most > 0.0 {
        most
    } else {
        1.0
    };
    Axis::new(Scale::Linear(0.0, most), "seconds since measuring began")
}

/// Bands until recovery first, so that no later band covers a line.
fn mark_faults(svg: &mut Svg, frame: &Frame, faults: &[FaultNote], floor: f64) {
    let bottom = frame.bottom().min(floor);
    for fault in faults {
        if let Some(after) = fault.recovered_after {
            let until = frame.x_of(fault.at + after);
            svg.rect("band", (frame.x_of(fault.at), frame.top()), (until, bottom));
        }
    }
    for (index, fault) in faults.iter().enumerate() {
        let x = frame.x_of(fault.at);
        svg.line("fault", (x, frame.top()), (x, bottom));
        svg.circle("mark", (x, frame.top() - 3.0), 9.0);
        svg.text(
            "number",
            "middle",
            (x, frame.top() + 1.2),
            &(index + 1).to_string(),
        );
    }
}

fn told_faults(faults: &[FaultNote]) -> String {
    if faults.is_empty() {
        return String::new();
    }
    let told = faults
        .iter()
        .map(|fault| format!("{} at {} s", fault.what, trimmed(fault.at, 1)));
    let many = plural(faults.len() as u64, "fault", "faults");
    format!(" {many}: {}.", told.collect::<Vec<_>>().join(", "))
}
