//! `quoit cluster write-off`: says that the disks of members are lost for ever, so that nothing waits for their copies any
//! more. The next change must leave them out.

use std::time::Duration;

use quoit_client::{Client, MembersReport, NodeReport};
use quoit_ring::NodeId;
use quoit_ring::change::{Configuration, Known, Loss};
use serde_json::json;

use crate::args::{ClusterArgs, Operator};
use crate::change::edits::member;
use crate::change::retry::{Attempt, until_decided};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;

/// Who was heard by a member so recently is not lost: many times what a pause of a process or of the network lasts.
const HEARD_RECENTLY_MS: u64 = 5_000;

/// Arguments of `cluster write-off`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The members whose disks are lost
    #[arg(required = true)]
    names: Vec<String>,

    /// Accept that what only they had is lost
    #[arg(long)]
    accept_loss: bool,

    #[command(flatten)]
    cluster: ClusterArgs,
}

pub(crate) async fn run(args: Args, out: Output) -> Result<Exit, Failure> {
    let work = async |client: &Client, _operator: &Operator| {
        let now = client.configuration().await?;
        let lost = lost(&now, &args.names)?;
        refuse_alive(client, &lost).await?;
        let mut loss = None;
        let attempt = |now: &Configuration| {
            let (attempt, found) = write_off(now, &lost, args.accept_loss)?;
            if loss.is_none() || matches!(attempt, Attempt::Propose(_)) {
                loss = Some(found);
            }
            Ok(attempt)
        };
        let propose = async |after: &Configuration, next| client.propose(after, next).await;
        let decided = until_decided(now, attempt, propose).await?;
        let loss = loss.unwrap_or_default();
        show(&decided, (&args.names, loss), out);
        Ok(Exit::Ok)
    };
    args.cluster.with_operator(work).await
}

fn lost(now: &Configuration, names: &[String]) -> Result<Vec<NodeId>, Failure> {
    let target = now.change.as_ref().map(|change| &change.target);
    let joining = |name: &String| target?.members.iter().find(|it| it.name == *name);
    let ids = names.iter().map(|name| match joining(name) {
        Some(found) => Ok(found.id),
        None => Ok(member(&now.map, name)?.id),
    });
    ids.collect()
}

/// What writes those off that are not yet, and what is lost with them all. Looked at in each epoch anew: while a change
/// goes on, the ranges that lose their copies are others.
fn write_off(
    now: &Configuration,
    lost: &[NodeId],
    accepts_loss: bool,
) -> Result<(Attempt, Loss), Failure> {
    // Whoever a change has left out since is on the same list.
    let is_left = |node: &&NodeId| now.removed.binary_search(node).is_err();
    let left: Vec<NodeId> = lost.iter().filter(is_left).copied().collect();
    let known = Known::new(now.clone()).map_err(|error| Failure::caused(&error))?;
    let loss = known.loss(&left);
    if left.is_empty() {
        return Ok((Attempt::Done, loss));
    }
    let next = now
        .without_copies_of(&left)
        .map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
    if loss.no_majority > 0.0 && !accepts_loss {
        return Err(refused(loss));
    }
    Ok((Attempt::Propose(Box::new(next)), loss))
}

/// A node that answers has its disk, here or to another member.
async fn refuse_alive(client: &Client, lost: &[NodeId]) -> Result<(), Failure> {
    let reports = client.status().await;
    let mut alive = reports.iter().filter(|report| report.status.is_ok());
    let what = match alive.find(|report| lost.contains(&report.member.id)) {
        Some(found) => format!("{} is not lost: it answers", found.member.name),
        None => match heard(&client.members().await, &reports, lost) {
            Some(what) => what,
            None => return Ok(()),
        },
    };
    let hint = "let it leave (`quoit cluster leave`), or stop it for ever first";
    Err(Failure::new(Exit::Usage, what).hint(hint))
}

/// The lost member that another one has heard a short time ago, in a sentence.
fn heard(seen: &[MembersReport], reports: &[NodeReport], lost: &[NodeId]) -> Option<String> {
    seen.iter().find_map(|report| {
        let mut members = report.seen.iter().flat_map(|seen| &seen.members);
        let found = members.find(|it| {
            lost.contains(&it.node) && it.was_heard && it.silence_ms < HEARD_RECENTLY_MS
        })?;
        let name = reports.iter().find(|it| it.member.id == found.node)?;
        Some(format!(
            "{} is not lost: {} heard it {:.1} s ago",
            name.member.name,
            report.member.name,
            Duration::from_millis(found.silence_ms).as_secs_f64()
        ))
    })
}

fn refused(loss: Loss) -> Failure {
    let Loss {
        no_majority,
        no_copy,
    } = loss;
    let (most, all) = (no_majority * 100.0, no_copy * 100.0);
    let what = format!(
        "{most:.1} % of the keys would lose a majority of their copies, and {all:.1} % all of them: what was acknowledged by \
         the lost members alone would be lost for ever"
    );
    Failure::new(Exit::Conflict, what).hint("bring the disks back, or accept it with --accept-loss")
}

fn show(now: &Configuration, (names, loss): (&[String], Loss), out: Output) {
    if out.is_json() {
        out.outcome_json(&json!({
            "written_off": names, "epoch": now.epoch.0,
            "share_without_majority": loss.no_majority, "share_without_copy": loss.no_copy,
        }));
        return;
    }
    out.outcome(format!(
        "written off in epoch {}: {}",
        now.epoch.0,
        names.join(", ")
    ));
    out.note("the next change leaves them out, all at once, so add as many as N needs: quoit cluster plan --add .. --add .. -o FILE");
}

#[cfg(test)]
mod tests {
    use quoit_client::NodeError;
    use quoit_ring::wire::{MemberSeen, MemberState, MembersSeen};

    use super::*;
    use crate::change::edits::tests::first;
    use crate::change::retry::tests::Quick;

    #[test]
    fn members_are_written_off_while_a_change_goes_on() {
        let mut quick = Quick::new(5);
        let lost = [NodeId(2)];
        let attempt = |now: &Configuration| Ok(write_off(now, &lost, true)?.0);
        let decided = quick.run(attempt).unwrap();
        assert!(decided.is_written_off(NodeId(2)));
        assert_eq!(decided.change, quick.now.change, "it goes on");

        quick.steps = 3;
        let before = quick.now.epoch;
        let again = quick.run(attempt).unwrap();
        assert_eq!(again.epoch, before, "it is so already: nothing is proposed");
    }

    #[test]
    fn the_loss_is_looked_at_in_each_epoch_that_came_between() {
        let lost = [NodeId(2), NodeId(3)];
        let mut quick = Quick::new(2);
        let began = quick.now.epoch;
        let attempt = |now: &Configuration| {
            let accepts = now.epoch == began;
            Ok(write_off(now, &lost, accepts)?.0)
        };
        let failure = quick.run(attempt).unwrap_err();
        assert_eq!(failure.exit, Exit::Conflict);
        assert!(!quick.now.is_written_off(NodeId(2)));
    }

    #[test]
    fn one_that_a_member_heard_a_short_time_ago_is_not_lost() {
        let members = first(3).map.members;
        let reports: Vec<NodeReport> = (members.iter())
            .map(|member| NodeReport {
                member: member.clone(),
                status: Err(NodeError::Closed),
            })
            .collect();
        let seen = |silence_ms, was_heard| {
            let member = MemberSeen {
                node: members[1].id,
                state: MemberState::Alive,
                was_heard,
                silence_ms,
                incarnation: 1,
                heartbeat: 1,
                facts: None,
            };
            vec![MembersReport {
                member: members[0].clone(),
                seen: Ok(MembersSeen {
                    is_isolated: false,
                    members: vec![member],
                }),
            }]
        };
        let lost = [members[1].id];
        let what = heard(&seen(1_200, true), &reports, &lost).unwrap();
        assert_eq!(what, "n2 is not lost: n1 heard it 1.2 s ago");
        assert_eq!(heard(&seen(5_000, true), &reports, &lost), None);
        assert_eq!(heard(&seen(0, false), &reports, &lost), None, "never heard");
        assert_eq!(heard(&seen(0, true), &reports, &[members[2].id]), None);
    }
}
