//! Changing the ring: what an operator wants of it, what that costs, its decision, and how it goes on.
//!
//! ```text
//!   Edits --apply--> next epoch --Plan--> shown, kept in a file
//!                        |
//!                        '--begin--> decided by the voters --watch--> the nodes move it, arc by arc, to its end
//! ```
//!
//! Every verb that changes the ring goes this way. What cannot be is refused before anything is sent, so nothing has
//! changed; from the decision on the nodes go on by themselves, whether or not anybody watches.
//!
//! | module | what it does |
//! | --- | --- |
//! | [`edits`] | from what is asked for to the next epoch, or why not |
//! | [`places`] | where members sit after it |
//! | [`plan`] | what a change costs: balance, keys that move, space, time, what hinders it |
//! | [`mod@file`] | a plan that is kept, and whether it still holds |
//! | [`waits`] | which silent nodes it would wait for |
//! | [`begin`] | has an epoch decided |
//! | [`retry`] | the same for what is wanted of any epoch, while nodes decide further ones |
//! | [`watch`] | shows how far it is, and which nodes it waits for |

pub(crate) mod begin;
pub(crate) mod edits;
pub(crate) mod file;
mod places;
pub(crate) mod plan;
pub(crate) mod retry;
mod waits;
pub(crate) mod watch;

use quoit_client::{Client, NodeReport};
use quoit_ring::change::{Change, Configuration};
use quoit_ring::{ClusterMap, Member, NodeId};

use crate::args::Operator;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::signals;
use crate::units::percent;

use self::waits::Waits;

/// How a verb that changes the ring ends.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct WaitArgs {
    /// Do not wait for the end of the change: the nodes go on with it by themselves
    #[arg(long)]
    pub(crate) no_wait: bool,
}

/// Shows what a change costs, has it decided, and watches it to its end.
pub(crate) async fn carry_out(
    (client, operator): (&Client, &Operator),
    (now, next): (&Configuration, Configuration),
    wait: WaitArgs,
    out: Output,
) -> Result<Exit, Failure> {
    let seen = plan::Seen::of(client, operator, &next).await;
    refuse_to_wait(now, &next, seen.reports())?;
    plan::Plan::of(now, &next, &seen)?.tell(out);
    let begun = begin::begin(client, now, next).await?;
    follow(client, &begun, wait, out).await
}

/// Refuses a change that would wait for members that do not answer.
fn refuse_to_wait(
    now: &Configuration,
    next: &Configuration,
    reports: &[NodeReport],
) -> Result<(), Failure> {
    let silent = reports.iter().filter(|report| report.status.is_err());
    let silent: Vec<&Member> = silent
        .map(|report| &report.member)
        .filter(|member| !now.is_written_off(member.id))
        .collect();
    if silent.is_empty() {
        return Ok(());
    }
    let ids: Vec<NodeId> = silent.iter().map(|member| member.id).collect();
    let waits = Waits::of(next, &ids).map_err(|error| Failure::caused(&error))?;
    let waited = silent.iter().filter(|it| waits.nodes.contains(&it.id));
    let names: Vec<&str> = waited.map(|it| it.name.as_str()).collect();
    if names.is_empty() {
        return Ok(());
    }

    let what = format!(
        "{} do not answer, and the change would wait for them with {} of the keys: nothing was begun",
        names.join(", "),
        percent(waits.share)
    );
    let hint = format!(
        "bring them back, or let the same change replace them; if a majority of the copies is lost for ever: \
         quoit cluster write-off {}",
        names.join(" ")
    );
    Err(Failure::new(Exit::Unavailable, what).hint(hint))
}

/// Watches a change that is begun, unless that is not wanted.
pub(crate) async fn follow(
    client: &Client,
    begun: &Configuration,
    wait: WaitArgs,
    out: Output,
) -> Result<Exit, Failure> {
    if wait.no_wait {
        watch::begun(begun, out);
        return Ok(Exit::Ok);
    }
    tokio::select! {
        biased;
        ended = watch::watch(client, begun, out) => ended,
        _stopped = signals::stop_requested() => {
            out.note("the change goes on by itself; look at it with `quoit cluster history`, turn it round with `quoit cluster revert`");
            Ok(Exit::Unknown)
        }
    }
}

/// What a change does, in short: `+n4, -n2, n3 weight 100 -> 200`.
pub(crate) fn describe(from: &ClusterMap, to: &ClusterMap) -> String {
    let mut parts = Vec::new();
    for (before, after) in pairs(from, to) {
        match (before, after) {
            (None, Some(new)) => parts.push(format!("+{}", new.name)),
            (Some(old), None) => parts.push(format!("-{}", old.name)),
            (Some(old), Some(new)) if old.weight != new.weight => {
                let (name, from, to) = (&new.name, old.weight, new.weight);
                parts.push(format!("{name} weight {from} -> {to}"));
            }
            // Some places more that even out the load are no news.
            _ => {}
        }
    }
    parts.join(", ")
}

/// What the change under way does; one that was turned round goes back to what was.
pub(crate) fn describe_change(now: &Configuration) -> Option<String> {
    let Change { target, hand } = now.change.as_ref()?;
    let (arc, arcs) = (u32::from(hand.arc()) + 1, hand.arcs().count());
    let what = if hand.is_turned() {
        format!("back from {}", describe(target, &now.map))
    } else {
        describe(&now.map, target)
    };
    Some(format!("{what}: arc {arc} of {arcs}"))
}

/// The members of both maps by id, each with what it is before and after.
pub(crate) fn pairs<'a>(
    from: &'a ClusterMap,
    to: &'a ClusterMap,
) -> Vec<(Option<&'a Member>, Option<&'a Member>)> {
    let stays = |member: &&Member| to.members.iter().all(|it| it.id != member.id);
    let before = |member: &'a Member| from.members.iter().find(|it| it.id == member.id);
    let after = to.members.iter().map(|it| (before(it), Some(it)));
    let gone = from.members.iter().filter(stays).map(|it| (Some(it), None));
    let mut pairs: Vec<_> = after.chain(gone).collect();
    pairs.sort_by_key(|(before, after)| before.or(*after).map(|it| it.name.clone()));
    pairs
}

#[cfg(test)]
mod tests {
    use super::edits::Edits;
    use super::edits::tests::{first, newcomer};
    use super::*;

    #[test]
    fn a_change_is_described_by_its_members_and_its_arc() {
        let now = first(4);
        let edits = Edits {
            adds: vec![newcomer(5)],
            leaves: vec!["n2".into()],
            weights: vec![("n3".into(), 200)],
        };
        let begun = edits.apply(&now).unwrap();
        let text = describe_change(&begun).unwrap();
        assert_eq!(text, "-n2, n3 weight 100 -> 200, +n5: arc 1 of 16");
        let back = begun.step().unwrap().revert().unwrap();
        let text = describe_change(&back).unwrap();
        assert_eq!(
            text,
            "back from -n2, n3 weight 100 -> 200, +n5: arc 1 of 16"
        );
    }
}
