//! The mint: new dots, and the writer's previous dot on each key.
//!
//! ```text
//!   key hash -> time of this actor's last dot on it        at most 65,536 keys, 16 bytes each
//! ```
//!
//! Nothing of this actor lies between the previous dot and the new one, so the write may claim to have seen
//! `(prev, time]` of its own actor and a writer's intervals melt into one. When the table is full, or the wall
//! clock turns out to have been far ahead, a fresh actor begins with an empty one: it has no dot on any key
//! yet. Two keys of one hash share the later time,
//! which is safe: a `prev` too late only claims less.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::time::Duration;

use quoit_ring::{Actor, Clock, Dot, Millis, Time, content_hash};

use crate::env::Now;

/// Most keys whose last dot is remembered: about 2 MiB.
const MAX_KEYS: usize = 1 << 16;

/// A table whose keys are hashes already.
type ByHash<V> = HashMap<u64, V, BuildHasherDefault<AlreadyHashed>>;

/// Mints this client's dots.
#[derive(Debug)]
pub(crate) struct Mint {
    clock: Clock,
    actor: Actor,
    last: ByHash<Time>,
    max_drift_ms: u64,
}

impl Mint {
    /// A mint for a fresh actor.
    pub(crate) fn new(actor: u64, max_drift: Duration) -> Self {
        Self {
            clock: Clock::starting_at(Time::ZERO),
            actor: Actor(actor),
            last: ByHash::default(),
            max_drift_ms: u64::try_from(max_drift.as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// How far ahead a stamp may lie to be believed, in milliseconds.
    pub(crate) const fn max_drift_ms(&self) -> u64 {
        self.max_drift_ms
    }

    /// Moves the clock up to what was seen; false if that lies too far ahead to be believed.
    pub(crate) fn observe(&self, time: Time, wall: Millis) -> bool {
        self.clock.observe(time, wall, self.max_drift_ms).is_ok()
    }

    /// A new dot for `key` above `seen`, which was believed, and the time of this actor's previous one on it (zero if
    /// there is none).
    pub(crate) fn mint(&mut self, key: &[u8], seen: Time, now: Now) -> (Dot, Time) {
        let hash = content_hash(key, None);
        if self.clock_went_back(now.wall) {
            self.clock = Clock::starting_at(Time::ZERO);
            self.observe(seen, now.wall); // it was forgotten with all the rest
            self.begin_anew(now);
        }
        if self.last.len() >= MAX_KEYS && !self.last.contains_key(&hash) {
            self.begin_anew(now);
        }
        let dot = self.dot(self.actor, now);
        let prev = self.last.insert(hash, dot.time);
        (dot, prev.unwrap_or(Time::ZERO))
    }

    /// Whether the wall clock was so far ahead before that what is minted above it would be refused everywhere.
    fn clock_went_back(&self, wall: Millis) -> bool {
        let latest = wall.0.saturating_add(self.max_drift_ms);
        self.clock.now(Millis(0)).millis().0 > latest
    }

    /// Becomes another writer, who has no dot on any key yet.
    fn begin_anew(&mut self, now: Now) {
        self.last.clear();
        let mixed = self.actor.0.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.actor = Actor(now.random.rotate_left(17) ^ mixed);
    }

    fn dot(&self, actor: Actor, now: Now) -> Dot {
        Dot {
            time: self.clock.mint(now.wall, now.random),
            actor,
        }
    }
}

/// Passes a 64-bit hash through.
#[derive(Debug, Default)]
pub(crate) struct AlreadyHashed(u64);

impl Hasher for AlreadyHashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn write(&mut self, _bytes: &[u8]) {
        debug_assert!(false, "keys are 64-bit hashes");
    }
}

#[cfg(test)]
mod tests {
    use quoit_ring::Moment;

    use super::*;

    fn now(random: u64) -> Now {
        Now {
            at: Moment(0),
            wall: Millis(1_000),
            random,
        }
    }

    #[test]
    fn a_keys_previous_dot_is_remembered_for_that_key_only() {
        let mut mint = Mint::new(1, Duration::from_millis(500));
        let (first, none) = mint.mint(b"a", Time::ZERO, now(1));
        assert_eq!(none, Time::ZERO);
        assert_eq!(mint.mint(b"b", Time::ZERO, now(2)).1, Time::ZERO);
        assert_eq!(mint.mint(b"a", Time::ZERO, now(3)).1, first.time);
    }

    #[test]
    fn a_full_table_begins_anew_with_another_actor() {
        let mut mint = Mint::new(1, Duration::from_millis(500));
        for key in 0..MAX_KEYS {
            mint.mint(&key.to_le_bytes(), Time::ZERO, now(key as u64));
        }
        let (dot, _) = mint.mint(&0_usize.to_le_bytes(), Time::ZERO, now(7));
        assert_eq!(dot.actor, Actor(1), "a known key needs no new entry");
        let (dot, prev) = mint.mint(b"one more", Time::ZERO, now(8));
        assert_ne!(dot.actor, Actor(1));
        assert_eq!(prev, Time::ZERO);
        assert_eq!(
            mint.mint(&0_usize.to_le_bytes(), Time::ZERO, now(9)).1,
            Time::ZERO,
            "the new actor never wrote it"
        );
    }

    #[test]
    fn a_wall_clock_that_was_far_ahead_is_forgotten_with_its_actor() {
        let mut mint = Mint::new(1, Duration::from_millis(500));
        let mut at = |wall, random| {
            mint.mint(
                b"a",
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
        let mut mint = Mint::new(1, Duration::from_millis(500));
        let at = |wall, random| Now {
            at: Moment(0),
            wall: Millis(wall),
            random,
        };
        mint.mint(b"a", Time::ZERO, at(3_600_000, 1));
        let seen = Time::at(Millis(1_300));
        assert!(mint.observe(seen, Millis(1_000)));
        let (dot, _) = mint.mint(b"a", seen, at(1_000, 2));
        assert!(dot.time > seen);
    }

    #[test]
    fn a_stamp_too_far_ahead_is_not_followed() {
        let mut mint = Mint::new(1, Duration::from_millis(500));
        assert!(!mint.observe(Time::at(Millis(10_000)), Millis(1_000)));
        assert!(mint.observe(Time::at(Millis(1_400)), Millis(1_000)));
        assert!(mint.mint(b"a", Time::ZERO, now(0)).0.time > Time::at(Millis(1_400)));
    }
}
