//! quoit clusters on one machine, with faults: for tests, demos and load generators.
//!
//! ```text
//!   InProcessCluster   nodes of the node library in this process     start, stop, restart
//!   ProcessCluster     one process per node                          and kill -9, pause, resume, logs, usage,
//!                      |                                             nodes that join
//!                      '-- both: one folder with certificates, map and data; a UDP proxy before any node
//!                          that delays, loses or cuts what goes to and comes from it
//! ```
//!
//! An application's own test starts a cluster, breaks its network and asks what the application does:
//!
//! ```
//! use quoit_client::Client;
//! use quoit_local::{ClusterSettings, InProcessCluster};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let cluster = InProcessCluster::start(&ClusterSettings::for_tests(3).proxied()).await?;
//! let client = Client::builder().profile(cluster.client_profile()).connect().await?;
//! cluster.proxy(0)?.cut();
//! client.put("cart/42", "tea").await?; // two of three replicas are enough
//! cluster.proxy(0)?.heal();
//! # assert_eq!(client.get("cart/42").await?.value().unwrap(), "tea");
//! # client.close().await;
//! # cluster.shut_down().await?;
//! # Ok(())
//! # }
//! ```
//!
//! `cargo run -p quoit-local --example faulty` does more of this and prints:
//!
//! ```text
//! 3 nodes, 3 copies of every key
//! node-1 cut off:          written, 2 of 3 copies acknowledged
//! node-1 and node-2 cut:   not written; stored: Maybe
//! healed:                  read back `tea`
//! node-3 stopped:          written, 2 of 3 copies acknowledged
//! node-3 started again:    read back `milk`
//! ```
//!
//! | module or type | what it holds |
//! | --- | --- |
//! | [`ClusterSettings`] | nodes, copies, folder, proxies, bounds; each with its default |
//! | [`InProcessCluster`], [`ProcessCluster`] | the two kinds of cluster |
//! | [`NodeProgram`], [`NodeProcess`] | one child process that never outlives its owner |
//! | [`Proxy`], [`NetworkFaults`] | the network before one node |
//! | [`ports`] | ports that no other program takes while a node is down |
//! | [`usage`] | processor time and memory of a process |
//!
//! Invariants: dropping a cluster ends its nodes, then its proxies, then removes its folder if that is a
//! temporary one. Only processes that a cluster started are ever signalled, by their id, and only until they
//! were waited for. Nodes are counted from 0; node 0 is named `node-1`.
//!
//! Left out: a client. The crate gives out the path of a client's profile, so that nodes and clients stay
//! independent of each other. Signals need Unix; [`usage`] needs Linux.

mod error;
mod in_process;
mod joining;
mod layout;
mod log;
pub mod ports;
mod process;
mod process_cluster;
mod process_ids;
mod proxy;
mod settings;
pub mod usage;

pub use self::error::ClusterError;
pub use self::in_process::InProcessCluster;
pub use self::log::LogTail;
pub use self::process::{NodeProcess, NodeProgram, Signal};
pub use self::process_cluster::ProcessCluster;
pub use self::process_ids::ProcessIds;
pub use self::proxy::{Conditions, DatagramCounts, LOSS_SCALE, NetworkFaults, PROXY_THREAD, Proxy};
pub use self::settings::{ClusterSettings, Proxied};
