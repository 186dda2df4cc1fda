//! `quoit dev`: a whole cluster in this process, on loopback.
//!
//! ```text
//! DIR  --make or open-->  certificates, map, node-1 .. node-5  --start-->  one line: ready
//!                                                                   |
//!                                   Ctrl-C or SIGTERM  --stop all, draining-->  exit 0
//!
//! dev add, dev remove  --DIR/control/socket-->  a node more or less in the cluster that runs
//! --http, --resp       a gateway for other languages, in the same process
//! ```
//!
//! | module | what it does |
//! | --- | --- |
//! | [`keeper`] | has the nodes: starts one that is to join, stops those that have left |
//! | [`door`], [`control`] | lets other processes ask for that, and what they say |
//! | [`add`], [`remove`] | the other processes |
//! | [`ports`] | HTTP and RESP |
//!
//! Only the shared machine makes it a toy: the nodes speak QUIC with certificates to each other and to clients,
//! and store with the durability that was asked for. Started again on the same folder, the cluster has its data.

mod add;
mod control;
mod door;
mod keeper;
mod ports;
mod remove;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;
use quoit_client::Client;
use quoit_local::{ClusterSettings, InProcessCluster};
use quoit_node::config::{ConfigError, Durability};
use quoit_node::provision::{LocalCluster, LocalError, LocalOptions};
use serde_json::json;
use tokio::sync::mpsc;

use self::control::Listener;
use self::door::Door;
use self::keeper::Keeper;
use self::ports::{PortArgs, Ports};
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
/// Tasks of the keeper that wait: those of a few connections, and the next look.
const WAITING: usize = 16;

/// Arguments of `dev`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,

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

    #[command(flatten)]
    ports: PortArgs,
}

/// What to do with the dev cluster that runs.
#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Add a node to the dev cluster that runs
    Add(add::Args),
    /// Let a node leave the dev cluster that runs, for ever, and stop it
    Remove(remove::Args),
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
    match args.verb {
        Some(Verb::Add(args)) => return add::run(args, out).await,
        Some(Verb::Remove(args)) => return remove::run(args, out).await,
        None => {}
    }
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
    let mut keeper = Keeper {
        cluster: InProcessCluster::new(&settings)?,
        durability: args.durability.map(Durability::from),
        stopped: Vec::new(),
        out,
    };
    if let Err(error) = keeper.start().await {
        // Those that did start are stopped in order; why the other did not is the news.
        let _stopped = keeper.cluster.shut_down().await.is_ok();
        return Err(error.into());
    }
    let result = serve(&mut keeper, args.ports).await;
    keeper.cluster.shut_down().await?;
    result
}

/// Reports that the cluster is ready, and follows its changes until a signal comes.
async fn serve(keeper: &mut Keeper, ports: PortArgs) -> Result<Exit, Failure> {
    let stop = signals::stop_requested();
    let ports = Ports::open(ports, &keeper.cluster.client_profile()).await?;
    let opened = open(keeper.cluster.local()).await;
    ready(keeper.cluster.local(), &ports, keeper.out);
    let stopped = match opened {
        Ok((listener, client)) => {
            let stopped = follow(keeper, &listener, &client, stop).await;
            client.close().await;
            stopped
        }
        Err(why) => {
            let what = format!("`quoit dev add` and `remove` cannot reach this cluster: {why}");
            keeper.out.warning(&what);
            stop.await
        }
    };
    ports.close().await;
    stopped.map_err(|error| {
        Failure::new(Exit::Error, format!("cannot listen for signals: {error}"))
    })?;
    Ok(Exit::Ok)
}

/// What is needed to be asked for changes, or why that cannot be had.
async fn open(local: &LocalCluster) -> Result<(Listener, Arc<Client>), String> {
    let path = control::socket_of(local.dir());
    let listener = Listener::bind(&path);
    let listener = listener.map_err(|error| format!("{}: {error}", path.display()))?;
    let client = Client::builder().profile(local.admin_profile()).connect();
    let client = client.await.map_err(|error| Failure::from(error).what)?;
    Ok((listener, Arc::new(client)))
}

/// Does what is asked for, and what follows from changes of the ring, one after the other.
async fn follow(
    keeper: &mut Keeper,
    listener: &Listener,
    client: &Arc<Client>,
    stop: impl Future<Output = std::io::Result<()>>,
) -> std::io::Result<()> {
    let (tasks, mut asked) = mpsc::channel(WAITING);
    let door = Door {
        client: Arc::clone(client),
        tasks: tasks.clone(),
        adding: Arc::default(),
    };
    let work = async {
        while let Some(task) = asked.recv().await {
            keeper.handle(task).await;
        }
    };
    tokio::select! {
        biased;
        stopped = stop => stopped,
        () = door::serve(listener, &door) => Ok(()),
        () = keeper::look(client, tasks) => Ok(()),
        () = work => Ok(()),
    }
}

fn ready(cluster: &LocalCluster, ports: &Ports, out: Output) {
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
        let mut line =
            json!({ "ready": true, "nodes": addresses, "profile": client.display().to_string() });
        if let Some(fields) = line.as_object_mut() {
            fields.extend(ports.fields());
        }
        out.outcome_json(&line);
    } else {
        let (count, addresses) = (addresses.len(), addresses.join(" "));
        let served = ports.addresses().into_iter();
        let served: String = served
            .map(|(name, address)| format!(" {name} {address}"))
            .collect();
        out.outcome(format!(
            "ready: {count} nodes at {addresses} profile {}{served}",
            client.display()
        ));
    }
    out.note("Ctrl-C stops it; from another terminal: quoit status");
}

/// The folder of the dev cluster that is to be changed: the one given, or that of the last dev cluster.
fn running_folder(given: Option<PathBuf>) -> Result<PathBuf, Failure> {
    match given {
        Some(dir) => Ok(dir),
        None => {
            let found = profile::find(None)?;
            Ok(found
                .dev_folder()
                .unwrap_or_else(|| Path::new(""))
                .to_owned())
        }
    }
}

fn unexpected() -> Failure {
    let what = "the dev cluster answered something else: it is another version of quoit";
    Failure::new(Exit::Error, what).hint("start it again with this version")
}

/// What is asked for, and for the rest what the folder's cluster has.
fn options(args: &Args, dir: &Path) -> Result<LocalOptions, Failure> {
    let there = LocalCluster::find(dir)?;
    let nodes = there
        .as_ref()
        .map_or_else(|| usize::from(NODES), |there| there.nodes().len());
    let replication = there.map_or(REPLICATION, |it| it.first_map().map.replication);
    Ok(LocalOptions {
        nodes: args.nodes.map_or(nodes, usize::from),
        replication: args.replication.unwrap_or(replication),
        durability: args.durability.map(Durability::from).unwrap_or_default(),
        ..LocalOptions::default()
    })
}
