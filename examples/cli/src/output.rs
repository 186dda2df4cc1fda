//! The one place that prints.
//!
//! ```text
//! standard output   what a verb was asked for: a value, a table, a line of JSON, a result
//! standard error    notes, progress, problems
//! ```
//!
//! A script may read standard output without looking for stray lines, and a person sees colours, boxes and
//! progress only on a terminal that can show them: see [`plain`].
//!
//! Standard error that takes nothing any more is no reason to fail. Nor is a standard output whose reader has
//! gone: it has read what it wanted. A full one is, unless what is printed says what was done: that goes to
//! standard error then, and the exit code stays that of the work, since a write that is stored must never look
//! like one that is not.
//!
//! Whatever is printed for people is escaped here, so no verb can forget it: keys, values and names come from
//! anybody. Only a value that is asked for goes to a pipe or a file as it is.

mod table;
mod text;

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::Parser as _;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use quoit_node::LogFormat;
use serde::Serialize;
use serde_json::json;
use tracing_subscriber::filter::{LevelFilter, Targets};

use crate::cli::Cli;
use crate::escape;
use crate::exit::Exit;
use crate::failure::{Failure, stored_word};

pub(crate) use table::side_by_side;
pub(crate) use text::{Text, Tone, painted};

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Table,
    /// For programs: one JSON value, or one a line.
    Json,
}

/// Prints results, notes and problems.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    format: Format,
    colours: bool,
    error_colours: bool,
}

impl Output {
    pub(crate) fn new(format: Format) -> Self {
        let wanted = !plain();
        Self {
            format,
            colours: wanted && io::stdout().is_terminal(),
            error_colours: wanted && io::stderr().is_terminal(),
        }
    }

    pub(crate) const fn is_json(self) -> bool {
        matches!(self.format, Format::Json)
    }

    /// A line on standard output, or several.
    pub(crate) fn line(self, text: impl Into<Text>) -> Result<(), Failure> {
        self.raw(format!("{}\n", text.into().shown(self.colours)).as_bytes())
    }

    /// A value: its bytes, or on a terminal what they look like, with a newline behind them.
    pub(crate) fn value(self, bytes: &[u8]) -> Result<(), Failure> {
        if !io::stdout().is_terminal() {
            return self.raw(bytes);
        }
        let mut text = escape::value(bytes);
        if !text.ends_with('\n') {
            text.push('\n');
        }
        self.raw(text.as_bytes())
    }

    /// A JSON value on a line of its own.
    pub(crate) fn json(self, value: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string(value).map_err(|error| Failure::caused(&error))?;
        self.raw(format!("{}\n", escape::json(&text)).as_bytes())
    }

    /// One of many rows on standard output, a tab between its cells; false once nobody reads them any more.
    pub(crate) fn row(self, cells: &[&[u8]]) -> Result<bool, Failure> {
        let cells: Vec<String> = cells.iter().map(|cell| escape::one_line(cell)).collect();
        self.read_on(&cells.join("\t"))
    }

    /// The same as JSON.
    pub(crate) fn row_json(self, value: &impl Serialize) -> Result<bool, Failure> {
        let text = serde_json::to_string(value).map_err(|error| Failure::caused(&error))?;
        self.read_on(&escape::json(&text))
    }

    /// Writes a line; whether somebody still reads.
    fn read_on(self, safe: &str) -> Result<bool, Failure> {
        match write(format!("{safe}\n").as_bytes()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            Err(error) => Err(unwritable(&error)),
            Ok(()) => Ok(true),
        }
    }

    /// What was done, on a line of standard output; of standard error if that takes it no more.
    pub(crate) fn outcome(self, text: impl Into<Text>) {
        let text = text.into();
        self.done(&text.shown(self.colours), &text.shown(self.error_colours));
    }

    /// The same as JSON.
    pub(crate) fn outcome_json(self, value: &serde_json::Value) {
        let text = value.to_string();
        let safe = escape::json(&text);
        self.done(&safe, &safe);
    }

    fn done(self, line: &str, error_line: &str) {
        if let Err(error) = write(format!("{line}\n").as_bytes()) {
            self.warning(&format!("cannot write to standard output: {error}"));
            self.error_line(error_line);
        }
    }

    /// A table without borders; `rows` begin with the header. A cell is one line.
    pub(crate) fn table<C: Into<Text>>(self, rows: Vec<Vec<C>>) -> Result<(), Failure> {
        let rows = rows
            .into_iter()
            .map(|row| row.into_iter().map(Into::into).collect());
        let text = table::columns(rows.collect(), self.colours);
        // Its cells are escaped already; its colours must not be.
        self.raw(format!("{text}\n").as_bytes())
    }

    /// A remark on standard error.
    pub(crate) fn note(self, text: impl Into<Text>) {
        self.error_line(&text.into().shown(self.error_colours));
    }

    /// What is wrong and hinders nothing, on standard error.
    pub(crate) fn warning(self, what: &str) {
        if self.is_json() {
            self.error_line(&escape::json(&json!({ "warning": what }).to_string()));
        } else {
            self.note(format!("warning: {what}"));
        }
    }

    /// What went wrong, on standard error.
    pub(crate) fn failure(self, failure: &Failure) {
        if self.is_json() {
            return self.error_line(&escape::json(&failure_json(failure).to_string()));
        }
        // Only an error begins a line here, whatever its message is made of.
        let what = failure.what.replace('\n', "\n  ");
        self.note(painted(Tone::Bad, "error:").then(format!(" {what}")));
        if let Some(stored) = failure.stored {
            self.note(format!("  stored: {}", stored_word(stored)));
        }
        if let Some(hint) = &failure.hint {
            self.note(format!("  hint: {hint}"));
        }
    }

    /// A progress bar over `bytes`, on standard error; hidden unless that is a terminal that can show it.
    pub(crate) fn progress(self, bytes: u64, what: &'static str) -> ProgressBar {
        let target = if self.is_json() || !self.error_colours {
            ProgressDrawTarget::hidden()
        } else {
            ProgressDrawTarget::stderr()
        };
        let template = "{prefix} {bar:30.cyan} {percent:>3} %  {msg}  eta {eta}";
        let bar = ProgressBar::with_draw_target(Some(bytes), target).with_prefix(what);
        match ProgressStyle::with_template(template) {
            Ok(style) => bar.with_style(style.progress_chars("=> ")),
            Err(_unusable) => bar,
        }
    }

    /// A bar over a number of steps, each with a message, like [`Output::progress`].
    pub(crate) fn steps(self, steps: u64) -> ProgressBar {
        let bar = self.progress(steps, "");
        match ProgressStyle::with_template("{bar:30.cyan} {msg}  {elapsed}") {
            Ok(style) => bar.with_style(style.progress_chars("=> ")),
            Err(_unusable) => bar,
        }
    }

    /// Makes `bar` one over bytes whose number nobody knows.
    pub(crate) fn unbounded(bar: &ProgressBar) {
        bar.unset_length();
        if let Ok(style) = ProgressStyle::with_template("{prefix} {bytes}  {msg}") {
            bar.set_style(style);
        }
    }

    fn error_line(self, safe: &str) {
        // Whoever closed standard error does not want to hear.
        writeln!(io::stderr(), "{safe}").ok();
    }

    fn raw(self, bytes: &[u8]) -> Result<(), Failure> {
        match write(bytes) {
            // `quoit get key | head -c1`: the reader has what it wanted.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(unwritable(&error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

fn unwritable(error: &io::Error) -> Failure {
    let what = format!("cannot write to standard output: {error}");
    Failure::new(Exit::Error, what)
}

fn write(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}

/// Prints what is wrong with the line, or the help that it asks for; how the program ends.
pub(crate) fn usage(error: clap::Error) -> ExitCode {
    // It repeats arguments as they are. Escaped in its text a line's end would still forge a line, and a colour of its
    // own would not be left, so it is asked what is wrong with the escaped line.
    let escaped = std::env::args_os().map(|arg| escape::one_line(arg.as_encoded_bytes()));
    let error = Cli::try_parse_from(escaped).err().unwrap_or(error);
    error.print().ok();

    let code = u8::try_from(error.exit_code());
    code.map_or(ExitCode::FAILURE, ExitCode::from)
}

/// Shows what the libraries have to say on standard error: as much as `QUOIT_LOG` asks for, such as
/// `debug` or `quoit_client=debug,info`, or as much as `unless_asked`; as JSON if `QUOIT_LOG_FORMAT` says `json`.
pub(crate) fn log_to_stderr(unless_asked: LevelFilter) {
    let asked: Option<Targets> = std::env::var("QUOIT_LOG")
        .ok()
        .and_then(|text| text.parse().ok());
    let filter = asked.unwrap_or_else(|| quoit_node::log_filter(unless_asked));
    let is_json = std::env::var("QUOIT_LOG_FORMAT").is_ok_and(|format| format == "json");
    let format = if is_json {
        LogFormat::Json
    } else {
        LogFormat::Text
    };
    quoit_node::log_to_stderr(format, filter);
}

/// The fewest columns that a box or a progress bar makes sense in.
const NARROWEST: u16 = 20;

/// Whether lines are printed without colours, boxes and progress: because `NO_COLOR` says so, or because a terminal
/// here can do no more (`TERM=dumb`, no `TERM`, hardly any width).
pub(crate) fn plain() -> bool {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").map_or(cfg!(unix), |term| term == "dumb");
    unwanted || dumb || width().is_some_and(|width| width < NARROWEST)
}

/// The columns of the terminal here, if there is one.
#[cfg(unix)]
fn width() -> Option<u16> {
    let out = rustix::termios::tcgetwinsize(io::stdout());
    let size = out.or_else(|_no_terminal| rustix::termios::tcgetwinsize(io::stderr()));
    size.ok().map(|size| size.ws_col)
}

/// The columns of the terminal here, if there is one.
#[cfg(not(unix))]
const fn width() -> Option<u16> {
    None
}

fn failure_json(failure: &Failure) -> serde_json::Value {
    json!({
        "error": failure.what,
        "kind": failure.exit.name(),
        "exit": failure.exit.code(),
        "stored": failure.stored.map(stored_word),
        "hint": failure.hint,
    })
}

#[cfg(test)]
mod tests {
    use quoit_client::Stored;

    use super::*;

    #[test]
    fn a_failure_in_json_has_its_code_and_whether_the_write_could_exist() {
        let stored = Some(Stored::UnderReplicated);
        let failure = Failure {
            stored,
            ..Failure::new(Exit::Unknown, "thin").hint("again")
        };
        let expected = json!({
            "error": "thin", "kind": "outcome_unknown", "exit": 5, "stored": "too thinly", "hint": "again",
        });
        assert_eq!(failure_json(&failure), expected);
    }
}
