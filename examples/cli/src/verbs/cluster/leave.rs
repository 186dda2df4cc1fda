//! `quoit cluster leave`: nodes leave the ring, for ever: their ids are let in nowhere any more.

use quoit_client::Client;

use crate::args::{ClusterArgs, Operator};
use crate::change::edits::Edits;
use crate::change::{WaitArgs, carry_out};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;

/// Arguments of `cluster leave`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Who leaves, all in one change
    #[arg(required = true)]
    names: Vec<String>,

    #[command(flatten)]
    wait: WaitArgs,

    #[command(flatten)]
    cluster: ClusterArgs,
}

pub(crate) async fn run(args: Args, out: Output) -> Result<Exit, Failure> {
    let edits = Edits {
        leaves: args.names,
        ..Edits::default()
    };
    let work = async |client: &Client, operator: &Operator| {
        let now = client.configuration().await?;
        let next = edits.apply(&now)?;
        carry_out((client, operator), (&now, next), args.wait, out).await
    };
    args.cluster.with_operator(work).await
}
