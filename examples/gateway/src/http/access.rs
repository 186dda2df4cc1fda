//! What every request goes through: an id, the rate, the token; and on its way back the log and the common headers.
//!
//! ```text
//!   request --id--> host: 421 --> rate: 429 --> token: 401 --> route --> failure? problem --> log --> answer
//!                                   '-- not for /healthz and /openapi.json, which say nothing of the data
//! ```
//!
//! A line of the log has the path, so it has the key, percent-encoded as it came; never a query, a token or a value.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, HOST,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper::body::Body as _;
use rand::rngs::SmallRng;
use rand::{RngCore as _, SeedableRng as _};
use tracing::info;

use super::{API, BATCH, KEYS, LIST, OUTCOMES, Peer, problem};
use crate::failure::{Applied, Failure, Kind};
use crate::gateway::Shared;
use crate::metrics;

/// The header with a request's id, on requests and answers.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest id that is taken from a request.
const MAX_ID: usize = 64;
/// The log's target.
const LOG: &str = "quoit_gateway::access";

/// Guards all routes.
pub(crate) struct Access {
    shared: Arc<Shared>,
    /// What the ids of this start begin with.
    start: u32,
    next: AtomicU64,
}

impl Access {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            start: SmallRng::from_os_rng().next_u32(),
            next: AtomicU64::new(1),
        }
    }

    /// The id that a caller gave its request, or a new one.
    fn id(&self, headers: &HeaderMap) -> String {
        let given = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok());
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        match given {
            Some(id) if (1..=MAX_ID).contains(&id.len()) && id.chars().all(plain) => id.to_owned(),
            _ => {
                let number = self.next.fetch_add(1, Ordering::Relaxed);
                format!("{:08x}-{number:x}", self.start)
            }
        }
    }

    fn admit(&self, request: &Request) -> Result<(), Failure> {
        if self.shared.local_only && !is_local(request.headers()) {
            let what =
                "without tokens, on a loopback address, `Host` has to be an address or localhost";
            return Err(Failure::new(Kind::Misdirected, what)
                .advice("ask for it by its address, or give the gateway tokens"));
        }
        let peer = request.extensions().get::<Peer>();
        if let (Some(rate), Some(Peer(address))) = (&self.shared.rate, peer) {
            let admitted = rate.admit(address.ip(), Instant::now());
            admitted.map_err(Failure::rate_limit)?;
        }
        let Some(tokens) = &self.shared.tokens else {
            return Ok(());
        };
        if !request.uri().path().starts_with(API)
            || bearer(request.headers()).is_some_and(|token| tokens.admit(token))
        {
            return Ok(());
        }
        let failure = Failure::new(
            Kind::Unauthorized,
            "this gateway needs a token that it knows",
        )
        .advice("send `Authorization: Bearer TOKEN`");
        Err(failure)
    }
}

/// Whether a request names no host but an address or `localhost`. A page of another site can have its own name lead to
/// loopback, and would then read all keys in the browser of who looks at it (DNS rebinding).
fn is_local(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    hosts.all(|host| {
        let text = host.to_str().unwrap_or_default();
        let name = text.rsplit_once(':').map_or(text, |(name, _port)| name);
        let is_address = text.parse::<SocketAddr>().is_ok() || text.parse::<IpAddr>().is_ok();
        is_address
            || name.parse::<IpAddr>().is_ok()
            || name.starts_with('[')
            || name.eq_ignore_ascii_case("localhost")
    })
}

/// The token of a request (RFC 6750, section 2.1).
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked(7)?;
    scheme
        .eq_ignore_ascii_case(b"bearer ")
        .then(|| token.trim_ascii())
}

/// Lets a request through to its route, and its answer back.
pub(crate) async fn guard(
    State(access): State<Arc<Access>>,
    request: Request,
    next: Next,
) -> Response {
    let begun = Instant::now();
    let id = access.id(request.headers());
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let peer = request.extensions().get::<Peer>().map(|peer| peer.0);

    let mut response = match access.admit(&request) {
        Ok(()) => next.run(request).await,
        Err(failure) => failure.into_response(),
    };
    let mut failure = response.extensions_mut().remove::<Failure>();
    if let Some(failure) = &mut failure
        && !method.is_safe()
        && path != OUTCOMES
    {
        // What does not say more was refused before anything was sent. A question writes nothing, and its failure says
        // nothing of the write that it is about.
        failure.applied.get_or_insert(Applied::No);
    }
    if let Some(failure) = &failure {
        problem::render(&mut response, failure, &id);
        response.headers_mut().remove(CONTENT_LENGTH);
    }
    dress(response.headers_mut(), &id);

    let bytes = response.body().size_hint().exact().unwrap_or_default();
    let took = begun.elapsed();
    metrics::ended(("http", operation(&method, &path)), failure.as_ref(), took);
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    let (status, applied) = (
        response.status().as_u16(),
        failure.and_then(|failure| failure.applied),
    );
    info!(
        target: LOG,
        id,
        peer = peer.map(tracing::field::display),
        %method,
        path,
        status,
        applied = applied.map(Applied::word),
        bytes,
        micros,
        "request"
    );
    response
}

/// What a request is called in metrics.
fn operation(method: &Method, path: &str) -> &'static str {
    match (method, path) {
        (&Method::GET | &Method::HEAD, LIST) => "list",
        (&Method::POST, OUTCOMES) => "outcome",
        (&Method::POST, BATCH) => "batch",
        (&Method::GET | &Method::HEAD, key) if key.starts_with(KEYS) => "get",
        (&Method::PUT, key) if key.starts_with(KEYS) => "put",
        (&Method::DELETE, key) if key.starts_with(KEYS) => "delete",
        _ => "other",
    }
}

/// The headers of every answer. A value may be anything, so no browser shall run it, nor a cache answer with an old one.
fn dress(headers: &mut HeaderMap, id: &str) {
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID, id);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let policy = HeaderValue::from_static("default-src 'none'; sandbox");
    headers.insert(CONTENT_SECURITY_POLICY, policy);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_token_is_found_in_its_header_only() {
        let token = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, value.parse().unwrap());
            bearer(&headers).map(<[u8]>::to_vec)
        };
        assert_eq!(token("Bearer abc"), Some(b"abc".to_vec()));
        assert_eq!(token("bearer  abc "), Some(b"abc".to_vec()));
        for other in ["Basic abc", "Bearer", "abc", "Bearerabc"] {
            assert_eq!(token(other), None, "{other}");
        }
        assert_eq!(bearer(&HeaderMap::new()), None);
    }

    #[test]
    fn a_name_that_may_lead_anywhere_is_no_local_host() {
        let local = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, value.parse().unwrap());
            is_local(&headers)
        };
        for host in [
            "localhost",
            "localhost:8080",
            "127.0.0.1",
            "127.0.0.1:8080",
            "[::1]:80",
            "[::1]",
        ] {
            assert!(local(host), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:8080",
            "localhost.evil.example",
            "",
        ] {
            assert!(!local(host), "{host}");
        }
        assert!(is_local(&HeaderMap::new()));
    }
}
