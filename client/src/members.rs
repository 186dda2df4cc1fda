//! What each node sees of the others: for operators, and for people who look for the cause of something.
//!
//! ```text
//!   ask every member --Members--> who is alive, suspect or failed for it, and what each says of itself
//! ```
//!
//! Nodes judge by themselves, so their answers may differ: that a node is failed for one and alive for the others says that
//! the way between these two is broken. No request is routed by it.

use quoit_ring::Member;
use quoit_ring::wire::{MembersSeen, Request, Response};

use crate::client::{Client, not_an_answer};
use crate::error::NodeError;

/// What one node sees of the others; made by [`Client::members`].
#[derive(Debug, Clone)]
pub struct MembersReport {
    /// The node.
    pub member: Member,
    /// What it sees; or why the report failed.
    pub seen: Result<MembersSeen, NodeError>,
}

impl Client {
    /// Asks all nodes at once which of the others they hear. A node that does not answer within 2 s, or the client's
    /// deadline if that is less, is reported as such. In the order of the map.
    ///
    /// ```no_run
    /// # use quoit_ring::wire::MemberState;
    /// # async fn example(client: quoit_client::Client) {
    /// for report in client.members().await {
    ///     let seen = report.seen.iter().flat_map(|seen| &seen.members);
    ///     for silent in seen.filter(|member| member.state != MemberState::Alive) {
    ///         println!("{} does not hear {}", report.member.name, silent.node);
    ///     }
    /// }
    /// # }
    /// ```
    pub async fn members(&self) -> Vec<MembersReport> {
        let seen = |response| match response {
            Response::Members(seen) => Ok(seen),
            other => Err(not_an_answer(&other)),
        };
        let answers = self.ask_all(&Request::Members, seen).await;
        let report = |(member, seen)| MembersReport { member, seen };
        answers.into_iter().map(report).collect()
    }
}
