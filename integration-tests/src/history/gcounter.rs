//! G-Counters as values: each writer counts in a slot of its own.
//!
//! ```text
//!   #41          the id of the put, so that no two puts have the same bytes; a merged counter has none
//!   3 5          writer 3 has counted to 5
//!   9 1          writer 9 to 1            total: 6
//!
//!   merge: of every writer the larger count
//! ```
//!
//! Only its own writer raises a slot, by one from what it has read. So of two counters the larger count of a
//! writer is the later one, and the merge of siblings loses no step that either had seen. A writer whose put
//! came to an unknown end goes on from its next read; if that missed the put, the writer makes the same step
//! again, and the two count once.
//!
//! Source: Shapiro et al., *A comprehensive study of Convergent and Commutative Replicated Data Types* (2011),
//! the G-Counter; `DeCandia` et al., *Dynamo* (2007), section 4.4, for merging by the application.

use std::fmt::Write as _;

use bytes::Bytes;
use quoit_client::{Merge, Value};

/// A grow-only counter: what each writer has counted to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GCounter {
    /// Ascending by writer; no count is 0. A list, since histories hold thousands of counters and merge them.
    counts: Vec<(u64, u64)>,
}

impl GCounter {
    /// Adds one to the slot of `writer`.
    pub fn increment(&mut self, writer: u64) {
        match self.counts.binary_search_by_key(&writer, |slot| slot.0) {
            Ok(place) => self.counts[place].1 = self.counts[place].1.saturating_add(1),
            Err(place) => self.counts.insert(place, (writer, 1)),
        }
    }

    /// What `writer` has counted to, 0 if it never did.
    #[must_use]
    pub fn count(&self, writer: u64) -> u64 {
        let place = self.counts.binary_search_by_key(&writer, |slot| slot.0);
        place.map_or(0, |place| self.counts[place].1)
    }

    /// The sum of all writers' counts.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.iter().fold(0, |sum, (_, n)| sum.saturating_add(n))
    }

    /// Takes of every writer the larger count.
    pub fn merge(&mut self, other: &Self) {
        let mut missing = false;
        let mut ours = self.counts.iter_mut().peekable();
        for &(writer, count) in &other.counts {
            while ours.next_if(|slot| slot.0 < writer).is_some() {}
            match ours.peek_mut() {
                Some(slot) if slot.0 == writer => slot.1 = slot.1.max(count),
                _ => missing = true,
            }
        }

        if missing {
            self.add_missing(other);
        }

        debug_assert!(
            self.counts.is_sorted_by(|a, b| a.0 < b.0),
            "one slot for each writer, in order"
        );
    }

    fn add_missing(&mut self, other: &Self) {
        let known = |writer| {
            self.counts
                .binary_search_by_key(&writer, |slot| slot.0)
                .is_ok()
        };
        let new: Vec<_> = other.iter().filter(|&(writer, _)| !known(writer)).collect();
        self.counts.extend(new);
        self.counts.sort_unstable();
    }

    /// Each writer with its count, ascending by writer; no count is 0.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> {
        self.counts.iter().copied()
    }

    /// The one writer whose count here is one more than in `base`, if that is all in which the two differ.
    #[must_use]
    pub fn step_from(&self, base: &Self) -> Option<u64> {
        let (writer, _) = self.iter().find(|&(w, count)| count != base.count(w))?;
        let mut expected = base.clone();
        expected.increment(writer);
        (*self == expected).then_some(writer)
    }

    /// The bytes to put; `id` is another one for every put of a run.
    #[must_use]
    pub fn to_value(&self, id: u64) -> Bytes {
        self.lines(format!("#{id}\n"))
    }

    /// Reads a counter, with the id of a put or without. Its writers ascend.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(value).ok()?;
        let lines = match text.strip_prefix('#') {
            Some(rest) => {
                let (id, lines) = rest.split_once('\n')?;
                id.parse::<u64>().ok()?;
                lines
            }
            None => text,
        };
        let mut counts: Vec<(u64, u64)> = Vec::new();

        for line in lines.lines() {
            let (writer, count) = line.split_once(' ')?;
            let (writer, count) = (writer.parse().ok()?, count.parse().ok()?);
            if count == 0 || counts.last().is_some_and(|last| last.0 >= writer) {
                return None;
            }
            counts.push((writer, count));
        }

        Some(Self { counts })
    }

    fn lines(&self, mut text: String) -> Bytes {
        for (writer, count) in self.iter() {
            // Writing to a string cannot fail.
            writeln!(text, "{writer} {count}").unwrap_or_default();
        }
        text.into()
    }
}

/// Merges counters. If a sibling is no counter, the result has no value, which shows at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MergeCounters;

impl Merge for MergeCounters {
    fn merge(&self, siblings: &[Value]) -> Option<Bytes> {
        let mut merged = GCounter::default();
        for sibling in siblings {
            merged.merge(&GCounter::parse(&sibling.bytes)?);
        }
        Some(merged.lines(String::new()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use quoit_ring::{Actor, Dot, Time};

    use super::*;

    fn counter(counts: &[(u64, u64)]) -> GCounter {
        GCounter {
            counts: counts.to_vec(),
        }
    }

    fn value(bytes: Bytes) -> Value {
        let (time, actor) = (Time(1), Actor(1));
        let dot = Dot { time, actor };
        let expiry = None;
        Value { bytes, dot, expiry }
    }

    fn counters() -> impl Strategy<Value = Vec<GCounter>> {
        let one = proptest::collection::btree_map(0_u64..5, 1_u64..9, 0..5);
        let one = one.prop_map(|counts| GCounter {
            counts: counts.into_iter().collect(),
        });
        proptest::collection::vec(one, 1..5)
    }

    #[test]
    fn an_increment_raises_the_slot_of_its_writer_alone() {
        let before = counter(&[(3, 5)]);
        let mut after = before.clone();
        after.increment(9);
        after.increment(9);
        assert_eq!(after, counter(&[(3, 5), (9, 2)]));
        assert_eq!((after.total(), after.count(9), after.count(4)), (7, 2, 0));
    }

    #[test]
    fn a_step_is_distinguished_from_anything_else() {
        let base = counter(&[(3, 5), (9, 1)]);
        assert_eq!(counter(&[(3, 6), (9, 1)]).step_from(&base), Some(3));
        assert_eq!(counter(&[(1, 1), (3, 5), (9, 1)]).step_from(&base), Some(1));
        for other in [
            base.clone(),
            counter(&[(3, 7), (9, 1)]),
            counter(&[(3, 6), (9, 2)]),
            counter(&[(3, 4), (9, 1)]),
            counter(&[(3, 6)]),
        ] {
            assert_eq!(other.step_from(&base), None, "{other:?}");
        }
    }

    #[test]
    fn two_puts_of_one_counter_have_different_bytes() {
        let one = counter(&[(3, 5)]);
        assert_eq!(one.to_value(41), "#41\n3 5\n");
        assert_ne!(one.to_value(41), one.to_value(42));
    }

    #[test]
    fn what_is_no_counter_is_refused() {
        let junk: [&[u8]; 9] = [
            b"junk",
            b"#x\n",
            b"#1",
            b"3 0\n",
            b"3\n",
            b"3 5\n3 6\n",
            b"3 5\n2 6\n",
            b"3 -1\n",
            b"\xff",
        ];
        for junk in junk {
            assert_eq!(GCounter::parse(junk), None, "{junk:?}");
        }

        let values = [value("3 5\n".into()), value("junk".into())];
        assert_eq!(MergeCounters.merge(&values), None);
    }

    proptest! {
        #[test]
        fn bytes_say_what_was_counted(counters in counters(), id: u64) {
            for counter in counters {
                prop_assert_eq!(GCounter::parse(&counter.to_value(id)), Some(counter));
            }
        }

        #[test]
        fn the_order_of_siblings_does_not_matter_and_their_merge_adds_nothing(counters in counters()) {
            let mut values: Vec<_> = counters.iter().map(|t| value(t.to_value(7))).collect();
            let merged = MergeCounters.merge(&values).unwrap();
            values.reverse();
            prop_assert_eq!(MergeCounters.merge(&values), Some(merged.clone()));
            values.push(value(merged.clone()));
            prop_assert_eq!(MergeCounters.merge(&values), Some(merged.clone()));

            let merged = GCounter::parse(&merged).unwrap();
            for writer in 0..5 {
                let most = counters.iter().map(|t| t.count(writer)).max().unwrap();
                prop_assert_eq!(merged.count(writer), most);
            }
        }
    }
}
