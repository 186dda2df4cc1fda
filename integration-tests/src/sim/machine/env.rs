//! The simulated side of the node's `Env` seam: clocks, the queue, and answers that wait to leave.
//!
//! ```text
//!   Replica --submit--> Queue --> Committer --Answers::send--> Outbox --(the world takes them)--> network
//!      '------now------> NodeClock: set by the machine at every entry, stands still in between
//! ```

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use quoit_node::admission::Queue;
use quoit_node::commit::Order;
use quoit_node::config::WriteQueue;
use quoit_node::env::{Env, Now, Priority, Rejected, Reply};
use quoit_node::write::Write;
use quoit_ring::wire::{Refusal, RefusalScope, RegisterAnswer, Response, ResponseFrame};
use quoit_ring::{Millis, Moment};

use crate::sim::coverage::CoverageEvent;
use crate::sim::faults::PEERS;
use crate::sim::overfill::is_repair;

/// One connection, as a node sees it: of a client, or of another node, whose number comes after all clients'.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Peer {
    /// Which client, or which node.
    pub slot: u16,
    /// Which life of it.
    pub life: u16,
    /// Which of its connections to this node.
    pub connection: u32,
}

impl Peer {
    /// A connection of a node.
    #[must_use]
    pub fn of_node(node: usize, life: u32, connection: u32) -> Self {
        Self {
            slot: u16::try_from(PEERS + node).unwrap_or(u16::MAX),
            life: u16::try_from(life % (1 << 16)).unwrap_or_default(),
            connection,
        }
    }

    /// Which node it is, if it is one.
    #[must_use]
    pub fn node(self) -> Option<usize> {
        usize::from(self.slot).checked_sub(PEERS)
    }
}

/// An answer on its way out.
#[derive(Debug)]
pub struct Answered {
    /// To whom.
    pub peer: Peer,
    /// The frame, without its length field.
    pub frame: Bytes,
    /// What is remarkable about it.
    pub coverage_event: Option<CoverageEvent>,
    /// The request's id, if it says that something was joined.
    pub joined: Option<u64>,
}

/// Answers that have not left yet.
#[derive(Debug, Clone, Default)]
pub(super) struct Outbox {
    answers: Arc<Mutex<Vec<Answered>>>,
    /// Whether writes were last refused by a queue that was not full.
    sheds: Arc<AtomicBool>,
}

impl Outbox {
    /// Takes all of them.
    pub(super) fn take(&self, into: &mut Vec<Answered>) {
        into.append(&mut self.locked());
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.locked().is_empty()
    }

    fn locked(&self) -> MutexGuard<'_, Vec<Answered>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The simulated side of the node's answers.
#[derive(Debug, Clone)]
pub struct Answers {
    pub(super) peer: Peer,
    pub(super) out: Outbox,
    /// Bytes of the longest frame that the node takes.
    pub(super) max_frame: usize,
}

impl Answers {
    /// Whether a record of more than `max` bytes was refused for its length, and not the frame that it came in.
    fn is_record_bound(&self, max: u64) -> bool {
        u64::try_from(self.max_frame).is_ok_and(|frame| max != frame)
    }
}

impl Reply for Answers {
    fn send(&self, answer: &ResponseFrame) {
        let mut frame = BytesMut::new();
        answer.encode(&mut frame);
        self.out.locked().push(Answered {
            peer: self.peer,
            frame: frame.split_off(4).freeze(),
            coverage_event: match answer.response {
                // All that nodes ask each other is to take hints.
                Response::Refused(refusal)
                    if self.peer.node().is_some() && refusal.scope() == RefusalScope::Request =>
                {
                    Some(CoverageEvent::HintRefused)
                }
                Response::Refused(
                    Refusal::TooManySiblings { .. } | Refusal::SeenTooLarge { .. },
                ) if is_repair(answer.id) => Some(CoverageEvent::RepairRefused),
                Response::Refused(Refusal::RecordTooLarge { max, .. }) => {
                    let event = if is_repair(answer.id) {
                        CoverageEvent::RepairRefused
                    } else {
                        CoverageEvent::RecordTooLarge
                    };
                    self.is_record_bound(max).then_some(event)
                }
                Response::Refused(Refusal::Overloaded { .. })
                    if self.out.sheds.load(Ordering::Relaxed) =>
                {
                    Some(CoverageEvent::LoadShed)
                }
                Response::Register(ref answer) => match **answer {
                    RegisterAnswer::Outbid { .. } => Some(CoverageEvent::Outbid),
                    RegisterAnswer::Unseen => Some(CoverageEvent::Unseen),
                    RegisterAnswer::Turn { contended: true } => Some(CoverageEvent::TurnAwaited),
                    _ => None,
                },
                ref response => coverage_event_of(response),
            },
            joined: (answer.response == Response::Joined).then_some(answer.id),
        });
    }

    fn flush(&self) {}

    fn priority(&self) -> Priority {
        self.peer
            .node()
            .map_or(Priority::Client, |_node| Priority::Peer)
    }
}

/// What an answer shows.
const fn coverage_event_of(response: &Response) -> Option<CoverageEvent> {
    match response {
        Response::Superseded { named: true, .. } => Some(CoverageEvent::SupersededNamed),
        Response::Superseded { named: false, .. } => Some(CoverageEvent::Superseded),
        Response::Refused(refusal) => match refusal {
            Refusal::ClockAhead { .. } => Some(CoverageEvent::ClockAhead),
            Refusal::TooOld { .. } => Some(CoverageEvent::TooOld),
            Refusal::OldEpoch => Some(CoverageEvent::OldEpoch),
            Refusal::Behind => Some(CoverageEvent::Behind),
            Refusal::Expired => Some(CoverageEvent::Expired),
            Refusal::Overloaded { .. } => Some(CoverageEvent::Overloaded),
            Refusal::Draining => Some(CoverageEvent::Draining),
            Refusal::Incomplete => Some(CoverageEvent::Incomplete),
            Refusal::TooManySiblings { .. } => Some(CoverageEvent::TooManySiblings),
            Refusal::Storage(_) => Some(CoverageEvent::StorageFault),
            Refusal::HintsFull { .. } => Some(CoverageEvent::HintsFull),
            _ => None,
        },
        _ => None,
    }
}

/// The simulated side of the node's seam.
#[derive(Debug)]
pub struct NodeEnv {
    pub(super) clock: Arc<NodeClock>,
    pub(super) queue: Arc<Queue<Answers>>,
    /// How many waiting writes fill the clients' share of the queue.
    pub(super) full: usize,
    pub(super) out: Outbox,
}

/// How many writes are sure to leave no place for another one of a client.
pub(super) const fn full_at(bounds: &WriteQueue) -> usize {
    bounds.requests - bounds.requests / 8
}

/// What a process reads as its clocks.
#[derive(Debug, Default)]
pub(super) struct NodeClock {
    wall_ms: AtomicU64,
    mono_us: AtomicU64,
}

impl NodeClock {
    /// Sets both clocks; gives back what the process now reads.
    pub(super) fn set(&self, wall: Millis, mono_us: u64) -> Now {
        self.wall_ms.store(wall.0, Ordering::Relaxed);
        self.mono_us.store(mono_us, Ordering::Relaxed);
        self.now()
    }

    pub(super) fn now(&self) -> Now {
        Now {
            wall: Millis(self.wall_ms.load(Ordering::Relaxed)),
            mono: Moment(self.mono_us.load(Ordering::Relaxed)),
        }
    }
}

impl Env for NodeEnv {
    type Reply = Answers;

    fn now(&self) -> Now {
        self.clock.now()
    }

    fn submit(&self, writes: &mut Vec<Write<Answers>>) -> Result<(), Rejected> {
        let pushed = self.queue.push(writes, || self.clock.now().mono);
        let is_client = |reply: &Answers| reply.priority() == Priority::Client;
        let of_clients = |write: &Write<Answers>| write.reply.as_ref().is_some_and(is_client);
        // Fewer wait than ever could fill it, so that is not why; bytes never fill it here.
        let sheds = self.queue.len() < self.full && writes.iter().all(of_clients);
        self.out.sheds.store(sheds, Ordering::Relaxed);
        pushed
    }

    fn order(&self, order: Order<Answers>) -> Result<(), Order<Answers>> {
        self.queue.order(order)
    }

    fn queued_writes(&self) -> u32 {
        u32::try_from(self.queue.len()).unwrap_or(u32::MAX)
    }
}
