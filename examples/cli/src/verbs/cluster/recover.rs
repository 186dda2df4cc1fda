//! `quoit cluster recover`: on the machine of a member that stands still, writes off members whose disks are lost, when a
//! majority of the voters is among them. Nothing else can be decided then.

use std::path::PathBuf;

use quoit_node::config::Config;
use quoit_node::{RecoverError, RecoverOptions, Recovered};
use serde_json::json;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;

/// Arguments of `cluster recover`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The configuration of the node whose disk is here; it must be stopped
    #[arg(long, value_name = "FILE")]
    config: PathBuf,

    /// A member whose disk is lost for ever, once for each
    #[arg(long = "lost", value_name = "NAME", required = true)]
    lost: Vec<String>,

    /// Accept that what only the lost members had is lost
    #[arg(long)]
    accept_loss: bool,
}

pub(crate) fn run(args: Args, out: Output) -> Result<Exit, Failure> {
    let config = Config::load(&args.config).map_err(|error| Failure::caused(&error))?;
    out.note("asking the other members; those that are lost take 3 s each");
    let options = RecoverOptions {
        lost: args.lost,
        accept_loss: args.accept_loss,
    };
    let recovered = quoit_node::recover(&config, &options).map_err(|error| failure(&error))?;
    show(&recovered, &options.lost, out);
    Ok(Exit::Ok)
}

fn failure(error: &RecoverError) -> Failure {
    let exit = match error {
        RecoverError::Disk(error) if error.may_pass() => Exit::TryLater,
        RecoverError::Silent { .. } => Exit::Unavailable,
        RecoverError::Loss { .. } => Exit::Conflict,
        RecoverError::Store(_) => Exit::Unknown,
        _ => Exit::Usage,
    };
    Failure {
        exit,
        ..Failure::caused(error)
    }
}

fn show(recovered: &Recovered, lost: &[String], out: Output) {
    let Recovered {
        configuration: now,
        loss,
    } = recovered;
    let name = |id| {
        let member = now.map.members.iter().find(|member| member.id == id);
        member.map_or_else(|| id.to_string(), |member| member.name.clone())
    };
    let voters: Vec<String> = now.voters.iter().map(|&id| name(id)).collect();
    if out.is_json() {
        out.outcome_json(&json!({
            "recovered": true, "epoch": now.epoch.0, "lost": lost, "voters": voters,
            "share_without_majority": loss.no_majority, "share_without_copy": loss.no_copy,
        }));
        return;
    }
    out.outcome(format!(
        "recovered in epoch {}: {} written off, voters {}",
        now.epoch.0,
        lost.join(", "),
        voters.join(", ")
    ));
    out.note(
        "start this node; the other members hear of it within seconds (`quoit cluster history`)",
    );
    out.note("then replace the lost, all in one change: quoit cluster plan --add NEW.quoit .. --leave LOST .. -o FILE");
}
