//! `quoit cluster write-off`: says that the disks of members are lost for ever, so that nothing waits for their copies any
//! more. The next change must leave them out.

use quoit_client::Client;
use quoit_ring::NodeId;
use quoit_ring::change::{Configuration, Known, Loss};
use serde_json::json;

use crate::args::{ClusterArgs, Operator};
use crate::change::begin::begin;
use crate::change::edits::member;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;

/// Arguments of `cluster write-off`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The members whose disks are lost
    #[arg(required = true)]
    names: Vec<String>,

    /// Accept that what only they had is lost
    #[arg(long)]
    accept_loss: bool,

    #[command(flatten)]
    cluster: ClusterArgs,
}

pub(crate) async fn run(args: Args, out: Output) -> Result<Exit, Failure> {
    let work = async |client: &Client, _operator: &Operator| {
        let now = client.configuration().await?;
        let lost = lost(&now, &args.names)?;
        refuse_alive(client, &lost).await?;
        let next = now
            .without_copies_of(&lost)
            .map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
        let loss = loss(&now, &lost)?;
        if loss.no_majority > 0.0 && !args.accept_loss {
            return Err(refused(loss));
        }
        let decided = begin(client, &now, next).await?;
        show(&decided, (&args.names, loss), out);
        Ok(Exit::Ok)
    };
    args.cluster.with_operator(work).await
}

fn lost(now: &Configuration, names: &[String]) -> Result<Vec<NodeId>, Failure> {
    let ids = names.iter().map(|name| Ok(member(&now.map, name)?.id));
    ids.collect()
}

fn loss(now: &Configuration, lost: &[NodeId]) -> Result<Loss, Failure> {
    let known = Known::new(now.clone()).map_err(|error| Failure::caused(&error))?;
    Ok(known.loss(lost))
}

/// A node that answers has its disk.
async fn refuse_alive(client: &Client, lost: &[NodeId]) -> Result<(), Failure> {
    let reports = client.status().await;
    let mut alive = reports.iter().filter(|report| report.status.is_ok());
    let Some(found) = alive.find(|report| lost.contains(&report.member.id)) else {
        return Ok(());
    };
    let what = format!("{} is not lost: it answers", found.member.name);
    let hint = "let it leave (`quoit cluster leave`), or stop it for ever first";
    Err(Failure::new(Exit::Usage, what).hint(hint))
}

fn refused(loss: Loss) -> Failure {
    let Loss {
        no_majority,
        no_copy,
    } = loss;
    let (most, all) = (no_majority * 100.0, no_copy * 100.0);
    let what = format!(
        "{most:.1} % of the keys would lose a majority of their copies, and {all:.1} % all of them: what was acknowledged by \
         the lost members alone would be lost for ever"
    );
    Failure::new(Exit::Conflict, what).hint("bring the disks back, or accept it with --accept-loss")
}

fn show(now: &Configuration, (names, loss): (&[String], Loss), out: Output) {
    if out.is_json() {
        out.outcome_json(&json!({
            "written_off": names, "epoch": now.epoch.0,
            "share_without_majority": loss.no_majority, "share_without_copy": loss.no_copy,
        }));
        return;
    }
    out.outcome(format!(
        "written off in epoch {}: {}",
        now.epoch.0,
        names.join(", ")
    ));
    out.note("the next change leaves them out: `quoit cluster replace`, `quoit cluster leave`, or plan several at once");
}
