//! Conditional writes: what callers ask for, and what they get.
//!
//! ```text
//!   compare_and_set(key) .if_absent() | .if_value(v) | .if_context(c)   .set(v) | .delete()   .ttl(..)   .await
//!        '--> Applied: it happened, with a token that rises      Mismatch: it did not, and this is there
//!             NotApplied: it did not, and never will             Unknown: ask `outcome`      Replaced: nobody knows
//! ```
//!
//! On one key they are linearizable: they happen one after the other, each at one instant between its call and its return, and so do
//! reads with [`Consistency::Linearizable`](crate::Consistency::Linearizable). Each takes two rounds to a majority of the key's
//! owners, one of them synced; a client that writes the same key again within 0.9 s of the last two needs the synced one alone, unless another
//! write has come in between. Of one client's operations on a key that need more than a look, one goes at a time, in the order of their
//! coming. A plain put on the same key is one more input: the next conditional write sees it if it was
//! acknowledged before, and replaces it or leaves it as its condition says. But the put looks at no condition, so it may replace what a
//! conditional write has just written.
//!
//! Left out: how it is carried out (`operation::register`).
//!
//! Source: Rystsov, *CASPaxos* (2018); Herlihy and Wing, *Linearizability* (1990).

mod error;
mod operation;

use core::future::{Future, IntoFuture};
use core::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use quoit_ring::Dot;

use crate::client::Client;
use crate::entry::{Context, Entry};
use crate::error::ReadError;
use crate::metrics::Kind;
use crate::operation::Submission;
use crate::operation::plan::Plan;
use crate::operation::register::{Condition, Goal, Submitted, Swap};
use crate::trace::{self, Begun};

pub use self::error::SwapError;
pub use self::operation::ConditionalOp;

/// A conditional write without its change yet; made by [`Client::compare_and_set`].
///
/// ```no_run
/// # async fn example(client: quoit_client::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use quoit_client::Compared;
///
/// match client.compare_and_set("leader").if_absent().set("n1").await? {
///     Compared::Applied(won) => println!("leader, with token {}", won.fence()),
///     Compared::Mismatch(there) => println!("another one leads: {:?}", there.value()),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing happens before a change is set and it is awaited"]
pub struct CompareAndSet {
    client: Client,
    key: Bytes,
    condition: Condition,
}

impl CompareAndSet {
    pub(crate) const fn new(client: Client, key: Bytes) -> Self {
        Self {
            client,
            key,
            condition: Condition::Any,
        }
    }

    /// If the key has no value: never written, deleted or expired.
    pub fn if_absent(mut self) -> Self {
        self.condition = Condition::Absent;
        self
    }

    /// If the key has this value, and no sibling of it. Whether another write has put the same value meanwhile makes no difference.
    pub fn if_value(mut self, value: impl Into<Bytes>) -> Self {
        self.condition = Condition::Value(value.into());
        self
    }

    /// If the key has the very versions that came with this context. A later write of the same value is another version; but absence is
    /// absence, also after a write and its delete.
    pub fn if_context(mut self, context: &Context) -> Self {
        self.condition = Condition::Unchanged(context.clone());
        self
    }

    /// Writes this value then. Without a condition it replaces whatever is there, siblings included.
    pub fn set(self, value: impl Into<Bytes>) -> ConditionalWrite {
        ConditionalWrite::new(self, Some(value.into()))
    }

    /// Deletes the key then.
    pub fn delete(self) -> ConditionalWrite {
        ConditionalWrite::new(self, None)
    }
}

/// A conditional write; made by [`CompareAndSet::set`] and [`CompareAndSet::delete`].
///
/// ```no_run
/// # async fn example(client: quoit_client::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
///
/// let lease = Duration::from_secs(30);
/// let taken = client.put_if_absent("lock:7", "me").ttl(lease).await?;
/// let renewed = client.compare_and_set("lock:7").if_value("me").set("me").ttl(lease).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing happens before it is awaited"]
pub struct ConditionalWrite {
    client: Client,
    key: Bytes,
    swap: Swap,
    plan: Plan,
}

impl ConditionalWrite {
    fn new(of: CompareAndSet, value: Option<Bytes>) -> Self {
        let CompareAndSet {
            client,
            key,
            condition,
        } = of;
        Self {
            plan: client.write_plan(),
            client,
            key,
            swap: Swap {
                condition,
                value,
                ttl: None,
            },
        }
    }

    /// How long the value lives, 1 ms to 100 years, by the clocks of the nodes that keep the key; default is for ever. Its end counts as
    /// a change: a condition that is checked afterwards finds it absent.
    pub const fn ttl(mut self, ttl: Duration) -> Self {
        self.swap.ttl = Some(ttl);
        self
    }

    /// How long it may take once it has begun, 1 ms to 30 s; default is the client's
    /// [`deadline`](crate::ClientBuilder::deadline), 5 s. Until then it is tried again where others were first.
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.plan.deadline = deadline;
        self
    }

    /// One with all its settings from elsewhere.
    pub(crate) const fn planned(client: Client, key: Bytes, swap: Swap, plan: Plan) -> Self {
        Self {
            client,
            key,
            swap,
            plan,
        }
    }
}

impl IntoFuture for ConditionalWrite {
    type Output = Result<Compared, SwapError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(swap(self))
    }
}

async fn swap(write: ConditionalWrite) -> Result<Compared, SwapError> {
    let ConditionalWrite {
        client,
        key,
        swap,
        plan,
    } = write;
    client.check_key(&key)?;
    client.check_value(swap.value.as_ref())?;

    let bytes = key.len() + swap.value.as_ref().map_or(0, Bytes::len);
    let begun = Begun {
        kind: Kind::CompareAndSet,
        key: &key,
        plan: &plan,
    };
    let trace = trace::begin(begun, || client.copies(), None);
    let Some((caller, answer)) = client.admit(Kind::CompareAndSet, bytes, trace).await else {
        return Err(SwapError::Closed);
    };
    let submitted = Submitted {
        key,
        plan,
        goal: Goal::Swap(swap, caller.reply),
        kind: caller.kind,
        permit: caller.permit,
        trace: caller.trace,
    };
    if !client.submit(Submission::Register(submitted)) {
        return Err(SwapError::Closed);
    }
    answer.await.unwrap_or(Err(SwapError::Abandoned))
}

/// What came of a conditional write that was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "it says whether the write happened"]
pub enum Compared {
    /// The condition held, and the write happened.
    Applied(Applied),
    /// The condition did not hold: this is there, and nothing was written.
    Mismatch(Entry),
}

impl Compared {
    /// Whether the write happened.
    #[must_use]
    pub const fn is_applied(&self) -> bool {
        matches!(self, Self::Applied(_))
    }
}

/// The receipt of a conditional write that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The write's name.
    pub dot: Dot,
    /// Owners that had accepted it when it returned: a majority at least.
    pub acked: usize,
    /// What is there with it. Pass it to the next write under the condition that nothing has changed.
    pub context: Context,
}

impl Applied {
    /// A token that rises with every conditional write of the key that happens. A resource that remembers the highest that it has seen,
    /// and refuses lower ones, is safe from a holder of a lock that does not know yet that it has lost it.
    ///
    /// Source: Kleppmann, *How to do distributed locking* (2016).
    #[must_use]
    pub const fn fence(&self) -> u64 {
        self.dot.time.0
    }
}

/// What a conditional write does to what it found; given back by the function of [`Client::update`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// Write this value.
    Set(Bytes),
    /// Delete the key.
    Delete,
    /// Leave it as it is.
    Keep,
}

/// What became of a conditional write, by [`Client::outcome`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// It happened.
    Applied(Applied),
    /// It did not happen, and never will.
    NotApplied,
    /// Nobody knows any more: it may have happened and was replaced since by a put without a context, which says of all older
    /// writes that they were there; or it is older than a floor of its owners. It will not happen from now on.
    Forgotten,
}

impl Client {
    /// Begins a conditional write of a key of 1 to 32,768 bytes: [`CompareAndSet`] has the conditions and the changes.
    ///
    /// ```no_run
    /// # async fn example(client: quoit_client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// let page = client.get("page:7").await?;
    /// let edited = client.compare_and_set("page:7").if_context(page.context()).set("edited").await?;
    /// println!("{}", if edited.is_applied() { "saved" } else { "somebody else was first" });
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Awaiting it gives a [`SwapError`], which says whether the write may exist.
    pub fn compare_and_set(&self, key: impl Into<Bytes>) -> CompareAndSet {
        CompareAndSet::new(self.clone(), key.into())
    }

    /// Writes a key that has no value. Of several at once, one is applied.
    ///
    /// ```no_run
    /// # async fn example(client: quoit_client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// let is_new = client.put_if_absent("user:ada", "…").await?.is_applied();
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Awaiting it gives a [`SwapError`].
    pub fn put_if_absent(
        &self,
        key: impl Into<Bytes>,
        value: impl Into<Bytes>,
    ) -> ConditionalWrite {
        self.compare_and_set(key).if_absent().set(value)
    }

    /// Deletes a key if it has the very versions that came with `context`.
    ///
    /// ```no_run
    /// # async fn example(client: quoit_client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// let job = client.get("job:7").await?;
    /// let is_mine = client.delete_if("job:7", job.context()).await?.is_applied();
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Awaiting it gives a [`SwapError`].
    pub fn delete_if(&self, key: impl Into<Bytes>, context: &Context) -> ConditionalWrite {
        self.compare_and_set(key).if_context(context).delete()
    }

    /// Reads a key, has `edit` decide what becomes of it, and writes that unless the key has changed meanwhile; then again with what is
    /// there now, each time within the client's deadline. `edit` may be called several times, 1,000 at most, and only its last result is written; gives back what
    /// was there if that is to be kept.
    ///
    /// ```no_run
    /// # async fn example(client: quoit_client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// use quoit_client::Edit;
    ///
    /// let count = |entry: &quoit_client::Entry| -> u64 {
    ///     entry.value().and_then(|value| std::str::from_utf8(value).ok()?.parse().ok()).unwrap_or(0)
    /// };
    /// client.update("visits", |entry| Edit::Set((count(entry) + 1).to_string().into())).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`SwapError`], which says whether the last write may exist. One that others were always ahead of is
    /// [`Contended`](SwapError::Contended).
    pub async fn update(
        &self,
        key: impl Into<Bytes>,
        mut edit: impl FnMut(&Entry) -> Edit,
    ) -> Result<Compared, SwapError> {
        let key = key.into();
        let mut there = match self.get(key.clone()).await {
            Ok(entry) => entry,
            Err(ReadError::Invalid(invalid)) => return Err(invalid.into()),
            Err(ReadError::Closed) => return Err(SwapError::Closed),
            Err(
                ReadError::Unavailable {
                    needed, attempts, ..
                }
                | ReadError::Unstable {
                    needed, attempts, ..
                },
            ) => {
                return Err(SwapError::NotApplied { needed, attempts });
            }
        };
        for _attempt in 0..MAX_EDITS {
            let write = self
                .compare_and_set(key.clone())
                .if_context(there.context());
            let write = match edit(&there) {
                Edit::Set(value) => write.set(value),
                Edit::Delete => write.delete(),
                Edit::Keep => return Ok(Compared::Mismatch(there)),
            };
            match write.await? {
                Compared::Mismatch(other) => there = other,
                applied @ Compared::Applied(_) => return Ok(applied),
            }
        }
        Err(SwapError::Contended)
    }

    /// Finds out what became of a conditional write, and bars it if it has not happened: it never will then. From any client of the
    /// same cluster.
    ///
    /// ```no_run
    /// # async fn example(client: quoit_client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// use quoit_client::{Settled, SwapError};
    ///
    /// if let Err(SwapError::Unknown { operation, .. }) = client.put_if_absent("order:7", "…").await {
    ///     match client.outcome(&operation).await? {
    ///         Settled::Applied(_) => println!("ordered"),
    ///         Settled::NotApplied => println!("not ordered, and it will not come later"),
    ///         Settled::Forgotten => println!("too long ago to tell"),
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ReadError`]: the outcome is as unknown as before.
    pub async fn outcome(&self, operation: &ConditionalOp) -> Result<Settled, ReadError> {
        let (key, dots) = (operation.key().clone(), operation.dots().to_vec());
        self.check_key(&key)?;
        let plan = self.read_plan();
        let begun = Begun {
            kind: Kind::CompareAndSet,
            key: &key,
            plan: &plan,
        };
        let trace = trace::begin(begun, || self.copies(), None);
        let Some((caller, answer)) = self.admit(Kind::CompareAndSet, key.len(), trace).await else {
            return Err(ReadError::Closed);
        };
        let submitted = Submitted {
            key,
            plan,
            goal: Goal::Settle(dots, caller.reply),
            kind: caller.kind,
            permit: caller.permit,
            trace: caller.trace,
        };
        if !self.submit(Submission::Register(submitted)) {
            return Err(ReadError::Closed);
        }
        answer.await.unwrap_or(Err(ReadError::Closed))
    }
}

/// How often an update begins again where others were first.
const MAX_EDITS: u32 = 1_000;
