//! Scans: each is recorded as a read of every key that it is about, so that what holds for reads holds for it.
//!
//! ```text
//!   begins        a get of each key of the family that was begun by then
//!   yields k      the get of k returned that
//!   ends well     every other get found nothing          fails: they failed
//! ```
//!
//! A row is read after the scan has begun, and so is its absence. For keys that are never deleted, absence with nothing seen is
//! all that a scan could say. Order, and that no key comes twice, are looked at here: neither can be seen in reads.

use std::collections::BTreeMap;

use bytes::Bytes;
use quoit_client::{ScanError, ScanStream};
use quoit_ring::Seen;
use rand::Rng as _;

use super::{Ask, Name, Session, outcome};
use crate::history::{Call, Family, OpId, Outcome};
use crate::sim::coverage::CoverageEvent;

/// Most rows of a page: so few that pages end in the middle.
const MOST_ROWS: u32 = 9;

impl Session {
    /// Scans the first `keys` keys of a family, of which none is ever deleted, in either direction.
    ///
    /// # Panics
    /// If rows come out of order, or twice.
    pub async fn scan(&mut self, family: Family, keys: u64) {
        let mut awaited: BTreeMap<Bytes, OpId> = BTreeMap::new();
        for index in 0..keys {
            let name = Name::of(family, index);
            let op = self.begin(&name, Call::Get, Ask::QUORUM);
            awaited.insert(name.bytes, op);
        }
        let prefix = format!("{}/", family.name());
        let rows = self.rng().random_range(1..=MOST_ROWS);
        let reverse = rows % 2 == 0;
        let scan = self.client.scan().prefix(prefix).page_rows(rows);
        let scan = if reverse { scan.reverse() } else { scan };
        let end = match scan.stream() {
            Ok(stream) => self.follow(stream, reverse, &mut awaited).await,
            Err(error) => Err(error),
        };

        self.saw([CoverageEvent::Scan]);
        let nothing = match &end {
            Ok(()) => Outcome::Read {
                siblings: Vec::new(),
                seen: Seen::default(),
            },
            Err(ScanError::Unavailable { .. }) => Outcome::ReadFailed("unavailable"),
            Err(_) => Outcome::ReadFailed("scan"),
        };
        for op in awaited.into_values() {
            self.site.end(op, nothing.clone());
        }
    }

    /// Takes the rows of a scan; what it yields is awaited no more.
    async fn follow(
        &self,
        mut stream: ScanStream,
        reverse: bool,
        awaited: &mut BTreeMap<Bytes, OpId>,
    ) -> Result<(), ScanError> {
        let mut last: Option<Bytes> = None;
        while let Some(row) = stream.next().await {
            let (key, entry) = row?.into_parts();
            let goes_on = |last: &Bytes| if reverse { key < *last } else { key > *last };
            assert!(
                last.as_ref().is_none_or(goes_on),
                "a scan goes back to {key:?}"
            );
            if let (Some(op), Some(entry)) = (awaited.remove(&key), entry) {
                self.site.end(op, outcome::read(&entry));
            }
            last = Some(key);
        }
        Ok(())
    }
}
