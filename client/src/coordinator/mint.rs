//! The mint: new dots, and what this writer did last on each key.
//!
//! ```text
//!   key hash -> times of this actor's dots on it           at most 65,536 keys, 40 bytes each
//!               last        of any write: the next one's `prev`
//!               newest      of the write that was started last: an older one stays below it
//!               overwrote   of a blind write that was acknowledged, and by how many: older ones are overwritten
//! ```
//!
//! Nothing of this actor lies between the previous dot and the new one, so the write may claim to have seen
//! `(prev, time]` of its own actor and a writer's intervals melt into one. When the table is full, or the wall
//! clock turns out to have been far ahead, a fresh actor begins with an empty one: it has no dot on any key
//! yet, and nothing is known of the earlier actor's writes any more. Two keys of one hash share their times, which is
//! safe for `last` and `newest`: a `prev` too late only claims less, and a write that looks older is not minted again.
//! For `overwrote` it would not be, so a 64-bit hash must not collide between two keys with writes under way.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::time::Duration;

use quoit_ring::{Actor, Clock, Dot, Millis, Time, content_hash};

use crate::env::Now;

/// Most keys whose last dot is remembered: about 5 MiB.
const MAX_KEYS: usize = 1 << 16;

/// A table whose keys are hashes already.
type ByHash<V> = HashMap<u64, V, BuildHasherDefault<AlreadyHashed>>;

/// A key, as the mint knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeyHash(u64);

impl KeyHash {
    pub(crate) fn of(key: &[u8]) -> Self {
        Self(content_hash(key, None))
    }
}

/// The times of an actor's dots on one key; zero if there is none.
#[derive(Debug, Clone, Copy, Default)]
struct Own {
    last: Time,
    newest: Time,
    overwrote: Time,
    /// Owners that had acknowledged that one when it returned.
    copies: u8,
}

/// How a write stands to the later writes of the same client on its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// There is none.
    Newest,
    /// There is one, and no blind one among them is acknowledged by enough replicas yet.
    Behind,
    /// A later blind one is: this write happened before it, and was overwritten.
    Overwritten,
    /// The mint has another actor by now and cannot tell.
    Forgotten,
}

/// Mints this client's dots.
#[derive(Debug)]
pub(crate) struct Mint {
    clock: Clock,
    actor: Actor,
    own: ByHash<Own>,
    max_drift_ms: u64,
}

impl Mint {
    /// A mint for a fresh actor.
    pub(crate) fn new(actor: u64, max_drift: Duration) -> Self {
        Self {
            clock: Clock::starting_at(Time::ZERO),
            actor: Actor(actor),
            own: ByHash::default(),
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

    /// A dot for a new write of `key`, above `seen`, which was believed, and the time of this actor's previous one on it
    /// (zero if there is none).
    pub(crate) fn mint(&mut self, key: KeyHash, seen: Time, now: Now) -> (Dot, Time) {
        let (dot, own) = self.next(key, seen, now);
        own.newest = dot.time;
        (dot, core::mem::replace(&mut own.last, dot.time))
    }

    /// A newer dot for the write that had `dot`, in other respects as [`Mint::mint`]. A write that another one was
    /// started after stays the older of the two.
    pub(crate) fn remint(
        &mut self,
        (key, dot): (KeyHash, Dot),
        seen: Time,
        now: Now,
    ) -> (Dot, Time) {
        let is_newest = self.standing(key, dot, 0) == Standing::Newest;
        let (dot, own) = self.next(key, seen, now);
        if is_newest {
            own.newest = dot.time;
        }
        (dot, core::mem::replace(&mut own.last, dot.time))
    }

    /// So many owners have acknowledged a blind write: what this client wrote before it on that key is overwritten. One
    /// that has more copies is not forgotten for one that has fewer: a write is only overwritten by one that is on as
    /// many replicas as it needs itself.
    pub(crate) fn acknowledged(&mut self, key: KeyHash, dot: Dot, copies: usize) {
        let copies = u8::try_from(copies).unwrap_or(u8::MAX);
        if dot.actor == self.actor
            && let Some(own) = self.own.get_mut(&key.0)
            && own.overwrote < dot.time
            && own.copies <= copies
        {
            (own.overwrote, own.copies) = (dot.time, copies);
        }
    }

    /// How the write of `dot`, which needs so many copies, stands to this client's later ones.
    pub(crate) fn standing(&self, key: KeyHash, dot: Dot, needed: usize) -> Standing {
        match self.own.get(&key.0) {
            Some(own) if dot.actor == self.actor => {
                if own.newest == dot.time {
                    Standing::Newest
                } else if own.overwrote > dot.time && usize::from(own.copies) >= needed {
                    Standing::Overwritten
                } else {
                    Standing::Behind
                }
            }
            _ => Standing::Forgotten,
        }
    }

    /// The next dot above `seen`, and what was done before on its key.
    fn next(&mut self, key: KeyHash, seen: Time, now: Now) -> (Dot, &mut Own) {
        if self.clock_went_back(now.wall) {
            self.clock = Clock::starting_at(Time::ZERO);
            self.observe(seen, now.wall); // it was forgotten with all the rest
            self.begin_anew(now);
        }
        if self.own.len() >= MAX_KEYS && !self.own.contains_key(&key.0) {
            self.begin_anew(now);
        }
        let dot = self.dot(self.actor, now);
        let own = self.own.entry(key.0).or_default();
        debug_assert!(own.last < dot.time, "dots of one actor only grow");
        (dot, own)
    }

    /// Whether the wall clock was so far ahead before that what is minted above it would be refused everywhere.
    fn clock_went_back(&self, wall: Millis) -> bool {
        let latest = wall.0.saturating_add(self.max_drift_ms);
        self.clock.now(Millis(0)).millis().0 > latest
    }

    /// Becomes another writer, who has no dot on any key yet.
    fn begin_anew(&mut self, now: Now) {
        self.own.clear();
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
        let mut mint = Mint::new(1, Duration::from_millis(500));
        let (first, none) = mint.mint(KEY, Time::ZERO, now(1));
        assert_eq!(none, Time::ZERO);
        assert_eq!(
            mint.mint(KeyHash::of(b"b"), Time::ZERO, now(2)).1,
            Time::ZERO
        );
        assert_eq!(mint.mint(KEY, Time::ZERO, now(3)).1, first.time);
    }

    #[test]
    fn a_full_table_begins_anew_with_another_actor() {
        let mut mint = Mint::new(1, Duration::from_millis(500));
        for key in 0..MAX_KEYS {
            mint.mint(KeyHash::of(&key.to_le_bytes()), Time::ZERO, now(key as u64));
        }
        let (dot, _) = mint.mint(KeyHash::of(&0_usize.to_le_bytes()), Time::ZERO, now(7));
        assert_eq!(dot.actor, Actor(1), "a known key needs no new entry");
        let (dot, prev) = mint.mint(KeyHash::of(b"one more"), Time::ZERO, now(8));
        assert_ne!(dot.actor, Actor(1));
        assert_eq!(prev, Time::ZERO);
        assert_eq!(
            mint.mint(KeyHash::of(&0_usize.to_le_bytes()), Time::ZERO, now(9))
                .1,
            Time::ZERO,
            "the new actor never wrote it"
        );
    }

    #[test]
    fn a_wall_clock_that_was_far_ahead_is_forgotten_with_its_actor() {
        let mut mint = Mint::new(1, Duration::from_millis(500));
        let mut at = |wall, random| {
            mint.mint(
                KEY,
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
        mint.mint(KEY, Time::ZERO, at(3_600_000, 1));
        let seen = Time::at(Millis(1_300));
        assert!(mint.observe(seen, Millis(1_000)));
        let (dot, _) = mint.mint(KEY, seen, at(1_000, 2));
        assert!(dot.time > seen);
    }

    #[test]
    fn a_stamp_too_far_ahead_is_not_followed() {
        let mut mint = Mint::new(1, Duration::from_millis(500));
        assert!(!mint.observe(Time::at(Millis(10_000)), Millis(1_000)));
        assert!(mint.observe(Time::at(Millis(1_400)), Millis(1_000)));
        assert!(mint.mint(KEY, Time::ZERO, now(0)).0.time > Time::at(Millis(1_400)));
    }

    #[test]
    fn an_older_write_stays_behind_the_newer_one_until_that_is_acknowledged() {
        let mut mint = Mint::new(1, Duration::from_millis(500));
        let (older, _) = mint.mint(KEY, Time::ZERO, now(1));
        assert_eq!(mint.standing(KEY, older, 2), Standing::Newest);
        let (newer, _) = mint.mint(KEY, Time::ZERO, now(2));
        assert_eq!(mint.standing(KEY, older, 2), Standing::Behind);

        // Newer dots change nothing about which of the two was started last.
        let (older, prev) = mint.remint((KEY, older), Time::ZERO, now(3));
        assert_eq!(prev, newer.time);
        assert_eq!(mint.standing(KEY, newer, 2), Standing::Newest);
        let (newer, prev) = mint.remint((KEY, newer), Time::ZERO, now(4));
        assert_eq!(prev, older.time);
        assert_eq!(mint.standing(KEY, newer, 2), Standing::Newest);

        mint.acknowledged(KEY, newer, 1);
        assert_eq!(mint.standing(KEY, older, 2), Standing::Behind, "too few");
        mint.acknowledged(KEY, newer, 2);
        assert_eq!(mint.standing(KEY, older, 2), Standing::Behind, "once only");
        let (newest, _) = mint.mint(KEY, Time::ZERO, now(5));
        mint.acknowledged(KEY, newest, 2);
        assert_eq!(mint.standing(KEY, older, 2), Standing::Overwritten);
        assert_eq!(mint.standing(KEY, newest, 2), Standing::Newest);
    }

    #[test]
    fn of_another_actors_writes_nothing_is_known() {
        let mut mint = Mint::new(1, Duration::from_millis(500));
        let (dot, _) = mint.mint(KEY, Time::ZERO, now(1));
        let other = Dot {
            actor: Actor(2),
            ..dot
        };
        mint.acknowledged(KEY, other, 2);
        assert_eq!(mint.standing(KEY, other, 2), Standing::Forgotten);
        assert_eq!(mint.standing(KEY, dot, 2), Standing::Newest);
    }
}
