//! Shows how far a change is, and which nodes it waits for, until it has ended.
//!
//! ```text
//!   +n4 ====>          arc 5 of 16      a bar on a terminal, a line for each arc in JSON
//!   arc 5 of 16 for 12 s: n3 does not answer (no connection)
//! ```
//!
//! It asks the members again and again and changes nothing. Which node an arc waits for is what their statuses show: one
//! that does not answer, or warns of something. What a node that does answer is still pulling they do not say.

use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use quoit_client::{Client, NodeReport};
use quoit_ring::change::{Change, Configuration};
use serde_json::{Value, json};

use super::edits::same_members;
use super::{describe, describe_change};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::units;

/// How often it looks.
const EVERY: Duration = Duration::from_millis(250);
/// How long an arc takes before it is asked which nodes it waits for, and then how often.
const STUCK: Duration = Duration::from_secs(10);

/// Says that a change is begun.
pub(crate) fn begun(begun: &Configuration, out: Output) {
    if out.is_json() {
        return out.outcome_json(&state(begun));
    }
    let change = describe_change(begun).unwrap_or_else(|| "nothing to move".to_owned());
    out.outcome(format!("begun in epoch {}: {change}", begun.epoch.0));
}

/// Watches a change from its beginning to its end.
pub(crate) async fn watch(
    client: &Client,
    begun: &Configuration,
    out: Output,
) -> Result<Exit, Failure> {
    let started = Instant::now();
    let Some(Change { target, hand }) = &begun.change else {
        ended(begun, (begun, started), out);
        return Ok(Exit::Ok);
    };
    let bar = out.steps(u64::from(hand.arcs().count()));
    let (mut now, mut since, mut said) = (begun.clone(), started, started);
    step(&now, &bar, out)?;
    while now.change.is_some() {
        tokio::time::sleep(EVERY).await;
        // One that nobody answers is tried again: the change goes on without this program.
        if let Ok(newest) = client.configuration().await
            && newest.epoch > now.epoch
        {
            (now, since, said) = (newest, Instant::now(), Instant::now());
            step(&now, &bar, out)?;
        } else if said.elapsed() >= STUCK {
            said = Instant::now();
            let waits = waits_for(&client.status().await);
            let time = units::duration(since.elapsed());
            let arc = describe_change(&now).unwrap_or_default();
            bar.suspend(|| out.note(format!("{arc} for {time}: {waits}")));
        }
    }
    bar.finish_and_clear();
    let is_done = same_members(&now.map, target);
    ended(&now, (begun, started), out);
    if is_done {
        return Ok(Exit::Ok);
    }
    let what = "the change did not get through: it was turned round";
    Err(Failure::new(Exit::Conflict, what).hint("look at `quoit cluster history`"))
}

fn step(now: &Configuration, bar: &ProgressBar, out: Output) -> Result<(), Failure> {
    if out.is_json() {
        return out.json(&state(now));
    }
    if let Some(Change { hand, .. }) = &now.change {
        bar.set_position(u64::from(hand.arc()));
        bar.set_message(describe_change(now).unwrap_or_default());
    }
    Ok(())
}

/// An epoch, and how far it is.
pub(crate) fn state(now: &Configuration) -> Value {
    let change = now.change.as_ref().map(|Change { target, hand }| {
        json!({
            "what": describe(&now.map, target), "arc": hand.arc(), "arcs": hand.arcs().count(),
            "reverts": hand.is_turned(),
        })
    });
    json!({ "epoch": now.epoch.0, "members": now.map.members.len(), "change": change })
}

fn ended(now: &Configuration, (begun, started): (&Configuration, Instant), out: Output) {
    if out.is_json() {
        return out.outcome_json(&state(now));
    }
    let members = units::plural(
        u64::try_from(now.map.members.len()).unwrap_or(u64::MAX),
        "member",
        "members",
    );
    let what = match describe(&begun.map, &now.map) {
        nothing if nothing.is_empty() => "as before".to_owned(),
        what => what,
    };
    let (epoch, time) = (now.epoch.0, units::duration(started.elapsed()));
    out.outcome(format!("{what}: {members}, epoch {epoch}, after {time}"));
}

/// The nodes that a change may wait for, by what the members say.
fn waits_for(reports: &[NodeReport]) -> String {
    let silent = reports.iter().filter_map(|report| {
        let error = report.status.as_ref().err()?;
        Some(format!("{} does not answer ({error})", report.member.name))
    });
    let warned = reports.iter().filter_map(|report| {
        let warning = report.status.as_ref().ok()?.warnings.first()?;
        Some(format!("{}: {}", report.member.name, warning.text))
    });
    let all: Vec<String> = silent.chain(warned).collect();
    if all.is_empty() {
        "all members answer; it moves keys, or see the nodes' logs".to_owned()
    } else {
        all.join("; ")
    }
}

#[cfg(test)]
mod tests {
    use quoit_client::{NodeError, Outcome};

    use super::super::edits::Edits;
    use super::super::edits::tests::{first, newcomer};
    use super::*;

    #[test]
    fn who_does_not_answer_is_named() {
        let report = |at: usize, status| NodeReport {
            member: first(3).map.members[at].clone(),
            status,
        };
        let silent = report(1, Err(NodeError::Failed(Outcome::Unreachable)));
        assert_eq!(waits_for(&[silent]), "n2 does not answer (no connection)");
        assert!(waits_for(&[]).starts_with("all members answer"));
    }

    #[test]
    fn the_state_of_a_change_has_its_arc() {
        let now = first(3);
        assert_eq!(state(&now)["change"], Value::Null);
        let edits = Edits {
            adds: vec![newcomer(4)],
            ..Edits::default()
        };
        let begun = state(&edits.apply(&now).unwrap());
        assert_eq!(begun["change"]["what"], "+n4");
        assert_eq!(begun["change"]["arcs"], 16);
    }
}
