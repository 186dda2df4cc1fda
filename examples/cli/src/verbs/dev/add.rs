//! `quoit dev add`: a node more in the dev cluster that runs, under whatever load it has.
//!
//! ```text
//!   this command  --add-->  quoit dev: makes and starts node-6, which waits  -->  planned --> decided --> moved
//! ```
//!
//! Called again after it was stopped, it takes up the node that waits.

use std::path::PathBuf;

use quoit_client::Client;
use quoit_ring::cluster::MAX_NAME;
use quoit_ring::placement::Newcomer;
use quoit_ring::{NodeId, ParseIdError};
use serde_json::json;

use super::control::{Answer, Link, Request};
use crate::args::{ClusterArgs, Operator};
use crate::change::edits::{Edits, not_busy};
use crate::change::{WaitArgs, carry_out};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;

/// Arguments of `dev add`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Its failure domain; copies of a key go to distinct zones while there are enough [default: local]
    #[arg(long, value_name = "ZONE", value_parser = parse_zone)]
    zone: Option<String>,

    /// Its share relative to others, 1 to 10,000 [default: 100]
    #[arg(long, value_name = "WEIGHT", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    weight: Option<u32>,

    /// The cluster's folder [default: that of the last dev cluster]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    #[command(flatten)]
    wait: WaitArgs,
}

pub(super) async fn run(args: Args, out: Output) -> Result<Exit, Failure> {
    let dir = super::running_folder(args.data)?;
    // Kept to the end, so that nobody else takes up the same node.
    let link = Link::open(&dir).await?;
    let request = Request::Add {
        zone: args.zone,
        weight: args.weight,
    };
    let work = async |client: &Client, operator: &Operator| {
        // No node is made for a change that could not begin.
        not_busy(&client.configuration().await?)?;
        let newcomer = newcomer(link.ask(&request).await?, out)?;
        let now = client.configuration().await?;
        let edits = Edits {
            adds: vec![newcomer],
            ..Edits::default()
        };
        let next = edits.apply(&now)?;
        carry_out((client, operator), (&now, next), args.wait, out).await
    };
    let cluster = ClusterArgs::of_profile(dir.join("admin.toml"));
    cluster.with_operator(work).await
}

/// The node that the dev cluster has started.
fn newcomer(answer: Answer, out: Output) -> Result<Newcomer, Failure> {
    let Answer::Waits {
        name,
        id,
        address,
        zone,
        weight,
    } = answer
    else {
        return Err(super::unexpected());
    };
    let id: NodeId = id
        .parse()
        .map_err(|error: ParseIdError| Failure::caused(&error))?;
    if out.is_json() {
        out.json(
            &json!({ "name": name, "id": id.to_string(), "address": address, "state": "waits" }),
        )?;
    } else {
        out.note(format!("{name} runs at {address}, and joins"));
    }
    Ok(Newcomer {
        id,
        name,
        address,
        zone,
        weight,
    })
}

fn parse_zone(text: &str) -> Result<String, String> {
    if text.len() <= MAX_NAME {
        Ok(text.to_owned())
    } else {
        Err(format!("a zone has {MAX_NAME} bytes at most"))
    }
}
