//! The time line as points to draw: rates instead of counts, and no more points than can be seen.
//!
//! ```text
//!   slices  |..|..|..|..|..|..|.|      1 s each, the last cut short by the end
//!   points  |     |     |     |        at most 240; a point's p99 and max are the worst of its slices
//! ```
//!
//! Percentiles of several slices cannot be joined without their histograms: p99 and max become the highest,
//! which never hides a bad second, p50 the mean by count. A piece at the end that is too short for a rate
//! is left out.

use crate::result::{RunResult, Slice};

/// More would be less than two units of a plot apart.
const MOST: usize = 240;

/// A piece of time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Point {
    /// Its middle, in seconds since measuring began.
    pub(crate) at: f64,
    /// How long it is, in seconds.
    pub(crate) length: f64,
    /// Successes a second.
    pub(crate) rate: f64,
    /// Failures a second.
    pub(crate) errors: f64,
    /// p50, p99 and max in microseconds, if anything succeeded.
    pub(crate) latencies: Option<[f64; 3]>,
}

/// The points of a run, in order of time.
pub(crate) fn points(result: &RunResult) -> Vec<Point> {
    let slices = &result.timeline;
    let stride = slices.len().div_ceil(MOST).max(1);
    let ends = slices
        .iter()
        .skip(stride)
        .step_by(stride)
        .map(|slice| slice.at);
    let ends = ends.chain([result.seconds]);
    let groups = slices.chunks(stride).zip(ends);
    let mut points: Vec<_> = groups
        .filter_map(|(group, end)| point(group, end))
        .collect();

    let usual = points.first().map_or(0.0, |first: &Point| first.length);
    if points.len() > 1 && points.last().is_some_and(|last| last.length < usual / 4.0) {
        points.pop();
    }
    points
}

fn point(slices: &[Slice], end: f64) -> Option<Point> {
    let began = slices.first()?.at;
    let length = end - began;
    // A run may end exactly where its last slice begins.
    if length <= 0.0 {
        return None;
    }

    let sum = |of: fn(&Slice) -> u64| slices.iter().map(|slice| of(slice) as f64).sum::<f64>();
    let most = |of: fn(&Slice) -> u64| slices.iter().map(of).max().unwrap_or(0) as f64;
    let count = sum(|slice| slice.count);
    let weighted = slices
        .iter()
        .map(|slice| slice.p50 as f64 * slice.count as f64);
    let p50 = weighted.sum::<f64>() / count;
    let latencies = [p50, most(|slice| slice.p99), most(|slice| slice.max)];
    Some(Point {
        at: began + length / 2.0,
        length,
        rate: count / length,
        errors: sum(|slice| slice.errors) / length,
        latencies: (count > 0.0).then_some(latencies),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    fn slice(at: f64, count: u64) -> Slice {
        Slice {
            at,
            count,
            errors: count / 10,
            p50: 100,
            p99: 200 + count,
            max: 300 + count,
        }
    }

    #[test]
    fn a_slice_is_a_point_while_they_are_few() {
        let mut result = sample::tiny();
        result.seconds = 2.1;
        result.timeline = vec![slice(0.0, 50), slice(1.0, 0), slice(2.0, 1)];
        let points = points(&result);
        assert_eq!(points.len(), 2, "the last piece is too short");
        assert_eq!(
            (points[0].at, points[0].rate, points[0].errors),
            (0.5, 50.0, 5.0)
        );
        assert_eq!(points[0].latencies, Some([100.0, 250.0, 350.0]));
        assert_eq!(points[1].latencies, None);
    }

    #[test]
    fn of_an_hour_the_worst_of_each_piece_is_kept() {
        let mut result = sample::tiny();
        result.seconds = 3600.0;
        let slices = (0..3600_u32).map(|at| slice(f64::from(at), u64::from(at)));
        result.timeline = slices.collect();
        let points = points(&result);
        assert_eq!(points.len(), 240);
        assert_eq!(points[239].latencies.unwrap()[2], 300.0 + 3599.0);
        assert_eq!(points[0].rate, 7.0);
    }
}
