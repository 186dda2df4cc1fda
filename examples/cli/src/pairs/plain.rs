//! The bytes of a text file: without its byte order mark, and refused if they are no text but something that is often
//! given by mistake.
//!
//! ```text
//! EF BB BF  key,value ...     -->  key,value ...
//! 1F 8B ...                   -->  an error that says gzip
//! ```
//!
//! Only the first bytes are looked at, once. Nothing is decompressed or converted here: other programs do that,
//! and standard input takes what they write.

use std::io::{self, Cursor, Read};

use super::Format;

/// The most bytes that a file is recognised by.
const HEAD: u64 = 6;

/// A byte order mark, which some programs put before UTF-8.
const MARK: &[u8] = b"\xEF\xBB\xBF";

/// What a file is that is no text, and how to make text of it.
struct Foreign {
    what: &'static str,
    /// The command that writes its text to standard output, if there is one.
    program: Option<&'static str>,
}

const fn by(what: &'static str, program: &'static str) -> Foreign {
    Foreign {
        what,
        program: Some(program),
    }
}

/// They are known by their first bytes.
static KNOWN: [(&[u8], Foreign); 8] = [
    (b"\x1F\x8B", by("compressed with gzip", "gunzip -c")),
    (b"\x28\xB5\x2F\xFD", by("compressed with zstd", "zstdcat")),
    (b"\xFD7zXZ\0", by("compressed with xz", "xzcat")),
    (b"BZh", by("compressed with bzip2", "bzcat")),
    (
        b"PK\x03\x04",
        Foreign {
            what: "a ZIP archive, as spreadsheets are",
            program: None,
        },
    ),
    (b"\xFF\xFE\0\0", by("UTF-32", "iconv -f UTF-32 -t UTF-8")),
    (b"\xFF\xFE", by("UTF-16", "iconv -f UTF-16 -t UTF-8")),
    (b"\xFE\xFF", by("UTF-16", "iconv -f UTF-16 -t UTF-8")),
];

static UTF_16BE: Foreign = by("UTF-16", "iconv -f UTF-16BE -t UTF-8");
static UTF_16LE: Foreign = by("UTF-16", "iconv -f UTF-16LE -t UTF-8");

impl Foreign {
    /// What to do. Standard input has no name that says its format, so the command does.
    fn advice(&self, format: Format) -> String {
        self.program.map_or_else(
            || "export it as CSV, or unpack it".to_owned(),
            |program| {
                let format = format.name();
                format!("{program} FILE | quoit import --format {format} - (or verify)")
            },
        )
    }
}

/// Reads text.
pub(super) struct PlainText<R> {
    input: R,
    /// What the text is.
    format: Format,
    /// The first bytes, once they were looked at.
    head: Option<Cursor<Vec<u8>>>,
}

impl<R: Read> PlainText<R> {
    pub(super) const fn new(input: R, format: Format) -> Self {
        Self {
            input,
            format,
            head: None,
        }
    }

    /// Reads the first bytes.
    fn look(&mut self) -> io::Result<Cursor<Vec<u8>>> {
        let mut head = Vec::new();
        self.input.by_ref().take(HEAD).read_to_end(&mut head)?;
        if let Some(foreign) = foreign(&head) {
            let (what, advice) = (foreign.what, foreign.advice(self.format));
            return Err(io::Error::other(format!("it is {what}; {advice}")));
        }
        let mark = if head.starts_with(MARK) {
            MARK.len()
        } else {
            0
        };
        Ok(Cursor::new(head.split_off(mark)))
    }
}

impl<R: Read> Read for PlainText<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.head.is_none() {
            self.head = Some(self.look()?);
        }
        let from_head = self.head.as_mut().map_or(Ok(0), |head| head.read(into))?;
        if from_head > 0 {
            return Ok(from_head);
        }
        self.input.read(into)
    }
}

/// What the file is, if its first bytes are those of no text.
fn foreign(head: &[u8]) -> Option<&'static Foreign> {
    let known = KNOWN.iter().find(|(first, _)| head.starts_with(first));
    if let Some((_, foreign)) = known {
        return Some(foreign);
    }
    // UTF-16 without a mark: no text in ASCII has a zero beside its first character.
    match head {
        [0, low, ..] if *low != 0 => Some(&UTF_16BE),
        [low, 0, ..] if *low != 0 => Some(&UTF_16LE),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::Cli;

    fn read(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        PlainText::new(bytes, Format::Csv).read_to_end(&mut text)?;
        Ok(text)
    }

    #[test]
    fn text_is_as_it_was_without_its_byte_order_mark() {
        for text in [
            "",
            "k",
            "key,v",
            "key,value\na,1\n",
            "{\"key\":\"\u{feff}\"}",
        ] {
            assert_eq!(read(text.as_bytes()).unwrap(), text.as_bytes(), "{text:?}");
            let marked = [MARK, text.as_bytes()].concat();
            assert_eq!(read(&marked).unwrap(), text.as_bytes(), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_text_is_named() {
        let utf16 = |mark: &[u8], unit: fn(u16) -> [u8; 2]| {
            let units = "key,value\n".encode_utf16().flat_map(unit);
            [mark, &units.collect::<Vec<u8>>()].concat()
        };
        let table = [
            (b"\x1F\x8B\x08\0\0\0\0\0".to_vec(), "gzip"),
            (b"\x28\xB5\x2F\xFD\x24".to_vec(), "zstd"),
            (b"\xFD7zXZ\0\0\x04".to_vec(), "xz"),
            (b"BZh91AY".to_vec(), "bzip2"),
            (b"PK\x03\x04\x14".to_vec(), "ZIP"),
            (b"\xFF\xFE\0\0k\0\0\0".to_vec(), "UTF-32"),
            (utf16(b"\xFF\xFE", u16::to_le_bytes), "UTF-16"),
            (utf16(b"\xFE\xFF", u16::to_be_bytes), "UTF-16"),
            (utf16(b"", u16::to_le_bytes), "UTF-16"),
            (utf16(b"", u16::to_be_bytes), "UTF-16"),
        ];
        for (bytes, name) in table {
            let error = read(&bytes).unwrap_err().to_string();
            assert!(error.contains(name), "{name}: {error}");
        }
    }

    #[test]
    fn the_command_that_is_suggested_is_one_that_works() {
        let all = KNOWN.iter().map(|(_, foreign)| foreign);
        for foreign in all.chain([&UTF_16BE, &UTF_16LE]) {
            for format in [Format::Csv, Format::JsonLines] {
                let advice = foreign.advice(format);
                let Some((program, import)) = advice.split_once(" FILE | ") else {
                    assert_eq!(foreign.program, None, "{advice}");
                    continue;
                };
                assert_eq!(Some(program), foreign.program);
                let import = import.strip_suffix(" (or verify)").unwrap();
                for verb in ["import", "verify"] {
                    let line = import.replace("import", verb);
                    let parsed = Cli::try_parse_from(line.split(' '));
                    assert!(parsed.is_ok(), "{line}: {parsed:?}");
                    let named = format!("--format {}", format.name());
                    assert!(line.contains(&named), "{line}");
                }
            }
        }
    }
}
