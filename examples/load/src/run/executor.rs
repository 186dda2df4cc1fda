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
//!
//! A run may have several clients of the store: caller number i uses client i modulo their number. Loading and reading
//! back are the first one's.

mod conditional;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::target::{OpError, Target};
use crate::verify::{Begun, Book, End};
use crate::workload::{Generator, Op, Values, Verb, key_name};

pub(crate) use self::conditional::Marks;

/// What came of an operation that the store answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Done {
    /// It happened.
    Plain,
    /// It happened after so many attempts.
    After(u32),
    /// Its condition did not hold.
    Mismatch,
}

/// What all operations of a run share.
#[derive(Debug)]
pub(crate) struct Executor {
    /// One or more.
    clients: Vec<Target>,
    pub(crate) values: Values,
    /// What has to be there afterwards, if that is to be verified.
    pub(crate) book: Option<Book>,
    generator: Mutex<Generator>,
    marks: Marks,
    /// Versions without a book.
    versions: AtomicU64,
}

impl Executor {
    /// An executor for the operations of `generator` on a store that these clients, one at least, are connected to.
    pub(crate) fn new(
        clients: Vec<Target>,
        values: Values,
        book: Option<Book>,
        generator: Generator,
    ) -> Self {
        let keeps_marks = generator.has(Verb::Cas);
        Self {
            clients,
            values,
            book,
            marks: Marks::new(if keeps_marks { generator.keys() } else { 0 }),
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

    /// All clients.
    pub(crate) fn clients(&self) -> &[Target] {
        &self.clients
    }

    /// The first client.
    pub(crate) fn target(&self) -> &Target {
        self.client(0)
    }

    fn client(&self, caller: usize) -> &Target {
        &self.clients[caller % self.clients.len()]
    }

    /// Carries out an operation of one of the callers.
    ///
    /// # Errors
    /// As the target says.
    pub(crate) async fn perform(&self, op: Op, caller: usize) -> Result<Done, OpError> {
        let client = self.client(caller);
        let done = match op.verb {
            Verb::Get => self.get(op.key, client).await,
            Verb::Put => self.put(op, client).await,
            Verb::Delete => self.delete(op.key, client).await,
            Verb::Insert => {
                let done = self.put(op, client).await;
                self.generator().inserted(op.key);
                done
            }
            Verb::ReadModifyWrite => match self.get(op.key, client).await {
                Ok(()) => self.put(op, client).await,
                failed => failed,
            },
            Verb::Cas => return self.cas(op, client).await,
            Verb::Update => return self.update(op, client).await,
        };
        done.map(|()| Done::Plain)
    }

    async fn get(&self, key: u64, client: &Target) -> Result<(), OpError> {
        let found = client.get(&key_name(key)).await?;
        if let (Some(book), Some(value)) = (&self.book, &found)
            && self.values.version(key, value).is_none()
        {
            book.wrong();
        }
        Ok(())
    }

    async fn put(&self, op: Op, client: &Target) -> Result<(), OpError> {
        let (begun, value) = self.new_value(op);
        let done = client.put(&key_name(op.key), value).await;
        if let (Some(book), Some(begun)) = (&self.book, begun) {
            settle(book, begun, &done);
        }
        done
    }

    /// The value that a write puts there, and its entry in the book if there is one.
    fn new_value(&self, op: Op) -> (Option<Begun>, Bytes) {
        let begun = self.book.as_ref().map(|book| book.begin(op.key, false));
        let version = match &begun {
            Some(begun) => begun.version,
            None => self.versions.fetch_add(1, Ordering::Relaxed),
        };
        (begun, self.values.make(op.key, version, op.bytes))
    }

    async fn delete(&self, key: u64, client: &Target) -> Result<(), OpError> {
        let Some(book) = &self.book else {
            return client.delete(&key_name(key)).await;
        };
        let begun = book.begin(key, true);
        let done = client.delete(&key_name(key)).await;
        settle(book, begun, &done);
        done
    }
}

fn settle<T>(book: &Book, begun: Begun, done: &Result<T, OpError>) {
    let end = match done {
        Ok(_) => End::Acked,
        Err(error) if error.may_be_stored => End::Unknown,
        Err(_) => End::Refused,
    };
    book.end(begun, end);
}
