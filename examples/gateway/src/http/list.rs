//! `GET /v1/keys`: keys in their order, a page at a time, as one JSON object or as JSON lines.
//!
//! ```json
//! {"keys":[{"key":"user:7"},{"key":"/w==","key_encoding":"base64"}],"next":"AQ…"}
//! ```
//! ```text
//! {"key":"user:7"}
//! {"next":"AQ…"}          the last line; null if that is all
//! ```
//!
//! With `values=true` each has its `values`, several where there are siblings, and its `context`. `next` is the token of the
//! next page, for any gateway.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use quoit_client::{Consistency, ScanEntry, ScanToken};
use serde::Serialize;

use super::entry::ValueJson;
use super::options::{Given, Method, Opt, context_text};
use super::{body, percent};
use crate::failure::{Failure, Kind};
use crate::gateway::Shared;
use crate::list::Wanted;

/// The route.
pub(crate) const LIST: &str = "/v1/keys";
/// JSON lines.
const LINES: &str = "application/x-ndjson";
/// Rows of a page unless it says.
const ROWS: usize = 100;
/// About the most bytes of a page's keys and values.
const PAGE_BYTES: usize = 1 << 20;

#[derive(Serialize)]
struct RowJson {
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_encoding: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    values: Option<Vec<ValueJson>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<String>,
}

#[derive(Serialize)]
struct NextJson {
    next: Option<String>,
}

#[derive(Serialize)]
struct PageJson {
    keys: Vec<RowJson>,
    #[serde(flatten)]
    next: NextJson,
}

/// `GET` and `HEAD`.
pub(crate) async fn list(
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Failure> {
    let given = Given::of(Method::List, request.uri(), request.headers())?;
    let terms = given.terms()?;
    if terms.consistency == Some(Consistency::Linearizable) {
        let what = "a list is of no one instant: `consistency` takes `quorum` or `one` here";
        return Err(Failure::new(Kind::BadOption, what));
    }
    let wanted = Wanted {
        prefix: bytes(&given, Opt::Prefix),
        start: bytes(&given, Opt::Start),
        token: given.text(Opt::Token).map(token).transpose()?,
        values: given.flag(Opt::Values)?,
        limit: given.limit()?.unwrap_or(ROWS),
        bytes: PAGE_BYTES,
    };
    let page = shared.store.list(wanted, &terms).await?;

    let rows: Vec<RowJson> = page.rows.iter().map(row).collect();
    let next = page
        .next
        .map(|token| URL_SAFE_NO_PAD.encode(token.to_bytes()));
    let next = NextJson { next };
    // Texts and numbers cannot fail to be JSON.
    let (kind, text) = if wants_lines(request.headers()) {
        let mut text = Vec::new();
        for row in &rows {
            text.extend(serde_json::to_vec(row).unwrap_or_default());
            text.push(b'\n');
        }
        text.extend(serde_json::to_vec(&next).unwrap_or_default());
        text.push(b'\n');
        (LINES, text)
    } else {
        let page = PageJson { keys: rows, next };
        let text = serde_json::to_vec(&page).unwrap_or_default();
        ("application/json", text)
    };
    let body = body::answer(&shared.store, text.into())?;
    Ok(([(CONTENT_TYPE, kind)], body).into_response())
}

fn row(row: &ScanEntry) -> RowJson {
    let (key, key_encoding) = match str::from_utf8(row.key()) {
        Ok(text) => (text.to_owned(), None),
        Err(_not_text) => (STANDARD.encode(row.key()), Some("base64")),
    };
    let values = |entry: &quoit_client::Entry| entry.siblings().iter().map(ValueJson::of).collect();
    RowJson {
        key,
        key_encoding,
        values: row.entry().map(values),
        context: row.entry().map(|entry| context_text(entry.context())),
    }
}

/// The bytes of an option that is percent-encoded, which was checked.
fn bytes(given: &Given, opt: Opt) -> Bytes {
    let decoded = given.text(opt).and_then(percent::decode);
    decoded.unwrap_or_default().into()
}

fn token(text: &str) -> Result<ScanToken, Failure> {
    let bad = |why: String| Failure::new(Kind::BadToken, why);
    let bytes = URL_SAFE_NO_PAD.decode(text);
    let bytes = bytes.map_err(|error| bad(format!("a token is base64url: {error}")))?;
    ScanToken::from_bytes(&bytes).map_err(|error| bad(error.to_string()))
}

/// Whether JSON lines are asked for by name.
fn wants_lines(headers: &HeaderMap) -> bool {
    let kinds = headers.get_all(ACCEPT).iter();
    let texts = kinds.filter_map(|kinds| kinds.to_str().ok());
    let mut kinds = texts.flat_map(|kinds| kinds.split(','));
    kinds.any(|kind| {
        let name = kind.split(';').next().unwrap_or_default().trim();
        name.eq_ignore_ascii_case(LINES) || name.eq_ignore_ascii_case("application/jsonl")
    })
}
