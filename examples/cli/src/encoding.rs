//! Bytes as text: UTF-8 where they are, base64 where they are not.
//!
//! ```text
//! {"key":"a","value":"plain text"}
//! {"key":"b","value":"/wD+","encoding":"base64"}
//! ```
//!
//! Contexts are base64url without padding, so that they need no quoting in a shell or a URL.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use quoit_client::Context;
use serde::Deserialize;

/// How a text stands for bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Encoding {
    /// The text's UTF-8 bytes.
    #[default]
    Text,
    /// Base64 with padding (RFC 4648, section 4).
    Base64,
}

/// Bytes as a text and how to read it.
pub(crate) fn to_text(bytes: &[u8]) -> (String, Encoding) {
    match str::from_utf8(bytes) {
        Ok(text) => (text.to_owned(), Encoding::Text),
        Err(_not_text) => (STANDARD.encode(bytes), Encoding::Base64),
    }
}

/// The bytes that a text stands for.
pub(crate) fn from_text(text: String, encoding: Encoding) -> Result<Vec<u8>, base64::DecodeError> {
    match encoding {
        Encoding::Text => Ok(text.into_bytes()),
        Encoding::Base64 => STANDARD.decode(text),
    }
}

/// A context as `--context` takes it.
pub(crate) fn context_text(context: &Context) -> String {
    URL_SAFE_NO_PAD.encode(context.to_bytes())
}

/// Reads what [`context_text`] gave.
pub(crate) fn parse_context(text: &str) -> Result<Context, String> {
    let bytes = URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|error| format!("a context is base64url without padding: {error}"))?;
    Context::from_bytes(&bytes).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_come_back_from_their_text() {
        let table: [(&[u8], Encoding); 4] = [
            (b"", Encoding::Text),
            (b"plain", Encoding::Text),
            ("\u{fe}".as_bytes(), Encoding::Text),
            (&[0xff, 0, 0xfe], Encoding::Base64),
        ];
        for (bytes, expected) in table {
            let (text, encoding) = to_text(bytes);
            assert_eq!(encoding, expected);
            assert_eq!(from_text(text, encoding).as_deref(), Ok(bytes));
        }
    }

    #[test]
    fn text_that_is_no_base64_is_refused() {
        for text in ["!", "abc", "_w=="] {
            assert!(
                from_text(text.to_owned(), Encoding::Base64).is_err(),
                "{text}"
            );
        }
    }

    #[test]
    fn a_context_comes_back_and_junk_does_not_become_one() {
        let empty = Context::default();
        let text = context_text(&empty);
        assert!(!text.contains(['=', '+', '/']), "{text}");
        assert_eq!(parse_context(&text), Ok(empty));
        for junk in ["", "!", "AAAA", &text[1..]] {
            assert!(parse_context(junk).is_err(), "{junk:?}");
        }
    }
}
