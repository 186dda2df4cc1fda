//! The dead, the living and the restarted.

use quoit_gossip::Options;
use quoit_ring::wire::MemberState::{self, Alive, Failed, Suspect};

use crate::helpers::{secs, settled, settled_with, spread_rounds};
use crate::world::{Change, World};

/// Everybody else sees `member` so.
fn all_see(world: &World, member: usize, state: MemberState) -> bool {
    let others = (0..world.nodes.len()).filter(|&seer| seer != member);
    let mut seen = others.filter_map(|seer| world.state(seer, member));
    seen.all(|other| other == state)
}

#[test]
fn the_dead_are_suspect_and_failed_on_time_everywhere() {
    for (count, loss) in [(3, 0), (3, 5), (5, 5), (10, 0), (30, 5), (100, 5)] {
        for seed in 0..5 {
            let mut world = settled(count, seed, loss);
            let dead = count / 2;
            let death = world.now;
            world.kill(dead);

            // The last heartbeats are still on their way for some rounds; then silence counts. Two rounds for the looks.
            let late = secs(spread_rounds(count) + 2);
            world.run(secs(5) + late);
            assert!(all_see(&world, dead, Suspect), "{count} nodes, seed {seed}");
            world.run(secs(25));
            assert!(all_see(&world, dead, Failed), "{count} nodes, seed {seed}");

            let blames = |change: &&Change| change.member == dead && change.to != Alive;
            for change in world.changes.iter().filter(blames) {
                let after = change.at.saturating_since(death);
                // Silence begins with the last news, which can be four seconds old at a death.
                let least = if change.to == Suspect { 1 } else { 26 };
                assert!(after >= secs(least), "{change:?}");
            }
        }
    }
}

#[test]
fn the_living_never_fail_although_messages_are_lost() {
    for (count, seconds) in [(3, 3_600), (10, 1_800), (50, 300)] {
        for seed in 0..4 {
            let mut world = settled(count, seed, 5);
            world.run(secs(seconds));
            let failed = world.changes.iter().filter(|change| change.to == Failed);
            assert_eq!(failed.count(), 0, "{count} nodes, seed {seed}");
        }
    }
}

#[test]
fn without_probes_the_living_are_suspected_much_more_often() {
    let suspicions = |probes| {
        let options = Options {
            probes,
            ..Options::default()
        };
        let mut world = settled_with(30, 1, 20, options);
        world.run(secs(600));
        let suspect = world.changes.iter().filter(|change| change.to == Suspect);
        suspect.count()
    };
    let (with, without) = (suspicions(true), suspicions(false));
    assert!(without > 20 && with * 10 < without, "{with} {without}");
}

#[test]
fn a_member_that_one_node_cannot_reach_is_no_suspect() {
    for seed in 0..10 {
        let mut world = settled(5, seed, 0);
        world.broken.insert((0, 1));
        world.run(secs(120));
        assert_eq!(world.changes, [], "seed {seed}");
    }
}

#[test]
fn helpers_answer_for_a_member_whose_news_comes_by_no_other_way() {
    // Three nodes, of which two cannot reach each other: all they hear of each other comes by way of the third.
    let suspicions = |helpers| {
        let options = Options {
            helpers,
            ..Options::default()
        };
        let mut world = settled_with(3, 3, 25, options);
        world.broken.insert((0, 1));
        world.run(secs(1_200));
        world
            .changes
            .iter()
            .filter(|change| change.to == Suspect)
            .count()
    };
    let (with, without) = (suspicions(3), suspicions(0));
    assert!(with < without, "{with} {without}");
}

#[test]
fn a_restarted_node_is_alive_again_within_a_few_rounds() {
    for count in [3, 10, 100] {
        for seed in 0..5 {
            let mut world = settled(count, seed, 5);
            world.kill(1);
            world.run(secs(50));
            assert!(all_see(&world, 1, Failed));
            world.restart(1).unwrap();
            world.run(secs(spread_rounds(count) + 3));
            assert!(all_see(&world, 1, Alive), "{count} nodes, seed {seed}");
            assert!(!world.nodes[1].is_isolated);
        }
    }
}

#[test]
fn a_quick_restart_is_not_even_noticed() {
    for seed in 0..10 {
        let mut world = settled(10, seed, 0);
        world.kill(4);
        world.run(secs(2));
        world.restart(4).unwrap();
        world.run(secs(30));
        assert_eq!(world.changes, [], "seed {seed}");
    }
}
