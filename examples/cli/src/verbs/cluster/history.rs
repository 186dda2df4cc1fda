//! `quoit cluster history`: what the cluster agrees on, the change under way, and who was removed.
//!
//! Nodes keep the newest epoch only, so what earlier ones were is not here; how many there were and who is gone is.

use quoit_client::Client;
use quoit_ring::change::Configuration;
use quoit_ring::{Member, NodeId};
use serde_json::{Value, json};

use crate::args::{ClusterArgs, Operator};
use crate::change::{WaitArgs, describe_change, follow, watch};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::units;

/// Arguments of `cluster history`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Watch the change under way to its end
    #[arg(long)]
    watch: bool,

    #[command(flatten)]
    cluster: ClusterArgs,
}

pub(crate) async fn run(args: Args, out: Output) -> Result<Exit, Failure> {
    let work = async |client: &Client, _operator: &Operator| {
        let now = client.configuration().await?;
        show(&now, out)?;
        if args.watch && now.change.is_some() {
            return follow(client, &now, WaitArgs { no_wait: false }, out).await;
        }
        Ok(Exit::Ok)
    };
    args.cluster.with_operator(work).await
}

fn show(now: &Configuration, out: Output) -> Result<(), Failure> {
    if out.is_json() {
        return out.json(&state(now));
    }
    for line in lines(now) {
        out.line(line)?;
    }
    out.note("nodes keep the newest epoch only: what earlier ones were is not kept");
    Ok(())
}

fn lines(now: &Configuration) -> Vec<String> {
    let copies = units::plural(now.map.replication.into(), "copy", "copies");
    let list = |nodes: &[NodeId]| {
        let names: Vec<String> = nodes.iter().map(|&node| name(now, node)).collect();
        if names.is_empty() {
            "nobody".to_owned()
        } else {
            names.join(", ")
        }
    };
    let members: Vec<&str> = now.map.members.iter().map(|it| it.name.as_str()).collect();
    let mut lines = vec![
        format!(
            "cluster {}, epoch {}, {copies} of each key",
            now.map.cluster, now.epoch.0
        ),
        format!(
            "members  {}, since epoch {}",
            members.join(", "),
            now.map.epoch.0
        ),
        format!("voters   {}", list(&now.voters)),
        format!("removed  {}", list(&removed(now))),
        format!(
            "change   {}",
            describe_change(now).unwrap_or_else(|| "none".to_owned())
        ),
    ];
    let lost = lost(now);
    if !lost.is_empty() {
        lines.insert(3, format!("lost     {}", list(&lost)));
    }
    lines
}

fn state(now: &Configuration) -> Value {
    let member = |it: &Member| {
        json!({
            "name": it.name, "id": it.id.to_string(), "address": it.address, "zone": it.zone,
            "weight": it.weight,
        })
    };
    let ids = |nodes: &[NodeId]| nodes.iter().map(ToString::to_string).collect::<Vec<_>>();
    json!({
        "cluster": now.map.cluster.to_string(), "epoch": now.epoch.0,
        "replication": now.map.replication, "since": now.map.epoch.0,
        "members": now.map.members.iter().map(member).collect::<Vec<_>>(),
        "voters": ids(&now.voters), "lost": ids(&lost(now)), "removed": ids(&removed(now)),
        "change": watch::state(now)["change"],
    })
}

/// The members that are written off.
fn lost(now: &Configuration) -> Vec<NodeId> {
    let removed = now.removed.iter().copied();
    removed.filter(|&id| now.is_written_off(id)).collect()
}

/// Who is no member any more.
fn removed(now: &Configuration) -> Vec<NodeId> {
    let removed = now.removed.iter().copied();
    removed.filter(|&id| !now.is_written_off(id)).collect()
}

fn name(now: &Configuration, node: NodeId) -> String {
    let found = now.map.members.iter().find(|it| it.id == node);
    found.map_or_else(|| node.to_string(), |it| it.name.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::edits::Edits;
    use crate::change::edits::tests::first;

    #[test]
    fn who_is_a_member_who_votes_and_who_was_removed_is_shown() {
        let edits = Edits {
            leaves: vec!["n4".into()],
            ..Edits::default()
        };
        let begun = edits.apply(&first(4)).unwrap();
        assert_eq!(lines(&begun)[4], "change   -n4: arc 1 of 16");
        let mut now = begun;
        while let Some(next) = now.step() {
            now = next;
        }
        let lines = lines(&now);
        assert_eq!(lines[1], "members  n1, n2, n3, since epoch 2");
        assert_eq!(lines[3], format!("removed  {}", NodeId(4)));
        assert_eq!(state(&now)["removed"][0], NodeId(4).to_string());
    }
}
