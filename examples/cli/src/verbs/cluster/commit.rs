//! `quoit cluster commit`: begins the change of a plan, if the cluster is still in the epoch that it was made for.

use std::path::PathBuf;

use quoit_client::Client;

use crate::args::{ClusterArgs, Operator};
use crate::change::{WaitArgs, carry_out, file};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;

/// Arguments of `cluster commit`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The plan, from `cluster plan -o FILE`
    file: PathBuf,

    #[command(flatten)]
    wait: WaitArgs,

    #[command(flatten)]
    cluster: ClusterArgs,
}

pub(crate) async fn run(args: Args, out: Output) -> Result<Exit, Failure> {
    let work = async |client: &Client, operator: &Operator| {
        let now = client.configuration().await?;
        let next = file::load(&args.file, &now)?;
        carry_out((client, operator), (&now, next), args.wait, out).await
    };
    args.cluster.with_operator(work).await
}
