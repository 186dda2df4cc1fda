//! Histograms of latencies, and the figures that are read from them.
//!
//! ```text
//!   durations --> Latencies, 1 us to ten minutes in three digits --> min, mean, p50 .. p99.9, max
//! ```
//!
//! Left out: how histograms are stored, which is `hlog`'s.

use anyhow::Context as _;
use hdrhistogram::Histogram;

use crate::result::Percentiles;

/// Longest latency that is recorded exactly, in microseconds: ten minutes.
const LONGEST: u64 = 600_000_000;
/// A histogram of latencies.
pub(crate) type Latencies = Histogram<u64>;

/// An empty histogram of latencies, in microseconds.
///
/// # Errors
/// Never with these bounds, which the library cannot know.
pub(crate) fn latencies() -> anyhow::Result<Latencies> {
    let mut empty = Latencies::new_with_bounds(1, LONGEST, 3).context("no histogram")?;
    empty.auto(false);
    Ok(empty)
}

/// The figures that are shown of a histogram.
pub(crate) fn percentiles(latencies: &Latencies) -> Percentiles {
    let at = |quantile| latencies.value_at_quantile(quantile);
    Percentiles {
        min: latencies.min(),
        mean: latencies.mean(),
        p50: at(0.5),
        p90: at(0.9),
        p95: at(0.95),
        p99: at(0.99),
        p999: at(0.999),
        max: latencies.max(),
    }
}

/// `count` over `whole`, or nothing over nothing.
#[expect(clippy::cast_precision_loss, reason = "counts lie far below 2^53")]
pub(crate) fn per(count: u64, whole: f64) -> f64 {
    if whole > 0.0 {
        count as f64 / whole
    } else {
        0.0
    }
}
