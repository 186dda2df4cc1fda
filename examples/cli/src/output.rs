//! The one place that prints.
//!
//! ```text
//! standard output   what a verb was asked for: a value, a table, a line of JSON, a result
//! standard error    notes, progress, problems
//! ```
//!
//! A script may read standard output without looking for stray lines, and a person sees colours only on
//! a terminal and only unless `NO_COLOR` is set. Standard error that nobody reads any more is no reason
//! to fail; standard output is.

use std::io::{self, IsTerminal as _, Write as _};

use comfy_table::{ContentArrangement, Table, presets};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use serde_json::json;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt;
use tracing_subscriber::prelude::*;

use crate::exit::Exit;
use crate::failure::{Failure, stored_word};

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

/// What a text is, for its colour.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Tone {
    Strong,
    Good,
    Bad,
}

impl Output {
    pub(crate) fn new(format: Format) -> Self {
        let wanted = colours_wanted();
        Self {
            format,
            colours: wanted && io::stdout().is_terminal(),
            error_colours: wanted && io::stderr().is_terminal(),
        }
    }

    pub(crate) const fn is_json(self) -> bool {
        matches!(self.format, Format::Json)
    }

    /// A line on standard output.
    pub(crate) fn line(self, text: &str) -> Result<(), Failure> {
        self.raw(format!("{text}\n").as_bytes())
    }

    /// A value's bytes, with a newline behind them only on a terminal.
    pub(crate) fn value(self, bytes: &[u8]) -> Result<(), Failure> {
        self.raw(bytes)?;
        if io::stdout().is_terminal() && !bytes.ends_with(b"\n") {
            self.raw(b"\n")
        } else {
            Ok(())
        }
    }

    /// A JSON value on a line of its own.
    pub(crate) fn json(self, value: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string(value).map_err(|error| Failure::caused(&error))?;
        self.line(&text)
    }

    /// A table without borders; `rows` begin with the header.
    pub(crate) fn table(self, rows: Vec<Vec<String>>) -> Result<(), Failure> {
        self.line(&columns(rows))
    }

    /// A remark on standard error.
    pub(crate) fn note(self, text: &str) {
        // Whoever closed standard error does not want to hear.
        writeln!(io::stderr(), "{text}").ok();
    }

    /// What went wrong, on standard error.
    pub(crate) fn failure(self, failure: &Failure) {
        if self.is_json() {
            return self.note(&failure_json(failure).to_string());
        }
        let label = painted(self.error_colours, Tone::Bad, "error:");
        self.note(&format!("{label} {}", failure.what));
        if let Some(stored) = failure.stored {
            self.note(&format!("  stored: {}", stored_word(stored)));
        }
        if let Some(hint) = &failure.hint {
            self.note(&format!("  hint: {hint}"));
        }
    }

    /// A text for standard output in the colour of `tone`.
    pub(crate) fn paint(self, tone: Tone, text: &str) -> String {
        painted(self.colours, tone, text)
    }

    /// A progress bar over `bytes`, on standard error; hidden unless that is a terminal.
    pub(crate) fn progress(self, bytes: u64, what: &'static str) -> ProgressBar {
        let target = if self.is_json() {
            ProgressDrawTarget::hidden()
        } else {
            ProgressDrawTarget::stderr()
        };
        let colour = if self.error_colours {
            "{bar:30.cyan}"
        } else {
            "{bar:30}"
        };
        let template = format!("{{prefix}} {colour} {{percent:>3}} %  {{msg}}  eta {{eta}}");
        let bar = ProgressBar::with_draw_target(Some(bytes), target).with_prefix(what);
        match ProgressStyle::with_template(&template) {
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

    fn raw(self, bytes: &[u8]) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        out.write_all(bytes)
            .and_then(|()| out.flush())
            .map_err(|error| {
                Failure::new(
                    Exit::Error,
                    format!("cannot write to standard output: {error}"),
                )
            })
    }
}

/// Shows what the libraries have to say on standard error: as much as `QUOIT_LOG` asks for, such as
/// `debug` or `quoit_client=debug,info`, or as much as `unless_asked`.
pub(crate) fn log_to_stderr(unless_asked: LevelFilter) {
    let asked: Option<Targets> = std::env::var("QUOIT_LOG")
        .ok()
        .and_then(|text| text.parse().ok());
    let filter = asked.unwrap_or_else(|| Targets::new().with_default(unless_asked));
    let colours = colours_wanted() && io::stderr().is_terminal();
    tracing_subscriber::registry()
        .with(fmt::layer().with_writer(io::stderr).with_ansi(colours))
        .with(filter)
        .init();
}

fn colours_wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Rows in columns that are as wide as they need to be, the first row in capitals as given.
fn columns(rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled);
    for row in rows {
        table.add_row(row);
    }
    table.column_iter_mut().for_each(|column| {
        column.set_padding((0, 2));
    });
    let text = table.to_string();
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    lines.join("\n")
}

/// Values beside each other, as wide as the terminal allows, for a person to compare.
pub(crate) fn side_by_side(header: Vec<String>, rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_FULL_CONDENSED);
    table
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(header);
    for row in rows {
        table.add_row(row);
    }
    table.to_string()
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

fn painted(colours: bool, tone: Tone, text: &str) -> String {
    let code = match tone {
        Tone::Strong => "1",
        Tone::Good => "32",
        Tone::Bad => "31;1",
    };
    if colours {
        format!("\x1b[{code}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use quoit_client::Stored;

    use super::*;

    #[test]
    fn columns_line_up_and_lines_end_without_blanks() {
        let row = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        let text = columns(vec![row(["NAME", "STATE"]), row(["node-1", "up"])]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0].find("STATE"), lines[1].find("up"));
        assert!(lines.iter().all(|line| *line == line.trim_end()));
    }

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

    #[test]
    fn text_is_plain_unless_colours_are_wanted() {
        assert_eq!(painted(false, Tone::Good, "ok"), "ok");
        assert_eq!(painted(true, Tone::Good, "ok"), "\x1b[32mok\x1b[0m");
    }
}
