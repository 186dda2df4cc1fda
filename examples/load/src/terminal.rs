//! The one place that prints: results on standard output, problems on standard error.
//!
//! A result file may come from anywhere, and its names and settings from anybody. Whatever could work a
//! terminal is printed as JSON writes it, `\u001b`, which reads well in text and means the same in JSON.
//!
//! A reader that has had enough (`| head`) is no error. A standard error that takes nothing is none either.

use std::fmt::Write as _;
use std::io::{self, ErrorKind, Write as _};

use anyhow::Context as _;

/// Writes a result to standard output, with one newline behind it.
///
/// # Errors
/// If standard output is full.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    let written = writeln!(out, "{}", harmless(text.trim_end())).and_then(|()| out.flush());
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to standard output")
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Prints what went wrong, with its causes.
pub(crate) fn complain(error: &anyhow::Error) {
    // Only an error begins a line, whatever its message is made of.
    let text = format!("error: {error:#}").replace('\n', "\n  ");
    // Without standard error there is nothing left to report to.
    let _written = writeln!(io::stderr(), "{}", harmless(&text)).is_ok();
}

/// Text of which a terminal does nothing but show it.
fn harmless(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if c != '\n' && acts(c) {
            write!(safe, "\\u{:04x}", u32::from(c)).unwrap_or_default();
        } else {
            safe.push(c);
        }
    }
    safe
}

/// Whether it is a control character, separates lines, or turns the direction of text. All of these have at most four
/// hexadecimal digits.
pub(crate) fn acts(c: char) -> bool {
    let turns = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let breaks = matches!(c, '\u{2028}' | '\u{2029}');
    c.is_control() || turns || breaks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_a_result_does_nothing_to_a_terminal_and_json_keeps_its_meaning() {
        assert_eq!(harmless("p50\n99.9 µs – ok"), "p50\n99.9 µs – ok");
        assert_eq!(
            harmless("a\x1b[31m\r\u{9b}\u{202e}\u{2028}"),
            "a\\u001b[31m\\u000d\\u009b\\u202e\\u2028"
        );
        let name = "a\x1b\u{7f}\u{9b}\u{2066}".to_owned();
        let json = serde_json::to_string(&name).unwrap();
        assert_eq!(
            serde_json::from_str::<String>(&harmless(&json)).unwrap(),
            name
        );
        assert!(!harmless(&json).chars().any(acts));
    }
}
