//! What a write sends: its update under a dot, encoded once for all replicas.
//!
//! ```text
//!   KeyUpdate --mint--> Version {dot 1, record} --superseded: mint_over--> Version {dot 2, record}
//! ```
//!
//! Invariant: a dot lies above everything its context has seen. Left out: when a version is minted again (`write`).

use std::time::Duration;

use bytes::Bytes;
use quoit_ring::wire::record_bytes;
use quoit_ring::{Delta, Dot, Millis, Time};

use crate::coordinator::context::OpContext;
use crate::coordinator::mint::{KeyHash, Needed, Standing};
use crate::entry::Context;
use crate::error::InvalidRequest;
use crate::metrics::Kind;
use crate::operation::plan;
use crate::quorum::Acked;

/// What a write does to its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyUpdate {
    pub(crate) key: Bytes,
    /// The value; `None` deletes.
    pub(crate) value: Option<Bytes>,
    pub(crate) ttl: Option<Duration>,
    /// What it replaces; `None` is whatever was there.
    pub(crate) context: Option<Context>,
}

impl KeyUpdate {
    /// Bytes of key and value.
    pub(crate) fn bytes(&self) -> usize {
        self.key.len() + self.value.as_ref().map_or(0, Bytes::len)
    }

    pub(crate) const fn kind(&self) -> Kind {
        match self.value {
            Some(_) => Kind::Put,
            None => Kind::Delete,
        }
    }
}

/// What is sent: the update under its present dot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Version {
    pub(super) update: KeyUpdate,
    key_hash: KeyHash,
    expiry: Option<Millis>,
    pub(super) dot: Dot,
    /// The record of the present dot, encoded once for all replicas.
    pub(super) record: Bytes,
    /// What its writer has seen then.
    pub(super) context: Context,
}

impl Version {
    /// Checks an update and mints its dot above everything its context has seen. A time to live counts from `present`.
    pub(super) fn mint(
        update: KeyUpdate,
        present: Millis,
        cx: &mut OpContext,
    ) -> Result<Self, InvalidRequest> {
        let expiry = plan::expiry(update.ttl, present)?;
        let latest = update.context.as_ref().map_or(Time::ZERO, Context::latest);
        if !cx.mint.observe(latest, cx.now.wall) {
            return Err(InvalidRequest::FutureContext {
                ahead_ms: latest.millis().0.saturating_sub(cx.now.wall.0),
                max_ms: cx.mint.max_drift_ms(),
            });
        }

        let key_hash = cx.mint.hash(&update.key, cx.now);
        let is_blind = update.context.is_none();
        let (dot, prev) = cx.mint.mint((key_hash, is_blind), latest, cx.now);
        debug_assert!(
            dot.time > latest || latest == Time::ZERO,
            "a dot lies above what its context saw"
        );
        let base = update.context.clone().unwrap_or_default();
        let (record, context) = encoded(&update, expiry, &base, prev, dot);
        Ok(Self {
            update,
            key_hash,
            expiry,
            dot,
            record,
            context,
        })
    }

    /// Takes a new dot above `above` that builds on `base`.
    pub(super) fn mint_over(&mut self, base: &Context, above: Time, cx: &mut OpContext) {
        let above = above.max(base.latest());
        let before = (self.key_hash, self.is_blind(), self.dot);
        let (dot, prev) = cx.mint.remint(before, above, cx.now);
        let (record, context) = encoded(&self.update, self.expiry, base, prev, dot);
        (self.dot, self.record, self.context) = (dot, record, context);
    }

    /// By how many milliseconds it ends too early if the nodes' clocks show `reached`, as long as this after it was put.
    pub(super) fn ends_early_by(&self, reached: Millis, elapsed: Duration) -> u64 {
        let right = plan::expiry(self.update.ttl, reached);
        let (Ok(Some(right)), Some(expiry)) = (right, self.expiry) else {
            return 0;
        };
        let elapsed = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        right.0.saturating_sub(elapsed).saturating_sub(expiry.0)
    }

    /// Half of the time for which it was put, in milliseconds.
    pub(super) fn half_life_ms(&self) -> u64 {
        let half = self.update.ttl.map_or(0, |ttl| ttl.as_millis() / 2);
        u64::try_from(half).unwrap_or(u64::MAX)
    }

    /// Takes a new dot, under which it lives from `present` on, and which replaces the old one.
    pub(super) fn mint_to_live_from(&mut self, present: Millis, cx: &mut OpContext) {
        if let Ok(expiry) = plan::expiry(self.update.ttl, present) {
            self.expiry = expiry;
        }
        let (first, above) = (core::mem::take(&mut self.context), self.dot.time);
        self.mint_over(&first, above, cx);
    }

    /// Whether it ends by time.
    pub(super) const fn expires(&self) -> bool {
        self.expiry.is_some()
    }

    /// Its name.
    pub(crate) const fn dot(&self) -> Dot {
        self.dot
    }

    /// Its key.
    pub(crate) const fn key(&self) -> &Bytes {
        &self.update.key
    }

    /// What its writer has seen with it.
    pub(crate) const fn context(&self) -> &Context {
        &self.context
    }

    /// What it does to its key.
    pub(crate) const fn update(&self) -> &KeyUpdate {
        &self.update
    }

    /// Whether it replaces whatever was there, not what a context has seen.
    pub(super) const fn is_blind(&self) -> bool {
        self.update.context.is_none()
    }

    /// It is sent again, by a client that may not be the one that minted it and hashes its key differently.
    pub(super) fn sent_again(&mut self, cx: &mut OpContext) {
        self.key_hash = cx.mint.hash(&self.update.key, cx.now);
        if self.is_blind() {
            self.counted(cx);
        }
    }

    /// How it stands to this client's later writes of the key, if it needs so many copies.
    pub(super) fn standing(&self, needed: Needed, cx: &OpContext) -> Standing {
        cx.mint.standing(self.key_hash, self.dot, needed)
    }

    /// It is a blind write that owners may acknowledge.
    pub(super) fn counted(&self, cx: &mut OpContext) {
        cx.mint.counted(self.key_hash, self.dot);
    }

    /// Whether another blind write of its client is under way on the key.
    pub(super) fn has_others(&self, cx: &OpContext) -> bool {
        cx.mint.has_others(self.key_hash, self.dot)
    }

    /// It was counted, and nothing more will come of it.
    pub(super) fn withdrawn(&self, cx: &mut OpContext) {
        cx.mint.withdrawn(self.key_hash, self.dot);
    }

    /// It waits for a later one of its client.
    pub(super) fn waits(&self, cx: &mut OpContext) {
        cx.mint.waits(self.key_hash, self.dot);
    }

    /// It waits no more.
    pub(super) fn waited(&self, cx: &mut OpContext) {
        cx.mint.waited(self.key_hash, self.dot);
    }

    /// It is counted, and has so many copies.
    pub(super) fn acknowledged(&self, acked: Acked, cx: &mut OpContext) {
        cx.mint.acknowledged(self.key_hash, self.dot, acked);
    }
}

/// The record that joins an update in under `dot`, and what its writer has seen then. An update with a context
/// replaces what `base` has seen; one without replaces whatever is older.
fn encoded(
    update: &KeyUpdate,
    expiry: Option<Millis>,
    base: &Context,
    prev: Time,
    dot: Dot,
) -> (Bytes, Context) {
    let value = update.value.clone().map(|value| (value, expiry));
    let delta = if update.context.is_some() {
        Delta::causal(dot, prev, base.seen(), value)
    } else {
        Delta::blind(dot, value)
    };
    (record_bytes(delta.record()), Context::of(delta.record()))
}
