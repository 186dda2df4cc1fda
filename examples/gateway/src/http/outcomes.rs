//! What became of a conditional write whose outcome was unknown.
//!
//! ```text
//!   504 {"applied":"maybe","operation":"6b.0197…"}  --POST /v1/outcomes, that name as the body-->
//!       {"outcome":"applied","version":…,"fence":…}    it happened
//!       {"outcome":"not-applied"}                      it did not, and never will: asking bars it
//!       {"outcome":"forgotten"}                        nobody knows any more; it will not happen from now on
//! ```
//!
//! It is a POST since it may change something: what has not happened yet is barred. The name is a body and not a part of the
//! path, since it holds the key twice as long as that is.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use quoit_client::{ConditionalOp, Settled};
use serde_json::json;

use super::options::{Given, Method};
use super::{body, entry};
use crate::failure::{Failure, Kind};
use crate::gateway::Shared;

/// The route.
pub(crate) const OUTCOMES: &str = "/v1/outcomes";
/// Longest name: that of the longest key, and of some 1,900 proposals.
const MAX_NAME: usize = 128 << 10;

/// `POST`.
pub(crate) async fn settle(
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Failure> {
    let (parts, body) = request.into_parts();
    Given::of(Method::Settle, &parts.uri, &parts.headers)?;
    let time = shared.limits.transfer;
    let name = body::receive(&shared.store, &parts.headers, body, MAX_NAME, time).await?;
    let operation: Option<ConditionalOp> = str::from_utf8(&name.bytes)
        .ok()
        .and_then(|text| text.trim().parse().ok());
    let bad = || Failure::new(Kind::BadBody, "the body names no conditional write");
    let operation = operation
        .ok_or_else(|| bad().advice("send `operation` of the answer whose outcome is unknown"))?;

    let settled = shared.store.outcome(&operation).await?;
    let outcome = match &settled {
        Settled::Applied(applied) => json!({
            "outcome": "applied",
            "version": entry::version(applied.dot),
            "fence": applied.fence(),
        }),
        Settled::NotApplied => json!({ "outcome": "not-applied" }),
        Settled::Forgotten => json!({ "outcome": "forgotten" }),
    };
    let json = [(CONTENT_TYPE, "application/json")];
    let mut response = (json, outcome.to_string()).into_response();
    if let Settled::Applied(applied) = &settled {
        let headers = response.headers_mut();
        entry::describe(headers, Some(&entry::tag(applied.dot)), &applied.context);
        headers.insert(entry::FENCE, HeaderValue::from(applied.fence()));
    }
    Ok(response)
}
