//! Files of pairs: CSV and JSON lines, read one pair at a time.
//!
//! ```text
//! key,value                          {"key":"Genesis 1:1","value":"In the beginning ..."}
//! "Genesis 1:1","In the beginning"   {"key":"logo","value":"iVBORw0K","encoding":"base64"}
//! ```
//!
//! A pair knows its line, and so does whatever is wrong with one: a bad line is reported by its number
//! and the reader goes on behind it, so the caller decides whether to. Only a file that cannot be read
//! any further ends the reading by itself.
//!
//! Whatever the bytes are, a reader holds one line, and of it no more than the longest key and value take. Pairs that
//! are read and not done with are bounded in bytes: see [`Feed`].

mod csv;
mod feed;
mod jsonl;
mod plain;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use bytes::Bytes;
use clap::ValueEnum;
use quoit_ring::wire::MAX_KEY;

pub(crate) use feed::{Feed, Permit};

/// The largest value that any node may be set to take, in bytes; what a cluster allows, its nodes say.
pub(crate) const MAX_VALUE: usize = 16 << 20;

/// What a file of pairs looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A header `key,value`, then one pair a line
    Csv,
    /// One JSON object a line
    #[value(name = "jsonl", alias = "ndjson", alias = "json")]
    JsonLines,
}

/// A key and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pair {
    /// The line it begins at, counted from 1.
    pub(crate) line: u64,
    pub(crate) key: Bytes,
    pub(crate) value: Bytes,
}

/// A line that holds no pair.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub(crate) struct BadLine {
    /// Its number, counted from 1.
    pub(crate) line: u64,
    /// What is wrong with it.
    pub(crate) what: String,
    /// Nothing behind it can be read.
    pub(crate) last: bool,
}

/// Pairs and bad lines, in the file's order.
pub(crate) type Pairs = Box<dyn Iterator<Item = Result<Pair, BadLine>> + Send>;

impl Format {
    /// The format that a file's name implies.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        match extension.as_str() {
            "csv" => Some(Self::Csv),
            "jsonl" | "ndjson" | "json" => Some(Self::JsonLines),
            _ => None,
        }
    }

    /// What `--format` calls it.
    const fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::JsonLines => "jsonl",
        }
    }
}

/// Reads the pairs of `input`.
pub(crate) fn read(format: Format, input: impl Read + Send + 'static) -> Pairs {
    let input = plain::PlainText::new(input, format);
    match format {
        Format::Csv => Box::new(csv::CsvPairs::new(input)),
        Format::JsonLines => Box::new(jsonl::JsonPairs::new(input)),
    }
}

/// Opens a file and returns its length.
pub(crate) fn open(path: &Path) -> io::Result<(File, u64)> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    Ok((file, length))
}

/// A pair, unless its key cannot be one.
fn pair(line: u64, key: Vec<u8>, value: Vec<u8>) -> Result<Pair, BadLine> {
    match key.len() {
        1..=MAX_KEY => Ok(Pair {
            line,
            key: key.into(),
            value: value.into(),
        }),
        bytes => Err(bad(
            line,
            format!("the key has {bytes} bytes: a key has 1 to 32,768 bytes"),
        )),
    }
}

fn bad(line: u64, what: impl Into<String>) -> BadLine {
    BadLine {
        line,
        what: what.into(),
        last: false,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_extension_tells_the_format() {
        let table = [
            ("a.csv", Some(Format::Csv)),
            ("a.CSV", Some(Format::Csv)),
            ("a.jsonl", Some(Format::JsonLines)),
            ("a.ndjson", Some(Format::JsonLines)),
            ("a.json", Some(Format::JsonLines)),
            ("a.txt", None),
            ("csv", None),
        ];
        for (name, format) in table {
            assert_eq!(Format::of(Path::new(name)), format, "{name}");
        }
    }

    #[test]
    fn a_key_is_neither_empty_nor_too_long() {
        assert!(pair(1, vec![b'k'; MAX_KEY], Vec::new()).is_ok());
        for bytes in [0, MAX_KEY + 1] {
            let error = pair(7, vec![b'k'; bytes], Vec::new())
                .unwrap_err()
                .to_string();
            assert!(
                error.starts_with(&format!("line 7: the key has {bytes} bytes")),
                "{error}"
            );
        }
    }

    #[test]
    fn a_byte_order_mark_is_skipped_and_gzip_is_named_in_either_format() {
        let table = [
            (Format::Csv, "key,value\na,1\n"),
            (Format::JsonLines, "{\"key\":\"a\",\"value\":\"1\"}\n"),
        ];
        for (format, text) in table {
            let marked = format!("\u{feff}{text}");
            let found: Vec<_> = read(format, Cursor::new(marked))
                .map(Result::unwrap)
                .collect();
            assert_eq!(
                (found.len(), &found[0].key[..]),
                (1, &b"a"[..]),
                "{format:?}"
            );

            let found: Vec<_> = read(format, &b"\x1F\x8B\x08\0\0\0\0\0\0\x03"[..]).collect();
            let error = found[0].as_ref().unwrap_err().to_string();
            assert_eq!(found.len(), 1);
            assert!(
                error.starts_with("line 1: cannot be read: it is compressed with gzip;"),
                "{error}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            for format in [Format::Csv, Format::JsonLines] {
                let found = read(format, Cursor::new(bytes.clone())).count();
                prop_assert!(found <= bytes.len() + 1);
            }
        }
    }
}
