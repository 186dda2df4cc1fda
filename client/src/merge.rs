//! Merge functions: make one value of siblings.
//!
//! ```text
//!   get  ->  siblings { a, b, c }  --merge-->  one value  --put with the context-->  one sibling
//! ```
//!
//! Each reader merges on its own, and two readers may merge the same siblings at the same time, or one's
//! result with the other's. They converge only if a merge is
//!
//! - **deterministic**: the same siblings give the same bytes, on every machine and in every build;
//! - **commutative**: the order of the siblings does not matter;
//! - **idempotent**: merging a result with its inputs changes nothing.
//!
//! Merging happens in memory, after the read; nothing is written back automatically. To settle a conflict
//! for all readers, put the result with the entry's context.
//!
//! Source: `DeCandia` et al., *Dynamo* (2007), section 4.4, and the start of 6 (business logic specific and
//! timestamp based reconciliation).

use bytes::Bytes;

use crate::entry::Value;

/// Makes one value of siblings.
///
/// Each reader merges on its own. They converge only if a merge is **deterministic** (the same siblings give
/// the same bytes, everywhere), **commutative** (the order of the siblings does not matter), and
/// **idempotent** (merging a result with its inputs changes nothing).
///
/// Every `Fn(&[Value]) -> Option<Bytes>` is one; a closure names the type of its argument:
///
/// ```
/// use quoit_client::{Merge, Value};
/// # use quoit_ring::{Actor, Dot, Time};
/// # let value = |time, bytes: &'static str| Value {
/// #     bytes: bytes.into(), dot: Dot { time: Time(time), actor: Actor(1) }, expiry: None,
/// # };
///
/// let longest = |siblings: &[Value]| {
///     let by_length = |value: &&Value| (value.bytes.len(), value.bytes.clone());
///     siblings.iter().max_by_key(by_length).map(|value| value.bytes.clone())
/// };
/// assert_eq!(longest.merge(&[value(1, "ann"), value(2, "al")]).unwrap(), "ann");
/// ```
pub trait Merge: Send + Sync {
    /// The value that `siblings` merge to; `None` is no value, as if the key were deleted.
    ///
    /// Called for two siblings or more, oldest dot first.
    fn merge(&self, siblings: &[Value]) -> Option<Bytes>;
}

impl<F> Merge for F
where
    F: Fn(&[Value]) -> Option<Bytes> + Send + Sync,
{
    fn merge(&self, siblings: &[Value]) -> Option<Bytes> {
        self(siblings)
    }
}

/// Keeps the value with the greatest dot, that is of the latest write; of one dot's variants the
/// greatest bytes. The other values are lost.
///
/// ```
/// use quoit_client::{LastWriterWins, Merge, Value};
/// # use quoit_ring::{Actor, Dot, Time};
/// # let value = |time, bytes: &'static str| Value {
/// #     bytes: bytes.into(), dot: Dot { time: Time(time), actor: Actor(1) }, expiry: None,
/// # };
/// let (monday, tuesday) = (value(1, "blue"), value(2, "amber"));
/// assert_eq!(LastWriterWins.merge(&[monday, tuesday]).unwrap(), "amber");
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LastWriterWins;

impl Merge for LastWriterWins {
    fn merge(&self, siblings: &[Value]) -> Option<Bytes> {
        let last = siblings
            .iter()
            .max_by(|a, b| (a.dot, &a.bytes).cmp(&(b.dot, &b.bytes)));
        last.map(|value| value.bytes.clone())
    }
}

/// Reads each value as a set of elements with a separator byte between them, and returns the union.
///
/// The result is sorted by bytes, without repetitions and without a separator at its end. Empty
/// elements do not count. An element that one writer removed while another kept it comes back: use it for
/// sets that only grow.
///
/// ```
/// use quoit_client::{Merge, SetUnion, Value};
/// # use quoit_ring::{Actor, Dot, Time};
/// # let value = |time, bytes: &'static str| Value {
/// #     bytes: bytes.into(), dot: Dot { time: Time(time), actor: Actor(1) }, expiry: None,
/// # };
/// let carts = [value(1, "milk\nbread"), value(2, "eggs\nmilk\n")];
/// assert_eq!(SetUnion::lines().merge(&carts).unwrap(), "bread\neggs\nmilk");
/// let tags = [value(1, "b,a"), value(2, "c")];
/// assert_eq!(SetUnion::separated_by(b',').merge(&tags).unwrap(), "a,b,c");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SetUnion {
    separator: u8,
}

impl SetUnion {
    /// Elements are lines, ended or separated by `\n`; the default.
    #[must_use]
    pub const fn lines() -> Self {
        Self::separated_by(b'\n')
    }

    /// Elements are separated by `separator`, which no element can contain.
    #[must_use]
    pub const fn separated_by(separator: u8) -> Self {
        Self { separator }
    }
}

impl Default for SetUnion {
    fn default() -> Self {
        Self::lines()
    }
}

impl Merge for SetUnion {
    fn merge(&self, siblings: &[Value]) -> Option<Bytes> {
        if siblings.is_empty() {
            return None;
        }

        let mut elements: Vec<&[u8]> = siblings
            .iter()
            .flat_map(|value| value.bytes.split(|&byte| byte == self.separator))
            .filter(|element| !element.is_empty())
            .collect();
        elements.sort_unstable();
        elements.dedup();
        Some(elements.join(&self.separator).into())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use quoit_ring::{Actor, Dot, Time};

    use super::*;

    fn value(time: u64, actor: u64, bytes: &[u8]) -> Value {
        Value {
            bytes: Bytes::copy_from_slice(bytes),
            dot: Dot {
                time: Time(time),
                actor: Actor(actor),
            },
            expiry: None,
        }
    }

    fn siblings() -> impl Strategy<Value = Vec<Value>> {
        let one = (0_u64..4, 0_u64..3, "[ab\n]{0,6}");
        let one = one.prop_map(|(time, actor, text)| value(time, actor, text.as_bytes()));
        proptest::collection::vec(one, 1..6)
    }

    fn built_in() -> [Box<dyn Merge>; 3] {
        let shortest = |values: &[Value]| values.iter().map(|v| v.bytes.clone()).min();
        [
            Box::new(LastWriterWins),
            Box::new(SetUnion::lines()),
            Box::new(shortest),
        ]
    }

    #[test]
    fn the_last_writer_is_the_one_with_the_latest_time() {
        let values = [value(2, 1, b"later"), value(1, 9, b"earlier")];
        assert_eq!(LastWriterWins.merge(&values).unwrap(), "later");
    }

    #[test]
    fn two_variants_of_one_dot_are_told_apart_by_their_bytes() {
        let values = [value(1, 1, b"a"), value(1, 1, b"b")];
        assert_eq!(LastWriterWins.merge(&values).unwrap(), "b");
    }

    #[test]
    fn sets_are_united_sorted_and_without_repetitions() {
        let values = [value(1, 1, b"milk\nbread\n"), value(2, 2, b"\neggs\nbread")];
        assert_eq!(
            SetUnion::lines().merge(&values).unwrap(),
            "bread\neggs\nmilk"
        );
        let values = [value(1, 1, b"b,a"), value(2, 2, b"c\n,a")];
        assert_eq!(
            SetUnion::separated_by(b',').merge(&values).unwrap(),
            "a,b,c\n"
        );
    }

    #[test]
    fn an_empty_set_is_a_value_all_the_same() {
        assert_eq!(SetUnion::lines().merge(&[value(1, 1, b"")]).unwrap(), "");
        assert_eq!(SetUnion::lines().merge(&[]), None);
    }

    proptest! {
        #[test]
        fn the_order_of_siblings_does_not_matter(values in siblings(), turn in 0_usize..6) {
            let mut others = values.clone();
            others.reverse();
            let turn = turn % others.len();
            others.rotate_left(turn);
            for merge in built_in() {
                prop_assert_eq!(merge.merge(&values), merge.merge(&others));
            }
        }

        #[test]
        fn merging_a_result_with_its_causes_changes_nothing(values in siblings()) {
            for merge in built_in() {
                let merged = merge.merge(&values).unwrap();
                let mut more = values.clone();
                let latest = values.iter().map(|v| v.dot.time.0).max().unwrap();
                more.push(value(latest + 1, 7, &merged));
                prop_assert_eq!(merge.merge(&more), Some(merged));
            }
        }

        #[test]
        fn the_last_writer_of_one_is_that_one(text in "[ab\n]{0,6}") {
            let only = [value(1, 1, text.as_bytes())];
            prop_assert_eq!(LastWriterWins.merge(&only).unwrap(), text);
        }

        #[test]
        fn a_union_loses_nothing_and_invents_nothing(values in siblings()) {
            use std::collections::BTreeSet;
            let elements = |bytes: &[u8]| -> BTreeSet<Vec<u8>> {
                bytes.split(|&b| b == b'\n').filter(|e| !e.is_empty()).map(<[u8]>::to_vec).collect()
            };
            let merged = elements(&SetUnion::lines().merge(&values).unwrap());
            let apart = values.iter().flat_map(|v| elements(&v.bytes)).collect();
            prop_assert_eq!(merged, apart);
        }
    }
}
