//! Commands out of bytes: an array of bulk strings, or a line.
//!
//! ```text
//!   *2\r\n $3\r\n GET\r\n $5\r\n color\r\n      GET color\r\n
//!   '- count '- length, checked, then waited for  '- inline: words, quoted or not
//! ```
//!
//! The parser keeps its place, so bytes are looked at once however they arrive. A count or a length is checked when it is
//! read, and nothing is allocated for it: arguments are slices of what has arrived.
//!
//! *Not taken:* redis-protocol, whose decoder is for clients: it starts over with each piece that arrives, descends into
//! nested arrays as deep as the peer likes, has no bounds, and knows no inline commands. A server reads one shape only.
//!
//! Source: the RESP specification, and `processMultibulkBuffer` and `sdssplitargs` of Redis.

use bytes::{Bytes, BytesMut};

/// Most arguments of a command.
pub(crate) const MAX_ARGS: usize = 16_384;
/// Longest line: an inline command, a count or a length.
pub(crate) const MAX_LINE: usize = 64 << 10;
/// Bytes that one argument costs besides its own.
const ARG_COST: usize = 64;

/// A command: its name and its arguments, at least one in all.
pub(crate) type Command = Vec<Bytes>;

/// Why bytes are no command. Nothing behind them can be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("Protocol error: invalid multibulk length, at most 16384 arguments are taken")]
    Count,
    #[error("Protocol error: invalid bulk length, at most {max} bytes are taken")]
    Length { max: usize },
    #[error("Protocol error: a command has more than {max} bytes")]
    Command { max: usize },
    #[error("Protocol error: a line has more than 65536 bytes")]
    Line,
    #[error("Protocol error: expected '$'")]
    NoBulk,
    #[error("Protocol error: no line ends where a length says so")]
    NoEnd,
    #[error("Protocol error: unbalanced quotes in request")]
    Quotes,
}

/// What may come.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Bytes of one argument.
    pub(crate) argument: usize,
    /// Bytes of a command, with a little for each argument.
    pub(crate) command: usize,
}

/// Reads commands from what arrives.
#[derive(Debug)]
pub(crate) struct Parser {
    bounds: Bounds,
    /// Arguments that are to come.
    left: usize,
    /// Bytes of the next one, once they are known.
    length: Option<usize>,
    args: Vec<Bytes>,
    /// What `args` and the next argument take.
    bytes: usize,
    /// Bytes at the front that hold no line's end.
    searched: usize,
}

impl Parser {
    pub(crate) const fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            left: 0,
            length: None,
            args: Vec::new(),
            bytes: 0,
            searched: 0,
        }
    }

    /// Bytes that the command under way takes, as far as that is known; 0 between commands.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes that must arrive before there can be more: of an argument whose length is known.
    pub(crate) fn missing(&self, buffer: &BytesMut) -> usize {
        let whole = self.length.map_or(0, |length| length + 2);
        whole.saturating_sub(buffer.len())
    }

    /// The next command; `None` if more bytes are needed.
    ///
    /// # Errors
    /// The bytes are no command; the connection is of no use any more.
    pub(crate) fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<Command>, Malformed> {
        loop {
            if self.left == 0 {
                let Some(line) = self.line(buffer)? else {
                    return Ok(None);
                };
                match line.split_first() {
                    Some((b'*', count)) => self.begin(count)?,
                    _ => {
                        let words = words(&line)?;
                        if !words.is_empty() {
                            return Ok(Some(words));
                        }
                    }
                }
                continue;
            }
            if !self.argument(buffer)? {
                return Ok(None);
            }
            if self.left == 0 {
                self.bytes = 0;
                return Ok(Some(std::mem::take(&mut self.args)));
            }
        }
    }

    /// Begins an array; one that is empty or null is no command, as in Redis.
    fn begin(&mut self, count: &[u8]) -> Result<(), Malformed> {
        let count = number(count).ok_or(Malformed::Count)?;
        self.left = match usize::try_from(count) {
            Ok(count) if count > MAX_ARGS => return Err(Malformed::Count),
            Ok(count) => count,
            Err(_negative) => 0,
        };
        Ok(())
    }

    /// Reads one argument; false if more bytes are needed.
    fn argument(&mut self, buffer: &mut BytesMut) -> Result<bool, Malformed> {
        let length = match self.length {
            Some(length) => length,
            None => {
                let Some(line) = self.line(buffer)? else {
                    return Ok(false);
                };
                self.expect(&line)?
            }
        };
        if buffer.len() < length + 2 {
            return Ok(false);
        }
        let argument = buffer.split_to(length).freeze();
        if buffer.split_to(2) != b"\r\n"[..] {
            return Err(Malformed::NoEnd);
        }
        self.args.push(argument);
        self.length = None;
        self.left -= 1;
        Ok(true)
    }

    /// Notes the length of the next argument.
    fn expect(&mut self, line: &[u8]) -> Result<usize, Malformed> {
        let max = self.bounds.argument;
        let digits = line.strip_prefix(b"$").ok_or(Malformed::NoBulk)?;
        let length = number(digits).and_then(|length| usize::try_from(length).ok());
        let length = length.filter(|length| *length <= max);
        let length = length.ok_or(Malformed::Length { max })?;

        self.bytes += length + ARG_COST;
        let max = self.bounds.command;
        if self.bytes > max {
            return Err(Malformed::Command { max });
        }
        self.length = Some(length);
        Ok(length)
    }

    /// Takes a line off, without its end.
    fn line(&mut self, buffer: &mut BytesMut) -> Result<Option<Bytes>, Malformed> {
        let new = buffer.get(self.searched..).unwrap_or_default();
        let Some(at) = new.iter().position(|byte| *byte == b'\n') else {
            self.searched = buffer.len();
            return if self.searched > MAX_LINE {
                Err(Malformed::Line)
            } else {
                Ok(None)
            };
        };
        let mut line = buffer.split_to(self.searched + at + 1).freeze();
        self.searched = 0;
        if line.len() > MAX_LINE + 2 {
            return Err(Malformed::Line);
        }
        line.truncate(line.len() - 1);
        if line.last() == Some(&b'\r') {
            line.truncate(line.len() - 1);
        }
        Ok(Some(line))
    }
}

/// A whole number with all its bytes, and no more than fits.
fn number(digits: &[u8]) -> Option<i64> {
    str::from_utf8(digits).ok()?.parse().ok()
}

/// The words of an inline command: separated by blanks, in quotes if they hold some.
fn words(line: &[u8]) -> Result<Command, Malformed> {
    let mut words = Vec::new();
    let mut rest = line.trim_ascii_start();
    while let Some(first) = rest.first() {
        if words.len() == MAX_ARGS {
            return Err(Malformed::Count);
        }
        let (word, tail) = match first {
            b'"' => quoted(&rest[1..])?,
            b'\'' => single_quoted(&rest[1..])?,
            _ => {
                let end = rest.iter().position(u8::is_ascii_whitespace);
                let (word, tail) = rest.split_at(end.unwrap_or(rest.len()));
                (word.to_vec(), tail)
            }
        };
        // A word ends with its quote.
        if tail.first().is_some_and(|byte| !byte.is_ascii_whitespace()) {
            return Err(Malformed::Quotes);
        }
        words.push(word.into());
        rest = tail.trim_ascii_start();
    }
    Ok(words)
}

/// Reads to the closing quote, with escapes; what is behind it.
fn quoted(mut rest: &[u8]) -> Result<(Vec<u8>, &[u8]), Malformed> {
    let mut word = Vec::new();
    loop {
        let (&byte, tail) = rest.split_first().ok_or(Malformed::Quotes)?;
        rest = tail;
        if byte == b'"' {
            return Ok((word, rest));
        }
        if byte != b'\\' {
            word.push(byte);
            continue;
        }
        let (&escaped, tail) = rest.split_first().ok_or(Malformed::Quotes)?;
        rest = tail;
        let hex = rest
            .get(..2)
            .filter(|_| escaped == b'x')
            .and_then(|digits| {
                let text = str::from_utf8(digits).ok()?;
                u8::from_str_radix(text, 16).ok()
            });
        if let Some(byte) = hex {
            word.push(byte);
            rest = &rest[2..];
            continue;
        }
        word.push(match escaped {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'b' => 8,
            b'a' => 7,
            other => other,
        });
    }
}

/// The same between single quotes, in which only `\'` is an escape.
fn single_quoted(mut rest: &[u8]) -> Result<(Vec<u8>, &[u8]), Malformed> {
    let mut word = Vec::new();
    loop {
        match rest {
            [] => return Err(Malformed::Quotes),
            [b'\\', b'\'', tail @ ..] => {
                word.push(b'\'');
                rest = tail;
            }
            [b'\'', tail @ ..] => return Ok((word, tail)),
            [byte, tail @ ..] => {
                word.push(*byte);
                rest = tail;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOUNDS: Bounds = Bounds {
        argument: 1 << 10,
        command: 4 << 10,
    };

    /// All commands in `bytes`, fed in pieces of `piece` bytes, and how it ended.
    fn parse(bytes: &[u8], piece: usize) -> (Vec<Command>, Result<(), Malformed>) {
        let (mut parser, mut buffer) = (Parser::new(BOUNDS), BytesMut::new());
        let mut commands = Vec::new();
        for piece in bytes.chunks(piece.max(1)) {
            buffer.extend_from_slice(piece);
            loop {
                match parser.next(&mut buffer) {
                    Ok(Some(command)) => commands.push(command),
                    Ok(None) => break,
                    Err(error) => return (commands, Err(error)),
                }
            }
        }
        (commands, Ok(()))
    }

    fn one(bytes: &[u8]) -> Result<Vec<String>, Malformed> {
        let (commands, end) = parse(bytes, bytes.len());
        end?;
        let args = commands.into_iter().next().unwrap_or_default();
        Ok(args
            .iter()
            .map(|arg| arg.escape_ascii().to_string())
            .collect())
    }

    #[test]
    fn arrays_and_lines_are_commands() {
        let table: [(&[u8], &[&str]); 9] = [
            (b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", &["GET", "k"]),
            (b"*1\r\n$0\r\n\r\n", &[""]),
            (b"*2\r\n$3\r\nGET\r\n$2\r\n\r\n\r\n", &["GET", "\\r\\n"]),
            (b"GET  k\r\n", &["GET", "k"]),
            (b"ping\n", &["ping"]),
            (
                b"SET k \"a b\\n\\x00\\\"\"\r\n",
                &["SET", "k", "a b\\n\\x00\\\""],
            ),
            (b"SET k 'a \\' \\n'\r\n", &["SET", "k", "a \\' \\\\n"]),
            (b"\r\n\r\n*0\r\n*-1\r\nPING\r\n", &["PING"]),
            (b"*2\r\n$3\r\nGET\r\n$1\r\n", &[]),
        ];
        for (bytes, args) in table {
            assert_eq!(one(bytes).unwrap(), args, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn what_is_no_command_is_refused_before_anything_is_allocated() {
        let table: [(&[u8], Malformed); 13] = [
            (
                b"*1\r\n$9223372036854775808\r\n",
                Malformed::Length { max: 1 << 10 },
            ),
            (
                b"*1\r\n$9223372036854775807\r\n",
                Malformed::Length { max: 1 << 10 },
            ),
            (b"*1\r\n$1025\r\n", Malformed::Length { max: 1 << 10 }),
            (b"*1\r\n$-1\r\n", Malformed::Length { max: 1 << 10 }),
            (b"*1\r\n$x\r\n", Malformed::Length { max: 1 << 10 }),
            (b"*16385\r\n", Malformed::Count),
            (b"*9223372036854775808\r\n", Malformed::Count),
            (b"*x\r\n", Malformed::Count),
            (b"*1\r\n*1\r\n", Malformed::NoBulk),
            (b"*1\r\nPING\r\n", Malformed::NoBulk),
            (b"*1\r\n$1\r\nabc", Malformed::NoEnd),
            (b"SET k \"a\r\n", Malformed::Quotes),
            (b"SET k \"a\"b\r\n", Malformed::Quotes),
        ];
        for (bytes, error) in table {
            assert_eq!(one(bytes), Err(error), "{}", bytes.escape_ascii());
        }
        assert_eq!(parse(&[b'x'; MAX_LINE + 1], 4096).1, Err(Malformed::Line));
        assert_eq!(parse(&[b'x'; MAX_LINE], 4096).1, Ok(()));
        let argument = [b"$1000\r\n", &[b'x'; 1000][..], b"\r\n"].concat();
        let bytes = [b"*9\r\n".to_vec(), argument.repeat(5)].concat();
        assert_eq!(
            parse(&bytes, 4096).1,
            Err(Malformed::Command { max: 4 << 10 })
        );
    }

    #[test]
    fn the_bytes_that_are_missing_are_known_once_the_length_is() {
        let (mut parser, mut buffer) = (Parser::new(BOUNDS), BytesMut::new());
        buffer.extend_from_slice(b"*2\r\n$3\r\nSET\r\n$1000\r\nabc");
        assert_eq!(parser.next(&mut buffer), Ok(None));
        assert_eq!(parser.missing(&buffer), 999);
        assert_eq!(parser.bytes(), 1003 + 2 * ARG_COST);
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(args: Vec<Vec<u8>>, piece in 1usize..20) {
            let args: Vec<Vec<u8>> = args.into_iter().take(20).collect();
            prop_assume!(!args.is_empty());
            let mut bytes = format!("*{}\r\n", args.len()).into_bytes();
            for arg in &args {
                bytes.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
                bytes.extend_from_slice(arg);
                bytes.extend_from_slice(b"\r\n");
            }
            let (commands, end) = parse(&bytes, piece);
            prop_assert_eq!(end, Ok(()));
            prop_assert_eq!(commands, vec![args.into_iter().map(Bytes::from).collect::<Vec<_>>()]);
        }

        #[test]
        fn junk_is_an_error_or_waits_and_never_panics(
            bytes in prop::collection::vec(prop::sample::select(b"*$0129-\r\nGET \"'\\x\xff".to_vec()), 0..200),
            piece in 1usize..20,
        ) {
            let whole = parse(&bytes, bytes.len());
            prop_assert_eq!(parse(&bytes, piece), whole);
        }
    }
}
