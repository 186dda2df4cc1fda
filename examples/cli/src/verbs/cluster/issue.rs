//! A new node's bundle: made once, found again by a later call, and the wait for the node that uses it.
//!
//! ```text
//!   FILE is there --of this node and cluster?--> taken as it is
//!        '- none ---> ca.key --> certificate --> FILE (0600)
//! ```

use std::path::{Path, PathBuf};
use std::time::Duration;

use quoit_client::ConnectError;
use quoit_node::provision::{Authority, Bundle, BundleError, JoinRequest};
use quoit_ring::NodeId;
use quoit_ring::change::Configuration;
use quoit_ring::cluster::DEFAULT_WEIGHT;
use quoit_ring::placement::Newcomer;

use crate::args::Operator;
use crate::change::edits::Edits;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;

/// How often a node that is not there yet is asked.
const EVERY: Duration = Duration::from_millis(500);
/// How long each time.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// Seeds in a bundle; more would not help to find a cluster.
const MAX_SEEDS: usize = 16;

/// A new node.
#[derive(Debug, clap::Args)]
pub(super) struct NewNode {
    /// `HOST:PORT` at which clients and other nodes will reach it
    #[arg(long, value_name = "HOST:PORT")]
    pub(super) address: String,

    /// Its failure domain; copies of a key go to distinct zones while there are enough
    #[arg(long, value_name = "ZONE")]
    pub(super) zone: Option<String>,

    /// Its share relative to others, 1 to 10,000
    #[arg(long, value_name = "WEIGHT", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(super) weight: Option<u32>,

    /// The bundle to write, for the new machine; if it is there, it is used
    #[arg(long, value_name = "FILE")]
    pub(super) out: PathBuf,

    /// The authority's folder, with `ca.key` [default: that of the profile's `ca`]
    #[arg(long, value_name = "DIR")]
    pub(super) certs: Option<PathBuf>,

    /// Write the bundle and no more: the same line without this goes on
    #[arg(long)]
    pub(super) bundle_only: bool,
}

impl From<BundleError> for Failure {
    fn from(error: BundleError) -> Self {
        match error {
            BundleError::Authority(error) => error.into(),
            BundleError::Address { .. } | BundleError::Malformed { .. } => Self {
                exit: Exit::Usage,
                ..Self::caused(&error)
            },
            error => Self::caused(&error),
        }
    }
}

/// The bundle of `name`, as it is or made now. `edits` is what else the change does: it may free a name or an address.
pub(super) fn bundle(
    (name, new): (&str, &NewNode),
    operator: &Operator,
    now: &Configuration,
    edits: &Edits,
) -> Result<Bundle, Failure> {
    let edits = &edits.with_lost(now);
    let zone = new.zone.clone().unwrap_or_else(|| zone_of(now));
    if new.out.exists() {
        let bundle = Bundle::load(&new.out)?;
        check_found(&bundle, (name, new), now)?;
        return Ok(bundle);
    }

    // All that can be wrong is found before a certificate is issued; only its id is not known yet.
    let certs = new.certs.as_deref().unwrap_or(&operator.certs);
    let authority = Authority::open(certs)?;
    let free = (1..).map(NodeId).find(|id| !now.removed.contains(id));
    edits.check_newcomer(
        now,
        &Newcomer {
            id: free.unwrap_or(NodeId(1)),
            name: name.to_owned(),
            address: new.address.clone(),
            zone: zone.clone(),
            weight: new.weight.unwrap_or(DEFAULT_WEIGHT),
        },
    )?;
    let members = now.map.members.iter().map(|it| it.address.clone());
    let request = JoinRequest {
        cluster: now.map.cluster,
        address: new.address.clone(),
        zone,
        weight: new.weight.unwrap_or(DEFAULT_WEIGHT),
        seeds: members.take(MAX_SEEDS).collect(),
    };
    let bundle = authority.bundle(name, request)?;
    edits.check_newcomer(now, &bundle.newcomer())?;
    bundle.write(&new.out)?;
    Ok(bundle)
}

/// Whether a bundle that was there is the one that is meant.
fn check_found(
    bundle: &Bundle,
    (name, new): (&str, &NewNode),
    now: &Configuration,
) -> Result<(), Failure> {
    let weight = new.weight.unwrap_or(bundle.weight);
    let zone = new.zone.as_ref().unwrap_or(&bundle.zone);
    let what = if bundle.cluster != now.map.cluster {
        format!("for another cluster, {}", bundle.cluster)
    } else if bundle.name != name {
        format!("for {}", bundle.name)
    } else if bundle.address != new.address {
        format!("for the address {}", bundle.address)
    } else if bundle.weight != weight || bundle.zone != *zone {
        format!("for zone {} and weight {}", bundle.zone, bundle.weight)
    } else {
        return Ok(());
    };
    let what = format!("{} is there already, {what}", new.out.display());
    Err(Failure::new(Exit::Usage, what).hint("name another file, or remove that one"))
}

/// The zone of all members if there is one only.
fn zone_of(now: &Configuration) -> String {
    let mut zones: Vec<&str> = now.map.members.iter().map(|it| it.zone.as_str()).collect();
    zones.dedup();
    match zones[..] {
        [only] => only.to_owned(),
        _ => super::DEFAULT_ZONE.to_owned(),
    }
}

/// The line that starts the node on its machine.
pub(super) fn next_line(file: &Path, bundle: &Bundle) -> String {
    let (file, address) = (file.display(), &bundle.address);
    format!("quoit-node --join {file} --data DIR --address {address}")
}

/// Waits until the node answers at its address.
pub(super) async fn wait_for(
    bundle: &Bundle,
    file: &Path,
    operator: &Operator,
    out: Output,
) -> Result<(), Failure> {
    let bar = out.steps(1);
    let mut has_said = false;
    loop {
        let builder = operator.builder().connect_timeout(ANSWER_WITHIN);
        let why = match builder.status_at(&bundle.address, bundle.node).await {
            Ok(_status) => break,
            Err(ConnectError::NoSeedAnswered { tried }) => tried.into_iter().map(|(_, why)| why),
            Err(error) => return Err(error.into()),
        };
        if !has_said {
            has_said = true;
            out.note(format!(
                "copy {} to its machine, and there:",
                file.display()
            ));
            out.note(format!("  {}", next_line(file, bundle)));
        }
        let why = why.collect::<String>();
        bar.set_message(format!(
            "waits for {} at {}: {why}",
            bundle.name, bundle.address
        ));
        tokio::time::sleep(EVERY).await;
    }
    bar.finish_and_clear();
    Ok(())
}
