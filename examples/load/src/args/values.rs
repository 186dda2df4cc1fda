//! What stands behind flags: times, counts, ramps, clusters.
//!
//! ```text
//!   30s  500ms  2m  1.5s      a time          10k  2M  1_000        a count or a rate
//!   dev:3:buffered            a cluster       1000:50000            a ramp
//! ```
//!
//! Everything is checked here, once, and refused by a sentence that says what would be right. A limit
//! needs its unit, since `--p99 5` might mean anything; where the flag's name says seconds a bare number
//! is seconds.

use std::str::FromStr;
use std::time::Duration;

/// Longest time that any flag takes.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Highest rate: beyond it a single generator is the bottleneck anywhere.
const MAX_RATE: f64 = 10_000_000.0;
/// Most keys.
const MAX_KEYS: u64 = 1_000_000_000;

/// A time with its unit, more than nothing: `500us`, `5ms`, `1.5s`, `2m`.
pub(crate) fn limit(text: &str) -> Result<Duration, String> {
    let cut = text.find(|c: char| c != '.' && !c.is_ascii_digit());
    let (number, unit) = text.split_at(cut.unwrap_or(text.len()));
    let factor = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        _ => return Err(no_time(text)),
    };
    let number: f64 = number.parse().map_err(|_no_number| no_time(text))?;
    match Duration::try_from_secs_f64(number * factor) {
        Ok(time) if !time.is_zero() && time <= LONGEST => Ok(time),
        _ => Err(no_time(text)),
    }
}

fn no_time(text: &str) -> String {
    format!("`{text}` is no time: write 500us, 5ms, 1.5s or 2m, more than nothing, a week at most")
}

/// A time of more than nothing, in seconds if it has no unit.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    if text.ends_with(|c: char| c.is_ascii_digit()) {
        limit(&format!("{text}s"))
    } else {
        limit(text)
    }
}

/// Like [`seconds`], or nothing.
pub(crate) fn seconds_or_none(text: &str) -> Result<Duration, String> {
    if matches!(text, "0" | "0s") {
        Ok(Duration::ZERO)
    } else {
        seconds(text)
    }
}

/// A number such as `10000`, `10_000`, `10k` or `1.5M`.
fn number(text: &str) -> Option<f64> {
    let (digits, factor) = match text.strip_suffix(['k', 'K']) {
        Some(digits) => (digits, 1e3),
        None => text
            .strip_suffix('M')
            .map_or((text, 1.0), |digits| (digits, 1e6)),
    };
    let plain = digits.starts_with(|c: char| c.is_ascii_digit());
    let value: f64 = digits.replace(['_', ','], "").parse().ok()?;
    (plain && value.is_finite()).then_some(value * factor)
}

/// A number of keys.
pub(crate) fn count(text: &str) -> Result<u64, String> {
    let wrong =
        || format!("`{text}` is no number of keys: write 1000, 10k or 1M, up to 1,000,000,000");
    let value = number(text).ok_or_else(wrong)?.round();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "rounded, and a float too large saturates beyond the limit"
    )]
    let value = value as u64;
    if (1..=MAX_KEYS).contains(&value) {
        Ok(value)
    } else {
        Err(wrong())
    }
}

/// A rate, in operations a second.
pub(crate) fn rate(text: &str) -> Result<f64, String> {
    match number(text) {
        Some(rate) if rate > 0.0 && rate <= MAX_RATE => Ok(rate),
        _ => Err(format!(
            "`{text}` is no rate: write operations a second, such as 500, 20k or 1M, up to 10M"
        )),
    }
}

/// A rate that changes evenly.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Ramp {
    /// Operations a second at first.
    pub(crate) from: f64,
    /// Operations a second in the end.
    pub(crate) to: f64,
}

impl FromStr for Ramp {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (from, to) = text
            .split_once(':')
            .ok_or_else(|| format!("`{text}` is no ramp: write FROM:TO, such as 1000:50000"))?;
        Ok(Self {
            from: rate(from)?,
            to: rate(to)?,
        })
    }
}

/// An own cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClusterSpec {
    /// How many nodes.
    pub(crate) nodes: usize,
    /// Whether an acknowledged write survives only the end of the process, not a power loss.
    pub(crate) buffered: bool,
}

impl Default for ClusterSpec {
    fn default() -> Self {
        Self {
            nodes: 3,
            buffered: false,
        }
    }
}

impl FromStr for ClusterSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is no cluster: write dev:3, dev:3:fsync or dev:3:buffered, 1 to 64 nodes"
            )
        };
        let mut words = text.split(':');
        let kind = words.next();
        let nodes = words.next().and_then(|n| n.parse().ok());
        let buffered = match words.next() {
            None | Some("fsync") => false,
            Some("buffered") => true,
            Some(_other) => return Err(wrong()),
        };
        match (kind, nodes, words.next()) {
            (Some("dev"), Some(nodes @ 1..=64), None) => Ok(Self { nodes, buffered }),
            _ => Err(wrong()),
        }
    }
}
