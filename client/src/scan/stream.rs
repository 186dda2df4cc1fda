//! A scan under way: asks for pages, reads what is doubtful, yields rows. All of it on the task that polls.
//!
//! ```text
//!   poll_next:  pages that came --> Merge --> rows and keys to read, in order
//!                  ^                            |
//!                  '-- asks for pages           '--> the first is there?  yielded; a read goes on beside the others
//! ```
//!
//! Bounded are the pages of a node (`Merge`), the rows that wait for the caller, and the reads beside each other. A scan that
//! is not polled asks for nothing.

use core::fmt;
use core::future::{Future, IntoFuture as _, poll_fn};
use core::pin::Pin;
use core::task::{Context, Poll};
use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use futures_core::Stream;
use quoit_ring::{ClusterId, Epoch, NodeId};

use super::coverage::NoCoverage;
use super::error::{InvalidScan, ScanError};
use super::merge::{Failure, Merge, Next, PageAsk};
use super::range::ScanRange;
use super::token::{Place, ScanToken};
use crate::client::Client;
use crate::entry::Entry;
use crate::error::{Attempt, Outcome, ReadError};
use crate::merge::Merge as MergeValues;
use crate::metrics::Kind;
use crate::operation::Submission;
use crate::operation::page::{PageAnswer, Submitted};
use crate::operation::plan::Plan;

/// Most rows that wait for the caller.
const MOST_READY: usize = 128;

/// Most reads beside each other.
const MOST_READS: usize = 16;

type Waiting<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// In which generation which node was asked.
type Asked = (u64, NodeId);

/// A key that a scan has found, with its values unless it is a scan of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanEntry {
    key: Bytes,
    entry: Option<Entry>,
}

impl ScanEntry {
    /// The key.
    #[must_use]
    pub const fn key(&self) -> &Bytes {
        &self.key
    }

    /// What a get of the key would have returned; `None` if the scan is one of [keys only](crate::Scan::keys_only).
    #[must_use]
    pub const fn entry(&self) -> Option<&Entry> {
        self.entry.as_ref()
    }

    /// The value, as of [`Entry::value`]: `None` for siblings that are not merged, and in a scan of keys.
    #[must_use]
    pub fn value(&self) -> Option<&Bytes> {
        self.entry.as_ref()?.value()
    }

    /// Key and entry.
    #[must_use]
    pub fn into_parts(self) -> (Bytes, Option<Entry>) {
        (self.key, self.entry)
    }
}

/// The rows of a scan, in order; made by [`Scan::stream`](crate::Scan::stream), which has an example.
///
/// It is a [`Stream`] too, for those who have combinators for these. After an error it has ended.
#[must_use = "nothing is asked for before it is polled"]
pub struct ScanStream {
    client: Client,
    cluster: ClusterId,
    range: ScanRange,
    plan: Plan,
    values: bool,
    merge_values: Option<Arc<dyn MergeValues>>,
    merge: Merge,
    pages: Vec<(Asked, Waiting<Option<PageAnswer>>)>,
    ready: VecDeque<Ready>,
    reads: usize,
    /// What the caller may still get.
    left: u64,
    /// All up to here was yielded, or is nothing.
    place: Place,
    has_ended: bool,
}

/// A key that has been decided.
enum Ready {
    Row(Bytes, Option<Entry>),
    Nothing(Bytes),
    Reading(Bytes, Waiting<Result<Entry, ReadError>>),
    Failed(ScanError),
}

/// What a stream is made of.
pub(super) struct Parts {
    pub(super) client: Client,
    pub(super) range: ScanRange,
    pub(super) plan: Plan,
    pub(super) values: bool,
    pub(super) limit: Option<u64>,
    pub(super) merge_values: Option<Arc<dyn MergeValues>>,
    pub(super) merge: Merge,
}

impl ScanStream {
    pub(super) fn new(parts: Parts) -> Self {
        let Parts {
            client,
            range,
            plan,
            values,
            limit,
            merge_values,
            merge,
        } = parts;
        let place = merge.place().clone();
        Self {
            cluster: merge.topology().source().map().cluster,
            has_ended: place == Place::End,
            client,
            range,
            plan,
            values,
            merge_values,
            merge,
            pages: Vec::new(),
            ready: VecDeque::new(),
            reads: 0,
            left: limit.unwrap_or(u64::MAX),
            place,
        }
    }

    /// The next row; `None` once all have come, or the limit is reached.
    ///
    /// Dropping this future loses nothing: the next call goes on.
    ///
    /// # Errors
    /// [`ScanError`]; what was yielded before stays true, and the scan has ended. [`ScanStream::token`] goes on from there.
    pub async fn next(&mut self) -> Option<Result<ScanEntry, ScanError>> {
        poll_fn(|cx| self.poll_row(cx)).await
    }

    /// Where another scan would go on: behind the last row that was yielded, and behind all that was passed over since.
    ///
    /// The limit is no part of it, nor is whether values are wanted.
    #[must_use]
    pub fn token(&self) -> ScanToken {
        ScanToken::new(self.cluster, &self.range, self.place.clone())
    }

    fn poll_row(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<ScanEntry, ScanError>>> {
        loop {
            if self.has_ended && self.ready.is_empty() || self.left == 0 {
                self.end();
                return Poll::Ready(None);
            }
            if let Poll::Ready(first) = self.poll_first(cx) {
                match first {
                    Some(Ok(entry)) => {
                        self.left -= 1;
                        return Poll::Ready(Some(Ok(entry)));
                    }
                    Some(Err(error)) => {
                        self.end();
                        return Poll::Ready(Some(Err(error)));
                    }
                    None => continue,
                }
            }
            let has_pages = self.poll_pages(cx);
            let has_rows = self.decide();
            let has_asked = self.ask_for_pages();
            if !(has_pages || has_rows || has_asked) {
                return Poll::Pending;
            }
        }
    }

    /// The first of what was decided, once it is there: `None` if it has no value.
    fn poll_first(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<ScanEntry, ScanError>>> {
        let reading = if self.reads > 0 { self.ready.len() } else { 0 };
        // All that are under way, or each would begin when the one before has ended.
        for ready in self.ready.iter_mut().take(reading) {
            let Ready::Reading(key, read) = ready else {
                continue;
            };
            if let Poll::Ready(result) = read.as_mut().poll(cx) {
                self.reads -= 1;
                let key = core::mem::take(key);
                *ready = match result {
                    Ok(entry) if entry.is_absent() => Ready::Nothing(key),
                    Ok(entry) => Ready::Row(key, self.values.then_some(entry)),
                    Err(source) => Ready::Failed(unread(key, source)),
                };
            }
        }
        match self.ready.pop_front() {
            None => Poll::Pending,
            Some(reading @ Ready::Reading(..)) => {
                self.ready.push_front(reading);
                Poll::Pending
            }
            Some(Ready::Failed(error)) => Poll::Ready(Some(Err(error))),
            Some(Ready::Nothing(key)) => {
                self.pass(key);
                Poll::Ready(None)
            }
            Some(Ready::Row(key, entry)) => {
                self.pass(key.clone());
                let entry = entry.map(|entry| entry.merged_by(self.merge_values.as_deref()));
                Poll::Ready(Some(Ok(ScanEntry { key, entry })))
            }
        }
    }

    /// All up to `key` was yielded; and what the merge has passed since, if nothing of that waits.
    fn pass(&mut self, key: Bytes) {
        self.place = if self.ready.is_empty() {
            self.merge.place().clone()
        } else {
            Place::Behind(key)
        };
    }

    /// Gives the merge what has come; whether anything has.
    fn poll_pages(&mut self, cx: &mut Context<'_>) -> bool {
        let (merge, client) = (&mut self.merge, &self.client);
        let (before, mut is_closed) = (self.pages.len(), false);
        self.pages.retain_mut(|(asked, page)| {
            let Poll::Ready(answer) = page.as_mut().poll(cx) else {
                return true;
            };
            match answer {
                Some(PageAnswer::Page(page, clock)) => merge.page(*asked, page, clock),
                Some(PageAnswer::Failed(outcome)) => merge.failed(*asked, outcome),
                Some(PageAnswer::Moved) => {
                    merge.moved(client.topology());
                    merge.ask_again(asked.0);
                }
                None => is_closed = true,
            }
            false
        });
        if is_closed && !self.has_ended {
            self.ready.push_back(Ready::Failed(ScanError::Closed));
            self.has_ended = true;
        }
        self.pages.len() < before
    }

    /// Takes decisions from the merge while there is room; whether there were any.
    fn decide(&mut self) -> bool {
        let mut has_any = false;
        while !self.has_ended && self.ready.len() < MOST_READY && self.reads < MOST_READS {
            match self.merge.poll() {
                Next::Row(key, record) => {
                    let entry = self.values.then(|| Entry::of(&record));
                    self.ready.push_back(Ready::Row(key, entry));
                }
                Next::Read(key) => {
                    let read = self.client.get(key.clone()).planned(self.plan);
                    self.reads += 1;
                    let read = read.into_future();
                    self.ready.push_back(Ready::Reading(key, read));
                }
                Next::Wait => break,
                Next::Done => self.has_ended = true,
                Next::Failed(failure) => {
                    self.ready.push_back(Ready::Failed(self.explained(failure)));
                    self.has_ended = true;
                }
            }
            has_any = true;
        }
        if self.ready.is_empty() {
            self.place = self.merge.place().clone();
        }
        has_any
    }

    fn ask_for_pages(&mut self) -> bool {
        let before = self.pages.len();
        while !self.has_ended
            && let Some(ask) = self.merge.poll_page()
        {
            let asked = (ask.generation, ask.node);
            let page = page(
                self.client.clone(),
                self.merge.topology().epoch(),
                ask,
                self.plan,
            );
            self.pages.push((asked, Box::pin(page)));
        }
        self.pages.len() > before
    }

    fn end(&mut self) {
        self.has_ended = true;
        self.ready.clear();
        self.pages.clear();
    }

    fn explained(&self, failure: Failure) -> ScanError {
        let Failure { why, failed } = failure;
        match why {
            NoCoverage::Invalid(invalid) => InvalidScan::Request(invalid).into(),
            NoCoverage::TooFew { needed, owners } => {
                let attempt = |node: NodeId| {
                    let outcome = failed.iter().find(|(failed, _)| *failed == node);
                    let member = self.merge.topology().member(node);
                    Attempt {
                        node,
                        name: member.map_or_else(|| node.to_string(), |it| it.name.clone()),
                        outcome: outcome.map_or(Outcome::Done, |(_, outcome)| outcome.clone()),
                    }
                };
                let attempts = owners.into_iter().map(attempt).collect();
                ScanError::Unavailable { needed, attempts }
            }
        }
    }
}

/// Asks one node for one page; `None` if the client is closed.
async fn page(client: Client, epoch: Epoch, ask: PageAsk, plan: Plan) -> Option<PageAnswer> {
    let PageAsk { node, request, .. } = ask;
    let bytes = request.bytes as usize;
    let (caller, answer) = client.admit(Kind::Ask, bytes, None).await?;
    let submitted = Submitted {
        node,
        epoch,
        request,
        deadline: plan.deadline,
        caller,
    };
    if !client.submit(Submission::Page(submitted)) {
        return None;
    }
    answer.await
}

fn unread(key: Bytes, source: ReadError) -> ScanError {
    match source {
        ReadError::Closed => ScanError::Closed,
        source => ScanError::Read { key, source },
    }
}

impl Stream for ScanStream {
    type Item = Result<ScanEntry, ScanError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_row(cx)
    }
}

impl fmt::Debug for ScanStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScanStream")
            .field("range", &self.range)
            .field("place", &self.place)
            .field("has_ended", &self.has_ended)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_may_be_sent_to_another_task_and_polled_there() {
        const fn is_movable<T: Send + Unpin + Stream>() {}
        is_movable::<ScanStream>();
    }
}
