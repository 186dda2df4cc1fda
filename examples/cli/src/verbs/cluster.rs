//! `quoit cluster`: the first map of a cluster of real machines, and every change of its ring since.
//!
//! ```text
//! cluster init --certs DIR --member n1=10.0.0.1:7440,zone=a ... --out cluster.map
//! cluster show cluster.map
//!
//! cluster add n4 --address ..  --out n4.quoit      leave n2      replace n2 n5 ..      weight n3 200
//! cluster plan --add .. -o FILE, commit FILE       revert        history
//! cluster profile -o FILE
//! cluster write-off n2 ..                          recover --config node.toml --lost n2 ..
//! ```
//!
//! The first map goes to every node, which takes it once, when it is initialised. It holds a key that clients must not
//! have. What follows is decided by the cluster itself: [`change`](crate::change).

mod add;
mod commit;
mod history;
mod issue;
mod leave;
mod plan;
mod profile;
mod recover;
mod replace;
mod revert;
mod weight;
mod write_off;

use std::path::PathBuf;

use quoit_node::provision::{MapError, NewMember, first_map, read_map, write_map};
use quoit_ring::cluster::DEFAULT_WEIGHT;
use quoit_ring::placement::{Ring, replica_loads};
use quoit_ring::{ClusterMap, LeafBits};
use serde_json::json;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::units::plural;
use crate::wait;

/// The zone of a member that names none.
const DEFAULT_ZONE: &str = "default";

/// What to do with a cluster's map.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// Make the first map of a cluster
    Init(InitArgs),
    /// Show a map and how evenly it shares the keys out
    Show(ShowArgs),
    /// Add a node: make its bundle, wait for it, let it join the ring
    Add(add::Args),
    /// Let a node leave the ring, for ever
    Leave(leave::Args),
    /// Let a new node take the place of one that is dead
    Replace(replace::Args),
    /// Change how much a node holds
    Weight(weight::Args),
    /// Show what a change would cost, and keep it in a file
    Plan(plan::Args),
    /// Begin the change of a plan
    Commit(commit::Args),
    /// Turn the change under way round
    Revert(revert::Args),
    /// Show what the cluster agrees on, and the change under way
    History(history::Args),
    /// Make a client's profile with the members of today as seeds
    Profile(profile::Args),
    /// Say that the disks of nodes are lost for ever, so that a change does not wait for them
    WriteOff(write_off::Args),
    /// Go on after a majority of the voters is lost: on the machine of a node that is stopped
    Recover(recover::Args),
}

/// Arguments of `cluster init`.
#[derive(Debug, clap::Args)]
pub(crate) struct InitArgs {
    /// The folder of the certificates, from `quoit certs init`
    #[arg(long, value_name = "DIR")]
    certs: PathBuf,

    /// A member, once for each: `NAME=HOST:PORT[,zone=ZONE][,weight=100]`
    #[arg(long = "member", value_name = "MEMBER", required = true, value_parser = parse_member)]
    members: Vec<NewMember>,

    /// N, the copies of each key, 1 to 16; fixed for the cluster's life
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=16))]
    replication: u8,

    /// The file to write; it must not exist
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Arguments of `cluster show`.
#[derive(Debug, clap::Args)]
pub(crate) struct ShowArgs {
    /// The map
    file: PathBuf,
}

pub(crate) fn run(verb: Verb, out: Output) -> Result<Exit, Failure> {
    match verb {
        Verb::Init(args) => init(&args, out),
        Verb::Show(args) => show(&read_map(&args.file)?.map, out),
        Verb::Add(args) => wait(add::run(args, out)),
        Verb::Leave(args) => wait(leave::run(args, out)),
        Verb::Replace(args) => wait(replace::run(args, out)),
        Verb::Weight(args) => wait(weight::run(args, out)),
        Verb::Plan(args) => wait(plan::run(args, out)),
        Verb::Commit(args) => wait(commit::run(args, out)),
        Verb::Revert(args) => wait(revert::run(args, out)),
        Verb::History(args) => wait(history::run(args, out)),
        Verb::Profile(args) => wait(profile::run(args, out)),
        Verb::WriteOff(args) => wait(write_off::run(args, out)),
        Verb::Recover(args) => recover::run(args, out),
    }
}

impl From<MapError> for Failure {
    fn from(error: MapError) -> Self {
        let usage = matches!(
            error,
            MapError::NoMembers
                | MapError::Address { .. }
                | MapError::SharedAddress { .. }
                | MapError::Members(_)
        );
        let failure = Self::caused(&error);
        if usage {
            Self {
                exit: Exit::Usage,
                ..failure
            }
        } else {
            failure
        }
    }
}

fn init(args: &InitArgs, out: Output) -> Result<Exit, Failure> {
    let first = first_map(&args.certs, &args.members, args.replication, LeafBits::FULL)?;
    write_map(&args.out, &first)?;
    out.note(format!(
        "wrote {}: copy it to every node, and to no client",
        args.out.display()
    ));
    out.note("then, on each node, once: quoit node init --config node.toml");
    show(&first.map, out)
}

fn show(map: &ClusterMap, out: Output) -> Result<Exit, Failure> {
    let ring = Ring::new(map).map_err(|error| Failure::caused(&error))?;
    let mut members: Vec<_> = map.members.iter().zip(replica_loads(&ring)).collect();
    members.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
    if out.is_json() {
        let members = members.iter().map(|(member, (_, load))| {
            json!({
                "name": member.name, "id": member.id.to_string(), "address": member.address,
                "zone": member.zone, "weight": member.weight, "vnodes": member.vnodes.len(), "share": load,
            })
        });
        out.json(&json!({
            "cluster": map.cluster.to_string(), "epoch": map.epoch.0, "replication": map.replication,
            "members": members.collect::<Vec<_>>(),
        }))?;
        return Ok(Exit::Ok);
    }
    let copies = plural(map.replication.into(), "copy", "copies");
    out.line(format!(
        "cluster {}, epoch {}, {copies} of each key",
        map.cluster, map.epoch.0
    ))?;
    let header = [
        "NAME",
        "ID",
        "ADDRESS",
        "ZONE",
        "WEIGHT",
        "VNODES",
        "OF ALL KEYS",
    ];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    for (member, (_, load)) in members {
        let share = format!("{:.1} %", load * 100.0);
        let (name, address, zone) = (
            member.name.clone(),
            member.address.clone(),
            member.zone.clone(),
        );
        let (weight, vnodes) = (member.weight.to_string(), member.vnodes.len().to_string());
        rows.push(vec![
            name,
            member.id.to_string(),
            address,
            zone,
            weight,
            vnodes,
            share,
        ]);
    }
    out.table(rows)?;
    Ok(Exit::Ok)
}

/// Reads `NAME=HOST:PORT[,zone=ZONE][,weight=WEIGHT]`. Whether the address can be dialled is checked
/// with all members together.
fn parse_member(text: &str) -> Result<NewMember, String> {
    let malformed = || {
        format!("`{text}` is no member: write NAME=HOST:PORT[,zone=ZONE][,weight={DEFAULT_WEIGHT}]")
    };
    let mut parts = text.split(',');
    let (name, address) = parts
        .next()
        .and_then(|first| first.split_once('='))
        .ok_or_else(malformed)?;
    if name.is_empty() || address.is_empty() {
        return Err(malformed());
    }
    let mut member = NewMember::new(name, address, DEFAULT_ZONE);
    for part in parts {
        match part.split_once('=') {
            Some(("zone", zone)) if !zone.is_empty() => zone.clone_into(&mut member.zone),
            Some(("weight", weight)) => {
                member.weight = weight.parse().map_err(|_no_number| malformed())?;
            }
            _ => return Err(malformed()),
        }
    }
    Ok(member)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_read_with_its_zone_and_weight() {
        let plain = parse_member("n1=10.0.0.1:7440").unwrap();
        assert_eq!(plain, NewMember::new("n1", "10.0.0.1:7440", "default"));
        let full = parse_member("n2=[::1]:7440,weight=200,zone=b").unwrap();
        assert_eq!(
            full,
            NewMember {
                weight: 200,
                ..NewMember::new("n2", "[::1]:7440", "b")
            }
        );
    }

    #[test]
    fn what_is_no_member_is_refused_and_told_how_to_write_one() {
        let table = [
            "",
            "n1",
            "=h:1",
            "n1=",
            "n1=h:1,",
            "n1=h:1,zone",
            "n1=h:1,zone=",
            "n1=h:1,weight=x",
            "n1=h:1,rack=a",
        ];
        for text in table {
            let error = parse_member(text).unwrap_err();
            assert!(error.contains("NAME=HOST:PORT"), "{text}: {error}");
        }
    }

    #[test]
    fn members_that_make_no_map_are_a_usage_error() {
        let failure = Failure::from(MapError::NoMembers);
        assert_eq!(failure.exit, Exit::Usage);
    }
}
