//! What the handlers and the driver of syncs have in common: which leaves this node shares with whom, and how each sync ended.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quoit_ring::merkle::SharedLeaves;
use quoit_ring::wire::{
    MAX_SYNC_REASON, PeerSyncStatus, Refusal, StabilityStatus, SyncEnd, SyncOrder, SyncStatus,
};
use quoit_ring::{Epoch, Moment, NodeId};

use super::session::{Ended, Tally};
use crate::cluster::{ClusterView, unserved};

/// The leaves that a node shares with each other one.
pub(crate) type SharedByPeer = Arc<BTreeMap<NodeId, Arc<SharedLeaves>>>;

/// How this node stands with one other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PeerSync {
    /// When both were last found equal.
    pub equal_at: Option<Moment>,
    /// How the last sync ended, and when.
    pub last: Option<(Ended, Moment)>,
    /// What all of them since the start have found and moved.
    pub total: Tally,
}

/// What the handlers and the driver of syncs have in common.
#[derive(Debug, Default)]
pub struct SyncView {
    shared: Mutex<Option<(Epoch, SharedByPeer)>>,
    /// When a node last asked for something that differs: one entry for each certificate, and those of members alone from
    /// the next epoch on.
    heard: Mutex<BTreeMap<NodeId, Moment>>,
    peers: Mutex<BTreeMap<NodeId, PeerSync>>,
    /// With whom this node syncs at present.
    comparing: Mutex<Option<NodeId>>,
    is_paused: AtomicBool,
    is_wanted: AtomicBool,
}

impl SyncView {
    /// What this node shares with the others in `epoch`, without those that are written off. Made once an epoch: it takes a
    /// look at each vnode.
    ///
    /// # Errors
    /// The refusal of an epoch that is not the newest one here.
    pub(crate) fn shared(
        &self,
        cluster: &ClusterView,
        epoch: Epoch,
    ) -> Result<SharedByPeer, Refusal> {
        let newest = cluster.newest();
        if epoch != newest.epoch() {
            return Err(unserved(epoch, newest.epoch()));
        }
        let mut cached = lock(&self.shared);
        if let Some((of, shared)) = &*cached
            && *of == epoch
        {
            return Ok(Arc::clone(shared));
        }

        let removed = &newest.configuration().removed;
        let all = newest.topology().shared(cluster.node).into_iter();
        let left = all.filter(|(peer, _)| removed.binary_search(peer).is_err());
        let shared: SharedByPeer = Arc::new(left.map(|(peer, it)| (peer, Arc::new(it))).collect());
        *cached = Some((epoch, Arc::clone(&shared)));
        Ok(shared)
    }

    /// A peer goes through what differs between it and this node.
    pub(crate) fn hear(&self, peer: NodeId, now: Moment) {
        lock(&self.heard).insert(peer, now);
    }

    /// When a peer last asked for something that differs.
    pub(crate) fn heard(&self, peer: NodeId) -> Option<Moment> {
        lock(&self.heard).get(&peer).copied()
    }

    /// Forgets all but these peers.
    pub(crate) fn keep(&self, is_peer: impl Fn(&NodeId) -> bool) {
        lock(&self.heard).retain(|peer, _| is_peer(peer));
        lock(&self.peers).retain(|peer, _| is_peer(peer));
    }

    /// A sync has ended. Whether it leaves other keys unrepaired than the one before.
    pub(crate) fn note(&self, peer: NodeId, (ended, tally): (Ended, Tally), now: Moment) -> bool {
        let mut peers = lock(&self.peers);
        let it = peers.entry(peer).or_default();
        let before = (it.total.failed, it.total.damaged);
        it.last = Some((ended, now));
        it.total.add(tally);
        if ended == Ended::Equal {
            it.equal_at = Some(now);
        }
        before != (tally.failed, tally.damaged)
    }

    /// How this node stands with each peer that it has synced with.
    #[must_use]
    pub fn peers(&self) -> BTreeMap<NodeId, PeerSync> {
        lock(&self.peers).clone()
    }

    /// With whom this node syncs from now on, if with anybody.
    pub(crate) fn set_comparing(&self, peer: Option<NodeId>) {
        *lock(&self.comparing) = peer;
    }

    /// Carries an operator's order out.
    pub fn order(&self, order: SyncOrder) {
        match order {
            SyncOrder::Now => self.is_wanted.store(true, Ordering::Release),
            SyncOrder::Pause => self.is_paused.store(true, Ordering::Release),
            SyncOrder::Resume => self.is_paused.store(false, Ordering::Release),
        }
    }

    /// Whether an operator wants a sync with all; once.
    pub(crate) fn take_wanted(&self) -> bool {
        self.is_wanted.swap(false, Ordering::AcqRel)
    }

    /// How this node stands with the others, for people.
    #[must_use]
    pub fn status(&self, stability: StabilityStatus, now: Moment) -> SyncStatus {
        let ago = |at: Moment| now.saturating_since(at).as_millis();
        let ago = |at| u64::try_from(ago(at)).unwrap_or(u64::MAX);
        let peers = self.peers().into_iter().filter_map(|(node, it)| {
            let (ended, at) = it.last?;
            Some(PeerSyncStatus {
                node,
                equal_ago_ms: it.equal_at.map(ago),
                ended_ago_ms: ago(at),
                end: end_of(ended),
                differing: it.total.differing,
                pulled: it.total.pulled,
                pushed: it.total.pushed,
                failed: it.total.failed,
                damaged: it.total.damaged,
                sent: it.total.sent,
                received: it.total.received,
            })
        });
        SyncStatus {
            is_paused: self.is_paused(),
            comparing: *lock(&self.comparing),
            stability,
            peers: peers.collect(),
        }
    }

    /// Whether no sync is begun.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.is_paused.load(Ordering::Acquire)
    }
}

fn end_of(ended: Ended) -> SyncEnd {
    match ended {
        Ended::Equal => SyncEnd::Equal,
        Ended::Differ { keys } => SyncEnd::Differ(keys),
        Ended::Failed(failure) => {
            let mut why = failure.to_string();
            why.truncate(why.floor_char_boundary(MAX_SYNC_REASON));
            SyncEnd::Failed(why)
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
