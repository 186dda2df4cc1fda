//! A node is killed under load, and comes back.
//!
//! ```text
//! traffic --- 2 s ---> kill -9 --- 4 s ---> stop      restart ---> every acknowledged write is there
//! ```
//!
//! Failures and gaps are shown and judged by nobody: a cluster may say no. What it may not do is forget
//! what it has acknowledged, or give a wrong value.

use std::time::{Duration, Instant};

use quoit_client::Client;
use quoit_local::ProcessCluster;

use super::story::Story;
use super::traffic::{Report, Traffic};
use super::{NODES, describe, wait_for};
use crate::failure::Failure;
use crate::units::{count, duration, plural};

/// The node that is killed: any would do.
const VICTIM: usize = 2;
/// How long there is traffic before the kill.
const BEFORE: Duration = Duration::from_secs(2);
/// How long there is traffic after the kill.
const AFTER: Duration = Duration::from_secs(4);

pub(super) async fn lose_a_node(
    story: &mut Story,
    client: &Client,
    nodes: &mut ProcessCluster,
) -> Result<Report, Failure> {
    let traffic = Traffic::start(client);
    tokio::time::sleep(BEFORE).await;
    story.line(&format!("before the kill: {}", traffic.next_phase()))?;
    story.line(&format!("kill -9: {}", describe(nodes, VICTIM)))?;
    nodes.kill(VICTIM)?;
    tokio::time::sleep(AFTER).await;
    let report = traffic.stop().await;
    let after = &report.last;
    story.line(&format!("after the kill:  {after}"))?;
    let result = format!(
        "{} done, {} failed",
        count(after.done()),
        count(after.failed())
    );
    let fine = after.done() > 0 && report.wrong == 0;
    story.found("reads and writes while it was dead", result, fine);
    story.found("slowest of them", duration(after.slowest()), true);
    story.found("longest time without a success", duration(after.gap), true);
    Ok(report)
}

pub(super) async fn bring_it_back(
    story: &Story,
    client: &Client,
    nodes: &mut ProcessCluster,
) -> Result<(), Failure> {
    let started = Instant::now();
    nodes.start_node(VICTIM)?;
    wait_for(client, nodes, NODES).await?;
    let back = duration(started.elapsed());
    story.line(&format!(
        "{} answers again after {back}.",
        describe(nodes, VICTIM)
    ))
}

/// Every write that was acknowledged around the kill must be there.
pub(super) async fn read_traffic(
    story: &mut Story,
    client: &Client,
    report: Report,
) -> Result<(), Failure> {
    let (acked, lost) = report.find_lost(client).await?;
    let all = plural(acked, "write", "writes");
    story.line(&format!(
        "{all} acknowledged around the kill: {} lost.",
        count(lost)
    ))?;
    story.found(
        "acknowledged around the kill, then lost",
        format!("{} of {all}", count(lost)),
        lost == 0,
    );
    Ok(())
}
