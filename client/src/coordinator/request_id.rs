//! What a request's id says.
//!
//! ```text
//!   generation u28 | attempt u8 | slot u20 | purpose u1 | replica u7
//! ```
//!
//! A node gives the id back with its answer, and so need not be remembered who was asked what. The key names
//! the operation for ever; attempt, replica and purpose say which of its requests the answer is to. A probe belongs to no
//! operation: its slot is the last one, which none ever has.

use crate::coordinator::slab::{GENERATIONS, Key};

/// The slot of probes. An operation would have it if there were 2^20 under way.
const PROBE_SLOT: u32 = 0xf_ffff;

/// Attempts that an id tells apart.
pub(crate) const MAX_ATTEMPTS: u8 = u8::MAX;

/// Most places of one operation: its replicas, and those asked to keep a write for them.
pub(crate) const MAX_REPLICAS: usize = 1 << 7;

/// What a request was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Ask,
    Repair,
}

/// One request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RequestId {
    /// Below 2^20 slots: there are no more than operations under way.
    pub(crate) key: Key,
    /// Below [`MAX_ATTEMPTS`].
    pub(crate) attempt: u8,
    /// Below 128.
    pub(crate) replica: usize,
    pub(crate) purpose: Purpose,
}

impl RequestId {
    /// The id of a probe; `count` makes it unique.
    pub(crate) const fn probe(count: u64) -> Self {
        let [g0, g1, g2, g3, ..] = count.to_le_bytes();
        Self {
            key: Key {
                slot: PROBE_SLOT,
                generation: u32::from_le_bytes([g0, g1, g2, g3]) & GENERATIONS,
            },
            attempt: 0,
            replica: 0,
            purpose: Purpose::Ask,
        }
    }

    /// Whether it is a request of this attempt to this replica; with a purpose, one for that.
    pub(crate) fn is_for(&self, attempt: u8, replica: usize, purpose: Option<Purpose>) -> bool {
        self.attempt == attempt
            && self.replica == replica
            && purpose.is_none_or(|purpose| self.purpose == purpose)
    }
}

impl From<RequestId> for u64 {
    fn from(id: RequestId) -> Self {
        let purpose = Self::from(id.purpose == Purpose::Repair);
        let low = (id.replica as Self & 0x7f) | purpose << 7;
        let slot = Self::from(id.key.slot) & 0xf_ffff;
        let generation = Self::from(id.key.generation & GENERATIONS);
        generation << 36 | Self::from(id.attempt) << 28 | slot << 8 | low
    }
}

impl From<u64> for RequestId {
    fn from(id: u64) -> Self {
        let [low, s0, s1, s2, a, g @ ..] = id.to_le_bytes();
        let key = Key {
            slot: u32::from_le_bytes([s0, s1, s2 & 0xf, 0]),
            generation: u32::from_le_bytes([a, g[0], g[1], g[2]]) >> 4,
        };
        let purpose = if low & 0x80 == 0 {
            Purpose::Ask
        } else {
            Purpose::Repair
        };
        Self {
            key,
            attempt: s2 >> 4 | a << 4,
            replica: usize::from(low & 0x7f),
            purpose,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_requests_id_says_what_it_was_made_of() {
        let id = RequestId {
            key: Key {
                slot: 0xf_fffe,
                generation: 0xead_beef,
            },
            attempt: 0x9a,
            replica: 5,
            purpose: Purpose::Repair,
        };
        assert_eq!(RequestId::from(u64::from(id)), id);
        let probe = RequestId::probe(7);
        assert_eq!(RequestId::from(u64::from(probe)), probe);
    }
}
