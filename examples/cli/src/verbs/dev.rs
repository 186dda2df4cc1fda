//! `quoit dev`: a whole cluster in this process, on loopback.
//!
//! ```text
//! DIR  --make or open-->  certificates, map, node-1 .. node-5  --start-->  one line: ready
//!                                                                   |
//!                                   Ctrl-C or SIGTERM  --stop all, draining-->  exit 0
//! ```
//!
//! Only the shared machine makes it a toy: the nodes speak QUIC with certificates to each other and to clients,
//! and store with the durability that was asked for. Started again on the same folder, the cluster has its data.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum;
use quoit_local::{ClusterSettings, InProcessCluster};
use quoit_node::config::{ConfigError, Durability};
use quoit_node::provision::{LocalCluster, LocalError, LocalOptions, read_map};
use serde_json::json;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::{profile, signals};

/// Nodes of a new cluster.
const NODES: u8 = 5;
/// Copies in a new cluster.
const REPLICATION: u8 = 3;
/// How long requests under way may take to finish when the cluster is stopped.
const DRAIN: Duration = Duration::from_secs(5);

/// Arguments of `dev`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many nodes, 1 to 64 [default: 5, or as many as the folder's cluster has]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u8).range(1..=64))]
    nodes: Option<u8>,

    /// The cluster's folder [default: quoit/dev in the user's data directory]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// What an acknowledged write survives [default: fsync, or what the folder's cluster has]
    #[arg(long, value_enum)]
    durability: Option<Survives>,

    /// N, the copies of each key, 1 to 16 [default: 3, or what the folder's cluster has]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=16))]
    replication: Option<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Survives {
    /// A power loss
    Fsync,
    /// The end of the process, not a power loss
    Buffered,
}

impl From<Survives> for Durability {
    fn from(survives: Survives) -> Self {
        match survives {
            Survives::Fsync => Self::Fsync,
            Survives::Buffered => Self::Buffered,
        }
    }
}

impl From<LocalError> for Failure {
    fn from(error: LocalError) -> Self {
        let usage = matches!(
            error,
            LocalError::OutOfRange { .. } | LocalError::Differs { .. }
        );
        let failure = Self::caused(&error);
        if usage {
            Self {
                exit: Exit::Usage,
                ..failure
            }
        } else {
            failure
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::caused(&error)
    }
}

pub(crate) async fn run(args: Args, out: Output) -> Result<Exit, Failure> {
    let dir = match &args.data {
        Some(dir) => dir.clone(),
        None => profile::default_dev_folder()?,
    };
    let settings = ClusterSettings {
        local: options(&args, &dir)?,
        folder: Some(dir),
        stop_within: DRAIN,
        ..ClusterSettings::default()
    };
    let mut cluster = InProcessCluster::new(&settings)?;
    if let Some(durability) = args.durability {
        // Over what the folder's files say, for this run.
        for node in 0..cluster.size() {
            cluster.config_mut(node).durability = durability.into();
        }
    }

    if let Err(error) = cluster.start_all().await {
        // Those that did start are stopped in order; why the other did not is the news.
        let _stopped = cluster.shut_down().await.is_ok();
        return Err(error.into());
    }
    let result = serve(cluster.local(), out).await;
    cluster.shut_down().await?;
    result
}

/// Reports that the cluster is ready, and waits for a signal.
async fn serve(cluster: &LocalCluster, out: Output) -> Result<Exit, Failure> {
    let client = cluster.client_profile();
    if let Err(failure) = profile::remember(&client) {
        // The cluster serves all the same, to whoever names its profile.
        let what = failure.what;
        out.warning(&format!(
            "{what}; other verbs need `--profile {}`",
            client.display()
        ));
    }
    let addresses: Vec<String> = cluster
        .nodes()
        .iter()
        .map(|node| node.address.to_string())
        .collect();
    if out.is_json() {
        out.outcome_json(
            &json!({ "ready": true, "nodes": addresses, "profile": client.display().to_string() }),
        );
    } else {
        let (count, addresses) = (addresses.len(), addresses.join(" "));
        out.outcome(format!(
            "ready: {count} nodes at {addresses} profile {}",
            client.display()
        ));
    }
    out.note("Ctrl-C stops it; from another terminal: quoit status");
    signals::stop_requested().await.map_err(|error| {
        Failure::new(Exit::Error, format!("cannot listen for signals: {error}"))
    })?;
    Ok(Exit::Ok)
}

/// What is asked for, and for the rest what the folder's cluster has.
fn options(args: &Args, dir: &Path) -> Result<LocalOptions, Failure> {
    let map = dir.join("cluster.map");
    let there = if map.exists() {
        Some(read_map(&map)?.map)
    } else {
        None
    };
    let nodes = there
        .as_ref()
        .map_or_else(|| usize::from(NODES), |map| map.members.len());
    let replication = there.map_or(REPLICATION, |map| map.replication);
    Ok(LocalOptions {
        nodes: args.nodes.map_or(nodes, usize::from),
        replication: args.replication.unwrap_or(replication),
        durability: args.durability.map(Durability::from).unwrap_or_default(),
        ..LocalOptions::default()
    })
}
