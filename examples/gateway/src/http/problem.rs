//! Failures as problem details (RFC 9457).
//!
//! ```json
//! {"type":"urn:quoit:problem:outcome-unknown","title":"The write may exist","status":504,
//!  "detail":"outcome unknown: 1 of the 2 replicas needed confirmed it (node-3: no answer in time)",
//!  "applied":"maybe","advice":"read the key to find out: ...","request_id":"5f0c61aa-2a"}
//! ```

use std::borrow::Cow;

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::failure::{Applied, Failure, Kind};

/// The content type of a problem.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";
/// What the type of a problem begins with.
pub(crate) const TYPE: &str = "urn:quoit:problem:";

/// What a problem says (RFC 9457).
#[derive(Serialize)]
pub(super) struct Problem<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    detail: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    applied: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    operation: Option<Cow<'a, str>>,
    /// None for a part of an answer that has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}

impl Problem<'static> {
    /// That of a part of an answer.
    pub(super) fn of(failure: Failure) -> Self {
        let Failure {
            kind,
            detail,
            applied,
            advice,
            operation,
            ..
        } = failure;
        Self {
            detail,
            operation: operation.map(Cow::Owned),
            ..Problem::about(kind, applied, advice)
        }
    }
}

impl Problem<'_> {
    fn about(kind: Kind, applied: Option<Applied>, advice: Option<&'static str>) -> Self {
        Self {
            kind: format!("{TYPE}{}", kind.slug()),
            title: kind.title(),
            status: kind.status(),
            detail: Cow::Borrowed(""),
            applied: applied.map(Applied::word),
            advice,
            operation: None,
            request_id: None,
        }
    }
}

impl IntoResponse for Failure {
    /// An answer without a body: the failure goes with it, until [`render`] knows the request's id.
    fn into_response(self) -> Response {
        let mut response = status(self.kind).into_response();
        response.extensions_mut().insert(self);
        response
    }
}

fn status(kind: Kind) -> StatusCode {
    StatusCode::from_u16(kind.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// Gives the answer to a failed request its body. Headers that were set stay.
pub(crate) fn render(response: &mut Response, failure: &Failure, id: &str) {
    let kind = failure.kind;
    let problem = Problem {
        detail: Cow::Borrowed(&failure.detail),
        operation: failure.operation.as_deref().map(Cow::Borrowed),
        request_id: Some(id),
        ..Problem::about(kind, failure.applied, failure.advice)
    };
    // Strings and a number cannot fail to be JSON.
    let text = serde_json::to_string(&problem).unwrap_or_default();
    *response.body_mut() = Body::from(text);

    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    if let Some(wait) = failure.retry_after {
        // Whole seconds, rounded up: sooner would be too soon.
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    }
    if kind == Kind::Unauthorized {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use quoit_client::WriteError;

    use super::*;

    async fn rendered(failure: Failure) -> (Response, serde_json::Value) {
        let mut response = failure.clone().into_response();
        render(&mut response, &failure, "id-1");
        let body = std::mem::take(response.body_mut());
        let bytes = axum::body::to_bytes(body, 1 << 16).await.unwrap();
        (response, serde_json::from_slice(&bytes).unwrap())
    }

    #[tokio::test]
    async fn a_problem_has_the_three_answers() {
        let (response, problem) = rendered(WriteError::Abandoned.into()).await;
        assert_eq!(response.status(), 504);
        assert_eq!(problem["type"], "urn:quoit:problem:outcome-unknown");
        assert_eq!(problem["applied"], "maybe");
        assert_eq!(problem["request_id"], "id-1");
        assert!(problem["detail"].as_str().unwrap().contains("closed while"));
        assert!(problem["advice"].as_str().unwrap().contains("read the key"));
        assert!(!response.headers().contains_key(RETRY_AFTER));
    }

    #[tokio::test]
    async fn when_to_try_again_is_rounded_up_to_seconds() {
        let (response, problem) = rendered(Failure::rate_limit(Duration::from_millis(1_001))).await;
        assert_eq!(response.headers()[RETRY_AFTER], "2");
        assert_eq!(response.headers()[CONTENT_TYPE], PROBLEM_JSON);
        assert!(problem.get("applied").is_none());
    }
}
