//! All subscriptions of a node, and the polls that wait for them. Pure: time and who waits come in.
//!
//! ```text
//!   poll(id, after) --known?--> acknowledged --something there?--> answered at once
//!           |                              '-- nothing: waits, for a second at least
//!           '-- not known under this id, key and incarnation: begins, and says so
//!   note(keys) --> of each key and its prefixes, the subscriptions --> what waits there is answered
//!   tend       --> what has waited long enough is answered; what was not polled for ten seconds is forgotten
//! ```
//!
//! Invariants: a poll is answered once. Bounded are the subscriptions, and the bytes of all their keys: a subscription that
//! would pass them overflows, a new one is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use quoit_ring::Moment;
use quoit_ring::wire::{WatchAnswer, WatchChanges, WatchRequest};

use super::changes::Changes;

/// Most subscriptions.
const WATCHES: usize = 1_024;
/// Most bytes of all of them.
const BYTES: usize = 8 << 20;
/// What a subscription costs beside its key.
const BESIDE: usize = 512;
/// How long a poll waits before it is answered with nothing; longer by the pace of [`Table::tend`].
const HOLD: Duration = Duration::from_secs(1);
/// How often all of them are looked at: batches come far more often than anybody has waited long enough.
const PACE: Duration = Duration::from_millis(100);
/// A subscription that was not polled for so long is forgotten.
const FORGET: Duration = Duration::from_secs(10);

/// An answer for who waited.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Delivery<W> {
    pub(super) waiter: W,
    pub(super) answer: WatchAnswer,
}

/// What came of a poll.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Polled {
    /// This, now.
    Answer(WatchAnswer),
    /// It waits.
    Waits,
    /// There are so many subscriptions already.
    Refused(u32),
}

#[derive(Debug)]
struct Subscription<W> {
    is_prefix: bool,
    key: Bytes,
    incarnation: u64,
    polled: Moment,
    changes: Changes,
    waits: Option<(W, Moment)>,
}

impl<W> Subscription<W> {
    fn bytes(&self) -> usize {
        BESIDE + self.key.len() + self.changes.bytes()
    }

    fn answer(&self, (through, changes): (u64, WatchChanges)) -> WatchAnswer {
        WatchAnswer {
            incarnation: self.incarnation,
            through,
            changes,
        }
    }

    /// Answers who waits, with nothing.
    fn release(&mut self) -> Option<Delivery<W>> {
        let (waiter, _) = self.waits.take()?;
        let answer = self.answer((0, WatchChanges::Keys(Vec::new())));
        Some(Delivery { waiter, answer })
    }
}

/// The subscriptions of a node.
#[derive(Debug)]
pub(super) struct Table<W> {
    watches: BTreeMap<u64, Subscription<W>>,
    keys: BTreeMap<Bytes, BTreeSet<u64>>,
    prefixes: BTreeMap<Bytes, BTreeSet<u64>>,
    /// How many prefixes have each length: a key has one of each.
    lengths: BTreeMap<usize, usize>,
    bytes: usize,
    incarnation: u64,
    /// When they are looked at next.
    due: Moment,
}

impl<W> Default for Table<W> {
    fn default() -> Self {
        Self {
            watches: BTreeMap::new(),
            keys: BTreeMap::new(),
            prefixes: BTreeMap::new(),
            lengths: BTreeMap::new(),
            bytes: 0,
            incarnation: 0,
            due: Moment(0),
        }
    }
}

impl<W> Table<W> {
    /// How many subscriptions there are.
    pub(super) fn len(&self) -> usize {
        self.watches.len()
    }

    /// A poll by `waiter`, at a time on the node's clock that no earlier run has reached; and who waited there before.
    pub(super) fn poll(
        &mut self,
        request: &WatchRequest,
        waiter: W,
        (now, clock): (Moment, u64),
    ) -> (Polled, Option<Delivery<W>>) {
        let Some(watch) = self.watches.get_mut(&request.id) else {
            return (self.begin(request, (now, clock)), None);
        };
        let before = watch.release();
        let is_same = watch.is_prefix == request.is_prefix && watch.key == request.key;
        let goes_on =
            watch.incarnation == request.incarnation && watch.changes.has_reached(request.after);
        if !(is_same && goes_on) {
            self.forget(request.id);
            return (self.begin(request, (now, clock)), before);
        }
        self.bytes -= watch.bytes();
        watch.polled = now;
        watch.changes.acknowledge(request.after);
        self.bytes += watch.bytes();
        let polled = match watch.changes.answer() {
            Some(changes) => Polled::Answer(watch.answer(changes)),
            None => {
                watch.waits = Some((waiter, now));
                Polled::Waits
            }
        };
        (polled, before)
    }

    fn begin(&mut self, request: &WatchRequest, (now, clock): (Moment, u64)) -> Polled {
        let watch = Subscription {
            is_prefix: request.is_prefix,
            key: Bytes::copy_from_slice(&request.key), // not the whole frame
            incarnation: clock.max(self.incarnation.saturating_add(1)),
            polled: now,
            changes: Changes::default(),
            waits: None,
        };
        if self.len() >= WATCHES || self.bytes + watch.bytes() > BYTES {
            return Polled::Refused(u32::try_from(self.len()).unwrap_or(u32::MAX));
        }
        self.incarnation = watch.incarnation;
        self.bytes += watch.bytes();
        let places = if watch.is_prefix {
            *self.lengths.entry(watch.key.len()).or_default() += 1;
            &mut self.prefixes
        } else {
            &mut self.keys
        };
        places
            .entry(watch.key.clone())
            .or_default()
            .insert(request.id);
        let answer = watch.answer((0, WatchChanges::Begun));
        self.watches.insert(request.id, watch);
        Polled::Answer(answer)
    }

    /// These keys have changed: gives the answers of who waits for them.
    pub(super) fn note<'a>(&mut self, keys: impl Iterator<Item = &'a Bytes>) -> Vec<Delivery<W>> {
        if self.watches.is_empty() {
            return Vec::new();
        }
        let mut touched = BTreeSet::new();
        for key in keys {
            let of_prefixes =
                (self.lengths.keys()).filter_map(|&length| self.prefixes.get(key.get(..length)?));
            for &id in of_prefixes.chain(self.keys.get(key)).flatten() {
                let Some(watch) = self.watches.get_mut(&id) else {
                    continue;
                };
                self.bytes -= watch.bytes();
                watch.changes.note(key);
                if self.bytes + watch.bytes() > BYTES {
                    watch.changes.overflow();
                }
                self.bytes += watch.bytes();
                touched.insert(id);
            }
        }
        let mut deliveries = Vec::new();
        for id in touched {
            if let Some(watch) = self.watches.get_mut(&id)
                && let Some((waiter, since)) = watch.waits.take()
            {
                match watch.changes.answer() {
                    Some(changes) => {
                        let answer = watch.answer(changes);
                        deliveries.push(Delivery { waiter, answer });
                    }
                    None => watch.waits = Some((waiter, since)),
                }
            }
        }
        deliveries
    }

    /// Answers those who have waited long enough, and forgets what nobody polls.
    pub(super) fn tend(&mut self, now: Moment) -> Vec<Delivery<W>> {
        if now < self.due {
            return Vec::new();
        }
        self.due = now + PACE;
        let mut deliveries = Vec::new();
        let mut silent = Vec::new();
        for (&id, watch) in &mut self.watches {
            if (watch.waits.as_ref()).is_some_and(|(_, since)| now >= *since + HOLD) {
                deliveries.extend(watch.release());
            }
            if now >= watch.polled + FORGET {
                silent.push(id);
            }
        }
        for id in silent {
            self.forget(id);
        }
        deliveries
    }

    fn forget(&mut self, id: u64) {
        let Some(watch) = self.watches.remove(&id) else {
            return;
        };
        self.bytes -= watch.bytes();
        let places = if watch.is_prefix {
            &mut self.prefixes
        } else {
            &mut self.keys
        };
        if let Some(ids) = places.get_mut(&watch.key) {
            ids.remove(&id);
            if ids.is_empty() {
                places.remove(&watch.key);
            }
        }
        let length = watch.key.len();
        if watch.is_prefix
            && let Some(count) = self.lengths.get_mut(&length)
        {
            *count -= 1;
            if *count == 0 {
                self.lengths.remove(&length);
            }
        }
    }
}

#[cfg(test)]
mod tests;
