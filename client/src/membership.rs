//! What the cluster agrees on, and proposals of what shall follow it: for operators' tools.
//!
//! ```text
//!   configuration()  --Map, and what follows epoch 0?--> all members --> the newest that one of them knows
//!   propose(a, b)    --votes--> the voters of a --> decided: b, or what another proposed --Learn--> all members
//! ```
//!
//! A change that is begun goes on by itself: the nodes drive it, step by step, and a tool only watches. Left out: which
//! map to propose, which is for the operator's tool to say.

use std::sync::Arc;

use bytes::Bytes;
use quoit_ring::change::Configuration;
use quoit_ring::consensus::Ballot;
use quoit_ring::wire::configuration::{decode_answer, encode_answer};

use quoit_ring::wire::{
    ConfigurationAnswer, MembershipAnswer, MembershipRequest, Refusal, Request, Response,
};
use quoit_ring::{Epoch, Member, NodeId};

use crate::client::{Client, not_an_answer, received};
use crate::error::{Attempt, Failed, NodeError, OTHER_QUESTION, Outcome};
use crate::metrics::Kind;
use crate::operation::Submission;
use crate::operation::propose;

/// What came of a proposal; made by [`Client::propose`]. All members that could be reached have heard of it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Proposed {
    /// It was decided.
    Decided(Box<Configuration>),
    /// Another one was decided in its place: somebody was quicker.
    Another(Box<Configuration>),
    /// The cluster is further already, in this later epoch. Whether the proposal was decided on the way there, this does
    /// not say.
    Overtaken(Box<Configuration>),
}

impl Proposed {
    /// The epoch that the cluster is in.
    #[must_use]
    pub const fn configuration(&self) -> &Configuration {
        let (Self::Decided(decided) | Self::Another(decided) | Self::Overtaken(decided)) = self;
        decided
    }
}

/// Why a question about the ring, or a proposal, failed.
///
/// ```
/// # use quoit_client::MembershipError;
/// let error = MembershipError::NoMajority { needed: 2, attempts: vec![], may_be_decided: true };
/// assert!(error.may_be_decided() && !MembershipError::Forbidden.may_be_decided());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MembershipError {
    /// No member said what the cluster agrees on. Nothing has changed.
    #[error("no member answered ({})", Failed(attempts))]
    NoAnswer {
        /// What came of each question.
        attempts: Vec<Attempt>,
    },
    /// The proposal is no successor of what it is to follow. Nothing was sent.
    #[error("what is proposed cannot follow epoch {}", after.0)]
    NotNext {
        /// What it was to follow.
        after: Epoch,
    },
    /// A voter refused the proposal as no successor of what it has decided. Nothing has changed.
    #[error("a voter refuses what is proposed: it cannot follow what is decided")]
    NoSuccessor,
    /// This client's certificate is no operator's. Nothing has changed.
    #[error("this certificate is no operator's: it may not change the ring")]
    Forbidden,
    /// Too few voters answered in time.
    #[error(
        "not decided: {needed} voters are needed, too few answered ({}){}",
        Failed(attempts),
        if *may_be_decided { "; it may be decided all the same" } else { "; nothing has changed" }
    )]
    NoMajority {
        /// How many are needed.
        needed: usize,
        /// What each voter did last.
        attempts: Vec<Attempt>,
        /// Whether the proposal may be decided, now or by another proposer later.
        may_be_decided: bool,
    },
    /// The client is closed. If it was while a proposal was under way, that may be decided.
    #[error("the client is closed")]
    Closed,
}

impl MembershipError {
    /// Whether what was proposed may be decided all the same.
    #[must_use]
    pub const fn may_be_decided(&self) -> bool {
        matches!(
            self,
            Self::Closed
                | Self::NoMajority {
                    may_be_decided: true,
                    ..
                }
        )
    }
}

impl Client {
    /// What the cluster agrees on: the newest epoch that any of its members knows, if this client has an operator's
    /// certificate; else the newest that one announces, which may be the one before while a change is under way. Asks all
    /// of them; one that does not answer within 2 s, or the client's deadline if that is less, is left out.
    ///
    /// ```no_run
    /// # async fn example(client: quoit_client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// let now = client.configuration().await?;
    /// println!("epoch {}, {} members", now.epoch.0, now.map.members.len());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`MembershipError`] if none answers. Nothing has changed.
    pub async fn configuration(&self) -> Result<Configuration, MembershipError> {
        let mut asked = Vec::new();
        for member in self.topology().members() {
            for request in [Request::Map, what_follows_nothing()] {
                // As one that knows nothing, so that the answer is all of it.
                let answer = self.ask_as_of(Some(Epoch(0)), member.id, request);
                asked.push((answer.await, member.clone()));
            }
        }
        let (mut newest, mut attempts) = (None::<Configuration>, Vec::new());
        for (answer, member) in asked {
            match configuration_of(received(answer).await.1) {
                Ok(found) if newest.as_ref().is_some_and(|it| it.epoch >= found.epoch) => {}
                Ok(found) => newest = Some(found),
                Err(NodeError::Closed) => return Err(MembershipError::Closed),
                Err(NodeError::Failed(Outcome::Refused(Refusal::Forbidden))) => {}
                Err(NodeError::Failed(outcome)) => {
                    let attempt = attempt(&member, outcome);
                    if attempts.last() != Some(&attempt) {
                        attempts.push(attempt);
                    }
                }
            }
        }
        newest.ok_or(MembershipError::NoAnswer { attempts })
    }

    /// Has the voters of `after` decide on what follows it, proposes `next`, and tells all members what was decided. It
    /// takes at most the client's deadline, and 2 s more if a member does not answer. Needs an operator's certificate.
    ///
    /// ```no_run
    /// # async fn example(client: quoit_client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// use quoit_client::Proposed;
    ///
    /// let now = client.configuration().await?;
    /// let next = now.revert().ok_or("no change is under way")?;
    /// match client.propose(&now, next).await? {
    ///     Proposed::Decided(next) => println!("epoch {}: it goes back", next.epoch.0),
    ///     other => println!("epoch {} is decided already", other.configuration().epoch.0),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`MembershipError`], which says whether the proposal [may be decided](MembershipError::may_be_decided) all the
    /// same. Then ask for the [configuration](Self::configuration) again, or propose the same again: it does no harm.
    pub async fn propose(
        &self,
        after: &Configuration,
        next: Configuration,
    ) -> Result<Proposed, MembershipError> {
        if !after.is_followed_by(&next) {
            let after = after.epoch;
            return Err(MembershipError::NotNext { after });
        }
        let admitted = self.admit(Kind::Ask, 0, None).await;
        let (caller, answer) = admitted.ok_or(MembershipError::Closed)?;
        let submission = Submission::Propose(propose::Submitted {
            after: Arc::new(after.clone()),
            next: Box::new(next),
            deadline: self.deadline(),
            caller,
        });
        if !self.submit(submission) {
            return Err(MembershipError::Closed);
        }
        let proposed = answer.await.ok_or(MembershipError::Closed)??;
        self.tell(after, proposed.configuration()).await;
        Ok(proposed)
    }

    /// Tells all members of an epoch what is decided. Nothing depends on who hears it: nodes tell each other, too.
    async fn tell(&self, before: &Configuration, decided: &Configuration) {
        let learn = |known| MembershipRequest::Learn {
            decided: Bytes::from(encode_answer(known, decided)),
        };
        let (short, whole) = (learn(Some(before)), learn(None));
        let mut behind = members(decided);
        for (request, epoch) in [(short, before.epoch), (whole, decided.epoch)] {
            let mut asked = Vec::new();
            for node in behind {
                let request = Request::Membership(request.clone());
                asked.push((node, self.ask_as_of(Some(epoch), node, request).await));
            }
            behind = Vec::new();
            for (node, answer) in asked {
                if let Ok(Response::Membership(answer)) = received(answer).await.1
                    && matches!(*answer, MembershipAnswer::Behind(_))
                {
                    behind.push(node);
                }
            }
        }
    }
}

/// Who is a member by either map.
fn members(configuration: &Configuration) -> Vec<NodeId> {
    let target = configuration.change.iter().map(|change| &change.target);
    let maps = core::iter::once(&configuration.map).chain(target);
    let mut ids: Vec<NodeId> = maps
        .flat_map(|map| map.members.iter().map(|it| it.id))
        .collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

fn attempt(member: &Member, outcome: Outcome) -> Attempt {
    Attempt {
        node: member.id,
        name: member.name.clone(),
        outcome,
    }
}

/// What a node answers with the newest epoch that it knows, announced or not: what follows epoch 0 was decided before
/// there was a node, so it gives no vote.
const fn what_follows_nothing() -> Request {
    let ballot = Ballot::ZERO;
    Request::Membership(MembershipRequest::Prepare { ballot })
}

fn configuration_of(answer: Result<Response, NodeError>) -> Result<Configuration, NodeError> {
    let damaged = |junk| NodeError::Failed(Outcome::Damaged(junk));
    let bytes = match answer? {
        Response::Map(bytes) => bytes,
        Response::Membership(answer) => match *answer {
            MembershipAnswer::Decided(bytes) => bytes,
            _ => return Err(damaged(OTHER_QUESTION)),
        },
        other => return Err(not_an_answer(&other)),
    };
    match decode_answer(&bytes).map_err(damaged)? {
        ConfigurationAnswer::Whole(found) if found.check().is_ok() => Ok(*found),
        _ => Err(damaged(OTHER_QUESTION)),
    }
}
