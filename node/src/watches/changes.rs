//! What the reader of one subscription has not acknowledged: keys that have changed, in the order of their changes.
//!
//! ```text
//!   note a (1), b (2), a      1 a, 2 b            a key that was not sent yet keeps its place
//!   sent up to 2; note a      2 b, 3 a            one that was sent gets a new one: the answer may be of before
//!   acknowledged up to 2      3 a
//! ```
//!
//! Invariant: a key that was noted is there until its last number, or that of an overflow behind it, was acknowledged. Bounded in keys
//! and bytes: beyond that all are dropped, and any key may have changed.

use std::collections::BTreeMap;

use bytes::Bytes;
use quoit_ring::wire::{MAX_WATCH_BYTES, MAX_WATCH_KEYS, WatchChanges};

/// Most bytes of the keys of one subscription, each with what it costs beside.
const BYTES: usize = 256 << 10;
/// What a key costs beside its bytes, which are kept once and named twice.
const BESIDE: usize = 160;

/// The changes of one subscription.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// The number of the last change.
    last: u64,
    /// Up to which number an answer went.
    sent: u64,
    /// Up to which number any key may have changed.
    lost: Option<u64>,
    by_number: BTreeMap<u64, Bytes>,
    by_key: BTreeMap<Bytes, u64>,
    bytes: usize,
}

impl Changes {
    /// About the bytes that it occupies.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether a change has this number, or one had.
    pub(super) const fn has_reached(&self, number: u64) -> bool {
        number <= self.last
    }

    /// A key has changed.
    pub(super) fn note(&mut self, key: &[u8]) {
        let known = self.by_key.get(key).copied();
        if known.is_some_and(|number| number > self.sent) {
            return;
        }
        self.last += 1;
        let key = match known.and_then(|number| self.by_number.remove(&number)) {
            Some(key) => key,
            None => {
                self.bytes += key.len() + BESIDE;
                Bytes::copy_from_slice(key) // the key may be a slice of a frame
            }
        };
        self.by_number.insert(self.last, key.clone());
        self.by_key.insert(key, self.last);
        if self.by_key.len() > MAX_WATCH_KEYS || self.bytes > BYTES {
            self.overflow();
        }
    }

    /// Forgets which keys have changed: any may have.
    pub(super) fn overflow(&mut self) {
        if self.by_key.is_empty() {
            return;
        }
        self.by_number.clear();
        self.by_key.clear();
        self.bytes = 0;
        self.lost = Some(self.last);
    }

    /// The reader has all up to this number.
    pub(super) fn acknowledge(&mut self, number: u64) {
        let later = self.by_number.split_off(&number.saturating_add(1));
        for (_, key) in core::mem::replace(&mut self.by_number, later) {
            self.by_key.remove(&key);
            self.bytes -= key.len() + BESIDE;
        }
        self.lost.take_if(|lost| *lost <= number);
        self.sent = self.sent.max(number);
    }

    /// What to answer, and up to which number; none if nothing has changed.
    pub(super) fn answer(&mut self) -> Option<(u64, WatchChanges)> {
        if let Some(lost) = self.lost {
            self.sent = self.sent.max(lost);
            return Some((lost, WatchChanges::Overflow));
        }
        let (mut keys, mut bytes, mut through) = (Vec::new(), 0, 0);
        for (&number, key) in &self.by_number {
            if bytes >= MAX_WATCH_BYTES || keys.len() >= MAX_WATCH_KEYS {
                break;
            }
            bytes += key.len();
            through = number;
            keys.push(key.clone());
        }
        self.sent = self.sent.max(through);
        (!keys.is_empty()).then_some((through, WatchChanges::Keys(keys)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn keys_of(changes: &mut Changes) -> (u64, Vec<Bytes>) {
        match changes.answer() {
            Some((through, WatchChanges::Keys(keys))) => (through, keys),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_was_not_acknowledged_is_sent_again_and_what_changes_meanwhile_stays() {
        let mut changes = Changes::default();
        assert_eq!(changes.answer(), None);
        changes.note(b"a");
        changes.note(b"a");
        let first = (1, vec!["a".into()]);
        assert_eq!(keys_of(&mut changes), first);
        assert_eq!(keys_of(&mut changes), first, "the answer may be lost");
        changes.note(b"a");
        changes.acknowledge(1);
        assert_eq!(keys_of(&mut changes), (2, vec!["a".into()]));
        changes.acknowledge(2);
        assert_eq!((changes.answer(), changes.bytes()), (None, 0));
    }

    #[test]
    fn more_keys_than_are_kept_overflow() {
        let mut changes = Changes::default();
        let key = |number: usize| number.to_be_bytes();
        (0..=MAX_WATCH_KEYS).for_each(|number| changes.note(&key(number)));
        let lost = u64::try_from(MAX_WATCH_KEYS).unwrap() + 1;
        assert_eq!(changes.answer(), Some((lost, WatchChanges::Overflow)));
        assert_eq!(changes.bytes(), 0);
        changes.note(b"later");
        assert_eq!(changes.answer(), Some((lost, WatchChanges::Overflow)));
        changes.acknowledge(lost);
        assert_eq!(keys_of(&mut changes), (lost + 1, vec!["later".into()]));
    }

    #[test]
    fn an_answer_is_cut_off_behind_the_key_that_passes_its_bytes() {
        let mut changes = Changes::default();
        for number in 0..4 {
            changes.note(&[number; 10 << 10]);
        }
        let (through, keys) = keys_of(&mut changes);
        assert_eq!((through, keys.len()), (3, 3));
        changes.acknowledge(through);
        assert_eq!(keys_of(&mut changes).1.len(), 1);
        for number in 0..30 {
            changes.note(&[number; 10 << 10]);
        }
        assert!(matches!(
            changes.answer(),
            Some((_, WatchChanges::Overflow))
        ));
    }

    #[derive(Debug, Clone, Copy)]
    enum Step {
        Note(u8),
        Overflow,
        Answer { arrives: bool },
        Acknowledge,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            6 => (0_u8..6).prop_map(Step::Note),
            1 => Just(Step::Overflow),
            4 => any::<bool>().prop_map(|arrives| Step::Answer { arrives }),
            4 => Just(Step::Acknowledge),
        ];
        vec(step, 0..80)
    }

    proptest! {
        /// The reader looks at a key when it hears of it, as it is then.
        #[test]
        fn whoever_hears_of_all_has_seen_the_last_change_of_every_key(steps in steps()) {
            let (mut changes, mut after) = (Changes::default(), 0);
            // Keys that have changed since the reader looked.
            let mut stale = BTreeSet::<u8>::new();
            let drained = [Step::Answer { arrives: true }, Step::Acknowledge].repeat(9);
            for step in steps.into_iter().chain(drained) {
                match step {
                    Step::Note(key) => {
                        changes.note(&[key]);
                        stale.insert(key);
                    }
                    Step::Overflow => changes.overflow(),
                    Step::Acknowledge => changes.acknowledge(after),
                    Step::Answer { arrives } => match changes.answer() {
                        Some((through, sent)) if arrives => {
                            prop_assert!(through > after || after == 0 || through <= changes.last);
                            after = after.max(through);
                            match sent {
                                WatchChanges::Keys(keys) => keys.iter().for_each(|key| { stale.remove(&key[0]); }),
                                WatchChanges::Begun | WatchChanges::Overflow => stale.clear(),
                            }
                        }
                        _ => {}
                    },
                }
            }
            prop_assert!(stale.is_empty(), "{stale:?}");
            prop_assert_eq!(changes.bytes(), 0);
        }
    }
}
