//! A page of what is due: the entries of the expiry index in order, read off a snapshot.
//!
//! ```text
//!   expiry   | 10:00:01 a | 10:00:01 k | 10:00:02 b |  mark  | 10:00:09 c |
//!             '- after        '------ a page ------'           '- next due
//! ```
//!
//! The records are read, too. So the committing thread, which reads them again, finds them in memory, and the page knows how
//! much it costs.

use std::ops::Bound;

use bytes::Bytes;
use quoit_ring::wire::Refusal;
use quoit_ring::{Leaf, Millis, Moment};

use crate::engine::layout::{NAMESPACE, expiry_key, parse_expiry_key, record_key};
use crate::engine::{EngineError, Keyspace, Snapshot};
use crate::state::NodeState;
use crate::storage::Unreadable;

/// Most entries of a page: what the committing thread does in a few milliseconds.
const ROWS: usize = 128;
/// Most entries that are looked at for a page, those that are passed over included.
const LOOKED: usize = 8 * ROWS;
/// Most bytes of the records of a page; one that is larger is a page of its own.
const BYTES: u64 = 256 << 10;

/// A key, and when something of it expires.
pub type Due = (Millis, Bytes);

/// Which entries are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// Those that are due by then.
    pub(super) mark: Millis,
    /// Behind this stored key; from the first one on if there is none.
    pub(super) after: Option<Bytes>,
}

/// Entries that are due.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DuePage {
    /// In the order of their times.
    pub(crate) due: Vec<Due>,
    /// Entries that were looked at, those that were passed over included.
    pub(crate) looked: usize,
    /// Bytes of the records of what is due.
    pub(crate) bytes: u64,
    /// Behind which stored key the next page begins; `None` if this is the last one by the mark.
    pub(crate) next: Option<Bytes>,
    /// When the first entry behind the mark is due, if this is the last page and there is one.
    pub(crate) beyond: Option<Millis>,
}

/// Reads a page. Entries of leaves that the node does not own are passed over, as those whose records cannot be read, which
/// are said in the log.
///
/// # Errors
/// The engine's, if it cannot say which entries there are.
pub fn look<S: Snapshot>(
    snapshot: &S,
    state: &NodeState,
    wanted: &Look,
    now: Moment,
) -> Result<DuePage, EngineError> {
    let after = wanted.after.clone();
    let begin = after.map_or(Bound::Unbounded, Bound::Excluded);
    let (mut page, mut last) = (DuePage::default(), None);
    for entry in snapshot.range(Keyspace::Expiry, (begin, Bound::Unbounded)) {
        let (stored, _nothing) = entry?;
        let Ok((due, namespace, key)) = parse_expiry_key(&stored) else {
            continue; // shorter than any that was written
        };
        if due > wanted.mark.0 {
            page.beyond = Some(Millis(due));
            return Ok(page);
        }
        if page.due.len() >= ROWS || page.looked >= LOOKED || page.bytes > BYTES {
            page.next = last;
            return Ok(page);
        }

        let key = stored.slice_ref(key);
        page.looked += 1;
        last = Some(stored);
        if !owns(state, state.cluster.leaf_of(&key)) {
            continue;
        }
        match snapshot.get(Keyspace::Records, &record_key(namespace, &key)) {
            Ok(record) => {
                let bytes = record.map_or(0, |record| record.len());
                page.bytes += u64::try_from(bytes).unwrap_or(u64::MAX);
                page.due.push((Millis(due), key));
            }
            Err(error) => {
                state.expiry.pass_over();
                state.damage.say(&Unreadable::Engine(error), now);
            }
        }
    }
    Ok(page)
}

/// Behind every entry that is due by `mark`.
pub(super) fn end_of(mark: Millis) -> Bytes {
    // No user key is empty, so no entry is this one.
    expiry_key(mark.0.saturating_add(1), NAMESPACE, b"")
}

/// Whether this node owns a leaf in its newest epoch. What it is to own and has not taken it does not own.
fn owns(state: &NodeState, leaf: Leaf) -> bool {
    let (cluster, epoch) = (&state.cluster, state.cluster.newest().epoch());
    !matches!(
        cluster.owns(epoch, cluster.node, leaf),
        Ok(false) | Err(Refusal::Behind)
    )
}
