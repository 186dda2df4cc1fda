//! Carrying out an [`Order`]: what it asks for, then the answer to whoever asked.
//!
//! ```text
//!   order --> votes, epochs, pages, leftovers, sweep --> done, synced where it must be --> the answer leaves
//!                     |               '--> refused: nothing has changed
//!                     '--> the engine has failed: it is the last thing that this committer does
//! ```

use quoit_ring::Epoch;
use quoit_ring::change::Branch;
use quoit_ring::wire::{Fault, MembershipAnswer, Refusal, Response, ResponseFrame};

use super::{Asker, Committer, Order, Task};
use crate::clock::Now;
use crate::cluster::unserved;
use crate::engine::{Engine, EngineError};
use crate::reply::Reply;
use crate::storage::{Unreadable, fault_of};

/// Why an order was not carried out.
#[derive(Debug)]
pub(super) enum Unfulfilled {
    /// Nothing has changed.
    Refused(Refusal),
    /// A commit has failed; what it was about may be on the disk.
    Failed(EngineError),
}

impl Unfulfilled {
    /// The disk has no space.
    pub(super) const NO_SPACE: Self = Self::Refused(Refusal::Storage(Fault::NoSpace));

    /// Something could not be read: that ends the committer's work only if the engine has failed before.
    pub(super) fn reading(error: EngineError) -> Self {
        match error {
            EngineError::Poisoned { .. } => Self::Failed(error),
            error => Self::Refused(Refusal::Storage(Unreadable::Engine(error).fault())),
        }
    }
}

impl From<Refusal> for Unfulfilled {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<EngineError> for Unfulfilled {
    fn from(error: EngineError) -> Self {
        Self::Failed(error)
    }
}

impl<G: Engine> Committer<G> {
    /// Carries out one order, and answers it.
    ///
    /// # Errors
    /// The engine's, after the answer: whether what was asked for is stored is unknown, and the engine takes no more. Call
    /// nothing of this any more either.
    pub fn carry_out<R: Reply>(&mut self, order: Order<R>, now: Now) -> Result<(), EngineError> {
        let Order { from, task } = order;
        let (response, failed) = match self.perform::<R>(task, now) {
            Ok(response) => (response, Ok(())),
            Err(Unfulfilled::Refused(refusal)) => (Response::Refused(refusal), Ok(())),
            Err(Unfulfilled::Failed(error)) => {
                self.state.hints.set_takes_removals(false);
                let fault = match fault_of(&error) {
                    Fault::Filled => Fault::Filled,
                    _ => Fault::Failed,
                };
                (Response::Refused(Refusal::Storage(fault)), Err(error))
            }
        };
        self.answer_order(from, response, now);
        failed
    }

    fn perform<R: Reply>(&mut self, task: Task, now: Now) -> Result<Response, Unfulfilled> {
        let membership = |answer: MembershipAnswer| Response::Membership(Box::new(answer));
        let joined = |()| Response::Joined;
        if let Task::Prepare { after, .. } | Task::Accept { after, .. } = task {
            self.refuse_foreign(after)?;
        }
        match task {
            Task::Prepare { after, ballot } => self.prepare(after, ballot, now).map(membership),
            Task::Accept {
                after,
                ballot,
                next,
            } => self.accept((after, ballot), &next, now).map(membership),
            Task::Learn { decided } => self.learn_decided(&decided, now).map(membership),
            Task::Fence { epoch } => {
                self.refuse_foreign(epoch)?;
                Ok(membership(self.fence_and_tell(epoch)))
            }
            Task::Store {
                epoch,
                source,
                page,
            } => self.store::<R>((epoch, source), page, now).map(joined),
            Task::Refill {
                epoch,
                source,
                rows,
            } => self.refill::<R>((epoch, source), rows, now).map(joined),
            Task::Complete { epoch } => self.complete(epoch, now).map(joined),
            Task::Forget { epoch, rows } => self.forget(epoch, &rows, now).map(joined),
            Task::Promise {
                clock,
                refused,
                epoch,
            } => self.promise((clock, refused), epoch, now),
            Task::Stabilize { epoch, round } => self.stabilize(epoch, &round, now).map(joined),
            Task::ForgetDead { epoch } => {
                let is_over = self.forget_dead(epoch, now)? && self.forget_ballots(epoch, now)?;
                Ok(if is_over {
                    Response::Joined
                } else {
                    Response::Heard
                })
            }
            Task::Register { epoch, request } => self.step::<R>(epoch, request, now),
            Task::Take { epoch } => self.take(epoch, now).map(joined),
            Task::Sweep { mark, due } => self.sweep(mark, &due, now).map(joined),
        }
    }

    /// Refuses an epoch of another recovery, in which this node has no part: its number says nothing here.
    fn refuse_foreign(&self, epoch: Epoch) -> Result<(), Refusal> {
        let newest = self.state.cluster.newest().epoch();
        if Branch::of(epoch).is_foreign(Branch::of(newest)) {
            return Err(Refusal::OtherRecovery);
        }
        Ok(())
    }

    /// Refuses an order in another epoch than the newest one.
    pub(super) fn check_newest(&self, epoch: Epoch) -> Result<(), Refusal> {
        let newest = self.state.cluster.newest().epoch();
        if epoch == newest {
            Ok(())
        } else {
            Err(unserved(epoch, newest))
        }
    }

    fn answer_order<R: Reply>(&self, from: Asker<R>, response: Response, now: Now) {
        let (id, reply) = match from {
            Asker::Caller { id, reply } => (id, reply),
            Asker::Node { ticket } => return self.state.finished.push(ticket, response),
            Asker::Rounds { ticket } => {
                return self.state.stability.finished.push(ticket, response);
            }
            Asker::Sweep => return self.state.expiry.answer(response),
        };
        reply.send(&ResponseFrame {
            id,
            epoch: self.state.cluster.epoch(),
            clock: self.state.clock.reading(now),
            response,
        });
        reply.flush();
    }
}
