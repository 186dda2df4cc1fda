//! What a node process has printed: whether it serves, and the end of its log.
//!
//! ```text
//!   DIR/node-1/log.txt     quoit-node 4f.. ready at 127.0.0.1:10117
//! ```
//!
//! A restarted node adds to the same file, so readiness is looked for behind what was there before its start.

use std::fmt;
use std::path::{Path, PathBuf};

/// What a node prints once it serves.
const READY: &str = " ready at ";
/// Lines of a log that an error carries.
const LINES: usize = 40;

/// The end of a node's log, at most 40 lines.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogTail(Vec<String>);

impl LogTail {
    /// The last `count` lines in one.
    ///
    /// ```
    /// assert_eq!(quoit_local::LogTail::default().in_one_line(5), "");
    /// ```
    #[must_use]
    pub fn in_one_line(&self, count: usize) -> String {
        self.0[self.0.len().saturating_sub(count)..].join(" | ")
    }
}

impl fmt::Display for LogTail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

/// The file that a process with the configuration at `config` prints to.
pub(crate) fn file_beside(config: &Path) -> PathBuf {
    config.with_file_name("log.txt")
}

/// Everything in a log; nothing if there is none yet.
pub(crate) fn read(log: &Path) -> String {
    // A node that is killed may leave half a character behind.
    std::fs::read(log)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default()
}

pub(crate) fn length(log: &Path) -> u64 {
    std::fs::metadata(log).map_or(0, |log| log.len())
}

/// Whether a log says, behind its first `skipped` bytes, that the node serves.
pub(crate) fn says_ready(log: &Path, skipped: u64) -> bool {
    let skipped = usize::try_from(skipped).unwrap_or(usize::MAX);
    let bytes = std::fs::read(log).unwrap_or_default();
    bytes
        .get(skipped..)
        .is_some_and(|new| String::from_utf8_lossy(new).contains(READY))
}

pub(crate) fn tail(log: &Path) -> LogTail {
    let text = read(log);
    let lines: Vec<&str> = text.lines().collect();
    let end = &lines[lines.len().saturating_sub(LINES)..];
    LogTail(end.iter().map(|&line| line.to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_printed_since_the_start_makes_a_node_ready() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log.txt");
        assert!(!says_ready(&log, 0) && length(&log) == 0);
        std::fs::write(&log, "quoit-node 1 ready at 127.0.0.1:1\n").unwrap();
        assert!(says_ready(&log, 0) && !says_ready(&log, length(&log)));
    }

    #[test]
    fn a_tail_has_the_last_lines_even_of_a_torn_log() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log.txt");
        let mut text: Vec<u8> = (0..50)
            .flat_map(|n| format!("line {n}\n").into_bytes())
            .collect();
        text.extend([b'e', 0xc3]);
        std::fs::write(&log, text).unwrap();
        let tail = tail(&log);
        assert_eq!(tail.0.len(), LINES);
        assert_eq!(tail.in_one_line(2), "line 49 | e\u{fffd}");
    }
}
