//! Exit codes: what a script can distinguish without reading a message.
//!
//! ```text
//! 0 ok   1 error   2 usage   3 not found   4 conflict   5 outcome unknown   6 unavailable   7 try later
//! ```
//!
//! The numbers are part of the command line's interface and never change their meaning. The question
//! that matters most has a code of its own: after 5 a write may exist, after 6 it surely does not.

use std::process::ExitCode;

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Everything that was asked for was done.
    Ok,
    /// Something failed that the other codes do not name, or a check found a difference.
    Error,
    /// The request makes no sense: a wrong flag, an empty key, R beyond N.
    Usage,
    /// The key has no value.
    NotFound,
    /// The key has siblings, or a condition did not hold.
    Conflict,
    /// The write may exist or not.
    Unknown,
    /// Too few nodes answered; nothing was stored.
    Unavailable,
    /// A node cannot start yet: what it needs is in use, or its clock is behind.
    TryLater,
}

/// All of them.
const ALL: [Exit; 8] = [
    Exit::Ok,
    Exit::Error,
    Exit::Usage,
    Exit::NotFound,
    Exit::Conflict,
    Exit::Unknown,
    Exit::Unavailable,
    Exit::TryLater,
];

/// The table of `--help`.
pub(crate) const HELP: &str = "\
Exit codes:
  0  ok
  1  error, or a check found a difference
  2  usage: the request makes no sense; a node cannot start until something is changed
  3  not found
  4  conflict: the key has siblings, or a condition failed
  5  outcome unknown: the write may be stored, or is on too few replicas
  6  unavailable: too few nodes answered, nothing was stored
  7  try later: a node's port or directory is in use, or its clock is behind";

impl Exit {
    /// The number.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Error => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::Conflict => 4,
            Self::Unknown => 5,
            Self::Unavailable => 6,
            Self::TryLater => 7,
        }
    }

    /// The ending with that number.
    pub(crate) fn from_code(code: u8) -> Option<Self> {
        ALL.into_iter().find(|exit| exit.code() == code)
    }

    /// The word that JSON output uses.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Error => "error",
            Self::Usage => "usage",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::Unknown => "outcome_unknown",
            Self::Unavailable => "unavailable",
            Self::TryLater => "try_later",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operations_page_lists_every_code() {
        let page = include_str!("../../../docs/operations.md");
        for exit in ALL {
            let row = format!("\n| {} | ", exit.code());
            assert_eq!(page.matches(&row).count(), 1, "{row:?}");
        }
    }

    #[test]
    fn the_help_lists_every_code_by_its_number() {
        let lines: Vec<&str> = HELP.lines().skip(1).collect();
        assert_eq!(lines.len(), ALL.len());
        for (exit, line) in ALL.into_iter().zip(lines) {
            let word = exit.name().replace('_', " ");
            let expected = format!("  {}  {word}", exit.code());
            assert!(line.starts_with(&expected), "{line}");
        }
    }
}
