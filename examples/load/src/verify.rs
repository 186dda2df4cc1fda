//! What became of acknowledged writes.
//!
//! ```text
//!   one key, time to the right:      put 1 |--acked--|
//!                                                        put 2 |-----acked-----|
//!                                                            put 3 |--acked--|
//!                                                                  delete 4 |--outcome unknown ....
//!   may be there in the end:         2, 3 or nothing; not 1, since 2 began after 1 had ended
//! ```
//!
//! Every write of a key has a version of its own, and every value carries it. A write is *replaced* once an
//! acknowledged write of the same key has begun after it had ended; of writes that overlapped either may
//! have won. When the load is over every key is read:
//!
//! | found | counted as |
//! | --- | --- |
//! | the value of a write that was not replaced, or nothing after such a delete | fine |
//! | an older value, or nothing, where an acknowledged value should be | lost |
//! | a value where an acknowledged delete or nothing should be | resurrected |
//! | what no write put there, what was damaged, or a write reported as surely not stored | wrong |
//! | no answer, three times | unknown |
//!
//! A write whose outcome is unknown never ends: it may be found, and it replaces nothing. Wrong values
//! that operations read while the load runs are counted too. Left out: whether reads during the run were
//! as new as they should be. The rule is that of a regular register (Lamport, *On Interprocess
//! Communication*, 1986), asked once, at the end.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::result::VerifyNote;

/// Version of the value that a key is loaded with.
pub(crate) const LOADED: u64 = 0;

/// Every write of a run, as far as it may still matter.
#[derive(Debug, Default)]
pub(crate) struct Book(Mutex<Pages>);

#[derive(Debug, Default)]
struct Pages {
    /// Counts starts and ends, so that they have an order.
    now: u64,
    /// Keys below this one were loaded.
    loaded: u64,
    keys: BTreeMap<u64, Page>,
    wrong: u64,
}

/// The writes of one key.
#[derive(Debug)]
struct Page {
    versions: u64,
    /// Those that may be there.
    standing: Vec<Write>,
    /// Surely not stored.
    refused: Vec<u64>,
}

#[derive(Debug, Clone, Copy)]
struct Write {
    version: u64,
    deletes: bool,
    /// `u64::MAX` if that is unknown.
    ended: u64,
}

/// A write under way.
#[derive(Debug)]
#[must_use = "its end has to be written down"]
pub(crate) struct Begun {
    key: u64,
    /// What its value has to carry.
    pub(crate) version: u64,
    deletes: bool,
    at: u64,
}

/// How a write ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Acknowledged.
    Acked,
    /// Surely stored nowhere.
    Refused,
    /// Either.
    Unknown,
}

/// What was read under a key in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing.
    Nothing,
    /// A value of this version.
    Version(u64),
    /// A value that no write of this run made for this key.
    Foreign,
}

/// What that means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Judgement {
    Fine,
    Lost,
    Resurrected,
    Wrong,
}

impl Book {
    /// A book of a store in which the keys below `loaded` have their first value, and others have none.
    pub(crate) fn new(loaded: u64) -> Self {
        Self(Mutex::new(Pages {
            loaded,
            ..Pages::default()
        }))
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A write of `key` begins.
    pub(crate) fn begin(&self, key: u64, deletes: bool) -> Begun {
        let mut pages = self.pages();
        pages.now += 1;
        let at = pages.now;
        let first = Page::new(key < pages.loaded);
        let page = pages.keys.entry(key).or_insert(first);
        page.versions += 1;
        Begun {
            key,
            version: page.versions,
            deletes,
            at,
        }
    }

    /// It ended.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a write ends once, so its begin is taken away"
    )]
    pub(crate) fn end(&self, begun: Begun, end: End) {
        let mut pages = self.pages();
        pages.now += 1;
        let now = pages.now;
        let Some(page) = pages.keys.get_mut(&begun.key) else {
            return;
        };
        let Begun {
            version,
            deletes,
            at,
            ..
        } = begun;
        match end {
            End::Acked => {
                page.standing.retain(|write| write.ended > at);
                page.standing.push(Write {
                    version,
                    deletes,
                    ended: now,
                });
            }
            End::Unknown => page.standing.push(Write {
                version,
                deletes,
                ended: u64::MAX,
            }),
            End::Refused => page.refused.push(version),
        }
    }

    /// A read during the run found what no write put there.
    pub(crate) fn wrong(&self) {
        self.pages().wrong += 1;
    }

    /// What it means that `found` is there now that every write has ended.
    pub(crate) fn judge(&self, key: u64, found: Found) -> Judgement {
        let pages = self.pages();
        match pages.keys.get(&key) {
            Some(page) => page.judge(found),
            None => Page::new(key < pages.loaded).judge(found),
        }
    }

    /// The count of judgements, with `unknown` keys that could not be read.
    pub(crate) fn note(&self, judged: &[Judgement], unknown: u64) -> VerifyNote {
        let count = |what| {
            judged
                .iter()
                .fold(0, |sum, judgement| sum + u64::from(*judgement == what))
        };
        let checked = judged.iter().fold(0, |sum, _| sum + 1);
        VerifyNote {
            checked,
            lost: count(Judgement::Lost),
            resurrected: count(Judgement::Resurrected),
            wrong: count(Judgement::Wrong) + self.pages().wrong,
            unknown,
        }
    }
}

impl Page {
    fn new(loaded: bool) -> Self {
        let first = Write {
            version: LOADED,
            deletes: !loaded,
            ended: 0,
        };
        Self {
            versions: LOADED,
            standing: vec![first],
            refused: Vec::new(),
        }
    }

    fn judge(&self, found: Found) -> Judgement {
        let may_be_absent = self.standing.iter().any(|write| write.deletes);
        match found {
            Found::Foreign => Judgement::Wrong,
            Found::Nothing if may_be_absent => Judgement::Fine,
            Found::Nothing => Judgement::Lost,
            Found::Version(version)
                if self.refused.contains(&version) || version > self.versions =>
            {
                Judgement::Wrong
            }
            Found::Version(version) if self.may_hold(version) => Judgement::Fine,
            Found::Version(_) if may_be_absent => Judgement::Resurrected,
            Found::Version(_) => Judgement::Lost,
        }
    }

    fn may_hold(&self, version: u64) -> bool {
        self.standing
            .iter()
            .any(|write| write.version == version && !write.deletes)
    }
}

#[cfg(test)]
mod tests;
