//! One more node for a cluster of processes: its bundle, and its place in the cluster's folder.
//!
//! ```text
//!   DIR/certs/              the authority, which signs it
//!   DIR/node-4/join.quoit   the bundle, with the addresses of the first members
//!   DIR/node-4/data         made by its first start
//! ```
//!
//! Left out: making it a member, which is an operator's.

use quoit_node::provision::{Authority, Bundle, BundleError, JoinRequest};
use quoit_ring::cluster::DEFAULT_WEIGHT;

use crate::error::ClusterError;
use crate::ports;
use crate::process_cluster::{Files, Node, ProcessCluster};

/// Where a local cluster has its authority.
const CERTS: &str = "certs";

impl ProcessCluster {
    /// Adds a node that joins by a bundle when it is started, and waits until an operator makes it a member. It is the last
    /// one from now on, has the program of the first, no proxy, and none of the settings' lines.
    ///
    /// ```no_run
    /// # async fn example(cluster: &mut quoit_local::ProcessCluster) -> Result<(), quoit_local::ClusterError> {
    /// let bundle = cluster.add_node()?;
    /// cluster.start_all().await?;
    /// let newcomer = bundle.newcomer(); // to be proposed as a member
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClusterError::System`], [`ClusterError::Bundle`]: there is no such node.
    pub fn add_node(&mut self) -> Result<Bundle, ClusterError> {
        let name = format!("node-{}", self.size() + 1);
        let address = ports::free_address().map_err(|source| ClusterError::System {
            what: "a free port",
            source,
        })?;
        let folder = self.local().dir().join(&name);
        std::fs::create_dir_all(&folder).map_err(|source| ClusterError::System {
            what: "a node's folder",
            source,
        })?;

        let file = folder.join("join.quoit");
        let make = || {
            let authority = Authority::open(&self.local().dir().join(CERTS))?;
            let bundle = authority.bundle(&name, self.request(address.to_string()))?;
            bundle.write(&file)?;
            Ok(bundle)
        };
        let bundle = make().map_err(|error: BundleError| ClusterError::Bundle {
            name: name.clone(),
            source: Box::new(error),
        })?;

        let program = self.nodes.first().map(|first| first.program.clone());
        let data = folder.join("data");
        let files = Files::Bundle { bundle: file, data };
        let node = Node::new(name, bundle.node, program.unwrap_or_default(), files);
        self.nodes.push(node);
        Ok(bundle)
    }

    fn request(&self, address: String) -> JoinRequest {
        let first = &self.local().first_map().map;
        let seeds = self.local().nodes().iter();
        JoinRequest {
            cluster: first.cluster,
            address,
            zone: (first.members.first()).map_or_else(String::new, |it| it.zone.clone()),
            weight: DEFAULT_WEIGHT,
            seeds: seeds.map(|node| node.address.to_string()).collect(),
        }
    }
}
