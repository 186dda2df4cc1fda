//! The gateway over a real cluster in this process: every route and command, every kind of failure, bad input, and the
//! programs that people use.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and so does what it calls; one that cannot run says so"
)]

#[path = "gateway/bad_http.rs"]
mod bad_http;
#[path = "gateway/bad_resp.rs"]
mod bad_resp;
#[path = "gateway/batch.rs"]
mod batch;
#[path = "gateway/changes.rs"]
mod changes;
#[path = "gateway/conditional.rs"]
mod conditional;
#[path = "gateway/http.rs"]
mod http;
#[path = "gateway/listing.rs"]
mod listing;
#[path = "gateway/outages.rs"]
mod outages;
#[path = "gateway/program.rs"]
mod program;
#[path = "gateway/resp.rs"]
mod resp;
#[path = "gateway/support.rs"]
mod support;
#[path = "gateway/tools.rs"]
mod tools;
