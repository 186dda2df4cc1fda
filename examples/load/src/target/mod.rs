//! The store under load: three plain verbs and two conditional ones over bytes, on any of the stores.
//!
//! ```text
//!   run --get, put, delete--> Target --+--> quoit     (the default)
//!         look, swap, update           +--> etcd      (feature `etcd`)
//!                                      '--> redis     (feature `redis`)
//! ```
//!
//! An enum and not a trait object: a call costs one branch and no allocation, so that the generator's own
//! processor time stays small beside the store's. Invariant: an [`OpError`] with `may_be_stored` false
//! means that no server holds the write. Left out: retries beyond what each store's client does by itself.

mod conditional;
#[cfg(feature = "etcd")]
mod etcd;
#[cfg(any(feature = "etcd", feature = "redis"))]
mod peer;
mod quoit;
#[cfg(feature = "redis")]
mod redis;

use std::fmt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;

pub(crate) use self::conditional::{Mark, Swapped};
#[cfg(feature = "etcd")]
pub(crate) use self::etcd::Etcd;
pub(crate) use self::quoit::Quoit;
#[cfg(feature = "redis")]
pub(crate) use self::redis::Redis;
use crate::result::HealthNote;

/// A store under load; cheap to clone, used by many tasks.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    /// A quoit cluster.
    Quoit(Quoit),
    /// An etcd cluster.
    #[cfg(feature = "etcd")]
    Etcd(Etcd),
    /// A Redis Cluster.
    #[cfg(feature = "redis")]
    Redis(Redis),
    /// Nothing at all, as slow as a test wants it.
    #[cfg(test)]
    Fake(std::sync::Arc<crate::run::testing::Fake>),
}

/// Why an operation failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OpError {
    /// Short, for counting: `no answer in time`.
    pub(crate) kind: String,
    /// Whether a write that failed so could be stored all the same.
    pub(crate) may_be_stored: bool,
}

impl fmt::Display for OpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind)
    }
}

impl std::error::Error for OpError {}

impl Target {
    /// Connects to what `--target` names, with `profile` for quoit, where `in_flight` operations will be
    /// under way at most, each for `deadline` at most.
    ///
    /// # Errors
    /// If it is not there, is no target, or was not built in.
    pub(crate) async fn connect(
        target: &str,
        profile: Option<&Path>,
        deadline: Duration,
        in_flight: usize,
    ) -> anyhow::Result<Self> {
        match target.split_once("://") {
            None if target == "quoit" => {
                let profile = profile.context("quoit needs a profile or an own cluster")?;
                Ok(Self::Quoit(
                    Quoit::connect(profile, deadline, in_flight).await?,
                ))
            }
            #[cfg(feature = "etcd")]
            Some(("etcd", address)) => Ok(Self::Etcd(Etcd::connect(address, deadline).await?)),
            #[cfg(feature = "redis")]
            Some(("redis", address)) => Ok(Self::Redis(
                Redis::connect(address, deadline, in_flight).await?,
            )),
            #[cfg(not(all(feature = "etcd", feature = "redis")))]
            Some((peer @ ("etcd" | "redis"), _)) => {
                bail!("this program was built without {peer}: build it with --features {peer}")
            }
            _ => bail!(
                "`{target}` is no target: quoit, etcd://HOST:PORT,... or redis://HOST:PORT,..."
            ),
        }
    }

    /// The value at `key`, or `None` if there is none.
    pub(crate) async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, OpError> {
        match self {
            Self::Quoit(quoit) => quoit.get(key).await,
            #[cfg(feature = "etcd")]
            Self::Etcd(etcd) => etcd.get(key).await,
            #[cfg(feature = "redis")]
            Self::Redis(redis) => redis.get(key).await,
            #[cfg(test)]
            Self::Fake(fake) => fake.get(key).await,
        }
    }

    /// Sets `key` to `value`, whatever was there.
    pub(crate) async fn put(&self, key: &[u8], value: Bytes) -> Result<(), OpError> {
        match self {
            Self::Quoit(quoit) => quoit.put(key, value).await,
            #[cfg(feature = "etcd")]
            Self::Etcd(etcd) => etcd.put(key, value).await,
            #[cfg(feature = "redis")]
            Self::Redis(redis) => redis.put(key, value).await,
            #[cfg(test)]
            Self::Fake(fake) => fake.put(key, value).await,
        }
    }

    /// Removes `key`, whether it is there or not.
    pub(crate) async fn delete(&self, key: &[u8]) -> Result<(), OpError> {
        match self {
            Self::Quoit(quoit) => quoit.delete(key).await,
            #[cfg(feature = "etcd")]
            Self::Etcd(etcd) => etcd.delete(key).await,
            #[cfg(feature = "redis")]
            Self::Redis(redis) => redis.delete(key).await,
            #[cfg(test)]
            Self::Fake(fake) => fake.delete(key).await,
        }
    }

    /// What the client did about its nodes' health so far, if it reports that.
    pub(crate) async fn health(&self) -> Option<HealthNote> {
        match self {
            Self::Quoit(quoit) => quoit.health().await,
            #[cfg(any(test, feature = "etcd", feature = "redis"))]
            _ => None,
        }
    }

    /// Ends the client in order, where there is an order.
    pub(crate) async fn close(&self) {
        match self {
            Self::Quoit(quoit) => quoit.close().await,
            #[cfg(any(test, feature = "etcd", feature = "redis"))]
            _ => {}
        }
    }

    /// The servers' processes now, where they are known; a fault script changes them.
    pub(crate) fn server_pids(&self) -> Vec<u32> {
        match self {
            Self::Quoit(quoit) => quoit.server_pids(),
            #[cfg(feature = "etcd")]
            Self::Etcd(etcd) => etcd.server_pids(),
            #[cfg(feature = "redis")]
            Self::Redis(redis) => redis.server_pids(),
            #[cfg(test)]
            Self::Fake(_) => Vec::new(),
        }
    }

    /// The store in words, with what matters for comparing: `quoit, 3 nodes, fsync, TLS`.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Quoit(quoit) => quoit.describe(),
            #[cfg(feature = "etcd")]
            Self::Etcd(etcd) => etcd.describe(),
            #[cfg(feature = "redis")]
            Self::Redis(redis) => redis.describe(),
            #[cfg(test)]
            Self::Fake(_) => "nothing".to_owned(),
        }
    }
}
