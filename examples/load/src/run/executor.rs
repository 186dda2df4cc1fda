//! One operation, from what was drawn to what the store answered.
//!
//! ```text
//!   Op --> key bytes, value --> target --> outcome
//!            |                               |
//!            '---- book: begin ........ end -'        only with --verify
//! ```
//!
//! Shared by every worker. The locks are held for tens of nanoseconds and never across an await, and the
//! generator's runtime has one thread, so no task ever waits for them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::target::{OpError, Target};
use crate::verify::{Begun, Book, End};
use crate::workload::{Generator, Op, Values, Verb, key_name};

/// What all operations of a run share.
#[derive(Debug)]
pub(crate) struct Executor {
    pub(crate) target: Target,
    pub(crate) values: Values,
    /// What has to be there afterwards, if that is to be verified.
    pub(crate) book: Option<Book>,
    generator: Mutex<Generator>,
    /// Versions without a book.
    versions: AtomicU64,
}

impl Executor {
    /// An executor for the operations of `generator`.
    pub(crate) const fn new(
        target: Target,
        values: Values,
        book: Option<Book>,
        generator: Generator,
    ) -> Self {
        Self {
            target,
            values,
            book,
            generator: Mutex::new(generator),
            versions: AtomicU64::new(0),
        }
    }

    /// Draws operations.
    pub(crate) fn generator(&self) -> MutexGuard<'_, Generator> {
        self.generator
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries out an operation.
    ///
    /// # Errors
    /// As the target says.
    pub(crate) async fn perform(&self, op: Op) -> Result<(), OpError> {
        match op.verb {
            Verb::Get => self.get(op.key).await,
            Verb::Put => self.put(op).await,
            Verb::Delete => self.delete(op.key).await,
            Verb::Insert => {
                let done = self.put(op).await;
                self.generator().inserted(op.key);
                done
            }
            Verb::ReadModifyWrite => {
                self.get(op.key).await?;
                self.put(op).await
            }
        }
    }

    async fn get(&self, key: u64) -> Result<(), OpError> {
        let found = self.target.get(&key_name(key)).await?;
        if let (Some(book), Some(value)) = (&self.book, &found)
            && self.values.version(key, value).is_none()
        {
            book.wrong();
        }
        Ok(())
    }

    async fn put(&self, op: Op) -> Result<(), OpError> {
        let Op { key, bytes, .. } = op;
        let Some(book) = &self.book else {
            let version = self.versions.fetch_add(1, Ordering::Relaxed);
            return self
                .target
                .put(&key_name(key), self.values.make(key, version, bytes))
                .await;
        };
        let begun = book.begin(key, false);
        let value: Bytes = self.values.make(key, begun.version, bytes);
        let done = self.target.put(&key_name(key), value).await;
        settle(book, begun, &done);
        done
    }

    async fn delete(&self, key: u64) -> Result<(), OpError> {
        let Some(book) = &self.book else {
            return self.target.delete(&key_name(key)).await;
        };
        let begun = book.begin(key, true);
        let done = self.target.delete(&key_name(key)).await;
        settle(book, begun, &done);
        done
    }
}

fn settle(book: &Book, begun: Begun, done: &Result<(), OpError>) {
    let end = match done {
        Ok(()) => End::Acked,
        Err(error) if error.may_be_stored => End::Unknown,
        Err(_) => End::Refused,
    };
    book.end(begun, end);
}
