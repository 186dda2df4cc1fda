//! What a node has printed: whether it is ready, and its last words.
//!
//! ```text
//!   DIR/node-1/log.txt     quoit-node 4f.. ready at 127.0.0.1:40117
//! ```

use std::path::PathBuf;

use quoit_node::provision::LocalNode;

/// Lines of a dead node's log that are shown.
const LOG_TAIL: usize = 5;

/// The file that it is added to.
pub(super) fn log_file(node: &LocalNode) -> PathBuf {
    node.config.with_file_name("log.txt")
}

fn read_log(node: &LocalNode) -> String {
    std::fs::read(log_file(node)).map_or_else(
        |_| String::new(),
        |log| String::from_utf8_lossy(&log).into_owned(),
    )
}

/// Whether it has said that it serves.
pub(super) fn is_ready(node: &LocalNode) -> bool {
    read_log(node).contains(" ready at ")
}

/// The last lines that a node wrote.
pub(super) fn log_tail(node: &LocalNode) -> String {
    let text = read_log(node);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_TAIL)..].join(" | ")
}
