//! What a client's table of minted keys holds, as its puts show it.
//!
//! ```text
//!   put k1, put k2, ... put kn, put k      k is new, and n keys fill the table: it was full, and idle ones are forgotten
//! ```
//!
//! A client becomes another actor when its clock went back: then its table is empty.

use std::collections::BTreeSet;

use bytes::Bytes;
use quoit_ring::Dot;

/// The keys that a client has written as the actor that it is.
#[derive(Debug)]
pub(super) struct MintedKeys {
    most: usize,
    keys: BTreeSet<Bytes>,
    /// The newest dot.
    last: Option<Dot>,
}

impl MintedKeys {
    /// Of a client whose table has `most` keys.
    pub(super) const fn new(most: usize) -> Self {
        Self {
            most,
            keys: BTreeSet::new(),
            last: None,
        }
    }

    /// A put is sent; whether the table was full before it.
    pub(super) fn sent(&mut self, key: &Bytes, dot: Dot) -> bool {
        let Some(last) = self.last.replace(dot) else {
            self.keys.insert(key.clone());
            return false;
        };
        if dot.time < last.time {
            self.last = Some(last); // one of before, sent once more
            return false;
        }

        let is_another = dot.actor != last.actor;
        let is_full = !is_another && self.keys.len() >= self.most && !self.keys.contains(key);
        if is_another || is_full {
            self.keys.clear();
        }
        self.keys.insert(key.clone());
        is_full
    }
}

#[cfg(test)]
mod tests {
    use quoit_ring::{Actor, Time};

    use super::*;

    #[test]
    fn a_table_is_full_when_a_key_more_than_it_has_is_written_by_one_actor() {
        let mut minted = MintedKeys::new(2);
        let mut sent = |key: &'static str, time, actor| {
            let (time, actor) = (Time(time), Actor(actor));
            minted.sent(&Bytes::from_static(key.as_bytes()), Dot { time, actor })
        };
        assert!(!sent("a", 1, 1) && !sent("b", 2, 1), "it fills up");
        assert!(!sent("b", 3, 1), "the key is in it");
        assert!(!sent("c", 4, 2), "another actor's is empty");
        assert!(!sent("d", 5, 2) && !sent("a", 1, 1), "one of before");
        assert!(sent("e", 6, 2), "no place was left");
        assert!(!sent("d", 7, 2), "the others were forgotten");
    }
}
