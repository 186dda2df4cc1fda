//! `quoit sync`: how nodes sync with each other, and orders about that.
//!
//! ```text
//!   NODE     WITH     EQUAL        LAST        DIFFERED  PULLED  PUSHED  FAILED  BYTES
//!   node-1   node-2   12.0 s ago   equal              3       3       0       0  4.1 KiB
//!   node-1   node-3   never        there is no connection  0       0       0       0  96 B
//! ```
//!
//! `now`, `pause` and `resume` go to every node and need an operator's certificate. A node that did not answer is named on
//! standard error, and the exit code is 6 unless a majority did.

use std::time::Duration;

use quoit_client::{Client, SyncReport};
use quoit_ring::NodeId;
use quoit_ring::wire::{PeerSyncStatus, StabilityStatus, SyncEnd, SyncOrder};
use serde_json::{Value, json};

use super::status::enough;
use crate::args::{ClusterArgs, Operator};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::units;

const HEADER: [&str; 9] = [
    "NODE", "WITH", "EQUAL", "LAST", "DIFFERED", "PULLED", "PUSHED", "FAILED", "BYTES",
];

/// What to do with syncs.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// Show when nodes were last found equal, and what was repaired
    Status(Args),
    /// Let every node sync with all others as soon as may be
    Now(Args),
    /// Let no node begin a sync, until `resume` or its restart
    Pause(Args),
    /// Let nodes begin syncs again
    Resume(Args),
}

/// Arguments of all of them.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    cluster: ClusterArgs,
}

pub(crate) async fn run(verb: Verb, out: Output) -> Result<Exit, Failure> {
    let (args, order) = match verb {
        Verb::Status(args) => (args, None),
        Verb::Now(args) => (args, Some(SyncOrder::Now)),
        Verb::Pause(args) => (args, Some(SyncOrder::Pause)),
        Verb::Resume(args) => (args, Some(SyncOrder::Resume)),
    };
    let cluster = args.cluster;
    let mut reports = match order {
        None => {
            let status = async |client: &Client| Ok(client.sync_status().await);
            cluster.with_client(|builder| builder, status).await?
        }
        Some(order) => {
            let ask = async |client: &Client, _: &Operator| Ok(client.order_sync(order).await);
            cluster.with_operator(ask).await?
        }
    };
    reports.sort_by(|a, b| a.member.name.cmp(&b.member.name));

    if out.is_json() {
        let shown = |report: &SyncReport| report_json(report, &reports);
        out.json(&reports.iter().map(shown).collect::<Vec<_>>())?;
    } else if order.is_none() {
        show(out, &reports)?;
    } else {
        let done = reports
            .iter()
            .filter(|report| report.status.is_ok())
            .count();
        out.note(format!(
            "{done} of {} nodes have taken the order",
            reports.len()
        ));
        name_silent(out, &reports);
    }
    let answered = reports.iter().filter(|report| report.status.is_ok());
    enough(answered.count(), reports.len())
}

fn show(out: Output, reports: &[SyncReport]) -> Result<(), Failure> {
    let rows = rows(reports);
    if rows.is_empty() {
        out.note("no node has synced with another since it started");
    } else {
        let header = HEADER.map(str::to_owned).to_vec();
        out.table(std::iter::once(header).chain(rows).collect())?;
    }
    for report in reports {
        let name = &report.member.name;
        match &report.status {
            Ok(status) => {
                let stability = stability_text(&status.stability, reports);
                out.note(format!("{name}: {stability}"));
                if status.is_paused {
                    out.note(format!("{name} is paused: `quoit sync resume`"));
                } else if let Some(peer) = status.comparing {
                    let peer = self::name(peer, reports);
                    out.note(format!("{name} syncs with {peer} now"));
                }
            }
            Err(_unknown) => {}
        }
    }
    name_silent(out, reports);
    Ok(())
}

fn name_silent(out: Output, reports: &[SyncReport]) {
    for report in reports {
        if let Err(error) = &report.status {
            let name = &report.member.name;
            out.note(format!("how {name} stands is not known: {error}"));
        }
    }
}

fn rows(reports: &[SyncReport]) -> Vec<Vec<String>> {
    let of_node = |report: &SyncReport| {
        let peers = report.status.iter().flat_map(|status| &status.peers);
        let row = |peer: &PeerSyncStatus| {
            let mut row = vec![report.member.name.clone(), name(peer.node, reports)];
            let equal = peer.equal_ago_ms.map(Duration::from_millis);
            row.push(equal.map_or_else(
                || "never".to_owned(),
                |ago| format!("{} ago", units::duration(ago)),
            ));
            row.push(end(&peer.end));
            let counts = [
                peer.differing,
                peer.pulled,
                peer.pushed,
                peer.failed + peer.damaged,
            ];
            row.extend(counts.map(units::count));
            row.push(units::bytes(peer.sent.saturating_add(peer.received)));
            row
        };
        peers.map(row).collect::<Vec<_>>()
    };
    reports.iter().flat_map(of_node).collect()
}

fn end(end: &SyncEnd) -> String {
    match end {
        SyncEnd::Equal => "equal".to_owned(),
        SyncEnd::Differ(1) => "1 key differs".to_owned(),
        SyncEnd::Differ(keys) => format!("{} keys differ", units::count(*keys)),
        SyncEnd::Failed(why) => why.clone(),
    }
}

/// The name of a member; the id of a node that has ceased to be one.
fn name(node: NodeId, reports: &[SyncReport]) -> String {
    let mut members = reports.iter().map(|report| &report.member);
    let member = members.find(|member| member.id == node);
    member.map_or_else(|| node.to_string(), |member| member.name.clone())
}

fn report_json(report: &SyncReport, reports: &[SyncReport]) -> Value {
    let (node, id) = (&report.member.name, report.member.id.to_string());
    let status = match &report.status {
        Ok(status) => status,
        Err(error) => return json!({ "name": node, "id": id, "error": error.to_string() }),
    };
    let peer = |peer: &PeerSyncStatus| {
        let (how, keys, why) = match &peer.end {
            SyncEnd::Equal => ("equal", None, None),
            SyncEnd::Differ(keys) => ("differ", Some(*keys), None),
            SyncEnd::Failed(why) => ("failed", None, Some(why)),
        };
        json!({
            "with": name(peer.node, reports), "with_id": peer.node.to_string(),
            "equal_ago_ms": peer.equal_ago_ms, "ended_ago_ms": peer.ended_ago_ms,
            "last": how, "keys_that_differ": keys, "why": why,
            "differed": peer.differing, "pulled": peer.pulled, "pushed": peer.pushed,
            "failed": peer.failed, "damaged": peer.damaged,
            "bytes_sent": peer.sent, "bytes_received": peer.received,
        })
    };
    json!({
        "name": node, "id": id, "paused": status.is_paused,
        "comparing_with": status.comparing.map(|peer| name(peer, reports)),
        "stability": {
            "lag_ms": status.stability.lag_ms, "leaves_without": status.stability.leaves_without,
            "waits_for": status.stability.waits_for.map(|peer| name(peer, reports)),
            "forgotten": status.stability.forgotten, "restored": status.stability.restored,
        },
        "peers": status.peers.iter().map(peer).collect::<Vec<Value>>(),
    })
}

/// What a node may forget, and who holds that back.
fn stability_text(stability: &StabilityStatus, reports: &[SyncReport]) -> String {
    let forgotten = units::count(stability.forgotten);
    let waits_for =
        (stability.waits_for).map(|peer| format!(", waits for {}", name(peer, reports)));
    let waits_for = waits_for.unwrap_or_default();
    match stability.lag_ms {
        Some(lag) => {
            let lag = units::duration(Duration::from_millis(lag));
            format!("deletes are kept for {lag}, {forgotten} forgotten{waits_for}")
        }
        None => format!(
            "deletes are kept until all owners have synced, {forgotten} forgotten{waits_for}"
        ),
    }
}

#[cfg(test)]
mod tests {
    use quoit_client::{NodeError, Outcome};
    use quoit_ring::Member;
    use quoit_ring::wire::SyncStatus;

    use super::*;

    fn report(id: u64, status: Result<SyncStatus, NodeError>) -> SyncReport {
        let member = Member {
            id: NodeId(id),
            name: format!("node-{id}"),
            address: format!("127.0.0.1:{id}"),
            zone: "a".into(),
            weight: 100,
            vnodes: Vec::new(),
        };
        SyncReport { member, status }
    }

    fn peer(id: u64, equal_ago_ms: Option<u64>, end: SyncEnd) -> PeerSyncStatus {
        PeerSyncStatus {
            node: NodeId(id),
            equal_ago_ms,
            ended_ago_ms: 90,
            end,
            differing: 1_204,
            pulled: 1_200,
            pushed: 3,
            failed: 1,
            damaged: 0,
            sent: 1 << 10,
            received: 3 << 10,
        }
    }

    fn reports() -> [SyncReport; 2] {
        let failed = SyncEnd::Failed("no answer came in time".into());
        let status = SyncStatus {
            is_paused: false,
            stability: StabilityStatus {
                lag_ms: Some(62_000),
                forgotten: 7,
                ..StabilityStatus::default()
            },
            comparing: Some(NodeId(2)),
            peers: vec![peer(2, Some(12_000), SyncEnd::Equal), peer(9, None, failed)],
        };
        let silent = Err(NodeError::Failed(Outcome::TimedOut));
        [report(1, Ok(status)), report(2, silent)]
    }

    #[test]
    fn every_pair_has_a_line() {
        let rows = rows(&reports());
        let first = [
            "node-1",
            "node-2",
            "12.0 s ago",
            "equal",
            "1,204",
            "1,200",
            "3",
            "1",
            "4.0 KiB",
        ];
        assert_eq!(rows[0], first);
        assert_eq!(
            rows[1][1..4],
            [
                NodeId(9).to_string().as_str(),
                "never",
                "no answer came in time"
            ]
        );
        assert_eq!(end(&SyncEnd::Differ(1)), "1 key differs");
    }

    #[test]
    fn json_has_every_node_and_why_one_did_not_say() {
        let reports = reports();
        let shown = reports.each_ref().map(|one| report_json(one, &reports));
        assert_eq!(shown[0]["comparing_with"], "node-2");
        assert_eq!(shown[0]["peers"][0]["last"], "equal");
        assert_eq!(shown[0]["peers"][1]["why"], "no answer came in time");
        assert_eq!(shown[1]["error"], "no answer in time");
    }
}
