//! `quoit hints status`: which writes are kept for nodes that are away, where, and how much of them.
//!
//! ```text
//!   FOR      KEPT AT   KEYS    SIZE
//!   node-2   node-4    1,204   310 KiB      one line for each pair; nothing kept says so
//! ```
//!
//! Every node is asked. One that does not answer is named on standard error, since what it keeps is not in the table,
//! and the exit code is 6 unless a majority answered.

use quoit_client::HintsReport;
use quoit_ring::NodeId;
use quoit_ring::wire::Kept;
use serde_json::{Value, json};

use super::status::enough;
use crate::args::ClusterArgs;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::units;

const HEADER: [&str; 4] = ["FOR", "KEPT AT", "KEYS", "SIZE"];

/// What to do with hints.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// Show how much each node keeps, and for which node
    Status(Args),
}

/// Arguments of `hints status`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    cluster: ClusterArgs,
}

pub(crate) async fn run(verb: Verb, out: Output) -> Result<Exit, Failure> {
    let Verb::Status(args) = verb;
    let mut reports = args
        .cluster
        .with_client(|builder| builder, async |client| Ok(client.hints().await))
        .await?;
    reports.sort_by(|a, b| a.member.name.cmp(&b.member.name));
    if out.is_json() {
        let shown = |report: &HintsReport| report_json(report, &reports);
        out.json(&reports.iter().map(shown).collect::<Vec<_>>())?;
    } else {
        show(out, &reports)?;
    }
    let answered = reports.iter().filter(|report| report.kept.is_ok()).count();
    enough(answered, reports.len())
}

fn show(out: Output, reports: &[HintsReport]) -> Result<(), Failure> {
    let mut rows = rows(reports);
    if rows.is_empty() {
        out.note("nothing is kept for anybody");
    } else {
        rows.sort();
        let header = HEADER.map(str::to_owned).to_vec();
        out.table(std::iter::once(header).chain(rows).collect())?;
    }
    for report in reports {
        if let Err(error) = &report.kept {
            let name = &report.member.name;
            out.note(format!("what {name} keeps is not known: {error}"));
        }
    }
    Ok(())
}

fn rows(reports: &[HintsReport]) -> Vec<Vec<String>> {
    let of_node = |report: &HintsReport| {
        let row = |kept: &Kept| {
            vec![
                name(kept.target, reports),
                report.member.name.clone(),
                units::count(kept.count),
                units::bytes(kept.bytes),
            ]
        };
        report.kept.iter().flatten().map(row).collect::<Vec<_>>()
    };
    reports.iter().flat_map(of_node).collect()
}

/// The name of a member; the id of a node that has ceased to be one.
fn name(node: NodeId, reports: &[HintsReport]) -> String {
    let mut members = reports.iter().map(|report| &report.member);
    let member = members.find(|member| member.id == node);
    member.map_or_else(|| node.to_string(), |member| member.name.clone())
}

fn report_json(report: &HintsReport, reports: &[HintsReport]) -> Value {
    let member = &report.member;
    match &report.kept {
        Ok(kept) => {
            let entry = |kept: &Kept| {
                json!({
                    "for": name(kept.target, reports), "for_id": kept.target.to_string(),
                    "keys": kept.count, "bytes": kept.bytes,
                })
            };
            let kept: Vec<Value> = kept.iter().map(entry).collect();
            json!({ "name": member.name, "id": member.id.to_string(), "kept": kept })
        }
        Err(error) => {
            json!({ "name": member.name, "id": member.id.to_string(), "error": error.to_string() })
        }
    }
}

#[cfg(test)]
mod tests {
    use quoit_client::{NodeError, Outcome};
    use quoit_ring::Member;

    use super::*;

    fn member(id: u64) -> Member {
        Member {
            id: NodeId(id),
            name: format!("node-{id}"),
            address: format!("127.0.0.1:{id}"),
            zone: "a".into(),
            weight: 100,
            vnodes: Vec::new(),
        }
    }

    fn reports() -> [HintsReport; 2] {
        let kept = |target| Kept {
            target: NodeId(target),
            count: 1_204,
            bytes: 3 << 10,
        };
        let keeps = HintsReport {
            member: member(1),
            kept: Ok(vec![kept(2), kept(9)]),
        };
        let unreachable = HintsReport {
            member: member(2),
            kept: Err(NodeError::Failed(Outcome::TimedOut)),
        };
        [keeps, unreachable]
    }

    #[test]
    fn every_pair_has_a_line_and_who_is_no_member_its_id() {
        let rows = rows(&reports());
        assert_eq!(rows[0], ["node-2", "node-1", "1,204", "3.0 KiB"]);
        assert_eq!(rows[1][0], NodeId(9).to_string());
        assert_eq!(rows.len(), 2);
    }

    #[test]
    fn json_has_every_node_and_why_one_did_not_say() {
        let reports = reports();
        let shown = reports.each_ref().map(|one| report_json(one, &reports));
        assert_eq!(shown[0]["kept"][0]["for"], "node-2");
        assert_eq!(shown[0]["kept"][0]["bytes"], 3 << 10);
        assert_eq!(shown[1]["error"], "no answer in time");
    }
}
