//! How fast news is everywhere.

use crate::helpers::{secs, settled, spread_rounds};
use crate::world::World;

/// Rounds until every node holds an epoch that one of them has learnt.
fn rounds_to_spread(world: &mut World, from: usize) -> u64 {
    world.decide_again(from);
    let (begun, epoch, count) = (world.now, world.newest(), world.nodes.len());
    world.run_while(secs(60), |world| world.know(epoch) < count);
    assert_eq!(world.know(epoch), count);
    world.now.since(begun).div_ceil(1_000_000)
}

#[test]
fn everybody_knows_a_change_within_a_logarithm_of_rounds() {
    for count in [2, 3, 5, 10, 30, 100] {
        for seed in 0..8 {
            let mut world = settled(count, seed, 0);
            let rounds = rounds_to_spread(&mut world, count / 2);
            assert!(
                rounds <= spread_rounds(count),
                "{count} nodes, seed {seed}: {rounds}"
            );
        }
    }
}

#[test]
fn losing_one_message_in_twenty_costs_a_few_rounds() {
    for count in [3, 10, 30, 100] {
        for seed in 0..8 {
            let mut world = settled(count, seed, 5);
            let rounds = rounds_to_spread(&mut world, 0);
            assert!(
                rounds <= spread_rounds(count) + 3,
                "{count} nodes, seed {seed}: {rounds}"
            );
        }
    }
}

#[test]
fn everybody_has_everybodys_facts() {
    let world = settled(30, 1, 5);
    for node in &world.nodes {
        for view in node.gossip.as_ref().unwrap().members() {
            assert_eq!(view.facts.unwrap().build.as_str(), "0.1.0");
            assert_eq!(view.facts.unwrap().epoch, node.epoch);
        }
    }
}

#[test]
fn the_same_seed_makes_the_same_run() {
    let trace = |seed| {
        let mut world = settled(10, seed, 5);
        world.kill(3);
        world.run(secs(20));
        (world.trace, world.bytes, world.changes)
    };
    assert_eq!(trace(7), trace(7));
    assert_ne!(trace(7).0, trace(8).0);
}
