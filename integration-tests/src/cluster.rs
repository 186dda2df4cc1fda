//! Clusters of real processes for the tests of this package: [`quoit_local`], and clients of it.
//!
//! ```text
//!   test --> Cluster (quoit-local) --starts--> quoit-test-node --config node.toml ...
//!        '-> Client  (quoit-client)            its profile comes from the cluster
//! ```
//!
//! `quoit-local` gives out a profile and knows no client; here both meet.

use std::time::Duration;

use quoit_client::{Client, ClientBuilder, ConnectError};
use quoit_local::{ClusterSettings, NodeProgram, ProcessCluster};

pub use quoit_local::{ClusterError, ProcessCluster as Cluster};

/// How long nodes may take to serve after their start, on a machine that is busy with other tests.
const READY: Duration = Duration::from_secs(30);

/// Settings of a cluster that starts quickly, with three copies of a key.
#[must_use]
pub fn settings(nodes: usize) -> ClusterSettings {
    ClusterSettings {
        ready_within: READY,
        ..ClusterSettings::for_tests(nodes)
    }
}

/// The program that runs one node; `binary` is [`node_binary!`](crate::node_binary).
#[must_use]
pub fn program(binary: &str) -> NodeProgram {
    NodeProgram::new(binary)
}

/// Clients of a cluster.
pub trait Clients {
    /// A client's settings: where the cluster is, and a certificate.
    fn client_builder(&self) -> ClientBuilder;

    /// A client with the default settings.
    ///
    /// # Errors
    /// [`ConnectError`] if no node answers.
    fn client(&self) -> impl Future<Output = Result<Client, ConnectError>> + Send;
}

impl Clients for ProcessCluster {
    fn client_builder(&self) -> ClientBuilder {
        Client::builder().profile(self.client_profile())
    }

    fn client(&self) -> impl Future<Output = Result<Client, ConnectError>> + Send {
        self.client_builder().connect()
    }
}
