//! `quoit cluster revert`: turns the change under way round. What has moved moves back.

use quoit_client::Client;
use quoit_ring::change::{Configuration, Known};

use crate::args::{ClusterArgs, Operator};
use crate::change::retry::{Attempt, until_decided};
use crate::change::{WaitArgs, follow};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;

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
    let now = client.configuration().await?;
    if !accepts_loss {
        refuse_loss(&now)?;
    }
    let propose = async |after: &Configuration, next| client.propose(after, next).await;
    until_decided(now, turn_round(), propose).await
}

/// Turns a change round once, whoever does it.
fn turn_round() -> impl FnMut(&Configuration) -> Result<Attempt, Failure> {
    let mut began = None;
    move |now| {
        let turned = now.change.as_ref().map(|change| change.hand.is_turned());
        // Somebody else has turned it: once more would be back again.
        if turned.is_some() && began.is_some() && turned != began {
            return Ok(Attempt::Done);
        }
        began = began.or(turned);
        let next = now.revert().ok_or_else(|| {
            Failure::new(Exit::Usage, "no change is under way: there is nothing to turn round")
                .hint("to undo one that has ended, begin another: `quoit cluster history` shows what there is")
        })?;
        Ok(Attempt::Propose(Box::new(next)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::retry::tests::Quick;

    #[test]
    fn a_change_that_somebody_else_has_turned_round_is_left_so() {
        let mut quick = Quick::new(0);
        let mut attempt = turn_round();
        assert!(matches!(attempt(&quick.now), Ok(Attempt::Propose(_))));
        quick.now = quick.now.step().unwrap().revert().unwrap();
        assert!(matches!(attempt(&quick.now), Ok(Attempt::Done)));
    }

    #[test]
    fn a_change_that_has_ended_is_not_turned_round() {
        let mut quick = Quick::new(16);
        let failure = quick.run(turn_round()).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert_eq!(quick.now.change, None);
    }
}
