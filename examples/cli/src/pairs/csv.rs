//! Pairs from CSV with a header that names `key` and `value`, in any order.
//!
//! Fields are bytes and need not be UTF-8. Further columns are refused: what they mean is not known, and
//! to drop them would lose data without a word. Empty lines are skipped and count as part of the pair
//! behind them, whose line is then that of the first.

use std::io::Read;

use csv::{ByteRecord, ErrorKind, Reader, ReaderBuilder};

use super::{BadLine, Pair, bad, pair};

/// Reads CSV.
pub(super) struct CsvPairs<R> {
    reader: Reader<R>,
    record: ByteRecord,
    state: State,
}

enum State {
    /// Nothing has been read.
    Header,
    /// Which column is the key; the other is the value.
    Rows { key: usize },
    /// Nothing more can be read.
    Done,
}

impl<R: Read> CsvPairs<R> {
    pub(super) fn new(input: R) -> Self {
        let reader = ReaderBuilder::new()
            .has_headers(false)
            .buffer_capacity(64 << 10)
            .from_reader(input);
        Self {
            reader,
            record: ByteRecord::new(),
            state: State::Header,
        }
    }

    /// Reads the next record; false at the end of the file.
    fn advance(&mut self) -> Result<bool, BadLine> {
        let here = self.reader.position().line();
        self.reader
            .read_byte_record(&mut self.record)
            .map_err(|error| {
                let line = error.position().map_or(here, csv::Position::line);
                let last = !matches!(error.kind(), ErrorKind::UnequalLengths { .. });
                BadLine {
                    last,
                    ..bad(line, explained(&error))
                }
            })
    }

    fn header(&mut self) -> Result<bool, BadLine> {
        let more = self.advance()?;
        let names: Vec<&[u8]> = self.record.iter().map(<[u8]>::trim_ascii).collect();
        // Spreadsheets put a byte order mark in front.
        let first = names
            .first()
            .map(|name| name.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(name));
        let key = match (first, names.get(1..)) {
            (Some(b"key"), Some([b"value"])) => 0,
            (Some(b"value"), Some([b"key"])) => 1,
            _ => {
                let what = "the first line must be the header `key,value`";
                return Err(BadLine {
                    last: true,
                    ..bad(1, what)
                });
            }
        };
        self.state = State::Rows { key };
        Ok(more)
    }

    fn row(&mut self, key: usize) -> Result<Option<Pair>, BadLine> {
        if !self.advance()? {
            return Ok(None);
        }
        let line = self.record.position().map_or(0, csv::Position::line);
        let field = |index: usize| self.record.get(index).unwrap_or_default().to_vec();
        pair(line, field(key), field(1 - key)).map(Some)
    }

    fn step(&mut self) -> Result<Option<Pair>, BadLine> {
        if matches!(self.state, State::Header) {
            self.header()?;
        }
        match self.state {
            State::Rows { key } => self.row(key),
            State::Header | State::Done => Ok(None),
        }
    }
}

impl<R: Read> Iterator for CsvPairs<R> {
    type Item = Result<Pair, BadLine>;

    fn next(&mut self) -> Option<Self::Item> {
        if matches!(self.state, State::Done) {
            return None;
        }
        let step = self.step();
        if !matches!(&step, Ok(Some(_)) | Err(BadLine { last: false, .. })) {
            self.state = State::Done;
        }
        step.transpose()
    }
}

fn explained(error: &csv::Error) -> String {
    match error.kind() {
        ErrorKind::UnequalLengths { len, .. } => {
            format!("{len} fields where there must be 2, key and value")
        }
        ErrorKind::Io(error) => format!("cannot be read: {error}"),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &'static [u8]) -> Vec<Result<Pair, BadLine>> {
        CsvPairs::new(text).collect()
    }

    fn pair_of(line: u64, key: &'static [u8], value: &'static [u8]) -> Result<Pair, BadLine> {
        Ok(Pair {
            line,
            key: key.into(),
            value: value.into(),
        })
    }

    #[test]
    fn pairs_come_with_their_lines() {
        let text = b"key,value\na,1\n\n\"b,\nb\",\"say \"\"2\"\"\"\nc,\xff\n";
        let expected = [
            pair_of(2, b"a", b"1"),
            pair_of(3, b"b,\nb", b"say \"2\""),
            pair_of(6, b"c", b"\xff"),
        ];
        assert_eq!(all(text), expected);
    }

    #[test]
    fn columns_may_change_places_and_a_byte_order_mark_is_skipped() {
        assert_eq!(all(b"value,key\n1,a\n"), [pair_of(2, b"a", b"1")]);
        assert_eq!(
            all(b"\xEF\xBB\xBFkey,value\na,1\n"),
            [pair_of(2, b"a", b"1")]
        );
    }

    #[test]
    fn a_bad_line_is_named_and_the_next_is_read() {
        let found = all(b"key,value\na,1\nb\nc,2,3\n,4\nd,5\n");
        assert_eq!(found[0], pair_of(2, b"a", b"1"));
        assert_eq!(found[4], pair_of(6, b"d", b"5"));
        let lines: Vec<u64> = found[1..4]
            .iter()
            .map(|bad| bad.as_ref().unwrap_err().line)
            .collect();
        assert_eq!(lines, [3, 4, 5]);
    }

    #[test]
    fn another_header_ends_the_reading() {
        for text in [
            &b""[..],
            b"a,1\n",
            b"key\na\n",
            b"key,value,ttl\na,1,2\n",
            b"key,key\na,b\n",
        ] {
            let found: Vec<_> = CsvPairs::new(text).collect();
            assert_eq!(found.len(), 1, "{text:?}");
            let error = found[0].as_ref().unwrap_err();
            assert!(error.last && error.what.contains("header"), "{error}");
        }
    }

    #[test]
    fn a_header_alone_is_an_empty_file() {
        assert_eq!(all(b"key,value\n"), []);
    }
}
