//! What is minted on one key, and how the writes of one actor stand to each other.

use quoit_ring::Moment;

use super::*;

const KEY: KeyHash = KeyHash(7);

fn now(random: u64) -> Now {
    Now {
        at: Moment(0),
        wall: Millis(1_000),
        random,
    }
}

#[test]
fn a_keys_previous_dot_is_remembered_for_that_key_only() {
    let mut mint = Mint::new(1, Duration::from_millis(500), MAX_KEYS);
    let (first, none) = mint.mint((KEY, true), Time::ZERO, now(1));
    assert_eq!(none, Time::ZERO);
    assert_eq!(
        mint.mint((KeyHash(8), true), Time::ZERO, now(2)).1,
        Time::ZERO
    );
    assert_eq!(mint.mint((KEY, true), Time::ZERO, now(3)).1, first.time);
}

/// A mint whose table has so many keys.
fn small(max_keys: usize) -> Mint {
    Mint::new(1, Duration::from_millis(500), max_keys)
}

/// Writes of other keys, on which nothing is under way, until a table of four is full.
fn fill(mint: &mut Mint) {
    for key in 1_000..1_004 {
        mint.mint((KeyHash(key), false), Time::ZERO, now(key));
    }
}

#[test]
fn a_full_table_forgets_all_keys_and_claims_nothing_of_what_was_written_on_them() {
    let mut mint = Mint::new(1, Duration::from_millis(500), MAX_KEYS);
    for key in 0..MAX_KEYS as u64 {
        mint.mint((KeyHash(key), false), Time::ZERO, now(key));
    }
    let (last, _) = mint.mint((KeyHash(0), false), Time::ZERO, now(7));
    assert_eq!(mint.own.len(), MAX_KEYS, "a known key needs no new entry");

    let new = KeyHash(MAX_KEYS as u64);
    let (first, prev) = mint.mint((new, false), Time::ZERO, now(8));
    assert_eq!(
        (first.actor, prev, mint.own.len()),
        (last.actor, last.time, 1)
    );
    let (second, prev) = mint.mint((KeyHash(1), false), Time::ZERO, now(9));
    assert_eq!(prev, last.time, "none of it was written later than this");
    let (_, prev) = mint.mint((KeyHash(1), false), Time::ZERO, now(10));
    assert_eq!(prev, second.time);
}

#[test]
fn a_write_under_way_is_not_forgotten_with_a_full_table() {
    let mut mint = small(4);
    let (put, _) = mint.mint((KEY, true), Time::ZERO, now(1));
    fill(&mut mint);
    fill(&mut mint);
    mint.withdrawn(KEY, put);
    assert_eq!(mint.standing(KEY, put, owners(2)), Standing::Newest);
    let (again, prev) = mint.remint((KEY, true, put), Time::ZERO, now(2));
    assert_eq!((again.actor, prev), (put.actor, put.time));
}

#[test]
fn a_write_that_waits_learns_of_the_later_one_though_the_table_was_full() {
    let mut mint = small(4);
    let older = superseded(&mut mint, 1);
    mint.waits(KEY, older);
    let (newer, _) = mint.mint((KEY, true), Time::ZERO, now(2));
    ended(&mut mint, newer, acked(2, 0));
    fill(&mut mint);
    assert_eq!(mint.standing(KEY, older, owners(2)), Standing::Overwritten);

    mint.waited(KEY, older);
    fill(&mut mint);
    fill(&mut mint);
    assert_eq!(mint.standing(KEY, older, owners(2)), Standing::Forgotten);
}

#[test]
fn one_of_several_writes_under_way_is_enough_to_keep_a_key() {
    let mut mint = small(4);
    let (first, _) = mint.mint((KEY, true), Time::ZERO, now(1));
    mint.mint((KEY, true), Time::ZERO, now(2));
    mint.withdrawn(KEY, first);
    fill(&mut mint);
    fill(&mut mint);
    assert_eq!(mint.standing(KEY, first, owners(2)), Standing::Behind);
}

#[test]
fn a_table_of_writes_under_way_grows_and_shrinks_again() {
    let mut mint = small(4);
    let started: Vec<_> = (0..100)
        .map(|key| {
            (
                KeyHash(key),
                mint.mint((KeyHash(key), true), Time::ZERO, now(key)).0,
            )
        })
        .collect();
    assert_eq!(mint.own.len(), 100);
    for &(key, dot) in &started {
        assert_eq!(mint.standing(key, dot, owners(2)), Standing::Newest);
        mint.withdrawn(key, dot);
    }
    for key in 1_000..1_200 {
        mint.mint((KeyHash(key), false), Time::ZERO, now(key));
    }
    assert!(mint.own.len() <= 4, "{}", mint.own.len());
}

#[test]
fn a_wall_clock_that_was_far_ahead_is_forgotten_with_its_actor() {
    let mut mint = Mint::new(1, Duration::from_millis(500), MAX_KEYS);
    let mut at = |wall, random| {
        mint.mint(
            (KEY, true),
            Time::ZERO,
            Now {
                at: Moment(0),
                wall: Millis(wall),
                random,
            },
        )
    };
    at(1_000, 1);
    let (ahead, _) = at(3_600_000, 2);
    let (back, prev) = at(1_200, 3);
    assert!(back.time < ahead.time && back.actor != ahead.actor);
    assert_eq!(prev, Time::ZERO);
    let (small_step, _) = at(1_000, 4);
    assert!(small_step.time > back.time && small_step.actor == back.actor);
}

#[test]
fn a_dot_lies_above_what_was_seen_also_when_the_clock_went_back() {
    let mut mint = Mint::new(1, Duration::from_millis(500), MAX_KEYS);
    let at = |wall, random| Now {
        at: Moment(0),
        wall: Millis(wall),
        random,
    };
    mint.mint((KEY, true), Time::ZERO, at(3_600_000, 1));
    let seen = Time::at(Millis(1_300));
    assert!(mint.observe(seen, Millis(1_000)));
    let (dot, _) = mint.mint((KEY, true), seen, at(1_000, 2));
    assert!(dot.time > seen);
}

#[test]
fn a_stamp_too_far_ahead_is_not_followed() {
    let mut mint = Mint::new(1, Duration::from_millis(500), MAX_KEYS);
    assert!(!mint.observe(Time::at(Millis(10_000)), Millis(1_000)));
    assert!(mint.observe(Time::at(Millis(1_400)), Millis(1_000)));
    assert!(mint.mint((KEY, true), Time::ZERO, now(0)).0.time > Time::at(Millis(1_400)));
}

/// So many owners, and so many nodes with a hint.
const fn acked(owners: usize, hints: usize) -> Acked {
    Acked {
        nodes: owners + hints,
        hints,
    }
}

const fn owners(w: usize) -> Needed {
    Needed { w, sloppy: false }
}

const fn nodes(w: usize) -> Needed {
    Needed { w, sloppy: true }
}

/// A blind write that was started, in that millisecond, and is now superseded.
fn superseded(mint: &mut Mint, random: u64) -> Dot {
    let (dot, _) = mint.mint((KEY, true), Time::ZERO, now(random));
    mint.withdrawn(KEY, dot);
    dot
}

/// Of a blind write that was started nothing more will come; it has so many copies.
fn ended(mint: &mut Mint, dot: Dot, copies: Acked) {
    mint.acknowledged(KEY, dot, copies);
    mint.withdrawn(KEY, dot);
}

#[test]
fn an_older_write_stays_behind_the_newer_one_until_that_is_acknowledged() {
    let mut mint = Mint::new(1, Duration::from_millis(500), MAX_KEYS);
    let older = superseded(&mut mint, 1);
    assert_eq!(mint.standing(KEY, older, owners(2)), Standing::Newest);
    let (newer, _) = mint.mint((KEY, true), Time::ZERO, now(2));
    assert_eq!(mint.standing(KEY, older, owners(2)), Standing::Behind);

    // A newer dot changes nothing about which of the two was started last.
    mint.withdrawn(KEY, newer);
    let (newer, prev) = mint.remint((KEY, true, newer), Time::ZERO, now(3));
    assert!(prev > older.time);
    assert_eq!(mint.standing(KEY, newer, owners(2)), Standing::Newest);
    assert_eq!(mint.standing(KEY, older, owners(2)), Standing::Behind);
    mint.acknowledged(KEY, newer, acked(2, 0));
    assert_eq!(mint.standing(KEY, older, owners(2)), Standing::Overwritten);
    assert_eq!(mint.standing(KEY, newer, owners(2)), Standing::Newest);
}

#[test]
fn an_older_causal_write_that_is_minted_again_stays_the_older() {
    let mut mint = Mint::new(1, Duration::from_millis(500), MAX_KEYS);
    let (older, _) = mint.mint((KEY, false), Time::ZERO, now(1));
    let (newer, _) = mint.mint((KEY, true), Time::ZERO, now(2));
    let (older, prev) = mint.remint((KEY, false, older), Time::ZERO, now(3));
    assert_eq!(prev, newer.time);
    assert!(older.time > newer.time);
    assert_eq!(mint.standing(KEY, newer, owners(2)), Standing::Newest);
}

#[test]
fn a_later_write_with_fewer_copies_overwrites_what_needs_no_more() {
    let mut mint = Mint::new(1, Duration::from_millis(500), MAX_KEYS);
    let (full, _) = mint.mint((KEY, true), Time::ZERO, now(1));
    ended(&mut mint, full, acked(3, 0));
    for round in 0..20 {
        let older = superseded(&mut mint, 2 * round);
        let (newer, _) = mint.mint((KEY, true), Time::ZERO, now(2 * round + 1));
        assert_eq!(mint.standing(KEY, older, owners(2)), Standing::Behind);
        ended(&mut mint, newer, acked(2, 0));
        assert_eq!(mint.standing(KEY, older, owners(2)), Standing::Overwritten);
        assert_eq!(mint.standing(KEY, older, owners(3)), Standing::Lost);
    }
}

#[test]
fn a_write_with_more_copies_is_not_forgotten_for_later_ones_with_fewer() {
    let mut mint = Mint::new(1, Duration::from_millis(500), MAX_KEYS);
    let older = superseded(&mut mint, 1);
    for (round, copies) in [3, 1, 2, 1, 2, 1].into_iter().enumerate() {
        let (newer, _) = mint.mint((KEY, true), Time::ZERO, now(2 + round as u64));
        ended(&mut mint, newer, acked(copies, 0));
        assert_eq!(mint.standing(KEY, older, owners(3)), Standing::Overwritten);
    }
    assert_eq!(mint.standing(KEY, older, owners(4)), Standing::Lost);
}

#[test]
fn a_write_that_has_returned_is_waited_for_while_it_goes_on_to_more_owners() {
    let mut mint = Mint::new(1, Duration::from_millis(500), MAX_KEYS);
    let older = superseded(&mut mint, 1);
    let (newer, _) = mint.mint((KEY, true), Time::ZERO, now(2));
    mint.acknowledged(KEY, newer, acked(1, 1));
    assert_eq!(mint.standing(KEY, older, owners(2)), Standing::Behind);
    mint.acknowledged(KEY, newer, acked(2, 1));
    assert_eq!(mint.standing(KEY, older, owners(2)), Standing::Overwritten);
    assert_eq!(mint.standing(KEY, older, owners(3)), Standing::Behind);
    mint.withdrawn(KEY, newer);
    assert_eq!(mint.standing(KEY, older, owners(3)), Standing::Lost);
}

#[test]
fn a_sloppy_write_counts_nodes_and_a_strict_one_owners() {
    let mut mint = Mint::new(1, Duration::from_millis(500), MAX_KEYS);
    let older = superseded(&mut mint, 1);
    let (thin, _) = mint.mint((KEY, true), Time::ZERO, now(2));
    ended(&mut mint, thin, acked(1, 0));
    assert_eq!(mint.standing(KEY, older, nodes(2)), Standing::Lost);
    let (sloppy, _) = mint.mint((KEY, true), Time::ZERO, now(3));
    ended(&mut mint, sloppy, acked(1, 1));
    assert_eq!(mint.standing(KEY, older, nodes(2)), Standing::Overwritten);
    assert_eq!(mint.standing(KEY, older, owners(2)), Standing::Lost);
}

#[test]
fn nobody_waits_for_a_write_that_cannot_overwrite_it() {
    let mut mint = Mint::new(1, Duration::from_millis(500), MAX_KEYS);
    let (earlier, _) = mint.mint((KEY, true), Time::ZERO, now(1));
    let older = superseded(&mut mint, 2);
    mint.mint((KEY, false), Time::ZERO, now(3));
    assert_eq!(
        mint.standing(KEY, older, owners(2)),
        Standing::Lost,
        "neither for a causal one nor for an earlier one"
    );
    let (failed, _) = mint.mint((KEY, true), Time::ZERO, now(6));
    mint.withdrawn(KEY, failed);
    assert_eq!(
        mint.standing(KEY, older, owners(2)),
        Standing::Lost,
        "the earlier one is under way still"
    );
    mint.withdrawn(KEY, earlier);

    let (second, _) = mint.mint((KEY, true), Time::ZERO, now(4));
    let (third, _) = mint.mint((KEY, true), Time::ZERO, now(5));
    mint.withdrawn(KEY, third);
    assert_eq!(mint.standing(KEY, older, owners(2)), Standing::Behind);
    mint.withdrawn(KEY, second);
    assert_eq!(mint.standing(KEY, older, owners(2)), Standing::Lost);
    mint.counted(KEY, second);
    assert_eq!(
        mint.standing(KEY, older, owners(2)),
        Standing::Behind,
        "sent again"
    );
}

#[test]
fn a_write_of_an_earlier_actor_changes_nothing_for_the_present_one() {
    let mut mint = Mint::new(1, Duration::from_millis(500), MAX_KEYS);
    let (before, _) = mint.mint((KEY, true), Time::ZERO, now(1));
    mint.begin_anew(now(9));
    let older = superseded(&mut mint, 2);
    assert_ne!(older.actor, before.actor);
    let (newer, _) = mint.mint((KEY, true), Time::ZERO, now(3));
    mint.waits(KEY, before);
    ended(&mut mint, before, acked(3, 0));
    mint.waited(KEY, before);
    assert_eq!(mint.standing(KEY, older, owners(2)), Standing::Behind);
    mint.withdrawn(KEY, newer);
    assert_eq!(mint.standing(KEY, older, owners(2)), Standing::Lost);
}

#[test]
fn of_another_actors_writes_nothing_is_known() {
    let mut mint = Mint::new(1, Duration::from_millis(500), MAX_KEYS);
    let (dot, _) = mint.mint((KEY, true), Time::ZERO, now(1));
    let other = Dot {
        actor: Actor(2),
        ..dot
    };
    mint.acknowledged(KEY, other, acked(2, 0));
    assert_eq!(mint.standing(KEY, other, owners(2)), Standing::Forgotten);
    assert_eq!(mint.standing(KEY, dot, owners(2)), Standing::Newest);
}

#[test]
fn a_keys_hash_is_this_mints_own_and_stays() {
    let hash_of =
        |actor, random| Mint::new(actor, Duration::ZERO, MAX_KEYS).hash(b"k", now(random));
    assert_eq!(hash_of(1, 2), hash_of(1, 2));
    assert_ne!(hash_of(1, 2), hash_of(3, 2));
    assert_ne!(hash_of(1, 2), hash_of(1, 4), "the actor alone is no secret");

    let mut mint = Mint::new(1, Duration::from_millis(500), MAX_KEYS);
    let hash = mint.hash(b"k", now(2));
    let (_, _) = mint.mint((hash, true), Time::ZERO, now(3));
    mint.begin_anew(now(4));
    assert_eq!(mint.hash(b"k", now(5)), hash);
    assert_ne!(mint.hash(b"l", now(5)), hash);
}
