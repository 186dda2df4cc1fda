//! The mint: new dots, and what this writer did last on each key.
//!
//! ```text
//!   key hash -> times of this actor's dots on it           at most 65,536 idle keys, 64 bytes each
//!               last          of any write: the next one's `prev`
//!               newest        of the write that was started last: an older one stays below it
//!               acknowledged  of blind writes, and by how many: older ones are overwritten
//!               under way     of a blind one: an older one may wait for it
//!               waiting       how many older ones do
//!            -> of further blind ones under way             only keys that have several at once
//! ```
//!
//! A write that has returned goes on to the owners that have not answered, and each that still takes it is one copy more.
//! So it counts as under way until nothing more will come of it.
//!
//! Nothing of this actor lies between the previous dot and the new one, so the write may claim to have seen
//! `(prev, time]` of its own actor and a writer's intervals melt into one. When the table is full, all keys are forgotten
//! on which nothing is under way. Whatever was forgotten was minted by then, so the next dot on an unknown key takes that
//! time as its `prev`: it claims less, and the intervals before and after it do not melt.
//!
//! When the wall clock turns out to have been far ahead, a fresh actor begins with an empty table: it has no dot on any
//! key yet, and nothing is known of the earlier actor's writes any more, not even of those under way. Its dots may lie
//! below the earlier one's, so a blind write may then lose against one that this client began before it.
//!
//! Two keys of one hash share their times, which is safe for `last` and `newest`: a `prev` too late only claims less, and
//! a write that looks older is not minted again. For what is acknowledged it would not be: a put that was lost would be
//! reported as overwritten. So the hash is keyed by this mint's own randomness, and nobody can look for two such keys
//! beforehand. It means nothing to another mint: a write that is sent again is hashed again.

mod own;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasherDefault, Hasher};
use std::time::Duration;

use quoit_ring::register::Ballot;
use quoit_ring::{Actor, Clock, Dot, Millis, Time};
use siphasher::sip::SipHasher13;
use smallvec::SmallVec;

use crate::env::Now;
use crate::quorum::Acked;

pub(crate) use own::Needed;
use own::Own;

/// Most keys on which nothing is under way and whose last dot is remembered: about 8 MiB.
pub(crate) const MAX_KEYS: usize = 1 << 16;

/// A table whose keys are hashes already.
type ByHash<V> = HashMap<u64, V, BuildHasherDefault<AlreadyHashed>>;

/// A key, as the mint knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeyHash(u64);

/// How a write stands to the later writes of the same client on its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// There is none.
    Newest,
    /// There is one, none that has overwritten it, and a blind one that may do so is under way, or goes on to more owners.
    Behind,
    /// There is one, and none that has overwritten it or is under way to do so.
    Lost,
    /// A later blind one is acknowledged by as many as this one needs: this write happened before it, and was overwritten.
    Overwritten,
    /// The mint has another actor by now, or knows nothing of the key any more, and cannot tell.
    Forgotten,
}

/// Mints this client's dots.
#[derive(Debug)]
pub(crate) struct Mint {
    clock: Clock,
    actor: Actor,
    own: ByHash<Own>,
    /// Of blind writes that more owners may acknowledge yet, those beside one that its key has.
    others: ByHash<SmallVec<[Time; 2]>>,
    /// The key of the hashes; 0 for the half that the first write draws.
    hash_key: (u64, u64),
    max_drift_ms: u64,
    /// What was forgotten of this actor lies at or below this time.
    forgotten_to: Time,
    max_keys: usize,
    /// With so many keys the idle ones are forgotten.
    full_at: usize,
}

impl Mint {
    /// A mint for a fresh actor, with a table of so many idle keys.
    pub(crate) fn new(actor: u64, max_drift: Duration, max_keys: usize) -> Self {
        Self {
            clock: Clock::starting_at(Time::ZERO),
            actor: Actor(actor),
            own: ByHash::default(),
            others: ByHash::default(),
            hash_key: (actor, 0),
            max_drift_ms: u64::try_from(max_drift.as_millis()).unwrap_or(u64::MAX),
            forgotten_to: Time::ZERO,
            max_keys,
            full_at: max_keys,
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

    /// The hash under which this mint knows a key, the same as long as it lives.
    pub(crate) fn hash(&mut self, key: &[u8], now: Now) -> KeyHash {
        if self.hash_key.1 == 0 {
            // The actor stands in every dot: it alone would be no secret.
            self.hash_key.1 = now.random | 1;
        }
        let (actor, secret) = self.hash_key;
        let mut hasher = SipHasher13::new_with_keys(actor, secret);
        hasher.write(key);
        KeyHash(hasher.finish())
    }

    /// A ballot above all that this client has seen.
    pub(crate) fn ballot(&self, now: Now) -> Ballot {
        Ballot {
            time: self.clock.mint(now.wall, now.random),
            // Random twice: several ballots of one moment differ by their times already.
            unique: now.random.rotate_left(31) ^ self.actor.0,
        }
    }

    /// A dot for a new write of `key`, above `seen`, which was believed, and the time of this actor's previous one on it:
    /// a later one if that is forgotten, zero if there is none. A blind one counts as under way.
    pub(crate) fn mint(
        &mut self,
        (key, is_blind): (KeyHash, bool),
        seen: Time,
        now: Now,
    ) -> (Dot, Time) {
        let (dot, own) = self.next(key, seen, now);
        let prev = own.started(dot.time);
        if is_blind {
            self.counted(key, dot);
        }
        (dot, prev)
    }

    /// A newer dot for the write that had `dot` and does not count as under way, in other respects as [`Mint::mint`]. A
    /// write that another one was started after stays the older of the two.
    pub(crate) fn remint(
        &mut self,
        (key, is_blind, dot): (KeyHash, bool, Dot),
        seen: Time,
        now: Now,
    ) -> (Dot, Time) {
        let is_newest = (self.own_of(key, dot)).is_some_and(|own| own.is_newest(dot.time));
        let (dot, own) = self.next(key, seen, now);
        let prev = if is_newest {
            own.started(dot.time)
        } else {
            core::mem::replace(&mut own.last, dot.time)
        };
        if is_blind {
            debug_assert!(is_newest, "no blind write goes above a later one");
            self.counted(key, dot);
        }
        (dot, prev)
    }

    /// More owners may acknowledge a blind write: others may wait for it.
    pub(crate) fn counted(&mut self, key: KeyHash, dot: Dot) {
        let Some(own) = self.own_of(key, dot) else {
            return;
        };
        if own.under_way == Time::ZERO {
            own.under_way = dot.time;
        } else {
            self.others.entry(key.0).or_default().push(dot.time);
        }
    }

    /// Nothing more will come of a blind write that counted as under way: nobody is to wait for it.
    pub(crate) fn withdrawn(&mut self, key: KeyHash, dot: Dot) {
        // What an earlier actor had under way was forgotten with it.
        let Some(own) = self.own_of(key, dot) else {
            return;
        };
        if own.under_way == dot.time {
            own.under_way = Time::ZERO;
            return;
        }
        let Entry::Occupied(mut times) = self.others.entry(key.0) else {
            return;
        };
        if let Some(place) = times.get().iter().position(|time| *time == dot.time) {
            times.get_mut().swap_remove(place);
        }
        if times.get().is_empty() {
            times.remove();
        }
    }

    /// A blind write waits for a later one on its key: what is known of that is not forgotten.
    pub(crate) fn waits(&mut self, key: KeyHash, dot: Dot) {
        if let Some(own) = self.own_of(key, dot) {
            own.waiting = own.waiting.saturating_add(1);
        }
    }

    /// It waits no more.
    pub(crate) fn waited(&mut self, key: KeyHash, dot: Dot) {
        if let Some(own) = self.own_of(key, dot) {
            own.waiting = own.waiting.saturating_sub(1);
        }
    }

    /// Whether another blind write of that key is under way: only then may one ask for the copies of this one.
    pub(crate) fn has_others(&self, key: KeyHash, dot: Dot) -> bool {
        let own = self.own.get(&key.0);
        own.is_some_and(|own| ![Time::ZERO, dot.time].contains(&own.under_way))
            || (!self.others.is_empty() && self.others.contains_key(&key.0))
    }

    /// A blind write that counts as under way has so many copies: what this client wrote before it on that key is
    /// overwritten, if it needs no more of them.
    pub(crate) fn acknowledged(&mut self, key: KeyHash, dot: Dot, acked: Acked) {
        if let Some(own) = self.own_of(key, dot) {
            own.acknowledged(dot.time, acked);
        }
    }

    /// How the write of `dot`, which does not count as under way, stands to this client's later ones.
    pub(crate) fn standing(&self, key: KeyHash, dot: Dot, needed: Needed) -> Standing {
        let own = (self.own.get(&key.0)).filter(|_| dot.actor == self.actor);
        match own.map(|own| own.standing(dot.time, needed)) {
            None => Standing::Forgotten,
            Some(Standing::Lost) if self.is_followed(key, dot) => Standing::Behind,
            Some(standing) => standing,
        }
    }

    /// Whether a later blind write is under way.
    fn is_followed(&self, key: KeyHash, dot: Dot) -> bool {
        let first = self.own.get(&key.0).map(|own| &own.under_way);
        let others = self.others.get(&key.0).into_iter().flatten();
        first.into_iter().chain(others).any(|time| *time > dot.time)
    }

    /// What is known of the key of a write, if it is the present actor's.
    fn own_of(&mut self, key: KeyHash, dot: Dot) -> Option<&mut Own> {
        let is_own = dot.actor == self.actor;
        self.own.get_mut(&key.0).filter(|_| is_own)
    }

    /// The next dot above `seen`, and what was done before on its key.
    fn next(&mut self, key: KeyHash, seen: Time, now: Now) -> (Dot, &mut Own) {
        if self.clock_went_back(now.wall) {
            self.clock = Clock::starting_at(Time::ZERO);
            self.observe(seen, now.wall); // it was forgotten with all the rest
            self.begin_anew(now);
        }
        if self.own.len() >= self.full_at && !self.own.contains_key(&key.0) {
            self.forget_idle();
        }
        let dot = self.dot(self.actor, now);
        let forgotten_to = self.forgotten_to;
        let own = (self.own.entry(key.0)).or_insert_with(|| Own::after(forgotten_to));
        debug_assert!(own.last < dot.time, "dots of one actor only grow");
        (dot, own)
    }

    /// Whether the wall clock was so far ahead before that what is minted above it would be refused everywhere.
    fn clock_went_back(&self, wall: Millis) -> bool {
        let latest = wall.0.saturating_add(self.max_drift_ms);
        self.clock.now(Millis(0)).millis().0 > latest
    }

    /// Forgets the keys on which nothing is under way. If that is hardly any of them the table grows, so that keys are not
    /// looked through again for each new one: it has twice as many at most as writes are under way.
    fn forget_idle(&mut self) {
        let others = &self.others;
        (self.own).retain(|key, own| !own.is_idle() || others.contains_key(key));
        self.forgotten_to = self.clock.now(Millis(0));
        self.full_at = self.max_keys.max(2 * self.own.len());
    }

    /// Becomes another writer, who has no dot on any key yet.
    fn begin_anew(&mut self, now: Now) {
        self.own.clear();
        self.others.clear();
        (self.forgotten_to, self.full_at) = (Time::ZERO, self.max_keys);
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
mod tests;
