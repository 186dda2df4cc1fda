//! Members that come and go.

use quoit_gossip::{Facts, Gossip, Incarnation, Options, Step};
use quoit_ring::wire::MemberState::{Alive, Failed};
use quoit_ring::{Epoch, Moment, NodeId};

use crate::helpers::{secs, settled, spread_rounds};

#[test]
fn who_was_removed_never_comes_back() {
    for seed in 0..20 {
        let mut world = settled(8, seed, 5);
        // Cut off with an old friend, removed meanwhile; later both are back, and still gossip.
        world.cut_off([0, 1], 1);
        world.run(secs(20));
        world.decide(1..8, 5);
        world.run(secs(3_600));
        world.heal();
        for _ in 0..120 {
            world.run(secs(1));
            for seer in 1..8 {
                let is_behind = world.nodes[seer].epoch < Epoch(2);
                assert!(is_behind || world.state(seer, 0).is_none(), "seed {seed}");
            }
        }
        assert_eq!(world.know(Epoch(2)), 7, "all but the one that was removed");
        assert_eq!(world.nodes[0].epoch, Epoch(1), "nobody speaks to it");
        for seer in 1..8 {
            let others = (1..8).filter(|&member| member != seer);
            let mut seen = others.map(|member| world.state(seer, member));
            assert!(seen.all(|state| state == Some(Alive)), "seed {seed}");
        }
    }
}

#[test]
fn a_new_member_is_seen_and_sees_everybody() {
    for seed in 0..10 {
        let mut world = settled(20, seed, 5);
        world.decide(0..21, 0);
        let new = world.add().unwrap();
        world.run(secs(spread_rounds(21) + 6));
        let all = || (0..21).filter(|&node| node != new);
        assert!(all().all(|seer| world.state(seer, new) == Some(Alive)));
        assert!(all().all(|member| world.state(new, member) == Some(Alive)));
        assert!(!world.nodes[new].is_isolated);
        assert_eq!(world.changes, [], "seed {seed}");
    }
}

#[test]
fn a_new_member_that_never_starts_fails_on_time() {
    let mut world = settled(5, 1, 0);
    world.decide(0..6, 0);
    world.run(secs(30 + spread_rounds(6) + 2));
    assert!((0..5).all(|seer| world.state(seer, 5) == Some(Failed)));
}

#[test]
fn a_cluster_much_larger_than_a_message_still_learns_everything() {
    let options = Options {
        max_message: 512,
        ..Options::default()
    };
    let mut world = crate::helpers::settled_with(120, 1, 0, options);
    world.run(secs(60));
    assert!(world.longest <= 512, "{}", world.longest);
    for node in &world.nodes {
        let gossip = node.gossip.as_ref().unwrap();
        assert!(
            gossip
                .members()
                .all(|view| view.facts.is_some() && view.was_heard)
        );
    }
}

#[test]
fn a_copy_of_a_nodes_disk_is_noticed() {
    let start = |incarnation, at| {
        let (facts, options) = (Facts::default(), Options::default());
        let mut gossip =
            Gossip::new(NodeId(1), Incarnation(incarnation), facts, options, at).unwrap();
        gossip.handle_members([NodeId(1), NodeId(2)], at);
        gossip
    };
    let mut other = {
        let (facts, options) = (Facts::default(), Options::default());
        Gossip::new(NodeId(2), Incarnation(1), facts, options, Moment(0)).unwrap()
    };
    other.handle_members([NodeId(1), NodeId(2)], Moment(0));
    let digest = |gossip: &mut Gossip, at| {
        gossip.handle_time(at, 1);
        core::iter::from_fn(|| gossip.poll_step()).find_map(|step| match step {
            Step::Send { message, .. } => Some(message),
            _ => None,
        })
    };

    // The present node, and one that starts from an older state of its disk.
    let mut present = start(7, Moment(0));
    other.handle_message(
        NodeId(1),
        digest(&mut present, Moment(0)).unwrap(),
        Moment(1),
    );
    while other.poll_step().is_some() {}
    let mut copy = start(6, Moment(2));
    copy.handle_message(NodeId(2), digest(&mut other, Moment(3)).unwrap(), Moment(4));
    let steps: Vec<Step> = core::iter::from_fn(|| copy.poll_step()).collect();
    assert!(steps.contains(&Step::Twin(Incarnation(7))), "{steps:?}");
}
