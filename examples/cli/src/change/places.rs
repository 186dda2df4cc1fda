//! Where members sit after a change, so that few keys move and the load comes out even.
//!
//! ```text
//!   join     places of its own                    more weight   places beside its own, as a newcomer would get them
//!   leave    its ranges fall to who is behind     less weight   every so many of its places are given up
//!   take over: the very places of one that leaves
//!   then, while somebody is too full: some places more for whoever is emptiest
//! ```
//!
//! Invariant: a member that neither leaves nor loses weight keeps every place that it has.

use quoit_ring::placement::{
    Newcomer, Ring, allocate, fair_shares, fullest_excess, join, replica_loads,
};
use quoit_ring::{ClusterMap, Member, NodeId};

use super::edits::Edits;
use crate::exit::Exit;
use crate::failure::Failure;

/// How far the fullest member may be above its fair share before somebody gets more places.
const EVEN: f64 = 0.02;
/// How often that is tried; each gives a member 16 places more at least, or none.
const ROUNDS: u64 = 12;

/// The map after the edits, which were found to fit `before`; `seed` is any number.
pub(super) fn place(edits: &Edits, before: &ClusterMap, seed: u64) -> Result<ClusterMap, Failure> {
    let mut map = before.clone();
    let leaves = |member: &Member| edits.leaves.contains(&member.name);
    let mut gone: Vec<Member> = before
        .members
        .iter()
        .filter(|it| leaves(it))
        .cloned()
        .collect();
    map.members.retain(|member| !leaves(member));

    let mut joins = Vec::new();
    for newcomer in &edits.adds {
        let fits = |it: &Member| it.zone == newcomer.zone && it.weight == newcomer.weight;
        match gone.iter().position(fits) {
            Some(place) => {
                let vnodes = gone.remove(place).vnodes;
                map.members.push(newcomer.clone().into_member(vnodes));
            }
            None => joins.push(newcomer.clone()),
        }
    }
    map.members.sort_by_key(|it| it.id);
    for (newcomer, step) in joins.into_iter().zip(0_u64..) {
        let name = newcomer.name.clone();
        join(&mut map, newcomer, seed.wrapping_add(step)).map_err(|error| {
            let why = Failure::caused(&error).what;
            Failure::new(Exit::Usage, format!("{name} cannot join: {why}"))
        })?;
    }
    for (name, weight) in &edits.weights {
        if let Some(at) = map.members.iter().position(|it| it.name == *name) {
            reweigh(&mut map, at, *weight, seed)?;
        }
    }
    level(map, seed)
}

fn reweigh(map: &mut ClusterMap, at: usize, weight: u32, seed: u64) -> Result<(), Failure> {
    let before = map.members[at].weight;
    if weight > before {
        add_places(map, at, weight - before, seed)?;
    } else if weight < before {
        let member = &mut map.members[at];
        let places = member.vnodes.len();
        let (weight, before) = (u64::from(weight), u64::from(before));
        // The `i`th stays if that is the first one at which another whole one is due; the first always does.
        let due = |i: u64| (i * weight).div_ceil(before);
        let stays: Vec<bool> = (0_u64..)
            .take(places)
            .map(|i| due(i + 1) > due(i))
            .collect();
        let mut stays = stays.into_iter();
        member.vnodes.retain(|_| stays.next().unwrap_or(true));
    }
    map.members[at].weight = weight;
    Ok(())
}

/// Gives a member the places that a newcomer of `weight` would get in its zone.
fn add_places(map: &mut ClusterMap, at: usize, weight: u32, seed: u64) -> Result<(), Failure> {
    let is_free = |id: &NodeId| map.members.iter().all(|it| it.id != *id);
    let member = &map.members[at];
    let taken = |name: &String| map.members.iter().any(|it| it.name == *name);
    let helper = Newcomer {
        id: (0..).map(NodeId).find(is_free).unwrap_or(NodeId(0)),
        name: (0..)
            .map(|i| i.to_string())
            .find(|it| !taken(it))
            .unwrap_or_default(),
        address: member.address.clone(),
        zone: member.zone.clone(),
        weight,
    };
    let more = allocate(map, &helper, seed).map_err(|error| Failure::caused(&error))?;
    let vnodes = &mut map.members[at].vnodes;
    vnodes.extend(more);
    vnodes.sort_unstable();
    Ok(())
}

/// Gives the emptiest members more places while somebody is too full and that helps.
fn level(mut map: ClusterMap, seed: u64) -> Result<ClusterMap, Failure> {
    let ring = |map: &ClusterMap| Ring::new(map).map_err(|error| Failure::caused(&error));
    let mut excess = fullest_excess(&ring(&map)?);
    for round in 0..ROUNDS {
        if excess <= EVEN {
            break;
        }
        let loads = replica_loads(&ring(&map)?);
        let filled = loads.iter().zip(fair_shares(&map));
        let filled = filled.map(|((_, load), (_, fair))| load / fair).enumerate();
        let Some((at, filled)) = filled.min_by(|a, b| a.1.total_cmp(&b.1)) else {
            break;
        };
        let mut next = map.clone();
        // As many as it lacks, before whoever is too full.
        let lacks = part_of(map.members[at].weight, 1.0 - filled);
        add_places(&mut next, at, lacks, seed.wrapping_add(round))?;
        let after = fullest_excess(&ring(&next)?);
        if after < excess {
            (map, excess) = (next, after);
        }
    }
    Ok(map)
}

/// A part of a weight, 1 at least.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a weight is 10,000 at most, and the part within 0 and 1"
)]
fn part_of(weight: u32, part: f64) -> u32 {
    ((f64::from(weight) * part.clamp(0.0, 1.0)) as u32).max(1)
}

#[cfg(test)]
mod tests {
    use super::super::edits::tests::first;
    use super::*;

    fn excess(map: &ClusterMap) -> f64 {
        fullest_excess(&Ring::new(map).unwrap())
    }

    fn leave(names: &[&str]) -> Edits {
        Edits {
            leaves: names.iter().map(|&name| name.to_owned()).collect(),
            ..Edits::default()
        }
    }

    #[test]
    fn after_leaves_the_fullest_is_near_its_share_and_nobody_gives_a_place_up() {
        for (members, leaves) in [(5, &["n2"][..]), (8, &["n3"]), (9, &["n1", "n5"])] {
            let before = first(members).map;
            let after = place(&leave(leaves), &before, 7).unwrap();
            assert!(excess(&after) < 0.05, "{members}: {}", excess(&after));
            for member in &after.members {
                let old = before.members.iter().find(|it| it.id == member.id).unwrap();
                assert!(old.vnodes.iter().all(|leaf| member.vnodes.contains(leaf)));
            }
        }
    }

    #[test]
    fn another_weight_changes_what_a_member_holds_and_keeps_its_places() {
        let before = first(8).map;
        let share = |map: &ClusterMap| {
            let loads = replica_loads(&Ring::new(map).unwrap());
            loads[2].1
        };
        for (weight, share_at_least, share_at_most) in [(200, 0.58, 0.72), (50, 0.18, 0.24)] {
            let edits = Edits {
                weights: vec![("n3".into(), weight)],
                ..Edits::default()
            };
            let after = place(&edits, &before, 7).unwrap();
            let (old, new) = (&before.members[2].vnodes, &after.members[2].vnodes);
            let (few, many) = if weight > 100 { (old, new) } else { (new, old) };
            assert!(few.iter().all(|leaf| many.contains(leaf)), "{weight}");
            let share = share(&after);
            assert!(
                (share_at_least..share_at_most).contains(&share),
                "{weight}: {share}"
            );
            assert!(excess(&after) < 0.06, "{weight}: {}", excess(&after));
        }
    }
}
