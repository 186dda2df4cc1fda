//! A quoit storage node: a replica that joins what it is sent, and a library to run one.
//!
//! ```text
//!   clients, peers --QUIC--> server --> handlers --reads------------------------> engine
//!                              ^           '--writes--> admission --> commit --'
//!                              '----------- answers ---------------------'
//! ```
//!
//! A node coordinates nothing: it answers reads, and joins writes in batches that share one commit. The client
//! decides which nodes to ask, how many answers make a quorum, and what to do about one that does not answer.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`Node`], [`init()`], [`run()`] | a whole node, initialised, started and stopped; the binary's body |
//! | [`log_to_stderr`], [`LogFormat`], [`log_filter`], [`StopSignals`] | what programs that run nodes share: a log that never ends them, and when to stop |
//! | [`config`], [`provision`] | a node's settings; making certificates, maps and whole local clusters |
//! | [`identity`], [`tls`] | the owner of the data directory, whether that may be new; who may connect |
//! | [`joining`] | a node that is to join a cluster which is there |
//! | [`store_meta`] | the stored cluster map and clock mark |
//! | [`assembly`] | a node's parts put together, for threads or for a simulation |
//! | [`state`], [`cluster`], [`clock`] | shared by several modules: handles, ring, clock |
//! | [`env`](mod@env) | the seam: clock, storage executor and answers, real or simulated |
//! | [`handlers`] | one file for each request: how a replica answers it |
//! | [`write`](mod@write) | one write on its way to its commit |
//! | [`admission`] | the write queue and load shedding |
//! | [`commit`] | how writes are joined, in batches, by one thread |
//! | [`storage`] | records on the engine: rows, Merkle sums, disk space |
//! | [`hints`] | hinted hand-off |
//! | [`expiry`] | values that have expired are removed, though nobody reads them |
//! | [`gossip`] | who is alive, and who knows a newer ring |
//! | [`walks`] | what is counted and summed up after a start |
//! | [`engine`] | ordered maps of bytes on disk, and their model in memory |
//! | `server` | QUIC connections, frames, bounds |
//! | `warnings` | what is not as it should be, for the status |
//! | `seldom` | lines of the log that others can cause, let through seldom |
//!
//! ```no_run
//! use std::path::Path;
//! use std::time::Duration;
//!
//! use quoit_node::{Node, config::Config};
//!
//! let config = Config::load(Path::new("node.toml"))?;
//! Node::init(&config)?; // once, where the node is set up
//! let node = Node::start(&config)?;
//! println!("node {} serves at {}", node.id(), node.address());
//! node.stop(Duration::from_secs(10))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod admission;
pub mod assembly;
pub mod boot;
pub mod change;
pub mod clock;
pub mod cluster;
pub mod commit;
pub mod completeness;
pub mod config;
pub mod engine;
pub mod env;
mod error;
pub mod expiry;
mod failure;
pub mod gossip;
pub mod handlers;
pub mod hints;
pub mod identity;
pub mod joining;
mod log;
mod metrics;
mod node;
mod peers;
pub mod provision;
mod question;
pub mod recovery;
pub mod register;
mod reply;
mod run;
mod seldom;
mod server;
mod signals;
pub mod stability;
pub mod state;
pub mod storage;
pub mod store_meta;
pub mod sync;
#[cfg(test)]
mod testing;
pub mod tls;
pub mod walks;
mod warnings;
mod watches;
pub mod write;

pub use error::{RunError, StartError, StopError, StoredConfiguration};
pub use failure::NodeFailure;
pub use joining::{JoinError, JoinOptions, prepare_to_join};
pub use log::{LogFormat, log_filter, log_to_stderr};
pub use node::Node;
pub use quoit_transport::CloseCode;
pub use recovery::{RecoverError, RecoverOptions, Recovered, recover};
pub use run::{init, run, run_with};
pub use signals::StopSignals;
