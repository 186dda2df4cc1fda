//! Many keys at once: the same operations, with one call and one answer each.
//!
//! ```text
//!   get_many(keys)        --> [ k1 k2 k3 .. kn ] --window--> the driver    a quorum of its own for each key
//!   put_many(pairs)                 |                           |          frames for one node leave in one write,
//!   delete_many(keys)               |                           |          its writes share a commit
//!   write_many(puts, deletes)       '---- results, in order <---'
//! ```
//!
//! Each key is an operation by itself, with its replicas, hedges, repair and retries, and has a result of its own: nothing is atomic
//! over keys, and one that fails says nothing of the others. What is saved is a permit's wait, a wake-up and a channel for each, and
//! batches that fill themselves on the way: all frames that wait for a node leave in one write, and all writes that wait at a node
//! are one commit. No message of the protocol carries several keys, so nothing is half done where a node refuses one of them.
//!
//! Invariants: results have the order of what was asked for. Writes start in that order, so of two without a context on one key the
//! later one is the last; where one of a call's writes is linearizable, none begins before an earlier one of its key has ended. However
//! many keys there are, one call has half of [`max_in_flight`](crate::ClientBuilder::max_in_flight) under way at most, by number and
//! bytes of what is sent. What is read is not bounded but by the keys that were asked for.
//!
//! Left out: what an operation does (`operation`).

mod item;
mod window;

use core::fmt;
use core::future::{Future, IntoFuture};
use core::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::builders::{Delete, Put};
use crate::client::Client;
use crate::consistency::Consistency;
use crate::entry::{Entry, Written};
use crate::error::{ReadError, WriteError};
use crate::merge::Merge;
use crate::operation::plan::Plan;

use self::item::{Reading, Writing};
use self::window::Order;

type Answers<T> = Pin<Box<dyn Future<Output = Vec<T>> + Send>>;

/// A read of many keys; made by [`Client::get_many`].
#[derive(Clone)]
#[must_use = "nothing happens before it is awaited"]
pub struct GetMany {
    client: Client,
    keys: Vec<Bytes>,
    plan: Plan,
    merge: Option<Arc<dyn Merge>>,
}

/// Writes of many keys; made by [`Client::put_many`], [`Client::delete_many`] and [`Client::write_many`].
#[derive(Debug, Clone)]
#[must_use = "nothing happens before it is awaited"]
pub struct WriteMany {
    client: Client,
    writes: Vec<WriteOne>,
}

/// One write of [`Client::write_many`]: a [`Put`] or a [`Delete`], with its settings.
#[derive(Debug, Clone)]
pub struct WriteOne(Writing);

impl From<Put> for WriteOne {
    fn from(put: Put) -> Self {
        let (update, plan) = put.into_parts();
        Self(Writing { update, plan })
    }
}

impl From<Delete> for WriteOne {
    fn from(delete: Delete) -> Self {
        let (update, plan) = delete.into_parts();
        Self(Writing { update, plan })
    }
}

impl fmt::Debug for GetMany {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GetMany")
            .field("keys", &self.keys.len())
            .field("plan", &self.plan)
            .finish_non_exhaustive()
    }
}

impl GetMany {
    /// How many replicas must answer for each key; as [`Get::r`](crate::Get::r).
    pub const fn r(mut self, replicas: u8) -> Self {
        self.plan.count = Some(replicas);
        self
    }

    /// What each read promises; as [`Get::consistency`](crate::Get::consistency).
    pub const fn consistency(mut self, consistency: Consistency) -> Self {
        self.plan.consistency = consistency;
        self
    }

    /// How long each read may take once it has begun, not all of them together; as [`Get::deadline`](crate::Get::deadline).
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.plan.deadline = deadline;
        self
    }

    /// Merges the siblings of each key that has several; as [`Get::merge`](crate::Get::merge).
    pub fn merge(mut self, merge: impl Merge + 'static) -> Self {
        self.merge = Some(Arc::new(merge));
        self
    }
}

impl WriteMany {
    /// How many replicas must store each write; as [`Put::w`].
    pub fn w(self, replicas: u8) -> Self {
        self.each(|write| write.plan.count = Some(replicas))
    }

    /// What each write promises; as [`Put::consistency`].
    pub fn consistency(self, consistency: Consistency) -> Self {
        self.each(|write| write.plan.consistency = consistency)
    }

    /// How long each write may take once it has begun, not all of them together; as [`Put::deadline`].
    pub fn deadline(self, deadline: Duration) -> Self {
        self.each(|write| write.plan.deadline = deadline)
    }

    /// Whether hints count towards W; as [`Put::sloppy`].
    pub fn sloppy(self, sloppy: bool) -> Self {
        self.each(|write| write.plan.sloppy = sloppy)
    }

    /// How long each value lives; as [`Put::ttl`]. Deletes have no lifetime.
    pub fn ttl(self, ttl: Duration) -> Self {
        self.each(|write| write.update.ttl = write.update.value.as_ref().map(|_| ttl))
    }

    fn each(mut self, set: impl Fn(&mut Writing)) -> Self {
        for write in &mut self.writes {
            set(&mut write.0);
        }
        self
    }
}

impl IntoFuture for GetMany {
    type Output = Vec<Result<Entry, ReadError>>;
    type IntoFuture = Answers<Result<Entry, ReadError>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let Self {
                client,
                keys,
                plan,
                merge,
            } = self;
            let reads = keys.into_iter().map(|key| Reading {
                key,
                plan,
                merge: merge.clone(),
            });
            window::run(&client, reads, Order::Any).await
        })
    }
}

impl IntoFuture for WriteMany {
    type Output = Vec<Result<Written, WriteError>>;
    type IntoFuture = Answers<Result<Written, WriteError>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let order = match self.writes.iter().any(|write| write.0.is_linearizable()) {
                true => Order::ByKey,
                false => Order::Any,
            };
            let writes = self.writes.into_iter().map(|write| write.0);
            window::run(&self.client, writes, order).await
        })
    }
}

impl Client {
    /// Reads many keys: a result for each, in the order of the keys. Each is a read by itself, as [`Client::get`] makes it: the
    /// results are not of one instant, and one that fails leaves the others as they are.
    ///
    /// ```no_run
    /// # async fn example(client: quoit_client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// let keys = ["user:ada", "user:bob", "user:eve"];
    /// for (key, result) in keys.iter().zip(client.get_many(keys).await) {
    ///     println!("{key}: {:?}", result?.value());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// One call has half of [`max_in_flight`](crate::ClientBuilder::max_in_flight) under way at once at most; all entries are held until
    /// the last one has come. Dropping the future while it is polled leaves those under way to the client, and the rest unread.
    ///
    /// # Errors
    /// Awaiting it gives a [`ReadError`] for each key that could not be read. An invalid key is refused by itself.
    pub fn get_many<K: Into<Bytes>>(&self, keys: impl IntoIterator<Item = K>) -> GetMany {
        GetMany {
            client: self.clone(),
            keys: keys.into_iter().map(Into::into).collect(),
            plan: self.read_plan(),
            merge: None,
        }
    }

    /// Writes many keys: a result for each, in the order of the pairs. Each is a write by itself, as [`Client::put`] makes it, without
    /// a context: nothing is atomic over keys. Of two pairs with one key, the later one is the last.
    ///
    /// ```no_run
    /// # async fn example(client: quoit_client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// let pairs = (0..10_000).map(|n| (format!("row:{n}"), format!("value {n}")));
    /// let results = client.put_many(pairs).await;
    /// let failed: Vec<_> = results.into_iter().filter_map(Result::err).collect();
    /// for error in &failed {
    ///     println!("{error}; may be stored: {:?}", error.stored());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Awaiting it gives a [`WriteError`] for each that failed, which says whether that write may exist; and can be sent again by
    /// [`Client::retry`].
    pub fn put_many<K: Into<Bytes>, V: Into<Bytes>>(
        &self,
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> WriteMany {
        self.write_many(pairs.into_iter().map(|(key, value)| self.put(key, value)))
    }

    /// Deletes many keys: a result for each, in the order of the keys. Each is a delete by itself, as [`Client::delete`] makes it.
    ///
    /// ```no_run
    /// # async fn example(client: quoit_client::Client) {
    /// let results = client.delete_many(["session:1", "session:2"]).await;
    /// println!("{} deleted", results.iter().filter(|it| it.is_ok()).count());
    /// # }
    /// ```
    ///
    /// # Errors
    /// Awaiting it gives a [`WriteError`] for each that failed.
    pub fn delete_many<K: Into<Bytes>>(&self, keys: impl IntoIterator<Item = K>) -> WriteMany {
        self.write_many(keys.into_iter().map(|key| self.delete(key)))
    }

    /// Writes and deletes many keys, each with settings of its own: a result for each, in the order of the writes.
    ///
    /// ```no_run
    /// # async fn example(client: quoit_client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    ///
    /// let cart = client.get("cart:{42}").await?;
    /// let results = client
    ///     .write_many([
    ///         client.put("order:{42}", "…").w(3).into(),
    ///         client.put("hint:{42}", "…").ttl(Duration::from_secs(60)).into(),
    ///         quoit_client::WriteOne::from(client.delete("cart:{42}").context(cart.context())),
    ///     ])
    ///     .await;
    /// # drop(results);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Awaiting it gives a [`WriteError`] for each that failed.
    pub fn write_many<W: Into<WriteOne>>(&self, writes: impl IntoIterator<Item = W>) -> WriteMany {
        WriteMany {
            client: self.clone(),
            writes: writes.into_iter().map(Into::into).collect(),
        }
    }
}
