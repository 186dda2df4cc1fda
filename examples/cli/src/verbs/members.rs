//! `quoit members`: which members are heard by the others, and what each says of itself.
//!
//! ```text
//!   NAME     STATE     HEARD BY   SILENT FOR   VERSION   EPOCH   DISK    FREE      HINTS FOR
//!   node-1   alive     4 of 4     0 s          0.1.0     7       ample   811 GiB   -
//!   node-4   suspect   1 of 4     9 s          0.1.0     7       low     1.2 GiB   2 min
//! ```
//!
//! Every node is asked. Each judges by itself, so the state is the one that most see, the worse one if they are as many: a
//! member that is heard by some of them is cut off from the others. That a node does not answer *here* says nothing of the
//! cluster; what the others see of it does. The exit code is 6 unless a majority answered.

use std::time::Duration;

use quoit_client::MembersReport;
use quoit_ring::NodeId;
use quoit_ring::wire::{MemberFacts, MemberSeen, MemberState};
use serde_json::{Value, json};

use super::status::enough;
use crate::args::ClusterArgs;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Output, Text, Tone, painted};
use crate::units;

const HEADER: [&str; 9] = [
    "NAME",
    "STATE",
    "HEARD BY",
    "SILENT FOR",
    "VERSION",
    "EPOCH",
    "DISK",
    "FREE",
    "HINTS FOR",
];

/// Arguments of `members`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    cluster: ClusterArgs,
}

pub(crate) async fn run(args: Args, out: Output) -> Result<Exit, Failure> {
    let mut reports = args
        .cluster
        .with_client(|builder| builder, async |client| Ok(client.members().await))
        .await?;
    reports.sort_by(|a, b| a.member.name.cmp(&b.member.name));

    let views: Vec<View<'_>> = reports.iter().map(|it| View::of(it, &reports)).collect();
    if out.is_json() {
        out.json(&views.iter().map(View::json).collect::<Vec<_>>())?;
    } else {
        let header = HEADER.map(Text::from).to_vec();
        out.table(
            std::iter::once(header)
                .chain(views.iter().map(View::row))
                .collect(),
        )?;
        for note in views.iter().filter_map(View::note) {
            out.note(note);
        }
    }
    let answered = reports.iter().filter(|report| report.seen.is_ok()).count();
    enough(answered, reports.len())
}

/// One member, by what all that answered see of it.
struct View<'a> {
    report: &'a MembersReport,
    seen: Vec<&'a MemberSeen>,
}

impl<'a> View<'a> {
    fn of(report: &'a MembersReport, reports: &'a [MembersReport]) -> Self {
        let node: NodeId = report.member.id;
        let answers = reports
            .iter()
            .filter_map(|report| report.seen.as_ref().ok());
        let seen = answers.flat_map(|seen| seen.members.iter().find(|it| it.node == node));
        Self {
            report,
            seen: seen.collect(),
        }
    }

    fn count(&self, state: MemberState) -> usize {
        let in_it = |seen: &&&MemberSeen| seen.state == state;
        self.seen.iter().filter(in_it).count()
    }

    /// What most see; of as many, the worse. None if nobody answered.
    fn state(&self) -> Option<MemberState> {
        let states = [
            MemberState::Alive,
            MemberState::Suspect,
            MemberState::Failed,
        ];
        let most = states.into_iter().max_by_key(|&state| self.count(state));
        most.filter(|_| !self.seen.is_empty())
    }

    /// The shortest time for which somebody has not heard it; none if nobody ever has.
    fn silence(&self) -> Option<Duration> {
        let heard = self.seen.iter().filter(|seen| seen.was_heard);
        let shortest = heard.map(|seen| seen.silence_ms).min();
        shortest.map(Duration::from_millis)
    }

    /// The latest that is known of what it says.
    fn facts(&self) -> Option<&MemberFacts> {
        let latest = (self.seen.iter()).max_by_key(|seen| (seen.incarnation, seen.heartbeat));
        latest.and_then(|seen| seen.facts.as_ref())
    }

    fn row(&self) -> Vec<Text> {
        let nothing = || "-".to_owned();
        let state = match self.state() {
            Some(MemberState::Alive) => painted(Tone::Good, "alive"),
            Some(state) => painted(Tone::Bad, state.name()),
            None => Text::from(nothing()),
        };
        let heard = format!("{} of {}", self.count(MemberState::Alive), self.seen.len());
        let facts = self.facts();
        let of_facts = |text: fn(&MemberFacts) -> String| facts.map_or_else(nothing, text);
        let texts = [
            heard,
            self.silence().map_or_else(nothing, units::duration),
            of_facts(|facts| facts.version.clone()),
            of_facts(|facts| facts.epoch.0.to_string()),
            of_facts(|facts| facts.disk.name().to_owned()),
            of_facts(free),
            of_facts(hints),
        ];
        let name = Text::from(self.report.member.name.clone());
        [name, state]
            .into_iter()
            .chain(texts.map(Text::from))
            .collect()
    }

    fn note(&self) -> Option<String> {
        let name = &self.report.member.name;
        match &self.report.seen {
            Err(error) => Some(format!("what {name} sees is not known: {error}")),
            Ok(seen) if seen.is_isolated => Some(format!(
                "{name} hears fewer than a majority of the members: what it sees is what it knew before"
            )),
            Ok(_) => None,
        }
    }

    fn json(&self) -> Value {
        let member = &self.report.member;
        let facts = self.facts().map(|facts| {
            json!({
                "version": facts.version, "epoch": facts.epoch.0, "disk": facts.disk.name(),
                "free_bytes": facts.free_bytes, "oldest_hint_s": facts.oldest_hint_s,
                "address": facts.address,
            })
        });
        let mut object = json!({
            "name": member.name, "id": member.id.to_string(),
            "state": self.state().map(MemberState::name),
            "heard_by": self.count(MemberState::Alive), "asked": self.seen.len(),
            "silence_ms": self.silence().map(|it| u64::try_from(it.as_millis()).unwrap_or(u64::MAX)),
            "says": facts,
        });
        let more = match &self.report.seen {
            Ok(seen) => ("isolated", json!(seen.is_isolated)),
            Err(error) => ("error", json!(error.to_string())),
        };
        object[more.0] = more.1;
        object
    }
}

fn free(facts: &MemberFacts) -> String {
    match facts.free_bytes {
        0 => "-".to_owned(),
        bytes => units::bytes(bytes),
    }
}

fn hints(facts: &MemberFacts) -> String {
    let age = |seconds: u32| units::duration(Duration::from_secs(seconds.into()));
    facts.oldest_hint_s.map_or_else(|| "-".to_owned(), age)
}

#[cfg(test)]
mod tests {
    use quoit_client::{NodeError, Outcome};
    use quoit_ring::wire::{DiskLevel, MembersSeen};
    use quoit_ring::{Epoch, Member};

    use super::*;

    fn member(id: u64) -> Member {
        Member {
            id: NodeId(id),
            name: format!("node-{id}"),
            address: format!("127.0.0.1:{id}"),
            zone: "a".into(),
            weight: 100,
            vnodes: Vec::new(),
        }
    }

    fn seen(node: u64, state: MemberState, heartbeat: u32) -> MemberSeen {
        MemberSeen {
            node: NodeId(node),
            state,
            was_heard: true,
            silence_ms: u64::from(heartbeat) * 1_000,
            incarnation: 1,
            heartbeat,
            facts: Some(MemberFacts {
                version: "0.1.0".into(),
                epoch: Epoch(u64::from(heartbeat)),
                disk: DiskLevel::Low,
                free_bytes: 3 << 30,
                oldest_hint_s: None,
                address: None,
            }),
        }
    }

    /// Three nodes: the third does not answer, and one of the others hears it.
    fn reports() -> [MembersReport; 3] {
        let answers = |id, is_isolated, members| MembersReport {
            member: member(id),
            seen: Ok(MembersSeen {
                is_isolated,
                members,
            }),
        };
        let alive = MemberState::Alive;
        [
            answers(1, false, vec![seen(2, alive, 1), seen(3, alive, 2)]),
            answers(
                2,
                true,
                vec![seen(1, alive, 1), seen(3, MemberState::Suspect, 9)],
            ),
            MembersReport {
                member: member(3),
                seen: Err(NodeError::Failed(Outcome::TimedOut)),
            },
        ]
    }

    #[test]
    fn the_worse_of_as_many_opinions_is_shown_with_how_many_hear_it() {
        let reports = reports();
        let view = View::of(&reports[2], &reports);
        assert_eq!(view.state(), Some(MemberState::Suspect));
        let json = view.json();
        assert_eq!((&json["heard_by"], &json["asked"]), (&json!(1), &json!(2)));
        assert_eq!(json["silence_ms"], 2_000, "the shortest");
        assert_eq!(json["says"]["epoch"], 9, "the latest");
        assert_eq!(json["error"], "no answer in time");
    }

    #[test]
    fn a_member_that_nobody_answers_for_has_no_state() {
        let all = reports();
        let silent = &all[2..];
        let view = View::of(&silent[0], silent);
        assert_eq!(view.state(), None);
        assert_eq!(view.row().len(), HEADER.len());
    }

    #[test]
    fn who_does_not_answer_and_who_is_isolated_are_named() {
        let reports = reports();
        let notes: Vec<String> = (reports.iter())
            .filter_map(|report| View::of(report, &reports).note())
            .collect();
        assert_eq!(notes.len(), 2, "{notes:?}");
        assert!(notes[0].starts_with("node-2 hears fewer"));
        assert!(notes[1].starts_with("what node-3 sees is not known"));
    }
}
