//! `quoit cluster revert`: turns the change under way round. What has moved moves back.

use quoit_client::{Client, Proposed};
use quoit_ring::change::{Configuration, Known};

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
    /// Turn it round although members were written off that had most copies of what moves just now
    #[arg(long)]
    accept_loss: bool,

    #[command(flatten)]
    wait: WaitArgs,

    #[command(flatten)]
    cluster: ClusterArgs,
}

pub(crate) async fn run(args: Args, out: Output) -> Result<Exit, Failure> {
    let work = async |client: &Client, _operator: &Operator| {
        let begun = revert(client, args.accept_loss).await?;
        follow(client, &begun, args.wait, out).await
    };
    args.cluster.with_operator(work).await
}

/// The arc that moves goes by the old owners again at once. If most of those were written off, what the others have may be with
/// the new ones only.
fn refuse_loss(now: &Configuration) -> Result<(), Failure> {
    let known = Known::new(now.clone()).map_err(|error| Failure::caused(&error))?;
    if known
        .moving()
        .iter()
        .any(|range| range.change().has_lost_most())
    {
        let what = "the arc that moves has lost most of its old owners: turned round, it may lose what the new ones have";
        let hint = "let it go on, or accept that with --accept-loss";
        return Err(Failure::new(Exit::Conflict, what).hint(hint));
    }
    Ok(())
}

async fn revert(client: &Client, accepts_loss: bool) -> Result<Configuration, Failure> {
    let mut now = client.configuration().await?;
    if !accepts_loss {
        refuse_loss(&now)?;
    }
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
