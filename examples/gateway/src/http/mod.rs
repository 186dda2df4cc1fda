//! HTTP/1.1: a key's routes, and what describes them.
//!
//! ```text
//!   connection --hyper, bounded heads--> access: id, rate, token, log --> router
//!     /v1/keys/{key}   GET HEAD PUT DELETE    keys: path -> key, options -> terms, body -> value
//!     /v1/keys         GET HEAD               list: keys with a prefix, a page at a time
//!     /v1/batch        POST                   batch: many of both, a result for each
//!     /v1/outcomes     POST                   outcomes: what became of a conditional write
//!     /healthz         GET HEAD               whether it serves
//!     /openapi.json    GET HEAD               what is here, from the tables that the parsers read
//! ```
//!
//! Every failure leaves a handler as a [`Failure`] and becomes a problem at one place, `access`,
//! which knows the request's id.
//!
//! Only HTTP/1.1: it has one request at a time in a connection, so the bounds of a connection are those of a request. A
//! proxy before the gateway speaks HTTP/2 where that is wanted.

mod access;
mod batch;
mod body;
mod conditions;
mod entry;
mod form;
mod keys;
mod list;
mod openapi;
mod options;
mod outcomes;
mod percent;
mod problem;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service as _;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tracing::debug;

use self::batch::BATCH;
use self::list::LIST;
use self::outcomes::OUTCOMES;
use crate::failure::{Failure, Kind};
use crate::gateway::Shared;
use crate::listener::{Protocol, Stop, Stream, stopped};

/// Where all is that says something of the data.
pub(crate) const API: &str = "/v1/";
/// Where keys are: whatever follows is the key.
pub(crate) const KEYS: &str = "/v1/keys/";
/// Longest head of a request: the longest target that is taken, and as much again for headers.
const MAX_HEAD: usize = 128 << 10;
/// Most headers of a request.
const MAX_HEADERS: usize = 100;

/// The HTTP side of a gateway.
pub(crate) struct Http {
    router: Router,
    shared: Arc<Shared>,
}

/// Who sent a request.
#[derive(Debug, Clone, Copy)]
struct Peer(SocketAddr);

impl Http {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let key = || get(keys::read).put(keys::write).delete(keys::delete);
        let access = Arc::new(access::Access::new(Arc::clone(&shared)));
        let router = Router::new()
            .route("/v1/keys/", key())
            .route("/v1/keys/{*key}", key())
            .route(LIST, get(list::list))
            .route(BATCH, post(batch::run))
            .route(OUTCOMES, post(outcomes::settle))
            .route("/healthz", get(health))
            .route("/openapi.json", get(document))
            .fallback(no_route)
            .method_not_allowed_fallback(no_method)
            .layer(from_fn_with_state(access, access::guard))
            .with_state(Arc::clone(&shared));
        Self { router, shared }
    }
}

impl Protocol for Http {
    const NAME: &'static str = "http";

    async fn serve(self: Arc<Self>, stream: Stream, peer: SocketAddr, mut stop: Stop) {
        let router = TowerToHyperService::new(self.router.clone());
        let service = hyper::service::service_fn(move |mut request: hyper::Request<Incoming>| {
            request.extensions_mut().insert(Peer(peer));
            router.call(request)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            // A peer that has sent all it has to say still hears the answer.
            .half_close(true)
            .header_read_timeout(self.shared.limits.http_idle)
            .max_headers(MAX_HEADERS)
            .max_buf_size(MAX_HEAD)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = Box::pin(connection);

        let ended = tokio::select! {
            biased;
            ended = connection.as_mut() => ended,
            () = stopped(&mut stop) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            debug!(%peer, %error, "an HTTP connection ended early");
        }
    }
}

/// Whether requests are served.
async fn health(State(shared): State<Arc<Shared>>) -> Result<Response, Failure> {
    if *shared.stop.borrow() {
        return Err(Failure::new(Kind::Closed, "the gateway is being stopped"));
    }
    let json = [(CONTENT_TYPE, "application/json")];
    Ok((json, r#"{"status":"ok"}"#).into_response())
}

async fn document() -> Response {
    let json = [(CONTENT_TYPE, "application/json")];
    (json, openapi::document().to_string()).into_response()
}

async fn no_route() -> Failure {
    Failure::new(Kind::NoRoute, "there is no such route")
        .advice("keys are at /v1/keys/{key}; /openapi.json has all routes")
}

async fn no_method() -> Response {
    let failure = Failure::new(Kind::Method, "the route has no such method");
    // The router adds `Allow`.
    (StatusCode::METHOD_NOT_ALLOWED, failure).into_response()
}
