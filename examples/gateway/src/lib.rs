//! quoit over HTTP and RESP: an application service that links the client library, for every language without one.
//!
//! ```text
//!   curl, any HTTP client --HTTP/1.1--> listener --> http --.
//!                                          |                |--> store --> quoit_client::Client --QUIC--> nodes
//!   redis-cli, any Redis client --RESP2/3--'-----> resp --'
//! ```
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`Gateway`], [`Settings`], [`Limits`] | a gateway started and stopped; its settings |
//! | `listener`, `tls`, `auth`, `rate`, `budget` | who may connect, how often, and how much memory they may take |
//! | [`MetricsPort`] | what it and its client measure, as Prometheus reads it |
//! | `store`, `swap`, `list`, `failure` | one way to read, write, compare and list, one table of what can go wrong |
//! | `http` | routes, options, problems, the OpenAPI document |
//! | `resp` | the parser, sessions, pipelines, commands |
//!
//! Invariants: nothing is kept here but connections, and the cursors of their `SCAN`s, so any number of gateways may serve one cluster, and `kill -9`
//! loses nothing that was acknowledged. Whatever is sent in is bounded before it is allocated. An error says
//! whether the write may exist, on either port.
//!
//! Not served yet: watches. What needs them is refused by name, or is not there.

mod auth;
mod budget;
mod failure;
mod gateway;
mod http;
mod list;
mod listener;
mod metrics;
mod rate;
mod resp;
mod settings;
mod store;
mod swap;
mod tls;

pub use auth::{Tokens, TokensError};
pub use gateway::{Gateway, StartError};
pub use metrics::MetricsPort;
pub use settings::{Limits, Settings};
pub use tls::{Identity, IdentityError};
