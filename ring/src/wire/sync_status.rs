//! How a node stands with each other owner of its leaves: a part of the messages of a sync, for people.

use bincode::{Decode, Encode};
use bytes::{BufMut as _, Bytes, BytesMut};

use crate::cluster::NodeId;
use crate::wire::codec::{self, DecodeError};

/// Most peers in an answer: members that a cluster may have.
const MAX_PEERS: usize = 1_024;
/// Most bytes in front of them.
const HEAD: usize = 96;
/// Most bytes of one of them; most have a third.
const PEER: usize = 256;
/// Most bytes of the reason why a sync broke off.
pub const MAX_SYNC_REASON: usize = 120;

/// How a node stands with the others.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SyncStatus {
    /// Whether an operator has paused it: it begins no sync.
    pub is_paused: bool,
    /// With whom it syncs now.
    pub comparing: Option<NodeId>,
    /// How far back writes are that may still be under way, and tombstones needed.
    pub stability: StabilityStatus,
    /// Those with whom it has synced since its start, ascending.
    pub peers: Vec<PeerSyncStatus>,
}

/// Up to when a node knows that no write is under way, and what it has forgotten since. Counts begin with the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
pub struct StabilityStatus {
    /// How many milliseconds ago that time is, of the range where it is earliest; none while a range has no such time.
    pub lag_ms: Option<u64>,
    /// How many leaves it has no such time of.
    pub leaves_without: u64,
    /// A member that has not answered, or with which it could not sync, in the last round: it holds back what is forgotten.
    pub waits_for: Option<NodeId>,
    /// Tombstones removed.
    pub forgotten: u64,
    /// Rows that another owner had lost, or this one, and that were restored.
    pub restored: u64,
}

/// How it stands with one. Counts begin with the process; bytes are about right.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct PeerSyncStatus {
    /// The other node.
    pub node: NodeId,
    /// How many milliseconds ago both were found equal; none if never.
    pub equal_ago_ms: Option<u64>,
    /// How many milliseconds ago the last sync ended.
    pub ended_ago_ms: u64,
    /// How it ended.
    pub end: SyncEnd,
    /// Keys that differed.
    pub differing: u64,
    /// Records that were written at this node.
    pub pulled: u64,
    /// Records that were written at the other one.
    pub pushed: u64,
    /// Keys that could not be repaired.
    pub failed: u64,
    /// Rows of this node that could not be read.
    pub damaged: u64,
    /// Bytes of requests.
    pub sent: u64,
    /// Bytes of answers.
    pub received: u64,
}

/// How a sync has ended.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum SyncEnd {
    /// Both hold the same.
    Equal,
    /// So many keys differed at the last look.
    Differ(u64),
    /// It broke off; why, in at most [`MAX_SYNC_REASON`] bytes.
    Failed(String),
}

impl SyncStatus {
    pub(super) fn put(&self, out: &mut BytesMut) {
        debug_assert!(
            self.peers.len() <= MAX_PEERS,
            "a cluster has no more members"
        );
        codec::put(&(self.is_paused, self.comparing, self.stability), out);
        for peer in &self.peers {
            let mut entry = BytesMut::new();
            codec::put(peer, &mut entry);
            debug_assert!(entry.len() <= PEER, "numbers and a short text");
            out.put_u16_le(u16::try_from(entry.len()).unwrap_or(u16::MAX));
            out.put_slice(&entry);
        }
    }

    pub(super) fn take(bytes: &Bytes) -> Result<Self, DecodeError> {
        let mut rest = &bytes[..];
        let (is_paused, comparing, stability) = codec::take::<_, HEAD>(&mut rest)?;
        let mut peers = Vec::new();
        while let Some((length, behind)) = rest.split_first_chunk() {
            let length = usize::from(u16::from_le_bytes(*length));
            if peers.len() == MAX_PEERS || length > behind.len() {
                return Err(DecodeError::Malformed(
                    "more peers than there may be, or fewer bytes",
                ));
            }
            let (entry, behind) = behind.split_at(length);
            let peer: PeerSyncStatus = codec::whole::<_, PEER>(entry)?;
            if let SyncEnd::Failed(why) = &peer.end
                && why.len() > MAX_SYNC_REASON
            {
                return Err(DecodeError::Malformed("a text over its limit"));
            }
            peers.push(peer);
            rest = behind;
        }
        codec::end(rest)?;
        Ok(Self {
            is_paused,
            comparing,
            stability,
            peers,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(id: u64, end: SyncEnd) -> PeerSyncStatus {
        PeerSyncStatus {
            node: NodeId(id),
            equal_ago_ms: Some(u64::MAX),
            ended_ago_ms: u64::MAX,
            end,
            differing: u64::MAX,
            pulled: u64::MAX,
            pushed: u64::MAX,
            failed: u64::MAX,
            damaged: u64::MAX,
            sent: u64::MAX,
            received: u64::MAX,
        }
    }

    fn encoded(status: &SyncStatus) -> Bytes {
        let mut out = BytesMut::new();
        status.put(&mut out);
        out.freeze()
    }

    #[test]
    fn the_longest_comes_back_and_one_more_is_refused() {
        let longest = "x".repeat(MAX_SYNC_REASON);
        let peers = (0..1024).map(|id| peer(u64::MAX - id, SyncEnd::Failed(longest.clone())));
        let mut status = SyncStatus {
            stability: StabilityStatus::default(),
            is_paused: true,
            comparing: Some(NodeId(u64::MAX)),
            peers: peers.collect(),
        };
        assert_eq!(SyncStatus::take(&encoded(&status)).as_ref(), Ok(&status));

        let bytes = encoded(&status);
        let cut = bytes.slice(..bytes.len() - 1);
        assert!(SyncStatus::take(&cut).is_err());
        let more = [
            &bytes[..],
            &encoded(&SyncStatus {
                peers: vec![peer(1, SyncEnd::Equal)],
                ..SyncStatus::default()
            })[2..],
        ]
        .concat();
        assert!(SyncStatus::take(&more.into()).is_err(), "one peer too many");

        status.peers = vec![peer(1, SyncEnd::Failed(longest + "x"))];
        assert!(
            SyncStatus::take(&encoded(&status)).is_err(),
            "a text too long"
        );
    }
}
