//! A join or a leave moves only the keys that it must.
//!
//! What holds for every key, zones or not: an owner list without the newcomer is the list from before,
//! order included. A list with it has lost one owner, or none if there were fewer members than copies,
//! and gained nobody else. While there are as many zones as copies, the lost owner is the one in the
//! newcomer's zone, or the last, and the others keep their order; with fewer zones than copies the
//! newcomer can turn the first node of its zone into a skipped one, which comes later. A leave is the
//! inverse.

use proptest::prelude::*;

use crate::pool::{POOL, Pair, all_zones, cases, owners, pool, zone_of};
use quoit_ring::{NodeId, Token};

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn a_join_moves_a_key_to_the_newcomer_from_one_owner_or_not_at_all(
        at in 0..POOL,
        token: u64,
    ) {
        let Pair { with: after, without: before, node } = &pool()[at];
        let (old, new) = (owners(before, Token(token)), owners(after, Token(token)));
        if !new.contains(node) {
            prop_assert_eq!(old, new, "a list without the newcomer is as before, order included");
            return Ok(());
        }
        let lost: Vec<NodeId> = old.iter().copied().filter(|owner| !new.contains(owner)).collect();
        let kept: Vec<NodeId> = new.iter().copied().filter(|owner| owner != node).collect();
        prop_assert!(kept.iter().all(|owner| old.contains(owner)), "only the newcomer is gained");
        let crowded = before.members().len() >= usize::from(before.map().replication);
        prop_assert_eq!(lost.len(), usize::from(crowded));
        if let Some(&lost) = lost.first()
            && all_zones(before) >= before.replication()
        {
            let zone = zone_of(after, *node);
            let mate = old.iter().copied().find(|&owner| zone_of(before, owner) == zone);
            prop_assert_eq!(Some(lost), mate.or_else(|| old.last().copied()));
            let in_old_order: Vec<NodeId> = old.into_iter().filter(|&o| o != lost).collect();
            prop_assert_eq!(kept, in_old_order);
        }
    }

    #[test]
    fn a_leave_moves_the_leavers_keys_to_one_node_each_and_no_others(at in 0..POOL, token: u64) {
        let Pair { with: before, without: after, node } = &pool()[at];
        let (old, new) = (owners(before, Token(token)), owners(after, Token(token)));
        if old.contains(node) {
            let heirs = new.iter().filter(|owner| !old.contains(owner)).count();
            let there_is_one = after.members().len() >= usize::from(before.map().replication);
            prop_assert_eq!(heirs, usize::from(there_is_one));
            prop_assert!(old.iter().all(|owner| owner == node || new.contains(owner)));
        } else {
            prop_assert_eq!(old, new);
        }
    }
}
