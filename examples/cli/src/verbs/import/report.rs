//! How an import went: what was written, what was not, and how the program ends.
//!
//! All problems are counted, and shown up to a bound, so that a file of a million bad lines does
//! not scroll the reason away.

use std::time::Duration;

use quoit_client::WriteError;
use serde_json::json;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::pairs::BadLine;
use crate::units;

/// Most problems that are shown one by one.
pub(crate) const MAX_SHOWN: usize = 20;

/// A put's line and bytes, and what became of it.
pub(super) type Ended = (u64, usize, Result<(), WriteError>);

/// How an import went.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Pairs that were acknowledged.
    pub(crate) written: u64,
    /// Bytes of their keys and values.
    bytes: u64,
    /// Bad lines and failed writes.
    pub(super) problems: u64,
    /// The first of them.
    shown: Vec<Failure>,
    /// How long it took.
    pub(super) elapsed: Duration,
}

impl From<BadLine> for Failure {
    fn from(bad: BadLine) -> Self {
        Self::new(Exit::Error, bad.to_string())
    }
}

impl Report {
    pub(super) fn count_all(&mut self, ended: Option<Ended>) {
        match ended {
            None => {}
            Some((_line, bytes, Ok(()))) => {
                self.written += 1;
                self.bytes += bytes as u64;
            }
            Some((line, _bytes, Err(error))) => {
                let failure = Failure::from(error);
                let what = format!("line {line}: {}", failure.what);
                self.problem(Failure { what, ..failure });
            }
        }
    }

    pub(super) fn problem(&mut self, failure: Failure) {
        self.problems += 1;
        if self.shown.len() < MAX_SHOWN {
            self.shown.push(failure);
        }
    }

    /// The first problem, if there was one.
    pub(crate) fn first_problem(&self) -> Option<&Failure> {
        self.shown.first()
    }

    /// What was written, in a sentence.
    pub(crate) fn summary(&self) -> String {
        format!(
            "{}, {}, in {} ({}/s)",
            units::plural(self.written, "pair", "pairs"),
            units::bytes(self.bytes),
            units::duration(self.elapsed),
            units::count(units::rate(self.written, self.elapsed)),
        )
    }

    pub(super) fn print(&self, out: Output, keep_going: bool) -> Result<Exit, Failure> {
        if out.is_json() {
            out.outcome_json(&json!({
                "written": self.written,
                "problems": self.problems,
                "bytes": self.bytes,
                "elapsed_ms": u64::try_from(self.elapsed.as_millis()).unwrap_or(u64::MAX),
            }));
        } else {
            out.outcome(format!("imported {}", self.summary()));
        }
        if keep_going {
            self.shown.iter().for_each(|failure| out.failure(failure));
        }
        self.verdict(keep_going)
    }

    /// How the program ends.
    fn verdict(&self, keep_going: bool) -> Result<Exit, Failure> {
        match self.shown.first() {
            None => Ok(Exit::Ok),
            Some(first) if keep_going => {
                let what = format!(
                    "{} not imported",
                    units::plural(self.problems, "line was", "lines were")
                );
                Err(Failure::new(first.exit, what))
            }
            Some(first) => {
                let written = units::plural(self.written, "pair is", "pairs are");
                let hint = format!(
                    "{written} written already; import again once it is mended: to write them twice does no harm"
                );
                Err(first.clone().hint(hint))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(written: u64, problems: u64) -> Report {
        let mut report = Report {
            written,
            ..Report::default()
        };
        for line in 1..=problems {
            report.problem(
                BadLine {
                    line,
                    what: "no".into(),
                    last: false,
                }
                .into(),
            );
        }
        report
    }

    #[test]
    fn problems_are_counted_beyond_those_that_are_told() {
        let report = report(5, 25);
        assert_eq!((report.problems, report.shown.len()), (25, MAX_SHOWN));
        assert_eq!(report.first_problem().unwrap().what, "line 1: no");
    }

    #[test]
    fn a_failed_put_names_its_line_and_keeps_its_exit_code() {
        let mut report = report(0, 0);
        report.count_all(Some((7, 3, Err(WriteError::Abandoned))));
        let first = report.first_problem().unwrap();
        assert!(first.what.starts_with("line 7: "), "{}", first.what);
        assert_eq!(first.exit, Exit::Unknown);
    }

    #[test]
    fn an_import_without_problems_is_ok_and_one_with_them_is_not() {
        assert_eq!(report(1, 0).verdict(false), Ok(Exit::Ok));
        let stopped = report(3, 1).verdict(false).unwrap_err();
        assert!(
            stopped
                .hint
                .unwrap()
                .starts_with("3 pairs are written already")
        );
        let went_on = report(3, 2).verdict(true).unwrap_err();
        assert_eq!(went_on.what, "2 lines were not imported");
    }
}
