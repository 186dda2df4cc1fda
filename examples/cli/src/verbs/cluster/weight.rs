//! `quoit cluster weight`: how much a node holds, relative to others. It gets places beside its own, or gives some up.

use quoit_client::Client;

use crate::args::{ClusterArgs, Operator};
use crate::change::edits::Edits;
use crate::change::{WaitArgs, carry_out};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;

/// Arguments of `cluster weight`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The member
    name: String,

    /// Its share relative to others, 1 to 10,000; 100 is ordinary. A node of weight 0 would hold nothing: let it leave
    #[arg(value_parser = clap::value_parser!(u32).range(1..=10_000))]
    weight: u32,

    #[command(flatten)]
    wait: WaitArgs,

    #[command(flatten)]
    cluster: ClusterArgs,
}

pub(crate) async fn run(args: Args, out: Output) -> Result<Exit, Failure> {
    let edits = Edits {
        weights: vec![(args.name, args.weight)],
        ..Edits::default()
    };
    let work = async |client: &Client, operator: &Operator| {
        let now = client.configuration().await?;
        let next = edits.apply(&now)?;
        carry_out((client, operator), (&now, next), args.wait, out).await
    };
    args.cluster.with_operator(work).await
}
