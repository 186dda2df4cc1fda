//! One direction of a flow: what becomes of each datagram. Pure.
//!
//! ```text
//!   taken at t --> lost?  ----------------------------------------> gone
//!              '-> full?  ----------------------------------------> gone, and counted
//!              '-> due at t + delay + (0 .. jitter), by the seed --> handed out in the order of due times
//! ```
//!
//! Without jitter datagrams keep their order; with it they overtake each other, as on a network. What waits is
//! bounded in bytes: beyond the bound the newest is dropped, as a full router does. The seed fixes what is drawn
//! for the first, second, ... datagram; real time decides which datagram that is.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};

/// Most bytes that wait in one direction of one flow: 200 ms of 160 MB/s.
const MAX_BYTES: usize = 32 << 20;
/// What a datagram takes beside its bytes.
const OVERHEAD: usize = 64;

/// The [`loss`](Conditions::loss) that loses every datagram; 1 % is a hundredth of it.
pub const LOSS_SCALE: u32 = 10_000;

/// What happens to datagrams; the default is nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Conditions {
    /// How much later each arrives; default none.
    pub delay: Duration,
    /// By how much more at most, evenly distributed; default none. It lets datagrams overtake each other.
    pub jitter: Duration,
    /// How many of [`LOSS_SCALE`] do not arrive; default 0.
    pub loss: u32,
}

impl Conditions {
    /// Nothing arrives.
    pub const CUT: Self = Self {
        delay: Duration::ZERO,
        jitter: Duration::ZERO,
        loss: LOSS_SCALE,
    };

    /// Whether a datagram goes on at once.
    pub(super) fn are_none(&self) -> bool {
        *self == Self::default()
    }
}

/// What happened to datagrams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DatagramCounts {
    /// Passed on.
    pub passed: u64,
    /// Lost because the conditions asked for it.
    pub lost: u64,
    /// Dropped because too much waited already, or a socket took no more.
    pub dropped: u64,
}

impl DatagramCounts {
    /// Both together.
    pub(super) const fn plus(self, other: Self) -> Self {
        Self {
            passed: self.passed + other.passed,
            lost: self.lost + other.lost,
            dropped: self.dropped + other.dropped,
        }
    }
}

/// The datagrams of one direction that are on their way.
#[derive(Debug)]
pub(super) struct Pipe {
    rng: SmallRng,
    waiting: BTreeMap<(Instant, u64), Box<[u8]>>,
    bytes: usize,
    number: u64,
    pub(super) counts: DatagramCounts,
}

impl Pipe {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            rng: SmallRng::seed_from_u64(seed),
            waiting: BTreeMap::new(),
            bytes: 0,
            number: 0,
            counts: DatagramCounts::default(),
        }
    }

    /// Whether nothing is on its way.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Takes a datagram: it is lost, dropped, or handed out when it is due.
    pub(super) fn take(&mut self, datagram: &[u8], conditions: &Conditions, now: Instant) {
        let lost = conditions.loss > 0 && self.rng.random_range(0..LOSS_SCALE) < conditions.loss;
        // Drawn for lost ones as well, so that the loss does not shift what later datagrams draw.
        let jitter = self.jitter(conditions.jitter);
        if lost {
            self.counts.lost += 1;
            return;
        }

        let size = datagram.len() + OVERHEAD;
        if self.bytes + size > MAX_BYTES {
            self.counts.dropped += 1;
            return;
        }

        self.bytes += size;
        debug_assert!(self.bytes <= MAX_BYTES, "what waits is bounded");
        self.number += 1;
        let due = now + conditions.delay + jitter;
        self.waiting.insert((due, self.number), datagram.into());
    }

    /// Hands out the next datagram that is due.
    pub(super) fn due(&mut self, now: Instant) -> Option<Box<[u8]>> {
        let first = self.waiting.first_entry()?;
        if first.key().0 > now {
            return None;
        }
        let datagram = first.remove();
        self.bytes -= datagram.len() + OVERHEAD;
        Some(datagram)
    }

    /// When the next one is.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.waiting.first_key_value().map(|(key, _)| key.0)
    }

    fn jitter(&mut self, most: Duration) -> Duration {
        let micros = u64::try_from(most.as_micros()).unwrap_or(u64::MAX);
        match micros {
            0 => Duration::ZERO,
            _ => Duration::from_micros(self.rng.random_range(0..=micros)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn conditions(delay: u32, jitter: u32, loss: u32) -> Conditions {
        Conditions {
            delay: delay * MS,
            jitter: jitter * MS,
            loss,
        }
    }

    /// What comes out by `until`, of a thousand datagrams that name their number and go in at once.
    fn through(seed: u64, conditions: Conditions, until: Duration) -> (Vec<u16>, Pipe) {
        let (mut pipe, begin) = (Pipe::new(seed), Instant::now());
        for number in 0..1_000_u16 {
            pipe.take(&number.to_be_bytes(), &conditions, begin);
        }
        let out = std::iter::from_fn(|| pipe.due(begin + until))
            .map(|datagram| u16::from_be_bytes([datagram[0], datagram[1]]))
            .collect();
        (out, pipe)
    }

    #[test]
    fn a_delayed_datagram_comes_when_it_is_due_and_in_order() {
        let slow = conditions(200, 0, 0);
        assert!(through(1, slow, 199 * MS).0.is_empty());
        let (out, pipe) = through(1, slow, 200 * MS);
        assert_eq!(out, (0..1_000).collect::<Vec<_>>());
        assert!(pipe.is_empty() && pipe.next_due().is_none() && pipe.bytes == 0);
    }

    #[test]
    fn jitter_lets_datagrams_overtake_and_none_is_later_than_it_allows() {
        let (out, pipe) = through(1, conditions(10, 20, 0), 30 * MS);
        assert!(!out.is_sorted() && out.len() == 1_000 && pipe.is_empty());
    }

    #[test]
    fn a_seed_fixes_what_is_lost_and_about_as_many_are_as_asked_for() {
        let lossy = conditions(0, 5, 1_000);
        let ((out, pipe), (again, _)) = (through(7, lossy, 5 * MS), through(7, lossy, 5 * MS));
        assert_eq!(out, again);
        assert!((60..150).contains(&pipe.counts.lost), "{:?}", pipe.counts);
        assert_ne!(out, through(8, lossy, 5 * MS).0);
        assert!(through(7, conditions(0, 0, LOSS_SCALE), MS).0.is_empty());
    }

    #[test]
    fn what_waits_is_bounded_and_the_newest_is_dropped() {
        let (mut pipe, now, slow) = (Pipe::new(1), Instant::now(), conditions(1, 0, 0));
        let datagram = [0; 60_000];
        let fits = MAX_BYTES / (datagram.len() + OVERHEAD);
        for _ in 0..fits + 5 {
            pipe.take(&datagram, &slow, now);
        }
        assert_eq!((pipe.waiting.len(), pipe.counts.dropped), (fits, 5));
        assert!(pipe.due(now + MS).is_some());
        pipe.take(&datagram, &slow, now);
        assert_eq!((pipe.waiting.len(), pipe.counts.dropped), (fits, 5));
    }
}
