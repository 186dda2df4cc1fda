//! One node, as a client sees it: its delays, its unanswered requests, and whether it is ejected.
//!
//! ```text
//!                three strikes in a row                  ejection time over
//!     serving ------------------------------> ejected -------------------> on probation
//!        ^                                       ^                              |
//!        |                                       | no answer: twice as long     | one request
//!        |                                       +------------------------------+ probes it
//!        +---------------------------- any answer ------------------------------+
//! ```
//!
//! A *strike* is an overdue request, or an answer that says that the node cannot serve any request: it is stopping,
//! not ready, or its disk failed. Any other answer resets the count. An overloaded node answers, so it is never
//! ejected; the queue that it reports is added to its delay until it would have drained.
//!
//! Up to eight requests are timed at once, as TCP times one segment: enough samples, and a linear search finds the
//! request of an answer. An unanswered request counts as delay while it lasts. A late answer is a sample even if its
//! operation no longer waits for it.
//!
//! Source: outlier ejection as in Envoy; Karn and Partridge (1987): never time an answer that could belong to another
//! request. Here each request has its own id.

use quoit_ring::Moment;
use smallvec::SmallVec;

use crate::env::Link;
use crate::health::delay::Delay;
use crate::health::{Answer, Asked};

/// Strikes in a row that eject a node. One may be a lost request. At a node that died under load three are overdue at
/// once, and under little load within half a second.
const STRIKES: u8 = 3;
/// The first ejection of a node, in microseconds: twice the default `hedge_all_after`. Hedges cover a shorter pause.
const FIRST_EJECTION: u64 = 200_000;
/// The longest ejection, in microseconds. Longer leaves a recovered node idle, shorter sends more probes to a dead one;
/// a probe in five seconds costs little.
const LONGEST_EJECTION: u64 = 5_000_000;
/// Most requests timed at once.
const TIMED: usize = 8;
/// A request is overdue after this at the latest, in microseconds, however slow its node is. It is dropped then, since
/// it would take the slot of a newer sample.
const LOST: u64 = 1_000_000;
/// The assumed delay of a node that never answered a read, in microseconds: above a neighbour's, so that known quick
/// nodes are asked first; low enough that it is tried when those are busy.
const UNKNOWN_DELAY: u64 = 1_000;
/// Cap on a reported queue, in microseconds.
const LONGEST_QUEUE: u64 = 5_000_000;

/// A request under way whose answer is timed.
#[derive(Debug, Clone, Copy)]
struct Timed {
    id: u64,
    asked: Asked,
    sent: Moment,
    /// Overdue after this many microseconds; doubles each time it is.
    overdue_after: u64,
    struck: bool,
}

/// An ejection under way.
#[derive(Debug, Clone, Copy)]
struct Ejection {
    until: Moment,
    /// Whether a request sent after `until` is under way.
    probing: bool,
}

/// The cost of a read at a node; compared field by field, the cheapest is asked first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Cost {
    unreachable: bool,
    ejected: bool,
    /// Its mean delay times the requests in flight, this one included, plus the queue that it reported.
    micros: u64,
}

impl Cost {
    /// Of a node that no request went to.
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
    /// A node without any sample.
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

    /// Sets the state of the link and returns the one before. A broken link drops all samples: its requests will not be
    /// answered, and the next connection may reach another process.
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

    /// A request goes out. The first one after an ejection's time is the probe.
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
            self.timed.truncate(TIMED - 1); // a slot for the probe, which must be timed
        }

        // A node that is behind is asked again under the same id, maybe while the answer to the first request is under way.
        let is_timed = self.timed.iter().any(|timed| timed.id == id);
        if self.timed.len() < TIMED && !is_timed {
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

    /// An answer came; true if it ejects the node.
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

    /// Looks for overdue requests; true if that ejects the node.
    pub(super) fn look(&mut self, hedge_all_after: u64, now: Moment) -> bool {
        let mut ejected = false;
        let talks = now.since(self.heard) < hedge_all_after;

        for index in 0..self.timed.len() {
            let mut timed = self.timed[index];
            let waited = now.since(timed.sent);
            if waited < timed.overdue_after.max(hedge_all_after).min(LOST) {
                continue;
            }
            // A node that answers other requests meanwhile is alive, and only its disk is slow: no strike, since it
            // serves reads as well as ever.
            if talks && timed.asked == Asked::Write {
                continue;
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

    /// Whether reads ask it last.
    pub(super) const fn is_ejected(&self) -> bool {
        self.ejection.is_some()
    }

    /// Whether its ejection is over and no probe is under way.
    pub(super) fn wants_probe(&self, now: Moment) -> bool {
        let due = |ejection: &Ejection| !ejection.probing && ejection.until <= now;
        self.reachable() && self.ejection.as_ref().is_some_and(due)
    }

    /// Whether it serves and got no read for `since` microseconds, so that its delay may be out of date.
    pub(super) fn is_forgotten(&self, since: u64, now: Moment) -> bool {
        self.link == Link::Up && !self.is_ejected() && now.since(self.last_read) >= since
    }

    /// Whether a hedge to it is likely to help.
    pub(super) fn can_help(&self, now: Moment) -> bool {
        self.reachable() && !self.is_ejected() && self.queue_until <= now
    }

    /// Mean delay of its reads, in microseconds; an assumption before the first.
    pub(super) fn read_mean(&self) -> u64 {
        self.reads.mean().unwrap_or(UNKNOWN_DELAY)
    }

    /// The same; `None` before the first.
    pub(super) fn known_mean(&self) -> Option<u64> {
        self.reads.mean()
    }

    /// Estimated p95 of its reads, in microseconds; `None` before the first.
    pub(super) fn read_p95(&self) -> Option<u64> {
        self.reads.p95()
    }

    /// The cost of a read there.
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

    /// It did not serve a request sent at `sent`; true if that ejects it. While it is ejected, only requests sent after
    /// the ejection's time count.
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

    /// Ejects it: for twice as long as the last time, if that was recent.
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

    /// A request sent at `sent` gave no evidence: if it was the probe, another is needed.
    fn ask_again(&mut self, sent: Moment) {
        if let Some(ejection) = &mut self.ejection
            && sent >= ejection.until
        {
            ejection.probing = false;
        }
    }

    /// It answered: the strikes are reset and an ejection ends.
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
