//! What a cluster agrees on in one epoch, and what may follow it.
//!
//! ```text
//!   stable --begin--> arc 0 moves --step--> arc 1 moves ... --step--> stable, by the target
//!                          '--revert--> as before: what had moved moves back --step--> stable
//! ```
//!
//! Each arrow is an epoch of its own, decided by the voters that its predecessor names. Voters are at most five, an odd
//! number, spread over zones; they are picked again when a change ends, and until then the old ones vote.
//!
//! A member that a change leaves out is removed for ever: its id stays on a list, and is let in nowhere any more. One that
//! a revert leaves out may be added again; it empties a range before it owns that again.
//!
//! A member whose disk is lost may be **written off**: it is on that list at once, while it stays a member until a change
//! leaves it out. Ranges that have lost most of their copies with it move from those that are left, which no rule else
//! allows: what only the lost ones had is lost. If a majority of the voters is lost, too, nothing can be decided, and an
//! operator [recovers](Configuration::recovered) the cluster by hand.
//!
//! Invariants: maps are of one cluster, and make rings; voters are members, and not on the list of the removed. One from
//! outside is held against them by [`Configuration::check`].

use super::branch::Branch;
use super::hand::{Arcs, Hand};
use super::topology::TopologyError;
use crate::cluster::{ClusterMap, Epoch, NodeId};
use crate::placement::{Ring, RingError};
use crate::wire::configuration::digest;

/// Most voters: of five, two may be away.
pub const MAX_VOTERS: usize = 5;

/// What is agreed on in one epoch.
///
/// ```
/// use quoit_ring::change::{Arcs, Configuration};
/// # use quoit_ring::placement::{grow, join, Newcomer};
/// # use quoit_ring::{ClusterId, ClusterMap, Epoch, LeafBits, NodeId, TokenKey};
/// # let newcomer = |id: u64| Newcomer {
/// #     id: NodeId(id), name: format!("n{id}"), address: "h:1".into(), zone: "z".into(), weight: 100,
/// # };
/// # let empty = ClusterMap {
/// #     cluster: ClusterId(1), epoch: Epoch(1), token_key: TokenKey([0; 16]),
/// #     leaf_bits: LeafBits::FULL, replication: 3, members: vec![],
/// # };
/// # let before = grow(empty, (1..=3).map(newcomer), 1)?;
/// let mut after = before.clone();
/// join(&mut after, newcomer(4), 2)?;
///
/// let mut now = Configuration::first(before)?.begin(after, Arcs::FULL)?;
/// while let Some(next) = now.step() {
///     now = next;
/// }
/// assert_eq!((now.epoch, now.map.members.len()), (Epoch(18), 4));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configuration {
    /// Which one.
    pub epoch: Epoch,
    /// The map; while a change is under way the one before it.
    pub map: ClusterMap,
    /// The change that is under way.
    pub change: Option<Change>,
    /// Who decides on the next epoch, ascending.
    pub voters: Vec<NodeId>,
    /// Who was a member and is none any more, or is one and was written off, ascending.
    pub removed: Vec<NodeId>,
}

/// A change of the map, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The map after it.
    pub target: ClusterMap,
    /// The arc that moves.
    pub hand: Hand,
}

/// Why a change cannot begin. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// One is under way.
    #[error("a change is under way: wait for its end, or revert it")]
    Busy,
    /// The map is the same.
    #[error("the new map is the one that the cluster has")]
    Same,
    /// It names somebody who was removed, or written off.
    #[error(
        "node {node} was removed from this cluster: it comes back under a new id only, and a change must leave it out"
    )]
    Removed {
        /// Who.
        node: NodeId,
    },
    /// Somebody is to be written off who is no member, or was written off before.
    #[error("node {node} is no member that can be written off")]
    NoMember {
        /// Who.
        node: NodeId,
    },
    /// Nobody is to be written off, or everybody of the map before or after a change.
    #[error(
        "some members are written off, and never all, of those before or after a change: turn a change round first that goes to lost members only"
    )]
    AllOrNone,
    /// It is to be recovered, and was so more often than can be counted.
    #[error("the cluster was recovered too often")]
    TooOften,
    /// There would be fewer members than copies.
    #[error("{members} members cannot hold {copies} copies of each key")]
    TooFewMembers {
        /// How many would be left.
        members: usize,
        /// N.
        copies: u8,
    },
    /// It makes no ring.
    #[error("the new map makes no ring")]
    Ring(#[from] RingError),
    /// It is no map of this cluster.
    #[error("the new map is none of this cluster")]
    Topology(#[from] TopologyError),
}

impl Configuration {
    /// The first one of a cluster.
    ///
    /// # Errors
    /// [`RingError`] if the map makes no ring.
    pub fn first(map: ClusterMap) -> Result<Self, RingError> {
        Ring::check(&map)?;
        Ok(Self::of(map))
    }

    /// The first one of a cluster with a map that makes a ring.
    pub(super) fn of(map: ClusterMap) -> Self {
        Self {
            epoch: map.epoch,
            voters: voters(&map, &[], &[]),
            map,
            change: None,
            removed: Vec::new(),
        }
    }

    /// The next one, in which the first arc moves towards `target`.
    ///
    /// # Errors
    /// [`ChangeError`] says what is wrong with it.
    pub fn begin(&self, mut target: ClusterMap, arcs: Arcs) -> Result<Self, ChangeError> {
        if self.change.is_some() {
            return Err(ChangeError::Busy);
        }
        let epoch = Epoch(self.epoch.0 + 1);
        target.epoch = self.map.epoch;
        if target == self.map {
            return Err(ChangeError::Same);
        }
        target.epoch = epoch;
        let is_removed = |node: &NodeId| self.removed.binary_search(node).is_ok();
        if let Some(node) = target.members.iter().map(|it| it.id).find(is_removed) {
            return Err(ChangeError::Removed { node });
        }
        let (members, copies) = (target.members.len(), target.replication);
        if members < usize::from(copies) && members < self.map.members.len() {
            return Err(ChangeError::TooFewMembers { members, copies });
        }

        let hand = Hand::on_first(arcs);
        Ring::check(&self.map)?;
        Ring::check(&target)?;
        TopologyError::check(&self.map, &target)?;
        Ok(Self {
            epoch,
            change: Some(Change { target, hand }),
            ..self.clone()
        })
    }

    /// The next one of the change that is under way: another arc moves, or all goes by the target. `None` if there is no
    /// change. It may be decided once the moving arc is fenced, and its new owners are complete.
    #[must_use]
    pub fn step(&self) -> Option<Self> {
        let epoch = Epoch(self.epoch.0 + 1);
        let Change { target, hand } = self.change.clone()?;
        if let Some(hand) = hand.next() {
            return Some(Self {
                epoch,
                change: Some(Change { target, hand }),
                ..self.clone()
            });
        }

        let mut removed = self.removed.clone();
        if !hand.is_turned() {
            let stays = |node: NodeId| target.members.iter().any(|it| it.id == node);
            let before = self.map.members.iter().map(|it| it.id);
            removed.extend(before.filter(|&node| !stays(node)));
            removed.sort_unstable();
            removed.dedup(); // who was written off is on it already
        }
        Some(Self {
            epoch,
            voters: voters(&target, &self.voters, &removed),
            map: target,
            change: None,
            removed,
        })
    }

    /// The next one if the change under way is reverted. `None` if there is no change.
    ///
    /// The arc that moves goes by the old map again at once: every count was reached in its old list, too, so nothing
    /// has to be pulled, and a majority of new owners that never came up keeps nobody waiting. The arc that moved before
    /// it moves back.
    #[must_use]
    pub fn revert(&self) -> Option<Self> {
        let Change { target, hand } = self.change.clone()?;
        let epoch = Epoch(self.epoch.0 + 1);
        Some(match hand.turned().next() {
            Some(hand) => Self {
                epoch,
                map: target,
                change: Some(Change {
                    target: self.map.clone(),
                    hand,
                }),
                ..self.clone()
            },
            None => Self {
                epoch,
                change: None,
                ..self.clone()
            },
        })
    }

    /// The next one if these members are written off: their disks are lost, and nothing waits for their copies any more.
    ///
    /// A write that only they had is lost with that. Where they are a minority of the owners of a range nothing is.
    ///
    /// ```
    /// use quoit_ring::change::{ChangeError, Configuration};
    /// # use quoit_ring::placement::{grow, Newcomer};
    /// # use quoit_ring::{ClusterId, ClusterMap, Epoch, LeafBits, NodeId, TokenKey};
    /// # let newcomer = |id: u64| Newcomer {
    /// #     id: NodeId(id), name: format!("n{id}"), address: "h:1".into(), zone: "z".into(), weight: 100,
    /// # };
    /// # let empty = ClusterMap {
    /// #     cluster: ClusterId(1), epoch: Epoch(1), token_key: TokenKey([0; 16]),
    /// #     leaf_bits: LeafBits::FULL, replication: 3, members: vec![],
    /// # };
    /// # let map = grow(empty, (1..=4).map(newcomer), 1)?;
    /// let first = Configuration::first(map)?;
    /// let less = first.without_copies_of(&[NodeId(2)])?;
    /// assert!(first.is_followed_by(&less) && less.is_written_off(NodeId(2)));
    /// assert!(!less.voters.contains(&NodeId(2)));
    /// let all = [1, 2, 3, 4].map(NodeId);
    /// assert_eq!(first.without_copies_of(&all), Err(ChangeError::AllOrNone));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ChangeError`]: one is no member or written off already, or no member would be left.
    pub fn without_copies_of(&self, lost: &[NodeId]) -> Result<Self, ChangeError> {
        let is_member = |node: &NodeId| self.is_member(*node) && !self.is_written_off(*node);
        if let Some(&node) = lost.iter().find(|node| !is_member(node)) {
            return Err(ChangeError::NoMember { node });
        }
        let mut removed = [&self.removed[..], lost].concat();
        removed.sort_unstable();
        removed.dedup();
        let is_left = |id: NodeId| removed.binary_search(&id).is_err();
        let target = self.change.iter().map(|change| &change.target);
        let mut maps = core::iter::once(&self.map).chain(target);
        if lost.is_empty() || !maps.all(|map| map.members.iter().any(|it| is_left(it.id))) {
            return Err(ChangeError::AllOrNone);
        }
        Ok(Self {
            epoch: Epoch(self.epoch.0 + 1),
            voters: voters(&self.map, &self.voters, &removed),
            removed,
            ..self.clone()
        })
    }

    /// The one with which an operator goes on by hand if a majority of the voters is lost, together with these members: they
    /// are written off, and others vote. It is not decided: one of those that are left stores it.
    ///
    /// Its epoch is of a [branch](Branch) of its own. The lost voters may have decided further epochs of which nobody else
    /// knows; if one of them is not lost after all, this one is the later, and it is let in nowhere. And if somebody else
    /// recovers the same cluster otherwise, the two are told apart.
    ///
    /// # Errors
    /// As [`Configuration::without_copies_of`]; or it was recovered too often.
    pub fn recovered(&self, lost: &[NodeId]) -> Result<Self, ChangeError> {
        let next = self.without_copies_of(lost)?;
        let epoch = Branch::recover(self.epoch, digest(&next)).ok_or(ChangeError::TooOften)?;
        Ok(Self { epoch, ..next })
    }

    /// Whether a node is a member by either map, whose members ascend.
    #[must_use]
    pub fn is_member(&self, node: NodeId) -> bool {
        let target = self.change.as_ref().map(|change| &change.target);
        let mut maps = core::iter::once(&self.map).chain(target);
        maps.any(|map| {
            let found = map.members.binary_search_by_key(&node, |member| member.id);
            found.is_ok()
        })
    }

    /// Whether a node is a member without copies, since its disk is lost.
    #[must_use]
    pub fn is_written_off(&self, node: NodeId) -> bool {
        self.removed.binary_search(&node).is_ok() && self.is_member(node)
    }

    /// Whether `next` may follow: it is a step or the revert of the change that is under way, begins one, or writes members
    /// off. A voter accepts nothing else, so that no proposer with a defect makes a majority skip an arc, or lets a removed member in again.
    ///
    /// ```
    /// use quoit_ring::change::{Arcs, Configuration};
    /// # use quoit_ring::placement::{grow, join, Newcomer};
    /// # use quoit_ring::{ClusterId, ClusterMap, Epoch, LeafBits, NodeId, TokenKey};
    /// # let newcomer = |id: u64| Newcomer {
    /// #     id: NodeId(id), name: format!("n{id}"), address: "h:1".into(), zone: "z".into(), weight: 100,
    /// # };
    /// # let empty = ClusterMap {
    /// #     cluster: ClusterId(1), epoch: Epoch(1), token_key: TokenKey([0; 16]),
    /// #     leaf_bits: LeafBits::FULL, replication: 3, members: vec![],
    /// # };
    /// # let map = grow(empty, (1..=3).map(newcomer), 1)?;
    /// # let mut grown = map.clone();
    /// # join(&mut grown, newcomer(4), 2)?;
    /// let first = Configuration::first(map)?;
    /// let begun = first.begin(grown, Arcs::FULL)?;
    /// let step = begun.step().ok_or("a change is under way")?;
    /// assert!(first.is_followed_by(&begun) && begun.is_followed_by(&step));
    /// assert!(!first.is_followed_by(&step), "an arc is left out");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn is_followed_by(&self, next: &Self) -> bool {
        let is_next = |one: Option<Self>| one.as_ref() == Some(next);
        let lost = next.removed.iter().copied();
        let lost: Vec<NodeId> = lost.filter(|node| !self.removed.contains(node)).collect();
        if is_next(self.without_copies_of(&lost).ok()) {
            return true;
        }
        match (&self.change, &next.change) {
            (Some(_), _) => is_next(self.step()) || is_next(self.revert()),
            (None, Some(Change { target, hand })) => {
                is_next(self.begin(target.clone(), hand.arcs()).ok())
            }
            (None, None) => false,
        }
    }
}

/// Who votes: an odd number of members, at most five, from as many zones as there are. Who votes already is preferred, and
/// who was removed does not. At least one member must be left.
fn voters(map: &ClusterMap, before: &[NodeId], removed: &[NodeId]) -> Vec<NodeId> {
    let is_left = |&at: &usize| removed.binary_search(&map.members[at].id).is_err();
    let left: Vec<usize> = (0..map.members.len()).filter(is_left).collect();
    let count = left.len().min(MAX_VOTERS);
    let count = (count + count % 2).saturating_sub(1);
    let mut chosen: Vec<usize> = Vec::with_capacity(count);
    while chosen.len() < count {
        let from_zone = |zone: &str| {
            let zones = chosen.iter().map(|&at| &map.members[at].zone);
            zones.filter(|other| *other == zone).count()
        };
        let open = left.iter().copied().filter(|at| !chosen.contains(at));
        let next = open.min_by_key(|&at| {
            let member = &map.members[at];
            (
                from_zone(&member.zone),
                !before.contains(&member.id),
                member.id,
            )
        });
        chosen.extend(next);
    }
    let mut voters: Vec<NodeId> = chosen.iter().map(|&at| map.members[at].id).collect();
    voters.sort_unstable();
    voters
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::{Known, NextError};
    use crate::placement::{Newcomer, grow};
    use crate::wire::ConfigurationAnswer;
    use crate::{ClusterId, LeafBits, TokenKey};

    fn map(members: impl IntoIterator<Item = (u64, &'static str)>) -> ClusterMap {
        let empty = ClusterMap {
            cluster: ClusterId(1),
            epoch: Epoch(1),
            token_key: TokenKey([0; 16]),
            leaf_bits: LeafBits::new(10).unwrap(),
            replication: 3,
            members: vec![],
        };
        let newcomer = |(id, zone): (u64, &str)| Newcomer {
            id: NodeId(id),
            name: format!("n{id}"),
            address: format!("h{id}:1"),
            zone: zone.into(),
            weight: 1,
        };
        grow(empty, members.into_iter().map(newcomer), 1).unwrap()
    }

    fn end(mut now: Configuration) -> Configuration {
        while let Some(next) = now.step() {
            assert_eq!(next.epoch.0, now.epoch.0 + 1);
            now = next;
        }
        now
    }

    #[test]
    fn a_member_that_is_left_out_is_removed_for_ever_and_one_that_was_reverted_is_not() {
        let (three, four) = ([1, 2, 3], [1, 2, 3, 4]);
        let of = |ids: &[u64]| map(ids.iter().map(|&id| (id, "z")));
        let first = Configuration::first(of(&four)).unwrap();
        let left = end(first.begin(of(&three), Arcs::FULL).unwrap());
        assert_eq!(left.removed, [NodeId(4)]);
        let back = left.begin(of(&four), Arcs::FULL);
        assert_eq!(back, Err(ChangeError::Removed { node: NodeId(4) }));

        let first = Configuration::first(of(&three)).unwrap();
        let begun = first.begin(of(&four), Arcs::FULL).unwrap();
        let reverted = end(begun.step().unwrap().revert().unwrap());
        assert_eq!((&reverted.map, &reverted.removed), (&first.map, &vec![]));
        assert!(reverted.begin(of(&four), Arcs::FULL).is_ok());
    }

    #[test]
    fn a_change_must_leave_out_who_was_written_off_and_the_rest_votes() {
        let members = |ids: &[u64]| map(ids.iter().map(|&id| (id, "z")));
        let first = Configuration::first(members(&[1, 2, 3, 4, 5, 6])).unwrap();
        let lost = [1, 2, 3].map(NodeId);
        let less = first.without_copies_of(&lost).unwrap();
        assert_eq!(less.check(), Ok(()));
        assert_eq!((less.epoch, &less.map), (Epoch(2), &first.map));
        assert_eq!(less.voters, [4, 5, 6].map(NodeId));
        let again = less.without_copies_of(&lost[..1]);
        assert_eq!(again, Err(ChangeError::NoMember { node: NodeId(1) }));
        let stranger = less.without_copies_of(&[NodeId(9)]);
        assert_eq!(stranger, Err(ChangeError::NoMember { node: NodeId(9) }));

        let keeps_one = less.begin(members(&[3, 4, 5, 6]), Arcs::FULL);
        assert_eq!(keeps_one, Err(ChangeError::Removed { node: NodeId(3) }));
        let after = end(less.begin(members(&[4, 5, 6, 7]), Arcs::FULL).unwrap());
        assert_eq!((after.check(), &after.removed[..]), (Ok(()), &lost[..]));
    }

    #[test]
    fn members_may_be_written_off_in_the_middle_of_a_change_which_goes_on_or_back() {
        let members = |ids: &[u64]| map(ids.iter().map(|&id| (id, "z")));
        let first = Configuration::first(members(&[1, 2, 3, 4])).unwrap();
        let begun = first.begin(members(&[2, 3, 4, 5]), Arcs::FULL).unwrap();
        let begun = begun.step().unwrap();
        let less = begun.without_copies_of(&[NodeId(2), NodeId(5)]).unwrap();
        assert!(begun.is_followed_by(&less));
        assert_eq!(less.change, begun.change, "the hand stays");
        assert_eq!(
            (less.check(), &less.voters[..]),
            (Ok(()), &[1, 3, 4].map(NodeId)[..])
        );
        let ended = end(less.clone());
        assert_eq!(ended.removed, [1, 2, 5].map(NodeId));
        assert_eq!((ended.check(), ended.voters.len()), (Ok(()), 1));
        let reverted = end(less.revert().unwrap());
        assert_eq!(
            (reverted.check(), &reverted.map.members),
            (Ok(()), &first.map.members)
        );
        assert!(reverted.is_written_off(NodeId(2)) && !reverted.is_written_off(NodeId(5)));
    }

    #[test]
    fn a_recovered_cluster_is_far_ahead_and_no_voter_takes_it_for_decided() {
        let members = map((1..=5).map(|id| (id, "z")));
        let first = Configuration::first(members).unwrap();
        let lost = [1, 2, 3].map(NodeId);
        let recovered = first.recovered(&lost).unwrap();
        assert_eq!(recovered.check(), Ok(()));
        assert!(Branch::is_recovery(first.epoch, recovered.epoch));
        assert!(recovered.epoch > Epoch(1 + (1 << 20)));
        assert_eq!(recovered.voters, [NodeId(4)], "an odd number");
        assert!(!first.is_followed_by(&recovered));
    }

    #[test]
    fn two_recoveries_that_say_the_same_are_one_and_others_are_told_apart() {
        let members = map((1..=5).map(|id| (id, "z")));
        let first = Configuration::first(members).unwrap();
        let recovered = |lost: &[u64]| {
            let lost: Vec<NodeId> = lost.iter().copied().map(NodeId).collect();
            first.recovered(&lost).unwrap()
        };
        assert_eq!(recovered(&[1, 2, 3]), recovered(&[3, 2, 1]));

        let known = |it: Configuration| Known::new(it).unwrap();
        let (one, other) = (recovered(&[1, 2, 3]), recovered(&[1, 2, 3, 4]));
        let step = Configuration {
            epoch: Epoch(other.epoch.0 + 1),
            ..other.clone()
        };
        for (mine, theirs) in [(&one, &other), (&other, &one), (&one, &step), (&step, &one)] {
            let answer = ConfigurationAnswer::Whole(Box::new(theirs.clone()));
            let (found, known_here) = (theirs.epoch, mine.epoch);
            let foreign = Err(NextError::OtherRecovery {
                found,
                known: known_here,
            });
            let next = known(mine.clone()).next(answer).map(|it| it.epoch());
            assert_eq!(next, foreign);
            let later = known(mine.clone()).later(theirs.clone());
            assert_eq!(later.map(|it| it.epoch()), foreign);
        }
        // Whoever knows of neither goes on to the one that comes first.
        assert!(known(first.clone()).later(one.clone()).is_ok());
    }

    #[test]
    fn a_second_recovery_of_another_first_one_is_told_apart_by_who_is_removed() {
        let members = map((1..=6).map(|id| (id, "z")));
        let first = Configuration::first(members).unwrap();
        let ids = |ids: [u64; 2]| ids.map(NodeId);
        let (one, other) = (first.recovered(&ids([1, 2])), first.recovered(&ids([2, 3])));
        let again = |it: Configuration| it.recovered(&ids([4, 5])).unwrap();
        let (one, other) = (one.unwrap(), other.unwrap());
        let known = Known::new(one.clone()).unwrap();
        assert!(known.later(again(one)).is_ok());
        let refused = known.later(again(other)).map(|it| it.epoch());
        assert!(matches!(refused, Err(NextError::OtherRecovery { .. })));
    }

    #[test]
    fn a_revert_goes_back_over_what_has_moved_and_no_further() {
        let first = Configuration::first(map([(1, "z"), (2, "z"), (3, "z")])).unwrap();
        let mut now = first
            .begin(map([(1, "z"), (2, "z"), (3, "z"), (4, "z")]), Arcs::FULL)
            .unwrap();
        for _ in 0..5 {
            now = now.step().unwrap();
        }
        let reverted = now.revert().unwrap();
        let arc = |now: &Configuration| now.change.as_ref().unwrap().hand.arc();
        assert_eq!((arc(&now), arc(&reverted)), (5, 4));
        assert_eq!(end(reverted.clone()).epoch.0, reverted.epoch.0 + 5);
        assert_eq!(end(reverted.revert().unwrap()).map.members.len(), 4);
    }

    #[test]
    fn a_change_of_which_nothing_has_moved_is_reverted_at_once() {
        let first = Configuration::first(map([(1, "z"), (2, "z"), (3, "z")])).unwrap();
        let target = map([(1, "z"), (2, "z"), (3, "z"), (4, "z")]);
        let reverted = first.begin(target, Arcs::FULL).unwrap().revert().unwrap();
        assert_eq!((reverted.epoch, &reverted.change), (Epoch(3), &None));
        assert_eq!(reverted.map, first.map);
    }

    #[test]
    fn a_change_that_cannot_be_is_refused_by_name() {
        let first = Configuration::first(map([(1, "z"), (2, "z"), (3, "z")])).unwrap();
        let begin = |target| first.begin(target, Arcs::FULL);
        assert_eq!(begin(first.map.clone()), Err(ChangeError::Same));
        let few = ChangeError::TooFewMembers {
            members: 2,
            copies: 3,
        };
        assert_eq!(begin(map([(1, "z"), (2, "z")])), Err(few));
        let mut other = map([(1, "z"), (2, "z"), (3, "z"), (4, "z")]);
        other.cluster = ClusterId(2);
        let other = begin(other);
        assert_eq!(
            other,
            Err(ChangeError::Topology(TopologyError::OtherCluster))
        );
        let begun = begin(map([(1, "z"), (2, "z"), (3, "z"), (4, "z")])).unwrap();
        assert_eq!(
            begun.begin(first.map.clone(), Arcs::FULL),
            Err(ChangeError::Busy)
        );
    }

    #[test]
    fn a_step_a_revert_or_a_beginning_follows_and_nothing_else() {
        let map = |n: u64| map((1..=n).map(|id| (id, "z")));
        let first = Configuration::first(map(3)).unwrap();
        let begun = first.begin(map(4), Arcs::FULL).unwrap();
        let moving = begun.step().unwrap();
        assert!(first.is_followed_by(&begun) && begun.is_followed_by(&moving));
        for next in [moving.step(), moving.revert()] {
            assert!(moving.is_followed_by(&next.unwrap()));
        }
        let mut last = moving.clone();
        while let Some(next) = last.step() {
            assert!(last.is_followed_by(&next));
            last = next;
        }

        assert!(!first.is_followed_by(&first) && !first.is_followed_by(&last));
        assert!(!first.is_followed_by(&moving) && !begun.is_followed_by(&first));
        type Break = fn(&mut Configuration);
        let broken: [Break; 6] = [
            |it| it.epoch.0 += 1,
            |it| it.voters.truncate(1),
            |it| it.removed.push(NodeId(9)),
            |it| it.map = it.change.as_ref().unwrap().target.clone(),
            |it| it.change.as_mut().unwrap().target.epoch = Epoch(1),
            |it| it.change.as_mut().unwrap().target.members.clear(),
        ];
        for (number, change) in broken.iter().enumerate() {
            let mut next = begun.clone();
            change(&mut next);
            assert!(!first.is_followed_by(&next), "{number}");
        }
        let mut elsewhere = begun.clone();
        let hand = begun.change.unwrap().hand.next().unwrap();
        elsewhere.change.as_mut().unwrap().hand = hand;
        assert!(
            !first.is_followed_by(&elsewhere),
            "it begins on the first arc"
        );
    }

    #[test]
    fn voters_are_odd_and_from_as_many_zones_as_there_are() {
        let voters = |members: &[(u64, &'static str)]| {
            let voters = voters(&map(members.iter().copied()), &[], &[]);
            voters.iter().map(|node| node.0).collect::<Vec<_>>()
        };
        assert_eq!(voters(&[(1, "a")]), [1]);
        assert_eq!(voters(&[(1, "a"), (2, "b")]), [1]);
        assert_eq!(voters(&[(1, "a"), (2, "a"), (3, "b"), (4, "c")]), [1, 3, 4]);
        let six = [(1, "a"), (2, "a"), (3, "a"), (4, "b"), (5, "b"), (6, "c")];
        assert_eq!(voters(&six), [1, 2, 4, 5, 6]);
    }
}
