//! Whether a disk is the one that this node ran on last: asked of the members before a disk is served that has run before.
//!
//! ```text
//!   what the members know of this node          this disk's next run is number 5
//!   -----------------------------------------------------------------------------------------
//!   run 4 or less, long silent                  serve
//!   run 5 or more                               refuse: it ran on another disk since
//!   heard just now, and it answers at its own   refuse: it runs on another disk now
//!   nothing, or nobody answers in time          serve
//! ```
//!
//! A disk that was restored from a backup, or a copy of one, lacks what the node has acknowledged on the other since, but it
//! would count as an owner that has all. This finds most such disks and not all: members remember runs only while they run
//! themselves, and a snapshot of a node that runs begins the run after that, which nobody has heard of. A member that is
//! wrong, or lies, can keep others from starting: so an operator may overrule it.
//!
//! [`judge`] is pure. Left out: a second disk that starts while nobody can be asked; each of the two nodes then warns that it
//! runs elsewhere.

use std::io;
use std::time::Duration;

use quinn::ClientConfig;
use quoit_ring::NodeId;
use quoit_ring::change::Configuration;
use quoit_ring::role::server_name;
use quoit_ring::wire::{MembersSeen, Request, Response};
use quoit_transport::dial::Dialer;

use crate::config::Config;
use crate::error::StartError;
use crate::gossip::Incarnation;
use crate::question::{Answer, Asked, Unanswered, ask_all, block_on};
use crate::tls::NodeTls;

/// Who was heard so recently may run now.
const RECENTLY: Duration = Duration::from_secs(5);
/// Most members that are asked.
const MAX_ASKED: usize = 16;
/// How many runs ahead a member's word may be: more than any node has ever begun is a mistake, or a lie.
const FAR: u64 = 1 << 32;

/// A node that is to run on a disk.
#[derive(Debug, Clone)]
pub(super) struct Start {
    pub(super) node: NodeId,
    /// Where the ring says that it serves, if it is a member.
    pub(super) address: Option<String>,
    /// The other members and their addresses.
    pub(super) others: Vec<(NodeId, String)>,
    /// The number of the run that begins.
    pub(super) run: Incarnation,
    /// Whether it may be an older disk, by an operator's word.
    pub(super) accepts_older: bool,
    /// How long the members have. One that is up answers in a few milliseconds; a start waits so long only if fewer are up than
    /// make a majority with this node, and then there are no quorums anyway.
    pub(super) within: Duration,
}

impl Start {
    /// Of a node, by what was decided last of the ring.
    pub(super) fn of(node: NodeId, now: &Configuration, run: Incarnation, config: &Config) -> Self {
        let mut start = Self {
            node,
            address: None,
            others: Vec::new(),
            run,
            accepts_older: config.accept_older_disk,
            within: config.ask_within,
        };
        let target = now.change.iter().flat_map(|change| &change.target.members);
        for member in now.map.members.iter().chain(target) {
            let is_known = start.others.iter().any(|(id, _)| *id == member.id);
            if member.id == node {
                start.address = Some(member.address.clone());
            } else if !is_known && now.removed.binary_search(&member.id).is_err() {
                start.others.push((member.id, member.address.clone()));
            }
        }
        start
    }
}

/// What follows from the members' answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Judgement {
    /// It is the last disk.
    Serve,
    /// It ran on another one since.
    RanSince(Incarnation),
    /// It may run on another one just now.
    MayRun,
}

fn judge(node: NodeId, run: Incarnation, answers: &[MembersSeen]) -> Judgement {
    let seen = || {
        let all = answers.iter().flat_map(|answer| &answer.members);
        all.filter(|member| member.node == node)
    };
    // Also what a member knows from others, and has not heard itself.
    let runs = seen().map(|member| member.incarnation);
    let latest = runs.filter(|it| (run.0..run.0.saturating_add(FAR)).contains(it));
    if let Some(latest) = latest.max() {
        return Judgement::RanSince(Incarnation(latest));
    }
    let recently = u64::try_from(RECENTLY.as_millis()).unwrap_or(u64::MAX);
    if seen().any(|member| member.was_heard && member.silence_ms < recently) {
        return Judgement::MayRun;
    }
    Judgement::Serve
}

/// Asks the members, and refuses a disk that is not the last one; the number of the run that begins. Blocks for twice
/// [`Start::within`] at most.
///
/// # Errors
/// [`StartError::RanElsewhere`], [`StartError::RunsElsewhere`]; [`StartError::Thread`] if the system gave no thread.
pub(super) fn check(start: Start, tls: &NodeTls) -> Result<Incarnation, StartError> {
    let config = tls.client_config();
    // The caller may be on a thread of an async runtime.
    let asking = std::thread::Builder::new()
        .name("quoit-ask".to_owned())
        .spawn(move || block_on(ask(&start, &config)))
        .map_err(StartError::Thread)?;
    let lost = |_panic| StartError::Thread(io::Error::other("it ended by a defect"));
    asking.join().map_err(lost)?.map_err(StartError::Thread)?
}

async fn ask(start: &Start, config: &ClientConfig) -> Result<Incarnation, StartError> {
    let (node, run) = (start.node, start.run);
    let answers = members(start, Dialer::new(config.clone())).await;
    let begins = match judge(node, run, &answers) {
        Judgement::Serve => return Ok(run),
        Judgement::MayRun => run,
        Judgement::RanSince(latest) if start.accepts_older => {
            let latest = latest.0;
            tracing::warn!(latest, "an older disk is served, as asked");
            Incarnation(latest + 1)
        }
        Judgement::RanSince(latest) => {
            return Err(StartError::RanElsewhere {
                node,
                run: run.0,
                latest: latest.0,
            });
        }
    };
    match &start.address {
        Some(address) if answers_at(start, address, config.clone()).await => {
            Err(StartError::RunsElsewhere {
                node,
                address: address.clone(),
            })
        }
        Some(_) | None => Ok(begins),
    }
}

/// What a majority of the members see, or those that answer in time.
async fn members(start: &Start, dialer: Dialer) -> Vec<MembersSeen> {
    let others = start.others.iter().take(MAX_ASKED);
    let asked: Vec<_> = others
        .map(|(id, address)| Asked {
            address: address.clone(),
            server_name: server_name(*id),
        })
        .collect();
    let (all, enough) = (asked.len(), asked.len().div_ceil(2));
    let mut answers = Vec::new();
    let is_enough = |answer| {
        match answer {
            Ok(Response::Members(seen)) => answers.push(seen),
            Ok(_other) => tracing::debug!("a member that was asked answered something else"),
            Err(Unanswered { why, .. }) => {
                tracing::debug!(why, "a member that was asked gave no answer");
            }
        }
        answers.len() >= enough
    };
    let question = (Request::Members, start.within);
    ask_all(dialer, asked, question, is_enough).await;
    if answers.len() < enough {
        let answered = answers.len();
        tracing::info!(
            answered,
            all,
            "few members say whether this is the latest disk"
        );
    }
    answers
}

/// Whether somebody answers at an address with this node's certificate.
async fn answers_at(start: &Start, address: &str, config: ClientConfig) -> bool {
    let asked = vec![Asked {
        address: address.to_owned(),
        server_name: server_name(start.node),
    }];
    let mut is_there = false;
    let is_enough = |answer: Answer| {
        is_there = answer.map_or_else(|unanswered| unanswered.is_there, |_answer| true);
        true
    };
    let question = (Request::Members, start.within);
    ask_all(Dialer::new(config), asked, question, is_enough).await;
    is_there
}

#[cfg(test)]
mod tests {
    use quoit_ring::wire::{MemberSeen, MemberState};

    use super::*;

    const NODE: NodeId = NodeId(7);

    fn seen(incarnation: u64, silence_ms: u64, was_heard: bool) -> MembersSeen {
        let member = |node| MemberSeen {
            node,
            state: MemberState::Alive,
            was_heard,
            silence_ms,
            incarnation,
            heartbeat: 1,
            facts: None,
        };
        MembersSeen {
            is_isolated: false,
            members: vec![member(NODE)],
        }
    }

    #[test]
    fn a_disk_is_served_unless_a_member_knows_a_run_that_it_does_not() {
        let of = |answers: &[MembersSeen]| judge(NODE, Incarnation(5), answers);
        let ran = |run| Judgement::RanSince(Incarnation(run));
        assert_eq!(of(&[]), Judgement::Serve, "nobody knows");
        assert_eq!(of(&[seen(4, 60_000, true)]), Judgement::Serve);
        assert_eq!(of(&[seen(5, 60_000, true)]), ran(5));
        assert_eq!(of(&[seen(4, 60_000, true), seen(9, 0, true)]), ran(9));
        assert_eq!(of(&[seen(0, 0, false)]), Judgement::Serve, "never heard");
        assert_eq!(of(&[seen(5, 0, false)]), ran(5), "known from others");
        let lie = seen(u64::MAX, 60_000, true);
        assert_eq!(of(&[lie]), Judgement::Serve, "no node began so many");
        assert_eq!(of(&[seen(4, 4_999, true)]), Judgement::MayRun);

        let mut of_another = seen(9, 0, true);
        of_another.members[0].node = NodeId(8);
        assert_eq!(of(&[of_another]), Judgement::Serve);
    }
}
