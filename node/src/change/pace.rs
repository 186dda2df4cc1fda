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
    bytes_per_second: u64,
    free_at: Moment,
}

impl Pace {
    pub(super) fn new(bytes_per_second: u64) -> Self {
        Self {
            bytes_per_second: bytes_per_second.max(1),
            free_at: Moment(0),
        }
    }

    pub(super) fn is_free(&self, now: Moment) -> bool {
        now >= self.free_at.saturating_sub(BURST)
    }

    /// A page has come.
    pub(super) fn take(&mut self, page: &Page, now: Moment) {
        // By the page: above 1 GB/s a single byte takes less than a nanosecond.
        let nanos = u128::from(bytes_of(page)) * 1_000_000_000 / u128::from(self.bytes_per_second);
        let takes = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        self.free_at = self.free_at.max(now.saturating_sub(BURST)) + takes;
    }
}

/// What a page costs.
fn bytes_of(page: &Page) -> u64 {
    let rows = page.rows.iter().chain(&page.registers);
    let bytes: usize = rows.map(|(key, row)| key.len() + row.len()).sum();
    let rows = page.rows.len() + page.registers.len();
    let rows = u64::try_from(rows).unwrap_or(u64::MAX);
    let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
    bytes.saturating_add(rows.saturating_mul(ROW))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    /// How many bytes may be pulled in one second, from a source that never lets wait.
    fn pulled_in_a_second(bytes_per_second: u64) -> u64 {
        let row = (Bytes::new(), Bytes::from(vec![0; (1 << 20) - (1 << 10)]));
        let page = Page {
            rows: vec![row],
            registers: vec![],
            next: None,
        };
        let mut pace = Pace::new(bytes_per_second);
        let (mut now, end) = (Moment(1_000_000), Moment(2_000_000));
        let mut pulled = 0;
        while now < end && pulled < 20 * bytes_per_second {
            if pace.is_free(now) {
                pace.take(&page, now);
                pulled += bytes_of(&page);
            } else {
                now += Duration::from_millis(1);
            }
        }
        pulled
    }

    #[test]
    fn the_rate_is_kept_also_above_one_byte_in_a_nanosecond() {
        for rate in [64 << 20, 700_000_000, 1_500_000_000, 16 << 30] {
            let pulled = pulled_in_a_second(rate);
            let most = rate + rate / 4 + (2 << 20); // a burst at the beginning, and a page that was begun
            assert!((rate..most).contains(&pulled), "{pulled} B at {rate} B/s");
        }
    }
}
