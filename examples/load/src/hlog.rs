//! HDR histograms as text, and logs of them that other tools read.
//!
//! ```text
//!   Histogram <--> V2 (varints) <--> zlib <--> base64        one line of text, some KiB
//!
//!   #[BaseTime: 1700000000.000 (seconds since epoch)]
//!   Tag=get,0.000,1.000,12.345,HISTFAAA...                   tag, begin, length, max in ms, histogram
//! ```
//!
//! The text is what `HdrHistogram`'s log processors and plotters read (Java, C, Go, Python, Rust), values
//! in microseconds. Text from outside is checked before it is believed: its length, what it inflates to, how
//! many buckets it asks for, and that no run of zeros overflows, none of which the library bounds.
//!
//! Left out: reading logs back (the library's `IntervalLogIterator` does), and histograms of the first
//! format, which nothing has written since 2015.

pub(crate) mod curve;

use std::io::{Read, Write};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::ZlibDecoder;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};

/// The longest text that is read: the whole range at three digits, in counts of nine bytes, needs 0.7 MB.
const MAX_TEXT: usize = 4 << 20;
/// The most that a text may inflate to; 1000-fold deflate cannot pass it.
const MAX_PLAIN: u64 = 4 << 20;
/// Buckets grow tenfold with each digit; at four they take 6.5 MB.
const MAX_DIGITS: u32 = 4;
/// First bytes of the deflated and of the plain form; the low digit of the word size is fixed at 1.
const DEFLATED: [u8; 4] = 0x1c84_9314_u32.to_be_bytes();
const PLAIN: [u8; 4] = 0x1c84_9313_u32.to_be_bytes();
/// Plain header: cookie, payload length, offset, digits, lowest, highest, ratio.
const HEADER: usize = 4 + 4 + 4 + 4 + 8 + 8 + 8;

/// Why a histogram could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum HlogError {
    /// The text is longer than any histogram of ours.
    #[error("a histogram of {0} characters, at most {MAX_TEXT} are read")]
    TooLong(usize),
    /// It is no base64.
    #[error("a histogram that is no base64")]
    Base64(#[from] base64::DecodeError),
    /// It is base64 of something else, cut short, or damaged.
    #[error("a damaged histogram: {0}")]
    Damaged(&'static str),
    /// The library refuses it.
    #[error("a damaged histogram")]
    Refused(#[from] hdrhistogram::serialization::DeserializeError),
    /// The library cannot write it.
    #[error("a histogram that cannot be written: {0}")]
    Unwritable(String),
    /// Tags stand between commas, so they hold none, nor spaces or line ends.
    #[error("`{0}` cannot be a tag in a histogram log")]
    Tag(String),
    /// The log could not be written; a part of it may have been.
    #[error("the histogram log could not be written")]
    Io(#[from] std::io::Error),
}

/// A histogram as one line of text: V2, deflated, base64.
///
/// # Errors
/// [`HlogError::Unwritable`] if the library refuses, which needs counts beyond 2^63.
pub(crate) fn encode(histogram: &Histogram<u64>) -> Result<String, HlogError> {
    let mut bytes = Vec::new();
    V2DeflateSerializer::new()
        .serialize(histogram, &mut bytes)
        .map_err(|error| HlogError::Unwritable(error.to_string()))?;
    Ok(STANDARD.encode(bytes))
}

/// Reads what [`encode`] or another `HdrHistogram` library wrote.
///
/// # Errors
/// Says what is wrong with the text; none makes it panic or take more than some MiB.
pub(crate) fn decode(text: &str) -> Result<Histogram<u64>, HlogError> {
    if text.len() > MAX_TEXT {
        return Err(HlogError::TooLong(text.len()));
    }
    let bytes = STANDARD.decode(text.trim_end())?;
    let plain = inflate(&bytes)?;
    check_header(&plain)?;
    check_counts(plain.get(HEADER..).unwrap_or_default())?;
    Ok(Deserializer::new().deserialize(&mut plain.as_slice())?)
}

fn inflate(bytes: &[u8]) -> Result<Vec<u8>, HlogError> {
    let deflated = match bytes.split_at_checked(8) {
        Some((head, deflated)) if head.starts_with(&DEFLATED) => deflated,
        _ => return Err(HlogError::Damaged("it does not begin as one")),
    };
    let mut plain = Vec::new();
    let reading = ZlibDecoder::new(deflated).take(MAX_PLAIN + 1);
    match { reading }.read_to_end(&mut plain) {
        Err(_) => Err(HlogError::Damaged("it does not inflate")),
        Ok(_) if plain.len() as u64 > MAX_PLAIN => Err(HlogError::Damaged("it inflates too far")),
        Ok(_) => Ok(plain),
    }
}

/// The length must be what is there, and the buckets few enough to be allocated.
fn check_header(plain: &[u8]) -> Result<(), HlogError> {
    let word = |at: usize| plain.get(at..at + 4).and_then(|word| word.try_into().ok());
    let (Some(length), Some(digits)) = (word(4), word(12)) else {
        return Err(HlogError::Damaged("its header is cut short"));
    };
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if !plain.starts_with(&PLAIN) {
        return Err(HlogError::Damaged("its inner part is of another format"));
    }
    if plain.len().checked_sub(HEADER) != Some(length) {
        return Err(HlogError::Damaged(
            "it is cut short or goes on past its end",
        ));
    }
    if u32::from_be_bytes(digits) > MAX_DIGITS {
        return Err(HlogError::Damaged("it asks for too many digits"));
    }
    Ok(())
}

/// Counts are zigzag varints of up to nine bytes, the ninth whole; nine bytes of ones are -2^63, a number of
/// zeros that the library would negate.
fn check_counts(mut counts: &[u8]) -> Result<(), HlogError> {
    while !counts.is_empty() {
        let more = counts.iter().take(8).take_while(|byte| **byte >= 0x80);
        let length = more.count() + 1;
        let Some((number, rest)) = counts.split_at_checked(length) else {
            return Err(HlogError::Damaged("its last count is cut short"));
        };
        if number == [0xff; 9] {
            return Err(HlogError::Damaged("it has too many zeros in a row"));
        }
        counts = rest;
    }
    Ok(())
}

/// A piece of a log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Interval<'a> {
    /// When it began, since the beginning of the log.
    pub(crate) at: Duration,
    /// How long it is.
    pub(crate) length: Duration,
    /// What was measured: a verb.
    pub(crate) tag: &'a str,
    /// Its latencies, in microseconds.
    pub(crate) histogram: &'a Histogram<u64>,
}

/// Writes a `.hlog` file: `comment` first, then the intervals, which should be in order of time.
///
/// # Errors
/// If `out` refuses, or a tag holds a comma, a space or a line end; the intervals before it are written.
pub(crate) fn write_log<'a, W: Write>(
    out: &mut W,
    comment: &str,
    began: SystemTime,
    intervals: impl IntoIterator<Item = Interval<'a>>,
) -> Result<(), HlogError> {
    let mut serializer = V2DeflateSerializer::new();
    let mut log = IntervalLogWriterBuilder::new()
        .add_comment("[Histogram log format version 1.3]")
        .add_comment(comment)
        .add_comment("values in microseconds, the maximum of each interval in milliseconds")
        .with_start_time(began)
        .with_base_time(began)
        .with_max_value_divisor(1000.0)
        .begin_log_with(out, &mut serializer)?;
    for Interval {
        at,
        length,
        tag,
        histogram,
    } in intervals
    {
        let tag = Tag::new(tag).ok_or_else(|| HlogError::Tag(tag.to_owned()))?;
        log.write_histogram(histogram, at, length, Some(tag))
            .map_err(|error| HlogError::Unwritable(error.to_string()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
