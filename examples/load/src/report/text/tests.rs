//! The golden summary, and that no figure or text of a file breaks the table or the terminal.

use super::*;
use crate::report::sample;

#[test]
fn the_tiny_result_reads_like_this() {
    assert_eq!(text(&sample::tiny()), include_str!("../golden/tiny.txt"));
}

#[test]
fn no_line_is_wider_than_a_terminal_whatever_the_numbers_are() {
    let mut result = sample::tiny();
    let op = result.operations["get"].clone();
    let most = OpResult {
        count: u64::MAX,
        rate: 1e300,
        ..op
    };
    result
        .operations
        .insert("read-modify-write and more".to_owned(), most);
    result.verdicts.push("word ".repeat(60) + &"x".repeat(200));
    result.target = "t".repeat(100);
    for line in text(&result).lines() {
        assert!(line.chars().count() <= WIDTH, "{line}");
    }
}

#[test]
fn a_terminal_is_never_sent_commands_that_a_file_holds() {
    let mut result = sample::tiny();
    result.target = "\u{1b}[2J\u{7}".to_owned();
    result.verdicts = vec!["\u{1b}]0;title".to_owned()];
    let text = text(&result);
    assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text}");
}

#[test]
fn a_result_of_nothing_has_a_summary_too() {
    let mut result = sample::tiny();
    result.operations.clear();
    (result.cpu, result.verify) = (None, None);
    assert!(text(&result).contains("operation"));
}
