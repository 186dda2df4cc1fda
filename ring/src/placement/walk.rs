//! The clockwise walk from every vnode of a circle, in one sweep.
//!
//! ```text
//!   circle, clockwise:        a b a c          walk from c: c a b
//!   one step to the left:   [b] a b a c        walk from b: b c a     (b moved to the front)
//! ```
//!
//! The distinct nodes that a walk meets change by one move to the front per vnode when the start moves
//! counter-clockwise; so do the distinct zones. Two linked lists hold both orders, and a sweep over all
//! vnodes costs O(1) each, however rare a zone is: a hostile map cannot make it quadratic.
//!
//! Invariant: after [`Walk::step`] for vnode `i`, the lists are what a walk from `i` meets, once every
//! node was stepped over at least once (the first lap of [`Walk::sweep`] sees to that).

use crate::cluster::{ClusterMap, Member};
use crate::token::Leaf;

/// A member's place in the map's list; small, because a ring stores many.
pub(super) type Index = u16;

/// A vnode of the circle: its leaf and its member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Vnode {
    pub(super) leaf: Leaf,
    pub(super) node: Index,
}

/// All vnodes of `map`, clockwise from leaf 0.
pub(super) fn circle(map: &ClusterMap) -> Vec<Vnode> {
    let mut vnodes = Vec::with_capacity(map.members.iter().map(|m| m.vnodes.len()).sum());
    for (member, node) in map.members.iter().zip(0..) {
        vnodes.extend(member.vnodes.iter().map(|&leaf| Vnode { leaf, node }));
    }
    vnodes.sort_unstable();
    vnodes
}

/// The zone of each member as a small number, and how many zones there are.
pub(super) fn zones<'a>(members: impl Iterator<Item = &'a Member> + Clone) -> (Vec<Index>, Index) {
    let mut names: Vec<&str> = members.clone().map(|m| m.zone.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let number = |zone: &str| names.partition_point(|&name| name < zone);
    let of = members.map(|m| index(number(&m.zone))).collect();
    (of, index(names.len()))
}

/// `position` as an [`Index`]; lists of members and zones are at most `MAX_MEMBERS` long.
#[expect(clippy::cast_possible_truncation, reason = "at most 1024 members")]
pub(super) const fn index(position: usize) -> Index {
    debug_assert!(position <= Index::MAX as usize, "at most 1024 members");
    position as Index
}

/// Items in the order in which they were last moved to the front.
#[derive(Debug)]
struct Recency {
    /// The item behind each; the last slot stands for the list's two ends.
    next: Vec<Index>,
    prev: Vec<Index>,
}

impl Recency {
    /// Items 0 to `len` - 1, in that order.
    fn new(len: Index) -> Self {
        Self {
            next: (1..=len).chain([0]).collect(),
            prev: [len].into_iter().chain(0..len).collect(),
        }
    }

    fn end(&self) -> usize {
        self.next.len() - 1
    }

    fn move_to_front(&mut self, item: Index) {
        let (end, at) = (self.end(), usize::from(item));

        // Unlink it,
        let (before, behind) = (self.prev[at], self.next[at]);
        self.next[usize::from(before)] = behind;
        self.prev[usize::from(behind)] = before;

        // then link it before the first.
        let first = self.next[end];
        self.prev[usize::from(first)] = item;
        self.next[at] = first;
        self.prev[at] = index(end);
        self.next[end] = item;
    }

    fn iter(&self) -> impl Iterator<Item = Index> + '_ {
        let end = self.end();
        let item_behind = move |at: usize| Some(self.next[at]).filter(|&i| usize::from(i) != end);
        core::iter::successors(item_behind(end), move |&item| {
            item_behind(usize::from(item))
        })
    }
}

/// What a clockwise walk meets, for a start that moves counter-clockwise.
#[derive(Debug)]
pub(super) struct Walk {
    nodes: Recency,
    zones: Recency,
    zone_of: Vec<Index>,
    zone_count: Index,
    /// The first node that the walk meets in each zone.
    head: Vec<Index>,
    /// How many vnodes the walk has behind it when it meets each node, as the start's number plus that.
    met_at: Vec<usize>,
}

impl Walk {
    pub(super) fn new(members: &[Member]) -> Self {
        let (zone_of, zone_count) = zones(members.iter());
        Self {
            nodes: Recency::new(index(members.len())),
            zones: Recency::new(zone_count),
            head: vec![0; usize::from(zone_count)],
            met_at: vec![0; members.len()],
            zone_of,
            zone_count,
        }
    }

    /// Moves the start round the circle and calls `visit` with each vnode's number, last vnode first.
    ///
    /// The first of the two laps only brings the lists into order.
    pub(super) fn sweep(&mut self, circle: &[Vnode], mut visit: impl FnMut(&Self, usize)) {
        for (i, vnode) in circle.iter().enumerate().rev() {
            self.step(circle.len() + i, vnode.node);
        }
        for (i, vnode) in circle.iter().enumerate().rev() {
            self.step(i, vnode.node);
            visit(self, i);
        }
    }

    /// Moves the start back to vnode number `at`, one of `node`'s.
    fn step(&mut self, at: usize, node: Index) {
        let zone = self.zone_of[usize::from(node)];
        self.nodes.move_to_front(node);
        self.zones.move_to_front(zone);
        self.head[usize::from(zone)] = node;
        self.met_at[usize::from(node)] = at;
    }

    /// The first node of each zone, in the order in which the walk meets the zones.
    pub(super) fn heads(&self) -> impl Iterator<Item = Index> + '_ {
        self.zones.iter().map(|zone| self.head(zone))
    }

    /// The nodes that are not the first of their zone, in walk order.
    pub(super) fn skipped(&self) -> impl Iterator<Item = Index> + '_ {
        self.nodes
            .iter()
            .filter(|&node| self.head(self.zone_of[usize::from(node)]) != node)
    }

    /// The nodes that own a key here, if there are as many copies as the iterator is taken for: one node
    /// per zone while there are zones, then the skipped ones.
    pub(super) fn owners(&self) -> impl Iterator<Item = Index> + '_ {
        self.heads().chain(self.skipped())
    }

    /// All nodes in walk order, whatever their zone.
    pub(super) fn nodes(&self) -> impl Iterator<Item = Index> + '_ {
        self.nodes.iter()
    }

    /// The first node that the walk meets in `zone`.
    pub(super) fn head(&self, zone: Index) -> Index {
        self.head[usize::from(zone)]
    }

    /// The zone of `node`.
    pub(super) fn zone(&self, node: Index) -> Index {
        self.zone_of[usize::from(node)]
    }

    /// The number of zones.
    pub(super) fn zone_count(&self) -> usize {
        usize::from(self.zone_count)
    }

    /// The number of the vnode at which the walk meets `node`; past the last vnode, numbers go on.
    pub(super) fn met_at(&self, node: Index) -> usize {
        self.met_at[usize::from(node)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_moved_item_comes_first() {
        let mut recency = Recency::new(4);
        for item in [2, 0, 3, 0] {
            recency.move_to_front(item);
        }
        assert_eq!(recency.iter().collect::<Vec<_>>(), [0, 3, 2, 1]);
    }

    #[test]
    fn one_item_is_always_first() {
        let mut recency = Recency::new(1);
        recency.move_to_front(0);
        assert_eq!(recency.iter().collect::<Vec<_>>(), [0]);
    }
}
