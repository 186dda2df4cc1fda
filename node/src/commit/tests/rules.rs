//! Verdicts: what is joined, superseded and refused.

use std::sync::Arc;

use bytes::Bytes;
use quoit_ring::change::Known;
use quoit_ring::wire::{Durability, Refusal, Response};
use quoit_ring::{Delta, MerkleKey, Millis, Time};

use super::{delete, values, world};
use crate::commit::Committer;
use crate::engine::MemoryEngine;
use crate::state::NodeState;
use crate::testing::{LIMITS, SELF, Sink, WALL, at, blind, dot, ring, unseeing, write};
use crate::write::Change;

#[test]
fn writes_of_one_key_in_one_batch_see_each_other_in_their_order() {
    let mut world = world();
    let first = unseeing(dot(1, WALL), "first");
    let context = first.record().seen().clone();
    let value = Some((Bytes::from_static(b"second"), None));
    world.put("k", first);
    world.put("other", blind(dot(3, WALL), "x"));
    world.put(
        "k",
        Delta::causal(dot(2, WALL + 1), Time::ZERO, &context, value),
    );
    world.put("k", blind(dot(4, WALL - 5), "too late to count"));
    let answers = world.commit();
    assert_eq!(
        answers[..3],
        [Response::Joined, Response::Joined, Response::Joined]
    );
    assert_eq!(
        answers[3],
        Response::Joined,
        "its floor says nothing about later dots"
    );
    assert_eq!(
        values(&world.stored("k").unwrap()),
        [b"too late to count".as_slice(), b"second"]
    );
}

#[test]
fn a_retry_is_joined_again_and_changes_nothing() {
    let mut world = world();
    let delta = blind(dot(1, WALL), "v");
    assert_eq!(world.only("k", delta.clone()), Response::Joined);
    let before = world.stored("k");
    assert_eq!(world.only("k", delta), Response::Joined);
    assert_eq!(world.stored("k"), before);
    assert_eq!(world.state.stats.collisions(), 0);
}

#[test]
fn a_dead_dot_is_covered_and_named_if_an_interval_holds_it() {
    let mut world = world();
    let old = blind(dot(1, WALL - 10), "old");
    world.put("k", old.clone());
    let over = blind(dot(2, WALL), "over");
    world.put("k", over.clone());
    world.commit();
    let above = over.record().max_time();
    let covered = world.only("k", old);
    assert_eq!(
        covered,
        Response::Superseded {
            named: false,
            above
        },
        "only the floor covers it"
    );

    let gone = delete(dot(2, WALL + 5));
    assert_eq!(world.only("k", gone.clone()), Response::Joined);
    let Response::Superseded { named: true, above } = world.only("k", gone) else {
        panic!("a delete's own dot is named, and never live");
    };
    assert!(above >= Time::at(Millis(WALL + 5)));
    assert!(world.stored("k").unwrap().is_tombstone());
}

#[test]
fn a_dot_minted_twice_keeps_both_contents_and_is_counted() {
    let mut world = world();
    world.put("k", blind(dot(1, WALL), "one"));
    world.put("k", blind(dot(1, WALL), "two"));
    assert_eq!(world.commit(), [Response::Joined, Response::Joined]);
    assert_eq!(world.stored("k").unwrap().live().len(), 2);
    assert_eq!(world.state.stats.collisions(), 1);
    assert_eq!(
        world.only("k", blind(dot(1, WALL), "one")),
        Response::Joined
    );
    assert_eq!(
        world.state.stats.collisions(),
        1,
        "a retry of a variant is no new collision"
    );
}

#[test]
fn what_a_covered_put_names_is_above_the_clock_too() {
    let mut world = world();
    world.put("k", blind(dot(1, WALL - 10), "old"));
    world.put("k", blind(dot(2, WALL - 5), "over"));
    world.commit();
    world.put("k", blind(dot(1, WALL - 10), "old"));
    let [Response::Superseded { above, .. }] = world.commit_at(at(WALL + 1000))[..] else {
        panic!("it is dead");
    };
    assert_eq!(above, Time::at(Millis(WALL + 1000)));
}

#[test]
fn stamps_too_far_ahead_are_refused_and_never_move_the_clock() {
    let mut world = world();
    let ahead = Response::Refused(Refusal::ClockAhead {
        ahead_ms: 501,
        max_ms: 500,
    });
    world.put("k", blind(dot(1, WALL + 500), "just in time"));
    world.put("k", blind(dot(1, WALL + 501), "ahead"));
    world.repair("k", blind(dot(2, WALL + 501), "ahead").into_record());
    assert_eq!(world.commit(), [Response::Joined, ahead.clone(), ahead]);
    assert_eq!(
        world.state.clock.reading(at(WALL)),
        Time::at(Millis(WALL + 500))
    );
}

#[test]
fn a_small_step_back_of_the_wall_clock_is_held_and_a_large_one_followed() {
    let state = world().state;
    let reading = |wall| state.clock.reading(at(wall)).millis().0 - WALL;
    assert_eq!(reading(WALL + 10_000), 10_000);
    assert_eq!(reading(WALL + 9_950), 10_000, "what was over stays over");
    assert_eq!(reading(WALL + 10_001), 10_001);
    assert_eq!(reading(WALL + 2_000), 2_000, "the clock was wrong before");
}

#[test]
fn old_puts_are_refused_and_old_repairs_are_joined() {
    let mut world = world();
    let old = blind(dot(1, WALL - 60_001), "old");
    world.put("k", blind(dot(1, WALL - 60_000), "just in time"));
    world.put("k", old.clone());
    world.repair("r", old.into_record());
    let too_old = Response::Refused(Refusal::TooOld {
        age_ms: 60_001,
        max_ms: 60_000,
    });
    assert_eq!(
        world.commit(),
        [Response::Joined, too_old, Response::Joined]
    );
}

#[test]
fn ages_are_held_to_a_clock_that_a_restart_does_not_set_back() {
    let engine = Arc::new(MemoryEngine::new());
    let mark = Time::at(Millis(WALL + 2_000));
    let settings = (LIMITS, Durability::Fsync);
    let state = NodeState::new(SELF, Known::of(ring(1)), MerkleKey([5; 16]), mark, settings);
    let mut committer = Committer::new(engine, &state, at(WALL));
    let sink = Sink::default();
    let late = Change::Put(blind(dot(1, WALL - 59_000), "v"));
    committer
        .run(&mut vec![write(0, &sink, "k", late, at(WALL))], at(WALL))
        .unwrap();
    assert_eq!(
        sink.clock(),
        Some(Time::at(Millis(WALL))),
        "nobody is told of the mark"
    );
    let age_ms = 61_000;
    let refused = Response::Refused(Refusal::TooOld {
        age_ms,
        max_ms: 60_000,
    });
    assert_eq!(sink.answers(), [(0, refused)]);
}

#[test]
fn a_write_whose_budget_is_used_up_is_dropped() {
    let mut world = world();
    world.put("k", blind(dot(1, WALL), "v"));
    let answers = world.commit_at(at(WALL + 1001));
    assert_eq!(answers, [Response::Refused(Refusal::Expired)]);
    assert_eq!(world.stored("k"), None);
}

#[test]
fn puts_respect_the_bound_on_siblings_and_merges_get_through() {
    let mut world = world();
    for actor in 1..=4 {
        assert_eq!(
            world.only("k", unseeing(dot(actor, WALL), "v")),
            Response::Joined
        );
    }
    let fifth = unseeing(dot(5, WALL), "v");
    let refused = Response::Refused(Refusal::TooManySiblings { max: 4 });
    assert_eq!(world.only("k", fifth.clone()), refused);
    world.repair("k", fifth.into_record());
    assert_eq!(world.commit(), [refused], "the only copy has all there is");
    let context = world.stored("k").unwrap();
    let merged = Some((Bytes::from_static(b"merged"), None));
    let merge = Delta::causal(dot(6, WALL + 1), Time::ZERO, context.seen(), merged);
    assert_eq!(
        world.only("k", merge),
        Response::Joined,
        "a merge always gets through"
    );
    assert_eq!(world.stored("k").unwrap().live().len(), 1);
}

#[test]
fn puts_respect_the_bound_on_bytes_and_deletes_get_through() {
    let mut world = world();
    let long = "x".repeat(1500);
    assert_eq!(
        world.only("k", unseeing(dot(1, WALL), &long)),
        Response::Joined
    );
    let second = unseeing(dot(2, WALL), &long);
    let Response::Refused(Refusal::RecordTooLarge { bytes, max: 2048 }) =
        world.only("k", second.clone())
    else {
        panic!("two of them are too much");
    };
    assert!(bytes > 3000);
    assert_eq!(world.only("k", delete(dot(3, WALL + 1))), Response::Joined);
}
