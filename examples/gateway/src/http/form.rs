//! The JSON form of a PUT: a value with its lifetime, its encoding and its context.
//!
//! ```json
//! {"value": "text", "ttl": 60}
//! {"value": "/w==", "encoding": "base64", "context": "AQ…"}
//! {"value": {"any": "document"}}
//! ```
//!
//! A text is stored as the bytes that it says, anything else as its JSON, byte for byte.

use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::options;
use crate::failure::{Failure, Kind};
use crate::store::Terms;

/// Bytes of a form besides its value.
const MARGIN: usize = 64 << 10;

/// Whether a PUT sends the form.
pub(crate) fn is_meant(headers: &HeaderMap) -> bool {
    let text = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let essence = text.and_then(|text| text.split(';').next());
    essence.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

/// The form, as it is sent.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PutForm<'a> {
    #[serde(borrow)]
    value: &'a RawValue,
    encoding: Option<Encoding>,
    ttl: Option<u64>,
    context: Option<String>,
}

/// What a text stands for.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Encoding {
    Text,
    Base64,
}

/// The longest form of a value of `max` bytes: twice that holds base64 and most escapes.
pub(crate) const fn longest(max: usize) -> usize {
    2 * max + MARGIN
}

/// The value of a form; its other fields go into `terms`.
///
/// # Errors
/// It is not the form, or a field differs from the option of that name.
pub(crate) fn value(bytes: &[u8], terms: &mut Terms) -> Result<Bytes, Failure> {
    let bad = |what: String| {
        Failure::new(Kind::BadBody, what)
            .advice("`application/json` takes {\"value\": …, \"ttl\": seconds}; any other content type is stored as it is")
    };
    let form: PutForm<'_> = serde_json::from_slice(bytes)
        .map_err(|error| bad(format!("not the JSON form: {error}")))?;
    if let Some(ttl) = form.ttl {
        set_once(&mut terms.ttl, options::lifetime(ttl)?, "ttl")?;
    }
    if let Some(context) = &form.context {
        set_once(&mut terms.context, options::context(context)?, "context")?;
    }
    bytes_of(form.value, form.encoding)
}

/// The bytes of a value: a text is stored as what it says, anything else as its JSON.
///
/// # Errors
/// It is null, or not in its encoding.
pub(super) fn bytes_of(value: &RawValue, encoding: Option<Encoding>) -> Result<Bytes, Failure> {
    let bad = |what: String| Failure::new(Kind::BadBody, what);
    let raw = value.get();
    let text = match raw.as_bytes().first() {
        Some(b'"') => {
            serde_json::from_str(raw).map_err(|error| bad(format!("the value: {error}")))?
        }
        _ if encoding.is_some() => return Err(bad("`encoding` is of a text only".into())),
        _ if raw == "null" => return Err(bad("the value is null: DELETE removes a key".into())),
        _ => raw.to_owned(),
    };
    match encoding {
        Some(Encoding::Base64) => {
            let bytes = STANDARD.decode(text);
            Ok(bytes
                .map_err(|error| bad(format!("the value is no base64: {error}")))?
                .into())
        }
        Some(Encoding::Text) | None => Ok(text.into()),
    }
}

fn set_once<T: PartialEq>(place: &mut Option<T>, value: T, name: &str) -> Result<(), Failure> {
    match place {
        Some(other) if *other != value => {
            let what = format!("`{name}` is in the body and beside it, by values that differ");
            Err(Failure::new(Kind::BadOption, what))
        }
        _ => {
            *place = Some(value);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn form(text: &str) -> Result<(Bytes, Terms), Failure> {
        let mut terms = Terms::default();
        Ok((value(text.as_bytes(), &mut terms)?, terms))
    }

    #[test]
    fn the_form_gives_a_value_and_its_lifetime() {
        let (text, terms) = form(r#"{"value":"bl\u00fce","ttl":60}"#).unwrap();
        assert_eq!(text, "blüe".as_bytes());
        assert_eq!(terms.ttl, Some(Duration::from_secs(60)));
        let (bytes, _) = form(r#"{"value":"/w==","encoding":"base64"}"#).unwrap();
        assert_eq!(bytes, &b"\xff"[..]);
        // Digits that a float would lose stay.
        let (json, _) = form(r#"{"value":{"a": 1.10, "b":12345678901234567890}}"#).unwrap();
        assert_eq!(json, r#"{"a": 1.10, "b":12345678901234567890}"#);
    }

    #[test]
    fn what_is_not_the_form_is_refused_with_the_reason() {
        let table = [
            ("", "EOF"),
            ("blue", "expected value"),
            (r#"{"ttl":1}"#, "missing field `value`"),
            (r#"{"value":null}"#, "null"),
            (r#"{"value":"a","tll":1}"#, "unknown field `tll`"),
            (r#"{"value":"a","value":"b"}"#, "duplicate field"),
            (r#"{"value":"a","ttl":0}"#, "1 to 3153600000"),
            (r#"{"value":"a","ttl":-1}"#, "invalid value"),
            (r#"{"value":"a","ttl":1.5}"#, "invalid type"),
            (r#"{"value":"a","ttl":1e40}"#, "invalid type"),
            (r#"{"value":"a","encoding":"base64"}"#, "base64"),
            (r#"{"value":5,"encoding":"base64"}"#, "of a text only"),
            (r#"{"value":"a","context":"!"}"#, "base64url"),
            (r#"{"value":"a"} trailing"#, "trailing"),
        ];
        for (text, expected) in table {
            let failure = form(text).unwrap_err();
            assert!(
                failure.detail.contains(expected),
                "{text}: {}",
                failure.detail
            );
        }
    }

    #[test]
    fn the_body_and_the_options_must_not_differ() {
        let mut terms = Terms {
            ttl: Some(Duration::from_secs(5)),
            ..Terms::default()
        };
        assert!(value(br#"{"value":"a","ttl":5}"#, &mut terms).is_ok());
        let failure = value(br#"{"value":"a","ttl":6}"#, &mut terms).unwrap_err();
        assert_eq!(failure.kind, Kind::BadOption);
    }
}
