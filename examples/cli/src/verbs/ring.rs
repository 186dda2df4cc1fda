//! `quoit ring`: who holds how much of the circle, and which arc of it moves.
//!
//! ```text
//!   hand  ====>...........   = by the new map, > by both, . by the map before
//! ```
//!
//! Shares are counted leaf by leaf, as even hashing would fill them; what nodes really hold is in `quoit status`.

mod svg;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use quoit_client::Client;
use quoit_ring::change::{Configuration, Side, Topology};
use quoit_ring::placement::{Ring, fair_shares, replica_loads};
use quoit_ring::{Leaf, Member, NodeId};
use serde_json::{Value, json};

use crate::args::ClusterArgs;
use crate::change::{describe_change, watch};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::units::{percent, plural};

const HEADER: [&str; 7] = [
    "NAME",
    "ZONE",
    "ADDRESS",
    "WEIGHT",
    "VNODES",
    "OF ALL KEYS",
    "FAIR",
];

/// Arguments of `ring`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Also draw the ring as an SVG picture; FILE is replaced if it exists
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,

    #[command(flatten)]
    cluster: ClusterArgs,
}

pub(crate) async fn run(args: Args, out: Output) -> Result<Exit, Failure> {
    let ask = async |client: &Client| client.configuration().await.map_err(Failure::from);
    let now = args.cluster.with_client(|builder| builder, ask).await?;
    let topology = Topology::new(&now, None).map_err(|error| Failure::caused(&error))?;

    if out.is_json() {
        out.json(&json(&now, &topology))?;
    } else {
        let header = HEADER.map(str::to_owned).to_vec();
        let table = rows(&topology).into_iter().map(|row| row.cells());
        out.table(std::iter::once(header).chain(table).collect())?;
        for line in lines(&now, &topology) {
            out.line(line)?;
        }
    }

    if let Some(path) = &args.svg {
        fs::write(path, svg::picture(&now, &topology)).map_err(|error| {
            let what = format!("cannot write the picture {}: {error}", path.display());
            Failure::new(Exit::Error, what)
        })?;
        out.note(format!("wrote {}", path.display()));
    }
    Ok(Exit::Ok)
}

/// A member by one map, or by the one before a change and the one after it.
struct Row<'a> {
    member: &'a Member,
    held: [Option<Held>; 2],
}

/// What a member holds by one map: its weight, the number of its vnodes, and parts of all keys, 0 to 1.
#[derive(Clone, Copy)]
struct Held {
    weight: u32,
    share: f64,
    fair: f64,
    vnodes: usize,
}

impl Row<'_> {
    fn cells(&self) -> Vec<String> {
        let Self { member, held } = self;
        let [name, zone, address] =
            [&member.name, &member.zone, &member.address].map(String::clone);
        vec![
            name,
            zone,
            address,
            before_and_after(held.map(|it| it.map(|it| it.weight.to_string()))),
            before_and_after(held.map(|it| it.map(|it| it.vnodes.to_string()))),
            before_and_after(held.map(|it| it.map(|it| percent(it.share)))),
            before_and_after(held.map(|it| it.map(|it| percent(it.fair)))),
        ]
    }

    fn json(&self) -> Value {
        let member = self.member;
        let held = |it: Option<Held>| {
            it.map(|it| {
                json!({
                    "weight": it.weight, "vnodes": it.vnodes, "share": it.share, "fair": it.fair,
                })
            })
        };
        json!({
            "name": member.name, "id": member.id.to_string(), "zone": member.zone,
            "address": member.address,
            "before": held(self.held[0]), "after": held(self.held[1]),
        })
    }
}

/// `now`, or `before -> after` where that differs; a dash is for not being a member.
fn before_and_after(texts: [Option<String>; 2]) -> String {
    let [before, after] = texts.map(|text| text.unwrap_or_else(|| "-".to_owned()));
    if before == after {
        before
    } else {
        format!("{before} -> {after}")
    }
}

fn rows<'a>(topology: &'a Topology) -> Vec<Row<'a>> {
    let before = topology.source();
    // Without a change both are the same, and nothing is shown twice.
    let after = topology.change().map_or(before, |(target, _)| target);
    let held = [before, after].map(|ring| held(ring));
    let row = |member: &'a Member| Row {
        member,
        held: held.each_ref().map(|held| held.get(&member.id).copied()),
    };
    let mut rows: Vec<_> = topology.members().map(row).collect();
    rows.sort_by(|a, b| a.member.name.cmp(&b.member.name));
    rows
}

/// What each member of a ring holds; its loads and shares are in the order of its members.
fn held(ring: &Ring) -> BTreeMap<NodeId, Held> {
    let parts = replica_loads(ring).into_iter().zip(fair_shares(ring.map()));
    let members = ring.members().iter().zip(parts);
    let held = members.map(|(member, ((node, share), (_, fair)))| {
        let held = Held {
            weight: member.weight,
            share,
            fair,
            vnodes: member.vnodes.len(),
        };
        (node, held)
    });
    held.collect()
}

fn lines(now: &Configuration, topology: &Topology) -> Vec<String> {
    let copies = plural(now.map.replication.into(), "copy", "copies");
    let mut lines = vec![format!("epoch {}, {copies} of each key", now.epoch.0)];
    if let (Some(change), Some(hand)) = (describe_change(now), hand(topology)) {
        lines.push(format!("change  {change}"));
        lines.push(format!(
            "hand    {hand}  (= by the new map, > by both, . by the map before)"
        ));
    }
    lines
}

/// One sign for each arc of the circle while the ring changes.
fn hand(topology: &Topology) -> Option<String> {
    let (_, hand) = topology.change()?;
    let bits = topology.leaf_bits();
    let sign = |arc| {
        let first = hand.arcs().leaves(arc, bits).start;
        match hand.side(Leaf(first), bits) {
            Side::Source => '.',
            Side::Both => '>',
            Side::Target => '=',
        }
    };
    Some((0..hand.arcs().count()).map(sign).collect())
}

fn json(now: &Configuration, topology: &Topology) -> Value {
    let mut object = watch::state(now);
    object["replication"] = now.map.replication.into();
    object["hand"] = hand(topology).into();
    object["nodes"] = rows(topology).iter().map(Row::json).collect();
    object
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::edits::Edits;
    use crate::change::edits::tests::{first, newcomer};

    fn growing() -> Configuration {
        let edits = Edits {
            adds: vec![newcomer(5)],
            ..Edits::default()
        };
        edits.apply(&first(4)).unwrap()
    }

    #[test]
    fn a_ring_at_rest_shows_each_member_once_and_no_hand() {
        let now = first(4);
        let topology = Topology::new(&now, None).unwrap();
        let rows = rows(&topology);
        let share: f64 = rows
            .iter()
            .filter_map(|row| row.held[0])
            .map(|it| it.share)
            .sum();
        assert!((share - 3.0).abs() < 1e-9, "three copies: {share}");
        assert_eq!(rows[0].cells()[6], "75.0 %");
        assert_eq!(lines(&now, &topology), ["epoch 1, 3 copies of each key"]);
        assert_eq!(json(&now, &topology)["hand"], Value::Null);
    }

    #[test]
    fn the_hand_shows_what_has_moved_and_what_a_revert_gives_back() {
        let begun = growing();
        let hand_of = |now: &Configuration| hand(&Topology::new(now, None).unwrap()).unwrap();
        assert_eq!(hand_of(&begun), ">...............");
        let later = begun.step().unwrap().step().unwrap();
        assert_eq!(hand_of(&later), "==>.............");
        let back = later.revert().unwrap();
        // The arc that moved is by both lists, so going back from it costs no step.
        assert_eq!(hand_of(&back), ".>==============");
    }

    #[test]
    fn a_member_of_another_weight_shows_both() {
        let edits = Edits {
            weights: vec![("n2".into(), 200)],
            ..Edits::default()
        };
        let now = edits.apply(&first(4)).unwrap();
        let topology = Topology::new(&now, None).unwrap();
        let weighs = &rows(&topology)[1];
        assert_eq!(weighs.cells()[3], "100 -> 200");
        assert_eq!(weighs.json()["after"]["weight"], 200);
    }

    #[test]
    fn a_member_that_joins_shows_what_it_will_hold() {
        let now = growing();
        let topology = Topology::new(&now, None).unwrap();
        let joins = &rows(&topology)[4];
        assert!(joins.cells()[5].starts_with("- -> "), "{:?}", joins.cells());
        assert_eq!(joins.json()["before"], Value::Null);
        assert!(joins.json()["after"]["share"].as_f64().unwrap() > 0.5);
    }
}
