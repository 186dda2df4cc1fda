//! Values as answers: raw, in JSON, or several of them; and the ETag, which is the version.
//!
//! ```json
//! {"value":"blue","version":"0197c8…-5f0c…","written_ms":1764500000000,"expires_ms":null,"context":"AQ…"}
//! {"siblings":[{"value":"/w==","encoding":"base64","version":…},…],"context":"AQ…"}
//! ```
//!
//! A text stands for its UTF-8 bytes; with `"encoding":"base64"` it is base64 of bytes that are no UTF-8.

use axum::http::header::{CONTENT_TYPE, ETAG};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use quoit_client::{Context, Entry, Value};
use quoit_ring::Dot;
use ring::digest::{SHA256, digest};
use serde::Serialize;

use super::options::context_text;

/// The header with the causal context.
pub(crate) const CONTEXT: HeaderName = HeaderName::from_static("quoit-context");
/// The header with the end of a value's life, in milliseconds since 1970.
pub(crate) const EXPIRES: HeaderName = HeaderName::from_static("quoit-expires-ms");
/// The header with how many nodes had acknowledged a write.
pub(crate) const ACKED: HeaderName = HeaderName::from_static("quoit-acked");
/// The header with the fencing token of a linearizable write: it rises with each of the key.
pub(crate) const FENCE: HeaderName = HeaderName::from_static("quoit-fence");
/// Longest context that goes into a header: common clients take heads of 8 to 16 KiB. A longer one is in JSON answers.
pub(crate) const MAX_CONTEXT: usize = 6 << 10;

/// One value in JSON.
#[derive(Debug, Serialize)]
pub(crate) struct ValueJson {
    value: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding: Option<&'static str>,
    version: String,
    written_ms: u64,
    expires_ms: Option<u64>,
}

/// The only value of a key in JSON.
#[derive(Debug, Serialize)]
pub(crate) struct EntryJson {
    #[serde(flatten)]
    value: ValueJson,
    context: String,
}

/// All values of a key in JSON.
#[derive(Debug, Serialize)]
pub(crate) struct SiblingsJson {
    siblings: Vec<ValueJson>,
    context: String,
}

impl ValueJson {
    pub(crate) fn of(value: &Value) -> Self {
        let (text, encoding) = match str::from_utf8(&value.bytes) {
            Ok(text) => (text.to_owned(), None),
            Err(_not_text) => (STANDARD.encode(&value.bytes), Some("base64")),
        };
        Self {
            value: text,
            encoding,
            version: version(value.dot),
            written_ms: value.dot.time.millis().0,
            expires_ms: value.expiry.map(|expiry| expiry.0),
        }
    }
}

/// The only value of an entry.
pub(crate) fn one(value: &Value, context: &Context) -> EntryJson {
    EntryJson {
        value: ValueJson::of(value),
        context: context_text(context),
    }
}

/// All values of an entry.
pub(crate) fn several(entry: &Entry) -> SiblingsJson {
    SiblingsJson {
        siblings: entry.siblings().iter().map(ValueJson::of).collect(),
        context: context_text(entry.context()),
    }
}

/// A version's name: the write that made it, in an order that sorts by time.
pub(crate) fn version(dot: Dot) -> String {
    format!("{:016x}-{:016x}", dot.time.0, dot.actor.0)
}

/// The ETag of a write.
pub(crate) fn tag(dot: Dot) -> String {
    format!("\"{}\"", version(dot))
}

/// The ETag of what was read; `None` if there is no value.
pub(crate) fn tag_of(values: &[Value]) -> Option<String> {
    match values {
        [] => None,
        [only] => Some(tag(only.dot)),
        several => {
            let versions: Vec<String> = several.iter().map(|value| version(value.dot)).collect();
            let sum = digest(&SHA256, versions.join(" ").as_bytes());
            let half = sum.as_ref().iter().take(16);
            let text: String = half.map(|byte| format!("{byte:02x}")).collect();
            Some(format!("\"siblings-{text}\""))
        }
    }
}

/// Whether `If-None-Match` names this ETag, or any at all.
pub(crate) fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let lists = headers.get_all(axum::http::header::IF_NONE_MATCH);
    let texts = lists.iter().filter_map(|list| list.to_str().ok());
    let mut tags = texts.flat_map(|list| list.split(',')).map(str::trim);
    tags.any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}

/// Sets the ETag and the context, unless that is too long for a header.
pub(crate) fn describe(headers: &mut HeaderMap, tag: Option<&str>, context: &Context) {
    if let Some(tag) = tag.and_then(|tag| HeaderValue::from_str(tag).ok()) {
        headers.insert(ETAG, tag);
    }
    let text = context_text(context);
    if text.len() <= MAX_CONTEXT
        && let Ok(text) = HeaderValue::from_str(&text)
    {
        headers.insert(CONTEXT, text);
    }
}

/// Sets what a raw value is: what the reader asked for, else text if it is UTF-8.
pub(crate) fn describe_raw(headers: &mut HeaderMap, value: &Value, asked: Option<HeaderValue>) {
    let found = || match str::from_utf8(&value.bytes) {
        Ok(_text) => HeaderValue::from_static("text/plain; charset=utf-8"),
        Err(_not_text) => HeaderValue::from_static("application/octet-stream"),
    };
    headers.insert(CONTENT_TYPE, asked.unwrap_or_else(found));
    if let Some(expiry) = value.expiry {
        headers.insert(EXPIRES, HeaderValue::from(expiry.0));
    }
}

#[cfg(test)]
mod tests {
    use quoit_ring::{Actor, Millis, Time};

    use super::*;

    fn value(bytes: &'static [u8], at: u64) -> Value {
        Value {
            bytes: bytes.into(),
            dot: Dot {
                time: Time::at(Millis(at)),
                actor: Actor(0xab),
            },
            expiry: None,
        }
    }

    #[test]
    fn a_value_that_is_no_text_is_base64() {
        let json = serde_json::to_value(one(&value(b"\xff", 7), &Context::default())).unwrap();
        assert_eq!(
            (&json["value"], &json["encoding"]),
            (&"/w==".into(), &"base64".into())
        );
        assert_eq!(json["written_ms"], 7);
        let text = serde_json::to_value(one(&value(b"blue", 7), &Context::default())).unwrap();
        assert_eq!(text["value"], "blue");
        assert!(text.get("encoding").is_none() && text["expires_ms"].is_null());
    }

    #[test]
    fn etags_tell_versions_apart() {
        let (a, b) = (value(b"a", 1), value(b"b", 2));
        let tags = [
            tag_of(std::slice::from_ref(&a)).unwrap(),
            tag_of(std::slice::from_ref(&b)).unwrap(),
            tag_of(&[a, b]).unwrap(),
        ];
        assert!(tags[0] != tags[1] && tags[1] != tags[2]);
        assert!(
            tags.iter()
                .all(|tag| tag.starts_with('"') && tag.ends_with('"'))
        );
        assert_eq!(tag_of(&[]), None);
    }

    #[test]
    fn a_known_version_is_found_in_any_list() {
        let known = |list: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(axum::http::header::IF_NONE_MATCH, list.parse().unwrap());
            is_known(&headers, "\"v\"")
        };
        assert!(known("\"v\"") && known("\"x\", W/\"v\"") && known("*"));
        assert!(!known("\"x\"") && !known("v"));
    }
}
