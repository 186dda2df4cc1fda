//! How an import went: what was written, what was not, and how the program ends.
//!
//! All problems are counted, and shown up to a bound, so that a file of a million bad lines does
//! not scroll the reason away.
//!
//! ```text
//! a write may be stored, or is on too few replicas       5
//! nothing was written, for want of nodes and only so     6
//! any other problem                                      1
//! ```
//!
//! The exit code is that of the whole import: it says what the worst outcome is, not which problem came first.

use std::time::Duration;

use quoit_client::{Stored, WriteError};
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
    /// Of these the writes that may be stored, or are on too few replicas.
    in_doubt: u64,
    /// Of these the writes that are surely not stored, since too few nodes answered.
    unavailable: u64,
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
        self.in_doubt += u64::from(may_be_stored(&failure));
        self.unavailable += u64::from(failure.exit == Exit::Unavailable);
        debug_assert!(
            self.in_doubt + self.unavailable <= self.problems,
            "one kind each"
        );
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
                "in_doubt": self.in_doubt,
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
        let Some(first) = self.shown.first() else {
            return Ok(Exit::Ok);
        };
        let failure = if keep_going {
            Failure::new(self.exit(), self.not_imported())
        } else {
            first.clone()
        };

        let hints = [
            failure.hint.clone(),
            self.doubt_beyond(&failure),
            self.resume(),
        ];
        let hint = hints.into_iter().flatten().collect::<Vec<_>>().join("; ");
        Err(Failure {
            exit: self.exit(),
            stored: failure
                .stored
                .filter(|&stored| stored != Stored::No)
                .or_else(|| (self.in_doubt > 0).then_some(Stored::Maybe))
                .or(failure.stored),
            hint: Some(hint).filter(|hint| !hint.is_empty()),
            ..failure
        })
    }

    /// The exit code of an import with problems.
    const fn exit(&self) -> Exit {
        if self.in_doubt > 0 {
            Exit::Unknown
        } else if self.written == 0 && self.unavailable == self.problems {
            Exit::Unavailable
        } else {
            Exit::Error
        }
    }

    /// How many lines are not there, and how many nobody knows of.
    fn not_imported(&self) -> String {
        let (not, in_doubt) = (self.problems - self.in_doubt, self.in_doubt);
        let lines_not = units::plural(not, "line was", "lines were");
        match (not, in_doubt) {
            (_, 0) => format!("{lines_not} not imported"),
            (0, _) => format!(
                "{} may not have been imported",
                units::plural(in_doubt, "line", "lines")
            ),
            _ => format!(
                "{lines_not} not imported, and {} may not have been",
                units::count(in_doubt)
            ),
        }
    }

    /// What to know of writes in doubt that `failure` does not speak of itself.
    fn doubt_beyond(&self, failure: &Failure) -> Option<String> {
        let beyond = self.in_doubt - u64::from(may_be_stored(failure));
        (beyond > 0).then(|| {
            let writes = units::plural(beyond, "write", "writes");
            format!("{writes} may be stored or on too few replicas: read their keys to find out")
        })
    }

    /// What to know before the import is run again.
    fn resume(&self) -> Option<String> {
        (self.written > 0).then(|| {
            let written = units::plural(self.written, "pair is", "pairs are");
            format!(
                "{written} written already; to import again replaces what was written to their keys in between"
            )
        })
    }
}

/// Whether it is a write that is not surely absent.
const fn may_be_stored(failure: &Failure) -> bool {
    !matches!(failure.stored, None | Some(Stored::No))
}

#[cfg(test)]
mod tests {
    use quoit_client::{Attempt, Outcome, SentWrite};
    use quoit_ring::NodeId;
    use quoit_ring::wire::Refusal;

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
        let hint = stopped.hint.unwrap();
        assert!(hint.starts_with("3 pairs are written already"), "{hint}");
        assert!(
            hint.contains("replaces what was written to their keys in between"),
            "{hint}"
        );
        let went_on = report(3, 2).verdict(true).unwrap_err();
        assert_eq!(went_on.what, "2 lines were not imported");
    }

    fn unknown() -> WriteError {
        WriteError::Unknown {
            acked: 1,
            needed: 2,
            attempts: Vec::new(),
            write: SentWrite::default(),
        }
    }

    fn thin() -> WriteError {
        WriteError::UnderReplicated {
            acked: 1,
            needed: 2,
            attempts: Vec::new(),
            write: SentWrite::default(),
        }
    }

    /// Refused by too few nodes, or for good if there is an outcome.
    fn not_stored(outcome: Option<Outcome>) -> WriteError {
        let attempt = |outcome| Attempt {
            node: NodeId(1),
            name: "node-1".into(),
            outcome,
        };
        WriteError::NotStored {
            needed: 2,
            n: 3,
            attempts: outcome.map(attempt).into_iter().collect(),
        }
    }

    fn mixed(written: u64, bad_lines: u64, failed: Vec<WriteError>) -> Report {
        let mut report = report(written, bad_lines);
        for (line, error) in (bad_lines + 1..).zip(failed) {
            report.count_all(Some((line, 3, Err(error))));
        }
        report
    }

    #[test]
    fn the_exit_code_is_that_of_the_worst_outcome_whichever_came_first() {
        let unavailable = || not_stored(None);
        let refused = || not_stored(Some(Outcome::Refused(Refusal::TooManySiblings { max: 64 })));
        let table = [
            (mixed(0, 1, vec![]), Exit::Error),
            (mixed(9, 1, vec![]), Exit::Error),
            (mixed(0, 0, vec![unavailable()]), Exit::Unavailable),
            (
                mixed(0, 0, vec![unavailable(), unavailable()]),
                Exit::Unavailable,
            ),
            (mixed(1, 0, vec![unavailable()]), Exit::Error),
            (mixed(0, 1, vec![unavailable()]), Exit::Error),
            (mixed(0, 0, vec![unavailable(), refused()]), Exit::Error),
            (mixed(0, 0, vec![refused()]), Exit::Error),
            (mixed(0, 0, vec![WriteError::Closed]), Exit::Error),
            (mixed(0, 0, vec![unavailable(), unknown()]), Exit::Unknown),
            (mixed(0, 0, vec![unknown(), unavailable()]), Exit::Unknown),
            (mixed(9, 1, vec![unknown()]), Exit::Unknown),
            (mixed(9, 1, vec![refused(), thin()]), Exit::Unknown),
            (mixed(9, 30, vec![WriteError::Abandoned]), Exit::Unknown),
        ];
        for (report, exit) in table {
            for keep_going in [false, true] {
                let failure = report.verdict(keep_going).unwrap_err();
                assert_eq!(failure.exit, exit, "{keep_going} {report:?}");
                assert_eq!(
                    may_be_stored(&failure),
                    exit == Exit::Unknown,
                    "{failure:?}"
                );
            }
        }
    }

    #[test]
    fn the_hint_of_a_write_in_doubt_survives_and_is_followed_by_what_is_written() {
        let own = Failure::from(unknown()).hint.unwrap();
        let hint = mixed(3, 0, vec![unknown()])
            .verdict(false)
            .unwrap_err()
            .hint
            .unwrap();
        assert!(hint.starts_with(&own), "{hint}");
        assert!(hint.contains("; 3 pairs are written already; "), "{hint}");

        let alone = mixed(0, 0, vec![unknown()]).verdict(false).unwrap_err();
        assert_eq!(alone.hint, Some(own));
        let later = mixed(0, 1, vec![unknown(), thin()])
            .verdict(false)
            .unwrap_err();
        assert_eq!(later.what, "line 1: no", "what ended the import");
        assert!(later.hint.unwrap().starts_with("2 writes may be stored"));
    }

    #[test]
    fn a_line_that_may_be_imported_is_not_called_not_imported() {
        let what = |report: Report| report.verdict(true).unwrap_err().what;
        assert_eq!(what(mixed(3, 2, vec![])), "2 lines were not imported");
        assert_eq!(
            what(mixed(3, 0, vec![unknown()])),
            "1 line may not have been imported"
        );
        assert_eq!(
            what(mixed(3, 2, vec![unknown(), thin()])),
            "2 lines were not imported, and 2 may not have been"
        );
    }
}
