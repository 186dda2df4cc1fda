//! When a write is refused although the queue is not full. Pure.
//!
//! ```text
//!   writes waiting  ^      ____ room
//!                   |     /    \
//!                   |    /      \________________  50 ms of work, or two batches
//!                   |___/|      |
//!                        burst  a second on: the queue stands, it does not absorb
//! ```
//!
//! A queue absorbs bursts. A standing queue, one that no take has emptied for a while, only adds its length to
//! every write's wait and takes nothing off the load: then as many writes are admitted as leave, and the wait
//! stays short. The wait
//! is what is waiting times the pace at which it goes, measured while the queue stands (an idle committer's pace
//! would say how little it was given). While nothing goes at all, it is at least as long as that has lasted. A
//! write whose own deadline comes before its turn is refused at any time: its place in the queue would be lost twice.
//!
//! **The same ones everywhere.** A write that one replica admits and two refuse is wasted work, and that is
//! what most would come to if each replica accepted what comes just then: of a tenth each, in three places, two
//! meet in one case of 36. So each write draws a shed key from its dot, the same at every replica. It is drawn by a hash
//! under the cluster's key, which no client has: none can choose dots that are shed last. A replica lets in the shed keys below a share that it moves until its queue is as long as it should be. Replicas under like load have
//! like shares, and let in the same writes. For the same reason the last quarter of the queue, which a burst may
//! fill before anything is measured, is for ever lower shed keys.
//!
//! Invariants: a queue that is about to run dry refuses nobody for its length, so the committer always finds
//! full batches; once a take has emptied the queue, nothing that was measured before counts, so one bad
//! moment cannot keep a queue small for ever. Left out: the bounds in writes and bytes, which are the queue's.
//!
//! Source: Nichols and Jacobson, *Controlling Queue Delay* (2012), for standing queues; refused is at the
//! entrance and not at the exit, since a refused write costs its sender least there. Maurer, *Fail at Scale*
//! (2015), for "has not been empty lately". Zhou et al., *Overload Control for Scaling `WeChat` Microservices*
//! (2018), for refusing the same ones in every place. Little's law for the wait.

use std::hash::Hasher as _;
use std::time::Duration;

use quoit_ring::{MerkleKey, Moment};
use siphasher::sip::SipHasher13;

use crate::write::{Change, Step};

/// Wait up to which writes are let in while the queue stands: several commits of a quick disk, and little
/// beside what a client waits for before it asks elsewhere.
pub(super) const TARGET: Duration = Duration::from_millis(50);
/// How long no take may have emptied the queue before it counts as standing: the engine makes pauses to put
/// itself in order, and a node that is at seven tenths of what it can do has made up for one of 300 ms in this time.
/// Until then the queue's capacity is the bound.
pub(super) const BURST: Duration = Duration::from_secs(1);
/// Up to so many batches a queue is no longer than it should be, however slow the disk.
pub(super) const ALWAYS: usize = 2;
/// The share of all shed keys.
const ALL: u32 = u32::MAX;
/// How long the pace is measured for before it is believed.
const MEASURE: Duration = Duration::from_millis(50);
/// A slower pace than before counts for one part in this many; a quicker one is believed at once.
const SLOWER: u32 = 4;

/// Measures how fast a queue moves, and how long a write would wait.
#[derive(Debug)]
pub(super) struct LoadShedding {
    /// Since the last look: writes taken, those of clients among them, and whether a take left none.
    taken: u32,
    taken_of_clients: u32,
    emptied: bool,
    /// Since when no take was seen to have emptied the queue.
    standing: Moment,
    /// When it was last seen that writes had been taken.
    moved: Moment,
    /// Since when, and over how many writes, the pace is being measured.
    since: Moment,
    measured: u32,
    /// Time that each write takes while the queue stands.
    pace: Option<Duration>,
    /// Clients' writes that came to be let in, in the same time.
    offered: u32,
    /// Clients' shed keys below are let in while the queue stands.
    share: u32,
    /// What shed keys are drawn under.
    key: MerkleKey,
    /// Most writes of one take.
    batch: usize,
}

impl LoadShedding {
    /// For an empty queue from which up to `batch` writes are taken at a time, in a cluster with this key.
    pub(super) const fn new(key: MerkleKey, batch: usize) -> Self {
        Self {
            taken: 0,
            taken_of_clients: 0,
            emptied: true,
            standing: Moment(0),
            moved: Moment(0),
            since: Moment(0),
            measured: 0,
            pace: None,
            offered: 0,
            share: ALL,
            key,
            batch,
        }
    }

    /// A queue of clients' writes that is shorter runs dry, and lets in every `shed_key`.
    const fn dry(&self) -> usize {
        self.batch / 2
    }

    /// Writes were taken, so many of them clients', and so many are left. Needs no time: it is when they are seen
    /// to be gone that counts.
    pub(super) fn took(&mut self, count: usize, of_clients: usize, left: usize) {
        add(&mut self.taken, count);
        add(&mut self.taken_of_clients, of_clients);
        self.emptied |= left == 0;
    }

    /// Takes note of what was taken since the last look, while so many of clients' writes wait and `offered` more
    /// come. Comes before every decision.
    pub(super) fn look(&mut self, waiting: usize, offered: usize, now: Moment) {
        if core::mem::take(&mut self.emptied) {
            *self = Self {
                emptied: false,
                standing: now,
                moved: now,
                since: now,
                ..Self::new(self.key, self.batch)
            };
        }
        add(&mut self.offered, offered);
        if self.taken == 0 {
            return;
        }
        self.moved = now;
        self.measured = self
            .measured
            .saturating_add(core::mem::take(&mut self.taken));
        let lasted = now.saturating_since(self.since);
        if lasted < MEASURE {
            return;
        }
        let sample = lasted / self.measured;
        let pace = self.pace.map_or(sample, |pace| {
            sample.min((pace * (SLOWER - 1) + sample) / SLOWER)
        });
        self.pace = Some(pace);
        self.move_share(pace, waiting);
        (self.since, self.measured) = (now, 0);
        (self.taken_of_clients, self.offered) = (0, 0);
    }

    /// Moves the share half-way to the one that would have let in what has left, and what the queue is short of.
    fn move_share(&mut self, pace: Duration, waiting: usize) {
        let should = TARGET.as_nanos() / pace.as_nanos().max(1);
        // A take has just left: before it there was a batch more.
        let should = should.max((ALWAYS * self.batch) as u128) - self.batch as u128;
        let wanted = (u128::from(self.taken_of_clients) + should).saturating_sub(waiting as u128);
        let share = wanted * u128::from(ALL) / u128::from(self.offered.max(1));
        let share = u32::try_from(share).unwrap_or(ALL);
        self.share = self.share / 2 + share / 2 + 1;
    }

    /// The `shed_key` of a write, the same at every node of the cluster; every `shed_key` is as likely as any other.
    pub(super) fn shed_key(&self, key: &[u8], change: &Change) -> u32 {
        let mut hasher = SipHasher13::new_with_key(&self.key.0);
        hasher.write(b"shed"); // the key has another use, too
        let (time, actor) = match change {
            Change::Put(delta) => (delta.dot().time.0, delta.dot().actor.0),
            Change::Repair(record) | Change::Delivered(record) | Change::Restored(record) => {
                (record.max_time().0, 0)
            }
            // By the ballot: an attempt is shed at all of its owners or at none.
            Change::Register(step) => match &**step {
                Step::Look | Step::AwaitTurn { .. } | Step::EndTurn => {
                    hasher.write(key);
                    (0, 0)
                }
                Step::Prepare(ballot)
                | Step::Accept(ballot, _)
                | Step::Extend(ballot, _)
                | Step::Commit(ballot, _) => (ballot.time.0, ballot.unique),
                Step::Take(theirs) => (theirs.ballot.time.0, theirs.ballot.unique),
            },
        };
        hasher.write_u64(time);
        hasher.write_u64(actor);
        let [a, b, c, d, ..] = hasher.finish().to_le_bytes();
        u32::from_le_bytes([a, b, c, d])
    }

    /// How long a write behind `waiting` others is expected to wait.
    pub(super) fn wait(&self, waiting: usize, now: Moment) -> Duration {
        let waiting = u32::try_from(waiting).unwrap_or(u32::MAX);
        let work = self
            .pace
            .map_or(Duration::ZERO, |pace| pace.saturating_mul(waiting));
        let still = if waiting == 0 {
            Duration::ZERO
        } else {
            now.saturating_since(self.moved)
        };
        work.max(still)
    }

    /// Whether a write behind `waiting` others would still be waiting when its time is over.
    pub(super) fn is_too_late(&self, waiting: usize, deadline: Moment, now: Moment) -> bool {
        let wait = self.wait(waiting, now);
        !wait.is_zero() && wait > deadline.saturating_since(now)
    }

    /// Whether a client's write that drew this `shed_key` is refused: the queue does not absorb a burst but stands, and not
    /// only with what peers have waiting (`own` of the `waiting` are clients').
    pub(super) fn turns_away(
        &self,
        shed_key: u32,
        own: usize,
        waiting: usize,
        now: Moment,
    ) -> bool {
        if own < self.dry() || now.saturating_since(self.standing) < BURST {
            return false;
        }
        let far_too_long = own >= ALWAYS * self.batch && self.wait(waiting, now) > 2 * TARGET;
        shed_key > self.share || far_too_long
    }

    /// Whether a client's write that drew this `shed_key` is refused because the clients' share of the queue, of which
    /// `own` is taken, is about to be full.
    pub(super) fn is_crowded_out(&self, shed_key: u32, own: usize, capacity: usize) -> bool {
        let (free, last) = (capacity.saturating_sub(own), capacity / 4);
        if own < self.dry() || free >= last {
            return false;
        }
        let part = u128::from(ALL) * free as u128 / last as u128;
        u128::from(shed_key) > part
    }
}

fn add(sum: &mut u32, count: usize) {
    *sum = sum.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::MAX_BATCH;

    const DRY: usize = MAX_BATCH / 2;

    fn shedding() -> LoadShedding {
        LoadShedding::new(MerkleKey([0; 16]), MAX_BATCH)
    }

    /// So many milliseconds after the start.
    const fn at(ms: u64) -> Moment {
        Moment(ms * 1_000)
    }

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// A queue that has been standing for more than a second, at a length that is right, with `pace` microseconds
    /// spent on each write and `times` as many offered.
    fn standing(pace: u64, times: usize) -> (LoadShedding, Moment) {
        let mut shedding = shedding();
        let right = usize::try_from(50_000 / pace)
            .unwrap()
            .max(ALWAYS * MAX_BATCH)
            - MAX_BATCH;
        shedding.look(0, 0, at(0));
        let each = Duration::from_micros(pace);
        let (mut now, mut left) = (at(0), 2_000_000 / pace);
        while left > 0 {
            let batch = left.min(512);
            now += each * u32::try_from(batch).unwrap();
            left -= batch;
            let batch = usize::try_from(batch).unwrap();
            shedding.took(batch, batch, 9_999);
            shedding.look(right, batch * times, now);
        }
        (shedding, now)
    }

    #[test]
    fn a_queue_that_is_emptied_refuses_nobody() {
        let mut shedding = shedding();
        for step in 0..2_000 {
            shedding.look(0, 9_999, at(step));
            assert!(!shedding.turns_away(ALL, 1 << 20, 1 << 20, at(step)));
            assert!(!shedding.is_too_late(1 << 20, at(step + 1), at(step)));
            shedding.took(512, 512, 0);
        }
    }

    #[test]
    fn a_standing_queue_lets_in_the_shed_keys_that_it_has_capacity_for() {
        let (shedding, now) = standing(20, 10);
        assert_eq!(shedding.wait(1_000, now), ms(20));
        let part = f64::from(shedding.share) / f64::from(ALL);
        assert!((0.05..0.2).contains(&part), "{part} of ten times too many");
        assert!(!shedding.turns_away(shedding.share, 2_500, 2_500, now));
        assert!(shedding.turns_away(shedding.share + 1, 2_500, 2_500, now));
        assert!(shedding.turns_away(0, 5_001, 5_001, now), "far too long");
    }

    #[test]
    fn the_last_quarter_of_the_queue_is_for_ever_lower_shed_keys() {
        let is_crowded_out = |key, own, of| shedding().is_crowded_out(key, own, of);
        assert!(!is_crowded_out(ALL, 6_000, 8_000));
        let half = ALL / 2;
        assert!(is_crowded_out(half + half / 8, 7_000, 8_000));
        assert!(!is_crowded_out(half - half / 8, 7_000, 8_000));
        assert!(is_crowded_out(1, 8_000, 8_000) && !is_crowded_out(0, 7_999, 8_000));
        assert!(!is_crowded_out(ALL, 63, 64), "a small room is filled");
    }

    #[test]
    fn a_queue_that_runs_dry_lets_every_shed_key_in_whatever_else_waits() {
        let (shedding, now) = standing(1_000, 10);
        assert!(shedding.wait(DRY - 1, now) > TARGET);
        assert!(!shedding.turns_away(ALL, DRY - 1, 9_999, now));
        assert!(shedding.turns_away(ALL, DRY, DRY, now));
    }

    #[test]
    fn a_burst_is_absorbed() {
        let mut shedding = shedding();
        shedding.look(0, 1, at(5));
        for step in 5..1_005 {
            shedding.look(8_000, 9, at(step));
            assert!(
                !shedding.turns_away(ALL, 8_000, 8_000, at(step)),
                "at {step} ms"
            );
        }
        let over = shedding.turns_away(0, 8_000, 8_000, at(1_005));
        assert!(over, "nothing has gone since");
    }

    #[test]
    fn shed_keys_are_spread_evenly_and_drawn_by_name_and_cluster() {
        let [one, same, other] =
            [1, 1, 2].map(|key| LoadShedding::new(MerkleKey([key; 16]), MAX_BATCH));
        let write = |n: u64| Change::Put(crate::testing::blind(crate::testing::dot(7, n), "v"));
        let low = (0..10_000)
            .filter(|&n| one.shed_key(b"k", &write(n)) < ALL / 10)
            .count();
        assert!((900..1_100).contains(&low), "{low} of a tenth");
        assert_eq!(
            one.shed_key(b"k", &write(3)),
            same.shed_key(b"k", &write(3))
        );
        assert_ne!(
            one.shed_key(b"k", &write(3)),
            other.shed_key(b"k", &write(3))
        );
    }

    #[test]
    fn a_write_whose_turn_would_come_too_late_is_refused_at_once() {
        let (shedding, now) = standing(20, 1);
        assert!(!shedding.is_too_late(500, now + ms(10), now));
        assert!(shedding.is_too_late(501, now + ms(10), now));
        assert!(!shedding.is_too_late(0, now, now), "its turn is next");
    }

    #[test]
    fn while_nothing_goes_the_wait_is_as_long_as_that_has_lasted() {
        let mut shedding = shedding();
        shedding.look(0, 0, at(100));
        assert_eq!(shedding.wait(3, at(400)), ms(300));
        assert!(shedding.is_too_late(3, at(600), at(400)));
        shedding.took(1, 1, 2);
        shedding.look(0, 0, at(400));
        assert_eq!(
            shedding.wait(3, at(400)),
            ms(900),
            "one in 300 ms is the pace"
        );
        shedding.took(2, 2, 0);
        shedding.look(0, 0, at(401));
        assert_eq!(shedding.wait(3, at(401)), ms(0), "all that is forgotten");
    }

    #[test]
    fn a_quicker_pace_is_believed_at_once_and_a_slower_one_by_and_by() {
        let mut shedding = shedding();
        shedding.look(0, 0, at(0));
        let mut paces = Vec::new();
        for then in [100, 160, 260, 360] {
            shedding.took(if then == 160 { 3_000 } else { 1_000 }, 0, 5_000);
            shedding.look(0, 0, at(then));
            paces.push(shedding.wait(1_000, at(then)).as_millis());
        }
        assert_eq!(paces, [100, 20, 40, 55]);
    }
}
