//! What a client's table of minted keys holds, as its puts show it.
//!
//! ```text
//!   put k1 by actor A, put k2 by A, ... put kn by A, put k by B      k is new, and n keys fill the table: it was full
//! ```
//!
//! A client becomes another actor, too, when its clock went back: then its table is not full, or the key is in it.

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

        let is_full =
            dot.actor != last.actor && self.keys.len() >= self.most && !self.keys.contains(key);
        if dot.actor != last.actor {
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
    fn a_full_table_is_told_from_another_actor_for_another_reason() {
        let mut minted = MintedKeys::new(2);
        let mut sent = |key: &'static str, time, actor| {
            let (time, actor) = (Time(time), Actor(actor));
            minted.sent(&Bytes::from_static(key.as_bytes()), Dot { time, actor })
        };
        assert!(!sent("a", 1, 1) && !sent("b", 2, 1), "it fills up");
        assert!(!sent("b", 3, 2), "the key was in it");
        assert!(!sent("c", 4, 3), "one place was left");
        assert!(!sent("d", 5, 3) && !sent("a", 1, 1), "one of before");
        assert!(sent("e", 6, 4), "no place was left");
    }
}
