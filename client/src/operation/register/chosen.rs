//! What this client's conditional writes left: the next one on the same key may begin with the accept.
//!
//! ```text
//!   young   keys of the last while        full, or a while old: it becomes the old one
//!   old     those before                  dropped then
//! ```
//!
//! Whoever accepted a ballot takes nothing between it and its [next](Ballot::next) one, so a proposer whose ballot was chosen needs no
//! prepare for that. It has not asked what came to the records meanwhile: the owners refuse what has not seen all of theirs.
//!
//! Invariant: no ballot is used for two values, so what is taken out is gone.

use std::collections::BTreeMap;

use bytes::Bytes;
use quoit_ring::register::Ballot;
use quoit_ring::wire::decode_record;
use quoit_ring::{Epoch, Millis, Moment, Record};

use crate::env::Now;

/// How long after it asked a proposer goes on without asking, in microseconds. Long enough for a prepare to cost nothing among those
/// it spares; short enough for owners to take the ballot, whose age they bound to a second at least, and for a clock to be known without
/// asking.
const LIFETIME: u64 = 900_000;
/// Most bytes of one half of the table, each entry with what it costs beside.
const BYTES: usize = 1 << 20;
/// What an entry costs beside its bytes.
const BESIDE: usize = 256;

/// A value that was chosen, and what came with it.
#[derive(Debug, Clone)]
pub(super) struct Chosen {
    /// The ballot of the next value.
    pub(super) next: Ballot,
    /// The value, encoded: what was decoded may keep longer frames alive.
    pub(super) record: Bytes,
    /// Majorities are of its owners.
    pub(super) epoch: Epoch,
    /// The owners' clock when a majority had last promised.
    pub(super) at: Millis,
    /// That moment by this machine's clocks. One of them stands still while the machine sleeps.
    pub(super) answered: (Moment, Millis),
}

impl Chosen {
    /// The owners' clock now.
    pub(super) const fn present(&self, now: Moment) -> Millis {
        let (answered, _) = self.answered;
        Millis(self.at.0.saturating_add(now.since(answered) / 1_000))
    }

    /// The value, if another one may follow without asking. One that is about to expire is found out about, since an owner may take it
    /// to be dead.
    fn fresh(&self, epoch: Epoch, now: Now, max_drift_ms: u64) -> Option<Record> {
        let (answered, wall) = self.answered;
        let elapsed_ms = now.wall.0.checked_sub(wall.0);
        let is_young = now.at.since(answered) < LIFETIME
            && elapsed_ms.is_some_and(|elapsed| elapsed < LIFETIME / 1_000);

        if self.epoch != epoch || !is_young {
            return None;
        }
        let record = decode_record(&self.record).ok()?;
        let soon = Millis(self.present(now.at).0.saturating_add(max_drift_ms));
        let mut live = record.live().iter();
        live.all(|it| it.expiry.is_none_or(|expiry| expiry > soon))
            .then_some(record)
    }
}

/// By key, and bounded.
#[derive(Debug, Default)]
pub(crate) struct LastChosen {
    young: Half,
    old: Half,
}

#[derive(Debug, Default)]
struct Half {
    by_key: BTreeMap<Bytes, Chosen>,
    bytes: usize,
    /// When the first came.
    begun: Option<Moment>,
}

impl LastChosen {
    /// Keeps what was chosen.
    pub(super) fn put(&mut self, key: &Bytes, chosen: Chosen, now: Moment) {
        self.remove(key);
        let is_old = |half: &Half| half.begun.is_some_and(|begun| now.since(begun) > LIFETIME);
        if self.young.bytes > BYTES || is_old(&self.young) {
            self.old = core::mem::take(&mut self.young);
        }
        self.young.begun.get_or_insert(now);
        self.young.bytes += cost(key, &chosen);
        // A copy: the key may be a slice of something long.
        (self.young.by_key).insert(Bytes::copy_from_slice(key), chosen);
    }

    /// Takes it out: gives it back if another value may follow it without asking.
    pub(super) fn take(
        &mut self,
        key: &Bytes,
        (epoch, now): (Epoch, Now),
        max_drift_ms: u64,
    ) -> Option<(Chosen, Record)> {
        let chosen = self.remove(key)?;
        let record = chosen.fresh(epoch, now, max_drift_ms)?;
        Some((chosen, record))
    }

    /// Takes it out, whatever it is.
    pub(super) fn remove(&mut self, key: &Bytes) -> Option<Chosen> {
        [&mut self.young, &mut self.old]
            .into_iter()
            .find_map(|half| {
                let chosen = half.by_key.remove(key)?;
                half.bytes = half.bytes.saturating_sub(cost(key, &chosen));
                Some(chosen)
            })
    }
}

fn cost(key: &Bytes, chosen: &Chosen) -> usize {
    key.len() + chosen.record.len() + BESIDE
}

#[cfg(test)]
mod tests {
    use quoit_ring::wire::record_bytes;
    use quoit_ring::{Actor, Delta, Dot, Time};

    use super::*;

    const EPOCH: Epoch = Epoch(3);
    const DRIFT: u64 = 500;

    fn chosen(value: usize, expiry: Option<Millis>) -> Chosen {
        let dot = Dot {
            time: Time(9),
            actor: Actor(1),
        };
        let value = Bytes::from(vec![7; value]);
        Chosen {
            next: Ballot {
                time: Time(9),
                unique: 2,
            },
            record: record_bytes(Delta::blind(dot, Some((value, expiry))).record()),
            epoch: EPOCH,
            at: Millis(10_000),
            answered: (Moment(1_000_000), Millis(70_000)),
        }
    }

    /// So many milliseconds later, by both clocks.
    const fn later(ms: u64) -> Now {
        Now {
            at: Moment(1_000_000 + ms * 1_000),
            wall: Millis(70_000 + ms),
            random: 0,
        }
    }

    #[test]
    fn what_is_taken_out_is_gone() {
        let (mut table, key, now) = (LastChosen::default(), "k".into(), later(1));
        table.put(&key, chosen(1, None), now.at);
        let (taken, _) = table.take(&key, (EPOCH, now), DRIFT).unwrap();
        assert_eq!(taken.present(Moment(1_500_000)), Millis(10_500));
        assert!(table.take(&key, (EPOCH, now), DRIFT).is_none());
        assert_eq!(table.young.bytes, 0);
    }

    #[test]
    fn it_is_of_its_epoch_and_a_short_while_and_nothing_in_it_is_about_to_expire() {
        let key = "k".into();
        let taken = |chosen: Chosen, epoch, now: Now| {
            let mut table = LastChosen::default();
            table.put(&key, chosen, later(0).at);
            table.take(&key, (epoch, now), DRIFT).is_some()
        };
        assert!(taken(chosen(1, None), EPOCH, later(899)));
        assert!(!taken(chosen(1, None), EPOCH, later(900)));
        assert!(!taken(chosen(1, None), Epoch(4), later(0)));
        let expiring = || chosen(1, Some(Millis(10_600)));
        assert!(taken(expiring(), EPOCH, later(99)));
        assert!(!taken(expiring(), EPOCH, later(100)));

        // One of the clocks stood still, or was set back.
        let (at, wall) = (later(0).at, later(0).wall);
        assert!(!taken(chosen(1, None), EPOCH, Now { at, ..later(900) }));
        assert!(!taken(chosen(1, None), EPOCH, Now { wall, ..later(900) }));
        let set_back = Millis(69_999);
        assert!(!taken(
            chosen(1, None),
            EPOCH,
            Now {
                wall: set_back,
                ..later(0)
            }
        ));
    }

    #[test]
    fn the_table_holds_two_halves_at_most_and_forgets_what_is_of_no_use() {
        let (mut table, now) = (LastChosen::default(), Moment(1_000_000));
        for number in 0..100 {
            let key = Bytes::from(format!("{number}"));
            table.put(&key, chosen(100_000, None), now);
            let bytes = [&table.young, &table.old].map(|half| half.bytes);
            assert!(bytes.iter().all(|it| *it <= BYTES + 101_000), "{bytes:?}");
        }
        table.put(&"a".into(), chosen(1, None), later(3_000).at);
        table.put(&"b".into(), chosen(1, None), later(6_000).at);
        let kept = table.young.by_key.len() + table.old.by_key.len();
        assert_eq!(kept, 2);
    }
}
