//! A watch under way: polls nodes, reads what has changed, yields it. All of it on the task that polls.
//!
//! ```text
//!   poll_next:  answers, reads and rows that came --> Machine --> polls, reads, a scan, a moment to wait for
//!                                                        '--> the entry of a read or row is news: yielded
//! ```
//!
//! Nothing waits for the caller here: an entry is yielded as its read ends. A stream that is not polled asks for nothing; what
//! changes meanwhile gathers at the nodes, in bounded memory, and they forget it after ten seconds.

use core::fmt;
use core::future::{Future, IntoFuture as _, poll_fn};
use core::pin::Pin;
use core::task::{Context, Poll};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use quoit_ring::wire::{Refusal, WatchRequest};
use quoit_ring::{ClusterId, Epoch, Moment, NodeId};

use super::error::WatchError;
use super::event::{WatchEntry, WatchEvent};
use super::feeds::PollAsk;
use super::machine::{Machine, Notice, Step, Target};
use super::memory::Found;
use super::nodes_of;
use super::token::WatchToken;
use crate::client::Client;
use crate::entry::Entry;
use crate::error::{Outcome, ReadError};
use crate::merge::Merge;
use crate::metrics::Kind;
use crate::operation::Submission;
use crate::operation::pause::{self, Woken};
use crate::operation::plan::Plan;
use crate::operation::poll::{self, PollAnswer, Polled};
use crate::scan::{InvalidScan, ScanError, ScanStream};

/// Longest wait at a time: a client that is closed waits for what is under way.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

type Waiting<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// In which generation which node was asked.
type Asked = (u64, NodeId);

/// The changes of a key or prefix; made by [`Watch::stream`](crate::Watch::stream), which has an example.
///
/// It is a [`Stream`] too, for those who have combinators for these. After an error it has ended.
#[must_use = "nothing is asked for before it is polled"]
pub struct WatchStream {
    client: Client,
    cluster: ClusterId,
    target: Target,
    plan: Plan,
    merge: Option<Arc<dyn Merge>>,
    machine: Machine,
    epoch: Epoch,
    /// Of its subscriptions; random, once the first moment has come.
    id: Option<u64>,
    polls: Vec<(Asked, Waiting<Option<Polled>>)>,
    reads: Vec<(Bytes, Waiting<Result<Entry, ReadError>>)>,
    scan: Option<ScanStream>,
    timer: Option<(Moment, Waiting<Option<Woken>>)>,
    has_ended: bool,
}

/// What a stream is made of.
pub(super) struct Parts {
    pub(super) client: Client,
    pub(super) target: Target,
    pub(super) plan: Plan,
    pub(super) merge: Option<Arc<dyn Merge>>,
    /// What was yielded earlier.
    pub(super) known: Option<u64>,
}

/// What the reader gets.
type Item = Result<WatchEvent, WatchError>;

impl WatchStream {
    pub(super) fn new(parts: Parts) -> Self {
        let Parts {
            client,
            target,
            plan,
            merge,
            known,
        } = parts;
        let topology = client.topology();
        let machine = Machine::new(target.clone(), nodes_of(&topology, &target), known);
        let begin = (Moment(0), wait(client.clone(), Moment(0)));
        Self {
            cluster: topology.source().map().cluster,
            epoch: topology.epoch(),
            client,
            target,
            plan,
            merge,
            machine,
            id: None,
            polls: Vec::new(),
            reads: Vec::new(),
            scan: None,
            timer: Some(begin),
            has_ended: false,
        }
    }

    /// The next event. It never ends by itself; `None` follows an error.
    ///
    /// Dropping this future loses nothing: the next call goes on.
    ///
    /// # Errors
    /// [`WatchError`], after which the watch has ended; what was yielded before stays true. Nodes that are away are none: it
    /// waits for them.
    pub async fn next(&mut self) -> Option<Item> {
        poll_fn(|cx| self.poll_event(cx)).await
    }

    /// Where another watch would go on: behind what was yielded so far.
    ///
    /// That of a key names the version that was yielded last, so a watch that resumes yields it no second time. That of a prefix names
    /// no versions: a watch that resumes begins with [`Reset`](WatchEvent::Reset), and yields all keys that are there.
    #[must_use]
    pub fn token(&self) -> WatchToken {
        WatchToken::new(self.cluster, self.target.clone(), self.machine.version())
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Item>> {
        while !self.has_ended {
            match self.advance(cx) {
                Ok(Advance::Again) => {}
                Ok(Advance::Wait) => return Poll::Pending,
                Ok(Advance::Event(event)) => return Poll::Ready(Some(Ok(event))),
                Err(error) => {
                    self.end();
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
        Poll::Ready(None)
    }

    /// Takes what has come, then does what is next.
    fn advance(&mut self, cx: &mut Context<'_>) -> Result<Advance, WatchError> {
        let has_come = self.poll_timer(cx)? | self.poll_polls(cx)?;
        if let Some(event) = self.poll_reads(cx)? {
            return Ok(Advance::Event(event));
        }
        if let Some(event) = self.poll_scan(cx)? {
            return Ok(Advance::Event(event));
        }
        let Some(id) = self.id else {
            return Ok(if has_come {
                Advance::Again
            } else {
                Advance::Wait
            });
        };
        Ok(match self.machine.poll() {
            Step::Notify(notice) => Advance::Event(notice.into()),
            Step::Poll(ask) => {
                self.ask(id, &ask);
                Advance::Again
            }
            Step::Read(key) => {
                let read = self.client.get(key.clone()).planned(self.plan);
                self.reads.push((key, read.into_future()));
                Advance::Again
            }
            Step::Scan => {
                self.begin_scan()?;
                Advance::Again
            }
            Step::Wait if self.set_timer() => Advance::Again,
            Step::Wait => Advance::Wait,
        })
    }

    /// Whether the moment has come that is waited for.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Result<bool, WatchError> {
        let Some((_, timer)) = &mut self.timer else {
            return Ok(false);
        };
        let Poll::Ready(woken) = timer.as_mut().poll(cx) else {
            return Ok(false);
        };
        self.timer = None;
        let Woken { at, random } = woken.ok_or(WatchError::Closed)?;
        self.id = self.id.or(Some(random));
        self.machine.pass_time(at);
        Ok(true)
    }

    /// Waits for what the machine waits for, unless that is so; whether it was not.
    fn set_timer(&mut self) -> bool {
        let Some(due) = self.machine.due() else {
            return false;
        };
        let due = due.min(self.machine.now() + LONGEST_WAIT);
        if self.timer.as_ref().is_some_and(|(until, _)| *until <= due) {
            return false; // an early one does no harm
        }
        self.timer = Some((due, wait(self.client.clone(), due)));
        true
    }

    /// Gives the machine the answers of nodes; whether there were any.
    fn poll_polls(&mut self, cx: &mut Context<'_>) -> Result<bool, WatchError> {
        let mut come = Vec::new();
        self.polls
            .retain_mut(|(asked, poll)| match poll.as_mut().poll(cx) {
                Poll::Ready(answer) => {
                    come.push((*asked, answer));
                    false
                }
                Poll::Pending => true,
            });
        let has_come = !come.is_empty();
        for (asked, answer) in come {
            let (at, answer) = answer.ok_or(WatchError::Closed)?;
            match answer {
                PollAnswer::Heard(answer, clock) => self.machine.heard(asked, (answer, clock), at),
                PollAnswer::Failed(outcome) => {
                    let is_refused =
                        matches!(outcome, Outcome::Refused(Refusal::TooManyWatches { .. }));
                    self.machine.failed(asked, is_refused, at);
                }
                PollAnswer::Moved => self.follow(asked, at),
            }
        }
        Ok(has_come)
    }

    /// Goes on to the epoch that the client knows by now.
    fn follow(&mut self, asked: Asked, at: Moment) {
        let topology = self.client.topology();
        if topology.epoch() > self.epoch {
            self.epoch = topology.epoch();
            self.machine.pass_time(at);
            self.machine.moved(nodes_of(&topology, &self.target));
        } else {
            self.machine.failed(asked, false, at);
        }
    }

    /// The first read that has ended with something new.
    fn poll_reads(&mut self, cx: &mut Context<'_>) -> Result<Option<WatchEvent>, WatchError> {
        let mut index = 0;
        while let Some((_, read)) = self.reads.get_mut(index) {
            let Poll::Ready(result) = read.as_mut().poll(cx) else {
                index += 1;
                continue;
            };
            let (key, _) = self.reads.swap_remove(index);
            match result {
                Ok(entry) => {
                    if self.machine.read(&key, Some(&found(&entry))) {
                        return Ok(Some(self.changed(key, entry)));
                    }
                }
                Err(ReadError::Closed) => return Err(WatchError::Closed),
                Err(ReadError::Invalid(invalid)) => return Err(invalid.into()),
                Err(ReadError::Unavailable { .. } | ReadError::Unstable { .. }) => {
                    self.machine.read(&key, None);
                }
            }
        }
        Ok(None)
    }

    fn begin_scan(&mut self) -> Result<(), WatchError> {
        let Target::Prefix(prefix) = &self.target else {
            return Ok(());
        };
        let scan = self.client.scan().prefix(prefix.clone());
        match scan.planned(self.plan).stream() {
            Ok(rows) => self.scan = Some(rows),
            Err(error) => self.end_scan(&error)?,
        }
        Ok(())
    }

    /// The first row that is new.
    fn poll_scan(&mut self, cx: &mut Context<'_>) -> Result<Option<WatchEvent>, WatchError> {
        while let Some(rows) = &mut self.scan {
            let Poll::Ready(row) = Pin::new(rows).poll_next(cx) else {
                return Ok(None);
            };
            match row {
                Some(Ok(row)) => {
                    let (key, Some(entry)) = row.into_parts() else {
                        continue; // it is no scan of keys alone
                    };
                    if self.machine.row(&key, &found(&entry)) {
                        return Ok(Some(self.changed(key, entry)));
                    }
                }
                Some(Err(error)) => self.end_scan(&error)?,
                None => {
                    self.scan = None;
                    self.machine.scanned(true);
                }
            }
        }
        Ok(None)
    }

    /// The scan has failed.
    fn end_scan(&mut self, error: &ScanError) -> Result<(), WatchError> {
        self.scan = None;
        match error {
            ScanError::Closed => Err(WatchError::Closed),
            ScanError::Invalid(InvalidScan::Request(invalid)) => Err(invalid.clone().into()),
            _ => {
                self.machine.scanned(false);
                Ok(())
            }
        }
    }

    fn ask(&mut self, id: u64, ask: &PollAsk) {
        let (is_prefix, key) = match &self.target {
            Target::Key(key) => (false, key),
            Target::Prefix(prefix) => (true, prefix),
        };
        let request = WatchRequest {
            id,
            incarnation: ask.incarnation,
            after: ask.after,
            is_prefix,
            key: key.clone(),
        };
        let poll = poll(self.client.clone(), self.epoch, ask.node, request);
        self.polls
            .push(((ask.generation, ask.node), Box::pin(poll)));
    }

    fn changed(&self, key: Bytes, entry: Entry) -> WatchEvent {
        let entry = entry.merged_by(self.merge.as_deref());
        WatchEvent::Changed(WatchEntry::new(key, entry))
    }

    fn end(&mut self) {
        self.has_ended = true;
        self.polls.clear();
        self.reads.clear();
        (self.scan, self.timer) = (None, None);
    }
}

/// What came of a look at all that is under way.
#[expect(
    clippy::large_enum_variant,
    reason = "handed on at once; a box would be made for each"
)]
enum Advance {
    Event(WatchEvent),
    Again,
    Wait,
}

impl From<Notice> for WatchEvent {
    fn from(notice: Notice) -> Self {
        match notice {
            Notice::Current => Self::Current,
            Notice::Lagged(lag) => Self::Lagged(lag),
            Notice::Reset => Self::Reset,
        }
    }
}

/// What the machine is to know of an entry.
fn found(entry: &Entry) -> Found {
    Found {
        version: entry.version(),
        is_absent: entry.is_absent(),
        expiry: entry.siblings().iter().filter_map(|it| it.expiry).min(),
    }
}

/// Waits for a moment; `None` if the client is closed.
fn wait(client: Client, until: Moment) -> Waiting<Option<Woken>> {
    Box::pin(async move {
        let (caller, answer) = client.admit(Kind::Ask, 0, None).await?;
        let submitted = pause::Submitted { until, caller };
        if !client.submit(Submission::Pause(submitted)) {
            return None;
        }
        answer.await
    })
}

/// Polls one node; `None` if the client is closed.
async fn poll(client: Client, epoch: Epoch, node: NodeId, request: WatchRequest) -> Option<Polled> {
    let (caller, answer) = client.admit(Kind::Ask, request.key.len(), None).await?;
    let submitted = poll::Submitted {
        node,
        epoch,
        request,
        caller,
    };
    if !client.submit(Submission::Poll(submitted)) {
        return None;
    }
    answer.await
}

impl Stream for WatchStream {
    type Item = Item;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Item>> {
        self.get_mut().poll_event(cx)
    }
}

impl fmt::Debug for WatchStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchStream")
            .field("target", &self.target)
            .field("epoch", &self.epoch)
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
        is_movable::<WatchStream>();
    }
}
