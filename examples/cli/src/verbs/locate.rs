//! `quoit locate KEY`: where a key lives and what each of its replicas holds.
//!
//! ```text
//! key -> token -> owner 1, owner 2, ... owner N, then the fallbacks
//! ```
//!
//! The replicas are asked one by one and nothing is repaired, so a replica that has fallen behind shows
//! as such.

use std::ffi::OsString;

use quoit_client::{Client, Entry, Location, NodeError, Outcome, ReplicaReport};
use quoit_ring::wire::Refusal;
use serde_json::{Value, json};

use super::{argument, keyed};
use crate::args::ClusterArgs;
use crate::escape::one_line;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::units::{bytes, moment, plural};

const HEADER: [&str; 6] = ["#", "ROLE", "NODE", "ZONE", "ADDRESS", "HOLDS"];

/// Arguments of `locate`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The key
    key: OsString,

    #[command(flatten)]
    cluster: ClusterArgs,
}

pub(crate) async fn run(args: Args, out: Output) -> Result<Exit, Failure> {
    let key = argument(args.key);
    let ask = async |client: &Client| Ok((client.locate(&key), client.inspect(key.clone()).await?));
    let (location, reports) = args.cluster.with_client(|builder| builder, ask).await?;
    if out.is_json() {
        let mut object = keyed(&key);
        object.insert("token".into(), token(&location).into());
        object.insert("replicas".into(), reports.iter().map(report_json).collect());
        out.json(&object)?;
    } else {
        out.line(format!(
            "`{}` has the token {}",
            one_line(&key),
            token(&location)
        ))?;
        let header = HEADER.map(str::to_owned).to_vec();
        let rows = (1..)
            .zip(&reports)
            .map(|(rank, report)| report_row(rank, report));
        out.table(std::iter::once(header).chain(rows).collect())?;
    }
    Ok(Exit::Ok)
}

fn token(location: &Location) -> String {
    format!("{:016x}", location.token.0)
}

const fn role(report: &ReplicaReport) -> &'static str {
    if report.owner { "owner" } else { "fallback" }
}

fn report_row(rank: usize, report: &ReplicaReport) -> Vec<String> {
    let member = &report.member;
    let holds = match &report.answer {
        Ok(entry) => holds(entry),
        // A fallback keeps nothing of its own accord, and says so by refusing.
        Err(NodeError::Failed(Outcome::Refused(Refusal::NotReplica))) if !report.owner => {
            "-".to_owned()
        }
        Err(error) => format!("no answer: {error}"),
    };
    let [name, zone, address] = [&member.name, &member.zone, &member.address].map(String::clone);
    vec![
        rank.to_string(),
        role(report).to_owned(),
        name,
        zone,
        address,
        holds,
    ]
}

fn holds(entry: &Entry) -> String {
    match entry.siblings() {
        [] if !entry.is_tombstone() => "nothing".to_owned(),
        [] => "a delete".to_owned(),
        siblings => {
            let count = plural(siblings.len() as u64, "value", "values");
            let sizes: Vec<String> = siblings
                .iter()
                .map(|sibling| {
                    let written = moment(sibling.dot.time.millis().0);
                    format!("{} of {written}", bytes(sibling.bytes.len() as u64))
                })
                .collect();
            format!("{count}: {}", sizes.join(", "))
        }
    }
}

fn report_json(report: &ReplicaReport) -> Value {
    let member = &report.member;
    let mut object = json!({
        "node": member.name, "id": member.id.to_string(), "zone": member.zone,
        "address": member.address, "role": role(report),
    });
    match &report.answer {
        Ok(entry) => {
            let dots = entry
                .siblings()
                .iter()
                .map(|sibling| sibling.dot.to_string());
            let sizes = entry.siblings().iter().map(|sibling| sibling.bytes.len());
            object["dots"] = dots.collect::<Vec<_>>().into();
            object["bytes"] = sizes.collect::<Vec<_>>().into();
            object["deleted"] = json!(entry.is_tombstone());
        }
        Err(error) => object["error"] = error.to_string().into(),
    }
    object
}
