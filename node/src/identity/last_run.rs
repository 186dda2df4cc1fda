//! Whether the last run may have lost what it acknowledged: decided here and nowhere else.
//!
//! ```text
//!   how it ended      acknowledged        boot since then       lost
//!   in order          -                   -                     no: all was made durable
//!   without a stop    once synced         -                     no
//!   without a stop    from the cache      the same              no: the cache outlives a process
//!   without a stop    from the cache      another, or unknown   yes: its last writes may be
//! ```
//!
//! A run makes durable what it finds before it is marked as the last one, so only what it acknowledged itself can be lost
//! with it. Left out: what a node does that may have lost something; see `change::refill`.

use quoit_ring::wire::Durability;

use super::format::Left;
use crate::boot::BootId;

/// A run of a node on a directory, as the directory remembers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastRun {
    pub(super) left: Left,
    /// What its acknowledgements meant.
    pub(super) durability: Durability,
    /// The boot of its machine, if that was known.
    pub(super) boot: Option<BootId>,
}

impl LastRun {
    /// A run that is not over, or has ended without a stop.
    #[must_use]
    pub const fn running(durability: Durability, boot: Option<BootId>) -> Self {
        Self {
            left: Left::Running,
            durability,
            boot,
        }
    }

    /// Whether something that it acknowledged may be gone, at a node that starts in this boot.
    #[must_use]
    pub fn has_lost(&self, now: Option<BootId>) -> bool {
        let is_same_boot = self.boot.is_some() && self.boot == now;
        match (self.left, self.durability) {
            (Left::Clean | Left::Incomplete | Left::Removed, _)
            | (Left::Running, Durability::Fsync) => false,
            (Left::Running, Durability::Buffered) => !is_same_boot,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_buffered_run_that_ended_without_a_stop_in_another_boot_has_lost_something() {
        let boots = [None, Some(BootId(1)), Some(BootId(2))];
        let lefts = [Left::Running, Left::Clean, Left::Incomplete, Left::Removed];
        let durabilities = [Durability::Fsync, Durability::Buffered];
        let (mut cases, mut losses) = (0, Vec::new());
        for left in lefts {
            for durability in durabilities {
                for (boot, now) in boots.iter().flat_map(|it| boots.map(|now| (*it, now))) {
                    let run = LastRun {
                        left,
                        durability,
                        boot,
                    };
                    cases += 1;
                    if run.has_lost(now) {
                        assert_eq!((left, durability), (Left::Running, Durability::Buffered));
                        losses.push((boot.map(|it| it.0), now.map(|it| it.0)));
                    }
                }
            }
        }
        assert_eq!(cases, 4 * 2 * 9);
        let (one, two) = (Some(1), Some(2));
        let unknown = [
            (None, None),
            (None, one),
            (None, two),
            (one, None),
            (two, None),
        ];
        losses.sort_unstable();
        let mut expected = [&unknown[..], &[(one, two), (two, one)]].concat();
        expected.sort_unstable();
        assert_eq!(losses, expected, "all but the same boot");
    }
}
