//! Pairs from JSON lines: one object a line.
//!
//! ```text
//! {"key": TEXT, "value": TEXT, "encoding": "text"|"base64", "key_encoding": "text"|"base64"}
//! ```
//!
//! Both encodings may be left out and are `text` then. An unknown field is refused: a misspelt `encoding` would
//! store the wrong bytes without a word. Empty lines are skipped. A line beyond its bound is skipped without
//! being kept, and is a bad one.

use std::borrow::Cow;
use std::io::{self, BufRead as _, BufReader, Read};

use serde::Deserialize;

use super::{BadLine, MAX_VALUE, Pair, bad, pair};
use crate::encoding::{Encoding, from_text};

/// Most bytes of a line: the longest value with every byte escaped (`\u0000`) fits, and the rest.
const MAX_LINE: usize = 7 * MAX_VALUE;

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

    /// The next line that is not empty, or a bad one if it is too long.
    fn next_line(&mut self) -> io::Result<Option<Result<Vec<u8>, BadLine>>> {
        loop {
            let mut line = Vec::new();
            self.line += 1;
            let bound = MAX_LINE as u64 + 1;
            let read = self
                .input
                .by_ref()
                .take(bound)
                .read_until(b'\n', &mut line)?;
            if line.len() > MAX_LINE {
                if !line.ends_with(b"\n") {
                    self.input.skip_until(b'\n')?;
                }
                let what = format!("the line has more than {MAX_LINE} bytes");
                return Ok(Some(Err(bad(self.line, what))));
            }
            if read == 0 {
                return Ok(None);
            }
            if !line.trim_ascii().is_empty() {
                return Ok(Some(Ok(line)));
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
            Ok(text) => Some(text?.and_then(|text| parse(self.line, &text))),
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

/// Most characters of a message: it quotes names of fields, and a name may be as long as a line.
const MAX_MESSAGE: usize = 300;

/// The message without its position's line, which is always 1 here.
fn explained(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    match text.strip_suffix(&position) {
        Some(message) => format!("{} (column {})", shortened(message), error.column()),
        None => shortened(&text).into_owned(),
    }
}

/// The beginning of a message that is too long.
fn shortened(message: &str) -> Cow<'_, str> {
    match message.char_indices().nth(MAX_MESSAGE) {
        Some((end, _)) => format!("{}...", &message[..end]).into(),
        None => message.into(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value};

    use super::*;
    use crate::encoding::to_text;

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
    fn a_message_is_short_however_long_the_name_is_that_it_quotes() {
        let line = format!("{{\"{}\":1}}\n", "ä".repeat(1 << 20));
        let error = JsonPairs::new(line.as_bytes()).next().unwrap().unwrap_err();
        assert!(
            error.what.starts_with("unknown field `ää"),
            "{}",
            &error.what[..40]
        );
        assert!(error.what.chars().count() < MAX_MESSAGE + 40);
        assert!(error.what.contains("ä... (column"), "{}", error.what);
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

    #[test]
    fn a_line_beyond_its_bound_is_bad_and_the_next_is_read() {
        let long = io::repeat(b'x').take(MAX_LINE as u64 + 10);
        let text = long.chain(&b"\n{\"key\":\"a\",\"value\":\"\"}\n"[..]);
        let found: Vec<_> = JsonPairs::new(text).collect();
        let error = found[0].as_ref().unwrap_err();
        assert_eq!((error.line, error.last), (1, false), "{error}");
        assert_eq!(found[1].as_ref().unwrap().line, 2);
    }

    /// A field and, if it is no text, its encoding.
    fn put(object: &mut Map<String, Value>, name: &str, encoding_name: &str, bytes: &[u8]) {
        let (text, encoding) = to_text(bytes);
        object.insert(name.into(), text.into());
        if encoding == Encoding::Base64 {
            object.insert(encoding_name.into(), "base64".into());
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            pairs in prop::collection::vec((prop::collection::vec(any::<u8>(), 1..8), any::<Vec<u8>>()), 0..8),
        ) {
            let mut text = String::new();
            for (key, value) in &pairs {
                let mut object = Map::new();
                put(&mut object, "key", "key_encoding", key);
                put(&mut object, "value", "encoding", value);
                text += &format!("{}\n", Value::Object(object));
            }
            let found: Vec<_> = JsonPairs::new(text.as_bytes()).map(|pair| {
                let pair = pair.unwrap();
                (pair.key.to_vec(), pair.value.to_vec())
            }).collect();
            prop_assert_eq!(found, pairs);
        }
    }
}
