//! The bounds on writes, out of a node's settings.

use super::Config;

/// Bounds on writes. Units and reasons are documented at [`Config`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest value, in bytes.
    pub max_value_bytes: usize,
    /// Most siblings of a key.
    pub max_siblings: usize,
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
}

impl From<&Config> for Limits {
    fn from(config: &Config) -> Self {
        Self {
            max_value_bytes: config.max_value_bytes,
            max_siblings: config.max_siblings,
            max_record_bytes: config.record_bytes(),
            max_write_age_ms: config.max_write_age_ms,
            max_clock_drift_ms: config.max_clock_drift_ms,
            max_hint_bytes: config.max_hint_bytes,
            max_hint_bytes_per_node: config.max_hint_bytes_per_node,
        }
    }
}
