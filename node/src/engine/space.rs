//! Disk space: how much must be free for the engine to go on.
//!
//! ```text
//!   needed  =  memtables          still to be written out
//!            + tables, to 1 GiB   a merge writes its result before it drops its inputs; memtables will be tables
//!            + 16 MiB             ends of journals, manifests, other programs
//! ```
//!
//! A full disk fails the engine for good, whether a commit meets it or a merge. So writes are refused while there is
//! still space for all work under way; which ones, and when, is decided in [`storage`](crate::storage).
//!
//! Left out: other programs that fill the disk between two checks, which fails the engine.
//!
//! Source: leveled compaction, which merges one table of 64 MiB with about ten of the level below: hence the 1 GiB.

use std::path::Path;

const MIB: u64 = 1 << 20;
/// Free bytes beyond the known needs.
pub(super) const SLACK: u64 = 16 * MIB;
/// Most bytes that a merge needs.
const MERGE: u64 = 1024 * MIB;

/// How much must be free for the work under way.
pub(super) fn needed(memtables: u64, tables: u64) -> u64 {
    // What is written out takes space and is merged later: counted twice, so that a flush changes nothing in what is
    // left, and takes nothing from a reserve.
    memtables
        .saturating_add(tables.saturating_add(memtables).min(MERGE))
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
        assert_eq!(needed(0, 0), 16 * MIB);
        assert_eq!(needed(10 * MIB, 20 * MIB), 56 * MIB);
        assert_eq!(needed(0, u64::MAX), 1040 * MIB);
        assert_eq!(needed(u64::MAX, u64::MAX), u64::MAX);
        let flushed = needed(0, 30 * MIB) + 10 * MIB;
        assert_eq!(
            needed(10 * MIB, 20 * MIB),
            flushed,
            "a flush changes nothing"
        );
    }

    #[cfg(unix)]
    #[test]
    fn the_free_space_of_a_disk_is_read() {
        let folder = tempfile::tempdir().unwrap();
        assert!(free(folder.path()).is_some_and(|free| free > 0));
        assert_eq!(free(&folder.path().join("absent")), None);
    }
}
