//! Writes that a context covers although no replica need ever have had them.
//!
//! ```text
//!   context    |#### floor ####|   (--]   (--]       named by an interval: some replica has joined it
//!   writes        a    b    c       d
//!                      '-- was refused, or got lost: the floor says only that it is too old to come
//! ```
//!
//! Nodes forget what was deleted below a floor, and from then on a read has *seen* all that is older. So what it has seen says
//! nothing of a write whose caller was not answered, which no node has joined, and which no read has returned. Of all others
//! it says as much as ever.

use std::collections::BTreeSet;

use quoit_ring::{Dot, Seen, Time};

use super::{History, OpId, Outcome};

/// The doubtful writes of a history.
#[derive(Debug)]
pub struct Doubts<'a> {
    history: &'a History,
    /// Those that a node has joined, or a read has returned.
    known: BTreeSet<Dot>,
}

impl<'a> Doubts<'a> {
    /// Looks through a history.
    #[must_use]
    pub fn of(history: &'a History) -> Self {
        let mut known = BTreeSet::new();
        // With its power or its disk a node may lose what it alone had joined.
        let is_lossy = history.buffered_losses + history.lost_disks > 0;
        if history.floor > Time::ZERO && !is_lossy {
            known.extend(history.joined.iter().map(|joined| joined.dot));
            for op in &history.ops {
                if let Some((_, Outcome::Read { siblings, .. })) = &op.returned {
                    known.extend(siblings.iter().map(|found| found.dot));
                }
            }
        }
        Self { history, known }
    }

    /// Whether there are any.
    #[must_use]
    pub fn exist(&self) -> bool {
        self.history.floor > Time::ZERO
    }

    /// Whether a dot of a write is covered by this context, and need never have been anywhere.
    #[must_use]
    pub fn has(&self, (write, dot): (OpId, Dot), seen: &Seen) -> bool {
        let is_below = dot.time <= seen.floor().min(self.history.floor);
        let is_acked = || self.history.op(write).dot() == Some(dot);
        is_below && !seen.names(dot) && !self.known.contains(&dot) && !is_acked()
    }
}
