//! How the LSM tree is set up, and why.
//!
//! ```text
//!   memory (256 MiB) --+-- 3/16  row cache, in front of the engine              48 MiB
//!                      +-- 1/8   block cache                                    32 MiB
//!                      +-- 1/16  one memtable of records, up to five at once    16 .. 80 MiB
//!                      +-- 1/64  one memtable of every other keyspace            4 .. 20 MiB each
//!                      |         (both less by up to two fifths, each node's by another part)
//!                      '-- rest  filters, pinned indexes, compaction, and headroom
//! ```
//!
//! Five at once: one taking writes, three waiting, one being flushed; with four waiting, writers sleep. In
//! practice one or two are alive. A keyspace's options are fixed when it is created: a changed `memory` affects
//! only the caches of an existing directory.

use std::path::Path;

use fjall::config::{
    BlockSizePolicy, BloomConstructionPolicy, CompressionPolicy, FilterPolicy, FilterPolicyEntry,
};
use fjall::{CompressionType, Database, DatabaseBuilder, KeyspaceCreateOptions};

use super::{EngineError, Keyspace};

const MIB: u64 = 1 << 20;

/// The least [`EngineOptions::memory`], 32 MiB.
pub const LEAST_MEMORY: u64 = 32 * MIB;

/// Bytes of closed journals above which the keyspaces that pin the oldest one are flushed. That is two or three
/// journals, and a restart replays at most these (about 30 MB/s for small values).
const JOURNALS: u64 = 128 * MIB;

/// How an engine on disk uses the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineOptions {
    /// Bytes of memory to aim at, at least [`LEAST_MEMORY`]. Default 256 MiB.
    ///
    /// More means fewer reads from disk and fewer, larger files to merge; less means a smaller process and a
    /// quicker restart. A directory keeps the memtable share it was created with.
    pub memory: u64,
    /// Threads that flush and merge tables, 1 to 3 (clamped). Default 2. With one, nothing is flushed while a merge
    /// runs, and memtables grow without bound: to gigabytes at ten million keys. Of several, fjall's first one never
    /// merges; it polls the queue of waiting merges instead, which takes about a twentieth of a core under writes.
    /// A third helps only with spare cores.
    pub workers: usize,
    /// A number unique to the node. Default 0.
    ///
    /// Replicas take the same writes, so memtables of equal size would fill at the same moment everywhere, and
    /// whole quorums would wait for the flushes together. Each node's memtables are smaller by a fraction that this
    /// number chooses, up to two fifths; fixed when the directory is made.
    pub phase: u128,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            memory: 256 * MIB,
            workers: 2,
            phase: 0,
        }
    }
}

impl EngineOptions {
    /// The share of `memory` for a [`RowCache`](super::RowCache) in front of the engine, in bytes.
    #[must_use]
    pub const fn rows(&self) -> u64 {
        self.memory * 3 / 16
    }

    /// Refuses what cannot work.
    pub(super) const fn check(&self) -> Result<(), EngineError> {
        let (given, least) = (self.memory, LEAST_MEMORY);
        if given < least {
            return Err(EngineError::Memory { given, least });
        }
        Ok(())
    }

    /// The database in `directory`, ready to be opened.
    pub(super) fn database(&self, directory: &Path) -> DatabaseBuilder<Database> {
        Database::builder(directory)
            .cache_size(self.memory / 8)
            .max_journaling_size(JOURNALS)
            .worker_threads(self.workers.clamp(1, 3))
    }

    /// How `keyspace` is created.
    pub(super) fn keyspace(&self, keyspace: Keyspace) -> KeyspaceCreateOptions {
        let options = KeyspaceCreateOptions::default()
            .max_memtable_size(self.memtable(keyspace))
            // The two youngest levels are soon rewritten; LZ4 below halves text for little of a read.
            .data_block_compression_policy(CompressionPolicy::new([
                CompressionType::None,
                CompressionType::None,
                CompressionType::Lz4,
            ]));
        if is_walked(keyspace) {
            options
                // Read in order only: larger blocks compress the shared prefixes better.
                .data_block_size_policy(BlockSizePolicy::all(16 * 1024))
                // Never asked for one key, so a filter would be memory for nothing.
                .filter_policy(FilterPolicy::disabled())
        } else {
            options
                // One page of the disk per cold read, 4 to 40 records of 100 B to 1 KiB.
                .data_block_size_policy(BlockSizePolicy::all(4 * 1024))
                // A put of a new key reads first and finds nothing: keep a filter on every level, the
                // last included; 10 bits a key let 1 in 100 misses through.
                .filter_policy(FilterPolicy::new([
                    FilterPolicyEntry::Bloom(BloomConstructionPolicy::FalsePositiveRate(0.0001)),
                    FilterPolicyEntry::Bloom(BloomConstructionPolicy::BitsPerKey(10.0)),
                ]))
                .expect_point_read_hits(false)
        }
    }

    fn memtable(&self, keyspace: Keyspace) -> u64 {
        let most = match keyspace {
            Keyspace::Records => (self.memory / 16).min(64 * MIB),
            _ => (self.memory / 64).min(16 * MIB),
        };
        let less = u64::try_from(self.phase % 65).unwrap_or(0);
        most / 160 * (160 - less)
    }
}

/// Whether a keyspace is only walked in order, and never asked for one key.
const fn is_walked(keyspace: Keyspace) -> bool {
    matches!(
        keyspace,
        Keyspace::Leaves | Keyspace::Expiry | Keyspace::Graves
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_of_different_phases_have_memtables_of_different_sizes() {
        let size = |phase| {
            let options = EngineOptions {
                phase,
                ..EngineOptions::default()
            };
            options.memtable(Keyspace::Records)
        };
        let sizes: std::collections::BTreeSet<_> = (0..65).map(size).collect();
        assert_eq!(sizes.len(), 65);
        assert!(sizes.first() >= Some(&(9 * MIB)) && sizes.last() <= Some(&(16 * MIB)));
    }
}
