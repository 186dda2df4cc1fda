//! Operations as builders: set what differs from the client's defaults, then `.await`.
//!
//! ```text
//!   put(key, value)  .w(3) .deadline(..)   .await          dropped here?
//!   nothing sent     nothing sent          handed over     the write goes on, its answer is lost
//! ```
//!
//! Nothing is sent before the first poll, nor while the operation waits for a permit. Once submitted, it
//! belongs to the client: dropping the future loses the answer and never half-cancels a write. What such a write has
//! sent may still be stored, below every write without a context that this client starts on the key afterwards. Not so
//! below a later one with a context that has not seen it, beside which it stands as a sibling, nor below one whose dot is
//! earlier since this machine's clock was set back meanwhile.
//!
//! Settings are checked when the operation starts; one out of range is an
//! [`InvalidRequest`], and nothing is sent.
//!
//! Source: the shape is that of [`IntoFuture`] builders in Rust's own documentation.

use core::fmt;
use core::future::{Future, IntoFuture};
use core::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::client::Client;
use crate::conditional::{Compared, ConditionalWrite, SwapError};
use crate::consistency::{Consistency, ReadRepair};
use crate::entry::{Context, Entry, Written};
use crate::error::{InvalidRequest, ReadError, WriteError};
use crate::merge::Merge;
use crate::metrics::Kind;
use crate::operation::plan::Plan;
use crate::operation::read::ReadResult;
use crate::operation::register::{Condition, Swap};
use crate::operation::requests::Caller;
use crate::operation::version::KeyUpdate;
use crate::operation::write::{Content, WriteResult};
use crate::operation::{Submission, read, register, write};
use crate::trace::{self, Begun, ReadTrace};

/// The future of an operation.
type Answer<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A read of one key; made by [`Client::get`].
///
/// ```no_run
/// # async fn example(client: quoit_client::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use quoit_client::{Consistency, ReadError, SetUnion};
/// use std::time::Duration;
///
/// let cart = client.get("cart:{42}").merge(SetUnion::lines()).await?;
/// let hint = client.get("hint:7").consistency(Consistency::One).await?; // quick, maybe stale
/// match client.get("cart:{42}").r(3).deadline(Duration::from_millis(50)).await {
///     Ok(entry) => println!("{:?}", entry.value()),
///     Err(ReadError::Unavailable { answered, needed, .. }) => println!("{answered} of {needed}"),
///     Err(other) => return Err(other.into()),
/// }
/// # drop((cart, hint));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "nothing happens before it is awaited"]
pub struct Get {
    client: Client,
    key: Bytes,
    plan: Plan,
    merge: Option<Arc<dyn Merge>>,
}

/// A write of one key; made by [`Client::put`].
///
/// ```no_run
/// # async fn example(client: quoit_client::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use quoit_client::Stored;
/// use std::time::Duration;
///
/// client.put("session:7", "token").ttl(Duration::from_secs(1800)).await?;
///
/// let page = client.get("page:7").await?;
/// let edit = client.put("page:7", "edited").context(page.context()).w(3);
/// if let Err(error) = edit.await {
///     match error.stored() {
///         Stored::No => println!("safe to put again: {error}"),
///         // Not by another put: this sends the very same write.
///         Stored::Maybe | Stored::UnderReplicated => drop(client.retry(error).await?),
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing happens before it is awaited"]
pub struct Put {
    client: Client,
    update: KeyUpdate,
    plan: Plan,
}

/// A delete of one key; made by [`Client::delete`].
///
/// ```no_run
/// # async fn example(client: quoit_client::Client) -> Result<(), Box<dyn std::error::Error>> {
/// let seen = client.get("cart:{42}").await?;
/// // What another writer put in the meantime stays.
/// client.delete("cart:{42}").context(seen.context()).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing happens before it is awaited"]
pub struct Delete {
    client: Client,
    update: KeyUpdate,
    plan: Plan,
}

impl fmt::Debug for Get {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Get")
            .field("key", &self.key)
            .field("plan", &self.plan)
            .finish_non_exhaustive()
    }
}

/// The settings that every operation shares.
macro_rules! plan_settings {
    ($count:ident, $doc:literal) => {
        #[doc = $doc]
        pub const fn $count(mut self, replicas: u8) -> Self {
            self.plan.count = Some(replicas);
            self
        }

        /// What the operation promises; default is the client's
        /// [`consistency`](crate::ClientBuilder::consistency). A number of replicas set here or on the client
        /// still applies.
        pub const fn consistency(mut self, consistency: Consistency) -> Self {
            self.plan.consistency = consistency;
            self
        }

        /// How long it may take once it has begun, 1 ms to 30 s; default is the client's
        /// [`deadline`](crate::ClientBuilder::deadline), 5 s. Waiting for a permit does not count.
        pub const fn deadline(mut self, deadline: Duration) -> Self {
            self.plan.deadline = deadline;
            self
        }
    };
}

impl Get {
    /// The same read with all its settings from elsewhere.
    pub(crate) const fn planned(mut self, plan: Plan) -> Self {
        self.plan = plan;
        self
    }

    pub(crate) fn new(client: Client, key: Bytes) -> Self {
        let plan = client.read_plan();
        Self {
            client,
            key,
            plan,
            merge: None,
        }
    }

    plan_settings!(
        r,
        "How many replicas must answer, 1 to N, and in quorum mode a majority; default is the client's [`r`](crate::ClientBuilder::r)."
    );

    /// When stale replicas are repaired; default is the client's
    /// [`read_repair`](crate::ClientBuilder::read_repair). With anything but
    /// [`BeforeAnswer`](ReadRepair::BeforeAnswer), this quorum read and later ones may go backwards.
    ///
    /// ```no_run
    /// # async fn example(client: quoit_client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// use quoit_client::{Consistency, ReadRepair};
    ///
    /// let avatar = client.get("avatar:7").repair(ReadRepair::Background).await?; // written once
    /// let glance = client.get("page:7").consistency(Consistency::One).repair(ReadRepair::Off).await?;
    /// # drop((avatar, glance));
    /// # Ok(())
    /// # }
    /// ```
    pub const fn repair(mut self, repair: ReadRepair) -> Self {
        self.plan.repair = Some(repair);
        self
    }

    /// Merges siblings with `merge` into one value. It is called only if there are several, on the task that
    /// awaits; nothing is written back. [`Merge`] has the rules it must keep.
    pub fn merge(mut self, merge: impl Merge + 'static) -> Self {
        self.merge = Some(Arc::new(merge));
        self
    }
}

impl Put {
    pub(crate) fn into_parts(self) -> (KeyUpdate, Plan) {
        (self.update, self.plan)
    }

    pub(crate) fn new(client: Client, key: Bytes, value: Bytes) -> Self {
        let plan = client.write_plan();
        let update = KeyUpdate {
            key,
            value: Some(value),
            ttl: None,
            context: None,
        };
        Self {
            client,
            update,
            plan,
        }
    }

    plan_settings!(
        w,
        "How many replicas must store it, 1 to N, and in quorum mode a majority; default is the client's [`w`](crate::ClientBuilder::w). All N get it in any case."
    );

    /// Whether a hint, the write kept by a fallback for an owner that is away, counts towards W: a *sloppy quorum*.
    /// Default is the client's [`sloppy`](crate::ClientBuilder::sloppy), which is off. With it the write succeeds while
    /// any W of the key's owners and fallbacks live, and reads may miss it until its owners have it.
    pub const fn sloppy(mut self, sloppy: bool) -> Self {
        self.plan.sloppy = sloppy;
        self
    }

    /// Replaces exactly what `context` has seen; concurrent writes stay, as siblings. Without a context it
    /// replaces whatever was there: the last writer wins. Of two such writes of one client that are under way at once the
    /// one that started later is the last, unless this machine's clock was set back in between; the other succeeds as
    /// overwritten by it, if that one is on as many replicas as the other needs.
    pub fn context(mut self, context: &Context) -> Self {
        self.update.context = Some(context.clone());
        self
    }

    /// How long the value lives, 1 ms to 100 years from the start of the put; default is for ever. It counts by the
    /// clocks of the nodes that keep the key, or by this machine's if that is a little ahead of them; a client that does
    /// not know theirs yet asks first, which costs one round trip. Once it has expired, by the clocks of the nodes that
    /// answer a read, the value is gone exactly as if it had been deleted.
    ///
    /// If the clocks differ too much the put fails with [`WriteError::ClockSkew`]. A value lives at most 500 ms longer than
    /// it was put to, and at most 1,000 ms shorter, or half of its time if that is less: if the clocks that come with the
    /// acknowledgements show that it ends earlier, it is written again with the right lifetime, or fails with
    /// [`Outcome::EndsEarly`](crate::Outcome::EndsEarly). In mode `One`, which may return before a majority was heard, that
    /// is not checked.
    pub const fn ttl(mut self, ttl: Duration) -> Self {
        self.update.ttl = Some(ttl);
        self
    }
}

impl Delete {
    pub(crate) fn into_parts(self) -> (KeyUpdate, Plan) {
        (self.update, self.plan)
    }

    pub(crate) fn new(client: Client, key: Bytes) -> Self {
        let plan = client.write_plan();
        let update = KeyUpdate {
            key,
            value: None,
            ttl: None,
            context: None,
        };
        Self {
            client,
            update,
            plan,
        }
    }

    plan_settings!(
        w,
        "How many replicas must store the delete, 1 to N, and in quorum mode a majority; default is the client's [`w`](crate::ClientBuilder::w). All N get it in any case."
    );

    /// Whether a hint, the write kept by a fallback for an owner that is away, counts towards W: a *sloppy quorum*.
    /// Default is the client's [`sloppy`](crate::ClientBuilder::sloppy), which is off. With it the write succeeds while
    /// any W of the key's owners and fallbacks live, and reads may miss it until its owners have it.
    pub const fn sloppy(mut self, sloppy: bool) -> Self {
        self.plan.sloppy = sloppy;
        self
    }

    /// Deletes exactly what `context` has seen; concurrent writes stay. Without a context it deletes whatever
    /// was there.
    pub fn context(mut self, context: &Context) -> Self {
        self.update.context = Some(context.clone());
        self
    }
}

impl IntoFuture for Get {
    type Output = Result<Entry, ReadError>;
    type IntoFuture = Answer<Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(read(self, None))
    }
}

impl IntoFuture for Put {
    type Output = Result<Written, WriteError>;
    type IntoFuture = Answer<Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(write(self.client, Content::New(self.update), self.plan))
    }
}

impl IntoFuture for Delete {
    type Output = Result<Written, WriteError>;
    type IntoFuture = Answer<Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(write(self.client, Content::New(self.update), self.plan))
    }
}

/// Reads; `report` gets the trace of its requests. All parts are used where they are in `get`.
#[expect(
    clippy::manual_async_fn,
    reason = "an async fn has its arguments twice, where they came in and where they are used: the future is allocated"
)]
pub(crate) fn read(
    get: Get,
    report: Option<oneshot::Sender<ReadTrace>>,
) -> impl Future<Output = Result<Entry, ReadError>> + Send {
    async move {
        let client = &get.client;
        client.check_key(&get.key)?;

        let begun = Begun {
            kind: Kind::Get,
            key: &get.key,
            plan: &get.plan,
        };
        let trace = trace::begin(begun, || client.copies(), report);
        let Some((caller, answer)) = client.admit(Kind::Get, get.key.len(), trace).await else {
            return Err(ReadError::Closed);
        };

        if !client.submit(read_submission(get.key, get.plan, caller)) {
            return Err(ReadError::Closed);
        }
        let record = answer.await.unwrap_or(Err(ReadError::Closed))?;
        Ok(Entry::of(&record).merged_by(get.merge.as_deref()))
    }
}

/// A read by a quorum, or by the key's register.
pub(crate) fn read_submission(key: Bytes, plan: Plan, caller: Caller<ReadResult>) -> Submission {
    if plan.consistency != Consistency::Linearizable {
        return Submission::Read(read::Submitted { key, plan, caller });
    }
    Submission::Register(register::Submitted {
        key,
        plan,
        goal: register::Goal::Read(caller.reply),
        kind: caller.kind,
        permit: caller.permit,
        trace: caller.trace,
    })
}

#[expect(
    clippy::manual_async_fn,
    reason = "an async fn has its arguments twice, as above"
)]
pub(crate) fn write(
    client: Client,
    content: Content,
    plan: Plan,
) -> impl Future<Output = Result<Written, WriteError>> + Send {
    async move {
        let update = content.update();
        if plan.consistency == Consistency::Linearizable {
            return linearizable(client, update.clone(), plan).await;
        }
        client.check_key(&update.key)?;
        client.check_value(update.value.as_ref())?;

        let (bytes, kind) = (update.bytes(), update.kind());
        let begun = Begun {
            kind,
            key: &update.key,
            plan: &plan,
        };
        let trace = trace::begin(begun, || client.copies(), None);
        let Some((caller, answer)) = client.admit(kind, bytes, trace).await else {
            return Err(WriteError::Closed);
        };

        let submitted = write::Submitted {
            content,
            plan,
            caller,
        };
        if !client.submit(Submission::Write(submitted)) {
            return Err(WriteError::Closed);
        }
        answer.await.unwrap_or(Err(WriteError::Abandoned))
    }
}

/// Writes whatever is there, as one step of the key's register.
async fn linearizable(
    client: Client,
    update: KeyUpdate,
    plan: Plan,
) -> Result<Written, WriteError> {
    if update.context.is_some() {
        return Err(InvalidRequest::ContextOfLinearizable.into());
    }
    let (key, swap) = linearizable_write(update);
    as_written(ConditionalWrite::planned(client, key, swap, plan).await)
}

/// A write of whatever is there, as a step of its key's register.
pub(crate) fn linearizable_write(update: KeyUpdate) -> (Bytes, Swap) {
    let swap = Swap {
        condition: Condition::Any,
        value: update.value,
        ttl: update.ttl,
    };
    (update.key, swap)
}

/// What came of a write without a condition.
pub(crate) fn as_written(swapped: Result<Compared, SwapError>) -> WriteResult {
    match swapped {
        Ok(Compared::Applied(applied)) => Ok(Written {
            dot: applied.dot,
            acked: applied.acked,
            hints: 0,
            context: applied.context,
        }),
        // Without a condition nothing can keep it from being written.
        Ok(Compared::Mismatch(_)) | Err(SwapError::Abandoned) => Err(WriteError::Abandoned),
        Err(SwapError::Invalid(invalid)) => Err(invalid.into()),
        Err(SwapError::Closed) => Err(WriteError::Closed),
        Err(SwapError::NotApplied { needed, attempts }) => Err(WriteError::NotStored {
            needed,
            n: attempts.len(),
            attempts,
        }),
        Err(SwapError::Unknown {
            needed,
            attempts,
            operation,
        }) => Err(WriteError::Undecided {
            needed,
            attempts,
            operation,
        }),
        Err(SwapError::Replaced { operation }) => Err(WriteError::Replaced { operation }),
        // Of updates alone.
        Err(SwapError::Contended) => Err(WriteError::Abandoned),
    }
}
