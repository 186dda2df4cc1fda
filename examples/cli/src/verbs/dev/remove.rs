//! `quoit dev remove`: a member of the dev cluster that runs leaves for ever, and its node stops. The change is that of
//! `quoit cluster leave`; the running cluster sees its end, whether or not this command still watches.

use std::path::PathBuf;

use quoit_client::Client;
use serde_json::json;

use super::control::{Answer, Link, Request};
use crate::args::{ClusterArgs, Operator};
use crate::change::edits::Edits;
use crate::change::{WaitArgs, carry_out};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;

/// Arguments of `dev remove`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Who leaves
    name: String,

    /// The cluster's folder [default: that of the last dev cluster]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    #[command(flatten)]
    wait: WaitArgs,
}

pub(super) async fn run(args: Args, out: Output) -> Result<Exit, Failure> {
    let Args { name, data, wait } = args;
    let dir = super::running_folder(data)?;
    // Asked at the end only; a cluster that cannot be asked would not stop the node either.
    drop(Link::open(&dir).await?);
    let edits = Edits {
        leaves: vec![name.clone()],
        ..Edits::default()
    };
    let work = async |client: &Client, operator: &Operator| {
        let now = client.configuration().await?;
        let next = edits.apply(&now)?;
        carry_out((client, operator), (&now, next), wait, out).await
    };
    let cluster = ClusterArgs::of_profile(dir.join("admin.toml"));
    let exit = cluster.with_operator(work).await?;
    if exit != Exit::Ok || wait.no_wait {
        return Ok(exit);
    }

    let request = Request::Left { name: name.clone() };
    let answer = Link::open(&dir).await?.ask(&request).await?;
    let Answer::Stopped { ran } = answer else {
        return Err(super::unexpected());
    };
    if out.is_json() {
        out.json(&json!({ "name": name, "state": if ran { "stopped" } else { "elsewhere" } }))?;
    } else if ran {
        out.note(format!("{name} is stopped; its folder stays"));
    } else {
        out.note(format!("{name} runs elsewhere: stop it there"));
    }
    Ok(exit)
}
