//! The cluster as one node sees it: its own id, and the epochs that it serves.
//!
//! ```text
//!   epoch       5             6           7             8
//!            refused        served      served       refused: this node is behind
//!                            fence      newest
//! ```
//!
//! A request names the epoch in which its sender looked up the owners, and is served by the owners of that epoch or not at
//! all. What is decided after an epoch is **learned** first, on the disk before it is served; then both are served until
//! the **fence** is raised, from when older epochs are refused, where a request arrives and again where a write is joined.
//! Answers announce the epoch at the fence: by the time that clients hear of one, the other nodes have learned it.
//!
//! Invariants: served are one epoch or several in a row; the first of them is the fence, and neither it nor the last one
//! ever falls. So a restart, which begins with the newest one only, refuses all that was refused before.
//!
//! Left out: who decides, and when a node learns or is fenced.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard};

use bytes::Bytes;
use quoit_ring::change::{Branch, Known, MovingRange, Topology};
use quoit_ring::wire::Refusal;
use quoit_ring::wire::configuration::encode_answer;
use quoit_ring::{Epoch, Leaf, LeafBits, NodeId, TokenKey, token_of};
use smallvec::SmallVec;

use crate::storage::moving::Run;

/// One epoch that is served, and how it is answered.
#[derive(Debug)]
struct Served {
    known: Known,
    /// All of it.
    whole: Bytes,
    /// What leads to it from the epoch that was served before.
    update: Option<(Epoch, Bytes)>,
    /// Whether this node serves what it is to own in it: nothing is left there of an earlier ownership.
    has_taken: bool,
    /// What moves in it, once somebody has asked.
    moving: OnceLock<Arc<[MovingRange]>>,
    /// Who owns what in it by its old lists, once somebody has asked.
    owned: OnceLock<Arc<[OwnedRange]>>,
}

/// Leaves that have the same owners, by the list that holds everything: the old one, while they move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OwnedRange {
    pub(crate) leaves: Run,
    pub(crate) owners: SmallVec<[NodeId; 3]>,
}

impl Served {
    fn new(known: Known, before: Option<&Known>) -> Self {
        let encode = |old| Bytes::from(encode_answer(old, known.configuration()));
        Self {
            whole: encode(None),
            update: before.map(|before| (before.epoch(), encode(Some(before.configuration())))),
            known,
            has_taken: false,
            moving: OnceLock::new(),
            owned: OnceLock::new(),
        }
    }

    /// What moves in it, made at the first call.
    fn moving(&self) -> &Arc<[MovingRange]> {
        let make = || self.known.moving().into();
        self.moving.get_or_init(make)
    }

    /// Who owns what in it, made at the first call.
    fn owned(&self) -> &Arc<[OwnedRange]> {
        self.owned.get_or_init(|| owned_ranges(&self.known).into())
    }

    /// The encoded answer for a side that knows `known`.
    fn answer(&self, known: Epoch) -> Bytes {
        match &self.update {
            Some((before, update)) if *before == known => update.clone(),
            _ => self.whole.clone(),
        }
    }

    const fn epoch(&self) -> Epoch {
        self.known.epoch()
    }
}

/// A node, and the epochs that it serves.
#[derive(Debug)]
pub struct ClusterView {
    /// This node.
    pub node: NodeId,
    // The same in every epoch, so a key's leaf is found without a lock.
    token_key: TokenKey,
    leaf_bits: LeafBits,
    /// The epoch at the fence: what answers carry.
    announced: AtomicU64,
    /// Ascending, never empty.
    served: RwLock<Vec<Served>>,
}

impl ClusterView {
    /// The view of `node` in this epoch.
    #[must_use]
    pub fn new(node: NodeId, known: Known) -> Self {
        let map = &known.configuration().map;
        Self {
            node,
            token_key: map.token_key,
            leaf_bits: map.leaf_bits,
            announced: AtomicU64::new(known.epoch().0),
            served: RwLock::new(vec![Served::new(known, None)]),
        }
    }

    /// The epoch that answers carry: older ones are refused.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        Epoch(self.announced.load(Ordering::Acquire))
    }

    /// The leaf of `key`.
    #[must_use]
    pub fn leaf_of(&self, key: &[u8]) -> Leaf {
        self.leaf_bits.leaf_of(token_of(&self.token_key, key))
    }

    /// Whether `node` owns `leaf` in `epoch`.
    ///
    /// # Errors
    /// [`Refusal::OldEpoch`] or [`Refusal::Behind`] if that epoch is not served; the latter, too, if this node is to own the
    /// leaf in it, and has not emptied it yet.
    pub fn owns(&self, epoch: Epoch, node: NodeId, leaf: Leaf) -> Result<bool, Refusal> {
        let all = self.read();
        let served = at(&all, epoch)?;
        // Nobody waits for what it acknowledges once it is written off, whichever epoch a client asks in. One that has left
        // serves the epochs before: what is acknowledged in those is with the new owners, too.
        let is_written_off = |it: &Served| it.known.configuration().is_written_off(node);
        if node == self.node && all.iter().any(is_written_off) {
            return Ok(false);
        }
        let lists = served.known.topology().lists_of_leaf(leaf);
        if !served.has_taken && node == self.node && lists.is_newcomer(node) {
            return Err(Refusal::Behind);
        }
        Ok(lists.is_owner(node))
    }

    /// Who owns what in `epoch`, for looking at many leaves.
    ///
    /// # Errors
    /// [`Refusal::OldEpoch`] or [`Refusal::Behind`] if that epoch is not served; [`Refusal::NotReplica`] if this node is
    /// written off.
    pub(crate) fn owners(&self, epoch: Epoch) -> Result<Owners, Refusal> {
        let all = self.read();
        let served = at(&all, epoch)?;
        let is_written_off = |it: &Served| it.known.configuration().is_written_off(self.node);
        if all.iter().any(is_written_off) {
            return Err(Refusal::NotReplica);
        }
        Ok(Owners {
            node: self.node,
            topology: served.known.topology().clone(),
            has_taken: served.has_taken,
        })
    }

    /// The leaves that this node owns in `epoch`, by the old lists of what moves, ascending; none if that epoch is not served.
    pub(crate) fn own_runs(&self, epoch: Epoch) -> Vec<Run> {
        self.shared_runs(epoch, self.node)
    }

    /// Whether a node was removed from the cluster, or written off, as far as this one knows.
    #[must_use]
    pub fn is_removed(&self, node: NodeId) -> bool {
        let served = self.read();
        let newest = served[served.len() - 1].known.configuration();
        newest.removed.binary_search(&node).is_ok()
    }

    /// Whether this node is no member once the change under way has ended, or is none already: older epochs, in which it was one,
    /// may still be served.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        let served = self.read();
        let newest = served[served.len() - 1].known.configuration();
        let last = (newest.change.as_ref()).map_or(&newest.map, |change| &change.target);
        !last.members.iter().any(|member| member.id == self.node)
    }

    /// Whether a node is a member by the newest epoch, in either of its maps.
    #[must_use]
    pub fn is_member(&self, node: NodeId) -> bool {
        let served = self.read();
        served[served.len() - 1]
            .known
            .topology()
            .member(node)
            .is_some()
    }

    /// Whether this node serves what it is to own in `epoch`: nothing is left there of an earlier ownership. Not for an epoch
    /// that is not served.
    #[must_use]
    pub fn has_taken(&self, epoch: Epoch) -> bool {
        let served = self.read();
        let served = served.iter().find(|served| served.epoch() == epoch);
        served.is_some_and(|served| {
            let is_newcomer = |range: &MovingRange| range.is_newcomer(self.node);
            served.has_taken || !served.moving().iter().any(is_newcomer)
        })
    }

    /// The ranges that move in `epoch`, ascending; none if that epoch is not served.
    #[must_use]
    pub fn moving(&self, epoch: Epoch) -> Arc<[MovingRange]> {
        let served = self.read();
        let served = served.iter().find(|served| served.epoch() == epoch);
        served.map_or_else(Arc::default, |served| Arc::clone(served.moving()))
    }

    /// The leaves that both this node and `other` own in `epoch`, by their old lists; none if that epoch is not served.
    pub(crate) fn shared_runs(&self, epoch: Epoch, other: NodeId) -> Vec<Run> {
        let is_shared = |owners: &[NodeId]| owners.contains(&self.node) && owners.contains(&other);
        let owned = {
            let served = self.read();
            let served = served.iter().find(|served| served.epoch() == epoch);
            served.map_or_else(Arc::default, |served| Arc::clone(served.owned()))
        };
        let shared = owned.iter().filter(|range| is_shared(&range.owners));
        shared.map(|range| range.leaves.clone()).collect()
    }

    /// The lists of owners that this node is in, by `epoch`, each once; none if that epoch is not served.
    pub(crate) fn own_lists(&self, epoch: Epoch) -> Vec<SmallVec<[NodeId; 3]>> {
        let served = self.read();
        let Some(served) = served.iter().find(|served| served.epoch() == epoch) else {
            return Vec::new();
        };
        let owned = served.owned().iter().map(|range| &range.owners);
        let own = owned.filter(|owners| owners.contains(&self.node));
        let mut lists: Vec<SmallVec<[NodeId; 3]>> = own.cloned().collect();
        lists.sort_unstable();
        lists.dedup();
        lists
    }

    /// Refuses an epoch that is not served.
    ///
    /// # Errors
    /// [`Refusal::OldEpoch`], [`Refusal::Behind`] or [`Refusal::OtherRecovery`].
    pub fn serves(&self, epoch: Epoch) -> Result<(), Refusal> {
        if epoch == self.epoch() {
            return Ok(()); // all but ever, and without a lock
        }
        at(&self.read(), epoch).map(|_served| ())
    }

    /// The epoch that is announced.
    #[must_use]
    pub fn current(&self) -> Known {
        self.read()[0].known.clone()
    }

    /// The newest epoch that this node has learned: who is a member by it is one.
    #[must_use]
    pub fn newest(&self) -> Known {
        let served = self.read();
        served[served.len() - 1].known.clone()
    }

    /// The announced epoch for a side that knows `known`: what leads there from that, if it is the one before, else all.
    #[must_use]
    pub fn answer(&self, known: Epoch) -> Bytes {
        self.read()[0].answer(known)
    }

    /// The newest epoch for a side that knows `known`.
    #[must_use]
    pub fn newest_answer(&self, known: Epoch) -> Bytes {
        let served = self.read();
        served[served.len() - 1].answer(known)
    }

    /// Serves a newer epoch, too, which is on the disk; false if it is none. Epochs that this node has missed take those
    /// before them along: it does not know who owned what in between. `has_taken` says whether what this node is to own in
    /// it is empty.
    pub(crate) fn learn(&self, known: Known, has_taken: bool) -> bool {
        let newest = self.newest();
        if known.epoch() <= newest.epoch() {
            return false;
        }
        let is_next = known.epoch().0 == newest.epoch().0 + 1;
        let next = Served {
            has_taken,
            ..Served::new(known, Some(&newest)) // before the lock, as it takes a while
        };

        let mut served = self.served.write().unwrap_or_else(PoisonError::into_inner);
        if !is_next {
            served.clear();
        }
        served.push(next);
        self.announce(&served);
        true
    }

    /// Serves what this node is to own in `epoch`, if that epoch is served.
    pub(crate) fn take(&self, epoch: Epoch) {
        let mut served = self.served.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(served) = served.iter_mut().find(|served| served.epoch() == epoch) {
            served.has_taken = true;
        }
    }

    /// Refuses all epochs before `fence`, as far as this node has learned later ones. The epoch that it refuses all
    /// before from now on.
    pub(crate) fn fence(&self, fence: Epoch) -> Epoch {
        let mut served = self.served.write().unwrap_or_else(PoisonError::into_inner);
        let last = served.len() - 1;
        let is_before = |served: &&Served| served.epoch() < fence;
        let before = served.iter().take_while(is_before).count();
        served.drain(..before.min(last));
        self.announce(&served);
        served[0].epoch()
    }

    fn announce(&self, served: &[Served]) {
        let in_a_row = |pair: &[Served]| pair[0].epoch().0 + 1 == pair[1].epoch().0;
        debug_assert!(served.windows(2).all(in_a_row), "none is left out");
        let fence = served[0].epoch().0;
        let before = self.announced.swap(fence, Ordering::AcqRel);
        debug_assert!(before <= fence, "a fence never falls");
    }

    fn read(&self) -> RwLockReadGuard<'_, Vec<Served>> {
        self.served.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who owns what in one epoch, as a node sees it that serves it.
#[derive(Debug)]
pub(crate) struct Owners {
    node: NodeId,
    topology: Topology,
    has_taken: bool,
}

impl Owners {
    /// Whether the node sends the rows of `leaf` in a scan, and then whether it is the first to do so.
    ///
    /// # Errors
    /// [`Refusal::Behind`] if it is to own the leaf, and has not emptied it yet.
    pub(crate) fn sends(
        &self,
        leaf: Leaf,
        (cover, without): (usize, &[NodeId]),
    ) -> Result<Option<bool>, Refusal> {
        let lists = self.topology.lists_of_leaf(leaf);
        let covering = lists.covering(cover, without);
        let place = covering.iter().position(|&node| node == self.node);
        if place.is_some() && !self.has_taken && lists.is_newcomer(self.node) {
            return Err(Refusal::Behind);
        }
        Ok(place.map(|place| place == 0))
    }

    /// Whether any leaf moves.
    pub(crate) const fn is_changing(&self) -> bool {
        self.topology.change().is_some()
    }
}

/// All leaves with their owners, by the old lists of what moves; neighbours with the same owners as one.
fn owned_ranges(known: &Known) -> Vec<OwnedRange> {
    let mut ranges: Vec<OwnedRange> = Vec::new();
    for stretch in known.topology().stretches() {
        let owners: SmallVec<[NodeId; 3]> = stretch.lists.old_owners().collect();
        match ranges.last_mut() {
            Some(before) if before.owners == owners => {
                before.leaves = *before.leaves.start()..=*stretch.leaves.end();
            }
            _ => ranges.push(OwnedRange {
                leaves: stretch.leaves,
                owners,
            }),
        }
    }
    ranges
}

/// The epoch among those that are served.
fn at(served: &[Served], epoch: Epoch) -> Result<&Served, Refusal> {
    let found = served.iter().find(|served| served.epoch() == epoch);
    found.ok_or_else(|| unserved(epoch, served[0].epoch()))
}

/// Why an epoch is not served by a node that serves this one.
pub(crate) fn unserved(epoch: Epoch, served: Epoch) -> Refusal {
    if Branch::of(epoch).is_foreign(Branch::of(served)) {
        Refusal::OtherRecovery
    } else if epoch < served {
        Refusal::OldEpoch
    } else {
        Refusal::Behind
    }
}

#[cfg(test)]
mod tests {
    use quoit_ring::change::Arcs;
    use quoit_ring::wire::configuration::decode_answer;

    use super::*;
    use crate::testing::{SELF, ring};

    /// A ring of one that becomes one of two, epoch by epoch; with the view of its member in the first one.
    fn epochs() -> (ClusterView, Vec<Known>) {
        let first = Known::of(ring(1));
        let begun = first
            .configuration()
            .begin(ring(2).map().clone(), Arcs::FULL);
        let mut epochs = vec![first.later(begun.unwrap()).unwrap()];
        while let Some(next) = epochs[epochs.len() - 1].configuration().step() {
            epochs.push(epochs[epochs.len() - 1].later(next).unwrap());
        }
        (ClusterView::new(SELF, first), epochs)
    }

    #[test]
    fn epochs_from_the_fence_to_the_newest_are_served() {
        let (cluster, epochs) = epochs();
        assert_eq!(cluster.serves(Epoch(3)), Err(Refusal::Behind));
        assert!(cluster.learn(epochs[0].clone(), true) && !cluster.learn(epochs[0].clone(), true));
        assert_eq!(cluster.epoch(), Epoch(2), "it is not announced yet");
        assert_eq!(
            [2, 3].map(|epoch| cluster.serves(Epoch(epoch))),
            [Ok(()); 2]
        );

        assert_eq!(cluster.fence(Epoch(9)), Epoch(3), "as far as it knows");
        assert_eq!(cluster.serves(Epoch(2)), Err(Refusal::OldEpoch));
        assert_eq!(
            (cluster.serves(Epoch(3)), cluster.epoch()),
            (Ok(()), Epoch(3))
        );
        assert_eq!(cluster.fence(Epoch(1)), Epoch(3), "it never falls");
    }

    #[test]
    fn a_node_that_has_missed_epochs_serves_none_before() {
        let (cluster, epochs) = epochs();
        assert!(cluster.learn(epochs[0].clone(), true) && cluster.learn(epochs[2].clone(), true));
        let answers = [2, 3, 4, 5].map(|epoch| cluster.serves(Epoch(epoch)).err());
        let old = Some(Refusal::OldEpoch);
        assert_eq!(answers, [old, old, old, None]);
    }

    #[test]
    fn an_epoch_of_another_recovery_is_neither_old_nor_new_but_foreign() {
        let first = Known::of(ring(3));
        let recovered = |lost: &[u64]| {
            let lost: Vec<NodeId> = lost.iter().copied().map(NodeId).collect();
            first.configuration().recovered(&lost).unwrap()
        };
        let (own, other) = (recovered(&[3]), recovered(&[2, 3]));
        let cluster = ClusterView::new(SELF, first.later(own.clone()).unwrap());
        for steps in 0..3 {
            let foreign = Epoch(other.epoch.0 + steps);
            assert_eq!(cluster.serves(foreign), Err(Refusal::OtherRecovery));
        }
        assert_eq!(cluster.serves(first.epoch()), Err(Refusal::OldEpoch));
        let next = Epoch(own.epoch.0 + 1);
        assert_eq!(cluster.serves(next), Err(Refusal::Behind));
    }

    #[test]
    fn a_node_that_is_written_off_serves_nothing_any_more_in_any_epoch() {
        let first = Known::of(ring(2));
        let cluster = ClusterView::new(SELF, first.clone());
        let (epoch, leaf) = (first.epoch(), Leaf(0));
        let owned = (0..1 << 12).map(Leaf);
        let owned = owned.filter(|leaf| first.topology().owns(SELF, *leaf));
        let leaf = owned.into_iter().next().unwrap_or(leaf);
        assert_eq!(cluster.owns(epoch, SELF, leaf), Ok(true));

        let less = first.configuration().without_copies_of(&[SELF]).unwrap();
        assert!(cluster.learn(first.later(less).unwrap(), true));
        for epoch in [epoch.0, epoch.0 + 1].map(Epoch) {
            assert_eq!(cluster.owns(epoch, SELF, leaf), Ok(false));
        }
        assert!(cluster.is_member(SELF) && cluster.is_removed(SELF));
    }

    /// A client may not have heard yet that the last step is decided.
    #[test]
    fn a_node_that_has_left_serves_the_epochs_before() {
        let first = Known::of(ring(2));
        let mut target = first.configuration().map.clone();
        target.members.retain(|member| member.id != SELF);
        let begun = first
            .configuration()
            .begin(target, Arcs::new(1).unwrap())
            .unwrap();
        let begun = first.later(begun).unwrap();
        let after = begun.later(begun.configuration().step().unwrap()).unwrap();
        let leaf = (0..1 << 12).map(Leaf);
        let leaf = leaf
            .into_iter()
            .find(|leaf| first.topology().owns(SELF, *leaf));
        let (cluster, leaf) = (ClusterView::new(SELF, first), leaf.unwrap());
        let epochs = [begun.epoch(), after.epoch()];
        assert!(!cluster.is_leaving());
        assert!(cluster.learn(begun, true) && cluster.is_leaving());
        assert!(cluster.learn(after, true) && cluster.is_leaving());
        assert!(cluster.is_removed(SELF) && !cluster.is_member(SELF));
        let owns = epochs.map(|epoch| cluster.owns(epoch, SELF, leaf));
        assert_eq!(owns, [Ok(true), Ok(false)]);
    }

    #[test]
    fn a_leaf_has_its_owners_by_epoch() {
        let (cluster, epochs) = epochs();
        let last = epochs.last().unwrap().topology().clone();
        let moved = (0..1 << 12).map(Leaf).find(|&leaf| !last.owns(SELF, leaf));
        let moved = moved.expect("the second member owns some");
        for known in epochs {
            let epoch = known.epoch();
            let owns = known.topology().owns(SELF, moved);
            assert!(cluster.learn(known, true));
            assert_eq!(cluster.owns(epoch, SELF, moved), Ok(owns));
        }
        assert_eq!(cluster.owns(Epoch(2), SELF, moved), Ok(true));
        let last = cluster.newest().epoch();
        assert_eq!(cluster.owns(last, SELF, moved), Ok(false));
    }

    #[test]
    fn who_knows_the_epoch_before_gets_what_has_changed_and_anybody_else_all() {
        let (cluster, epochs) = epochs();
        let before = cluster.current();
        assert!(cluster.learn(epochs[0].clone(), true));
        cluster.fence(Epoch(3));
        let (update, whole) = (cluster.answer(Epoch(2)), cluster.answer(Epoch(0)));
        assert!(update.len() < whole.len());
        for answer in [update, whole] {
            let next = before.next(decode_answer(&answer).unwrap()).unwrap();
            assert_eq!(next.configuration(), epochs[0].configuration());
        }
    }
}
