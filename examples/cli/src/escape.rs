//! Text that comes from outside, made harmless for a terminal.
//!
//! ```text
//! ESC ] 0 ; pwned BEL    -->  \x1b]0;pwned\x07
//! a byte that is no text -->  \xff
//! ```
//!
//! Whoever may write a key, a value or a name could otherwise move the cursor of whoever reads it, rename the window,
//! forge lines of output, or answer for the keyboard. Escaped are control characters (C0, DEL, C1), those that
//! change the direction of text, line separators, and bytes that are no UTF-8. A backslash stays as it is:
//! this is for reading; for programs there is JSON.
//!
//! Nothing outside of [`output`](crate::output) has to think of it: what it prints passes through here. The
//! exception is [`one_line`], for what stands within a sentence, where a line's end would already forge one.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Bytes within a sentence: everything is escaped, line ends too.
pub(crate) fn one_line(bytes: &[u8]) -> String {
    escaped(bytes, &[])
}

/// Text of several lines: line ends stay.
pub(crate) fn lines(bytes: &[u8]) -> String {
    escaped(bytes, &['\n'])
}

/// A value by itself on a terminal: line ends and tabs stay.
pub(crate) fn value(bytes: &[u8]) -> String {
    escaped(bytes, &['\n', '\t'])
}

/// JSON that a terminal shows as it is, with the same meaning: what is escaped here stands only within its strings.
pub(crate) fn json(text: &str) -> Cow<'_, str> {
    if !text.chars().any(acts) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if acts(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(safe, "\\u{unit:04x}").unwrap_or_default();
            }
        } else {
            safe.push(c);
        }
    }
    Cow::Owned(safe)
}

fn escaped(bytes: &[u8], keep: &[char]) -> String {
    let mut safe = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if acts(c) && !keep.contains(&c) {
                push(&mut safe, c);
            } else {
                safe.push(c);
            }
        }
        for byte in chunk.invalid() {
            write!(safe, "\\x{byte:02x}").unwrap_or_default();
        }
    }
    safe
}

/// Whether a terminal may do something else with it than show it.
fn acts(c: char) -> bool {
    let turns = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let breaks = matches!(c, '\u{2028}' | '\u{2029}');
    c.is_control() || turns || breaks
}

fn push(safe: &mut String, c: char) {
    match c {
        '\n' => safe.push_str("\\n"),
        '\r' => safe.push_str("\\r"),
        '\t' => safe.push_str("\\t"),
        _ if c.is_ascii() => write!(safe, "\\x{:02x}", u32::from(c)).unwrap_or_default(),
        _ => write!(safe, "\\u{{{:x}}}", u32::from(c)).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_would_act_is_escaped_and_text_is_as_it_is() {
        let table: [(&[u8], &str); 9] = [
            (b"plain text", "plain text"),
            ("schön 日本 👩‍👧".as_bytes(), "schön 日本 👩‍👧"),
            (b"a\x1b[31m", "a\\x1b[31m"),
            (b"\x1b]0;pwned\x07", "\\x1b]0;pwned\\x07"),
            (b"a\rb\tc\nd", "a\\rb\\tc\\nd"),
            (b"\0\x7f", "\\x00\\x7f"),
            (b"\xff\xc3", "\\xff\\xc3"),
            ("\u{9b}31m".as_bytes(), "\\u{9b}31m"),
            ("\u{202e}gpj.exe".as_bytes(), "\\u{202e}gpj.exe"),
        ];
        for (bytes, text) in table {
            assert_eq!(one_line(bytes), text);
        }
        assert_eq!(lines(b"a\n\tb"), "a\n\\tb");
        assert_eq!(value(b"a\n\tb\r\x1b"), "a\n\tb\\r\\x1b");
    }

    proptest! {
        #[test]
        fn nothing_that_acts_is_left_of_any_bytes(bytes in any::<Vec<u8>>(), text in any::<String>()) {
            for bytes in [&bytes[..], text.as_bytes()] {
                prop_assert!(!one_line(bytes).chars().any(acts));
                prop_assert!(!value(bytes).chars().any(|c| acts(c) && c != '\n' && c != '\t'));
                let once = one_line(bytes);
                prop_assert_eq!(one_line(once.as_bytes()), once, "escaping again changes nothing");
            }
        }

        #[test]
        fn escaped_json_means_the_same(text in any::<String>()) {
            let written = serde_json::to_string(&text).unwrap();
            let safe = json(&written);
            prop_assert!(!safe.chars().any(acts));
            prop_assert_eq!(serde_json::from_str::<String>(&safe).unwrap(), text);
        }
    }
}
