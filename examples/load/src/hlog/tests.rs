//! Round trips, a text that another library wrote, and damage of every kind.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::ZlibEncoder;
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

/// The text of a plain histogram with this header and payload.
fn text(length: u32, digits: u32, highest: u64, payload: &[u8]) -> String {
    let mut plain = PLAIN.to_vec();
    plain.extend(length.to_be_bytes());
    plain.extend(0_u32.to_be_bytes());
    plain.extend(digits.to_be_bytes());
    plain.extend(1_u64.to_be_bytes());
    plain.extend(highest.to_be_bytes());
    plain.extend(1.0_f64.to_be_bytes());
    plain.extend(payload);
    deflated(&plain)
}

fn deflated(plain: &[u8]) -> String {
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
    zlib.write_all(plain).unwrap();
    let packed = zlib.finish().unwrap();
    let mut bytes = DEFLATED.to_vec();
    bytes.extend(u32::try_from(packed.len()).unwrap().to_be_bytes());
    bytes.extend(packed);
    STANDARD.encode(bytes)
}

#[test]
fn a_histogram_survives_the_way_to_text_and_back() {
    let before = sample();
    let after = decode(&encode(&before).unwrap()).unwrap();
    assert_eq!(after, before);
    assert_eq!(
        after.value_at_quantile(0.99),
        before.value_at_quantile(0.99)
    );
    let empty = Histogram::new(3).unwrap();
    assert_eq!(decode(&encode(&empty).unwrap()).unwrap().len(), 0);
}

#[test]
fn a_histogram_of_another_library_is_read() {
    let histogram = decode(OF_PYTHON).unwrap();
    assert_eq!(histogram.len(), 10);
    assert_eq!(histogram.min(), 1000);
    assert!(histogram.equivalent(histogram.max(), 10_000));
}

#[test]
fn a_text_cut_anywhere_is_an_error_and_never_a_panic() {
    let text = encode(&sample()).unwrap();
    for end in 0..text.len() {
        assert!(decode(&text[..end]).is_err(), "cut at {end}");
    }
}

#[test]
fn a_text_with_a_byte_changed_never_panics_and_is_nearly_always_refused() {
    let whole = STANDARD.decode(encode(&sample()).unwrap()).unwrap();
    let mut believed = 0;
    // past the length in the outer header, which nothing depends on
    for at in (0..4).chain(8..whole.len()) {
        for flip in [0x01, 0x80, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] ^= flip;
            let read = decode(&STANDARD.encode(bytes));
            believed += usize::from(read.is_ok_and(|histogram| histogram != sample()));
        }
    }
    // zlib's sum misses a few copies from a wrong distance
    assert!(believed * 1000 < whole.len() * 3, "{believed} believed");
}

#[test]
fn headers_that_ask_for_too_much_are_refused() {
    assert!(
        decode(&text(1, 3, 60_000_000, &[2])).is_ok(),
        "this one is fine"
    );
    let refused = [
        text(u32::MAX, 3, 60_000_000, &[2]),
        text(1, 5, u64::MAX, &[2]),
        text(1, u32::MAX, u64::MAX, &[2]),
        text(1, 3, 0, &[2]),
        text(9, 3, 60_000_000, &[0xff; 9]),
        text(1, 3, 60_000_000, &[0x80]),
        text(8, 3, 60_000_000, &[0xff; 8]),
        deflated(&[]),
        deflated(&vec![0; (4 << 20) + 1]),
        "A".repeat(MAX_TEXT + 1),
        "no base64!".to_owned(),
        String::new(),
    ];
    for (index, text) in refused.iter().enumerate() {
        assert!(decode(text).is_err(), "number {index}");
    }
}

#[test]
fn a_log_is_read_back_with_its_times_and_tags() {
    let histogram = sample();
    let intervals = [0, 1].map(|second| Interval {
        at: Duration::from_secs(second),
        length: Duration::from_secs(1),
        tag: "get",
        histogram: &histogram,
    });
    let mut log = Vec::new();
    let began = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    write_log(&mut log, "quoit-load\nycsb-a", began, intervals).unwrap();
    let entries: Vec<_> = IntervalLogIterator::new(&log).map(Result::unwrap).collect();
    assert_eq!(
        entries[0],
        LogEntry::StartTime(Duration::from_secs(1_700_000_000))
    );
    let LogEntry::Interval(second) = &entries[3] else {
        panic!("{entries:?}")
    };
    assert_eq!(second.start_timestamp(), Duration::from_secs(1));
    assert_eq!(second.tag().unwrap().as_str(), "get");
    assert_eq!(decode(second.encoded_histogram()).unwrap(), histogram);
}

#[test]
fn a_tag_that_would_break_the_line_is_refused() {
    let histogram = sample();
    for tag in ["a,b", "a b", "a\nb"] {
        let (at, length) = (Duration::ZERO, Duration::from_secs(1));
        let interval = Interval {
            at,
            length,
            tag,
            histogram: &histogram,
        };
        let written = write_log(&mut Vec::new(), "", SystemTime::UNIX_EPOCH, [interval]);
        assert!(matches!(written, Err(HlogError::Tag(_))), "{tag:?}");
    }
}
