//! The story for people: four short parts, one below the other.
//!
//! ```text
//! the plan     where the key lives, what a read and a write need
//! replicas     a row each: what it holds, whether it is stale, how quick it is
//! versions     a row for each value that anybody holds, and who does
//! the read     a row for each request, then the answer and what was repaired
//! ```

use std::collections::BTreeMap;

use quoit_client::{
    Consistency, Entry, NodeError, NodeHealth, Outcome, ReadRepair, ReplicaReport, Value,
};
use quoit_ring::wire::Refusal;

use super::{Repair, Story};
use crate::escape::one_line;
use crate::failure::Failure;
use crate::output::{Output, Text, Tone, painted};
use crate::units::{bytes, count, elapsed, moment, plural};

const REPLICAS: [&str; 7] = ["#", "ROLE", "NODE", "HOLDS", "STATE", "TOOK", "HEALTH"];
const VERSIONS: [&str; 6] = ["WRITTEN", "BY", "VALUE", "BYTES", "EXPIRES", "HELD BY"];
const READ: [&str; 5] = ["AT", "WHAT", "NODE", "OUTCOME", "TOOK"];

/// Characters of a value that are shown.
const PREVIEW: usize = 24;

pub(super) fn print(story: &Story, out: Output) -> Result<(), Failure> {
    plan(story, out)?;
    title(out, "What each replica holds")?;
    let rows = (1..).zip(&story.replicas);
    let rows = rows.map(|(rank, report)| replica(story, rank, report));
    table(out, &REPLICAS, rows.collect())?;
    let versions = versions(&story.replicas);
    if !versions.is_empty() {
        title(out, "Versions")?;
        table(out, &VERSIONS, versions)?;
    }
    title(out, "What a read did")?;
    table(out, &READ, requests(story))?;
    out.line(answer(story))?;
    for line in repairs(story) {
        out.line(line)?;
    }
    Ok(())
}

fn title(out: Output, text: &str) -> Result<(), Failure> {
    out.line("")?;
    out.line(painted(Tone::Strong, text))
}

fn table(out: Output, header: &[&str], rows: Vec<Vec<Text>>) -> Result<(), Failure> {
    let header = header.iter().map(|&name| name.into()).collect();
    out.table(std::iter::once(header).chain(rows).collect())
}

fn plan(story: &Story, out: Output) -> Result<(), Failure> {
    let (leaf, leaves) = story.leaf();
    let needs = &story.needs;
    out.line(format!(
        "`{}` has the token {:016x}, in leaf {} of {}, by epoch {} of the ring",
        one_line(&story.key),
        story.location.token.0,
        count(leaf.into()),
        count(leaves.into()),
        story.map.epoch.0,
    ))?;
    let mode = match needs.consistency {
        Consistency::One => "one",
        Consistency::Quorum => "quorum",
        Consistency::Linearizable => "linearizable",
        _ => "another mode",
    };
    let repair = match needs.repair {
        ReadRepair::BeforeAnswer => {
            let holders = plural(needs.hold as u64, "replica", "replicas");
            format!(", and {holders} to hold what it returns")
        }
        ReadRepair::Background => " and repairs after it".to_owned(),
        ReadRepair::Off => " and repairs nothing".to_owned(),
        _ => String::new(),
    };
    out.line(format!(
        "{mode}: {}; a read needs {}{repair}; a write needs {}",
        plural(needs.n as u64, "copy", "copies"),
        plural(needs.r as u64, "answer", "answers"),
        plural(needs.w as u64, "acknowledgement", "acknowledgements"),
    ))
}

fn replica(story: &Story, rank: usize, report: &ReplicaReport) -> Vec<Text> {
    let (holds, state) = match &report.answer {
        Ok(entry) if report.stale => (holds(entry), painted(Tone::Bad, "stale")),
        Ok(entry) => (holds(entry), painted(Tone::Good, "newest")),
        // A fallback keeps nothing of its own accord, and says so by refusing.
        Err(NodeError::Failed(Outcome::Refused(Refusal::NotReplica))) if !report.owner => {
            ("-".to_owned(), "-".into())
        }
        Err(error) => (format!("no answer: {error}"), painted(Tone::Bad, "unknown")),
    };
    let health = story.health_of(report.member.id).map(health);
    vec![
        rank.to_string().into(),
        if report.owner { "owner" } else { "fallback" }.into(),
        (&report.member.name).into(),
        holds.into(),
        state,
        elapsed(report.elapsed).into(),
        health.map_or_else(|| "-".into(), Text::from),
    ]
}

fn holds(entry: &Entry) -> String {
    match entry.siblings() {
        [] if !entry.is_tombstone() => "nothing".to_owned(),
        [] => "a delete".to_owned(),
        siblings => {
            let size = siblings.iter().map(|sibling| sibling.bytes.len() as u64);
            let values = plural(siblings.len() as u64, "value", "values");
            format!("{values}, {}", bytes(size.sum()))
        }
    }
}

fn health(node: &NodeHealth) -> String {
    if !node.reachable {
        return "no connection".to_owned();
    }
    let reads = match (node.read_mean, node.read_p95) {
        (Some(mean), Some(p95)) => format!("reads {}, p95 {}", elapsed(mean), elapsed(p95)),
        _ => "no read answered".to_owned(),
    };
    if node.ejected {
        format!("asked last: {reads}")
    } else {
        reads
    }
}

/// A row for each value that a replica holds, the latest first.
fn versions(replicas: &[ReplicaReport]) -> Vec<Vec<Text>> {
    let mut held: BTreeMap<_, (&Value, Vec<&str>)> = BTreeMap::new();
    for report in replicas {
        for value in report.answer.iter().flat_map(Entry::siblings) {
            let (_, by) = held.entry(value.dot).or_insert((value, Vec::new()));
            by.push(&report.member.name);
        }
    }
    let row = |(value, by): &(&Value, Vec<&str>)| {
        let expires = value
            .expiry
            .map_or_else(|| "never".to_owned(), |expiry| moment(expiry.0));
        vec![
            moment(value.dot.time.millis().0).into(),
            format!("{:?}", value.dot.actor).into(),
            preview(&value.bytes).into(),
            bytes(value.bytes.len() as u64).into(),
            expires.into(),
            by.join(" ").into(),
        ]
    };
    held.values().rev().map(row).collect()
}

/// The beginning of a value, on one line.
fn preview(value: &[u8]) -> String {
    // A character has at most four bytes, so these are enough.
    let begin = value.get(..4 * PREVIEW + 4).unwrap_or(value);
    let text = one_line(begin);
    let mut preview: String = text.chars().take(PREVIEW).collect();
    if text.chars().nth(PREVIEW).is_some() {
        preview.push('…');
    }
    preview
}

fn requests(story: &Story) -> Vec<Vec<Text>> {
    let rows = story.read.requests.iter().map(|request| {
        let outcome = match &request.outcome {
            Some(Outcome::Done) => "done".into(),
            Some(failed) => painted(Tone::Bad, failed.to_string()),
            None => "not waited for".into(),
        };
        vec![
            elapsed(request.after).into(),
            request.kind.name().into(),
            (&request.name).into(),
            outcome,
            request
                .elapsed
                .map_or_else(|| "-".into(), |time| elapsed(time).into()),
        ]
    });
    rows.collect()
}

fn answer(story: &Story) -> String {
    let after = story.read.answered_after.unwrap_or_default();
    let found = match &story.read.result {
        Ok(entry) if entry.is_conflict() => format!("{}, none of which saw another", holds(entry)),
        Ok(entry) => holds(entry),
        Err(_told_as_the_failure) => "no answer".to_owned(),
    };
    format!("after {}: {found}", elapsed(after))
}

fn repairs(story: &Story) -> Vec<Text> {
    let stale = if story.needs.repair == ReadRepair::Off {
        "stale, and left so"
    } else {
        "stale, and not asked by this read"
    };
    let parts = [
        (Tone::Good, "repaired", story.repaired(Repair::Done)),
        (
            Tone::Good,
            "repair sent, not waited for",
            story.repaired(Repair::Sent),
        ),
        (Tone::Bad, "repair failed", story.repaired(Repair::Failed)),
        (Tone::Bad, stale, story.still_stale()),
    ];
    let shown = parts.into_iter().filter(|(.., names)| !names.is_empty());
    shown
        .map(|(tone, what, names)| painted(tone, what).then(format!(": {}", names.join(" "))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preview_is_one_line_and_short() {
        assert_eq!(preview(b"bread\nmilk"), "bread\\nmilk");
        let long = preview(&[b'a'; 100]);
        assert_eq!(long.chars().count(), PREVIEW + 1);
        assert!(long.ends_with('…'));
    }
}
