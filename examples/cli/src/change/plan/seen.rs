//! What is seen of the cluster from here before a change: who answers, what they hold and have space for, and which seeds
//! the profile names.

use std::time::Duration;

use quoit_client::{Client, ConnectError, NodeReport};
use quoit_ring::change::Configuration;
use quoit_ring::wire::NodeStatus;
use quoit_ring::{ClusterMap, Member, NodeId};

use super::super::edits::is_placeholder;
use crate::args::Operator;

/// How long one that is to join has.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// What is seen from here.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The members.
    pub(super) reports: Vec<NodeReport>,
    /// Those that are to join and have an identity; or why one did not answer.
    pub(super) joiners: Vec<(NodeId, Result<NodeStatus, String>)>,
    /// The profile's seeds.
    pub(super) seeds: Vec<String>,
}

/// Whether a node answers here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reach {
    Answers,
    Silent(String),
    /// It is looked at only, and has no identity yet by which it could be known.
    NotAsked,
}

impl Seen {
    /// Asks the members and those that are to join, at most 2 s each.
    pub(crate) async fn of(client: &Client, operator: &Operator, next: &Configuration) -> Self {
        let reports = client.status().await;
        let target = next.change.as_ref().map(|change| &change.target);
        let mut joiners = Vec::new();
        for member in newcomers(&next.map, target) {
            let builder = operator.builder().connect_timeout(ANSWER_WITHIN);
            let answer = builder.status_at(&member.address, member.id).await;
            let answer = answer.map_err(why);
            joiners.push((member.id, answer));
        }
        Self {
            reports,
            joiners,
            seeds: operator.seeds.clone(),
        }
    }

    /// What the members said.
    pub(crate) fn reports(&self) -> &[NodeReport] {
        &self.reports
    }

    /// What a node said, if it was asked.
    pub(super) fn status(&self, node: NodeId) -> Option<Result<&NodeStatus, String>> {
        let of_member = self.reports.iter().find(|it| it.member.id == node);
        if let Some(report) = of_member {
            return Some(report.status.as_ref().map_err(ToString::to_string));
        }
        let (_, answer) = self.joiners.iter().find(|(id, _)| *id == node)?;
        Some(answer.as_ref().map_err(Clone::clone))
    }

    pub(super) fn reach(&self, node: NodeId) -> Reach {
        match self.status(node) {
            Some(Ok(_)) => Reach::Answers,
            Some(Err(why)) => Reach::Silent(why),
            None => Reach::NotAsked,
        }
    }

    /// The seeds that are addresses of members that go, each with its member's name. A seed may be another name of a
    /// member's machine, of which nothing is known here.
    pub(super) fn seeds_that_go(&self, now: &ClusterMap, target: &ClusterMap) -> Vec<[String; 2]> {
        let at = |map: &ClusterMap, address: &String| {
            let mut members = map.members.iter();
            members
                .find(|it| it.address == *address)
                .map(|it| it.name.clone())
        };
        let goes = |seed: &String| {
            let name = at(now, seed).filter(|_| at(target, seed).is_none())?;
            Some([seed.clone(), name])
        };
        self.seeds.iter().filter_map(goes).collect()
    }
}

fn newcomers<'a>(
    now: &'a ClusterMap,
    target: Option<&'a ClusterMap>,
) -> impl Iterator<Item = &'a Member> {
    let is_new = |member: &&Member| {
        !is_placeholder(member.id) && now.members.iter().all(|it| it.id != member.id)
    };
    target
        .into_iter()
        .flat_map(|map| &map.members)
        .filter(is_new)
}

fn why(error: ConnectError) -> String {
    match error {
        ConnectError::NoSeedAnswered { tried } => tried.into_iter().map(|(_, why)| why).collect(),
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::edits::tests::first;
    use super::*;

    #[test]
    fn seeds_of_members_that_go_are_named_and_others_are_not() {
        let now = first(3).map;
        let mut target = now.clone();
        target.members.remove(1);
        let seen = Seen {
            seeds: ["h1:1", "h2:1", "elsewhere:1"].map(str::to_owned).to_vec(),
            ..Seen::default()
        };
        let goes = [["h2:1".to_owned(), "n2".to_owned()]];
        assert_eq!(seen.seeds_that_go(&now, &target), goes);
        // Another node at the same address.
        target.members[1].address = "h2:1".into();
        assert!(seen.seeds_that_go(&now, &target).is_empty());
    }
}
