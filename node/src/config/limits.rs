//! The bounds on writes, out of a node's settings.

use quoit_ring::wire::{MAX_FRAME, MAX_KEY};

use super::Config;

/// Most intervals that a key's record may have seen after a client's put: one for each incarnation of a client that
/// has written the key with a context since the last put without one. At the bound a record is read and joined in
/// about the time that one of `max_record_bytes` takes to be written.
pub const MAX_INTERVALS: usize = 1 << 16;
/// Bytes of a frame beside key and record, at most.
const HEAD: usize = 1024;

/// Bounds on writes. Units and reasons are documented at [`Config`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest value, in bytes.
    pub max_value_bytes: usize,
    /// Most siblings of a key.
    pub max_siblings: usize,
    /// Most intervals that a record may have seen: no setting, [`MAX_INTERVALS`] on every node.
    pub max_intervals: usize,
    /// Most bytes of a record.
    pub max_record_bytes: usize,
    /// Oldest put, in milliseconds.
    pub max_write_age_ms: u64,
    /// How far a stamp may be ahead of wall time, in milliseconds.
    pub max_clock_drift_ms: u64,
    /// Most bytes of hints, for all nodes together.
    pub max_hint_bytes: u64,
    /// Most bytes of hints for one node.
    pub max_hint_bytes_per_node: u64,
    /// Bytes of the disk that are kept for writes which remove something.
    pub disk_reserve: u64,
}

impl From<&Config> for Limits {
    fn from(config: &Config) -> Self {
        Self {
            max_value_bytes: config.max_value_bytes,
            max_siblings: config.max_siblings,
            max_intervals: MAX_INTERVALS,
            max_record_bytes: config.record_bytes(),
            max_write_age_ms: config.max_write_age_ms,
            max_clock_drift_ms: config.max_clock_drift_ms,
            max_hint_bytes: config.max_hint_bytes,
            max_hint_bytes_per_node: config.max_hint_bytes_per_node,
            disk_reserve: config.disk_reserve,
        }
    }
}

impl Limits {
    /// Most bytes that a record may have after a repair: what `copies` replicas hold together that all filled up, as
    /// far as that fits into a frame.
    #[must_use]
    pub const fn merged_record_bytes(&self, copies: usize) -> usize {
        let (merged, most) = (
            self.max_record_bytes.saturating_mul(copies),
            MAX_FRAME - MAX_KEY - HEAD,
        );
        if merged < most { merged } else { most }
    }

    /// The longest frame that a node with these limits handles: a repair of the largest record.
    #[must_use]
    pub const fn max_frame(&self, copies: usize) -> usize {
        self.merged_record_bytes(copies) + MAX_KEY + HEAD
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_all_replicas_records_have_become_together_fits_one_frame() {
        let limits = |max_record_bytes| Limits {
            max_record_bytes,
            ..crate::testing::LIMITS
        };
        let record = 4 << 20;
        for copies in 1..=7 {
            assert_eq!(limits(record).merged_record_bytes(copies), copies * record);
            assert!(limits(record).max_frame(copies) >= copies * record + MAX_KEY);
        }
        assert_eq!(
            limits(64 << 20).max_frame(7),
            MAX_FRAME,
            "within what any frame may be"
        );
        assert_eq!(limits(usize::MAX).max_frame(3), MAX_FRAME);
    }
}
