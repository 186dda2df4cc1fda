//! What can be wrong with a disk, and how often it was.
//!
//! ```text
//!   fault              hits          answer                      engine afterwards    stored
//!   full               free_space    little or nothing           goes on
//!   brim               commit        NoSpace                     poisoned             no
//!   failing commit     one commit    Io                          poisoned             as chosen
//!   unreadable keys    reads         Io or Corrupt, by the key   goes on
//! ```
//!
//! Bad sectors are chosen by a hash of the key, not by drawing: the same keys are bad at every read, in every
//! process, until healed. Each fault counts when it hits, not when it is set: a run whose faults never hit has
//! tested nothing.

use std::io;
use std::sync::Arc;

use quoit_node::engine::{EngineError, Keyspace};
use quoit_ring::content_hash;

/// Which keys cannot be read. The node's own few entries in [`Keyspace::Meta`] are never among them: a node that cannot
/// read those does not start, which is no fault of a running one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadSectors {
    /// Decides which keys: another seed, other keys.
    pub seed: u64,
    /// How many of 1000 keys are bad, present or absent: from 0 (none) to 1000 (all).
    pub permille: u32,
}

impl BadSectors {
    /// What reading `key` answers, or `None` if it can be read.
    pub(super) fn error_for(self, keyspace: Keyspace, key: &[u8]) -> Option<EngineError> {
        const DOING: &str = "reading a bad sector";
        if keyspace == Keyspace::Meta {
            return None;
        }

        let hash = self.hash(keyspace, key);
        if hash % 1000 >= u64::from(self.permille) {
            return None;
        }

        Some(if hash >> 63 == 0 {
            EngineError::Io {
                doing: DOING,
                source: Arc::new(io::Error::other("a simulated read error")),
            }
        } else {
            EngineError::Corrupt {
                doing: DOING,
                source: None,
            }
        })
    }

    fn hash(self, keyspace: Keyspace, key: &[u8]) -> u64 {
        let keyed = [
            &self.seed.to_be_bytes()[..],
            keyspace.name().as_bytes(),
            key,
        ]
        .concat();
        content_hash(&keyed, None)
    }
}

/// How often each fault has hit the node on a disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fired {
    /// Times `free_space` answered that there is little.
    pub no_room: u64,
    /// Commits that failed on a disk full to the brim.
    pub no_space: u64,
    /// Commits that failed and left nothing behind.
    pub commits_lost: u64,
    /// Commits that failed and were stored all the same.
    pub commits_kept: u64,
    /// Reads of unreadable keys, the steps of walks among them.
    pub unreadable: u64,
    /// Calls answered as poisoned: after a failed commit, or on behalf of a process that is dead.
    pub refused: u64,
    /// Deaths of the process alone.
    pub kills: u64,
    /// Losses of power, those that took nothing too.
    pub power_losses: u64,
    /// Batches that losses of power took.
    pub batches_lost: u64,
}

/// How a commit fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CommitFault {
    NoSpace,
    Lost,
    FaultFilter,
}

/// The faults in force.
#[derive(Debug, Default)]
pub(super) struct Faults {
    pub(super) full: bool,
    pub(super) brim: bool,
    /// Set if the next commit fails; whether its batch is stored all the same.
    pub(super) next_commit_kept: Option<bool>,
    pub(super) unreadable: Option<BadSectors>,
}

impl Faults {
    /// How a commit would fail now.
    pub(super) const fn of_commit(&self) -> Option<CommitFault> {
        match self.next_commit_kept {
            Some(true) => Some(CommitFault::FaultFilter),
            Some(false) => Some(CommitFault::Lost),
            None if self.brim => Some(CommitFault::NoSpace),
            None => None,
        }
    }

    /// Lets `fault` hit: counts it, takes it away if it hits but once, and gives the commit's answer.
    pub(super) fn spend(&mut self, fault: CommitFault, fired: &mut Fired) -> EngineError {
        const DOING: &str = "committing a batch";
        let count = match fault {
            CommitFault::NoSpace => {
                fired.no_space += 1;
                return EngineError::NoSpace {
                    doing: DOING,
                    source: Arc::new(io::ErrorKind::StorageFull.into()),
                };
            }
            CommitFault::Lost => &mut fired.commits_lost,
            CommitFault::FaultFilter => &mut fired.commits_kept,
        };
        *count += 1;
        self.next_commit_kept = None;
        EngineError::Io {
            doing: DOING,
            source: Arc::new(io::Error::other("a simulated write error")),
        }
    }
}
