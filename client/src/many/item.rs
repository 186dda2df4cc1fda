//! What one of many operations is: a read, or a write.

use core::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;

use crate::builders::{as_written, linearizable_write, read_submission};
use crate::client::Client;
use crate::consistency::Consistency;
use crate::entry::Entry;
use crate::error::{InvalidRequest, ReadError, WriteError};
use crate::merge::Merge;
use crate::metrics::Kind;
use crate::operation::plan::Plan;
use crate::operation::read::ReadResult;
use crate::operation::register::SwapResult;
use crate::operation::requests::Caller;
use crate::operation::version::KeyUpdate;
use crate::operation::write::{self, Content, WriteResult};
use crate::operation::{Submission, register};
use crate::reply::{self, Answer};
use crate::trace::{self, Begun};

/// One of many.
pub(super) trait Item: Send {
    /// Its key.
    fn key(&self) -> &Bytes;

    /// What comes of it.
    type Output: Send;
    /// Its answer, while it is under way.
    type Pending: Send;

    /// Refuses it for what it is; nothing is sent then.
    fn check(&self, client: &Client) -> Result<(), InvalidRequest>;

    /// Bytes of key and value.
    fn bytes(&self) -> usize;

    /// The operation for the driver.
    fn submission(
        self,
        client: &Client,
        permit: OwnedSemaphorePermit,
    ) -> (Submission, Self::Pending);

    /// Waits for its end.
    fn end(pending: Self::Pending) -> impl Future<Output = Self::Output> + Send;

    /// It was refused.
    fn invalid(invalid: InvalidRequest) -> Self::Output;

    /// The client was closed before it was sent.
    fn closed() -> Self::Output;
}

/// A read.
pub(super) struct Reading {
    pub(super) key: Bytes,
    pub(super) plan: Plan,
    pub(super) merge: Option<Arc<dyn Merge>>,
}

impl Item for Reading {
    type Output = Result<Entry, ReadError>;
    type Pending = (Answer<ReadResult>, Option<Arc<dyn Merge>>);

    fn key(&self) -> &Bytes {
        &self.key
    }

    fn check(&self, client: &Client) -> Result<(), InvalidRequest> {
        client.check_key(&self.key)
    }

    fn bytes(&self) -> usize {
        self.key.len()
    }

    fn submission(
        self,
        client: &Client,
        permit: OwnedSemaphorePermit,
    ) -> (Submission, Self::Pending) {
        let Self { key, plan, merge } = self;
        let begun = Begun {
            kind: Kind::Get,
            key: &key,
            plan: &plan,
        };
        let (reply, answer) = reply::channel();
        let caller = Caller {
            kind: Kind::Get,
            reply,
            permit,
            trace: trace::begin(begun, || client.copies(), None),
        };
        (read_submission(key, plan, caller), (answer, merge))
    }

    async fn end((answer, merge): Self::Pending) -> Self::Output {
        let record = answer.await.unwrap_or(Err(ReadError::Closed))?;
        // Now and not with the last one: small values are copied out of the buffers that they came in.
        Ok(Entry::of(&record).merged_by(merge.as_deref()))
    }

    fn invalid(invalid: InvalidRequest) -> Self::Output {
        Err(invalid.into())
    }

    fn closed() -> Self::Output {
        Err(ReadError::Closed)
    }
}

/// A write.
#[derive(Debug, Clone)]
pub(super) struct Writing {
    pub(super) update: KeyUpdate,
    pub(super) plan: Plan,
}

impl Writing {
    pub(super) fn is_linearizable(&self) -> bool {
        self.plan.consistency == Consistency::Linearizable
    }
}

/// The answer of a write: of a plain one, or of a step of its key's register.
#[derive(Debug)]
pub(super) enum Written {
    Plainly(Answer<WriteResult>),
    Linearizably(Answer<SwapResult>),
}

impl Item for Writing {
    type Output = WriteResult;
    type Pending = Written;

    fn key(&self) -> &Bytes {
        &self.update.key
    }

    fn check(&self, client: &Client) -> Result<(), InvalidRequest> {
        if self.is_linearizable() && self.update.context.is_some() {
            return Err(InvalidRequest::ContextOfLinearizable);
        }
        client.check_key(&self.update.key)?;
        client.check_value(self.update.value.as_ref())
    }

    fn bytes(&self) -> usize {
        self.update.bytes()
    }

    fn submission(
        self,
        client: &Client,
        permit: OwnedSemaphorePermit,
    ) -> (Submission, Self::Pending) {
        let is_linearizable = self.is_linearizable();
        let Self { update, plan } = self;
        let kind = match is_linearizable {
            true => Kind::CompareAndSet,
            false => update.kind(),
        };
        let begun = Begun {
            kind,
            key: &update.key,
            plan: &plan,
        };
        let trace = trace::begin(begun, || client.copies(), None);
        if is_linearizable {
            let (reply, answer) = reply::channel();
            let (key, swap) = linearizable_write(update);
            let submitted = register::Submitted {
                key,
                plan,
                goal: register::Goal::Swap(swap, reply),
                kind,
                permit,
                trace,
            };
            return (
                Submission::Register(submitted),
                Written::Linearizably(answer),
            );
        }
        let (reply, answer) = reply::channel();
        let caller = Caller {
            kind,
            reply,
            permit,
            trace,
        };
        let submitted = write::Submitted {
            content: Content::New(update),
            plan,
            caller,
        };
        (Submission::Write(submitted), Written::Plainly(answer))
    }

    async fn end(pending: Self::Pending) -> WriteResult {
        match pending {
            Written::Plainly(answer) => answer.await.unwrap_or(Err(WriteError::Abandoned)),
            Written::Linearizably(answer) => match answer.await {
                Some(swapped) => as_written(swapped),
                None => Err(WriteError::Abandoned),
            },
        }
    }

    fn invalid(invalid: InvalidRequest) -> WriteResult {
        Err(invalid.into())
    }

    fn closed() -> WriteResult {
        Err(WriteError::Closed)
    }
}
