//! What each replica of a key holds, by itself: for people who look for the cause of something.
//!
//! ```text
//!   ask every owner and fallback --> records --> join of all that came --> who differs from it is stale
//! ```
//!
//! Nothing is repaired, and no answer counts for anything. Expired values that still lie at a replica are shown,
//! since all replicas keep them alike. Left out: what a read makes of the same replicas (`explain`).

use std::time::Duration;

use bytes::Bytes;
use quoit_ring::wire::{Request, Response};
use quoit_ring::{Held, Member, Millis};

use crate::client::{Client, not_an_answer, received};
use crate::entry::Entry;
use crate::error::{InvalidRequest, NodeError, Outcome};

/// What one replica holds under a key; made by [`Client::inspect`].
#[derive(Debug, Clone)]
pub struct ReplicaReport {
    /// The node.
    pub member: Member,
    /// Whether it owns the key. A fallback does not, and refuses as
    /// [`NotReplica`](quoit_ring::wire::Refusal::NotReplica).
    pub owner: bool,
    /// What it holds, or why it did not say. Values that have expired and still lie there are in it.
    pub answer: Result<Entry, NodeError>,
    /// How long its answer took, from when this client sent the question; also if it is none.
    pub elapsed: Duration,
    /// Whether it lacks a write, or a delete, that another replica reported: a read that asked both would repair
    /// it. Never of one that did not answer.
    pub stale: bool,
}

impl Client {
    /// Asks every node of a key's preference list what it holds, without repairing anything: for people
    /// who look for the cause of something. A node that does not answer within 2 s, or the client's
    /// deadline if that is less, is reported so.
    ///
    /// ```no_run
    /// # async fn example(client: quoit_client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// for report in client.inspect("key").await? {
    ///     println!("{}: {:?}", report.member.name, report.answer);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`InvalidRequest`] for a key that cannot be one; nothing was sent. What a single node refuses is in
    /// its report.
    pub async fn inspect(
        &self,
        key: impl Into<Bytes>,
    ) -> Result<Vec<ReplicaReport>, InvalidRequest> {
        let key = key.into();
        self.check_key(&key)?;
        let location = self.locate(&key);
        let owners = location.owners.into_iter().map(|member| (member, true));
        let fallbacks = location.fallbacks.into_iter().map(|member| (member, false));
        let mut asked = Vec::new();
        for (member, owner) in owners.chain(fallbacks) {
            let request = Request::Get {
                key: key.clone(),
                digest: false,
            };
            asked.push((self.ask(member.id, request).await, member, owner));
        }
        let mut answers = Vec::new();
        for (answer, member, owner) in asked {
            let (elapsed, answer) = received(answer).await;
            answers.push((held_of(answer), elapsed, member, owner));
        }
        Ok(reports(answers))
    }
}

/// What a replica holds, how long it took to say so, and who it is.
type ReplicaAnswer = (Result<Held, NodeError>, Duration, Member, bool);

fn reports(answers: Vec<ReplicaAnswer>) -> Vec<ReplicaReport> {
    let mut newest = Held::default();
    for held in answers
        .iter()
        .filter_map(|(answer, ..)| answer.as_ref().ok())
    {
        let floor = newest.stable().max(held.stable());
        // What was due at some time is as alive as the rest: no clock counts here.
        let (joined, _lost) = newest.join(held, Millis(0));
        newest = Held::new(Some(joined), floor);
    }
    let report = |(answer, elapsed, member, owner): ReplicaAnswer| ReplicaReport {
        member,
        owner,
        stale: answer
            .as_ref()
            .is_ok_and(|held| !newest.same_versions(held)),
        answer: answer.map(|held| Entry::of(&held.into_known())),
        elapsed,
    };
    answers.into_iter().map(report).collect()
}

fn held_of(answer: Result<Response, NodeError>) -> Result<Held, NodeError> {
    let answer = answer?;
    match answer.held() {
        Some(held) => held.map_err(|junk| NodeError::Failed(Outcome::Damaged(junk))),
        None => Err(not_an_answer(&answer)),
    }
}

#[cfg(test)]
mod tests {
    use quoit_ring::Record;
    use quoit_ring::wire::Refusal;

    use super::*;
    use crate::error::OTHER_QUESTION;

    #[test]
    fn a_nodes_refusal_is_reported_as_what_it_is() {
        let error = |response| held_of(Ok(response)).unwrap_err();
        let draining = NodeError::Failed(Outcome::Refused(Refusal::Draining));
        assert_eq!(error(Response::Refused(Refusal::Draining)), draining);
        assert_eq!(
            error(Response::Joined),
            NodeError::Failed(Outcome::Damaged(OTHER_QUESTION))
        );
    }

    #[test]
    fn a_replica_is_stale_if_another_reported_what_it_lacks() {
        let member = |id: u64| Member {
            id: quoit_ring::NodeId(id),
            name: format!("n{id}"),
            address: String::new(),
            zone: "z".into(),
            weight: 100,
            vnodes: Vec::new(),
        };
        let dot = |time| quoit_ring::Dot {
            time: quoit_ring::Time(time),
            actor: quoit_ring::Actor(1),
        };
        let blind = |time| quoit_ring::Delta::blind(dot(time), None).into_record();
        let silent = || Err(NodeError::Failed(Outcome::TimedOut));
        let held = [
            Ok(blind(9)),
            Ok(blind(5)),
            silent(),
            Ok(Record::default()),
            Ok(blind(9)),
        ];
        let answers = (0..).zip(held);
        let answers = answers.map(|(id, answer)| {
            let answer: Result<Record, NodeError> = answer;
            (answer.map(Held::from), Duration::ZERO, member(id), true)
        });
        let stale: Vec<_> = reports(answers.collect()).iter().map(|r| r.stale).collect();
        assert_eq!(stale, [false, true, false, true, false]);
    }
}
