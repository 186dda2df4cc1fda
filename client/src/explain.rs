//! What one read did: which nodes it asked, when, with what result, and what it repaired.
//!
//! ```text
//!   get(key).explain()     n2  read     after 0        took 310 us   done
//!                          n3  read     after 0        took 390 us   done
//!                          n3  repair   after 391 us   took 2.1 ms   done
//!                          answered after 2.6 ms
//! ```
//!
//! For people who look for the cause of something, and for tests: a read that explains itself is any other read,
//! with its repairs and its deadline, and reports once nothing is left of it. Left out: what each replica
//! holds ([`Client::inspect`]), and what is known of the nodes ([`Client::health`]).

use std::time::Duration;

use quoit_ring::change::Quorums;
use tokio::sync::oneshot;

use crate::builders::{Get, read};
use crate::client::Client;
use crate::consistency::{Consistency, ReadRepair};
use crate::entry::Entry;
use crate::error::{InvalidRequest, ReadError};
use crate::operation::plan::{read_rules, write_needs};
use crate::trace::RequestReport;

/// What a read did; made by [`Get::explain`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Explained {
    /// What it returned.
    pub result: Result<Entry, ReadError>,
    /// How long that took from its first request; `None` if it made none.
    pub answered_after: Option<Duration>,
    /// Its requests, in the order in which they were made. Probes of other nodes are not among them.
    pub requests: Vec<RequestReport>,
}

/// What this client's operations need, unless they say otherwise; made by [`Client::quorum_sizes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct QuorumSizes {
    /// What is promised.
    pub consistency: Consistency,
    /// Copies of each key: what the ring says, or all members if they are fewer.
    pub n: usize,
    /// Answers that a read needs.
    pub r: usize,
    /// Replicas that must hold what a read returns before it does; 0 if it does not wait for that.
    pub hold: usize,
    /// Acknowledgements that a write needs.
    pub w: usize,
    /// When a read repairs.
    pub repair: ReadRepair,
}

impl Get {
    /// Reads as awaiting it does, and reports what that took. Returns once nothing is left of the read: up to a
    /// second after its answer where it waits for replicas to compare.
    ///
    /// ```no_run
    /// # async fn example(client: quoit_client::Client) {
    /// let read = client.get("key").explain().await;
    /// for request in &read.requests {
    ///     println!("{} {}: {:?}", request.kind.name(), request.name, request.outcome);
    /// }
    /// # }
    /// ```
    pub async fn explain(self) -> Explained {
        let (report, trace) = oneshot::channel();
        let result = read(self, Some(report)).await;
        let trace = trace.await.unwrap_or_default();
        Explained {
            result,
            answered_after: trace.answered_after,
            requests: trace.requests,
        }
    }
}

impl Client {
    /// What operations need by this client's settings and the ring it holds; asks nobody.
    ///
    /// ```no_run
    /// # fn example(client: &quoit_client::Client) -> Result<(), quoit_client::InvalidRequest> {
    /// let needs = client.quorum_sizes()?;
    /// println!("N = {}, R = {}, W = {}", needs.n, needs.r, needs.w);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`InvalidRequest`] if R or W is out of range for this ring, as each operation would say.
    pub fn quorum_sizes(&self) -> Result<QuorumSizes, InvalidRequest> {
        let (plan, n) = (self.read_plan(), usize::from(self.copies()));
        let lists = Quorums::one(n);
        let rules = read_rules(&plan, lists)?;
        let hold = rules.hold.lists().map(|(_, needed)| needed).max();
        Ok(QuorumSizes {
            consistency: plan.consistency,
            n,
            r: rules.r.of_any(),
            hold: hold.unwrap_or_default(),
            w: write_needs(&self.write_plan(), lists)?.of_any(),
            repair: plan.read_repair(),
        })
    }
}
