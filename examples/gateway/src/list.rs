//! Keys of a range, a page at a time, and the cursors of `SCAN`.
//!
//! ```text
//!   list(prefix, start, token) --rows--> page: full, long enough, or late --> rows and the token of the next one
//!   cursor 0 --> page --> token kept here, its number to the client --> page ...
//! ```
//!
//! A page is as the client's scan is: in order, each key as a quorum has it, and no snapshot. A token says all that is needed
//! to go on, at any gateway. Clients of Redis take numbers of 64 bits only, so their tokens are kept here, the last
//! [`MOST_CURSORS`]; one that is gone is an error, and the scan begins again.

use std::collections::VecDeque;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use quoit_client::{InvalidScan, ScanEntry, ScanError, ScanToken};
use tokio::time::Instant;

use crate::budget::Permit;
use crate::failure::Failure;
use crate::store::{Store, Terms};

/// Cursors that are kept at once.
pub(crate) const MOST_CURSORS: usize = 1024;
/// Operations that a page stands for: it asks all nodes, and reads keys beside each other.
const WEIGHT: u32 = 16;
/// How long a page may grow; then it ends, and the next one goes on.
const LONG: Duration = Duration::from_secs(10);
/// Bytes of a row besides its key and values.
const ROW: usize = 64;
/// Bytes of memory that are taken at once.
const STEP: usize = 64 << 10;

/// Which keys.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    pub(crate) prefix: Bytes,
    /// The first that may be there; empty is no bound.
    pub(crate) start: Bytes,
    pub(crate) token: Option<ScanToken>,
    pub(crate) values: bool,
    /// Most rows.
    pub(crate) limit: usize,
    /// About the most bytes.
    pub(crate) bytes: usize,
}

/// A part of a listing.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) rows: Vec<ScanEntry>,
    /// Where it goes on; `None` if that is all.
    pub(crate) next: Option<ScanToken>,
    pub(crate) memory: Vec<Permit>,
}

impl Store {
    /// A page of keys.
    ///
    /// # Errors
    /// Nothing was changed, and the token is as good as before.
    pub(crate) async fn list(&self, wanted: Wanted, terms: &Terms) -> Result<Page, Failure> {
        let _slots = self.slots(WEIGHT).await?;
        let mut scan = self.client.scan().prefix(wanted.prefix);
        scan = scan.range(wanted.start, Bytes::new());
        scan = scan.limit(u64::try_from(wanted.limit).unwrap_or(u64::MAX));
        if let Some(token) = wanted.token {
            scan = scan.resume(token);
        }
        if !wanted.values {
            scan = scan.keys_only();
        }
        if let Some(replicas) = terms.replicas {
            scan = scan.r(replicas);
        }
        if let Some(consistency) = terms.consistency {
            scan = scan.consistency(consistency);
        }
        if let Some(deadline) = terms.deadline {
            scan = scan.deadline(deadline);
        }
        let mut page = Page {
            rows: Vec::new(),
            next: None,
            memory: Vec::new(),
        };
        let mut stream = match scan.stream() {
            Err(ScanError::Invalid(InvalidScan::Empty)) => return Ok(page),
            stream => stream?,
        };
        let late = Instant::now() + LONG;
        let (mut bytes, mut reserved) = (0, 0);
        while page.rows.len() < wanted.limit && bytes < wanted.bytes {
            let row = match tokio::time::timeout_at(late, stream.next()).await {
                Err(_late) => break,
                Ok(None) => return Ok(page),
                Ok(Some(row)) => row?,
            };
            bytes += size(&row);
            if bytes > reserved {
                let more = (bytes - reserved).max(STEP);
                page.memory.push(self.memory(more)?);
                reserved += more;
            }
            page.rows.push(row);
        }
        page.next = Some(stream.token());
        Ok(page)
    }
}

fn size(row: &ScanEntry) -> usize {
    let values = row.entry().map_or(&[][..], |entry| entry.siblings());
    let values: usize = values.iter().map(|value| ROW + value.bytes.len()).sum();
    ROW + row.key().len() + values
}

/// The tokens behind cursors.
#[derive(Debug)]
pub(crate) struct Cursors {
    hasher: RandomState,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    given: u64,
    /// Oldest first, with the memory that each takes.
    tokens: VecDeque<(u64, ScanToken, Permit)>,
}

impl Cursors {
    pub(crate) fn new() -> Self {
        Self {
            hasher: RandomState::new(),
            kept: Mutex::default(),
        }
    }

    /// The token behind a cursor.
    pub(crate) fn token(&self, cursor: u64) -> Option<ScanToken> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let mut tokens = kept.tokens.iter();
        let found = tokens.find(|(number, ..)| *number == cursor)?;
        Some(found.1.clone())
    }

    /// Keeps the token of the next page in the place of the one that `cursor` stands for.
    pub(crate) fn replace(&self, cursor: u64, next: Option<(ScanToken, Permit)>) -> u64 {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.tokens.retain(|(number, ..)| *number != cursor);
        let Some((token, memory)) = next else {
            return 0;
        };
        if kept.tokens.len() == MOST_CURSORS {
            kept.tokens.pop_front();
        }
        kept.given += 1;
        // Some clients have signed numbers, and 0 is the end. Another gateway's cursor is no number of this one.
        let number = (self.hasher.hash_one(kept.given) >> 1).max(1);
        kept.tokens.push_back((number, token, memory));
        number
    }
}
