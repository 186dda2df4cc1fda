//! What one node has sent and the merge has not come to: pages, in the order of keys.
//!
//! ```text
//!   page 1: a  c  e  -> through f        page 2: h  -> through k        reach: k
//!             ^ next row                          '- its floor and clock stand for what it says, absences included
//! ```
//!
//! Invariant: rows go forward, lie within what was asked for, and no further than the page says. A page that does not is
//! refused, whole.

use std::collections::VecDeque;

use bytes::Bytes;
use quoit_ring::wire::{ScanPage, ScanRow};
use quoit_ring::{Millis, Time};

use super::range::ScanRange;

/// A page, or what is left of it.
#[derive(Debug)]
struct Span {
    /// `None` is the end of the range.
    through: Option<Bytes>,
    floor: Time,
    clock: Millis,
    rows: VecDeque<ScanRow>,
}

/// How far a node's pages reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reach {
    Nothing,
    Through(Bytes),
    End,
}

/// What a node says of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    /// Its encoded record, if it has one.
    pub(crate) record: Option<Bytes>,
    pub(crate) floor: Time,
    pub(crate) clock: Millis,
}

/// The pages of one node.
#[derive(Debug)]
pub(crate) struct Feed {
    spans: VecDeque<Span>,
    reach: Reach,
    rows: usize,
    is_asked: bool,
}

impl Feed {
    pub(crate) const fn new() -> Self {
        Self {
            spans: VecDeque::new(),
            reach: Reach::Nothing,
            rows: 0,
            is_asked: false,
        }
    }

    pub(crate) const fn reach(&self) -> &Reach {
        &self.reach
    }

    /// The key of the next row.
    pub(crate) fn first(&self) -> Option<&Bytes> {
        let with_rows = self.spans.iter().find_map(|span| span.rows.front());
        with_rows.map(|row| &row.key)
    }

    /// Whether a page is to be asked for, while no more than so many rows wait.
    pub(crate) fn wants_page(&self, rows: usize) -> bool {
        !self.is_asked && self.reach != Reach::End && self.rows <= rows && self.spans.len() < 4
    }

    /// A page was asked for.
    pub(crate) const fn asked(&mut self) {
        self.is_asked = true;
    }

    /// Takes the page in that was asked for, of the keys of `rest`; false if it is none.
    pub(crate) fn take_in(&mut self, page: ScanPage, clock: Millis, rest: &ScanRange) -> bool {
        self.is_asked = false;
        if !is_sound(&page, rest) {
            return false;
        }
        self.rows += page.rows.len();
        self.reach = page.through.clone().map_or(Reach::End, Reach::Through);
        self.spans.push_back(Span {
            through: page.through,
            floor: page.floor,
            clock,
            rows: page.rows.into(),
        });
        true
    }

    /// What it says of `key`, which lies within its reach; rows before it are dropped.
    pub(crate) fn said(&mut self, key: &[u8], range: &ScanRange) -> Option<Said> {
        self.pass(key, range);
        let span = self.spans.front_mut()?;
        let clock = span.clock;
        let row = span.rows.pop_front_if(|row| row.key == key);
        let said = match row {
            Some(row) => {
                self.rows -= 1;
                let record = Some(row.record);
                Said {
                    record,
                    floor: row.floor,
                    clock,
                }
            }
            None => Said {
                record: None,
                floor: span.floor,
                clock,
            },
        };
        Some(said)
    }

    /// Drops all before `key`.
    fn pass(&mut self, key: &[u8], range: &ScanRange) {
        let is_passed =
            |through: &Option<Bytes>| through.as_ref().is_some_and(|it| range.is_before(it, key));
        while let Some(span) = self.spans.pop_front_if(|span| is_passed(&span.through)) {
            self.rows -= span.rows.len();
        }
        let Some(span) = self.spans.front_mut() else {
            return;
        };
        while (span.rows.pop_front_if(|row| range.is_before(&row.key, key))).is_some() {
            self.rows -= 1;
        }
    }

    /// Drops all up to `key`, itself included.
    pub(crate) fn pass_through(&mut self, key: &Bytes, range: &ScanRange) {
        let said = self.said(key, range);
        debug_assert!(
            said.is_none_or(|said| said.record.is_none()),
            "rows are not passed over"
        );
        self.spans
            .pop_front_if(|span| span.through.as_ref() == Some(key));
    }
}

/// Whether a page is one of the keys of `rest`.
fn is_sound(page: &ScanPage, rest: &ScanRange) -> bool {
    let goes_on = |two: &[ScanRow]| rest.is_before(&two[0].key, &two[1].key);
    let is_within = |row: &ScanRow| {
        let is_beyond = |through: &Bytes| rest.is_before(through, &row.key);
        rest.contains(&row.key) && !page.through.as_ref().is_some_and(is_beyond)
    };
    page.rows.windows(2).all(goes_on)
        && page.rows.iter().all(is_within)
        && page
            .through
            .as_ref()
            .is_none_or(|through| rest.contains(through))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::range::Wanted;

    fn range(reverse: bool) -> ScanRange {
        ScanRange::new(&Wanted {
            start: "b".into(),
            end: "y".into(),
            reverse,
            ..Wanted::default()
        })
        .unwrap()
    }

    fn page(keys: &[&'static str], through: Option<&'static str>) -> ScanPage {
        let row = |key: &&'static str| ScanRow {
            key: Bytes::from(*key),
            floor: Time(1),
            record: Bytes::from(*key),
        };
        ScanPage {
            floor: Time(9),
            rows: keys.iter().map(row).collect(),
            through: through.map(Bytes::from),
        }
    }

    #[test]
    fn a_page_that_goes_back_or_beyond_is_refused() {
        let take = |page, reverse| Feed::new().take_in(page, Millis(1), &range(reverse));
        assert!(take(page(&["c", "d"], Some("d")), false));
        assert!(take(page(&[], None), false) && take(page(&["d", "c"], Some("c")), true));
        for bad in [
            page(&["d", "c"], None),
            page(&["c", "c"], None),
            page(&["a"], None),
            page(&["y"], None),
            page(&["d"], Some("c")),
            page(&[], Some("a")),
        ] {
            assert!(!take(bad.clone(), false), "{bad:?}");
        }
        assert!(!take(page(&["c"], Some("d")), true));
    }

    #[test]
    fn a_key_without_a_row_is_said_to_be_absent_by_its_own_page() {
        let (mut feed, range) = (Feed::new(), range(false));
        assert!(feed.take_in(page(&["c", "e"], Some("f")), Millis(1), &range));
        assert!(feed.take_in(page(&["h"], None), Millis(2), &range));
        let mut said = |key: &str| {
            let said = feed.said(key.as_bytes(), &range).unwrap();
            (said.record.is_some(), said.floor.0, said.clock.0)
        };
        assert_eq!(said("c"), (true, 1, 1));
        assert_eq!(said("d"), (false, 9, 1));
        assert_eq!(said("g"), (false, 9, 2), "the row e was passed over");
        assert_eq!(said("h"), (true, 1, 2));
        assert_eq!(feed.rows, 0);
    }
}
