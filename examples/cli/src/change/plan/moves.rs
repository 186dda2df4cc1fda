//! Which keys move: how many each node gets, in which arc, and how long that takes at least.
//!
//! ```text
//!   before   |  a b c   |    b c d    |     owners of a range of leaves
//!   after    | a b c |  a b e | b d e |
//!   gets            e: +      e: +          what an owner has after and did not have before
//! ```
//!
//! Shares are counted leaf by leaf, as even hashing would fill them. Bytes and keys follow from what the nodes say they
//! hold: an estimate, since large values may lie anywhere. Pure.

use std::time::Duration;

use quoit_client::NodeReport;
use quoit_ring::change::Arcs;
use quoit_ring::placement::Ring;
use quoit_ring::{Leaf, NodeId};

/// What every node gets, of all keys, 0 to 1: arc by arc, since one arc moves after the other.
#[derive(Debug)]
pub(super) struct Moves(Vec<Vec<(NodeId, f64)>>);

/// So many keys, of so many bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Amount {
    pub(super) records: f64,
    pub(super) bytes: f64,
}

impl Moves {
    /// What moves between two rings.
    pub(super) fn between(rings: &[Ring; 2]) -> Self {
        let (bits, arcs) = (rings[0].leaf_bits(), Arcs::FULL);
        let members = rings.iter().flat_map(|ring| ring.members());
        let vnodes = members.flat_map(|member| member.vnodes.iter().map(|leaf| leaf.0));
        let arc_ends = (0..arcs.count())
            .map(|arc| arcs.leaves(arc, bits))
            .filter(|leaves| !leaves.is_empty())
            .map(|leaves| leaves.end - 1);
        let mut ends: Vec<u32> = vnodes.chain(arc_ends).collect();
        ends.sort_unstable();
        ends.dedup();

        let mut moves = vec![Vec::new(); usize::from(arcs.count())];
        let mut first = 0;
        // Between two of these the owners are the same, and so is the arc. The last of them is the last leaf.
        for end in ends {
            let part = f64::from(end + 1 - first) / f64::from(bits.count());
            first = end + 1;
            let [old, new] = rings.each_ref().map(|ring| ring.list_of_leaf(Leaf(end)));
            let arc = &mut moves[usize::from(arcs.of(Leaf(end), bits))];
            for owner in new.owners().filter(|&owner| !old.is_owner(owner)) {
                match arc.iter_mut().find(|(node, _)| *node == owner) {
                    Some((_, sum)) => *sum += part,
                    None => arc.push((owner, part)),
                }
            }
        }
        Self(moves)
    }

    /// What a node gets.
    pub(super) fn to(&self, node: NodeId) -> f64 {
        let all = self.0.iter().flatten();
        let of_node = all.filter(|(it, _)| *it == node);
        // Not `sum`, by which nothing is -0.
        of_node.fold(0.0, |sum, (_, part)| sum + part)
    }

    /// How long it takes if every node pulls as fast as it may, in bytes a second, and nothing else takes time.
    pub(super) fn least_time(&self, copy: Amount, rate: impl Fn(NodeId) -> u64) -> Duration {
        let seconds = |(node, part): &(NodeId, f64)| copy.bytes * part / float(rate(*node).max(1));
        let slowest = |arc: &Vec<_>| arc.iter().map(seconds).fold(0.0, f64::max);
        let seconds = self.0.iter().map(slowest).sum();
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }
}

impl Amount {
    /// What one copy of all keys is, by the nodes that answered; `None` if nobody did.
    pub(super) fn of_one_copy(reports: &[NodeReport], loads: &[(NodeId, f64)]) -> Option<Self> {
        let (mut held, mut records, mut bytes) = (0.0, 0.0, 0.0);
        for report in reports {
            let load = loads.iter().find(|(node, _)| *node == report.member.id);
            if let (Ok(status), Some((_, load))) = (&report.status, load) {
                held += load;
                records += float(status.records);
                bytes += float(status.disk_bytes);
            }
        }
        (held > 0.0).then(|| Self {
            records: records / held,
            bytes: bytes / held,
        })
    }

    /// Keys and bytes of a part of all keys.
    pub(super) const fn part(self, part: f64) -> (u64, u64) {
        (whole(self.records * part), whole(self.bytes * part))
    }
}

#[expect(clippy::cast_precision_loss, reason = "an estimate for people")]
const fn float(number: u64) -> f64 {
    number as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an estimate for people, never negative"
)]
const fn whole(number: f64) -> u64 {
    number as u64
}

#[cfg(test)]
mod tests {
    use quoit_ring::ClusterMap;

    use super::super::super::edits::Edits;
    use super::super::super::edits::tests::{first, newcomer};
    use super::*;

    fn rings(edits: &Edits, members: u64) -> [Ring; 2] {
        let now = first(members);
        let next = edits.apply(&now).unwrap();
        let ring = |map: &ClusterMap| Ring::new(map).unwrap();
        [ring(&now.map), ring(&next.change.unwrap().target)]
    }

    fn one_joins() -> [Ring; 2] {
        let adds = vec![newcomer(4)];
        let edits = Edits {
            adds,
            ..Edits::default()
        };
        rings(&edits, 3)
    }

    #[test]
    fn a_newcomer_gets_what_it_owns_after_and_each_arc_has_its_part() {
        let rings = one_joins();
        let moves = Moves::between(&rings);
        let bits = rings[1].leaf_bits();
        let owned = |leaves: core::ops::Range<u32>| {
            let is_owned = |&leaf: &u32| rings[1].list_of_leaf(Leaf(leaf)).is_owner(NodeId(4));
            let count = leaves.filter(is_owned).count();
            f64::from(u32::try_from(count).unwrap()) / f64::from(bits.count())
        };
        assert!((moves.to(NodeId(4)) - owned(0..bits.count())).abs() < 1e-9);
        let nothing = moves.to(NodeId(1));
        assert_eq!(nothing.to_string(), "0", "it keeps what it has");
        for (arc, got) in (0..).zip(&moves.0) {
            let [(NodeId(4), part)] = got[..] else {
                panic!("arc {arc}: {got:?}");
            };
            let expected = owned(Arcs::FULL.leaves(arc, bits));
            assert!(
                (part - expected).abs() < 1e-9,
                "arc {arc}: {part} {expected}"
            );
        }
    }

    #[test]
    fn the_time_is_that_of_the_slowest_in_each_arc() {
        let moves = Moves(vec![
            vec![(NodeId(1), 0.1), (NodeId(2), 0.2)],
            vec![(NodeId(1), 0.3)],
            vec![],
        ]);
        let copy = Amount {
            records: 1.0,
            bytes: 1000.0,
        };
        let time = |slow| moves.least_time(copy, |node| if node == NodeId(1) { slow } else { 100 });
        assert_eq!(time(100), Duration::from_secs(2 + 3));
        assert_eq!(time(10), Duration::from_secs(10 + 30));
        assert!(time(0) > time(10), "no division by zero");
    }
}
