//! Which handshakes are begun: strangers cost memory and cryptography before anything is known of them. Pure.
//!
//! ```text
//!   first packet --> address proven by a Retry? --no--> few unproven ones under way? --yes--> begin
//!                               |                                   '--no--> Retry
//!                              yes --> its source within its bounds, and all within theirs? --> begin
//!                                            '--no--> give up the oldest one over a second old, else refuse
//! ```
//!
//! A **source** is an IPv4 address or an IPv6 /64, which is what one host commonly has. An unproven address can be
//! anyone's, so packets from it count against no source: whoever forges a client's address cannot use up its part.
//! A forger never sees the Retry; what answers it is really there, and pays from its own part.
//!
//! | bound | worth |
//! | --- | ---: |
//! | [`UNPROVEN`] under way, [`UNPROVEN_PACE`] | 32, and 200 a second |
//! | [`PER_SOURCE`] under way, [`SOURCE_PACE`] | 64, and 100 a second |
//! | [`TOTAL`] under way | 256 |
//! | [`MAX_SOURCES`] remembered | 4,096 |
//!
//! Honest handshakes end within a round trip or two, hostile ones stand until their deadline. So at a bound the oldest
//! goes, if it is older than a client waits ([`STALE`]); nobody keeps others out by standing still.
//!
//! Invariants: never more than [`TOTAL`] under way; what is remembered of a source ends when it has none under way and
//! its pace is made up for. Left out: packets, tasks, and connections that have their certificate, which are `seats`'.
//!
//! Source: RFC 9000, section 8.1 (Retry); Bernstein, *SYN cookies* (1996), for keeping nothing of the unproven.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use quoit_ring::Moment;

/// Handshakes under way with unproven addresses above which an address is proven first. Below it a client is spared a
/// round trip.
const UNPROVEN: usize = 32;
/// Handshakes under way with one source.
const PER_SOURCE: usize = 64;
/// Handshakes under way.
pub(super) const TOTAL: usize = 256;
/// Sources remembered.
const MAX_SOURCES: usize = 4096;
/// Age above which a handshake may be given up for another: a client gives up its own attempt after as long.
const STALE: Duration = Duration::from_secs(1);
/// How often handshakes may begin at unproven addresses: every 5 ms, 64 at once.
const UNPROVEN_PACE: Pace = Pace::new(5, 64);
/// How often they may at one source: every 10 ms, 128 at once. One costs up to 0.8 ms of processor time.
const SOURCE_PACE: Pace = Pace::new(10, 128);

/// Names a handshake under way; later ones are larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct HandshakeId(u64);

/// Where the first packet of a handshake came from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin {
    pub(super) address: IpAddr,
    /// Its sender has answered a Retry, so it receives what is sent there.
    pub(super) proven: bool,
}

/// What is to be done with a first packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    /// Begin; report its end by [`Handshakes::over`].
    Begin(HandshakeId),
    /// Give up the second, which is over by that, and begin the first.
    BeginInsteadOf(HandshakeId, HandshakeId),
    /// Have its sender prove that it receives what is sent to its address.
    Retry,
    /// Refuse it; its sender may come again.
    Refuse(Refused),
}

/// Why a handshake is not begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// Too many are under way from its source.
    SourceFull,
    /// Its source begins them too quickly.
    SourceTooQuick,
    /// Too many are under way, or from too many sources.
    NodeFull,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SourceFull => write!(f, "{PER_SOURCE} are under way from its address"),
            Self::SourceTooQuick => f.write_str("its address begins too many a second"),
            Self::NodeFull => write!(f, "{TOTAL} are under way"),
        }
    }
}

/// The handshakes under way.
#[derive(Debug, Default)]
pub(super) struct Handshakes {
    under_way: BTreeMap<HandshakeId, UnderWay>,
    sources: BTreeMap<Source, Counted>,
    unproven: Counted,
    next: u64,
}

#[derive(Debug, Clone, Copy)]
struct UnderWay {
    /// `None` if unproven.
    source: Option<Source>,
    began: Moment,
}

/// Handshakes that share a bound.
#[derive(Debug, Clone, Copy, Default)]
struct Counted {
    under_way: usize,
    /// When all that has begun is made up for.
    made_up: Moment,
}

impl Handshakes {
    /// Decides on a first packet that came just now.
    pub(super) fn decide(&mut self, from: Origin, now: Moment) -> Decision {
        if !from.proven {
            return self.unproven(now);
        }
        let source = Source::of(from.address);
        if !self.remembers(source, now) {
            return Decision::Refuse(Refused::NodeFull);
        }

        let counted = self.sources.entry(source).or_default();
        if !SOURCE_PACE.permits(counted.made_up, now) {
            return Decision::Refuse(Refused::SourceTooQuick);
        }
        if counted.under_way >= PER_SOURCE {
            return match self.stale(Some(source), now) {
                Some(stale) => self.replace(stale, source, now),
                None => Decision::Refuse(Refused::SourceFull),
            };
        }
        if self.under_way.len() >= TOTAL {
            return match self.stale(None, now) {
                Some(stale) => self.replace(stale, source, now),
                None => Decision::Refuse(Refused::NodeFull),
            };
        }
        Decision::Begin(self.begin(Some(source), now))
    }

    /// A handshake has ended, however it did. One that was given up is over already.
    pub(super) fn over(&mut self, id: HandshakeId) {
        let Some(ended) = self.under_way.remove(&id) else {
            return;
        };
        let Some(source) = ended.source else {
            self.unproven.under_way -= 1;
            return;
        };
        if let Some(counted) = self.sources.get_mut(&source) {
            counted.under_way -= 1;
        }
    }

    /// Whatever begins here without proof leaves half of the handshakes to those with it.
    fn unproven(&mut self, now: Moment) -> Decision {
        let few = self.unproven.under_way < UNPROVEN && self.under_way.len() < TOTAL / 2;
        if few && UNPROVEN_PACE.permits(self.unproven.made_up, now) {
            Decision::Begin(self.begin(None, now))
        } else {
            Decision::Retry
        }
    }

    fn replace(&mut self, stale: HandshakeId, source: Source, now: Moment) -> Decision {
        self.over(stale);
        Decision::BeginInsteadOf(self.begin(Some(source), now), stale)
    }

    fn begin(&mut self, source: Option<Source>, now: Moment) -> HandshakeId {
        let (counted, pace) = match source {
            Some(source) => (self.sources.entry(source).or_default(), SOURCE_PACE),
            None => (&mut self.unproven, UNPROVEN_PACE),
        };
        counted.under_way += 1;
        counted.made_up = pace.one_more(counted.made_up, now);

        let id = HandshakeId(self.next);
        self.next += 1;
        self.under_way.insert(id, UnderWay { source, began: now });
        debug_assert!(self.under_way.len() <= TOTAL, "handshakes are bounded");
        id
    }

    /// The oldest handshake, of one source or of all, if it may be given up.
    fn stale(&self, source: Option<Source>, now: Moment) -> Option<HandshakeId> {
        let mut candidates = self.under_way.iter();
        let (&id, oldest) =
            candidates.find(|(_, under_way)| source.is_none() || under_way.source == source)?;
        (now.saturating_since(oldest.began) >= STALE).then_some(id)
    }

    /// Whether `source` is remembered or can be; forgets those that need not be, once there are many.
    fn remembers(&mut self, source: Source, now: Moment) -> bool {
        if self.sources.len() >= MAX_SOURCES && !self.sources.contains_key(&source) {
            self.sources
                .retain(|_, counted| counted.under_way > 0 || counted.made_up > now);
        }
        self.sources.len() < MAX_SOURCES || self.sources.contains_key(&source)
    }
}

/// What one host commonly has: an IPv4 address, or the upper half of an IPv6 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    V4(u32),
    V6(u64),
}

impl Source {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.to_bits()),
            IpAddr::V6(address) => {
                let [a, b, c, d, e, f, g, h, ..] = address.octets();
                Self::V6(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
            }
        }
    }
}

/// How often something may happen: a bucket of tokens, kept as the time at which it is full again.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// Microseconds for each.
    each: u64,
    /// Microseconds for all that may happen at once.
    burst: u64,
}

impl Pace {
    const fn new(each_ms: u64, at_once: u64) -> Self {
        let each = each_ms * 1000;
        Self {
            each,
            burst: each * at_once,
        }
    }

    const fn permits(self, made_up: Moment, now: Moment) -> bool {
        made_up.since(now) + self.each <= self.burst
    }

    fn one_more(self, made_up: Moment, now: Moment) -> Moment {
        made_up.max(now).after(self.each)
    }
}

#[cfg(test)]
mod tests;
