//! How fast pages are asked for: so many bytes a second, and a little at once after a while without any.

use std::time::Duration;

use quoit_ring::Moment;
use quoit_ring::wire::Page;

/// How much of the rate may be used at once after a while in which it was not.
const BURST: Duration = Duration::from_millis(100);
/// What a row costs beside its bytes, in bytes: it is read and joined by itself.
const ROW: u64 = 1 << 10;

/// When the next page may be asked for.
#[derive(Debug)]
pub(super) struct Pace {
    /// The time that the rate gives one byte, in nanoseconds.
    nanos: u64,
    free_at: Moment,
}

impl Pace {
    pub(super) fn new(bytes_per_second: u64) -> Self {
        Self {
            nanos: 1_000_000_000 / bytes_per_second.max(1),
            free_at: Moment(0),
        }
    }

    pub(super) fn is_free(&self, now: Moment) -> bool {
        now >= self.free_at.saturating_sub(BURST)
    }

    /// A page has come.
    pub(super) fn take(&mut self, page: &Page, now: Moment) {
        let takes = Duration::from_nanos(bytes_of(page).saturating_mul(self.nanos));
        self.free_at = self.free_at.max(now.saturating_sub(BURST)) + takes;
    }
}

/// What a page costs.
fn bytes_of(page: &Page) -> u64 {
    let rows = page.rows.iter();
    let bytes: usize = rows.map(|(key, record)| key.len() + record.len()).sum();
    let rows = u64::try_from(page.rows.len()).unwrap_or(u64::MAX);
    let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
    bytes.saturating_add(rows.saturating_mul(ROW))
}
