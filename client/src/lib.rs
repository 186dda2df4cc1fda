//! The smart client of quoit: a library that an application links, and the coordinator of every operation.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use quoit_client::{Client, Consistency, SetUnion};
//! use std::time::Duration;
//!
//! let client = Client::builder().profile("client.toml").connect().await?;
//!
//! // Without a context the last writer wins.
//! client.put("greeting", "hello").ttl(Duration::from_secs(3600)).await?;
//!
//! // With one, exactly what was read is replaced; writers who did not see each other leave siblings.
//! let cart = client.get("cart:{42}").merge(SetUnion::lines()).await?;
//! client.put("cart:{42}", "milk\nbread").context(cart.context()).await?;
//!
//! // Every operation can differ from the defaults.
//! let quick = client.get("greeting").consistency(Consistency::One).await?;
//! # drop(quick);
//! client.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! | module | what it does |
//! | --- | --- |
//! | `client`, `builders`, `config`, `consistency`, `entry`, `error`, `sent` | the public interface |
//! | `inbox`, `bridge`, `reply` | carry operations to the driver, and answers back to callers |
//! | `operation` | one type for each operation, which does all of it, from start to answer. Pure |
//! | `coordinator` | owns the operations under way and routes events to them. Pure |
//! | `quorum` | one read or write over its replicas. Pure |
//! | `many` | many gets, puts and deletes at once: a result for each |
//! | `scan` | the keys of a range in order: pages of all nodes, merged |
//! | `health` | delay and ejection of each node; the budget of extra requests. Pure |
//! | [`mod@metrics`], `trace` | counters for an application's metrics; spans of operations |
//! | `membership` | what the cluster agrees on, and proposals of what shall follow it |
//! | `inspect`, `explain` | report what each replica holds; report what one read did |
//! | `driver`, [`mod@env`] | the one driver, and the seam to clock, randomness and network |
//! | `runtime`, `transport` | the real side of the seam: a thread, QUIC links |
//! | `merge`, `profile`, `tls` | merge functions; the profile file; certificates |
//!
//! The client runs its I/O on a thread of its own and works on any async runtime. A `Client` is cheap to
//! clone; share one per process. An application with its own event loop, or a simulation, drives it instead:
//! [`ClientBuilder::drive`].
//!
//! It reports to the `metrics` and `tracing` facades: counters under the names in [`mod@metrics`], and spans at level
//! `debug` with the target `quoit_client`, one for each operation (`get`, `put`, `delete`) and below it one for each
//! request to a replica (`attempt`).
//!
//! Invariants: dropping a caller's future never half-cancels a write, every operation ends at its
//! deadline, and every queue is bounded ([`ClientBuilder::max_in_flight`]). Left out: storage, which is in the
//! nodes, and what client and node must agree on, which is in [`quoit_ring`].
//!
//! Source: `DeCandia` et al., *Dynamo* (2007), sections 4.4, 4.5 and 6.4 (client-driven coordination).

mod bridge;
mod builders;
mod client;
mod conditional;
mod config;
mod consistency;
mod coordinator;
mod driver;
mod entry;
pub mod env;
mod error;
mod explain;
mod health;
mod inbox;
mod inspect;
mod many;
mod members;
mod membership;
mod merge;
pub mod metrics;
mod operation;
mod profile;
mod quorum;
mod reply;
mod runtime;
mod scan;
mod sent;
mod sync;
mod tls;
mod trace;
mod transport;
mod watch;

pub use builders::{Delete, Get, Put};
pub use client::{Client, HintsReport, Location, NodeReport};
pub use conditional::{
    Applied, CompareAndSet, Compared, ConditionalOp, ConditionalWrite, Edit, Settled, SwapError,
};
pub use config::ClientBuilder;
pub use consistency::{Consistency, ReadRepair};
pub use driver::Driver;
pub use entry::{Context, Entry, Value, Written};
pub use error::{
    Attempt, ClockSkew, ConnectError, InvalidRequest, NodeError, Outcome, ReadError, Stored,
    WriteError,
};
pub use explain::{Explained, QuorumSizes};
pub use health::{HealthReport, NodeHealth};
pub use inspect::ReplicaReport;
pub use many::{GetMany, WriteMany, WriteOne};
pub use members::MembersReport;
pub use membership::{MembershipError, Proposed};
pub use merge::{LastWriterWins, Merge, SetUnion};
pub use metrics::RequestKind;
pub use profile::{Profile, ProfileError};
pub use scan::{BadToken, InvalidScan, Scan, ScanEntry, ScanError, ScanStream, ScanToken};
pub use sent::SentWrite;
pub use sync::SyncReport;
pub use tls::{PemKind, PemSource, TlsError, TlsFiles};
pub use trace::RequestReport;
pub use watch::{
    BadWatchToken, Lag, Watch, WatchEntry, WatchError, WatchEvent, WatchStream, WatchToken,
};
