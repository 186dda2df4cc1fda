//! A node's part in a change of the ring. Pure.
//!
//! ```text
//!                     handle_time   handle_answer   handle_done   handle_leftovers
//!                          \              |              |              /
//!   ChangeDriver            +------------ what is under way -----------+
//!     steps    a voter drives the cluster from epoch to epoch
//!     pull     a new owner reads what comes to it
//!     clean    a former owner hands over and deletes what it still has
//!     refill   an owner that has lost writes with its power gets them from the others, change or no change
//!                          |
//!                        poll: Send | Order | Look
//! ```
//!
//! All four begin again with each epoch that the node learns: what counts for one must never count for another. They ask
//! other nodes by messages ([`MembershipRequest`]) and this node's committer by
//! [orders](crate::commit::Task); the answers are alike.
//!
//! What is decided, fenced, pulled and taken is on disks before it is answered, so nothing here is: a node that restarts
//! finds out again where its cluster is.
//!
//! Left out: what a change is for; an operator proposes one, by the same messages. Source: DESIGN, "Ring and membership";
//! the rules are checked by the models in `ring/tests`.

mod clean;
pub(crate) mod driver;
mod pace;
mod pull;
mod refill;
mod steps;
#[cfg(test)]
mod tests;
mod under_way;
mod waiting;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use quoit_ring::change::{Branch, Known};
use quoit_ring::wire::{
    MembershipAnswer, MembershipRequest, Refusal, RequestFrame, Response, ResponseFrame,
};
use quoit_ring::{Epoch, Moment, NodeId};
use rand::SeedableRng as _;
use rand::rngs::SmallRng;

use self::clean::Clean;
pub use self::clean::{LeftRow, LeftRows};
use self::pull::Pull;
use self::refill::Refill;
use self::steps::Steps;
use self::under_way::{About, UnderWay};
pub use self::waiting::{Waiting, WaitingFor};
use crate::cluster::ClusterView;
use crate::commit::{PullProgress, Task};
use crate::completeness::Completeness;
use crate::state::NodeState;
pub use crate::storage::leftovers::{read_leftovers, unowned_runs};

/// Something to be done.
#[derive(Debug)]
pub enum Act {
    /// Send a frame to a node, over a connection that is made if there is none.
    Send {
        /// The receiver.
        to: NodeId,
        /// The frame.
        frame: RequestFrame,
    },
    /// Give the committer an order, and call [`ChangeDriver::handle_done`] with its answer.
    Order {
        /// Names it.
        ticket: u64,
        /// What is to be done.
        task: Task,
    },
    /// Read a page of rows that this node does not own in this epoch, and call [`ChangeDriver::handle_leftovers`].
    Look {
        /// The epoch.
        epoch: Epoch,
        /// Behind which row; none for the first page.
        after: Option<Bytes>,
    },
}

/// How fast a node pulls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransferRate {
    /// At most so many bytes of keys and records a second.
    pub bytes_per_second: u64,
}

/// A node's part in changes of the ring; see the [module](self).
pub struct ChangeDriver {
    cluster: Arc<ClusterView>,
    pulled: Arc<PullProgress>,
    completeness: Arc<Completeness>,
    epoch: Epoch,
    rate: TransferRate,
    out: UnderWay,
    steps: Steps,
    pull: Pull,
    clean: Clean,
    refill: Refill,
}

impl fmt::Debug for ChangeDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChangeDriver")
            .field("node", &self.cluster.node)
            .field("epoch", &self.epoch)
            .finish_non_exhaustive()
    }
}

impl ChangeDriver {
    /// The part of the node with this state. `seed` must be random: proposers are named by it.
    #[must_use]
    pub fn new(state: &NodeState, rate: TransferRate, seed: u64, now: Moment) -> Self {
        let (cluster, pulled) = (Arc::clone(&state.cluster), Arc::clone(&state.pulled));
        let completeness = Arc::clone(&state.completeness);
        let (node, known) = (cluster.node, cluster.newest());
        Self {
            epoch: known.epoch(),
            rate,
            out: UnderWay::new(node),
            pull: Pull::new(
                Arc::clone(&cluster),
                &known,
                Arc::clone(&pulled),
                rate.bytes_per_second,
            ),
            clean: Clean::new(node, known.clone(), now),
            refill: Refill::new(
                &cluster,
                Arc::clone(&completeness),
                &known,
                rate.bytes_per_second,
            ),
            steps: Steps::new(node, known, SmallRng::seed_from_u64(seed), now),
            cluster,
            pulled,
            completeness,
        }
    }

    /// Whether an answer with this id is for this driver; hints, which share the links, have others.
    #[must_use]
    pub const fn is_ours(id: u64) -> bool {
        UnderWay::is_ours(id)
    }

    /// Goes on with what is due; to be called every 10 ms while a change is under way, and some times a second else.
    pub fn handle_time(&mut self, now: Moment) {
        self.enter_newest(now);
        for (from, about) in self.out.late(now) {
            self.failed(from, about, now);
        }
        self.steps.act(&mut self.out, now);
        self.act(now);
    }

    /// A node has answered.
    pub fn handle_answer(&mut self, from: NodeId, frame: ResponseFrame, now: Moment) {
        self.enter_newest(now);
        let (id, announced) = (frame.id, frame.epoch);
        if let Some(about) = self.out.answered(from, id) {
            if frame.response == Response::Refused(Refusal::Behind) {
                self.steps.is_behind(from, announced, &mut self.out, now);
            }
            self.answered(from, about, frame.response, now);
        }
        self.handle_announced(from, announced, now);
        self.act(now);
    }

    /// A node knows this epoch, as an answer of it says, also one to somebody else on this node: asks it for that if it is
    /// newer. A node that is no member has nothing else to learn it from: one whose joining was reverted may still keep hints.
    pub fn handle_announced(&mut self, from: NodeId, announced: Epoch, now: Moment) {
        self.enter_newest(now);
        let is_foreign = Branch::of(announced).is_foreign(Branch::of(self.epoch));
        if announced > self.epoch && !is_foreign {
            self.out.catch_up(from, self.epoch, now);
        }
    }

    /// The committer has carried an order out, or refused it.
    pub fn handle_done(&mut self, ticket: u64, response: Response, now: Moment) {
        self.enter_newest(now);
        if let Some(about) = self.out.answered(self.cluster.node, ticket) {
            self.answered(self.cluster.node, about, response, now);
        }
        self.act(now);
    }

    /// The connection to a node broke, or could not be made.
    pub fn handle_lost(&mut self, node: NodeId, now: Moment) {
        self.enter_newest(now);
        for about in self.out.lost(node) {
            self.failed(node, about, now);
        }
        self.act(now);
    }

    /// A node knows a newer epoch, as gossip says: asks it for that.
    pub fn handle_newer(&mut self, from: NodeId, now: Moment) {
        self.enter_newest(now);
        self.out.catch_up(from, self.epoch, now);
    }

    /// A page of what this node does not own was read; none if it could not be.
    pub fn handle_leftovers(&mut self, epoch: Epoch, page: Option<LeftRows>, now: Moment) {
        self.enter_newest(now);
        if epoch == self.epoch {
            self.clean.looked(page, &mut self.out, now);
        }
        self.act(now);
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<Act> {
        self.out.poll()
    }

    /// The newest epoch, if this node holds no rows that it does not own in it.
    #[must_use]
    pub fn clean_in(&self) -> Option<Epoch> {
        self.clean.is_clean().then_some(self.epoch)
    }

    /// Whether it is to be called often: a change is under way, or its own part in one is not over.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.steps.is_busy() || !self.clean.is_clean() || !self.refill.is_over()
    }

    /// The owners that it waits for to get back what it has lost with its power; none if it has lost nothing.
    #[must_use]
    pub fn refills_from(&self) -> Vec<NodeId> {
        self.refill.waits_for()
    }

    /// Whether it has pulled all that comes to it.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.pull.is_complete()
    }

    /// What the change that is under way waits for, as this node sees it; none if it does not drive one.
    #[must_use]
    pub fn waits(&self, now: Moment) -> Option<Waiting> {
        self.steps.waiting(now)
    }

    /// Lets pull, refill and clean go as far as they may, in the newest epoch. Steps, which look at all members and ranges, go on
    /// when their time comes.
    fn act(&mut self, now: Moment) {
        self.pull.act(&mut self.out, now);
        self.refill.act(&mut self.out, now);
        self.clean.act(&self.cluster, &mut self.out, now);
    }

    /// The node may have learned of an epoch since: whatever comes now counts for that, or not at all.
    fn enter_newest(&mut self, now: Moment) {
        let known = self.cluster.newest();
        if known.epoch() > self.epoch {
            self.enter(known, now);
        }
    }

    fn enter(&mut self, known: Known, now: Moment) {
        let node = self.cluster.node;
        self.epoch = known.epoch();
        self.out.begin_epoch();
        let (pulled, rate) = (Arc::clone(&self.pulled), self.rate.bytes_per_second);
        self.pull = Pull::new(Arc::clone(&self.cluster), &known, pulled, rate);
        let completeness = Arc::clone(&self.completeness);
        self.refill = Refill::new(&self.cluster, completeness, &known, rate);
        self.clean = Clean::new(node, known.clone(), now);
        self.steps.enter(known, now);
    }

    fn answered(&mut self, from: NodeId, about: About, response: Response, now: Moment) {
        let out = &mut self.out;
        match (about, response) {
            (About::Vote(ballot), Response::Membership(answer)) => {
                self.steps.voted(from, (ballot, *answer), out, now);
            }
            (about @ (About::Learn | About::Progress(_)), Response::Membership(answer)) => {
                self.heard(from, about, *answer, now);
            }
            (About::Fenced, _) => self.clean.is_fenced(&self.cluster, now),
            (About::Map, Response::Map(decided)) => {
                let learn = MembershipRequest::Learn { decided };
                let node = self.cluster.node;
                out.ask(node, self.epoch, (learn, About::Learn), now);
            }
            (About::Page, response) => self.pull.paged(from, Some(response), out, now),
            (About::Stored(source), response) => self.pull.stored(source, &response, now),
            (About::Refill, response) => self.refill.paged(from, Some(response), out, now),
            (About::Refilled(source), response) => self.refill.stored(source, &response, now),
            (About::Complete, _) => self.refill.completed(now),
            (About::Sums(parent), Response::Sums(sums)) => {
                self.clean.compared(from, parent, Some(&sums));
            }
            (About::Held(row), answer) if answer.held().is_some() => {
                self.clean.looked_up(from, row, answer.held());
            }
            (About::Pushed(row), response) => {
                let is_joined = response == Response::Joined;
                self.clean.pushed(from, row, is_joined);
            }
            (About::Forgotten, response) => self.clean.forgotten(&response, out, now),
            (About::Taken, response) => self.clean.taken(&response, now),
            (about, _) => self.failed(from, about, now),
        }
    }

    /// A member says what it knows, and how far it is.
    fn heard(&mut self, from: NodeId, about: About, answer: MembershipAnswer, now: Moment) {
        let out = &mut self.out;
        let newest = match (about, answer) {
            (_, MembershipAnswer::Learned(newest)) => {
                self.steps.learned(from, newest, out, now);
                newest
            }
            (_, MembershipAnswer::Behind(newest)) => {
                self.steps.is_apart(from, newest, now);
                newest
            }
            (About::Progress(of), MembershipAnswer::Progress(progress)) => {
                let newest = progress.newest;
                self.steps.progressed(from, (of, progress), out, now);
                newest
            }
            (about, _) => return self.failed(from, about, now),
        };
        if newest > self.epoch && from != self.cluster.node {
            out.catch_up(from, self.epoch, now);
        }
    }

    /// Nothing came of a request, or of an order.
    fn failed(&mut self, from: NodeId, about: About, now: Moment) {
        let out = &mut self.out;
        match about {
            About::Learn | About::Progress(_) => {
                self.steps.failed(from, now);
            }
            About::Page => self.pull.paged(from, None, out, now),
            About::Stored(source) => self.pull.stored(source, &Response::Absent, now),
            About::Refill => self.refill.paged(from, None, out, now),
            About::Refilled(source) => self.refill.stored(source, &Response::Absent, now),
            About::Complete => self.refill.completed(now),
            About::Sums(parent) => self.clean.compared(from, parent, None),
            About::Held(row) => self.clean.looked_up(from, row, None),
            About::Pushed(row) => self.clean.pushed(from, row, false),
            About::Forgotten => self.clean.forgotten(&Response::Absent, out, now),
            About::Taken => self.clean.taken(&Response::Absent, now),
            About::Fenced => self.clean.is_fenced(&self.cluster, now),
            // Asked again with the next attempt, or when the epoch is heard of again.
            About::Vote(_) | About::Map => {}
        }
    }
}
