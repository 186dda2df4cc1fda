//! Space on the disk: how much must be left for the engine to go on.
//!
//! ```text
//!   free  >=  memtables          still to be written out
//!           + tables, to 1 GiB   a merge writes its result before it drops what it merged
//!           + 2 x the batch      once in the journal, once in a table
//!           + 16 MiB             journals' ends, manifests, what others write
//! ```
//!
//! An engine whose disk is full has failed for good: a write that did not reach the disk is one failure, but so
//! is a merge. So writes are refused while there is still room for all that is under way; then
//! reads go on, and writes again once there is room. Source: how leveled merges choose tables (one of 64 MiB
//! with the ten below it that overlap), hence the 1 GiB.
//!
//! Left out: whatever else fills the disk between two looks. That fails the engine as before.

use std::path::Path;

const MIB: u64 = 1 << 20;
/// What must be left beside what is known to be needed.
pub(super) const SLACK: u64 = 16 * MIB;
/// The most that a merge needs.
const MERGE: u64 = 1024 * MIB;

/// How much must be free to take a batch of `batch` bytes.
pub(super) fn needed(memtables: u64, tables: u64, batch: u64) -> u64 {
    memtables
        .saturating_add(tables.min(MERGE))
        .saturating_add(batch.saturating_mul(2))
        .saturating_add(SLACK)
}

/// Bytes free for this process on the disk of `path`; `None` where that cannot be read.
#[cfg(unix)]
pub(super) fn free(path: &Path) -> Option<u64> {
    match rustix::fs::statvfs(path) {
        Ok(disk) => Some(disk.f_bavail.saturating_mul(disk.f_frsize)),
        Err(error) => {
            tracing::debug!(%error, "the free space of the disk cannot be read");
            None
        }
    }
}

/// Bytes free for this process on the disk of `path`; `None` where that cannot be read.
#[cfg(not(unix))]
pub(super) fn free(_path: &Path) -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_store_needs_room_for_all_of_it_and_a_large_one_for_a_merge() {
        assert_eq!(needed(0, 0, 0), 16 * MIB);
        assert_eq!(needed(10 * MIB, 20 * MIB, 4 * MIB), 54 * MIB);
        assert_eq!(needed(0, u64::MAX, 0), 1040 * MIB);
        assert_eq!(needed(u64::MAX, 0, u64::MAX), u64::MAX);
    }

    #[cfg(unix)]
    #[test]
    fn the_free_space_of_a_disk_is_read() {
        let folder = tempfile::tempdir().unwrap();
        assert!(free(folder.path()).is_some_and(|free| free > 0));
        assert_eq!(free(&folder.path().join("absent")), None);
    }
}
