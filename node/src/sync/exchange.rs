//! Keys that differ: each is read there, joined with what is here, and whoever lacks something gets it.
//!
//! ```text
//!   key --Get, a digest--> record there     lacks something here?  --Get, in full--> write it here
//!                                           lacks something there? ----------------> push what is here
//! ```
//!
//! Both are repairs, joined like any other, so it does not matter what is written meanwhile. What is here was read before; at
//! worst a join changes nothing.
//!
//! Each side is read above the floor of its leaf ([`Held`]), so the absence of a row can be a death. A row that was lost, here or
//! there, is restored by a message of its own: as a repair it would be taken for dead.
//!
//! A node that is overloaded takes a key later: the key waits again, and the sync rests.
//!
//! Bounded: keys that wait and keys under way, by number and bytes; whole records asked for.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use quoit_ring::wire::{
    Fault, Refusal, RefusalScope, Request, Response, SyncRequest, decode_record, record_bytes,
};
use quoit_ring::{Dot, Held, Millis, Record, Sibling, Time};

use super::pairing::Differing;
use super::session::{Failure, Tally};
use crate::handlers::read_repair;
use crate::write::Change;

/// Most keys under way, and bytes of their records here; a record that is larger goes alone.
const WINDOW: usize = 32;
const WINDOW_BYTES: usize = 1 << 20;
/// Most records asked for in full at a time: each may have megabytes.
const WHOLE: usize = 4;
/// Beyond so many keys that wait, or bytes of theirs, no more are looked for.
const WAITING: usize = 128;
const WAITING_BYTES: usize = 512 << 10;
/// How often in a row a node may be overloaded before the sync ends.
const OVERLOADS: u32 = 20;

/// What an answer is to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum About {
    /// What is there of this key.
    Held(u64),
    /// The same with its values.
    Whole(u64),
    /// Whether it was joined there.
    Pushed(u64),
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Ask(Request, About),
    /// Join this here.
    Write {
        key: Bytes,
        change: Change,
        bytes: usize,
    },
}

/// The floor of a key's leaf, as it was before its row was read.
pub(super) type FloorOf = Arc<dyn Fn(&[u8]) -> Time + Send + Sync>;

/// The keys that differ of one pass.
#[derive(Default)]
pub(super) struct Exchange {
    floor_of: Option<FloorOf>,
    /// Differences in writes up to this time are counted apart.
    horizon: Option<Time>,
    /// Keys that differed in such a write.
    pub(super) old_differing: u64,
    waiting: VecDeque<Differing>,
    waiting_bytes: usize,
    under_way: BTreeMap<u64, Differing>,
    under_way_bytes: usize,
    /// Whose values are needed.
    to_read: VecDeque<u64>,
    reading: usize,
    last: u64,
    steps: VecDeque<Step>,
    overloads: u32,
    pub(super) tally: Tally,
}

impl Exchange {
    /// With these floors, and that horizon.
    pub(super) fn new(floor_of: FloorOf, horizon: Option<Time>) -> Self {
        Self {
            floor_of: Some(floor_of),
            horizon,
            ..Self::default()
        }
    }

    pub(super) fn add(&mut self, differing: Differing) {
        self.waiting_bytes += bytes_of(&differing);
        self.waiting.push_back(differing);
    }

    /// Whether enough keys wait.
    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= WAITING || self.waiting_bytes >= WAITING_BYTES
    }

    /// Whether nothing waits or is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.under_way.is_empty() && self.steps.is_empty()
    }

    /// The next step; none until an answer comes.
    pub(super) fn next(&mut self) -> Option<Step> {
        if let Some(step) = self.steps.pop_front() {
            return Some(step);
        }
        if self.reading < WHOLE
            && let Some(slot) = self.to_read.pop_front()
        {
            self.reading += 1;
            return self.get(slot, false);
        }
        let bytes = bytes_of(self.waiting.front()?);
        let fits = self.under_way.len() < WINDOW && self.under_way_bytes + bytes <= WINDOW_BYTES;
        if !fits && !self.under_way.is_empty() {
            return None;
        }
        let differing = self.waiting.pop_front()?;
        self.waiting_bytes -= bytes;
        self.under_way_bytes += bytes;
        self.last += 1;
        self.under_way.insert(self.last, differing);
        self.get(self.last, true)
    }

    /// A key is done with.
    fn take(&mut self, slot: u64) -> Option<Differing> {
        let differing = self.under_way.remove(&slot)?;
        self.under_way_bytes -= bytes_of(&differing);
        Some(differing)
    }

    fn get(&self, slot: u64, digest: bool) -> Option<Step> {
        let key = self.under_way.get(&slot)?.key.clone();
        let about = if digest {
            About::Held(slot)
        } else {
            About::Whole(slot)
        };
        Some(Step::Ask(Request::Get { key, digest }, about))
    }

    /// The other node has answered. Whether it takes more at once: else it is to be left alone for a moment.
    ///
    /// # Errors
    /// Its refusal, if it is not about this key alone: the sync is over.
    pub(super) fn answered(
        &mut self,
        about: About,
        response: Response,
        clock: Millis,
    ) -> Result<bool, Failure> {
        let (About::Held(slot) | About::Whole(slot) | About::Pushed(slot)) = about;
        if matches!(about, About::Whole(_)) {
            self.reading -= 1;
        }
        if let Response::Refused(refusal) = response {
            return self.refused(slot, about, refusal);
        }
        self.overloads = 0;
        match (about, response) {
            (About::Pushed(_), Response::Joined) => self.tally.pushed += 1,
            (About::Held(_) | About::Whole(_), response) => {
                let held = response.held().ok_or(Failure::WrongAnswer)?;
                self.held(about, held.ok(), clock);
                return Ok(true);
            }
            _ => return Err(Failure::WrongAnswer),
        }
        self.take(slot);
        Ok(true)
    }

    /// What is there of a key; none if that is junk. `clock` is the other node's.
    fn held(&mut self, about: About, theirs: Option<Held>, clock: Millis) {
        let (About::Held(slot) | About::Whole(slot) | About::Pushed(slot)) = about;
        let Some(of) = self.under_way.get(&slot) else {
            return;
        };
        let floor = (self.floor_of.as_ref()).map_or(Time::ZERO, |floor_of| floor_of(&of.key));
        let (Some(own), Some(other)) = (decoded(of.own.as_ref(), floor), theirs) else {
            self.take(slot);
            self.tally.failed += 1;
            return;
        };

        let (joined, [lost_here, lost_there]) = own.join(&other, clock);
        let floor = own.stable().max(other.stable());
        let lacks = |held: &Held| !joined.same_versions_above(held.record(), floor);
        let (lacks_here, lacks_there) = (lacks(&own), lacks(&other));
        let is_digest = matches!(about, About::Held(_));
        if lacks_here && is_digest && lacks_value(own.record(), other.record()) {
            self.to_read.push_back(slot);
            return;
        }

        self.tally.differing += u64::from(lacks_here || lacks_there);
        self.tally.restored += u64::from(lost_here || lost_there);
        let is_old = self
            .horizon
            .is_some_and(|it| differ_up_to(&own, &other, it));
        self.old_differing += u64::from(is_old);
        let key = of.key.clone();
        let whole = with_values_of([own.record(), other.record()], &joined);
        let Some(record) = whole.as_ref().map(record_bytes) else {
            // The other side has sent less than it was asked for.
            self.take(slot);
            self.tally.failed += 1;
            return;
        };
        if lacks_here {
            self.write(key.clone(), &record, lost_here);
        }
        self.push_or_end(slot, lacks_there.then_some((key, record)), lost_there);
    }

    /// Joins what both hold with what is here; what was damaged on its way is left.
    fn write(&mut self, key: Bytes, record: &Bytes, is_lost: bool) {
        let bytes = key.len() + record.len();
        let change = match read_repair(record) {
            Ok(Change::Repair(record)) if is_lost => Change::Restored(record),
            Ok(change) => change,
            Err(_damaged) => {
                self.tally.failed += 1;
                return;
            }
        };
        self.tally.pulled += 1;
        self.steps.push_back(Step::Write { key, change, bytes });
    }

    fn push_or_end(&mut self, slot: u64, lacking: Option<(Bytes, Bytes)>, is_lost: bool) {
        let Some((key, record)) = lacking else {
            return drop(self.take(slot));
        };
        let push = if is_lost {
            Request::Sync(SyncRequest::Restore { key, record })
        } else {
            Request::Repair { key, record }
        };
        self.steps.push_back(Step::Ask(push, About::Pushed(slot)));
    }

    /// A key is left as it is, or waits again; or the other node takes nothing at present.
    fn refused(&mut self, slot: u64, about: About, refusal: Refusal) -> Result<bool, Failure> {
        let differing = self.take(slot);
        let is_read = !matches!(about, About::Pushed(_));
        match refusal {
            Refusal::Overloaded { .. } | Refusal::Expired if self.overloads < OVERLOADS => {
                self.overloads += 1;
                if let Some(differing) = differing {
                    self.add(differing);
                }
                return Ok(false);
            }
            // One row that cannot be read there: the others can.
            Refusal::Storage(Fault::Failed) if is_read => self.tally.failed += 1,
            Refusal::NotReplica => return Err(Failure::Refused(refusal)),
            _ if refusal.scope() == RefusalScope::Request => self.tally.failed += 1,
            _ => return Err(Failure::Refused(refusal)),
        }
        Ok(true)
    }
}

/// Whether a value is missing in a digest that is not here.
fn lacks_value(own: &Record, digest: &Record) -> bool {
    let missing = digest
        .live()
        .iter()
        .filter(|sibling| sibling.value.is_none());
    missing.into_iter().any(|it| is_missing(own, it))
}

fn is_missing(own: &Record, sibling: &Sibling) -> bool {
    let mut variants = own.variants(sibling.dot);
    !variants.any(|it| it.hash == sibling.hash && it.value.is_some())
}

/// What both hold with the values of either; `None` if some are nowhere.
fn with_values_of(held: [&Record; 2], joined: &Record) -> Option<Record> {
    let whole = joined.live().iter().map(|sibling| {
        let variants = held.iter().flat_map(|it| it.variants(sibling.dot));
        let same = variants.filter(|it| it.hash == sibling.hash);
        let value = || same.filter_map(|it| it.value.clone()).next();
        let value = sibling.value.clone().or_else(value);
        value.is_some().then(|| Sibling {
            value,
            ..sibling.clone()
        })
    });
    Record::from_parts(whole.collect::<Option<_>>()?, joined.seen().clone())
}

/// Whether one of them has a live write up to `time` that the other has not.
fn differ_up_to(own: &Held, other: &Held, time: Time) -> bool {
    let up_to = |held: &Held| -> Vec<(Dot, u64)> {
        let live = held.record().live().iter();
        live.filter(|sibling| sibling.dot.time <= time)
            .map(|sibling| (sibling.dot, sibling.hash))
            .collect()
    };
    up_to(own) != up_to(other)
}

fn bytes_of(differing: &Differing) -> usize {
    differing.key.len() + differing.own.as_ref().map_or(0, Bytes::len)
}

/// A row or none; `None` if it is junk.
fn decoded(row: Option<&Bytes>, floor: Time) -> Option<Held> {
    let row = row.map(decode_record).transpose().ok()?;
    Some(Held::new(row, floor))
}

#[cfg(test)]
mod tests {
    use quoit_ring::{Delta, Time};

    use super::*;

    const NOW: Millis = Millis(1_000);
    use crate::testing::{WALL, blind, dot, encoded, unseeing};

    fn differing(own: Option<&Delta>) -> Differing {
        Differing {
            key: "k".into(),
            own: own.map(|delta| encoded(delta.record())),
        }
    }

    /// The steps of one key until it is done; each request is answered in turn.
    fn steps(own: Option<&Delta>, answers: Vec<Response>) -> (Vec<Step>, Tally) {
        let (mut exchange, mut steps) = (Exchange::default(), Vec::new());
        exchange.add(differing(own));
        let mut answers = answers.into_iter();
        while let Some(step) = exchange.next() {
            if let Step::Ask(_, about) = &step {
                let about = *about;
                steps.push(step);
                exchange
                    .answered(about, answers.next().unwrap(), NOW)
                    .unwrap();
            } else {
                steps.push(step);
            }
        }
        assert!(exchange.is_idle() && answers.next().is_none());
        (steps, exchange.tally)
    }

    fn get(digest: bool) -> Step {
        let about = if digest {
            About::Held(1)
        } else {
            About::Whole(1)
        };
        let key = "k".into();
        Step::Ask(Request::Get { key, digest }, about)
    }

    fn record(delta: &Delta) -> Response {
        Response::Record(encoded(delta.record()))
    }

    #[test]
    fn what_is_missing_here_is_written_and_what_is_missing_there_pushed() {
        let (old, new) = (blind(dot(1, WALL), "old"), blind(dot(2, WALL + 1), "new"));
        let push = Step::Ask(
            Request::Repair {
                key: "k".into(),
                record: encoded(new.record()),
            },
            About::Pushed(1),
        );
        let write = |delta: &Delta| Step::Write {
            key: "k".into(),
            change: Change::Repair(delta.record().clone()),
            bytes: 1 + encoded(delta.record()).len(),
        };

        let (done, tally) = steps(Some(&old), vec![record(&new)]);
        assert_eq!(done, [get(true), write(&new)]);
        assert_eq!((tally.pulled, tally.pushed), (1, 0));

        let (done, tally) = steps(Some(&new), vec![record(&old), Response::Joined]);
        assert_eq!(done, [get(true), push.clone()]);
        assert_eq!((tally.pulled, tally.pushed), (0, 1));

        let (done, _) = steps(Some(&new), vec![Response::Absent, Response::Joined]);
        assert_eq!(done, [get(true), push]);
        let (done, _) = steps(None, vec![record(&new)]);
        assert_eq!(done, [get(true), write(&new)]);
        let (done, _) = steps(Some(&new), vec![record(&new)]);
        assert_eq!(done, [get(true)], "equal by now");
    }

    #[test]
    fn siblings_go_both_ways() {
        let ours = unseeing(dot(1, WALL), "ours");
        let theirs = unseeing(dot(2, WALL), "theirs");
        let (done, tally) = steps(Some(&ours), vec![record(&theirs), Response::Joined]);
        assert_eq!(done.len(), 3);
        assert_eq!((tally.pulled, tally.pushed), (1, 1));
    }

    #[test]
    fn a_value_is_read_only_if_it_is_missing_here() {
        let (old, new) = (blind(dot(1, WALL), "old"), blind(dot(2, WALL + 1), "large"));
        let digest = |delta: &Delta| Response::Record(encoded(&delta.record().without_values()));
        let (done, tally) = steps(Some(&old), vec![digest(&new), record(&new)]);
        assert_eq!(done[..2], [get(true), get(false)]);
        assert_eq!((done.len(), tally.pulled), (3, 1));

        let (done, _) = steps(Some(&new), vec![digest(&old), Response::Joined]);
        assert_eq!(done.len(), 2, "it is overwritten there, whatever it is");
    }

    #[test]
    fn a_key_that_is_refused_is_left_and_a_node_that_refuses_all_ends_it() {
        let new = blind(dot(2, WALL), "new");
        let damaged = Response::Refused(Refusal::Storage(Fault::Corrupt));
        let (_, tally) = steps(Some(&new), vec![damaged]);
        assert_eq!((tally.failed, tally.differing), (1, 0));
        let junk = Response::Record("junk".into());
        assert_eq!(steps(Some(&new), vec![junk]).1.failed, 1);

        for refusal in [Refusal::Draining, Refusal::OldEpoch, Refusal::NotReplica] {
            let mut exchange = Exchange::default();
            exchange.add(differing(Some(&new)));
            exchange.next();
            let ended = exchange.answered(About::Held(1), Response::Refused(refusal), NOW);
            assert_eq!(ended, Err(Failure::Refused(refusal)));
        }
    }

    #[test]
    fn a_key_waits_while_the_other_node_is_overloaded_and_the_sync_ends_if_that_lasts() {
        let new = blind(dot(2, WALL), "new");
        let mut exchange = Exchange::default();
        exchange.add(differing(Some(&new)));
        let overloaded = || Response::Refused(Refusal::Overloaded { queue_ms: 9 });
        for slot in 1..=u64::from(OVERLOADS) {
            assert_eq!(exchange.next(), Some(get_of(slot)));
            assert_eq!(
                exchange.answered(About::Held(slot), overloaded(), NOW),
                Ok(false)
            );
        }
        exchange.next();
        let last = u64::from(OVERLOADS) + 1;
        let ended = exchange.answered(About::Held(last), overloaded(), NOW);
        assert!(matches!(ended, Err(Failure::Refused(_))));
    }

    fn get_of(slot: u64) -> Step {
        let request = Request::Get {
            key: "k".into(),
            digest: true,
        };
        Step::Ask(request, About::Held(slot))
    }

    #[test]
    fn a_large_value_that_is_here_is_not_fetched_to_learn_what_became_of_another() {
        let large = unseeing(dot(1, WALL), &"x".repeat(2000));
        let other = unseeing(dot(2, WALL), "other");
        let mut both = large.record().clone();
        both.join(other.record());
        let delete = Delta::causal(dot(3, WALL + 1), Time::ZERO, other.record().seen(), None);
        let mut left = large.record().clone();
        left.join(other.record());
        left.join(delete.record());
        let (mut exchange, key) = (Exchange::default(), Bytes::from("k"));
        let own = Some(encoded(&both));
        exchange.add(Differing { key, own });
        exchange.next();
        let digest = Response::Record(encoded(&left.without_values()));
        exchange.answered(About::Held(1), digest, NOW).unwrap();
        let Some(Step::Write { change, .. }) = exchange.next() else {
            panic!("all of it is here")
        };
        assert_eq!(change, Change::Repair(left));
        assert!(exchange.is_idle());
    }

    #[test]
    fn large_records_are_under_way_one_by_one() {
        let mut exchange = Exchange::default();
        for _ in 0..3 {
            let own = Some(Bytes::from(vec![0; WINDOW_BYTES]));
            exchange.add(Differing {
                key: "k".into(),
                own,
            });
        }
        assert!(exchange.next().is_some() && exchange.next().is_none());
    }

    #[test]
    fn so_many_keys_are_under_way_and_so_many_wait() {
        let mut exchange = Exchange::default();
        let mut added = 0;
        while !exchange.is_full() {
            exchange.add(differing(None));
            added += 1;
        }
        let asked = std::iter::from_fn(|| exchange.next()).count();
        assert_eq!((added, asked), (WAITING, WINDOW));

        let large = blind(dot(1, WALL), &"x".repeat(2000));
        let digest = Response::Record(encoded(&large.record().without_values()));
        for slot in 1..=WINDOW as u64 {
            exchange
                .answered(About::Held(slot), digest.clone(), NOW)
                .unwrap();
        }
        let whole = std::iter::from_fn(|| exchange.next());
        assert_eq!(whole.count(), WHOLE, "each may have megabytes");
    }
}
