//! How nodes sync with each other, and orders about that: for operators.

use quoit_ring::Member;
use quoit_ring::wire::{Request, Response, SyncAnswer, SyncOrder, SyncRequest, SyncStatus};

use crate::client::{Client, not_an_answer};
use crate::error::NodeError;

/// How one node stands with the other owners of its keys; made by [`Client::sync_status`].
#[derive(Debug, Clone)]
pub struct SyncReport {
    /// The node.
    pub member: Member,
    /// What it says of its syncs; or why it did not say.
    pub status: Result<SyncStatus, NodeError>,
}

impl Client {
    /// Asks all nodes at once how they stand with each other: when two were last found equal, and what was repaired. A node that
    /// does not answer within 2 s, or the client's deadline if that is less, is reported as such. In the order of the map.
    ///
    /// ```no_run
    /// # async fn example(client: quoit_client::Client) {
    /// for report in client.sync_status().await {
    ///     let peers = report.status.iter().flat_map(|status| &status.peers);
    ///     println!("{} has repaired {} keys", report.member.name, peers.map(|peer| peer.pulled).sum::<u64>());
    /// }
    /// # }
    /// ```
    pub async fn sync_status(&self) -> Vec<SyncReport> {
        self.ask_about_sync(SyncRequest::Status).await
    }

    /// Gives all nodes an order about syncs; what each says of them then. Needs an operator's certificate.
    ///
    /// A node that does not answer may have carried it out all the same. A pause ends with the node's process.
    ///
    /// ```no_run
    /// use quoit_ring::wire::SyncOrder;
    /// # async fn example(client: quoit_client::Client) {
    /// let reports = client.order_sync(SyncOrder::Now).await;
    /// assert!(reports.iter().all(|report| report.status.is_ok()));
    /// # }
    /// ```
    pub async fn order_sync(&self, order: SyncOrder) -> Vec<SyncReport> {
        self.ask_about_sync(SyncRequest::Order(order)).await
    }

    async fn ask_about_sync(&self, request: SyncRequest) -> Vec<SyncReport> {
        let status = |response| match response {
            Response::Sync(SyncAnswer::Status(status)) => Ok(status),
            other => Err(not_an_answer(&other)),
        };
        let answers = self.ask_all(&Request::Sync(request), status).await;
        let report = |(member, status)| SyncReport { member, status };
        answers.into_iter().map(report).collect()
    }
}
