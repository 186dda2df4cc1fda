//! How far operations began behind their intended start, and whether the generator or the store caused it.
//!
//! ```text
//!   capacity left       the generator's own: it was busy, or its timer late
//!   none left           the store's: as many as may be were in flight, and what was due had to wait
//!   still behind that   the store's, until an operation begins on time again
//! ```

use std::time::Duration;

use super::figures::{Latencies, latencies};

/// Behind its intended start by less than this an operation is on time.
const ON_TIME: Duration = Duration::from_millis(1);

/// How far operations began behind their intended start.
#[derive(Debug)]
pub(crate) struct Lateness {
    /// While capacity was left, so that the generator alone is the cause.
    pub(crate) own: Latencies,
    /// Operations that waited because as many as may be were in flight.
    pub(crate) for_room: u64,
    /// Operations that were due but never began.
    pub(crate) never: u64,
    /// Whether no capacity was left, and the backlog is not worked off yet.
    behind: bool,
}

impl Lateness {
    /// Nothing was late yet.
    ///
    /// # Errors
    /// As [`latencies`].
    pub(super) fn new() -> anyhow::Result<Self> {
        Ok(Self {
            own: latencies()?,
            for_room: 0,
            never: 0,
            behind: false,
        })
    }

    /// An operation began `late`; `full` if no capacity was left before it.
    pub(super) fn note(&mut self, late: Duration, full: bool) {
        self.behind = late >= ON_TIME && (self.behind || full);
        if self.behind {
            self.for_room += 1;
        } else {
            let micros = u64::try_from(late.as_micros()).unwrap_or(u64::MAX);
            self.own.saturating_record(micros);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backlog_is_the_stores_until_an_operation_begins_on_time() {
        let mut lateness = Lateness::new().unwrap();
        let ms = Duration::from_millis;
        for (late, full) in [
            (ms(0), false),
            (ms(5), true),
            (ms(4), false),
            (ms(0), false),
            (ms(3), false),
        ] {
            lateness.note(late, full);
        }
        assert_eq!(
            lateness.for_room, 2,
            "the one without capacity, and the one still behind it"
        );
        assert_eq!(lateness.own.len(), 3);
        let own = lateness.own.max();
        assert!(
            (3000..3010).contains(&own),
            "the last one is the generator's own: {own}"
        );
    }
}
