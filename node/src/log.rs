//! The log of a program that runs a node: standard error, and never a reason to end.
//!
//! ```text
//! log record ------.
//! tracing event --fmt--> a line --LogWriter--> standard error, if it takes it
//!                                         `--> nowhere, if it does not
//! ```
//!
//! A standard error that is full or that nobody reads any more is common: a supervisor that was restarted, a
//! terminal that was closed, a full disk. What writes the log would otherwise panic, in whichever thread had
//! something to say. A line that is lost is not said again, and nothing counts them.
//!
//! The storage engine speaks through the `log` facade. Its lines come here, too: only they say what failed when it
//! gives up. Their targets are `fjall` and `lsm_tree`, and [`log_filter`] lets only their warnings through.
//!
//! An event is one line, whatever is in it. Reasons come from strangers: a peer that closes a handshake may give one
//! with line ends in it. So line ends, what turns the direction of text, and all escape sequences but colours, which the
//! formatter itself makes, are escaped here, once for all events.
//!
//! Left out: a pipe that is open and never read. Who logs into it waits, as in any program.

use std::borrow::Cow;
use std::io::{self, IsTerminal as _};

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt;
use tracing_subscriber::prelude::*;

/// The targets of the storage engine's lines.
const ENGINE: [&str; 2] = ["fjall", "lsm_tree"];

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum LogFormat {
    /// For people: time, level, target, message and fields.
    #[default]
    Text,
    /// For programs: one JSON object a line, with the fields of the event beside `timestamp`, `level`, `target` and `message`.
    Json,
}

/// Writes events, each given as one piece, to a place that may fail: every one is accepted, whatever becomes of it.
#[derive(Debug)]
struct LogWriter<W> {
    to: W,
    format: LogFormat,
}

impl<W: io::Write> io::Write for LogWriter<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        // There is no other place to say it.
        match self.format {
            LogFormat::Text => self.to.write_all(one_line(event).as_bytes()).ok(),
            // JSON escapes line ends and all else that controls a terminal but the direction of text, which programs do not mind.
            LogFormat::Json => self.to.write_all(event).ok(),
        };
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An event with only its last line end.
fn one_line(event: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(event);
    let inner = text.strip_suffix('\n').unwrap_or(&text);
    if !inner.contains(misleads) {
        return text;
    }

    let mut line = String::with_capacity(text.len() + 16);
    for (at, c) in inner.char_indices() {
        if misleads(c) && !is_colour(&inner[at..]) {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line.push_str(&text[inner.len()..]);
    Cow::Owned(line)
}

/// Whether it ends a line, works a terminal or turns the direction of text.
fn misleads(c: char) -> bool {
    let turns = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let breaks = matches!(c, '\u{2028}' | '\u{2029}');
    c.is_control() || turns || breaks
}

/// Whether an escape sequence for a colour or another look of letters begins here.
fn is_colour(text: &str) -> bool {
    let codes = text.strip_prefix("\u{1b}[").unwrap_or_default();
    codes
        .trim_start_matches(|c: char| c.is_ascii_digit() || c == ';')
        .starts_with('m')
}

/// What is logged unless somebody asks for something else: everything of `level` and above, but of the storage engine
/// only warnings. At its opening it has a dozen lines about trees that are as they should be.
///
/// ```
/// use tracing_subscriber::filter::LevelFilter;
///
/// quoit_node::log_to_stderr(Default::default(), quoit_node::log_filter(LevelFilter::INFO));
/// ```
#[must_use]
pub fn log_filter(level: LevelFilter) -> Targets {
    let engine = level.min(LevelFilter::WARN);
    Targets::new()
        .with_default(level)
        .with_targets(ENGINE.map(|target| (target, engine)))
}

/// Logs to standard error from now on what `filter` lets through, with colours only on a terminal that can show them
/// (`NO_COLOR`, `TERM=dumb`). Call it once, early in `main`; a second call changes nothing.
///
/// Never ends the process, also if standard error is closed or full.
///
/// ```
/// use tracing_subscriber::filter::{LevelFilter, Targets};
///
/// let filter = Targets::new().with_default(LevelFilter::INFO);
/// quoit_node::log_to_stderr(quoit_node::LogFormat::Json, filter);
/// ```
pub fn log_to_stderr(format: LogFormat, filter: Targets) {
    let to_stderr = move || LogWriter {
        to: io::stderr(),
        format,
    };
    let lines = fmt::layer()
        .with_writer(to_stderr)
        // What cannot be logged would be printed, and a print that fails panics.
        .log_internal_errors(false);
    let lines = match format {
        LogFormat::Text => lines.with_ansi(colours()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    // The only error is that a log is there already.
    let _first = tracing_subscriber::registry()
        .with(lines)
        .with(filter)
        .try_init()
        .is_ok();
}

fn colours() -> bool {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    !unwanted && !dumb && io::stderr().is_terminal()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use quinn_proto::{ApplicationClose, ConnectionError};

    use super::capture::logged;
    use super::*;

    const fn writer(format: LogFormat) -> LogWriter<Vec<u8>> {
        let to = Vec::new();
        LogWriter { to, format }
    }

    fn written(event: &str) -> String {
        let mut writer = writer(LogFormat::Text);
        writer.write_all(event.as_bytes()).unwrap();
        String::from_utf8(writer.to).unwrap()
    }

    #[test]
    fn json_is_written_as_it_is() {
        let mut writer = writer(LogFormat::Json);
        let event = "{\"message\":\"\u{202e}\\u001b\"}\n";
        writer.write_all(event.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(writer.to).unwrap(), event);
    }

    #[test]
    fn an_event_is_one_line_whatever_is_in_it() {
        let table = [
            ("plain\n", "plain\n"),
            ("no end", "no end"),
            ("", ""),
            ("\n", "\n"),
            ("a\nb\n", "a\\nb\n"),
            ("a\r\n", "a\\r\n"),
            ("a\n\n", "a\\n\n"),
            ("a\u{202e}b\u{2066}\n", "a\\u{202e}b\\u{2066}\n"),
            (
                "a\u{2028}b\u{2029}c\u{85}\n",
                "a\\u{2028}b\\u{2029}c\\u{85}\n",
            ),
            (
                "\u{1b}[2J\u{1b}]0;x\u{7}\u{1b}\n",
                "\\u{1b}[2J\\u{1b}]0;x\\u{7}\\u{1b}\n",
            ),
            (
                "\u{1b}[1;31mERROR\u{1b}[0m schön\n",
                "\u{1b}[1;31mERROR\u{1b}[0m schön\n",
            ),
        ];
        for (event, line) in table {
            assert_eq!(written(event), line, "{event:?}");
        }
        let junk = writer(LogFormat::Text).write(b"\xff\n").unwrap();
        assert_eq!(junk, 2, "it is accepted as a whole");
    }

    #[test]
    fn a_strangers_reason_forges_no_line() {
        let reason =
            b"bye\n2026-01-01T00:00:00Z ERROR forged: \x1b[2J\rall data is lost\xe2\x80\xa8too";
        let closed = ConnectionError::ApplicationClosed(ApplicationClose {
            error_code: 1_u32.into(),
            reason: reason.as_slice().into(),
        });
        let lines = logged(|| tracing::warn!(reason = %closed, "a handshake failed"));
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains("bye\\n2026"), "{lines:?}");
        assert!(!lines[0].contains(['\x1b', '\r', '\u{2028}']), "{lines:?}");
    }

    #[test]
    fn the_storage_engine_is_heard_only_when_something_is_wrong() {
        use tracing::Level;
        let passes = |filter: &Targets, target, level| filter.would_enable(target, &level);
        let info = log_filter(LevelFilter::INFO);
        for target in ["fjall", "fjall::db", "lsm_tree::tree"] {
            assert!(!passes(&info, target, Level::INFO), "{target}");
            assert!(passes(&info, target, Level::WARN), "{target}");
        }
        assert!(passes(&info, "quoit_node::node", Level::INFO));
        let off = log_filter(LevelFilter::OFF);
        assert!(!passes(&off, "fjall", Level::ERROR));
        let asked: Targets = "info,fjall=info".parse().unwrap();
        assert!(
            passes(&asked, "fjall", Level::INFO),
            "whoever asks for it sees it"
        );
    }

    #[test]
    fn a_writer_that_fails_is_no_error() {
        struct Full;
        impl io::Write for Full {
            fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        for format in [LogFormat::Text, LogFormat::Json] {
            let mut writer = LogWriter { to: Full, format };
            assert!(writer.write_all(b"a line\n").is_ok());
        }
    }
}

#[cfg(test)]
pub(crate) mod capture {
    //! What is logged while something runs, as [`log_to_stderr`](super::log_to_stderr) would write it.

    use std::io;
    use std::sync::{Arc, Mutex};

    use super::{LogFormat, LogWriter, fmt};

    #[derive(Debug, Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The lines that this thread logs during `run`.
    pub(crate) fn logged(run: impl FnOnce()) -> Vec<String> {
        let written = Shared::default();
        let writer = written.clone();
        let lines = fmt()
            .with_writer(move || LogWriter {
                to: writer.clone(),
                format: LogFormat::Text,
            })
            .with_ansi(false)
            .finish();
        tracing::subscriber::with_default(lines, run);
        let bytes = std::mem::take(&mut *written.0.lock().unwrap());
        let text = String::from_utf8(bytes).unwrap();
        text.lines().map(str::to_owned).collect()
    }
}
