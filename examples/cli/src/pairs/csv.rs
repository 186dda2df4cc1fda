//! Pairs from CSV with a header that names `key` and `value`, in any order.
//!
//! ```text
//! bytes --Splitter--> header, record, record, ... --> pairs and bad lines
//! ```
//!
//! The splitter is our own because the `csv` crate is lenient on purpose and has no strict mode: a quote that
//! is never closed makes one value of the rest of the file there, and text behind a closing quote melts into
//! the field, so an import loses rows and ends well. The tests hold it against that crate: it reads what that
//! crate writes, and whatever both accept they read alike.
//!
//! Fields are bytes and need not be UTF-8. Further columns are refused: what they mean is not known, and
//! to drop them would lose data without a word. Empty lines are skipped.

mod records;
#[cfg(test)]
mod tests;

use std::io::{BufRead as _, BufReader, ErrorKind, Read};

use quoit_ring::wire::MAX_KEY;

use self::records::{BadRecord, Fault, Record, Splitter};
use super::{BadLine, MAX_VALUE, Pair, bad, pair};

/// Reads CSV.
pub(super) struct CsvPairs<R> {
    input: BufReader<R>,
    splitter: Splitter,
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
        Self {
            input: BufReader::with_capacity(64 << 10, input),
            // A header is short.
            splitter: Splitter::new([MAX_KEY; 2]),
            state: State::Header,
        }
    }

    /// Reads the next record; `None` at the end of the file.
    fn advance(&mut self) -> Result<Option<Result<Record, BadRecord>>, BadLine> {
        loop {
            let bytes = match self.input.fill_buf() {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => {
                    return Err(last(
                        self.splitter.line(),
                        format!("cannot be read: {error}"),
                    ));
                }
            };
            if bytes.is_empty() {
                return Ok(self.splitter.finish());
            }

            let (used, record) = self.splitter.push(bytes);
            self.input.consume(used);
            if record.is_some() {
                return Ok(record);
            }
        }
    }

    /// Reads the header: which column is the key.
    fn header(&mut self) -> Result<usize, BadLine> {
        let what = "the first line must be the header `key,value`";
        let line = match self.advance()? {
            Some(Ok(record)) => record.line,
            Some(Err(bad)) if bad.fault.is_last() => {
                return Err(last(bad.line, bad.fault.to_string()));
            }
            Some(Err(bad)) => return Err(last(bad.line, what)),
            None => return Err(last(1, what)),
        };
        let names = self
            .splitter
            .fields()
            .each_ref()
            .map(|name| name.trim_ascii());
        match names {
            [b"key", b"value"] => Ok(0),
            [b"value", b"key"] => Ok(1),
            _ => Err(last(line, what)),
        }
    }

    fn row(&mut self, key: usize) -> Result<Option<Pair>, BadLine> {
        let record = match self.advance()? {
            None => return Ok(None),
            Some(Ok(record)) => record,
            Some(Err(bad)) => return Err(explained(&bad, key)),
        };
        let [first, second] = self.splitter.fields();
        // Copies of just the right size: the splitter's own grow as long as the longest field.
        let (first, second) = (first.clone(), second.clone());
        let (key, value) = if key == 0 {
            (first, second)
        } else {
            (second, first)
        };
        pair(record.line, key, value).map(Some)
    }

    fn step(&mut self) -> Result<Option<Pair>, BadLine> {
        if matches!(self.state, State::Header) {
            let key = self.header()?;
            let longest = if key == 0 {
                [MAX_KEY, MAX_VALUE]
            } else {
                [MAX_VALUE, MAX_KEY]
            };
            self.splitter.set_longest(longest);
            self.state = State::Rows { key };
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

fn last(line: u64, what: impl Into<String>) -> BadLine {
    BadLine {
        last: true,
        ..bad(line, what)
    }
}

fn explained(record: &BadRecord, key: usize) -> BadLine {
    let what = match &record.fault {
        Fault::TooLong { field, longest } if *field == key => {
            format!("the key has more than {longest} bytes")
        }
        Fault::TooLong { longest, .. } => format!("the value has more than {longest} bytes"),
        fault => fault.to_string(),
    };
    BadLine {
        last: record.fault.is_last(),
        ..bad(record.line, what)
    }
}
