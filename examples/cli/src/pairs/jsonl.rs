//! Pairs from JSON lines: one object a line.
//!
//! ```text
//! {"key": TEXT, "value": TEXT, "encoding": "text"|"base64", "key_encoding": "text"|"base64"}
//! ```
//!
//! Both encodings may be left out and are `text` then. An unknown field is refused: a misspelt `encoding`
//! would store the wrong bytes without a word. Empty lines are skipped.

use std::io::{self, BufRead as _, BufReader, Read};

use serde::Deserialize;

use super::{BadLine, Pair, bad, pair};
use crate::encoding::{Encoding, from_text};

/// Most bytes of a line: the longest value with every byte escaped fits.
const MAX_LINE: u64 = 128 << 20;

/// Reads JSON lines.
pub(super) struct JsonPairs<R> {
    input: BufReader<R>,
    line: u64,
    done: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    key: String,
    value: String,
    #[serde(default)]
    encoding: Encoding,
    #[serde(default)]
    key_encoding: Encoding,
}

impl<R: Read> JsonPairs<R> {
    pub(super) fn new(input: R) -> Self {
        Self {
            input: BufReader::with_capacity(64 << 10, input),
            line: 0,
            done: false,
        }
    }

    /// The next line that is not empty.
    fn next_line(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            let mut line = Vec::new();
            self.line += 1;
            let read = self
                .input
                .by_ref()
                .take(MAX_LINE + 1)
                .read_until(b'\n', &mut line)?;
            if line.len() as u64 > MAX_LINE {
                return Err(io::Error::other("the line is too long"));
            }
            if read == 0 {
                return Ok(None);
            }
            if !line.trim_ascii().is_empty() {
                return Ok(Some(line));
            }
        }
    }
}

impl<R: Read> Iterator for JsonPairs<R> {
    type Item = Result<Pair, BadLine>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let next = self.next_line();
        self.done = !matches!(next, Ok(Some(_)));
        match next {
            Ok(text) => Some(parse(self.line, &text?)),
            Err(error) => {
                let what = format!("cannot be read: {error}");
                Some(Err(BadLine {
                    last: true,
                    ..bad(self.line, what)
                }))
            }
        }
    }
}

fn parse(number: u64, text: &[u8]) -> Result<Pair, BadLine> {
    let line: Line =
        serde_json::from_slice(text).map_err(|error| bad(number, explained(&error)))?;
    let bytes = |text, encoding, what| {
        from_text(text, encoding)
            .map_err(|error| bad(number, format!("the {what} is no base64: {error}")))
    };
    let key = bytes(line.key, line.key_encoding, "key")?;
    let value = bytes(line.value, line.encoding, "value")?;
    pair(number, key, value)
}

/// The message without its position's line, which is always 1 here.
fn explained(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    match text.strip_suffix(&position) {
        Some(message) => format!("{message} (column {})", error.column()),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &'static str) -> Vec<Result<Pair, BadLine>> {
        JsonPairs::new(text.as_bytes()).collect()
    }

    #[test]
    fn pairs_come_with_their_lines_and_decoded() {
        let found = all(concat!(
            "{\"key\":\"a\",\"value\":\"1\"}\n",
            "\n",
            "{\"value\":\"/wD+\",\"encoding\":\"base64\",\"key\":\"b\"}\r\n",
            "{\"key\":\"AAE=\",\"key_encoding\":\"base64\",\"value\":\"\"}",
        ));
        let expected: [(u64, &[u8], &[u8]); 3] = [
            (1, b"a", b"1"),
            (3, b"b", &[0xff, 0, 0xfe]),
            (4, &[0, 1], b""),
        ];
        assert_eq!(found.len(), expected.len());
        for (pair, (line, key, value)) in found.into_iter().zip(expected) {
            let pair = pair.unwrap();
            assert_eq!(
                (pair.line, &pair.key[..], &pair.value[..]),
                (line, key, value)
            );
        }
    }

    #[test]
    fn every_bad_line_is_named_and_the_next_is_read() {
        let bad_lines = [
            "{",
            "[]",
            "{\"key\":\"a\"}",
            "{\"key\":\"a\",\"value\":1}",
            "{\"key\":\"a\",\"value\":\"\",\"encodng\":\"base64\"}",
            "{\"key\":\"a\",\"value\":\"!\",\"encoding\":\"base64\"}",
            "{\"key\":\"\",\"value\":\"\"}",
            "{\"key\":\"a\",\"value\":\"\"} {}",
        ];
        let text = format!(
            "{}\n{{\"key\":\"z\",\"value\":\"\"}}\n",
            bad_lines.join("\n")
        );
        let found: Vec<_> = JsonPairs::new(io::Cursor::new(text)).collect();
        assert_eq!(found.len(), bad_lines.len() + 1);
        for ((number, line), found) in (1..).zip(bad_lines).zip(&found) {
            let error = found.as_ref().unwrap_err();
            assert_eq!((error.line, error.last), (number, false), "{line}: {error}");
        }
        assert!(found.last().unwrap().is_ok());
    }

    #[test]
    fn a_message_says_the_column_and_no_line_but_the_files() {
        let found = all("\n{\"key\":1}\n");
        let text = found[0].as_ref().unwrap_err().to_string();
        assert!(
            text.starts_with("line 2: invalid type") && text.ends_with("(column 8)"),
            "{text}"
        );
    }

    #[test]
    fn a_file_that_fails_ends_the_reading() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _into: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("gone"))
            }
        }
        let found: Vec<_> = JsonPairs::new(Broken).collect();
        assert_eq!(found.len(), 1);
        assert!(found[0].as_ref().unwrap_err().last);
    }
}
