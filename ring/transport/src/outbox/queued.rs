//! A request that waits to be written, and the deadline of its answer.
//!
//! ```text
//!   queued:  budget 5,000 ms      waits 1,200 ms      written:  budget 3,800 ms
//!                                 waits 5,000 ms      never written
//! ```
//!
//! A node knows only the budget in a request's frame, so the frame must carry what is left when it leaves, not what
//! was left when it was queued. If a node is slow to read, frames wait here and not there, and most of a deadline is
//! lost here. An expired request is not written: it would cost bandwidth, and work at a node that is behind already.
//!
//! A frame is encoded as it leaves. Until then it shares key and record with the operation that made it, and with
//! the same request to other nodes.
//!
//! Source: Huang et al., *Metastable Failures in the Wild* (2022): work for callers that have given up
//! keeps an overload going once its cause is gone.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use quoit_ring::wire::{LANE_FRAME, Request, RequestFrame};

/// Most bytes that a frame has beside its key and record; also what one takes in memory beside them.
pub(super) const AROUND: usize = 256;

/// One request on its way out.
#[derive(Debug, PartialEq, Eq)]
pub struct Queued {
    frame: RequestFrame,
    expires: Instant,
}

impl Queued {
    /// A request whose budget counts from `now`.
    pub(super) fn new(frame: RequestFrame, now: Instant) -> Self {
        let budget = Duration::from_millis(u64::from(frame.budget_ms));
        Self {
            frame,
            expires: now + budget,
        }
    }

    /// Its request's id.
    #[must_use]
    pub const fn id(&self) -> u64 {
        self.frame.id
    }

    /// An upper bound of the bytes it takes, here and on the wire.
    pub(crate) fn bytes(&self) -> usize {
        bytes(&self.frame.request)
    }

    /// Whether it may be refused: see [`is_optional`].
    pub(super) const fn is_optional(&self) -> bool {
        is_optional(&self.frame.request)
    }

    /// Whether its deadline has passed.
    pub(crate) fn is_expired(&self, now: Instant) -> bool {
        self.expires <= now
    }

    /// Whether it is too long for the lane.
    pub(super) fn is_large(&self) -> bool {
        let most = self.bytes();
        if most <= LANE_FRAME || most - AROUND > LANE_FRAME {
            return most > LANE_FRAME;
        }
        let mut encoded = BytesMut::with_capacity(most);
        self.frame.encode(&mut encoded); // a smaller budget never makes it longer
        encoded.len() > LANE_FRAME
    }

    /// Appends it as it leaves at `now`.
    pub(super) fn encode(mut self, now: Instant, out: &mut BytesMut) {
        let left = self.expires.saturating_duration_since(now);
        let whole = left + Duration::from_micros(999); // a millisecond that has begun counts
        self.frame.budget_ms = u32::try_from(whole.as_millis())
            .unwrap_or(u32::MAX)
            .min(self.frame.budget_ms);
        self.frame.encode(out);
    }

    /// The same in a buffer of its own.
    pub(crate) fn encoded(self, now: Instant) -> Bytes {
        let mut out = BytesMut::with_capacity(self.bytes());
        self.encode(now, &mut out);
        out.freeze()
    }
}

/// About how many bytes a request takes as a frame.
pub(super) const fn bytes(request: &Request) -> usize {
    AROUND + request.body_bytes()
}

/// Whether a request is a repair or a hint. Nothing is lost without one: another read finds the stale replica, and the
/// owner that missed a write gets it from repair.
pub(super) const fn is_optional(request: &Request) -> bool {
    matches!(request, Request::Repair { .. } | Request::Hint { .. })
}

/// The clock that measures how long requests wait. Tests give [`RequestOutbox::new`](super::RequestOutbox::new) one of
/// their own.
#[must_use]
pub fn clock() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use quoit_ring::Epoch;

    use super::*;

    fn queued(budget_ms: u32, now: Instant) -> Queued {
        let key = Bytes::from_static(b"key");
        let frame = RequestFrame {
            id: 7,
            epoch: Epoch(1),
            budget_ms,
            request: Request::Get { key, digest: true },
        };
        Queued::new(frame, now)
    }

    fn budget_after(budget_ms: u32, waited: Duration) -> u32 {
        let now = clock();
        let bytes = queued(budget_ms, now).encoded(now + waited);
        let frame = RequestFrame::decode(bytes.slice(4..)).unwrap();
        assert_eq!(frame.id, 7);
        frame.budget_ms
    }

    #[test]
    fn a_frame_says_what_is_left_when_it_leaves() {
        for (waited_us, left_ms) in [
            (0, 5_000),
            (1, 5_000),
            (1_000, 4_999),
            (1_200_000, 3_800),
            (4_999_001, 1),
            (5_000_000, 0),
            (9_000_000, 0),
        ] {
            assert_eq!(
                budget_after(5_000, Duration::from_micros(waited_us)),
                left_ms
            );
        }
        assert_eq!(budget_after(u32::MAX, Duration::ZERO), u32::MAX);
    }

    #[test]
    fn a_frame_expires_exactly_when_nothing_is_left() {
        let now = clock();
        let queued = queued(1, now);
        assert!(!queued.is_expired(now + Duration::from_micros(999)));
        assert!(queued.is_expired(now + Duration::from_micros(1_000)));
    }

    #[test]
    fn a_frame_never_takes_more_than_it_is_counted_for() {
        for bytes in [0, 1, 250, 32 << 10] {
            let (key, record) = (vec![1; bytes].into(), vec![2; bytes].into());
            let dot = quoit_ring::Dot {
                time: quoit_ring::Time(u64::MAX),
                actor: quoit_ring::Actor(u64::MAX),
            };
            let frame = RequestFrame {
                id: u64::MAX,
                epoch: Epoch(u64::MAX),
                budget_ms: u32::MAX,
                request: Request::Hint {
                    target: quoit_ring::NodeId(u64::MAX),
                    key,
                    dot,
                    record,
                },
            };
            let queued = Queued::new(frame, clock());
            let counted = queued.bytes();
            assert!(queued.encoded(clock()).len() <= counted);
        }
    }
}
