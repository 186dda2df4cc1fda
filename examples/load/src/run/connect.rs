//! The clients of a run, and the cluster that they are connected to.
//!
//! ```text
//!   --target, --profile --.
//!   own cluster, started --'--> N clients      --clients N, each with connections of its own; one unless set
//! ```
//!
//! Each client has room for its share of the operations that may be in flight.

use std::sync::{Arc, Mutex};

use anyhow::Context as _;

use super::Shared;
use crate::args::RunArgs;
use crate::args::fault::Fault;
use crate::cluster::{Cluster, Options};
use crate::target::{Quoit, Target};

/// Connects all clients, to an own cluster if there is to be one.
///
/// # Errors
/// If the cluster does not start or a client does not reach its store; nothing is left running.
pub(super) async fn connect(
    args: &RunArgs,
    script: &[Fault],
) -> anyhow::Result<(Vec<Target>, Option<Shared>)> {
    // The bound of each client.
    let in_flight = usize::try_from(args.in_flight().div_ceil(args.store.clients))?;
    let deadline = args.store.deadline;
    let mut clients = Vec::new();
    let Some(spec) = args.own_cluster() else {
        let profile = args.store.profile.as_deref();
        for _ in 0..args.store.clients {
            let target = &args.store.target;
            clients.push(Target::connect(target, profile, deadline, in_flight).await?);
        }
        return Ok((clients, None));
    };
    let faults = script.iter().filter(|fault| fault.act.is_of_the_network());
    let options = Options {
        spec,
        memory: args.store.node_memory << 20,
        data: args.store.data.clone(),
        binary: args.store.node_binary.clone(),
        proxied: faults.map(|fault| fault.node).collect(),
        seed: args.work.seed,
    };
    // Making certificates blocks; Ctrl-C must be heard meanwhile.
    let mut cluster = tokio::task::spawn_blocking(move || Cluster::new(&options))
        .await
        .context("starting the cluster failed")??;
    cluster.start().await?;
    let survives = if spec.buffered { "buffered" } else { "fsync" };
    for _ in 0..args.store.clients {
        let quoit = Quoit::connect(&cluster.profile(), deadline, in_flight).await?;
        clients.push(Target::Quoit(quoit.own(cluster.ids(), survives)));
    }
    Ok((clients, Some(Arc::new(Mutex::new(cluster)))))
}
