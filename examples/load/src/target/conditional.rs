//! Conditional writes on any of the stores: one that may find something else, and one that goes on until it succeeds.
//!
//! ```text
//!   look ----------> Mark                              what the key holds now, as the store tells versions apart
//!   swap(Mark) ----> Applied(Mark) | Mismatch(Mark)    one write; either way the caller knows what to expect next
//!   update --------> attempts                          read, swap, and again with what was found instead
//! ```
//!
//! | store | a mark is | a swap is |
//! | --- | --- | --- |
//! | quoit | the context of an entry | `compare_and_set(key).if_context(..)` |
//! | etcd | `mod_revision`, 0 for no key | a transaction; its other branch reads the key |
//! | Redis | the value | a script, or `WATCH`, `GET`, `MULTI`, `SET`, `EXEC`; then `WAIT` |
//!
//! A mismatch is an answer and no error. Left out: who remembers marks, which is `run`'s.

use bytes::Bytes;

use super::{OpError, Target};

/// How often an update begins again where others were first; quoit's client has the same bound.
#[cfg(any(feature = "etcd", feature = "redis"))]
pub(super) const MAX_ATTEMPTS: u32 = 1_000;

/// What a key held when it was last seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mark {
    /// The context of what was read or written.
    Quoit(quoit_client::Context),
    /// The revision of the last change of the key; 0 if it is not there.
    #[cfg(feature = "etcd")]
    Etcd(i64),
    /// The value itself, if there is one.
    #[cfg(feature = "redis")]
    Redis(Option<Bytes>),
    /// A number that rises with every write.
    #[cfg(test)]
    Fake(u64),
}

/// What came of a conditional write, with what is there now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Swapped {
    /// It happened.
    Applied(Mark),
    /// Something else was there than expected; nothing was written.
    Mismatch(Mark),
}

impl Target {
    /// What `key` holds; linearizable where the store has such reads.
    pub(crate) async fn look(&self, key: &[u8]) -> Result<Mark, OpError> {
        match self {
            Self::Quoit(quoit) => quoit.look(key).await,
            #[cfg(feature = "etcd")]
            Self::Etcd(etcd) => etcd.look(key).await,
            #[cfg(feature = "redis")]
            Self::Redis(redis) => redis.get(key).await.map(Mark::Redis),
            #[cfg(test)]
            Self::Fake(fake) => fake.look().await,
        }
    }

    /// Sets `key` to `value` if it is as `expected` says.
    pub(crate) async fn swap(
        &self,
        key: &[u8],
        expected: &Mark,
        value: Bytes,
    ) -> Result<Swapped, OpError> {
        match (self, expected) {
            (Self::Quoit(quoit), Mark::Quoit(context)) => quoit.swap(key, context, value).await,
            #[cfg(feature = "etcd")]
            (Self::Etcd(etcd), Mark::Etcd(revision)) => etcd.swap(key, *revision, value).await,
            #[cfg(feature = "redis")]
            (Self::Redis(redis), Mark::Redis(there)) => {
                redis.swap(key, there.as_ref(), value).await
            }
            #[cfg(test)]
            (Self::Fake(fake), Mark::Fake(number)) => fake.swap(*number).await,
            #[cfg(any(test, feature = "etcd", feature = "redis"))]
            _ => Err(OpError {
                kind: "a mark of another store".to_owned(),
                may_be_stored: false,
            }),
        }
    }

    /// Reads `key` and sets it to `value` unless it has changed meanwhile, again until it has not. Returns how often
    /// it tried to write, 1 if nobody was in its way.
    pub(crate) async fn update(&self, key: &[u8], value: Bytes) -> Result<u32, OpError> {
        match self {
            Self::Quoit(quoit) => quoit.update(key, &value).await,
            #[cfg(feature = "etcd")]
            Self::Etcd(etcd) => etcd.update(key, value).await,
            #[cfg(feature = "redis")]
            Self::Redis(redis) => redis.update(key, &value).await,
            #[cfg(test)]
            Self::Fake(fake) => fake.update().await,
        }
    }
}

/// Others were always first.
#[cfg(any(feature = "etcd", feature = "redis"))]
pub(super) fn contended() -> OpError {
    OpError {
        kind: "others were always first".to_owned(),
        may_be_stored: false,
    }
}
