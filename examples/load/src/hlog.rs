//! HDR histograms as text, the form in which results and `.hlog` files store them.
//!
//! ```text
//!   Histogram <--> V2 (varints) <--> zlib <--> base64        one line of text, some KiB
//! ```
//!
//! The bytes are the `hdrhistogram` crate's own V2 serialization, which the `HdrHistogram` tools of every
//! language read. Values are microseconds.

use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use hdrhistogram::serialization::{Deserializer, Serializer as _, V2DeflateSerializer};

/// A histogram as one line of text.
///
/// # Errors
/// If a count is beyond 2^63.
pub(crate) fn encode(histogram: &Histogram<u64>) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    V2DeflateSerializer::new().serialize(histogram, &mut bytes)?;
    Ok(STANDARD.encode(bytes))
}

/// Reads what [`encode`] wrote.
///
/// # Errors
/// If it is something else.
pub(crate) fn decode(text: &str) -> anyhow::Result<Histogram<u64>> {
    let bytes = STANDARD.decode(text).context("a damaged histogram")?;
    Deserializer::new()
        .deserialize(&mut bytes.as_slice())
        .context("a damaged histogram")
}

/// A whole `.hlog` file with one interval: `histogram`, measured for `length` from `began`.
///
/// # Errors
/// If the histogram cannot be written, or `tag` contains a comma, a space or a line break.
pub(crate) fn log(
    comment: &str,
    began: SystemTime,
    length: Duration,
    tag: &str,
    histogram: &Histogram<u64>,
) -> anyhow::Result<Vec<u8>> {
    let tag = Tag::new(tag).with_context(|| format!("`{tag}` cannot be a tag"))?;
    let mut bytes = Vec::new();
    let mut serializer = V2DeflateSerializer::new();

    IntervalLogWriterBuilder::new()
        .add_comment("[Histogram log format version 1.3]")
        .add_comment(comment)
        .add_comment("values in microseconds, the maximum of each interval in milliseconds")
        .with_start_time(began)
        .with_base_time(began)
        .with_max_value_divisor(1000.0)
        .begin_log_with(&mut bytes, &mut serializer)?
        .write_histogram(histogram, Duration::ZERO, length, Some(tag))
        .map_err(|error| anyhow::anyhow!("a histogram cannot be written: {error}"))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    use super::*;

    /// Values 1000, 2000, ... 10,000 once each, written by Python's `hdrhistogram` 0.10.8.
    const OF_PYTHON: &str =
        "HISTFAAAADh4nJNpmSzMwMAgxwABzFCaEcyZ3M5g/wEicJ6f6Sw/01QOpqfsTAtZmD4yQ9FyJqbvjEwAQfAMLg==";

    fn sample() -> Histogram<u64> {
        let mut histogram = Histogram::new_with_bounds(1, 60_000_000, 3).unwrap();
        for value in (1..5000).map(|step: u64| step * step % 400_000 + 50) {
            histogram.record(value).unwrap();
        }
        histogram
    }

    #[test]
    fn a_histogram_survives_the_way_to_text_and_back() {
        let before = sample();
        assert_eq!(decode(&encode(&before).unwrap()).unwrap(), before);
        assert!(decode("no base64!").is_err());
        assert!(decode("AAAA").is_err());
    }

    #[test]
    fn a_histogram_of_another_library_is_read() {
        let histogram = decode(OF_PYTHON).unwrap();
        assert_eq!((histogram.len(), histogram.min()), (10, 1000));
        assert!(histogram.equivalent(histogram.max(), 10_000));
    }

    #[test]
    fn a_log_is_read_back_with_its_time_and_tag() {
        let began = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let length = Duration::from_secs(1);
        let log = log("quoit\nycsb-a", began, length, "get", &sample()).unwrap();
        let entries: Vec<_> = IntervalLogIterator::new(&log).map(Result::unwrap).collect();
        assert_eq!(
            entries[0],
            LogEntry::StartTime(Duration::from_secs(1_700_000_000))
        );
        let Some(LogEntry::Interval(interval)) = entries.last() else {
            panic!("{entries:?}")
        };
        assert_eq!(interval.tag().unwrap().as_str(), "get");
        assert_eq!(decode(interval.encoded_histogram()).unwrap(), sample());
    }
}
