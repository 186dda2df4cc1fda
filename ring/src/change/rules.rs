//! When a moving range is fenced, and when its new owners are complete: what the next epoch waits for.
//!
//! ```text
//!   fenced     a majority of the old list refuses older epochs, durably
//!   complete   each receiver has pulled from a majority of the old list, each behind its own fence, and has synced
//! ```
//!
//! *Fenced* is never lowered because a node is suspected to be dead: it may not be, and still serve who does not know.
//! Receivers are the new owners; if the list gets shorter, those who stay, too, since a majority of fewer must then hold
//! what a majority of more held.
//!
//! Who is **written off** has lost its disk, and somebody has decided that nothing waits for it. Where a majority of the old
//! list is written off, all that are left are enough: what one of them has of a write that a majority acknowledged is not
//! lost. Where a majority of the new list is, all of it that are left pull, since no quorum of it would find what one of them
//! lacks; and where all of it is, the range does not move.
//!
//! Source: the models of this crate's tests: without any of these rules they find an acknowledged write that is lost.

use smallvec::SmallVec;

use crate::cluster::NodeId;

/// One range that moves: its owners before and after.
///
/// ```
/// use quoit_ring::NodeId;
/// use quoit_ring::change::RangeChange;
///
/// let [a, b, c, d] = [1, 2, 3, 4].map(NodeId);
/// let range = RangeChange { old: &[a, b, c], new: &[d, b, c], lost: &[] };
/// assert!(range.receivers().eq([d]));
/// assert!(range.is_fenced(|node| [a, b].contains(&node)));
/// assert!(!range.is_complete(|_receiver, source| source == a), "one source is no majority");
/// assert!(range.is_complete(|_receiver, source| source != b));
///
/// let shorter = RangeChange { old: &[a, b, c], new: &[b, c], lost: &[] };
/// assert!(shorter.receivers().eq([b, c]), "they sync");
///
/// let one_is_left = RangeChange { old: &[a, b, c], new: &[c, d], lost: &[a, b] };
/// assert!(one_is_left.is_fenced(|node| node == c));
/// assert!(one_is_left.is_complete(|_receiver, source| source == c));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RangeChange<'a> {
    /// The owners before.
    pub old: &'a [NodeId],
    /// The owners after.
    pub new: &'a [NodeId],
    /// Who is written off.
    pub lost: &'a [NodeId],
}

impl<'a> RangeChange<'a> {
    /// Who has to pull before the step is complete.
    pub fn receivers(self) -> impl Iterator<Item = NodeId> + use<'a> {
        let is_shorter = self.new.len() < self.old.len();
        let all = is_shorter || self.new_left().count() < majority(self.new.len());
        let new = self.new_left();
        new.filter(move |node| all || !self.old.contains(node))
    }

    /// The new owners that are not written off.
    fn new_left(self) -> impl Iterator<Item = NodeId> + use<'a> {
        let new = self.new.iter().copied();
        new.filter(move |node| !self.lost.contains(node))
    }

    /// Whether the range can be complete while these nodes do not answer: all receivers do, and enough old owners.
    #[must_use]
    pub fn can_be_complete(self, is_silent: impl Fn(NodeId) -> bool) -> bool {
        self.is_complete(|_receiver, source| !is_silent(source))
            && !self.receivers().any(&is_silent)
            && self.is_fenced(|node| !is_silent(node))
    }

    /// Whether a majority of the old owners is written off.
    #[must_use]
    pub fn has_lost_most(self) -> bool {
        self.left().count() < majority(self.old.len())
    }

    /// The old owners that are not written off.
    fn left(self) -> impl Iterator<Item = NodeId> + use<'a> {
        let old = self.old.iter().copied();
        old.filter(move |node| !self.lost.contains(node))
    }

    /// How many of them are enough.
    fn needed(self) -> usize {
        enough(self.old.len(), self.left().count())
    }

    /// Whether enough old owners refuse older epochs.
    #[must_use]
    pub fn is_fenced(self, is_fenced: impl Fn(NodeId) -> bool) -> bool {
        self.left().filter(|&node| is_fenced(node)).count() >= self.needed()
    }

    /// Whether every receiver has pulled from enough old owners, itself among them if it is one. `has_pulled` says of a
    /// receiver and a source whether what the source held behind its fence is durable at the receiver.
    #[must_use]
    pub fn is_complete(self, has_pulled: impl Fn(NodeId, NodeId) -> bool) -> bool {
        if self.new_left().next().is_none() && self.left().next().is_some() {
            return false; // it would move from who has it to nobody
        }
        self.receivers().all(|receiver| {
            let pulled = |&source: &NodeId| source == receiver || has_pulled(receiver, source);
            self.left().filter(pulled).count() >= self.needed()
        })
    }

    /// Which nodes a receiver should still pull from, given what it has pulled: those that have failed least often come first.
    /// Empty once it has enough.
    #[must_use]
    pub fn sources(
        self,
        receiver: NodeId,
        has_pulled: impl Fn(NodeId) -> bool,
        failures: impl Fn(NodeId) -> u32,
    ) -> SmallVec<[NodeId; 3]> {
        let done = |&source: &NodeId| source == receiver || has_pulled(source);
        let pulled = self.left().filter(done).count();
        let missing = self.needed().saturating_sub(pulled);
        let open = self.left().filter(|source| !done(source));
        let mut open: SmallVec<[NodeId; 3]> = open.collect();
        open.sort_by_key(|&source| failures(source)); // stable
        open.truncate(missing);
        open
    }
}

/// More than half of `n`.
#[must_use]
pub const fn majority(n: usize) -> usize {
    n / 2 + 1
}

/// How many of `n` owners have to have something, if so many are `left` that are not written off: a majority of all `n`,
/// which every quorum of them meets whoever is written off next, or where no majority is left, all that are.
///
/// ```
/// use quoit_ring::change::rules::enough;
///
/// assert_eq!(enough(5, 5), 3);
/// assert_eq!(enough(5, 4), 3, "one more may be away");
/// assert_eq!(enough(5, 2), 2);
/// ```
#[must_use]
pub const fn enough(n: usize, left: usize) -> usize {
    let most = majority(n);
    if left < most { left } else { most }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The members of a set of six, as bits.
    fn nodes(bits: u32) -> Vec<NodeId> {
        let numbers = (0..6).filter(|number| bits >> number & 1 == 1);
        numbers.map(NodeId).collect()
    }

    /// The sets of so many of so many members.
    fn sets(size: u32, of: u32) -> impl Iterator<Item = u32> {
        (0..1 << of).filter(move |set: &u32| set.count_ones() == size)
    }

    fn is_majority(of: u32, all: u32) -> bool {
        of & !all == 0 && of.count_ones() as usize >= majority(all.count_ones() as usize)
    }

    /// Whether a write that `acked` have, of which some are left, is in every read quorum of the new list after the step,
    /// and if too few are left for one, at each of those; however little its receivers have pulled.
    fn survives([old, new, lost, acked]: [u32; 4], sources: u32) -> bool {
        let range = RangeChange {
            old: &nodes(old),
            new: &nodes(new),
            lost: &nodes(lost),
        };
        let holds = |set: u32, node: NodeId| set >> node.0 & 1 == 1;
        if !range.is_complete(|_receiver, source| holds(sources, source)) {
            return true; // the step is not over
        }
        let left = acked & !lost;
        let mut holders = left;
        for receiver in range.receivers() {
            let pulled = sources & !lost & old | 1 << receiver.0;
            if pulled & left != 0 {
                holders |= 1 << receiver.0;
            }
        }
        if !is_majority(new & !lost, new) {
            return new & !lost != 0 && new & !lost & !holders == 0 || old & !lost == 0;
        }
        let mut quorums = (0..64).filter(|&quorum| is_majority(quorum, new) && quorum & lost == 0);
        quorums.all(|quorum| quorum & holders != 0)
    }

    /// Looks at each step of `copies` of `members`, with each set of lost ones; how many there are.
    fn check_all(copies: u32, members: u32) -> u32 {
        let mut steps = 0;
        for old in sets(copies, members) {
            for new in sets(copies, members).filter(|new| *new != old) {
                for lost in 0..1_u32 << members {
                    let acked = (0..1_u32 << members).filter(|&set| is_majority(set, old));
                    for acked in acked.filter(|set| set & !lost != 0) {
                        for sources in (0..1_u32 << members).filter(|set| set & !old == 0) {
                            let step = [old, new, lost, acked];
                            assert!(survives(step, sources), "{step:?} from {sources:b}");
                            steps += 1;
                        }
                    }
                }
            }
        }
        steps
    }

    #[test]
    fn what_one_member_that_is_left_has_is_in_every_quorum_after_the_step() {
        assert!(check_all(3, 5) > 50_000);
        assert!(check_all(5, 6) > 500_000);
    }

    #[test]
    fn what_enough_owners_have_is_in_every_quorum_and_is_lost_by_no_further_minority() {
        let mut looked_at = 0;
        for n in 1..=6_u32 {
            let all = (1 << n) - 1;
            for (lost, held) in (0..1_u32 << n).flat_map(|it| (0..1_u32 << n).map(move |h| (it, h)))
            {
                let left = all & !lost;
                let needed = enough(n as usize, left.count_ones() as usize);
                if held & lost != 0 || (held.count_ones() as usize) < needed {
                    continue;
                }
                looked_at += 1;
                // Whoever is written off next, too, as long as a majority is left.
                for later in (0..1_u32 << n).filter(|later| later & lost == 0) {
                    let mut quorums =
                        (0..=all).filter(|&it| is_majority(it, all) && it & (lost | later) == 0);
                    assert!(
                        quorums.all(|quorum| quorum & held != 0),
                        "{n} {lost:b} {held:b}"
                    );
                }
                // And where there is no quorum, nobody that is left lacks it.
                assert!(is_majority(left, all) || left & !held == 0);
            }
        }
        assert!(looked_at > 200, "{looked_at}");
    }

    #[test]
    fn a_minority_that_is_written_off_lowers_nothing() {
        let [a, b, c, d] = [1, 2, 3, 4].map(NodeId);
        let range = RangeChange {
            old: &[a, b, c],
            new: &[b, c, d],
            lost: &[a],
        };
        assert!(
            !range.is_fenced(|node| node != b),
            "the lost one counts not"
        );
        assert!(!range.is_complete(|_receiver, source| source == c));
        assert_eq!(range.sources(d, |_| false, |_| 0)[..], [b, c]);
        let nobody_is_left = RangeChange {
            lost: &[a, b, c],
            ..range
        };
        assert!(nobody_is_left.is_fenced(|_| false));
        assert!(nobody_is_left.is_complete(|_, _| false));
        let to_nobody = RangeChange {
            lost: &[b, c, d],
            ..range
        };
        assert!(
            !to_nobody.is_complete(|_, _| true),
            "it stays with who has it"
        );
    }
}
