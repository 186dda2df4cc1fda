//! Who hears nobody doubts itself.

use std::time::Duration;

use quoit_gossip::Options;
use quoit_ring::wire::MemberState::{Alive, Failed, Suspect};

use crate::helpers::{secs, settled, settled_with, spread_rounds};
use crate::world::{Change, World};

fn blamed_by(world: &World, seers: impl Fn(usize) -> bool) -> Vec<Change> {
    let blames = |change: &Change| seers(change.seer) && change.to != Alive;
    world.changes.iter().copied().filter(blames).collect()
}

/// A node is cut off for two minutes; gives back which members it blamed then and for a minute after.
fn cut_off(count: usize, seed: u64, loss: u64, options: Options) -> (World, Vec<Change>) {
    let mut world = settled_with(count, seed, loss, options);
    world.cut_off([0], 1);
    world.run(secs(120));
    assert!(world.nodes[0].is_isolated);
    world.heal();
    world.run(secs(60));
    let blamed = blamed_by(&world, |seer| seer == 0);
    (world, blamed)
}

#[test]
fn who_is_cut_off_blames_nobody_and_says_so() {
    for (count, loss) in [(2, 0), (3, 0), (3, 5), (5, 5), (20, 0), (20, 5), (60, 5)] {
        for seed in 0..20 {
            let (world, blamed) = cut_off(count, seed, loss, Options::default());
            assert_eq!(blamed, [], "{count} nodes, seed {seed}");
            let isolated = world.nodes.iter().filter(|node| node.is_isolated);
            assert_eq!(isolated.count(), 0, "{count} nodes, seed {seed}");
        }
    }
}

#[test]
fn without_that_rule_who_is_cut_off_blames_everybody() {
    let options = Options {
        doubts_itself: false,
        ..Options::default()
    };
    let (_, blamed) = cut_off(5, 1, 0, options);
    let failed = blamed.iter().filter(|change| change.to == Failed);
    assert_eq!(failed.count(), 4);
}

/// A node sleeps, for several lengths; gives back which members it blamed.
fn asleep(seed: u64, options: Options) -> Vec<Change> {
    let mut world = settled_with(10, seed, 5, options);
    for seconds in [3, 6, 20, 60] {
        world.pause(0, secs(seconds));
        world.run(secs(seconds + 40));
    }
    blamed_by(&world, |seer| seer == 0)
}

#[test]
fn who_has_slept_blames_nobody() {
    for seed in 0..20 {
        assert_eq!(asleep(seed, Options::default()), [], "seed {seed}");
    }
}

#[test]
fn without_that_rule_who_has_slept_blames_others() {
    let options = Options {
        doubts_itself: false,
        probes: false,
        ..Options::default()
    };
    assert!((0..20).any(|seed| !asleep(seed, options.clone()).is_empty()));
}

#[test]
fn of_two_sides_only_the_larger_one_sees_failures() {
    for (count, smaller) in [(3, 1), (5, 2), (60, 24)] {
        for seed in 0..4 {
            let mut world = settled(count, seed, 0);
            world.cut_off(0..smaller, 1);
            world.run(secs(60));

            // Old news of the far side travels on the near one for some rounds, so members can be suspected there at first.
            let blamed = blamed_by(&world, |seer| seer < smaller);
            assert!(blamed.iter().all(|change| change.to == Suspect));
            for seer in 0..smaller {
                let mut seen = (0..count).filter_map(|member| world.state(seer, member));
                assert!(seen.all(|state| state == Alive), "taken back, seed {seed}");
            }
            for seer in smaller..count {
                assert!(!world.nodes[seer].is_isolated);
                assert!((0..smaller).all(|member| world.state(seer, member) == Some(Failed)));
            }
            world.heal();
            world.run(secs(spread_rounds(count) + 3));
            for seer in 0..count {
                let others = (0..count).filter(|&member| member != seer);
                let mut seen = others.map(|member| world.state(seer, member));
                assert!(seen.all(|state| state == Some(Alive)), "seed {seed}");
            }
        }
    }
}

#[test]
fn of_two_halves_none_sees_failures() {
    for seed in 0..20 {
        let mut world = settled(10, seed, 0);
        world.cut_off(0..5, 1);
        world.run(secs(120));
        let blamed = blamed_by(&world, |_| true);
        assert!(blamed.iter().all(|change| change.to == Suspect));
        assert!(world.nodes.iter().all(|node| node.is_isolated));
        for seer in 0..10 {
            let mut seen = (0..10).filter_map(|member| world.state(seer, member));
            assert!(seen.all(|state| state == Alive), "taken back, seed {seed}");
        }
    }
}

#[test]
fn a_slow_node_blames_nobody_and_is_blamed_by_nobody() {
    for seed in 0..5 {
        let mut world = settled(10, seed, 0);
        world.slow_down(0, Duration::from_millis(2_500));
        world.run(secs(30)); // the first of the late messages come after a gap
        world.changes.clear();
        world.run(secs(300));
        assert_eq!(world.changes, [], "seed {seed}");
    }
}

#[test]
fn a_node_that_stalls_again_and_again_blames_nobody() {
    for seed in 0..10 {
        let mut world = settled(10, seed, 5);
        for _ in 0..60 {
            world.pause(0, Duration::from_millis(1_900));
            world.run(Duration::from_millis(2_500));
        }
        assert_eq!(blamed_by(&world, |seer| seer == 0), [], "seed {seed}");
    }
}
