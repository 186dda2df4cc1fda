//! Redis Cluster: a write goes to its master and waits for a replica, a read asks the master alone.
//!
//! ```text
//!   get --> slot --> master --> the one connection that all reads share
//!   put --> slot --> master --> a connection for itself: SET, WAIT 1 in one write --> back to the pool
//! ```
//!
//! `WAIT` blocks its connection until the replica has what was written on it, so writes that shared one would
//! queue up behind each other: each takes one from its master's pool. Reads have no such trouble, and sharing is much the
//! faster way for them; `reads=alone` in the address gives each its own all the same.
//! Invariant: a connection goes back to the pool only after all of its answers were read without an error.
//! Source: the cluster specification of Redis, and its pages on `WAIT` and `CLUSTER SLOTS`.
//! Conditional writes are in `conditional`. Left out: slots that are just moving (`ASK`).

mod conditional;
mod failure;
mod master;
mod slots;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bytes::Bytes;
use redis::aio::MultiplexedConnection;
use redis::{Pipeline, RedisResult};

use self::failure::{Failure, failure};
use self::master::{Master, Wire};
use self::slots::Slots;
use super::OpError;
use super::peer::Peer;

/// An operation is tried this often while masters are changing.
const TRIES: u32 = 3;
/// The masters are asked for at most this often.
const REFRESH: Duration = Duration::from_millis(100);

/// A Redis Cluster.
#[derive(Clone)]
pub(crate) struct Redis(Arc<Inner>);

struct Inner {
    wire: Wire,
    peer: Peer,
    description: String,
    /// The name by which the masters know the script of conditional writes.
    script: String,
    slots: Mutex<Arc<Slots>>,
    refreshed: tokio::sync::Mutex<Instant>,
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").finish_non_exhaustive()
    }
}

impl Redis {
    /// Connects to the cluster at `address`, which stands behind `redis://`; `in_flight` operations will
    /// be under way at most, and each may take as long as `deadline`.
    ///
    /// # Errors
    ///
    /// Fails if the address cannot be read or no node reports the masters.
    pub(crate) async fn connect(
        address: &str,
        deadline: Duration,
        in_flight: usize,
    ) -> anyhow::Result<Self> {
        let peer = Peer::parse(address)?;
        let wire = Wire {
            tls: peer.tls.clone(),
            deadline,
            pool: in_flight.clamp(1, peer.pool),
        };
        let slots = find(&wire, &peer.endpoints, None).await?;
        let mut script = String::new();
        for master in slots.masters() {
            master.fill(&wire).await?;
            master.script().clone_into(&mut script);
        }
        let description = description(&slots, &peer).await?;
        Ok(Self(Arc::new(Inner {
            wire,
            peer,
            description,
            script,
            slots: Mutex::new(Arc::new(slots)),
            refreshed: tokio::sync::Mutex::new(Instant::now()),
        })))
    }

    /// The value at `key` on its master, or `None`.
    pub(crate) async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, OpError> {
        let mut get = redis::pipe();
        get.cmd("GET").arg(key);
        let (value,) = self.ask(key, &get, self.0.peer.alone).await?;
        Ok(value)
    }

    /// Sets `key` to `value` on its master and waits for the replicas.
    pub(crate) async fn put(&self, key: &[u8], value: Bytes) -> Result<(), OpError> {
        let mut set = redis::pipe();
        set.cmd("SET").arg(key).arg(value.as_ref()).ignore();
        self.write(key, set).await
    }

    /// Removes `key` from its master and waits for the replicas.
    pub(crate) async fn delete(&self, key: &[u8]) -> Result<(), OpError> {
        let mut del = redis::pipe();
        del.cmd("DEL").arg(key).ignore();
        self.write(key, del).await
    }

    /// The servers' processes, as far as the address names them.
    pub(crate) fn server_pids(&self) -> Vec<u32> {
        self.0.peer.pids.clone()
    }

    /// `redis-cluster 7.0.15, 3 masters, TLS, AOF everysec, WAIT 1`
    pub(crate) fn describe(&self) -> String {
        self.0.description.clone()
    }

    async fn write(&self, key: &[u8], mut pipeline: Pipeline) -> Result<(), OpError> {
        if self.0.peer.wait == 0 {
            return self.ask::<()>(key, &pipeline, false).await;
        }
        self.then_wait(&mut pipeline);
        let (stored,): (u32,) = self.ask(key, &pipeline, true).await?;
        self.enough(stored)
    }

    /// Adds a command that waits until replicas have what came before it on the same connection.
    fn then_wait(&self, pipeline: &mut Pipeline) {
        let command = pipeline.cmd("WAIT").arg(self.0.peer.wait);
        command.arg(self.0.wire.milliseconds());
    }

    /// Whether as many replicas have a write as are asked for.
    fn enough(&self, stored: u32) -> Result<(), OpError> {
        if stored >= self.0.peer.wait {
            return Ok(());
        }
        Err(OpError {
            kind: "too few replicas in time".to_owned(),
            may_be_stored: true,
        })
    }

    async fn ask<T: redis::FromRedisValue>(
        &self,
        key: &[u8],
        pipeline: &Pipeline,
        alone: bool,
    ) -> Result<T, OpError> {
        let slot = slots::slot(key);
        let mut tried = 1;
        loop {
            let slots = self.slots();
            let failed = match slots.master(slot) {
                Some(master) => match self.0.once(master, pipeline, alone).await {
                    Ok(answer) => return Ok(answer),
                    Err(error) => failure(&error),
                },
                None => Failure::NOBODY,
            };
            self.again(&slots, failed, &mut tried).await?;
        }
    }

    /// Whether an operation may be tried again after this failure: the error if it may not.
    async fn again(
        &self,
        slots: &Arc<Slots>,
        failed: Failure,
        tried: &mut u32,
    ) -> Result<(), OpError> {
        if failed.masters_change {
            self.refresh(slots).await;
        }
        if !failed.masters_change || failed.may_be_stored || *tried == TRIES {
            return Err(failed.into());
        }
        *tried += 1;
        Ok(())
    }

    fn slots(&self) -> Arc<Slots> {
        let slots = self.0.slots.lock();
        Arc::clone(&slots.unwrap_or_else(PoisonError::into_inner))
    }

    /// Asks again which nodes are masters, unless that was just done or `seen` is out of date already.
    async fn refresh(&self, seen: &Arc<Slots>) {
        let mut refreshed = self.0.refreshed.lock().await;
        if !Arc::ptr_eq(seen, &self.slots()) {
            return;
        }
        tokio::time::sleep(REFRESH.saturating_sub(refreshed.elapsed())).await;
        // If no node answers, the old map stays, and the next failure comes here again.
        if let Ok(slots) = find(&self.0.wire, &self.0.peer.endpoints, Some(seen)).await {
            let mut current = self.0.slots.lock().unwrap_or_else(PoisonError::into_inner);
            *current = Arc::new(slots);
        }
        *refreshed = Instant::now();
    }
}

impl Inner {
    async fn once<T: redis::FromRedisValue>(
        &self,
        master: &Master,
        pipeline: &Pipeline,
        alone: bool,
    ) -> RedisResult<T> {
        if alone {
            master.alone(&self.wire, pipeline).await
        } else {
            pipeline.query_async(&mut master.shared()).await
        }
    }
}

/// The masters, as reported by the first node that answers.
async fn find(wire: &Wire, nodes: &[String], old: Option<&Slots>) -> anyhow::Result<Slots> {
    let mut reason = None;
    for node in nodes {
        match Slots::ask(wire, node, old).await {
            Ok(slots) => return Ok(slots),
            Err(error) => reason = Some(error),
        }
    }
    let Some(error) = reason else {
        bail!("the target's address names no node");
    };
    Err(error).context("no node of the Redis Cluster reports its masters")
}

async fn description(slots: &Slots, peer: &Peer) -> anyhow::Result<String> {
    let Some(master) = slots.masters().first() else {
        bail!("the Redis Cluster has no masters");
    };
    let version = version(&mut master.shared()).await?;
    let sync = setting(&mut master.shared(), "appendfsync").await?;
    let log = setting(&mut master.shared(), "appendonly").await?;
    let log = if log == "yes" { sync } else { "off".to_owned() };
    let reads = if peer.alone {
        ", a connection per read"
    } else {
        ""
    };
    let cas = if peer.watch { ", cas by WATCH" } else { "" };
    Ok(format!(
        "redis-cluster {version}, {} masters{}, AOF {log}, WAIT {}{reads}{cas}",
        slots.masters().len(),
        peer.encryption(),
        peer.wait,
    ))
}

async fn setting(node: &mut MultiplexedConnection, name: &str) -> RedisResult<String> {
    let mut config = redis::cmd("CONFIG");
    let (_, value): (String, String) = config.arg("GET").arg(name).query_async(node).await?;
    Ok(value)
}

async fn version(node: &mut MultiplexedConnection) -> RedisResult<String> {
    let info: String = redis::cmd("INFO").arg("server").query_async(node).await?;
    let version = info
        .lines()
        .find_map(|line| line.strip_prefix("redis_version:"));
    Ok(version.unwrap_or("of unknown version").to_owned())
}
