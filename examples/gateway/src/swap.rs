//! Conditional changes, linearizable: read, decide, and write unless the key has changed meanwhile.
//!
//! ```text
//!   read --> edit --keep--> nothing is written, this is there
//!     ^       '--set, delete--> compare and set --applied--> done
//!     '----------- changed meanwhile -----------'
//! ```
//!
//! Changes of one key by this gateway wait for each other a little, since of those at once all but one would begin again. That
//! saves work and decides nothing: another gateway, or a client, may change the key at any time.
//!
//! Bound: the deadline that the caller set, else half a minute.

use std::hash::{BuildHasher as _, RandomState};
use std::time::{Duration, Instant};

use bytes::Bytes;
use quoit_client::{Compared, ConditionalOp, Consistency, Entry, Settled};
use tokio::sync::{Mutex, MutexGuard};

use crate::failure::{Failure, Kind};
use crate::store::{Store, Terms};

/// Keys that share a lane wait for each other.
const LANES: usize = 1024;
/// How long a change waits for those before it.
const WAIT: Duration = Duration::from_secs(1);
/// How long a change may begin again, unless its caller says.
const LONGEST: Duration = Duration::from_secs(30);
/// The shortest deadline that the client takes.
const SHORTEST: Duration = Duration::from_millis(1);

/// What becomes of what was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Edit {
    /// This value is written, with a lifetime if it has one.
    Set(Bytes, Option<Duration>),
    Delete,
    Keep,
}

/// Where changes of one key wait for each other.
#[derive(Debug)]
pub(crate) struct Lanes {
    hasher: RandomState,
    lanes: Vec<Mutex<()>>,
}

impl Lanes {
    pub(crate) fn new() -> Self {
        Self {
            hasher: RandomState::new(),
            lanes: (0..LANES).map(|_| Mutex::new(())).collect(),
        }
    }

    /// The key's turn; `None` if those before it take too long, which is no reason not to try.
    async fn turn(&self, key: &Bytes) -> Option<MutexGuard<'_, ()>> {
        let hash = usize::try_from(self.hasher.hash_one(key) % LANES as u64).ok()?;
        let lane = self.lanes.get(hash)?;
        tokio::time::timeout(WAIT, lane.lock()).await.ok()
    }
}

impl Store {
    /// Writes a key that has no value.
    ///
    /// # Errors
    /// The failure says whether the write may exist.
    pub(crate) async fn put_if_absent(
        &self,
        key: Bytes,
        value: Bytes,
        terms: &Terms,
    ) -> Result<Compared, Failure> {
        let _slot = self.slot().await.map_err(Failure::of_unsent_write)?;
        let mut write = self.client.put_if_absent(key, value);
        if let Some(ttl) = terms.ttl {
            write = write.ttl(ttl);
        }
        if let Some(deadline) = terms.deadline {
            write = write.deadline(deadline);
        }
        Ok(write.await?)
    }

    /// Changes a key as `edit` decides, which may be called several times: what it decided last is done.
    ///
    /// # Errors
    /// The failure says whether the change may exist; one of `edit` itself means that nothing was written.
    pub(crate) async fn update(
        &self,
        key: Bytes,
        terms: &Terms,
        mut edit: impl FnMut(&Entry) -> Result<Edit, Failure>,
    ) -> Result<Compared, Failure> {
        let _turn = self.lanes.turn(&key).await;
        let _slot = self.slot().await.map_err(Failure::of_unsent_write)?;
        let until = Instant::now() + terms.deadline.unwrap_or(LONGEST);
        let mut get = self.client.get(key.clone());
        get = get.consistency(Consistency::Linearizable);
        if let Some(deadline) = terms.deadline {
            get = get.deadline(deadline);
        }
        let unsent = |error| Failure::from(error).of_unsent_write();
        let mut there = get.await.map_err(unsent)?;
        loop {
            let changes = self.client.compare_and_set(key.clone());
            let changes = changes.if_context(there.context());
            let mut write = match edit(&there).map_err(Failure::of_unsent_write)? {
                Edit::Keep => return Ok(Compared::Mismatch(there)),
                Edit::Delete => changes.delete(),
                Edit::Set(value, None) => changes.set(value),
                Edit::Set(value, Some(ttl)) => changes.set(value).ttl(ttl),
            };
            let left = until.saturating_duration_since(Instant::now());
            if left < SHORTEST {
                let what = "others were first until the deadline";
                return Err(Failure::new(Kind::Contended, what).of_contention());
            }
            if terms.deadline.is_some() {
                write = write.deadline(left);
            }
            match write.await? {
                Compared::Mismatch(other) => there = other,
                applied @ Compared::Applied(_) => return Ok(applied),
            }
        }
    }

    /// What became of a conditional write, which is barred if it has not happened.
    ///
    /// # Errors
    /// It is as unknown as before.
    pub(crate) async fn outcome(&self, operation: &ConditionalOp) -> Result<Settled, Failure> {
        let _slot = self.slot().await?;
        Ok(self.client.outcome(operation).await?)
    }
}
