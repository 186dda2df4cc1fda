//! `quoit explain KEY`: what a read of a key does, and why.
//!
//! ```text
//! key -> token, leaf, owners, R and W      the plan
//!     -> each replica asked by itself      what it holds, how quick it is, who is stale
//!     -> a real read                       which replicas it asked, what it returned, what it repaired
//! ```
//!
//! The read is one like any other: it repairs what it finds stale, unless `--no-repair` is given. It is also this
//! client's first, so the health of the nodes is what the questions of this command have shown. A key without a
//! value is explained like any other, and the exit code is 0; a read that fails ends with its code, below what
//! each replica said.
//!
//! Left out: what other clients see, and what the nodes say of themselves (`status`).

mod json;
mod text;

use std::ffi::OsString;

use quoit_client::{
    Client, Explained, HealthReport, Location, NodeHealth, Outcome, QuorumSizes, ReadRepair,
    ReplicaReport, RequestKind,
};
use quoit_ring::{ClusterMap, NodeId};

use super::argument;
use crate::args::{ClusterArgs, ReadArgs};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;

/// Arguments of `explain`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The key
    key: OsString,

    /// Only look: have the read repair nothing
    #[arg(long)]
    no_repair: bool,

    #[command(flatten)]
    read: ReadArgs,

    #[command(flatten)]
    cluster: ClusterArgs,
}

/// All that was found out.
struct Story {
    key: Vec<u8>,
    map: ClusterMap,
    location: Location,
    needs: QuorumSizes,
    replicas: Vec<ReplicaReport>,
    read: Explained,
    health: Option<HealthReport>,
}

pub(crate) async fn run(args: Args, out: Output) -> Result<Exit, Failure> {
    let key = argument(args.key);
    let repair = |builder: quoit_client::ClientBuilder| {
        if args.no_repair {
            builder.read_repair(ReadRepair::Off)
        } else {
            builder
        }
    };
    let story = args
        .cluster
        .with_client(
            |builder| repair(args.read.apply(builder)),
            async |client| Story::find(client, &key).await,
        )
        .await?;
    if out.is_json() {
        out.json(&json::story(&story))?;
    } else {
        text::print(&story, out)?;
    }
    story.read.result?;
    Ok(Exit::Ok)
}

impl Story {
    async fn find(client: &Client, key: &bytes::Bytes) -> Result<Self, Failure> {
        let needs = client.quorum_sizes()?;
        // The first requests wait for connections, and node health would measure handshakes; how long
        // a status request takes does not count for health.
        client.status().await;
        Ok(Self {
            key: key.to_vec(),
            map: client.map(),
            location: client.locate(key),
            needs,
            replicas: client.inspect(key.clone()).await?,
            read: client.get(key.clone()).explain().await,
            health: client.health().await,
        })
    }

    /// The leaf of the key, and how many there are.
    fn leaf(&self) -> (u32, u32) {
        let bits = self.map.leaf_bits;
        (bits.leaf_of(self.location.token).0, bits.count())
    }

    /// What this client found of a node.
    fn health_of(&self, node: NodeId) -> Option<&NodeHealth> {
        let nodes = &self.health.as_ref()?.nodes;
        nodes.iter().find(|health| health.node == node)
    }

    /// What became of the repair of an owner that was found stale, or of one that was written to in any case.
    fn repair_of(&self, node: NodeId) -> Option<Repair> {
        let mut requests = self.read.requests.iter();
        let repair = requests.find(|r| r.kind == RequestKind::Repair && r.node == node)?;
        Some(match &repair.outcome {
            Some(Outcome::Done) => Repair::Done,
            Some(_failed) => Repair::Failed,
            None => Repair::Sent,
        })
    }

    /// The names of the owners whose repair came to this.
    fn repaired(&self, came_to: Repair) -> Vec<&str> {
        self.owners(|replica| self.repair_of(replica.member.id) == Some(came_to))
    }

    /// The names of the owners that are stale and were not repaired.
    fn still_stale(&self) -> Vec<&str> {
        self.owners(|replica| replica.stale && self.repair_of(replica.member.id).is_none())
    }

    fn owners(&self, wanted: impl Fn(&ReplicaReport) -> bool) -> Vec<&str> {
        let owners = self.replicas.iter().filter(|replica| replica.owner);
        let names = owners.filter(|replica| wanted(replica));
        names.map(|replica| replica.member.name.as_str()).collect()
    }
}

/// What became of a repair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Repair {
    /// The replica holds it.
    Done,
    /// It is on its way: nobody waited for it.
    Sent,
    /// The replica did not take it.
    Failed,
}
