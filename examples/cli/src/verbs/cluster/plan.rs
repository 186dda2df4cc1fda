//! `quoit cluster plan`: what a change would cost, and a file from which `commit` begins it. Changes nothing.

use std::path::PathBuf;

use quoit_client::Client;
use quoit_node::provision::Bundle;
use quoit_ring::change::Configuration;
use quoit_ring::placement::Newcomer;

use super::parse_member;
use crate::args::{ClusterArgs, Operator};
use crate::change::edits::{Edits, placeholder};
use crate::change::plan::{Plan, Seen};
use crate::change::{describe, file};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;

/// Arguments of `cluster plan`.
#[derive(Debug, clap::Args)]
#[group(id = "edits", required = true, multiple = true, args = ["adds", "leaves", "weights"])]
pub(crate) struct Args {
    /// Who joins: a bundle of `cluster add --bundle-only`; or, for a look only, `NAME=HOST:PORT[,zone=ZONE][,weight=100]`
    #[arg(long = "add", value_name = "BUNDLE")]
    adds: Vec<String>,

    /// Who leaves
    #[arg(long = "leave", value_name = "NAME")]
    leaves: Vec<String>,

    /// Who gets another weight
    #[arg(long = "weight", value_name = "NAME=WEIGHT", value_parser = parse_weight)]
    weights: Vec<(String, u32)>,

    /// The file to write, for `cluster commit`; it must not exist
    #[arg(short = 'o', long = "out", value_name = "FILE")]
    out: Option<PathBuf>,

    #[command(flatten)]
    cluster: ClusterArgs,
}

pub(crate) async fn run(args: Args, out: Output) -> Result<Exit, Failure> {
    let work = async |client: &Client, operator: &Operator| {
        let now = client.configuration().await?;
        let adds = args.adds.iter().zip(1..);
        let adds: Result<Vec<Newcomer>, Failure> = adds
            .map(|(text, number)| newcomer(text, number, &now, args.out.is_some()))
            .collect();
        let edits = Edits {
            adds: adds?,
            leaves: args.leaves.clone(),
            weights: args.weights.clone(),
        };
        let next = edits.apply(&now)?;
        let seen = Seen::of(client, operator, &next).await;
        let exit = Plan::of(&now, &next, &seen)?.show(out)?;
        if let (Some(path), Some(change)) = (&args.out, &next.change) {
            file::save(path, &now, &next, describe(&now.map, &change.target))?;
            let path = path.display();
            out.note(format!(
                "wrote {path}; begin it with: quoit cluster commit {path}"
            ));
        }
        Ok(exit)
    };
    args.cluster.with_operator(work).await
}

/// A node of a bundle, or one that is only looked at, which gets an id of no node.
fn newcomer(
    text: &str,
    number: u64,
    now: &Configuration,
    is_kept: bool,
) -> Result<Newcomer, Failure> {
    let usage = |what: String| Failure::new(Exit::Usage, what);
    let Ok(member) = parse_member(text) else {
        let bundle = Bundle::load(text.as_ref())?;
        if bundle.cluster == now.map.cluster {
            return Ok(bundle.newcomer());
        }
        return Err(usage(format!(
            "{text} is for another cluster, {}",
            bundle.cluster
        )));
    };
    if is_kept {
        let what = format!(
            "{} has no identity yet, so its plan could not be begun",
            member.name
        );
        let hint = "make its bundle first (`quoit cluster add --bundle-only`), and name that";
        return Err(usage(what).hint(hint));
    }
    Ok(Newcomer {
        id: placeholder(number),
        name: member.name,
        address: member.address,
        zone: member.zone,
        weight: member.weight,
    })
}

fn parse_weight(text: &str) -> Result<(String, u32), String> {
    let parsed = text.split_once('=').and_then(|(name, weight)| {
        let weight = weight.parse().ok().filter(|it| (1..=10_000).contains(it))?;
        Some((name.to_owned(), weight))
    });
    parsed.ok_or_else(|| format!("`{text}` is no weight: write NAME=WEIGHT, of 1 to 10,000"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_is_read_and_none_is_nothing() {
        assert_eq!(parse_weight("n1=200"), Ok(("n1".into(), 200)));
        for text in ["n1", "n1=", "n1=0", "n1=10001", "n1=x"] {
            assert!(parse_weight(text).unwrap_err().contains("NAME=WEIGHT"));
        }
    }
}
