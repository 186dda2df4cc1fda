//! The one way to read and write, for both ports: a slot of the budget, then the client.
//!
//! Siblings are handed on as they are; the port decides what becomes of them. Conditional changes are in `swap`,
//! lists of keys in `list`.

use std::time::Duration;

use bytes::Bytes;
use quoit_client::{
    Client, Consistency, Context, Delete, Entry, Put, WriteError, WriteOne, Written,
};

use crate::budget::{Budget, Permit};
use crate::failure::Failure;
use crate::list::Cursors;
use crate::settings::Limits;
use crate::swap::Lanes;

/// What a caller sets for one operation; what it does not is the client's default.
#[derive(Debug, Clone, Default)]
pub(crate) struct Terms {
    /// R of a read, W of a write.
    pub(crate) replicas: Option<u8>,
    pub(crate) consistency: Option<Consistency>,
    pub(crate) deadline: Option<Duration>,
    /// Of a write.
    pub(crate) context: Option<Context>,
    /// Of a put.
    pub(crate) ttl: Option<Duration>,
}

/// A cluster, and what may be under way there.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) client: Client,
    pub(crate) lanes: Lanes,
    pub(crate) cursors: Cursors,
    budget: Budget,
    max_value_bytes: usize,
}

/// Sets what every builder of the client has.
macro_rules! with_terms {
    ($builder:expr, $count:ident, $terms:expr) => {{
        let mut builder = $builder;
        if let Some(replicas) = $terms.replicas {
            builder = builder.$count(replicas);
        }
        if let Some(consistency) = $terms.consistency {
            builder = builder.consistency(consistency);
        }
        if let Some(deadline) = $terms.deadline {
            builder = builder.deadline(deadline);
        }
        builder
    }};
}

impl Store {
    pub(crate) fn new(client: Client, limits: &Limits) -> Self {
        Self {
            client,
            lanes: Lanes::new(),
            cursors: Cursors::new(),
            budget: Budget::new(limits),
            max_value_bytes: limits.max_value_bytes,
        }
    }

    /// Longest value.
    pub(crate) const fn max_value_bytes(&self) -> usize {
        self.max_value_bytes
    }

    /// The right to hold so many bytes of a body or an answer.
    ///
    /// # Errors
    /// Others hold too many.
    pub(crate) fn memory(&self, bytes: usize) -> Result<Permit, Failure> {
        let full = || Failure::overloaded("the gateway holds as many bytes as it may");
        self.budget.memory(bytes).ok_or_else(full)
    }

    /// # Errors
    /// No value was changed.
    pub(crate) async fn get(&self, key: Bytes, terms: &Terms) -> Result<Entry, Failure> {
        let _slot = self.slot().await?;
        Ok(with_terms!(self.client.get(key), r, terms).await?)
    }

    /// # Errors
    /// The failure says whether the write may exist.
    pub(crate) async fn put(
        &self,
        key: Bytes,
        value: Bytes,
        terms: &Terms,
    ) -> Result<Written, Failure> {
        let _slot = self.slot().await.map_err(Failure::of_unsent_write)?;
        Ok(self.as_put(key, value, terms).await?)
    }

    /// # Errors
    /// The failure says whether the delete may exist.
    pub(crate) async fn delete(&self, key: Bytes, terms: &Terms) -> Result<Written, Failure> {
        let _slot = self.slot().await.map_err(Failure::of_unsent_write)?;
        Ok(self.as_delete(key, terms).await?)
    }

    /// Writes and deletes many keys: a result for each, in their order.
    pub(crate) async fn write_many(
        &self,
        writes: Vec<(Bytes, Option<Bytes>, Terms)>,
    ) -> Vec<Result<Written, Failure>> {
        if writes.is_empty() {
            return Vec::new();
        }
        let count = writes.len();
        let _slots = match self.slots(u32::try_from(count).unwrap_or(u32::MAX)).await {
            Ok(slots) => slots,
            Err(full) => return vec![Err(full.of_unsent_write()); count],
        };
        let write = |(key, value, terms): (Bytes, Option<Bytes>, Terms)| match value {
            Some(value) => WriteOne::from(self.as_put(key, value, &terms)),
            None => self.as_delete(key, &terms).into(),
        };
        let results = self.client.write_many(writes.into_iter().map(write)).await;
        let failed = |result: Result<_, WriteError>| result.map_err(Failure::from);
        results.into_iter().map(failed).collect()
    }

    fn as_put(&self, key: Bytes, value: Bytes, terms: &Terms) -> Put {
        let mut put = with_terms!(self.client.put(key, value), w, terms);
        if let Some(context) = &terms.context {
            put = put.context(context);
        }
        if let Some(ttl) = terms.ttl {
            put = put.ttl(ttl);
        }
        put
    }

    fn as_delete(&self, key: Bytes, terms: &Terms) -> Delete {
        let mut delete = with_terms!(self.client.delete(key), w, terms);
        if let Some(context) = &terms.context {
            delete = delete.context(context);
        }
        delete
    }

    /// The right to one operation.
    ///
    /// # Errors
    /// Too many are under way.
    pub(crate) async fn slot(&self) -> Result<Permit, Failure> {
        let full = || Failure::overloaded("as many operations are under way as may be");
        self.budget.slot().await.ok_or_else(full)
    }

    /// The right to what stands for so many operations.
    ///
    /// # Errors
    /// Too many are under way.
    pub(crate) async fn slots(&self, count: u32) -> Result<Permit, Failure> {
        let full = || Failure::overloaded("as many operations are under way as may be");
        self.budget.slots(count).await.ok_or_else(full)
    }
}
