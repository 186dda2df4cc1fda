//! Exit codes: what a script can distinguish without reading.
//!
//! ```text
//! 0 clean   1 violation   2 usage   3 does not count
//! ```
//!
//! A violation weighs more than a set that does not count: 3 means that nothing was violated, and nothing shown.

use std::process::ExitCode;

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Nothing was violated, and the runs count. Of mutants: all were caught.
    Clean,
    /// An invariant was violated, two runs of one seed differed, or a mutant was not caught.
    Violation,
    /// The request cannot be meant, or its result cannot be written.
    Usage,
    /// Nothing was violated, but not all happened that must have.
    DoesNotCount,
}

/// The table of `--help`.
pub(crate) const HELP: &str = "\
Exit codes:
  0  clean: nothing was violated, and the runs count
  1  violation: an invariant, or two runs of one seed differ; of mutants: one was not caught
  2  usage: the request cannot be meant, or the result cannot be written
  3  does not count: nothing was violated, but not all happened that must have";

impl Exit {
    /// The word that JSON output uses.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Violation => "violation",
            Self::Usage => "usage",
            Self::DoesNotCount => "does_not_count",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Clean => 0,
            Exit::Violation => 1,
            Exit::Usage => 2,
            Exit::DoesNotCount => 3,
        })
    }
}
