//! `quoit cluster add`: a new node, from its certificate to its place on the ring.
//!
//! ```text
//!   bundle --the operator carries it to the machine--> the node answers --> planned --> decided --> moved
//! ```
//!
//! Called again after Ctrl-C it finds what was done, and goes on from there.

use quoit_client::Client;
use quoit_node::provision::Bundle;
use serde_json::json;

use super::issue::{self, NewNode};
use crate::args::{ClusterArgs, Operator};
use crate::change::edits::{Edits, is_known};
use crate::change::{WaitArgs, carry_out, follow};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::signals;

/// Arguments of `cluster add`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The node's name, unique in the cluster
    name: String,

    #[command(flatten)]
    node: NewNode,

    #[command(flatten)]
    wait: WaitArgs,

    #[command(flatten)]
    cluster: ClusterArgs,
}

pub(crate) async fn run(args: Args, out: Output) -> Result<Exit, Failure> {
    let Args {
        name,
        node,
        wait,
        cluster,
    } = args;
    let work = async |client: &Client, operator: &Operator| {
        let new = (name.as_str(), &node);
        join(client, operator, new, (Edits::default(), wait), out).await
    };
    cluster.with_operator(work).await
}

/// Lets a node join, with what else the change does.
pub(super) async fn join(
    client: &Client,
    operator: &Operator,
    (name, new): (&str, &NewNode),
    (mut edits, wait): (Edits, WaitArgs),
    out: Output,
) -> Result<Exit, Failure> {
    let now = client.configuration().await?;
    let bundle = issue::bundle((name, new), operator, &now, &edits)?;
    if is_known(&now, bundle.node) {
        if now.change.is_some() {
            return follow(client, &now, wait, out).await;
        }
        out.outcome(format!("{name} is a member already, epoch {}", now.epoch.0));
        return Ok(Exit::Ok);
    }
    if new.bundle_only {
        made(&bundle, new, out);
        return Ok(Exit::Ok);
    }

    tokio::select! {
        biased;
        is_up = issue::wait_for(&bundle, &new.out, operator, out) => is_up?,
        _stopped = signals::stop_requested() => {
            out.note("nothing has changed yet: the same line again goes on");
            return Ok(Exit::Unknown);
        }
    }
    // It may have taken hours.
    let now = client.configuration().await?;
    edits.adds.push(bundle.newcomer());
    let next = edits.apply(&now)?;
    carry_out((client, operator), (&now, next), wait, out).await
}

fn made(bundle: &Bundle, new: &NewNode, out: Output) {
    let (file, id) = (new.out.display().to_string(), bundle.node.to_string());
    if out.is_json() {
        return out.outcome_json(&json!({ "bundle": file, "name": bundle.name, "id": id }));
    }
    out.outcome(format!("{file}: {} {id}", bundle.name));
    out.note(
        "it holds a private key: copy it to one machine, where nobody else reads it, and there:",
    );
    out.note(format!("  {}", issue::next_line(&new.out, bundle)));
}
