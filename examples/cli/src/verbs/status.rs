//! `quoit status`: how every node of the cluster is.
//!
//! Every node is asked, those that do not answer are shown as such, and the exit code is 6 unless a
//! majority answered: then more than half of the nodes are worth looking at before anything else.

use std::time::Duration;

use quoit_client::NodeReport;
use quoit_ring::wire::{Durability, NodeStatus};
use serde_json::{Value, json};

use crate::args::ClusterArgs;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Output, Text, Tone, painted};
use crate::units;

const HEADER: [&str; 11] = [
    "NAME",
    "ID",
    "ZONE",
    "ADDRESS",
    "VERSION",
    "UPTIME",
    "RECORDS",
    "DISK",
    "DURABILITY",
    "MERKLE",
    "STATE",
];

/// Arguments of `status`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    cluster: ClusterArgs,
}

pub(crate) async fn run(args: Args, out: Output) -> Result<Exit, Failure> {
    let mut reports = args
        .cluster
        .with_client(|builder| builder, async |client| Ok(client.status().await))
        .await?;
    reports.sort_by(|a, b| a.member.name.cmp(&b.member.name));
    if out.is_json() {
        out.json(&reports.iter().map(report_json).collect::<Vec<_>>())?;
    } else {
        let header = HEADER.map(Text::from).to_vec();
        let rows = reports.iter().map(report_row);
        out.table(std::iter::once(header).chain(rows).collect())?;
    }
    let up = reports
        .iter()
        .filter(|report| report.status.is_ok())
        .count();
    enough(up, reports.len())
}

pub(super) fn enough(up: usize, all: usize) -> Result<Exit, Failure> {
    if up > all / 2 {
        return Ok(Exit::Ok);
    }
    let what = format!("{up} of {all} nodes answered, which is no majority");
    Err(Failure::new(Exit::Unavailable, what).hint("start the others, or look at their logs"))
}

fn report_row(report: &NodeReport) -> Vec<Text> {
    let member = &report.member;
    let names = [
        &member.name,
        &format!("{:.8}", member.id.to_string()), // enough to distinguish nodes; JSON has all of it
        &member.zone,
        &member.address,
    ]
    .map(String::clone);
    let (facts, state) = match &report.status {
        Ok(status) => (facts(status), painted(Tone::Good, "up")),
        Err(error) => {
            let nothing = [const { String::new() }; 6].map(|_empty| "-".to_owned());
            (nothing, painted(Tone::Bad, format!("unreachable: {error}")))
        }
    };
    let texts = names.into_iter().chain(facts).map(Text::from);
    texts.chain([state]).collect()
}

fn facts(status: &NodeStatus) -> [String; 6] {
    let root = status
        .merkle_root
        .map(|sum| format!("{:.8}", sum.to_string()));
    [
        status.version.clone(),
        units::duration(Duration::from_millis(status.uptime_ms)),
        format!("~{}", units::count(status.records)),
        units::bytes(status.disk_bytes),
        durability(status.durability).to_owned(),
        root.unwrap_or_else(|| "building".to_owned()),
    ]
}

const fn durability(durability: Durability) -> &'static str {
    match durability {
        Durability::Fsync => "fsync",
        Durability::Buffered => "buffered",
    }
}

fn report_json(report: &NodeReport) -> Value {
    let member = &report.member;
    let mut object = json!({
        "name": member.name, "id": member.id.to_string(), "zone": member.zone,
        "address": member.address, "weight": member.weight,
        "state": if report.status.is_ok() { "up" } else { "unreachable" },
    });
    let more = match &report.status {
        Ok(status) => json!({
            "version": status.version, "uptime_ms": status.uptime_ms, "records": status.records,
            "disk_bytes": status.disk_bytes, "durability": durability(status.durability),
            "connections": status.connections, "queued_writes": status.queued_writes,
            "merkle_root": status.merkle_root.map(|sum| sum.to_string()),
            "dot_collisions": status.dot_collisions,
        }),
        Err(error) => json!({ "error": error.to_string() }),
    };
    if let (Some(object), Value::Object(more)) = (object.as_object_mut(), more) {
        object.extend(more);
    }
    object
}

#[cfg(test)]
mod tests {
    use quoit_client::{NodeError, Outcome};
    use quoit_ring::{Member, NodeId};

    use super::*;

    fn unreachable_node() -> NodeReport {
        let member = Member {
            id: NodeId(7),
            name: "node-1".into(),
            address: "127.0.0.1:7440".into(),
            zone: "a".into(),
            weight: 100,
            vnodes: Vec::new(),
        };
        NodeReport {
            member,
            status: Err(NodeError::Failed(Outcome::Unreachable)),
        }
    }

    #[test]
    fn a_majority_is_enough() {
        let table = [
            (1, 1, true),
            (0, 1, false),
            (1, 2, false),
            (2, 3, true),
            (2, 4, false),
            (3, 5, true),
        ];
        for (up, all, fine) in table {
            assert_eq!(enough(up, all).is_ok(), fine, "{up} of {all}");
        }
        assert_eq!(enough(0, 3).unwrap_err().exit, Exit::Unavailable);
    }

    #[test]
    fn a_node_that_does_not_answer_has_a_row_as_long_as_the_header() {
        let row = report_row(&unreachable_node());
        assert_eq!(row.len(), HEADER.len());
        let state = painted(Tone::Bad, "unreachable: no connection");
        assert_eq!(row.last(), Some(&state));
    }

    #[test]
    fn json_says_why_a_node_did_not_answer() {
        let object = report_json(&unreachable_node());
        assert_eq!(
            (&object["state"], &object["error"]),
            (&json!("unreachable"), &json!("no connection"))
        );
        assert_eq!(object["id"], json!("0000000000000007"));
    }
}
