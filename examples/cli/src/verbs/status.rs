//! `quoit status`: how every node of the cluster is.
//!
//! Every node is asked, those that do not answer are shown as such, and the exit code is 6 unless a
//! majority answered: then more than half of the nodes are worth looking at before anything else. What a node cannot
//! read, hints that are refused, and its warnings (a full disk, a certificate that ends) are named on standard error.

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
        for line in reports.iter().flat_map(|report| troubles(report, &reports)) {
            out.note(&line);
        }
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

/// What is wrong at a node that answered, a line each.
fn troubles(report: &NodeReport, reports: &[NodeReport]) -> Vec<String> {
    let (Ok(status), name) = (&report.status, &report.member.name) else {
        return Vec::new();
    };
    let mut lines = Vec::new();
    if status.unreadable_records > 0 {
        let count = units::count(status.unreadable_records);
        lines.push(format!(
            "{name} cannot read {count} of its records: see its log"
        ));
    }
    if let Some(refused) = &status.refused_hints {
        let mut members = reports.iter().map(|report| &report.member);
        let target = members.find(|member| member.id == refused.target);
        let by = target.map_or_else(|| refused.target.to_string(), |member| member.name.clone());
        let (count, reason) = (units::count(refused.count), refused.reason);
        lines.push(format!(
            "{name} keeps hints that are refused: {count}, the last by {by}: {reason}"
        ));
    }
    if status.refused_repairs > 0 {
        let count = units::count(status.refused_repairs);
        lines.push(format!(
            "{name} has refused {count} repairs that would take a record over its bounds: its log names a key"
        ));
    }
    for warning in &status.warnings {
        let since = units::duration(Duration::from_millis(warning.since_ms));
        let often = match warning.count {
            0 => String::new(),
            times => format!(", {} times", units::count(times)),
        };
        lines.push(format!("{name}: {} (for {since}{often})", warning.text));
    }
    lines
}

/// The Merkle root, or about how much of the records is summed up already.
fn merkle(status: &NodeStatus) -> String {
    if let Some(sum) = status.merkle_root {
        return format!("{:.8}", sum.to_string());
    }
    let share = status.summed_records.saturating_mul(100) / status.records.max(1);
    format!("building ~{} %", share.min(99)) // the count of records is an estimate
}

fn facts(status: &NodeStatus) -> [String; 6] {
    [
        status.version.clone(),
        units::duration(Duration::from_millis(status.uptime_ms)),
        format!("~{}", units::count(status.records)),
        units::bytes(status.disk_bytes),
        durability(status.durability).to_owned(),
        merkle(status),
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
            "summed_records": status.summed_records,
            "unreadable_records": status.unreadable_records,
            "refused_hints": status.refused_hints.map(|refused| json!({
                "count": refused.count, "target": refused.target.to_string(),
                "reason": refused.reason.to_string(),
            })),
            "refused_repairs": status.refused_repairs,
            "swept_values": status.swept_values,
            "next_expiry_ms": status.next_expiry_ms,
            "free_bytes": status.free_bytes,
            "pull_bytes_per_second": status.pull_bytes_per_second,
            "warnings": status.warnings.iter().map(|warning| json!({
                "kind": warning.kind.name(), "since_ms": warning.since_ms, "count": warning.count,
                "text": warning.text,
            })).collect::<Vec<_>>(),
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
    use quoit_ring::wire::{Refusal, RefusedHints, Warning, WarningKind};
    use quoit_ring::{Member, NodeId};

    use super::*;

    fn member() -> Member {
        Member {
            id: NodeId(7),
            name: "node-1".into(),
            address: "127.0.0.1:7440".into(),
            zone: "a".into(),
            weight: 100,
            vnodes: Vec::new(),
        }
    }

    fn unreachable_node() -> NodeReport {
        NodeReport {
            member: member(),
            status: Err(NodeError::Failed(Outcome::Unreachable)),
        }
    }

    fn troubled_node() -> NodeReport {
        let status = NodeStatus {
            node: NodeId(7),
            version: "0.1.0".into(),
            uptime_ms: 5_000,
            durability: Durability::Fsync,
            records: 4_000,
            disk_bytes: 9,
            free_bytes: 10,
            pull_bytes_per_second: 11,
            connections: 1,
            queued_writes: 0,
            merkle_root: None,
            dot_collisions: 0,
            summed_records: 1_650,
            unreadable_records: 2,
            refused_hints: Some(RefusedHints {
                count: 3,
                target: NodeId(7),
                reason: Refusal::BadRecord,
            }),
            refused_repairs: 5,
            swept_values: 6,
            next_expiry_ms: Some(7),
            warnings: vec![
                Warning {
                    kind: WarningKind::DiskSpace,
                    since_ms: 90_000,
                    count: 1_200,
                    text: "the disk is nearly full".into(),
                },
                Warning {
                    kind: WarningKind::Address,
                    since_ms: 5_000,
                    count: 0,
                    text: "bad\u{1b}[31m address".into(),
                },
            ],
        };
        NodeReport {
            member: member(),
            status: Ok(status),
        }
    }

    #[test]
    fn what_is_wrong_at_a_node_is_named() {
        let report = troubled_node();
        let lines = troubles(&report, std::slice::from_ref(&report));
        assert_eq!(
            lines,
            [
                "node-1 cannot read 2 of its records: see its log",
                "node-1 keeps hints that are refused: 3, the last by node-1: the record is not a \
                 well-formed write",
                "node-1 has refused 5 repairs that would take a record over its bounds: its log names a key",
                "node-1: the disk is nearly full (for 1m 30s, 1,200 times)",
                "node-1: bad\u{1b}[31m address (for 5.0 s)",
            ]
        );
        let printed = Text::from(lines[4].clone()).shown(false);
        assert!(!printed.contains('\u{1b}'), "{printed}");
        assert!(report_row(&report).contains(&Text::from("building ~41 %".to_owned())));
        let object = report_json(&report);
        assert_eq!(object["refused_hints"]["count"], 3);
        assert_eq!(object["warnings"][0]["kind"], "disk-space");
        assert_eq!(object["warnings"][0]["count"], 1_200);
        assert!(troubles(&unreachable_node(), &[]).is_empty());
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
