//! One node, as a client sees it: how quick it is, what it owes, and whether it is worth waiting for.
//!
//! ```text
//!                three strikes in a row                  its time is over
//!     serving ------------------------------> ejected -------------------> on probation
//!        ^                                       ^                              |
//!        |                                       | silence: twice as long       | one request
//!        |                                       +------------------------------+ asks it
//!        +---------------------------- any answer ------------------------------+
//! ```
//!
//! A *strike* is a request that is overdue, or an answer by which the node serves nobody: it is stopping, not
//! ready, its disk failed. An answer to anything ends the row. A write that is overdue at a node that answers others
//! meanwhile waits for its disk, and is none: that node serves reads as well as ever. A node that is overloaded answers, and so is
//! never struck out; the queue that it reports counts as delay until it would have drained.
//!
//! Up to eight requests at a time are timed, as TCP times one segment: enough to learn from, and to find an
//! answer's question among them takes no table. One that is unanswered counts as delay while it lasts, and a
//! late answer is learnt from, whether or not its operation still waits for it.
//!
//! Source: outlier ejection as in Envoy; Karn and Partridge (1987), who time no answer that could be to another
//! request: here each request has an id of its own.

use quoit_ring::Moment;
use smallvec::SmallVec;

use crate::env::Link;
use crate::health::delay::Delay;
use crate::health::{Answer, Asked};

/// Strikes in a row that eject a node. One request lost is a request lost; at a node that died under load three
/// are overdue at the same moment, and under little load they come within half a second.
const STRIKES: u8 = 3;
/// How long a node is ejected at first: two patiences, as a stop that ends sooner is found out without.
const FIRST_EJECTION: u64 = 200_000;
/// How long it is ejected at most. Longer leaves a node that is back idle, shorter sends more requests after one
/// that is gone; one in five seconds is nothing to either.
const LONGEST_EJECTION: u64 = 5_000_000;
/// Most requests that are timed at once.
const TIMED: usize = 8;
/// A request is overdue after this at the latest, however slow its node is known to be, and forgotten then: what
/// takes longer leaves no place to learn from others.
const LOST: u64 = 1_000_000;
/// What a node that never answered is taken for: slower than one that answers from the next room, so that reads
/// ask those first; not so slow that it is not tried when they are busy.
const UNKNOWN_DELAY: u64 = 1_000;
/// The longest queue that is believed, in microseconds.
const LONGEST_QUEUE: u64 = 5_000_000;

/// A request under way whose answer is timed.
#[derive(Debug, Clone, Copy)]
struct Timed {
    id: u64,
    asked: Asked,
    sent: Moment,
    /// After so long it is overdue, and so again when that has doubled.
    overdue_after: u64,
    struck: bool,
}

/// A node that is not to be waited for.
#[derive(Debug, Clone, Copy)]
struct Ejection {
    until: Moment,
    /// A request that was sent after `until` is under way.
    probing: bool,
}

/// What asking a node to read costs; compared field by field, the least is asked first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Cost {
    unreachable: bool,
    ejected: bool,
    /// Its delay for each request in line, this one included, and for the queue that it reported.
    micros: u64,
}

impl Cost {
    /// Of a node that nobody has spoken of.
    pub(super) const fn unknown() -> Self {
        Self {
            unreachable: false,
            ejected: false,
            micros: UNKNOWN_DELAY,
        }
    }
}

/// What is known of one node.
#[derive(Debug)]
pub(super) struct Node {
    link: Link,
    reads: Delay,
    writes: Delay,
    in_flight: u32,
    timed: SmallVec<[Timed; TIMED]>,
    strikes: u8,
    /// When it last answered anything.
    heard: Moment,
    /// Until when the queue that it reported lasts.
    queue_until: Moment,
    ejection: Option<Ejection>,
    /// How long the last ejection was, and when the node came back from one.
    ejected_for: u64,
    back_at: Option<Moment>,
    /// When it was last asked to read, or found.
    last_read: Moment,
}

impl Node {
    /// A node of which nothing is known.
    pub(super) fn new(now: Moment) -> Self {
        Self {
            link: Link::Opening,
            reads: Delay::default(),
            writes: Delay::default(),
            in_flight: 0,
            timed: SmallVec::new(),
            strikes: 0,
            heard: now,
            queue_until: Moment::default(),
            ejection: None,
            ejected_for: 0,
            back_at: None,
            last_read: now,
        }
    }

    /// Sets how the way to it is and gives back how it was. With a connection goes all that was learnt over it:
    /// what was asked there will not be answered, and behind the next one may be another process.
    pub(super) fn set_link(&mut self, link: Link, now: Moment) -> Link {
        let before = core::mem::replace(&mut self.link, link);
        if link == Link::Down {
            *self = Self {
                link,
                ..Self::new(now)
            };
        }
        before
    }

    /// Whether a frame to it would be sent.
    pub(super) fn reachable(&self) -> bool {
        self.link != Link::Down
    }

    /// A request goes out. The first after an ejection's time finds out whether the node is back.
    pub(super) fn sent(&mut self, id: u64, asked: Asked, now: Moment) {
        self.in_flight = self.in_flight.saturating_add(1);
        match asked {
            Asked::Other => return,
            Asked::Read => self.last_read = now,
            Asked::Write => {}
        }
        if let Some(ejection) = &mut self.ejection
            && !ejection.probing
            && ejection.until <= now
        {
            ejection.probing = true;
            self.timed.truncate(TIMED - 1); // a probe is timed in any case
        }
        if self.timed.len() < TIMED {
            self.timed.push(Timed {
                id,
                asked,
                sent: now,
                overdue_after: self.delay(asked).p95().unwrap_or(0),
                struck: false,
            });
        }
    }

    /// A request did not go out after all.
    pub(super) fn unsent(&mut self, id: u64) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if let Some(timed) = self.take_timed(id) {
            self.ask_again(timed.sent);
        }
    }

    /// An answer came; true if it is one too many of those by which a node serves nobody.
    pub(super) fn answered(&mut self, id: u64, answer: Answer, now: Moment) -> bool {
        self.in_flight = self.in_flight.saturating_sub(1);
        let timed = self.take_timed(id);
        match (answer, timed) {
            (Answer::Served, Some(timed)) => {
                self.delay_mut(timed.asked).learn(now.since(timed.sent));
            }
            (Answer::Overloaded { queue_ms }, _) => {
                let micros = u64::from(queue_ms).saturating_mul(1_000);
                self.queue_until = now.after(micros.min(LONGEST_QUEUE));
            }
            (Answer::Expired, Some(timed)) => {
                self.delay_mut(timed.asked).learn(now.since(timed.sent));
                self.ask_again(timed.sent);
                return false;
            }
            (Answer::Expired, None) => return false,
            (Answer::Unfit, _) => return self.strike(timed.map_or(now, |timed| timed.sent), now),
            (Answer::Served | Answer::Refused, _) => {}
        }
        self.heard = now;
        self.recover(now);
        false
    }

    /// Looks for answers that are overdue; true if that ejects the node.
    pub(super) fn look(&mut self, hedge_all_after: u64, now: Moment) -> bool {
        let mut ejected = false;
        let talks = now.since(self.heard) < hedge_all_after;
        for index in 0..self.timed.len() {
            let mut timed = self.timed[index];
            let waited = now.since(timed.sent);
            if waited < timed.overdue_after.max(hedge_all_after).min(LOST) {
                continue;
            }
            if talks && timed.asked == Asked::Write {
                continue; // its disk is behind
            }
            self.delay_mut(timed.asked).learn(waited);
            if !timed.struck {
                ejected |= self.strike(timed.sent, now);
            }
            timed.struck = true;
            timed.overdue_after = waited.saturating_mul(2);
            self.timed[index] = timed;
        }
        let lost = |timed: &Timed| now.since(timed.sent) >= LOST;
        self.timed.retain(|timed| !lost(timed));
        ejected
    }

    /// Whether reads are to be spared it as long as others will do.
    pub(super) const fn is_ejected(&self) -> bool {
        self.ejection.is_some()
    }

    /// Whether its time is over and nobody has asked it since.
    pub(super) fn wants_probe(&self, now: Moment) -> bool {
        let due = |ejection: &Ejection| !ejection.probing && ejection.until <= now;
        self.reachable() && self.ejection.as_ref().is_some_and(due)
    }

    /// Whether it serves, and was not asked to read for so long that it may have become quicker.
    pub(super) fn is_forgotten(&self, since: u64, now: Moment) -> bool {
        self.link == Link::Up && !self.is_ejected() && now.since(self.last_read) >= since
    }

    /// Whether one more request there is likely to help.
    pub(super) fn can_help(&self, now: Moment) -> bool {
        self.reachable() && !self.is_ejected() && self.queue_until <= now
    }

    /// How long a read takes there on average, in microseconds.
    pub(super) fn read_mean(&self) -> u64 {
        self.reads.mean().unwrap_or(UNKNOWN_DELAY)
    }

    /// The same, if it has answered a read.
    pub(super) fn known_mean(&self) -> Option<u64> {
        self.reads.mean()
    }

    /// How long 19 of 20 reads take at most, by estimate, in microseconds.
    pub(super) fn read_p95(&self) -> Option<u64> {
        self.reads.p95()
    }

    /// What asking it to read costs.
    pub(super) fn cost(&self, now: Moment) -> Cost {
        let in_line = u64::from(self.in_flight) + 1;
        let micros = self.read_mean().max(1).saturating_mul(in_line);
        Cost {
            unreachable: !self.reachable(),
            ejected: self.is_ejected(),
            micros: micros.saturating_add(self.queue_until.since(now)),
        }
    }

    /// How many requests it has not answered.
    pub(super) const fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// It did not serve a request sent at `sent`; true if it is ejected for that. While it is ejected, only
    /// what was sent after its time counts.
    fn strike(&mut self, sent: Moment, now: Moment) -> bool {
        self.strikes = self.strikes.saturating_add(1);
        let eject = match &self.ejection {
            None => self.strikes >= STRIKES,
            Some(ejection) => sent >= ejection.until,
        };
        if eject {
            self.eject(now);
        }
        eject
    }

    /// Ejects it: for twice as long as the last time if that is not long past.
    fn eject(&mut self, now: Moment) {
        let lately = |back: Moment| now.since(back) < self.ejected_for;
        let again = self.ejection.is_some() || self.back_at.is_some_and(lately);
        self.ejected_for = if again {
            (self.ejected_for * 2).min(LONGEST_EJECTION)
        } else {
            FIRST_EJECTION
        };
        self.ejection = Some(Ejection {
            until: now.after(self.ejected_for),
            probing: false,
        });
    }

    /// A request sent at `sent` says nothing: if it was the probe, another is wanted.
    fn ask_again(&mut self, sent: Moment) {
        if let Some(ejection) = &mut self.ejection
            && sent >= ejection.until
        {
            ejection.probing = false;
        }
    }

    /// It answers.
    const fn recover(&mut self, now: Moment) {
        self.strikes = 0;
        if self.ejection.take().is_some() {
            self.back_at = Some(now);
        }
    }

    fn take_timed(&mut self, id: u64) -> Option<Timed> {
        let index = self.timed.iter().position(|timed| timed.id == id)?;
        Some(self.timed.swap_remove(index))
    }

    const fn delay(&self, asked: Asked) -> Delay {
        match asked {
            Asked::Write => self.writes,
            Asked::Read | Asked::Other => self.reads,
        }
    }

    const fn delay_mut(&mut self, asked: Asked) -> &mut Delay {
        match asked {
            Asked::Write => &mut self.writes,
            Asked::Read | Asked::Other => &mut self.reads,
        }
    }
}
