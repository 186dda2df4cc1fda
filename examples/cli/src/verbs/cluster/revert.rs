//! `quoit cluster revert`: turns the change under way round. What has moved moves back.

use quoit_client::{Client, Proposed};
use quoit_ring::change::Configuration;

use crate::args::{ClusterArgs, Operator};
use crate::change::{WaitArgs, follow};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;

/// How often it is tried again after the nodes were quicker with a step of their own.
const TRIES: u32 = 20;

/// Arguments of `cluster revert`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    wait: WaitArgs,

    #[command(flatten)]
    cluster: ClusterArgs,
}

pub(crate) async fn run(args: Args, out: Output) -> Result<Exit, Failure> {
    let work = async |client: &Client, _operator: &Operator| {
        let begun = revert(client).await?;
        follow(client, &begun, args.wait, out).await
    };
    args.cluster.with_operator(work).await
}

async fn revert(client: &Client) -> Result<Configuration, Failure> {
    let mut now = client.configuration().await?;
    let mut wanted = now.change.as_ref().map(|change| change.hand.is_turned());
    for _ in 0..TRIES {
        let next = now.revert().ok_or_else(|| {
            Failure::new(Exit::Usage, "no change is under way: there is nothing to turn round")
                .hint("to undo one that has ended, begin another: `quoit cluster history` shows what there is")
        })?;
        now = match client.propose(&now, next).await? {
            Proposed::Decided(decided) => return Ok(*decided),
            Proposed::Another(newer) | Proposed::Overtaken(newer) => *newer,
        };
        // Somebody else has turned it: once more would be back again.
        let turned = now.change.as_ref().map(|change| change.hand.is_turned());
        if turned.is_some() && turned != wanted.or(turned) {
            return Ok(now);
        }
        wanted = wanted.or(turned);
    }
    let what = "the nodes were always quicker with the next step";
    Err(Failure::new(Exit::Unavailable, what).hint("try again"))
}
