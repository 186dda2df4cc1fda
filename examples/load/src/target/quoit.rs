//! A quoit cluster as a target: the public client, with its defaults.
//!
//! ```text
//!   get, put, delete --> quoit_client::Client --QUIC--> nodes
//! ```
//!
//! Blind writes: the last writer wins, which is what the peers do as well. Reads and writes ask for a
//! quorum. If a key has siblings, which one client's blind writes never make, the newest is taken.
//! Left out: retries; an operation ends when the client says so, at its deadline at the latest.

mod conditional;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use quoit_client::{Attempt, Client, Outcome, ReadError, Stored, WriteError};

use super::OpError;
use crate::cluster::ProcessIds;
use crate::result::HealthNote;

/// The client's own default bound.
const MAX_IN_FLIGHT: usize = 4096;
/// The client's largest bound.
const MOST_IN_FLIGHT: usize = 65_536;
/// How long to wait for a seed.
const CONNECT: Duration = Duration::from_secs(10);

/// A quoit cluster.
#[derive(Debug, Clone)]
pub(crate) struct Quoit {
    client: Client,
    pids: ProcessIds,
    describe: Arc<str>,
}

impl Quoit {
    /// Connects to the cluster of `profile`; `in_flight` operations will be under way at most, and each
    /// may take as long as `deadline`.
    pub(crate) async fn connect(
        profile: &Path,
        deadline: Duration,
        in_flight: usize,
    ) -> anyhow::Result<Self> {
        let client = Client::builder()
            .profile(profile)
            .deadline(deadline)
            .max_in_flight(in_flight.clamp(MAX_IN_FLIGHT, MOST_IN_FLIGHT))
            .connect_timeout(CONNECT)
            .connect()
            .await
            .with_context(|| format!("no cluster behind {}", profile.display()))?;
        let nodes = client.map().members.len();
        let describe = format!("quoit, {nodes} nodes, TLS").into();
        Ok(Self {
            client,
            pids: ProcessIds::default(),
            describe,
        })
    }

    /// Says what is known of an own cluster: its processes, and what a write survives there.
    pub(crate) fn own(mut self, pids: ProcessIds, survives: &str) -> Self {
        self.pids = pids;
        self.describe = format!("{}, {survives}", self.describe).into();
        self
    }

    /// What the client did about its nodes' health so far.
    pub(super) async fn health(&self) -> Option<HealthNote> {
        let report = self.client.health().await?;
        Some(HealthNote {
            hedges: report.hedges,
            won: report.hedges_won,
            refused: report.hedges_refused,
            ejections: report.ejections,
            probes: report.probes,
        })
    }

    /// Ends the client in order.
    pub(crate) async fn close(&self) {
        self.client.close().await;
    }

    pub(super) async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, OpError> {
        match self.client.get(Bytes::copy_from_slice(key)).await {
            Ok(entry) => Ok(entry.siblings().last().map(|value| value.bytes.clone())),
            Err(error) => Err(OpError {
                kind: read_kind(&error),
                may_be_stored: false,
            }),
        }
    }

    pub(super) async fn put(&self, key: &[u8], value: Bytes) -> Result<(), OpError> {
        let written = self.client.put(Bytes::copy_from_slice(key), value).await;
        written.map(drop).map_err(|error| write_error(&error))
    }

    pub(super) async fn delete(&self, key: &[u8]) -> Result<(), OpError> {
        let deleted = self.client.delete(Bytes::copy_from_slice(key)).await;
        deleted.map(drop).map_err(|error| write_error(&error))
    }

    pub(super) fn server_pids(&self) -> Vec<u32> {
        self.pids.now()
    }

    pub(super) fn describe(&self) -> String {
        self.describe.to_string()
    }
}

fn write_error(error: &WriteError) -> OpError {
    let kind = match error {
        WriteError::NotStored { attempts, .. } => because("not stored", attempts),
        WriteError::UnderReplicated { attempts, .. } => because("stored too thinly", attempts),
        WriteError::Unknown { attempts, .. } => because("outcome unknown", attempts),
        other => other.to_string(),
    };
    OpError {
        kind,
        may_be_stored: error.stored() != Stored::No,
    }
}

fn read_kind(error: &ReadError) -> String {
    match error {
        ReadError::Unavailable { attempts, .. } => because("too few answers", attempts),
        ReadError::Unstable { attempts, .. } => because("not on enough replicas", attempts),
        other => other.to_string(),
    }
}

/// `what`, with the first replica's reason: without names and numbers, so that equal failures count as one.
fn because(what: &str, attempts: &[Attempt]) -> String {
    let reason = attempts.iter().find_map(|attempt| match &attempt.outcome {
        Outcome::Done | Outcome::NotAsked => None,
        Outcome::Refused(refusal) => {
            let debug = format!("{refusal:?}");
            let name = debug.split(|c: char| !c.is_ascii_alphanumeric()).next();
            Some(format!("refused: {}", name.unwrap_or_default()))
        }
        Outcome::Damaged(_) => Some("a damaged answer".to_owned()),
        Outcome::AnswerTooLong { .. } => Some("an answer too long for this client".to_owned()),
        other => Some(other.to_string()),
    });
    reason.map_or_else(|| what.to_owned(), |reason| format!("{what}: {reason}"))
}

#[cfg(test)]
mod tests {
    use quoit_client::SentWrite;
    use quoit_ring::NodeId;

    use super::*;

    fn attempt(outcome: Outcome) -> Attempt {
        Attempt {
            node: NodeId(1),
            name: "n1".into(),
            outcome,
        }
    }

    #[test]
    fn failures_of_one_kind_count_as_one() {
        let attempts = vec![attempt(Outcome::Done), attempt(Outcome::TimedOut)];
        let error = WriteError::Unknown {
            acked: 1,
            needed: 2,
            attempts,
            write: SentWrite::default(),
        };
        let failure = write_error(&error);
        assert_eq!(failure.kind, "outcome unknown: no answer in time");
        assert!(failure.may_be_stored);
    }

    #[test]
    fn a_write_that_no_replica_has_is_said_to_be_stored_nowhere() {
        let attempts = vec![attempt(Outcome::Unreachable)];
        let error = WriteError::NotStored {
            needed: 2,
            n: 3,
            attempts,
        };
        assert!(!write_error(&error).may_be_stored);
    }
}
