//! One caller's requests: frames in, answers and writes out.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quoit_ring::role::Role;
use quoit_ring::wire::{DecodeError, Refusal, RequestFrame, Response, ResponseFrame, WatchRequest};

use super::replica::{CheckedWrite, Handled, Replica};
use crate::commit::{Asker, Order};
use crate::engine::Engine;
use crate::env::{Env, Now, Rejected, Reply};
use crate::write::Write;

/// One caller of a [`Replica`].
pub struct Session<E: Env, G> {
    pub(super) replica: Arc<Replica<E, G>>,
    caller: Role,
    reply: E::Reply,
    writes: Vec<Write<E::Reply>>,
}

impl<E: Env, G> fmt::Debug for Session<E, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("caller", &self.caller)
            .finish_non_exhaustive()
    }
}

impl<E: Env, G: Engine> Session<E, G> {
    /// A session for a caller with this role in its certificate, which was verified; its answers go to `reply`.
    #[must_use]
    pub const fn new(replica: Arc<Replica<E, G>>, caller: Role, reply: E::Reply) -> Self {
        Self {
            replica,
            caller,
            reply,
            writes: Vec::new(),
        }
    }

    /// The replica it talks to.
    #[must_use]
    pub fn replica(&self) -> &Replica<E, G> {
        &self.replica
    }

    /// Takes one frame (without its length field) that has just come: answers it, or gathers its write.
    ///
    /// # Errors
    /// [`DecodeError`] if it is not a request: the caller speaks another language, and is best left.
    pub fn handle(&mut self, frame: Bytes, now: Now) -> Result<(), DecodeError> {
        self.handle_after(Duration::ZERO, frame, now)
    }

    /// Takes one frame, like [`Session::handle`], that has `waited` at this node already: as much less is left
    /// of its budget. One that has nothing left is answered [`Refusal::Expired`] and costs nothing more.
    ///
    /// # Errors
    /// [`DecodeError`] if it is not a request: the caller speaks another language, and is best left.
    pub fn handle_after(
        &mut self,
        waited: Duration,
        frame: Bytes,
        now: Now,
    ) -> Result<(), DecodeError> {
        let frame = RequestFrame::decode(frame)?;
        self.replica.state().metrics.requested(&frame.request);
        let (id, epoch) = (frame.id, frame.epoch);
        let budget = Duration::from_millis(u64::from(frame.budget_ms));
        let left = budget.saturating_sub(waited);

        let handled = if left.is_zero() {
            Err(Refusal::Expired)
        } else {
            self.replica.handle(self.caller, frame, now)
        };

        let response = match handled {
            Ok(Handled::Answer(response)) => response,
            Err(refusal) => Response::Refused(refusal),
            Ok(Handled::Watch(request)) => match self.poll((id, &request), now) {
                Some(response) => response,
                None => return Ok(()),
            },
            Ok(Handled::Order(task)) => {
                let reply = self.reply.clone();
                let from = Asker::Caller { id, reply };
                match self.replica.env.order(Order { from, task }) {
                    Ok(()) => return Ok(()),
                    Err(_order) => Response::Refused(Refusal::Draining),
                }
            }
            Ok(Handled::Write(CheckedWrite {
                destination,
                key,
                leaf,
                change,
                bytes,
            })) => {
                let (arrived, deadline) = (now.mono, now.mono + left);
                let reply = Some(self.reply.clone());
                self.writes.push(Write {
                    id,
                    epoch: Some(epoch),
                    reply,
                    destination,
                    key,
                    leaf,
                    change,
                    bytes,
                    arrived,
                    deadline,
                });
                return Ok(());
            }
        };
        self.send(id, response, now);
        Ok(())
    }

    /// Refuses a request of which no more than its id was read.
    pub fn refuse(&self, id: u64, refusal: Refusal, now: Now) {
        self.send(id, Response::Refused(refusal), now);
    }

    /// Hands the gathered writes over to the committer, refuses those that it does not take, and lets all
    /// answers so far go out.
    pub fn submit(&mut self, now: Now) {
        if !self.writes.is_empty()
            && let Err(rejected) = self.replica.env.submit(&mut self.writes)
        {
            let refusal = match rejected {
                Rejected::Overloaded { queue_ms } => Refusal::Overloaded { queue_ms },
                Rejected::Closed => Refusal::Draining,
            };
            let mut refused = std::mem::take(&mut self.writes);
            for write in refused.drain(..) {
                self.send(write.id, Response::Refused(refusal), now);
            }
            self.writes = refused;
        }
        self.reply.flush();
    }

    /// A poll of a subscription: none if it waits.
    fn poll(&self, poll: (u64, &WatchRequest), now: Now) -> Option<Response> {
        let state = self.replica.state();
        let stamp = (state.cluster.epoch(), state.clock.reading(now));
        state.watches.poll(poll, &self.reply, (stamp, now))
    }

    fn send(&self, id: u64, response: Response, now: Now) {
        let state = self.replica.state();
        if let Response::Refused(refusal) = &response {
            state.metrics.refused(refusal);
        }
        let (epoch, clock) = (state.cluster.epoch(), state.clock.reading(now));
        self.reply.send(&ResponseFrame {
            id,
            epoch,
            clock,
            response,
        });
    }
}
