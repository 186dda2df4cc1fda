//! The one place that prints.
//!
//! ```text
//! standard output   the result
//! standard error    progress, problems
//! ```
//!
//! A reader that stops reading (`| head`) is not an error: the rest is not written. Colours only on a
//! terminal, and only unless `NO_COLOR` is set.

use std::io::{self, BufWriter, ErrorKind, IsTerminal as _, Write};

use anyhow::Context as _;
use serde::Serialize;

use crate::args::Format;

/// Prints results and problems.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    format: Format,
    colours: bool,
    error_colours: bool,
}

/// What a text is, for its colour.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Tone {
    Strong,
    Good,
    Warning,
    Bad,
    Faint,
}

impl Output {
    pub(crate) fn new(format: Format) -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self {
            format,
            colours: wanted && io::stdout().is_terminal(),
            error_colours: wanted && io::stderr().is_terminal(),
        }
    }

    pub(crate) const fn is_json(self) -> bool {
        matches!(self.format, Format::Json)
    }

    /// Whether colours are shown on standard error.
    pub(crate) const fn error_colours(self) -> bool {
        self.error_colours
    }

    /// Text on standard output, with a newline behind it.
    pub(crate) fn line(self, text: &str) -> anyhow::Result<()> {
        let mut out = io::stdout().lock();
        let written = writeln!(out, "{text}").and_then(|()| out.flush());
        unless_unread(written)
    }

    /// A JSON value on a line of its own.
    pub(crate) fn json(self, value: &impl Serialize) -> anyhow::Result<()> {
        let text = serde_json::to_string(value).context("cannot write the result as JSON")?;
        self.line(&text)
    }

    /// What happens now, on standard error.
    pub(crate) fn step(self, text: &str) {
        let text = self.paint_error(Tone::Faint, text);
        // A closed standard error is no reason to stop.
        writeln!(io::stderr(), "{text}").ok();
    }

    /// What went wrong, on standard error.
    pub(crate) fn problem(self, text: &str) {
        let label = self.paint_error(Tone::Bad, "error:");
        // A closed standard error is no reason to stop.
        writeln!(io::stderr(), "{label} {text}").ok();
    }

    /// A text for standard error in the colour of `tone`.
    pub(crate) fn paint_error(self, tone: Tone, text: &str) -> String {
        painted(self.error_colours, tone, text)
    }

    /// A text for standard output in the colour of `tone`.
    pub(crate) fn paint(self, tone: Tone, text: &str) -> String {
        painted(self.colours, tone, text)
    }
}

/// Many lines on standard output, written in large pieces.
#[derive(Debug)]
pub(crate) struct LinePrinter {
    out: BufWriter<io::Stdout>,
    result: io::Result<()>,
}

impl LinePrinter {
    pub(crate) fn new() -> Self {
        Self {
            out: BufWriter::with_capacity(1 << 16, io::stdout()),
            result: Ok(()),
        }
    }

    /// Writes a line, unless one could not be written before.
    pub(crate) fn line(&mut self, text: std::fmt::Arguments<'_>) {
        if self.result.is_ok() {
            self.result = writeln!(self.out, "{text}");
        }
    }

    /// Writes what is left.
    ///
    /// # Errors
    /// If any line could not be written, other than for want of a reader.
    pub(crate) fn end(&mut self) -> anyhow::Result<()> {
        let result = std::mem::replace(&mut self.result, Ok(()));
        unless_unread(result.and_then(|()| self.out.flush()))
    }
}

fn unless_unread(written: io::Result<()>) -> anyhow::Result<()> {
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(anyhow::Error::new(error).context("cannot write to standard output"))
        }
        _ => Ok(()),
    }
}

/// A text in the colour of `tone`, if colours are wanted.
fn painted(colours: bool, tone: Tone, text: &str) -> String {
    let code = match tone {
        Tone::Strong => "1",
        Tone::Good => "32",
        Tone::Warning => "33",
        Tone::Bad => "31;1",
        Tone::Faint => "2",
    };
    match colours {
        true => format!("\x1b[{code}m{text}\x1b[0m"),
        false => text.to_owned(),
    }
}
